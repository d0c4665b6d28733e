"""Sensitivity against specificity, with the thresholds that are spoken of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transfusion.metrics import Roc
from transfusion.report.figures.canvas import finished, plain
from transfusion.report.palette import Style

SIDE_IN, NARROW_IN, LETTERS = 4.4, 3.6, 9.5
MOST_PANELS = 3  # side by side
LEGEND_IN = 0.2  # of a row
GUESSING: dict[str, Any] = {"color": "#767676", "linewidth": 0.9, "linestyle": (0, (2, 3))}


@dataclass(frozen=True)
class RocLine:
    """The curve of one network, and its operating points.

    Attributes:
        points: marker of the point -> specificity and sensitivity; ``o`` is filled, ``D`` hollow.
    """

    name: str
    style: Style
    curve: Roc
    points: Mapping[str, tuple[float, float]]


def roc(panels: Mapping[str, Sequence[RocLine]], points: Mapping[str, str], narrow: bool = False) -> Figure:
    """One panel per event, one line per start.

    Args:
        panels: title -> lines.
        points: marker -> what it stands for.
        narrow: for a phone, with the panels below each other.
    """
    columns = 1 if narrow else min(MOST_PANELS, len(panels))
    rows = -(-len(panels) // columns)
    num, keys = len(points) + max(map(len, panels.values())), 1 if narrow else 2
    side = NARROW_IN if narrow else SIDE_IN if columns == 1 else 10 / columns
    figure = Figure(
        figsize=(side * columns, (side + 0.25) * rows + LEGEND_IN * -(-num // keys) + 0.1), layout="constrained"
    )
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (title, lines) in zip(grid, panels.items(), strict=False):
        _panel(axes, title, lines)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    drawn, names = grid[0].get_legend_handles_labels()
    marks = [grid[0].plot([], [], **_mark(marker), color="#000000", label=what)[0] for marker, what in points.items()]
    figure.legend([*drawn, *marks], [*names, *points.values()], loc="outside lower center", ncols=keys,
                  frameon=False, fontsize=LETTERS)  # fmt: skip
    return finished(figure)


def _panel(axes: Axes, title: str, lines: Sequence[RocLine]) -> None:
    plain(axes)
    axes.plot([0, 1], [0, 1], **GUESSING)
    for line in lines:
        colour = line.style.colour
        axes.plot(1 - line.curve.specificity, line.curve.sensitivity, color=colour, linestyle=line.style.dash,
                  linewidth=1.8, label=line.name)  # fmt: skip
        for marker, (specificity, sensitivity) in line.points.items():
            axes.plot(1 - specificity, sensitivity, color=colour, **_mark(marker))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), box_aspect=1)
    axes.set_xlabel("1 - specificity", fontsize=LETTERS)
    axes.set_ylabel("sensitivity", fontsize=LETTERS)
    axes.set_title(title, fontsize=LETTERS, loc="left")
    axes.tick_params(labelsize=LETTERS - 0.5)


def _mark(marker: str) -> dict[str, Any]:
    hollow: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 1.8} if marker == "D" else {}
    return {"marker": marker, "markersize": 8, "linestyle": "none", **hollow}
