"""The paper's figures of weights and representations, in its own layout and numbering."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from transfusion.filters import pictures
from transfusion.paper.published import STARTS
from transfusion.paper.sheets import along_training, shown
from transfusion.report.figures import stages, weights
from transfusion.report.figures.canvas import finished, plain, sheet
from transfusion.report.palette import SCHEMES
from transfusion.report.parts import Picture
from transfusion.report.table import evenly

Maps = NDArray[Any]  # (images, channels, height, width)
Layers = Mapping[str, Mapping[int, Tensor]]  # start -> step -> first layer
NUM_BINS = 60
MOST_STEPS = 8  # states of Figure 14 side by side
MOST_CHANNELS = 8  # of Figure 9


def at_the_start(layers: Layers) -> Figure:
    """First-layer filters before training and how their weights are spread, one sheet (Figure 2)."""
    figure = sheet(5.2, list(layers))
    grid = figure.subplots(2, len(layers), squeeze=False, height_ratios=[1.5, 1])
    edges = _edges([layer[0] for layer in layers.values()])
    for (start, by_step), above, below in zip(layers.items(), *grid, strict=True):
        _show(above, by_step[0], start)
        values = by_step[0].flatten().double().numpy()
        below.hist(values, bins=edges, color=SCHEMES[start].colour, label=start, density=True)
        below.set(xlabel="weight", ylabel="density", title=f"sd {values.std():.3g}")
        plain(below)
    return finished(figure)


def _edges(layers: list[Tensor]) -> NDArray[np.float64]:
    """Bins that hold nearly all weights of every start."""
    # one axis for all starts, as scale is what the figure compares; a few outliers must not make it all one bin
    wide = max(float(layer.double().abs().quantile(0.995)) for layer in layers)
    return np.linspace(-wide, wide, NUM_BINS + 1)


def _show(axes: Axes, layer: Tensor, title: str) -> None:
    axes.imshow(weights.mosaic(pictures(layer, layer)["before"]), interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize=10, loc="left")


def trained_filters(layers: Layers) -> Figure:
    """Before, after and difference of every start (Figure 8)."""
    both = {start: (by_step[0], by_step[max(by_step)]) for start, by_step in layers.items()}
    return weights.filters({start: pictures(*pair) for start, pair in both.items()})


def snapshots(by_step: Mapping[int, Tensor]) -> Figure:
    """First-layer filters at the kept steps of one training (Figure 14)."""
    steps = evenly(sorted(by_step), MOST_STEPS)
    figure = sheet(2.8 * -(-len(steps) // 4))
    panels = figure.subplots(-(-len(steps) // 4), 4, squeeze=False).ravel()
    for axes, step in zip(panels, steps, strict=False):
        _show(axes, by_step[step], f"step {step}")
    for axes in panels[len(steps) :]:
        axes.set_axis_off()
    return finished(figure)


def likeness(
    table: pd.DataFrame, blocks: list[str], images: Maps | None, maps: Mapping[str, tuple[Maps, Maps]]
) -> Figure:
    """Six networks at four blocks, what training changes by stage, and activations, one sheet (Figure 9).

    Args:
        table: comparisons of one measure, of the paper's three starts.
        blocks: the stages of the heatmaps, at most four.
        images: (2, height, width, channels), or None where no activations were kept.
        maps: start -> activations before and after training, channels matched.
    """
    figure = Figure(figsize=(10, 7.4 if maps else 6.2), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[1.25, 1])
    above, below = parts
    panels = above.subplots(1, len(blocks), squeeze=False)[0]
    names = stages.networks_of(table)
    for place, (axes, stage) in enumerate(zip(panels, blocks, strict=True)):
        own = table[table["stage"] == stage]
        drawn = stages.draw_heatmap(axes, stages.matrix_of(own, names), names, labelled=(place == 0, True))
        axes.set_title(f"{stage} (chance {own['baseline'].mean():.2f})", fontsize=9)
    above.colorbar(drawn, ax=list(panels), label="CCA similarity", shrink=0.8)
    halves = below.subfigures(1, 2 if maps else 1, width_ratios=[1, 1.2] if maps else None, squeeze=False)[0]
    _change(halves[0].subplots(), table)
    if maps and images is not None:
        _activations(halves[1], images, maps)
    return finished(figure)


def _change(axes: Axes, table: pd.DataFrame) -> None:
    """Similarity before and after training, by stage."""
    own = table[(table["a_run"] == table["b_run"]) & (table["a_when"] == "before") & (table["b_when"] == "after")]
    order = list(dict.fromkeys(own["stage"]))
    for start in STARTS:
        over = own[own["a_start"] == start].groupby("stage")["value"].agg(["mean", "std"]).reindex(order)
        style = SCHEMES[start]
        look: dict[str, Any] = {"color": style.colour, "linestyle": style.dash, "marker": style.marker}
        axes.errorbar(range(len(order)), over["mean"], yerr=over["std"].fillna(0), capsize=3, label=start, **look)
    axes.set_xticks(range(len(order)), order, parse_math=False)
    axes.set(ylabel="similarity of before and after", ylim=(0, 1.02))
    plain(axes)
    axes.legend(frameon=False, fontsize=8)


def _activations(figure: Any, images: Maps, maps: Mapping[str, tuple[Maps, Maps]]) -> None:
    """One image, and the same channels of every start before and after training."""
    grid = figure.subplots(2, 1 + len(maps), squeeze=False)
    for row, when in enumerate(("before", "after")):
        if row == 0:  # the image is the same before and after
            stages.draw_picture(grid[row][0], images[0])
        for axes, (start, both) in zip(grid[row][1:], maps.items(), strict=True):
            axes.imshow(stages.tiled(np.asarray(both[row][0], dtype=float), columns=2), cmap="gray")
            axes.set_title(f"{start}, {when}", fontsize=8)
    for axes in grid.ravel():
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)


def matched(maps: Mapping[str, tuple[Maps, Maps]]) -> dict[str, tuple[Maps, Maps]]:
    """The channels of every start in the order of the first start's that they resemble most.

    Channels of two trainings have no common order; they are paired by the correlation of their maps over all images,
    before training, each used once.

    Examples:
        >>> first = np.random.default_rng(0).random((2, 3, 4, 4))
        >>> found = matched({"a": (first, first), "b": (first[:, ::-1], first[:, ::-1])})
        >>> bool((found["b"][0] == first).all())
        True
    """
    reference = next(iter(maps.values()))[0]
    found = {}
    for start, (before, after) in maps.items():
        # by the maps before training: matched after it, starts would look as alike as the matching makes them
        order = linear_sum_assignment(-_correlations(reference, before))[1][:MOST_CHANNELS]
        found[start] = (before[:, order], after[:, order])
    return found


def _correlations(one: Maps, other: Maps) -> NDArray[np.float64]:
    """Between the channels of two stacks of maps of the same images, (channels, channels)."""
    flat = [np.moveaxis(np.asarray(maps, dtype=float), 1, 0).reshape(maps.shape[1], -1) for maps in (one, other)]
    centred = [rows - rows.mean(axis=1, keepdims=True) for rows in flat]
    # a dead channel has no direction: it correlates 0 with all, and takes what is left
    unit = [rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12) for rows in centred]
    correlations: NDArray[np.float64] = unit[0] @ unit[1].T
    return correlations


def filters_of(layers: Layers, part: str) -> Iterator[Picture]:
    """Figures 2 and 8, of one data set."""
    own = {start: layers[start] for start in STARTS if start in layers}
    if not own:
        return
    if part == "t1":
        yield shown("F2", partial(at_the_start, own), "First-layer filters before training, one seed.", is_photo=True)
    whole = {start: by_step for start, by_step in own.items() if len(by_step) > 1}
    if whole:
        caption = "First-layer filters before and after training and what changed, on a scale of its own; one seed."
        name = "F8" if part == "t1" else "F8-chest"
        yield shown(name, partial(trained_filters, whole), caption, is_photo=True)


def filters_along(by_step: Mapping[int, Tensor], gabor: pd.DataFrame) -> Iterator[Picture]:
    """Figure 14: what the filters look like, and how many are Gabor-like."""
    yield shown("F14", partial(snapshots, by_step), "First-layer filters along a training from random.", is_photo=True)
    if len(gabor):
        caption = "Gabor-like share along the same trainings, beside what chance gives."
        yield shown("F14-share", partial(along_training, gabor), caption)


def dynamics(table: pd.DataFrame) -> Iterator[Picture]:
    """Figures 15 to 17: how soon each stage is what it ends as, one figure per start."""
    along = table[(table["kind"] == "dynamics") & (table["a_run"] == table["b_run"])]
    for name, start in zip(("F15", "F16", "F17"), STARTS, strict=True):
        own = along[along["a_start"] == start]
        if len(own):
            caption = f"Similarity of each stage along training with its end, {start}; mean over seeds."
            yield shown(name, partial(_of_one_start, own), caption)


def _of_one_start(own: pd.DataFrame) -> Figure:
    figure = stages.dynamics(own)
    figure.axes[0].set_ylim(0, 1.02)  # the same for all three starts
    return figure
