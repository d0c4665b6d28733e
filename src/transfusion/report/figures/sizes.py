"""What more training images change."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transfusion.metrics import AUC, Metric
from transfusion.report.figures.canvas import finished, legend_below, log_axis, plain, sheet
from transfusion.report.palette import Style, styles_of
from transfusion.report.table import schemes_of
from transfusion.verdict.inference import Floats

HEIGHT_IN = 4.2
NUDGE = 0.012  # of the axis' logarithmic length, between starts at one size
LEAST_GAP = 0.09  # of the axis' logarithmic length, between two tick labels


def sizes(
    finals: pd.DataFrame, gaps: pd.DataFrame, metric: Metric = AUC, baseline: str = "random",
    styles: Mapping[str, Style] | None = None,
) -> Figure:  # fmt: skip
    """Performance against the number of training images: every start, and its gap to the baseline.

    Args:
        finals: one row per run: ``start scheme images`` and the metric at the end. Left: mean and standard
            deviation over seeds. Images are infinite where all were used and their number is not recorded.
        gaps: one row per start (without the baseline) and size: ``start scheme images estimate low high n``. Right:
            with 95 % intervals.
        metric: whose column ``finals`` has.
        baseline: that gaps are measured from.
        styles: start -> style, where other figures show starts that these frames lack.

    Source:
        Paper, tables 2 and 4, as a picture.
    """
    styles = styles or styles_of(schemes_of(finals) | schemes_of(gaps))
    images = np.unique(np.concatenate([finals["images"], gaps["images"]]).astype(float))
    beyond = 2 * images[np.isfinite(images)].max(initial=0.5)  # where "all" stands if nobody knows how many that is
    labels = {float(size): "all" if np.isinf(size) else f"{size:,.0f}" for size in images}
    labels = {min(size, beyond): label for size, label in labels.items()}
    finals, gaps = (frame.assign(images=frame["images"].clip(upper=beyond)) for frame in (finals, gaps))
    images = images.clip(max=beyond)
    span = float(np.log(images[-1] / images[0])) or 1.0
    figure = sheet(HEIGHT_IN, list(finals["start"].unique()))
    middle = (finals["start"].nunique() - 1) / 2
    level, gap = figure.subplots(1, 2)
    for place, (start, rows) in enumerate(finals.groupby("start", sort=False)):
        by_size = rows.groupby("images")[metric.column].agg(["mean", "std"])
        x, shift = by_size.index.to_numpy(dtype=float), np.exp(NUDGE * span * (place - middle))
        mean, std = by_size.to_numpy(dtype=float).T
        _line(level, (x * shift, mean, mean - std, mean + std), styles[str(start)], str(start))
        own = gaps[gaps["start"] == start].sort_values("images")
        if len(own):
            x, *ends = own[["images", "estimate", "low", "high"]].to_numpy(dtype=float).T
            _line(gap, (x * shift, *ends), styles[str(start)], str(start))
    for axes in (level, gap):
        plain(axes)
        log_axis(axes, "x", _spaced(images), lambda value: labels[float(value)])
        axes.set_xlabel("training images")
    gap.axhline(0, color="black", linewidth=0.8)
    level.set_ylabel(f"held-out {metric.title} at the end")
    gap.set_ylabel(f"difference to {baseline}")
    legend_below(figure, level, "start")
    return finished(figure)


def _line(axes: Axes, values: tuple[Floats, ...], style: Style, start: str) -> None:
    x, middle, low, high = values
    axes.plot(x, middle, color=style.colour, linestyle=style.dash, marker=style.marker, markersize=6, label=start)
    axes.vlines(x, low, high, color=style.colour, linewidth=1.5)


def _spaced(images: Floats) -> Floats:
    """The sizes whose labels have room beside the one before."""
    span = float(np.log(images[-1] / images[0])) or 1.0
    kept = [float(images[0])]
    for size in images[1:]:
        if np.log(size / kept[-1]) / span >= LEAST_GAP:
            kept.append(float(size))
    return np.array(kept)
