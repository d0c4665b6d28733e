"""The paper's figures in its own layout and numbering, from what is on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from transfusion.metrics.registry import judging
from transfusion.paper.published import STARTS
from transfusion.report.figures.canvas import finished, legend_below, plain, sheet
from transfusion.report.figures.stages import MAP
from transfusion.report.palette import SCHEMES, Style, style_of
from transfusion.report.parts import Picture
from transfusion.verdict.gabors import CHANCE
from transfusion.verdict.numbers import SHARE, number

PANEL_IN = 3.4  # height of a row of panels
FAINT = 0.25  # opacity of the fewest images of Figure 13; all images are 1
ZOOM_EPOCHS = 5  # the first epochs of Figure 7
# colours that these figures have no other use for: all their starts are mean_var, and styles are per scheme
MODES = {"identity": SCHEMES["mean_var"], "mean_var": SCHEMES["kaiming"], "pretrained": SCHEMES["default"]}
WHOLE = "whole course"
SMALL_COLUMNS = 4  # of panels of the diseases


@dataclass(frozen=True)
class Line:
    """One curve of a figure: the mean over seeds, and a band of one standard deviation.

    Attributes:
        label: for the legend.
        rows: of a study's frame.
        style: how it is drawn.
        is_reference: drawn dashed, to compare the others with.
        opacity: 0 to 1.
        has_band: drawn with one; a reference never is.
    """

    label: str
    rows: pd.DataFrame
    style: Style
    is_reference: bool = False
    opacity: float = 1.0
    has_band: bool = True


def lines(frame: pd.DataFrame, starts: Sequence[str], references: Sequence[str] = ()) -> list[Line]:
    """The curves of some starts, those that have any."""
    found = []
    partial_ones = [start for start in starts if " upto " in start]
    for start in dict.fromkeys((*starts, *references)):
        rows = frame[frame["start"] == start]
        if len(rows):
            name = start.partition(" rest ")[0].replace("pretrained upto", "up to")
            style = _style(start, partial_ones)
            found.append(Line(f"{name} ({rows['run'].nunique()})", rows, style, start in references))
    return found


def _style(start: str, partial_ones: Sequence[str] = ()) -> Style:
    """A mode of batch norm and each partial start have a colour of their own; else it is that of the scheme."""
    scheme, _, mode = start.partition(" bn=")
    if mode:
        return MODES[mode]
    if start not in partial_ones:
        return style_of(scheme.split(" ")[0])
    place = partial_ones.index(start)
    deeper = colormaps[MAP](0.85 * place / max(1, len(partial_ones) - 1))  # lighter for more stages
    return replace(style_of("pretrained", 1 + place), colour=to_hex(deeper))


def draw_lines(axes: Axes, drawn: Sequence[Line], column: str, until: float | None = None) -> None:
    """Draw curves on one panel, up to a step."""
    for line in drawn:
        rows = line.rows if until is None else line.rows[line.rows["step"] <= until]
        over = rows.groupby("step")[column].agg(["mean", "std"])
        steps, mean, std = (np.asarray(values, dtype=float) for values in (over.index, *over.to_numpy().T))
        look: dict[str, Any] = {"color": line.style.colour, "alpha": line.opacity, "label": line.label}
        if line.is_reference:
            axes.plot(steps, mean, linestyle="--", linewidth=1.1, **look)
            continue
        every = max(1, len(steps) // 10)  # a marker at each of 100 evaluations would hide the dashes
        axes.plot(
            steps, mean, linestyle=line.style.dash, marker=line.style.marker, markersize=4, markevery=every, **look
        )
        if not line.has_band:
            continue
        low, high = np.maximum(mean - std, 0), np.minimum(mean + std, 1)  # metrics lie between 0 and 1
        axes.fill_between(steps, low, high, color=line.style.colour, alpha=0.12 * line.opacity, linewidth=0)
    plain(axes)


def courses(drawn: Sequence[Line], column: str, title: str, until: Mapping[str, float | None]) -> Figure:
    """Panels side by side that show the same curves, each up to a step.

    Args:
        drawn: curves.
        column: of the frame.
        title: of the metric.
        until: title of every panel -> its last step; None is the whole course.
    """
    figure = sheet(PANEL_IN, [line.label for line in drawn])
    panels = figure.subplots(1, len(until), sharey=True, squeeze=False)[0]
    for axes, (what, end) in zip(panels, until.items(), strict=True):
        draw_lines(axes, drawn, column, end)
        axes.set(xlabel="optimiser steps", title=what if len(until) > 1 else "")
    panels[0].set_ylabel(f"held-out {title}")
    legend_below(figure, panels[0], "start (n seeds)")
    return finished(figure)


def by_size(frame: pd.DataFrame, column: str, title: str) -> Figure:
    """All data sizes on one panel, lighter for fewer images (Figure 13)."""
    sizes = sorted(frame["size"].dropna().unique())
    drawn = [
        Line(
            f"{start}, {size:,.0f} images",
            frame[(frame["start"] == start) & (frame["size"] == size)],
            _style(start),
            opacity=FAINT + (1 - FAINT) * place / max(1, len(sizes) - 1),
            has_band=False,  # nine would hide the lines
        )
        for start in STARTS
        for place, size in enumerate(sizes)
    ]
    drawn = [line for line in drawn if len(line.rows)]
    figure = sheet(PANEL_IN + 0.6, [line.label for line in drawn])
    axes = figure.subplots()
    draw_lines(axes, drawn, column)
    axes.set(xlabel="optimiser steps", ylabel=f"held-out {title}")
    legend_below(figure, axes, "start and images, lighter for fewer")
    return finished(figure)


def by_disease(frame: pd.DataFrame, positives: Mapping[str, int]) -> Figure:
    """One small panel per disease, by name, with its positives among the test images (Figure 6)."""
    names = [column.removeprefix("auc:") for column in frame.columns if str(column).startswith("auc:")]
    known = [name for name in names if np.isfinite(frame[f"auc:{name}"].to_numpy(np.float64)).any()]
    drawn = lines(frame, STARTS)
    columns = max(1, min(SMALL_COLUMNS, len(known)))
    rows = -(-len(known) // columns)
    figure = sheet(2.2 * rows if rows > 1 else PANEL_IN, [line.label for line in drawn])
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
    for axes, name in zip(panels, known, strict=False):
        draw_lines(axes, drawn, f"auc:{name}")
        axes.set_title(f"{name.replace('_', ' ')} ({positives.get(name, 0)} positive)", fontsize=9)
    for axes in panels[len(known) :]:
        axes.set_axis_off()
    for axes in panels[max(0, len(known) - columns) : len(known)]:
        axes.set_xlabel("optimiser steps")
        axes.tick_params(labelbottom=True)  # the lowest of its column, above an empty place
    for axes in panels[: len(known) : columns]:
        axes.set_ylabel("held-out AUC")
    legend_below(figure, panels[0], "start (n seeds)")
    return finished(figure)


def along_training(gabor: pd.DataFrame) -> Figure:
    """Share of Gabor-like filters along training beside chance, over seeds (Figure 14's number)."""
    along = gabor[gabor["when"] != "difference"]
    over = along.groupby("step")["share"].agg(["mean", "std", "count"]).sort_index()
    figure = sheet(PANEL_IN, ["share", "chance"])
    axes = figure.subplots()
    style = SCHEMES["random"]
    axes.errorbar(
        over.index, over["mean"], yerr=over["std"].fillna(0), color=style.colour, marker=style.marker, capsize=3,
        label=f"random, mean ± sd over {int(over['count'].max())} seeds",
    )  # fmt: skip
    axes.axhline(
        CHANCE, color="#767676", linestyle=":", label=f"random phases of the same spectrum: {number(CHANCE, SHARE)}"
    )
    axes.set_xscale("symlog", linthresh=1, linscale=0.5)  # filters change early, and step 0 has no log
    axes.xaxis.set_major_formatter("{x:.0f}")
    top = min(1.02, max(0.3, 1.2 * float(over["mean"].max())))
    axes.set(xlabel="optimiser steps", ylabel="Gabor-like filters", xlim=(-0.2, None), ylim=(-0.02, top))
    plain(axes)
    legend_below(figure, axes, "")
    return finished(figure)


def shown(name: str, draw: Callable[[], Figure], caption: str, *, is_photo: bool = False) -> Picture:
    """A figure by the paper's number."""
    number = name.removeprefix("F").partition("-")[0]
    return Picture(name, draw, f"Figure {number} of the paper, here. {caption}", caption, is_photo)


class Courses:
    """The figures of curves of one recipe.

    Args:
        frames: part -> its frame, with sizes as counts.
        metric: that the recipe is judged by.
        batch: images per step.
    """

    def __init__(self, frames: Mapping[str, pd.DataFrame], metric: str, batch: int) -> None:
        self.frames, self.metric, self.batch = frames, judging(metric, []), batch

    def pictures(self) -> Iterator[Picture]:
        """Those whose parts have curves."""
        yield from self._of("t1", "F3", STARTS, (), early=True, what="Three starts early on.")
        yield from self._of("t1", "F11", STARTS, (), early=False, what="Three starts to the end.")
        scales = ("mean_var", "sampling", "shuffled")
        what = "The mean and variance of weights, their whole distribution, and their values in another order."
        yield from self._of("f4", "F4", scales, ("pretrained", "random"), early=True, what=what)
        modes = ("mean_var", "mean_var bn=mean_var", "mean_var bn=pretrained")
        for name, early in (("F5", True), ("F12", False)):
            what = "One colour for each way with batch norm."
            yield from self._of("f5", name, modes, ("pretrained", "random"), early=early, what=what)
        for part, name, rest in (("f10", "F10", "random"), ("f18", "F18", "mean_var")):
            if part in self.frames:
                starts = [start for start in self.frames[part]["start"].unique() if " upto " in start]
                what = f"Pretrained up to a stage, above it {rest}."
                yield from self._of(part, name, starts, ("pretrained", "random"), early=True, what=what)
        if "t2" in self.frames:
            draw = partial(by_size, self.frames["t2"], self.metric.column, self.metric.title)
            yield shown("F13", draw, "Every training size on one panel, lighter for fewer images.")
        if "t4" in self.frames:
            yield from self._by_amount()

    def _of(
        self, part: str, name: str, starts: Sequence[str], references: Sequence[str], *, early: bool, what: str
    ) -> Iterator[Picture]:
        if part not in self.frames:
            return
        frame = self.frames[part]
        frame = frame[frame["size"] == frame["size"].max()]  # the paper draws these of all images
        drawn = lines(frame, starts, references)
        quarter = float(frame["step"].max()) / 4  # the paper's own figures stop where the curves have met
        until = {f"first {quarter:g} steps": quarter} if early else {}
        dashed = f" Dashed: {' and '.join(references)}." if references else ""
        draw = partial(courses, drawn, self.metric.column, self.metric.title, {**until, WHOLE: None})
        yield shown(name, draw, f"{what}{dashed} Mean over seeds, their number in brackets; bands of one sd.")

    def _by_amount(self) -> Iterator[Picture]:
        """Figure 7: all images, and a tenth of them; the whole course and its first part."""
        frame = self.frames["t4"]
        sizes = sorted(frame["size"].dropna().unique())
        for name, size in {"F7a": sizes[-1], "F7b": sizes[0]}.items() if len(sizes) > 1 else [("F7", sizes[0])]:
            own = frame[frame["size"] == size]
            drawn = lines(own, STARTS, ("kaiming",))
            until = {WHOLE: None, f"first {ZOOM_EPOCHS} epochs": float(np.ceil(ZOOM_EPOCHS * size / self.batch))}
            draw = partial(courses, drawn, self.metric.column, self.metric.title, until)
            caption = f"{size:,.0f} images: the whole course and the first {ZOOM_EPOCHS} epochs. Dashed: kaiming."
            yield shown(name, draw, caption)
