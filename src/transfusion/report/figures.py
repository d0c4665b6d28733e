"""Figures of a study, from its frame alone; matplotlib, for page and paper alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transfusion.report.palette import Style, style_of
from transfusion.report.table import with_sizes

FORMATS = ("svg", "pdf", "png")


def convergence(frame: pd.DataFrame, metric: str = "auc") -> Figure:
    """Held-out ``metric`` against optimiser steps: the mean over seeds, and a band of one standard deviation.

    Left the whole course, right the first quarter of it.

    Args:
        frame: as ``Study.frame`` gives it, of one data size.
        metric: a column of the frame.

    Source:
        Paper, figures 3, 5, 7 and 11 to 13.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    whole, start = figure.subplots(1, 2, sharey=True)
    for name, style, rows in _starts(frame):
        _curve(whole, name, style, rows, metric)
        _curve(start, name, style, rows[rows["step"] <= frame["step"].max() / 4], metric)
    whole.set(xlabel="optimiser steps", ylabel=f"held-out {metric.upper()}", title="whole course")
    start.set(xlabel="optimiser steps", title="first quarter")
    whole.legend(loc="lower right", frameon=False, title="start (n seeds)")
    for axes in (whole, start):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def save(figure: Figure, folder: Path, name: str) -> Path:
    """Save as SVG, PDF and PNG; returns the SVG's path."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in FORMATS:
        figure.savefig(folder / f"{name}.{suffix}", dpi=160)
    return folder / f"{name}.svg"


def _starts(frame: pd.DataFrame) -> Iterator[tuple[str, Style, pd.DataFrame]]:
    variants: dict[str, int] = {}
    for name, rows in frame.groupby(with_sizes(frame), sort=False):
        scheme = str(rows["scheme"].iloc[0])
        variant = variants[scheme] = variants.get(scheme, -1) + 1
        yield str(name), style_of(scheme, variant), rows


def _curve(axes: Axes, name: str, style: Style, rows: pd.DataFrame, metric: str) -> None:
    over_seeds = rows.groupby("step")[metric].agg(["mean", "std"])
    steps, mean, std = (np.asarray(values, dtype=float) for values in (over_seeds.index, *over_seeds.to_numpy().T))
    axes.plot(
        steps,
        mean,
        color=style.colour,
        linestyle=style.dash,
        marker=style.marker,
        markersize=4,
        label=f"{name} ({rows['run'].nunique()})",
    )
    axes.fill_between(steps, mean - std, mean + std, color=style.colour, alpha=0.15, linewidth=0)
