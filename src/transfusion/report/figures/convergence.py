"""How fast and how far each start learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transfusion.metrics import AUC, Metric
from transfusion.report.figures.canvas import finished, legend_below, plain, sheet
from transfusion.report.palette import Style, styles_of
from transfusion.report.table import schemes_of
from transfusion.verdict.curves import with_starts

HEIGHT_IN = 4.2
NUM_MARKERS = 12  # per curve


def convergence(frame: pd.DataFrame, metric: Metric = AUC, styles: Mapping[str, Style] | None = None) -> Figure:
    """Held-out ``metric`` against optimiser steps: the mean over seeds, and a band of one standard deviation.

    Left the whole course, right the first quarter of it.

    Args:
        frame: as ``Study.frame`` gives it, of one data size.
        metric: whose column the frame has.
        styles: start -> style, where other figures show starts that this frame lacks.

    Source:
        Paper, figures 3, 5, 7 and 11 to 13.
    """
    named = with_starts(frame)
    styles = styles or styles_of(schemes_of(named))
    seeds = named.groupby("start", sort=False)["run"].nunique()
    labels = {str(start): f"{start} ({n})" for start, n in seeds.items()}
    figure = sheet(HEIGHT_IN, labels.values())
    whole, first = figure.subplots(1, 2, sharey=True)
    end = named["step"].max() / 4  # fast starts differ early, where the whole course shows a corner only
    for start, label in labels.items():
        rows = named[named["start"] == start]
        for axes, shown in ((whole, rows), (first, rows[rows["step"] <= end])):
            _curve(axes, label, styles[start], shown.groupby("step")[metric.column].agg(["mean", "std"]))
    whole.set(xlabel="optimiser steps", ylabel=f"held-out {metric.title}", title="whole course")
    first.set(xlabel="optimiser steps", title="first quarter")
    for axes in (whole, first):
        plain(axes)
    legend_below(figure, whole, "start (n seeds)")
    return finished(figure)


def _curve(axes: Axes, label: str, style: Style, over_seeds: pd.DataFrame) -> None:
    steps, mean, std = (np.asarray(values, dtype=float) for values in (over_seeds.index, *over_seeds.to_numpy().T))
    every = max(1, -(-len(steps) // NUM_MARKERS))
    look: dict[str, Any] = {"color": style.colour, "linestyle": style.dash, "marker": style.marker, "markersize": 5}
    axes.plot(steps, mean, markevery=every, label=label, **look)
    axes.fill_between(steps, mean - std, mean + std, color=style.colour, alpha=0.15, linewidth=0)
