"""Sections on two sets of weights: stage by stage, every stage with every stage, and first-layer filters."""

from __future__ import annotations

import io
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from torch import Tensor

from transfusion import filters
from transfusion.report.figures.stages import MAP
from transfusion.report.figures.weights import MOST_FILTERS, mosaic
from transfusion.report.palette import SCHEMES
from transfusion.report.parts import Cell, Listing, Part, Picture, Section, Table
from transfusion.similarity.cautions import Caution, Ingredient, unpacked
from transfusion.verdict.likeness import above_chance

MEASURES_ABREAST = 3  # of the printed table, which is 120 characters wide
SIDES = {"x": "A", "y": "B"}


@dataclass(frozen=True, eq=False)
class ComparisonTable:
    """A frame of ``compare`` of two networks, one row per stage. Prints as plain text for a terminal."""

    frame: pd.DataFrame

    def __str__(self) -> str:
        measures = list(dict.fromkeys(self.frame["measure"]))
        blocks = [self._block(measures[i : i + MEASURES_ABREAST]) for i in range(0, len(measures), MEASURES_ABREAST)]
        return "\n".join(["Similarity of A and B; chance is the same with images re-matched", *blocks])

    def _block(self, measures: Sequence[str]) -> str:
        table = RichTable(box=box.SIMPLE)
        table.add_column("stage")
        for heading in ("n", *(text for name in measures for text in (name, "chance"))):
            table.add_column(heading, justify="right")
        for stage, rows in self.frame.groupby("stage", sort=False):
            own = rows.set_index("measure")
            cells = (f"{own.loc[m, key]:.3f}" for m in measures for key in ("value", "baseline"))
            table.add_row(str(stage), f"{own['n'].iloc[0]:,}", *cells)
        text = io.StringIO()
        Console(width=120, file=text).print(table)
        lines = [line.rstrip() for line in text.getvalue().splitlines()]
        return "\n".join(filter(None, lines))


def warnings_of(frame: pd.DataFrame) -> list[str]:
    """Reasons to doubt values: one line per measure and caution, for all stages that it concerns.

    A number that differs between stages is given as a range.
    """
    found: dict[tuple[Hashable, ...], list[tuple[str, Caution]]] = {}
    for row in frame.sort_values("measure", kind="stable").itertuples():
        for caution in unpacked(str(row.cautions)):
            # cautions that differ in their numbers are one line; those that differ in a word say different things
            words = tuple(part for part in caution.parts if isinstance(part, str))
            key = row.measure, caution.code, caution.side, words
            found.setdefault(key, []).append((str(row.stage), caution))
    stages = list(dict.fromkeys(frame["stage"]))
    return [
        f"{key[0]} at {_among([stage for stage, _ in seen], stages)}: {_merged(seen)}" for key, seen in found.items()
    ]


def _merged(seen: Sequence[tuple[str, Caution]]) -> str:
    """One sentence for cautions that differ in their numbers only; the measures speak of x and y."""
    first = seen[0][1]
    parts = [_reach(values) for values in zip(*(caution.parts for _, caution in seen), strict=True)]
    return Caution(first.code, parts, SIDES.get(first.side, ""))


def _reach(values: Sequence[Ingredient]) -> str:
    if isinstance(values[0], str):
        return values[0]
    low, high = min(map(float, values)), max(map(float, values))
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _among(some: Sequence[str], stages: Sequence[str]) -> str:
    """Names of stages; three or more neighbours by the first and the last."""
    if len(stages) > 1 and len(some) == len(stages):
        return "every stage"
    places = enumerate(sorted(map(stages.index, some)))
    # of neighbours, the place among all stages exceeds the place among these by the same number
    runs = [[stages[place] for _, place in run] for _, run in groupby(places, lambda at: at[1] - at[0])]
    named = (", ".join(run) if len(run) < 3 else f"{run[0]} to {run[-1]}" for run in runs)
    return ", ".join(named)


def said(frame: pd.DataFrame) -> list[str]:
    """Where A and B are most and least alike, by the first measure, and where no conclusion is possible.

    Args:
        frame: as ``compare`` gives it, of two networks.

    Returns:
        A sentence each.
    """
    first = frame[frame["measure"] == frame["measure"].iloc[0]]
    shares = above_chance(first)
    known, rows = shares.dropna().to_numpy(), first[shares.notna()]
    ends = (
        [("are most alike ", known.argmax()), ("are least alike ", known.argmin())]
        if len(known) > 1
        else [("", 0)] * len(known)
    )
    told = [_sentence(how, rows.iloc[int(place)], float(known[place])) for how, place in ends]
    full = first[first["value"].notna() & shares.isna()]
    return told if full.empty else [*told, _full(full, list(first["stage"]))]


def _sentence(how: str, row: pd.Series, share: float) -> str:
    way = f"{share:.0%} of the way from chance to identity" if share > 0 else "no more than chance"
    return (
        f"A and B {how}at stage {row['stage']}: {row['measure']} {row['value']:.3f}, where chance gives "
        f"{row['baseline']:.3f} ({way}; n = {row['n']:,} samples of {row['images']} images)."
    )


def _full(rows: pd.DataFrame, stages: Sequence[str]) -> str:
    low, high = (f"{value:.2f}" for value in (rows["baseline"].min(), rows["baseline"].max()))
    chance = low if low == high else f"{low} to {high}"
    return (
        f"No conclusion for {_among(list(rows['stage']), stages)}: chance alone gives a {rows['measure'].iloc[0]} "
        f"of {chance} there, with so few samples. Use more images (--images), or a measure that needs fewer "
        "(--measures linear_cka)."
    )


def sections(
    frame: pd.DataFrame, grid: pd.DataFrame | None = None, first_layers: tuple[Tensor, Tensor] | None = None
) -> list[Section]:
    """What the page of a comparison holds.

    Args:
        frame: as ``compare`` gives it, of two networks.
        grid: as ``across`` gives it.
        first_layers: weights (N, channels, height, width) of both first convolutions.

    Returns:
        One section on the stages, and one on each of the others that is given.
    """
    found = [Section("stages", "Stage by stage", tuple(_stage_parts(frame)))]
    if grid is not None:
        found.append(Section("across", "Every stage against every stage", (_grid_part(grid),)))
    if first_layers is not None:
        found.append(Section("filters", "First-layer filters", (_filter_picture(*first_layers),)))
    return found


def _stage_parts(frame: pd.DataFrame) -> Iterator[Part]:
    low, high = int(frame["n"].min()), int(frame["n"].max())
    n = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    yield Picture(
        "similarity",
        partial(lines, frame),
        f"Similarity of A and B by stage, n = {n} samples of {frame['images'].iloc[0]} images. Dotted: "
        "the same with images re-matched, never positions.",
        " ".join(said(frame)) or "No stage has a value.",
    )
    numbers = {"similarity": "value", "chance": "baseline", "reverse": "reverse"}
    note = " Reverse is the similarity of B with A, which differs from that of A with B for PWCCA only."
    if not (frame["measure"] == "pwcca").any():
        note = ""
        del numbers["reverse"]
    yield Table(
        "stages",
        f"Similarity of A and B, and what chance gives. Ranks are the dimensions that were compared.{note}",
        ("stage", "measure", *numbers, "rank A", "rank B", "n"),
        tuple(_cells(row, list(numbers.values())) for _, row in frame.iterrows()),
    )
    if warned := warnings_of(frame):
        yield Listing(tuple(warned), "Warnings")


def _cells(row: pd.Series, keys: Sequence[str]) -> tuple[Cell | str, ...]:
    numbers = (Cell.number(float(row[key])) for key in keys)
    counts = (Cell.number(float(row[key]), ",.0f") for key in ("rank_a", "rank_b", "n"))
    return (str(row["stage"]), str(row["measure"]), *numbers, *counts)


def lines(frame: pd.DataFrame) -> Figure:
    """Similarity by stage, one line per measure, with what chance gives dotted in the same colour."""
    stages = list(dict.fromkeys(frame["stage"]))
    figure = Figure(figsize=(max(6.0, 0.6 * len(stages) + 3), 4), layout="constrained")
    axes = figure.subplots()
    styles = list(SCHEMES.values())  # borrowed: colours that can be told apart, with markers; no scheme is drawn here
    for place, (measure, rows) in enumerate(frame.groupby("measure", sort=False)):
        style = styles[place % len(styles)]
        at = [stages.index(stage) for stage in rows["stage"]]
        axes.plot(at, rows["value"], color=style.colour, marker=style.marker, label=str(measure))
        axes.plot(at, rows["baseline"], color=style.colour, marker=style.marker, markersize=3, linestyle=":", alpha=0.7)
    axes.set_xticks(range(len(stages)), stages, rotation=45 if len(stages) > 6 else 0)
    axes.set(xlabel="stage", ylabel="similarity of A and B (dotted: chance)", ylim=(min(0, frame["value"].min()), 1.03))
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _grid_part(grid: pd.DataFrame) -> Picture | str:
    known = grid[grid["value"].notna()]
    if known.empty:
        return (
            "No two stages have a debiased CKA: it takes four images and variation between them "
            f"(n = {grid['n'].max()} images). Use more images (--images)."
        )
    best = grid.loc[known.groupby("stage_a", sort=False)["value"].idxmax()]
    pairs = ", ".join(f"{row.stage_a} with {row.stage_b} ({row.value:.2f})" for row in best.itertuples())
    without = "" if len(known) == len(grid) else " A dash: a stage that is the same for all images has no value."
    return Picture(
        "across",
        partial(heatmap, grid),
        f"Debiased linear CKA of every stage of A with every stage of B, each averaged over positions, n = "
        f"{int(grid['n'].iloc[0])} images; chance gives 0.{without}",
        f"Each stage of A is most like: {pairs}.",
    )


def heatmap(grid: pd.DataFrame) -> Figure:
    """Every stage of A (down) against every stage of B (across)."""
    table = grid.pivot(index="stage_a", columns="stage_b", values="value")
    table = table.loc[list(dict.fromkeys(grid["stage_a"])), list(dict.fromkeys(grid["stage_b"]))]
    figure = Figure(figsize=(0.55 * table.shape[1] + 3, 0.5 * table.shape[0] + 2), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(table.to_numpy(), vmin=0, vmax=1, cmap=MAP)
    axes.set_xticks(range(table.shape[1]), table.columns, rotation=60)
    axes.set_yticks(range(table.shape[0]), table.index)
    axes.set(xlabel="stage of B", ylabel="stage of A")
    for (down, right), value in np.ndenumerate(table.to_numpy()):
        colour = "white" if value <= 0.6 else "black"
        text = "-" if np.isnan(value) else f"{value:.2f}"
        axes.text(right, down, text, ha="center", va="center", fontsize=7, color=colour)
    figure.colorbar(image, ax=axes, label="debiased CKA")
    return figure


def _filter_picture(before: Tensor, after: Tensor) -> Picture:
    change = np.median(filters.relative_change(before.numpy(), after.numpy()))  # of all filters, not of those shown
    num = min(len(before), MOST_FILTERS)
    return Picture(
        "filters",
        partial(filter_mosaic, before[:num], after[:num]),
        f"{num} of {len(before)} first-layer filters of A and of B, on one scale, and B minus A on its own; grey is 0. "
        f"Median relative change of a filter: {change:.2f}.",
        f"First-layer filters of both; the median filter of B differs from A's by {change:.0%} of its size.",
        is_photo=True,
    )


def filter_mosaic(before: Tensor, after: Tensor) -> Figure:
    """Filters (N, channels, height, width) of A, of B and their difference, as mosaics; the last on its own scale."""
    shown = filters.pictures(before.numpy(), after.numpy())
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    titles = {"before": "A", "after": "B", "difference": "B minus A"}
    for axes, (key, title) in zip(figure.subplots(1, 3), titles.items(), strict=True):
        axes.imshow(mosaic(shown[key]), vmin=0, vmax=1, cmap="gray")
        axes.set_title(title)
        axes.set_axis_off()
    return figure
