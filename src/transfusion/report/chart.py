"""A chart in two forms: data for the page's script, and a figure for print and for readers without scripts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib import rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path as Outline

from transfusion.report.palette import Style, style_of
from transfusion.report.parts import Chart, Series, Trace

DIGITS = 6  # of a value in the page's data; more would only make it larger
DASHES = {
    "--": rcParamsDefault["lines.dashed_pattern"],
    "-.": rcParamsDefault["lines.dashdot_pattern"],
    ":": rcParamsDefault["lines.dotted_pattern"],
}
LINE_WIDTH = 2.2  # px, of a mean; dashes are multiples of it, as in matplotlib
PEN = {Outline.MOVETO: "M", Outline.LINETO: "L", Outline.CURVE3: "Q", Outline.CURVE4: "C", Outline.CLOSEPOLY: "Z"}


def chart_data(chart: Chart) -> dict[str, Any]:
    """Plain values for the page's script: steps once per distinct list of them, an unknown value as None.

    Returns:
        ``x_label``, ``y_label``, ``steps`` (lists of x), and ``series`` with ``name``, ``colour``, ``dash``,
        ``marker`` (an outline about two units wide) and ``traces`` as [label, place in ``steps``, y].
    """
    # runs of a study share their steps: written once, a page of 100 runs is a third as large
    steps = {x: place for place, x in enumerate(dict.fromkeys(t.x for s in chart.series for t in s.traces))}
    return {
        "x_label": chart.x_label,
        "y_label": chart.y_label,
        "steps": [list(x) for x in steps],
        "series": [
            {
                "name": series.name,
                **_drawn(style_of(series.scheme, series.variant)),
                "traces": [[trace.label, steps[trace.x], [_short(y) for y in trace.y]] for trace in series.traces],
            }
            for series in chart.series
        ],
    }


def static(chart: Chart) -> Figure:
    """Mean over the runs of every series, and the range of them, as a figure."""
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    axes = figure.subplots()
    for series in chart.series:
        _draw(axes, series)
    axes.set_xlabel(chart.x_label, parse_math=False)
    axes.set_ylabel(chart.y_label, parse_math=False)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if chart.series:
        _name(figure, chart)
    return figure


def summary(chart: Chart) -> str:
    """What a chart shows, for those who cannot see it: where the mean of every series begins and ends."""
    ends = [
        f"{series.name} {mean[0]:.3f} to {mean[-1]:.3f}" for series in chart.series if len(mean := _band(series)[1])
    ]
    return f"{chart.y_label} against {chart.x_label}; mean over runs, first to last: {'; '.join(ends) or 'no values'}."


def _draw(axes: Axes, series: Series) -> None:
    style = style_of(series.scheme, series.variant)
    steps, mean, low, high = _band(series)
    # any label: `_name` puts the real one in
    axes.plot(steps, mean, color=style.colour, linestyle=style.dash, marker=style.marker, markersize=5, label="name")
    axes.fill_between(steps, low, high, color=style.colour, alpha=0.13, linewidth=0)


def _name(figure: Figure, chart: Chart) -> None:
    """Fill in the names afterwards: matplotlib would hide labels that begin with an underscore."""
    legend = figure.legend(loc="outside upper left", frameon=False, ncols=3)
    for text, series in zip(legend.get_texts(), chart.series, strict=True):
        text.set_parse_math(False)
        text.set_text(f"{series.name} (n = {len(series.traces)})")


def _band(series: Series) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Steps, mean, lowest and highest over the runs that have a value there."""
    values: dict[float, list[float]] = {}
    for x, y in _points(series.traces):
        values.setdefault(x, []).append(y)
    steps = sorted(values)
    bands = [np.array([pick(values[step]) for step in steps]) for pick in (np.mean, min, max)]
    return np.array(steps), bands[0], bands[1], bands[2]


def _points(traces: tuple[Trace, ...]) -> Iterator[tuple[float, float]]:
    for trace in traces:
        yield from ((x, y) for x, y in zip(trace.x, trace.y, strict=True) if math.isfinite(y))


def _drawn(style: Style) -> dict[str, str]:
    colour = "currentColor" if style.colour == "#000000" else style.colour  # black would vanish on a dark page
    return {"colour": colour, "dash": _dash(style.dash), "marker": _outline(style.marker)}


def _dash(dash: str | tuple[int, tuple[int, ...]]) -> str:
    if dash == "-":
        return "none"
    pattern = DASHES[dash] if isinstance(dash, str) else dash[1]
    return " ".join(f"{length * LINE_WIDTH:.3g}" for length in pattern)


def _outline(marker: str) -> str:
    style = MarkerStyle(marker)
    outline = style.get_path().transformed(style.get_transform())
    return "".join(
        PEN[code] + ("" if code == Outline.CLOSEPOLY else _spots(xy)) for xy, code in outline.iter_segments()
    )


def _spots(xy: np.ndarray) -> str:
    """Points as an SVG path has them: its y points down, and matplotlib's markers are one unit wide, not two."""
    return " ".join(f"{value:.3g}" for value in (2 * xy.reshape(-1, 2) * [1, -1]).ravel())


def _short(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
