"""Figures of networks' representations, from a tidy frame of comparisons; see ``verdict.likeness.named``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from transfusion.report.palette import Dash, Style, style_of
from transfusion.report.table import evenly
from transfusion.verdict.numbers import measure_name

MOST_PANELS = 9  # more cannot be read on a page
MOST_NUMBERS = 8  # networks up to which the cells of a heatmap have numbers
MAP = "viridis"  # rises in lightness, so it survives greyscale and colour blindness
Images = NDArray[Any]


def shown_stages(table: pd.DataFrame) -> list[str]:
    """The stages of some comparisons that panels show: all, or as many as can be read."""
    return evenly(list(dict.fromkeys(table["stage"])), MOST_PANELS)


def heatmaps(table: pd.DataFrame) -> Figure:
    """Similarity of all pairs of networks of different seeds, before and after training, one panel per stage.

    Networks of one seed share random numbers, so a start is set beside itself and others of another seed, the mean over
    pairs of seeds. A start before against itself after training is of one run, the change that training made.

    Args:
        table: comparisons of kinds ``grid``, ``seeds``, ``untrained`` and ``across``, of one measure.

    Source:
        Paper, figure 9 and figure 14.
    """
    stages, names = shown_stages(table), networks_of(table)
    are_many = len(names) > MOST_NUMBERS
    columns = min(2 if are_many else 3, len(stages))
    rows = -(-len(stages) // columns)
    row_in = 0.19 * len(names) + 1.3 if are_many else 3.2  # a line of text for every network
    figure = Figure(figsize=(10, row_in * rows + 0.6), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for place, (panel, stage) in enumerate(zip(panels, stages, strict=False)):
        own = table[table["stage"] == stage]
        image = draw_heatmap(
            panel, matrix_of(own, names), names, labelled=(place % columns == 0, place >= len(stages) - columns)
        )
        panel.set_title(f"{stage} (chance {own['baseline'].mean():.2f})", fontsize=10)
    for panel in panels[len(stages) :]:
        panel.set_visible(False)
    figure.colorbar(image, ax=panels.tolist(), label=f"{_shown(table)}, mean", shrink=0.7)
    return figure


def change_lines(table: pd.DataFrame) -> Figure:
    """Similarity of each start before and after training, by stage: mean and standard deviation over seeds.

    Args:
        table: comparisons of kind ``grid``, of one measure.

    Source:
        Paper, figure 9.
    """
    figure, axes = _stage_axes(table)
    own = table[(table["a_run"] == table["b_run"]) & (table["a_when"] == "before") & (table["b_when"] == "after")]
    for place, (start, rows) in enumerate(own.groupby("a_start", sort=False)):
        style = style_of(str(rows["a_scheme"].iloc[0]), _variant(own, str(start)))
        _line(axes, rows, str(start), style, shift=0.06 * place)  # apart, or bars of equal height hide each other
    _finish(axes, table, "before and after training")
    return figure


def likeness_lines(table: pd.DataFrame, baseline: str) -> Figure:
    """Similarity of the trained networks of every two starts of different seeds, by stage, and of the baseline's own.

    Args:
        table: comparisons of kinds ``grid``, ``seeds`` and ``untrained``, of one measure.
        baseline: the start whose seeds are the yardstick.
    """
    figure, axes = _stage_axes(table)
    apart = apart_of(table)
    pairs = apart[apart["a_start"] != apart["b_start"]].groupby("pair", sort=False)
    colours = colormaps["plasma"](np.linspace(0.1, 0.8, max(1, len(pairs))))
    dashes: tuple[Dash, ...] = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)))
    for place, (pair, rows) in enumerate(pairs):
        # a pair has no scheme, so it takes no scheme's colour
        style = Style(to_hex(colours[place]), dashes[place % 4], "osDvPX^<"[place % 8])
        _line(axes, rows, str(pair), style, shift=0.05 * place)
    own = apart[(apart["a_start"] == baseline) & (apart["b_start"] == baseline)]
    if len(own):
        _line(axes, own, f"two seeds of {baseline}", Style("#000000", ":", "^"), shift=-0.05)
    unlearned = apart_of(table, "untrained")
    unlearned = unlearned[(unlearned["a_start"] == baseline) & (unlearned["b_start"] == baseline)]
    if len(unlearned):
        _line(axes, unlearned, f"two untrained {baseline}", Style("#8a5a00", (0, (1, 1)), "x"), shift=-0.1)
    _finish(axes, table, "after training")
    return figure


def apart_of(table: pd.DataFrame, kind: str = "seeds") -> pd.DataFrame:
    """Comparisons of networks of different seeds, with ``pair``: the two starts, whichever comes first.

    Args:
        table: comparisons of one measure.
        kind: ``seeds`` for trained networks, ``untrained`` for those before training.
    """
    apart = table[(table["kind"] == kind) & (table["a_seed"] != table["b_seed"])]
    order = {start: place for place, start in enumerate(dict.fromkeys([*table["a_start"], *table["b_start"]]))}
    pairs = [
        " and ".join(sorted(both, key=lambda start: order[start]))
        for both in zip(apart["a_start"], apart["b_start"], strict=True)
    ]
    named: pd.DataFrame = apart.assign(pair=pairs)
    return named


def dynamics(table: pd.DataFrame) -> Figure:
    """Similarity of the network along training with its end, by stage; one panel per start, mean over seeds.

    Args:
        table: comparisons of kind ``dynamics``, of one measure.

    Source:
        Paper, figures 15 to 17.
    """
    starts = list(dict.fromkeys(table["a_start"]))
    columns = min(3, len(starts))
    rows = -(-len(starts) // columns)
    figure = Figure(figsize=(10, 3.1 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True, sharex=True)
    stages = shown_stages(table)
    colours = colormaps[MAP](np.linspace(0, 0.85, len(stages)))
    for place, (panel, start) in enumerate(zip(panels.flatten(), starts, strict=False)):
        own = table[table["a_start"] == start]
        for stage, colour, marker in zip(stages, colours, "osDv^PX<>", strict=False):
            course = own[own["stage"] == stage].groupby("a_step")["value"].mean()
            end = own["b_step"].max()
            steps, values = [*course.index, end], [*course, 1.0]  # the end with itself, which is not computed
            panel.plot(steps, values, color=colour, marker=marker, markersize=4, label=stage)
        panel.set_xscale("symlog", linthresh=1, linscale=0.5)  # stages settle early, and step 0 has no log
        panel.xaxis.set_major_formatter("{x:.0f}")
        panel.set_title(f"{start} (n = {own['a_seed'].nunique()})", fontsize=10)
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_xlabel("optimiser steps" if place >= len(starts) - columns else "")
    panels[0, 0].set_ylabel(f"{_shown(table)} with the end")
    for panel in panels.flatten()[len(starts) :]:
        panel.set_visible(False)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    return figure


def activations(pictures: Images, maps: Mapping[str, tuple[Images, Images]]) -> Figure:
    """Activations of a stage for two images, before and after training, for every start.

    Args:
        pictures: (2, height, width, channels), uint8 or uint16.
        maps: start -> maps before and after, (2, channels, height, width) each; every map on a scale of its own.

    Source:
        Paper, figure 9, lower right.
    """
    figure = Figure(figsize=(10, 1.45 * 4 + 0.5), layout="constrained")
    panels = figure.subplots(4, 1 + len(maps), squeeze=False, width_ratios=[1, *[2.0] * len(maps)])
    for image in range(2):
        for row, when in enumerate(("before", "after")):
            line = panels[2 * image + row]
            if row == 0:
                draw_picture(line[0], pictures[image])
            line[0].set_ylabel("")
            for panel, (start, both) in zip(line[1:], maps.items(), strict=True):
                panel.imshow(tiled(np.asarray(both[row][image], dtype=float)), cmap="gray", interpolation="nearest")
                panel.set_title(start if image == row == 0 else "", fontsize=10)
            line[1].set_ylabel(when, fontsize=9)
    for panel in panels.flatten():
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    return figure


def draw_picture(axes: Axes, pixels: Images) -> None:
    """One panel: an image (height, width, channels) as it is, uint8 or uint16."""
    scale = float(np.iinfo(pixels.dtype).max)
    shown = np.asarray(pixels, dtype=float) / scale
    axes.imshow(shown[..., 0] if shown.shape[-1] == 1 else shown, cmap="gray", vmin=0, vmax=1)


def tiled(maps: NDArray[np.float64], columns: int = 4) -> NDArray[np.float64]:
    """Maps (channels, height, width) side by side, each from its own darkest to its own brightest; NaN between."""
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    scaled = (maps - low) / np.where(high > low, high - low, 1)
    gap = max(1, maps.shape[2] // 24)
    framed = np.pad(scaled, ((0, -len(maps) % columns), (0, gap), (0, gap)), constant_values=np.nan)
    rows = len(framed) // columns
    tiled: NDArray[np.float64] = framed.reshape(rows, columns, *framed.shape[1:]).swapaxes(1, 2)
    return tiled.reshape(rows * framed.shape[1], -1)


def networks_of(table: pd.DataFrame) -> list[tuple[str, str]]:
    """(start, when) of every network: all starts before training, then all after."""
    starts = list(dict.fromkeys([*table["a_start"], *table["b_start"]]))
    return [(start, when) for when in ("before", "after") for start in starts]


def matrix_of(own: pd.DataFrame, names: list[tuple[str, str]]) -> NDArray[np.float64]:
    """Means by network and network: of different seeds, and of before and after of one run."""
    apart = own["kind"].isin(("seeds", "untrained")) & (own["a_seed"] != own["b_seed"])
    apart |= (own["kind"] == "across") & (own["a_seed"] != own["b_seed"]) & (own["a_start"] != own["b_start"])
    change = (own["kind"] == "grid") & (own["a_run"] == own["b_run"])
    chosen = own[apart | change]
    values = np.full((len(names), len(names)), np.nan)  # NaN is left blank: same-seed pairs share random numbers
    place = {name: i for i, name in enumerate(names)}
    rows = [place[name] for name in zip(chosen["a_start"], chosen["a_when"], strict=True)]
    columns = [place[name] for name in zip(chosen["b_start"], chosen["b_when"], strict=True)]
    cells = pd.DataFrame({"i": np.minimum(rows, columns), "j": np.maximum(rows, columns), "value": chosen["value"]})
    for (i, j), value in cells.groupby(["i", "j"])["value"].mean().items():
        values[i, j] = values[j, i] = value
    return values


def draw_heatmap(
    axes: Axes, values: NDArray[np.float64], names: list[tuple[str, str]], labelled: tuple[bool, bool]
) -> AxesImage:
    """One panel: similarities of networks, with their names where ``labelled`` says (left, below)."""
    image = axes.imshow(values, vmin=0, vmax=1, cmap=MAP)
    labels = [f"{start}, {when}" for start, when in names]
    places = range(len(names))
    axes.set_yticks(places, labels if labelled[0] else [""] * len(names), fontsize=8, parse_math=False)
    axes.set_xticks(places, labels if labelled[1] else [""] * len(names), fontsize=8, rotation=90, parse_math=False)
    half = len(names) / 2 - 0.5
    axes.axhline(half, color="white", linewidth=1.5)
    axes.axvline(half, color="white", linewidth=1.5)
    if len(names) <= MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                colour = "black" if value > 0.6 else "white"
                axes.text(column, row, f"{value:.2f}".lstrip("0"), ha="center", va="center", fontsize=7, color=colour)
    return image


def _stage_axes(table: pd.DataFrame) -> tuple[Figure, Axes]:
    stages = list(dict.fromkeys(table["stage"]))
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots()
    axes.set_xticks(range(len(stages)), stages, rotation=0 if len(stages) < 10 else 60, parse_math=False)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _line(axes: Axes, rows: pd.DataFrame, label: str, style: Style, shift: float) -> None:
    """Mean and standard deviation by stage, with the number of comparisons in the label."""
    order = [tick.get_text() for tick in axes.get_xticklabels()]
    over_seeds = rows.groupby("stage")["value"].agg(["mean", "std", "count"]).reindex(order)
    axes.errorbar(
        np.arange(len(order)) + shift,
        over_seeds["mean"],
        yerr=over_seeds["std"].fillna(0),
        color=style.colour,
        linestyle=style.dash,
        marker=style.marker,
        markersize=5,
        capsize=3,
        label=f"{label} ({int(over_seeds['count'].max())})",
    )


def _finish(axes: Axes, table: pd.DataFrame, what: str) -> None:
    order = [tick.get_text() for tick in axes.get_xticklabels()]
    chance = table.groupby("stage")["baseline"].mean().reindex(order)
    axes.plot(range(len(order)), chance, color="#767676", linewidth=1, linestyle=(0, (1, 2)), label="chance")
    axes.set(xlabel="stage, from input to output", ylabel=f"{_shown(table)}, {what}", ylim=(0, 1.02))
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))


def _variant(rows: pd.DataFrame, start: str) -> int:
    """The place of a start among those of its scheme."""
    scheme = rows.loc[rows["a_start"] == start, "a_scheme"].iloc[0]
    return list(dict.fromkeys(rows.loc[rows["a_scheme"] == scheme, "a_start"])).index(start)


def _shown(table: pd.DataFrame) -> str:
    return measure_name(str(table["measure"].iloc[0]))
