"""The one picture that says it all: mean curves, how much sooner one is there, and how far apart they end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transfusion.report.figures.canvas import finished, plain
from transfusion.report.palette import Style
from transfusion.verdict.inference import Floats

WIDE_IN, NARROW_IN = (6.9, 3.95), (3.75, 3.5)
LETTERS = 9.5  # points
LINE_SHARE = 0.058  # of the height, that a label takes
PAPER, INK, SOFT = "#ffffff", "#000000", "#666666"


@dataclass(frozen=True)
class Line:
    """The mean curve of one start, and the lowest and highest of its trainings."""

    name: str
    style: Style
    steps: Floats
    mean: Floats
    low: Floats
    high: Floats
    is_leading: bool


@dataclass(frozen=True)
class Gap:
    """A distance that is drawn and lettered: between two steps at a height, or two heights at the end."""

    first: float
    second: float
    text: str


@dataclass(frozen=True)
class Headline:
    """What is drawn.

    Attributes:
        title: of the metric.
        level: the target; NaN for none.
        sooner: between the steps at which start and baseline reach it; None where that is not known.
        apart: between the ends of both; None where there is nothing to say.
    """

    title: str
    lines: tuple[Line, ...]
    level: float
    sooner: Gap | None
    apart: Gap | None


def headline(shown: Headline, narrow: bool = False) -> Figure:
    """Curves labelled at their ends, the target, the gap in steps and the gap at the end.

    Args:
        shown: what to draw.
        narrow: for a phone.
    """
    figure = Figure(figsize=NARROW_IN if narrow else WIDE_IN, layout="constrained")
    axes = figure.subplots()
    plain(axes)
    last = max(float(line.steps[-1]) for line in shown.lines)
    low, high = _limits(shown)
    axes.set(xlim=(0, last), ylim=(low, high))
    for line in sorted(shown.lines, key=lambda line: line.is_leading):  # the leading ones last, on top
        _curve(axes, line)
    if not np.isnan(shown.level):
        axes.axhline(shown.level, color=SOFT, linewidth=0.9, linestyle=(0, (2, 3)), zorder=1)
    if shown.sooner:
        _sooner(axes, shown, shown.sooner, last)
    _ends(axes, shown, last, high - low)
    axes.set_xlabel("optimiser steps", fontsize=LETTERS)
    is_cut = any(float(line.mean.min()) < low for line in shown.lines)
    beneath = f" (cut at {low:.2f}{'' if narrow else ': curves begin below'})" if is_cut else ""
    axes.set_title(f"held-out {shown.title}{beneath}", fontsize=LETTERS, loc="left")
    axes.tick_params(labelsize=LETTERS - 0.5)
    axes.locator_params(nbins=4 if narrow else 6)
    return finished(figure)


def _limits(shown: Headline) -> tuple[float, float]:
    """From below the middle of the climb to above the best curve, so that ends can be told apart."""
    tops = [float(line.mean.max()) for line in shown.lines]
    bottom = min(float(line.mean.min()) for line in shown.lines)
    ends = [float(line.mean[-1]) for line in shown.lines] + ([] if np.isnan(shown.level) else [shown.level])
    # 2.2: two thirds of the height below the lowest end; 0.05 where all ends agree
    low = max(bottom, min(ends) - 2.2 * max(max(tops) - min(ends), 0.05))
    room = 0.06 * (max(tops) - low) or 0.05
    return low - room, max(tops) + room


def _curve(axes: Axes, line: Line) -> None:
    style, width = line.style, 2.4 if line.is_leading else 1.3
    axes.fill_between(
        line.steps, line.low, line.high, color=style.colour, alpha=0.10 if line.is_leading else 0.04, lw=0
    )
    axes.plot(line.steps, line.mean, color=style.colour, linestyle=style.dash, linewidth=width)


def _sooner(axes: Axes, shown: Headline, gap: Gap, last: float) -> None:
    """An arrow along the target, lettered below it where no mean curve is."""
    level, ends = shown.level, (gap.first, gap.second)
    arrow = {"arrowstyle": "<->", "color": INK, "linewidth": 1.5, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (gap.first, level), (gap.second, level), arrowprops=arrow, zorder=5)
    axes.plot(ends, [level] * 2, linestyle="none", marker="|", markersize=9, markeredgewidth=1.5, color=INK, zorder=5)
    right = max(*ends, *(_last_below(line, level) for line in shown.lines))  # no mean curve is below the target there
    x, how = (right + 0.01 * last, "left") if right < 0.62 * last else (sum(ends) / 2, "center")
    box = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
    axes.annotate(
        gap.text, (x, level), (0, -7), textcoords="offset points", ha=how, va="top", fontsize=LETTERS,
        fontweight="bold", bbox=box, zorder=6,
    )  # fmt: skip


def _last_below(line: Line, level: float) -> float:
    """The step from which on a mean curve stays above a level."""
    below = np.flatnonzero(line.mean < level)
    return float(line.steps[min(below[-1] + 1, len(line.steps) - 1)]) if len(below) else 0.0


def _ends(axes: Axes, shown: Headline, last: float, height: float) -> None:
    """Names at the ends of their curves, set apart where they would touch, and the bracket between two of them."""
    labels: list[tuple[float, str, bool, Style | None]] = [
        (float(line.mean[-1]), line.name, line.is_leading, line.style) for line in shown.lines
    ]
    if shown.apart:
        ends = sorted((shown.apart.first, shown.apart.second))
        axes.plot([1.012 * last] * 2, ends, color=INK, linewidth=1.5, clip_on=False, solid_capstyle="butt")
        for end in ends:
            axes.plot([1.002 * last, 1.012 * last], [end] * 2, color=INK, linewidth=1.5, clip_on=False)
        labels.append((sum(ends) / 2, shown.apart.text, True, None))
    labels.sort(key=lambda label: label[0])
    places = set_apart([place for place, *_ in labels], LINE_SHARE * height)
    for y, (_, text, is_bold, style) in zip(places, labels, strict=True):
        if style:  # a piece of the curve: letters in its colour would be too faint to read
            piece = axes.plot([1.03 * last, 1.085 * last], [y, y], clip_on=False, linewidth=2.4 if is_bold else 1.3)
            piece[0].set(color=style.colour, linestyle=style.dash)
        weight = "bold" if is_bold else "normal"
        axes.text(
            (1.1 if style else 1.03) * last, y, text, fontsize=LETTERS, fontweight=weight, va="center", clip_on=False
        )


def set_apart(places: Sequence[float], apart: float) -> list[float]:
    """Ascending places, moved as little as possible so that neighbours are this far apart.

    Examples:
        >>> set_apart([0.0, 1.0, 1.1], 0.5)
        [0.0, 0.8, 1.3]
    """
    # labels that touch form a group about their common middle; a group that grows may touch the one below it
    groups: list[list[float]] = []
    for place in places:
        groups.append([place])
        while len(groups) > 1 and _top(groups[-2], apart) + apart > _bottom(groups[-1], apart):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [round(_bottom(group, apart) + apart * i, 12) for group in groups for i in range(len(group))]


def _bottom(group: Sequence[float], apart: float) -> float:
    return sum(group) / len(group) - apart * (len(group) - 1) / 2


def _top(group: Sequence[float], apart: float) -> float:
    return _bottom(group, apart) + apart * (len(group) - 1)
