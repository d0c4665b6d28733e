"""What the weights look like before and after training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from transfusion.report.figures.canvas import WIDTH_IN, finished, legend_below, log_axis, plain, sheet
from transfusion.report.palette import Style
from transfusion.verdict.inference import Floats

MOST_FILTERS = 64  # shown per panel
PANELS = 3  # side by side
PANEL_IN = 2.3


def filters(pictures: Mapping[str, Mapping[str, Floats]]) -> Figure:
    """First-layer filters, one row per start; before and after on one scale, their difference on its own.

    Grey (or the middle of each colour) is a weight of 0.

    Args:
        pictures: start -> what ``transfusion.filters.pictures`` gives. The first 64 filters of each are shown.

    Source:
        Paper, figure 8.
    """
    mosaics = {start: {name: mosaic(each) for name, each in shown.items()} for start, shown in pictures.items()}
    height, width, _ = next(iter(next(iter(mosaics.values())).values())).shape
    panel_in = (WIDTH_IN - 0.6) / PANELS
    figure = sheet((panel_in * height / width + 0.3) * len(mosaics))
    grid = figure.subplots(len(mosaics), PANELS, squeeze=False)
    for row, (start, shown) in zip(grid, mosaics.items(), strict=True):
        for axes, (name, picture) in zip(row, shown.items(), strict=True):
            axes.imshow(picture, interpolation="nearest")
            axes.set_axis_off()
            axes.set_title(f"{start}: {name}" if axes is row[0] else name, fontsize=10, loc="left")
    return finished(figure)


def histograms(stages: Mapping[str, tuple[Floats, Mapping[str, Floats]]], styles: Mapping[str, Style]) -> Figure:
    """Distributions of weights, one panel per stage, one line per start; density on a logarithmic axis.

    Args:
        stages: stage -> edges and density per start, as ``transfusion.filters.weight_histograms`` gives them.
        styles: start -> style.

    Source:
        Paper, figure 2.
    """
    rows = -(-len(stages) // PANELS)
    figure = sheet(PANEL_IN * rows + 0.4, list(styles))
    panels = figure.subplots(rows, PANELS, squeeze=False).ravel()
    for axes, (stage, (edges, densities)) in zip(panels, stages.items(), strict=False):
        for start, density in densities.items():
            look = {"edgecolor": styles[start].colour, "linestyle": styles[start].dash, "linewidth": 1.4}
            axes.stairs(density, edges, baseline=None, label=start, **look)
        _densities(axes, stage, list(densities.values()))
    for axes in panels[: len(stages) : PANELS]:
        axes.set_ylabel("density")
    for axes in panels[len(stages) :]:
        axes.set_axis_off()
    for axes in panels[max(0, len(stages) - PANELS) : len(stages)]:
        axes.set_xlabel("weight")
    legend_below(figure, panels[0], "start")
    return finished(figure)


def _densities(axes: Axes, stage: str, densities: Sequence[Floats]) -> None:
    plain(axes)
    axes.set_title(stage, fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    seen = np.concatenate(densities)
    low, high = seen[seen > 0].min(), seen.max()
    powers = np.arange(np.ceil(np.log10(low)), np.floor(np.log10(high)) + 1)
    log_axis(axes, "y", 10.0 ** powers[:: -(-len(powers) // 4) or 1], lambda value: f"{value:g}")
    axes.set_ylim(low / 2, high * 2)


def mosaic(pictures: Floats) -> Floats:
    """Filters (N, height, width, channels) side by side with a white line between, (height, width, 3)."""
    shown = np.broadcast_to(pictures[:MOST_FILTERS], (*pictures[:MOST_FILTERS].shape[:3], 3))
    columns = int(np.ceil(np.sqrt(len(shown))))
    rows = -(-len(shown) // columns)
    padded = np.pad(shown, ((0, rows * columns - len(shown)), (1, 0), (1, 0), (0, 0)), constant_values=1.0)
    tiles: Floats = padded.reshape(rows, columns, *padded.shape[1:]).swapaxes(1, 2)
    return tiles.reshape(rows * padded.shape[1], columns * padded.shape[2], 3)
