"""Estimates with their intervals: every start against the baseline, and stage by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from transfusion.metrics import AUC, Metric
from transfusion.report.figures.canvas import finished, legend_below, log_axis, nice_ticks, plain, sheet
from transfusion.report.palette import Style, style_of, styles_of
from transfusion.report.table import schemes_of
from transfusion.verdict.inference import Floats

ROW_IN, FRAME_IN = 0.42, 1.1
UPTO_IN = 4.2
MOST_REACH = 3  # an interval this many times as long as is usual in its panel is cut, and ends in an arrow
NUMBERS = ["estimate", "low", "high", "n"]
NUM_TICKS = {"x": 4, "y": 6}  # at most, less one
SIDE_SHIFT = 0.06  # of a stage, between the lines of two rests


@dataclass(frozen=True)
class Quantity:
    """What a panel shows: its label, the value that means "no effect", and whether it is a ratio."""

    label: str
    neutral: float
    is_ratio: bool


def quantities(metric: Metric) -> dict[str, Quantity]:
    """What a verdict says of every start, by the names that ``Effect`` has for it."""
    shown = metric.title
    return {
        "final_difference": Quantity(f"difference in final {shown}", 0, False),
        "speedup": Quantity("speed-up (times)", 1, True),
        "area": Quantity(f"difference in mean {shown}", 0, False),
    }


def forest(
    intervals: pd.DataFrame,
    metric: Metric = AUC,
    baseline: str = "random",
    styles: Mapping[str, Style] | None = None,
) -> Figure:
    """Every start against the baseline, one panel per quantity: estimate, 95 % interval and n.

    An arrow is an interval that extends beyond the panel, or has no end; a hollow marker an estimate without
    interval; "unknown" no estimate.

    Args:
        intervals: one row per start and quantity: ``start scheme quantity estimate low high n``. Quantities are
            ``final_difference``, ``speedup`` and ``area``, as attributes of a ``Effect``.
        metric: that was judged.
        baseline: what a vertical line stands for.
        styles: start -> style, where other figures show starts that these intervals lack.
    """
    schemes = schemes_of(intervals)
    styles = styles or styles_of(schemes)
    known = quantities(metric)
    shown = [name for name in known if name in set(intervals["quantity"])]
    figure = sheet(FRAME_IN + ROW_IN * len(schemes))
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, shown, strict=True):
        rows = intervals[intervals["quantity"] == name].set_index("start").reindex(list(schemes))
        _panel(axes, rows, known[name], [styles[start] for start in schemes])
    panels[0].set_yticks(range(len(schemes)), list(schemes))
    panels[0].set_ylim(len(schemes) - 0.4, -0.6)
    figure.suptitle(f"against {baseline} (the vertical line)", fontsize=10)
    return finished(figure)


def upto(intervals: pd.DataFrame, stages: Sequence[str]) -> Figure:
    """What pretrained weights up to a stage give: speed-up, and share of the full speed-up, against the stage.

    Args:
        intervals: one row per partial start, and per end of each line, and quantity: ``rest`` (scheme of the stages
            above), ``stage`` (of ``stages``, ``none`` or ``all``), ``quantity`` (``speedup`` or ``share``), ``estimate
            low high n``.
        stages: in network order.

    Source:
        Paper, figures 10 and 18, which show the curves; ``convergence`` shows these.
    """
    places = {"none": 0, **{stage: i for i, stage in enumerate(stages, 1)}, "all": len(stages) + 1}
    figure = sheet(UPTO_IN, list(intervals["rest"].unique()))
    speed, share = figure.subplots(1, 2)
    for axes, name in ((speed, "speedup"), (share, "share")):
        rows = intervals[intervals["quantity"] == name]
        for shift, (rest, line) in enumerate(rows.groupby("rest", sort=False)):
            _line(axes, line.assign(place=line["stage"].map(places)), str(rest), shift * SIDE_SHIFT)
        axes.set_xticks(range(len(places)), list(places), rotation=30 if len(places) > 6 else 0)
        axes.set_xlabel("pretrained up to and including")
        plain(axes)
        _limit(axes, "y", rows, Quantity("", 1 if name == "speedup" else 0, name == "speedup"))
        axes.axhline(1, color="black", linewidth=0.8)
    speed.set_ylabel("speed-up (times)")
    share.set_ylabel("share of the full speed-up")
    share.axhline(0, color="black", linewidth=0.8)
    legend_below(figure, speed, "stages above from")
    return finished(figure)


def _panel(axes: Axes, rows: pd.DataFrame, quantity: Quantity, styles: list[Style]) -> None:
    plain(axes)
    axes.set_xlabel(quantity.label)
    axes.axvline(quantity.neutral, color="black", linewidth=0.8)
    edges = _limit(axes, "x", rows, quantity)
    for y, (style, values) in enumerate(zip(styles, rows[NUMBERS].to_numpy(dtype=float), strict=True)):
        estimate, low, high, n = values
        if np.isnan(estimate):
            _note(axes, y, "unknown", 0.97, "right")
        is_open = (low in (-np.inf, 0) and high == np.inf) or not low <= high  # says nothing: no bar, a hollow marker
        if not is_open:
            _bar(axes, y, style, (low, high), edges)
        face = "white" if is_open else style.colour
        axes.plot([estimate], [y], style.marker, color=style.colour, markerfacecolor=face, markersize=7)
        _note(axes, y, f"n = {np.nan_to_num(n):.0f}", 1.04, "left")


def _note(axes: Axes, y: float, words: str, place: float, side: str) -> None:
    """Words in a row, their ``side`` at ``place`` of the panel's width from its left."""
    axes.text(place, y, words, transform=axes.get_yaxis_transform(), ha=side, va="center", fontsize=9)


def _bar(axes: Axes, y: float, style: Style, ends: tuple[float, float], edges: tuple[float, float]) -> None:
    """An interval: a small stroke where it ends, an arrow where it extends beyond the panel."""
    low, high = max(ends[0], edges[0]), min(ends[1], edges[1])
    axes.plot([low, high], [y, y], color=style.colour, linewidth=2, solid_capstyle="butt")
    markers = ("|" if low == ends[0] else "<", "|" if high == ends[1] else ">")
    for end, marker in zip((low, high), markers, strict=True):
        axes.plot([end], [y], marker, color=style.colour, markersize=8, clip_on=False)


def _limit(axes: Axes, which: str, rows: pd.DataFrame, quantity: Quantity) -> tuple[float, float]:
    """Set the range of an axis: all estimates, and intervals as far as most of them reach."""
    values = rows[["estimate", "low", "high"]].to_numpy(dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.log(values) if quantity.is_ratio else values - quantity.neutral
    low, high = _range(away)
    if quantity.is_ratio:
        low, high = float(np.exp(low)), float(np.exp(high))
        log_axis(axes, which, nice_ticks(low, high), lambda value: f"{value:.6g}")
    else:
        low, high = low + quantity.neutral, high + quantity.neutral
        getattr(axes, f"{which}axis").set_major_locator(MaxNLocator(NUM_TICKS[which]))
    getattr(axes, f"set_{which}lim")(low, high)
    if np.isnan(values).all():
        getattr(axes, f"set_{which}ticks")([])
    return low, high


def _range(away: Floats) -> tuple[float, float]:
    """From the lowest to the highest of (estimate, low, high) rows, 0 included, without what few of them reach."""
    finite = np.where(np.isfinite(away), away, np.nan)
    sizes = np.abs(finite[~np.isnan(finite)])
    if not sizes.size:
        return -1.0, 1.0
    reach = np.nanmax(np.abs(finite[:, 0]), initial=0.0)
    # by the median: one interval without end would shrink all others to dots
    most = max(MOST_REACH * max(float(np.median(sizes)), reach), 1e-3)
    kept = np.clip(finite[~np.isnan(finite)], -most, most)
    low, high = min(kept.min(), 0.0), max(kept.max(), 0.0)
    margin = 0.1 * (high - low) or 1e-3
    return float(low - margin), float(high + margin)


def _line(axes: Axes, rows: pd.DataFrame, rest: str, shift: float) -> None:
    rows = rows.sort_values("place")
    style = style_of(rest)
    places, estimate, low, high = rows[["place", "estimate", "low", "high"]].to_numpy(dtype=float).T
    axes.plot(
        places + shift,
        estimate,
        color=style.colour,
        linestyle=style.dash,
        marker=style.marker,
        markersize=6,
        label=rest,
    )
    axes.vlines(places + shift, low, np.where(np.isinf(high), np.nan, high), color=style.colour, linewidth=1.5)
    for place, bottom, top in zip(places + shift, low, high, strict=True):
        if np.isinf(top) and not np.isnan(bottom):
            _open_top(axes, place, bottom, style)


def _open_top(axes: Axes, place: float, bottom: float, style: Style) -> None:
    axes.annotate(
        "", (place, 1), (place, bottom), ("data", "axes fraction"), "data",
        arrowprops={"arrowstyle": "->", "color": style.colour, "linewidth": 1.5},
    )  # fmt: skip
