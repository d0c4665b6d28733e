"""Tables 1 to 5 in the paper's layout, with ours beside every number, and how they agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from transfusion.paper.published import STARTS, TABLES, Agreement, agreement, contrast_agreement
from transfusion.paper.published import Cell as Printed
from transfusion.paper.published import Table as PrintedTable
from transfusion.paper.rules import Outcome
from transfusion.report.parts import Cell, Section, Table
from transfusion.verdict.curves import read

WORDS = {Outcome.REPLICATED: "agrees", Outcome.CONTRADICTED: "differs", Outcome.CANNOT_TELL: "open"}
PAPER_NAMES = {"pretrained": "ImageNet Transfer", "mean_var": "Mean Var Init", "random": "Random Init"}
DONORS = {"T4": {"pretrained": "CIFAR100"}}  # where the paper names the column after another donor than ImageNet
PERCENT = ("T1", "T2")  # tables whose numbers the paper prints as percentages
CIFAR10_COUNT = 50_000
Row = tuple[Cell | str, ...]
Finals = Mapping[str, Mapping[int, float]]  # start -> seed -> final performance


@dataclass(frozen=True)
class Beside:
    """One of the paper's tables with what runs of ours gave.

    Attributes:
        name: T1 to T5.
        ours: column -> start -> seed -> final performance; columns that the paper lacks have a name of their own.
        positives: disease -> positive test images; empty where columns are no diseases.
        has_levels: whether levels may be set beside the paper's: its own data. Else only contrasts are judged.
    """

    name: str
    ours: Mapping[str, Finals]
    positives: Mapping[str, int]
    has_levels: bool

    @property
    def printed(self) -> PrintedTable:
        """The paper's."""
        return TABLES[self.name]

    def section(self) -> Section:
        """The table in the paper's layout, and how each number or contrast agrees."""
        number = self.name[1:]
        unit = "in percent" if self.name in PERCENT else "as fractions"
        caption = f"Table {number}: {self.printed.title}, {unit}. Paper | here, mean ± sd over seeds (n)."
        names = PAPER_NAMES | DONORS.get(self.name, {})
        columns = ("column", *(["positive"] if self.positives else []), *(names[start] for start in STARTS))
        layout = Table(self.name.lower(), caption, columns, tuple(self._layout()))
        return Section(self.name.lower(), f"Table {number}: {self.printed.title}", (layout, *self._judged()))

    def _layout(self) -> Iterator[Row]:
        for column in dict.fromkeys((*self.printed.cells, *self.ours)):
            positives = [Cell.number(self.positives.get(column, np.nan), ",.0f")] if self.positives else []
            cells = [self._both(self._cell(column, start), self._finals(column, start)) for start in STARTS]
            yield (column.replace("_", " "), *positives, *cells)

    def _cell(self, column: str, start: str) -> Printed | None:
        return self.printed.cells.get(column, {}).get(start)

    def _finals(self, column: str, start: str) -> Mapping[int, float]:
        return self.ours.get(column, {}).get(start, {})

    def _both(self, cell: Printed | None, finals: Mapping[int, float]) -> Cell:
        """The printed number and ours, sorted by ours."""
        values = list(finals.values())
        if not values:
            return Cell(f"{self._printed(cell)} | -", np.nan)
        scale, form = (100, ".1f") if self.name in PERCENT else (1, ".3f")
        sd = f" ± {np.std(values, ddof=1) * scale:{form}}" if len(values) > 1 else ""
        mean = float(np.mean(values))
        return Cell(f"{self._printed(cell)} | {mean * scale:{form}}{sd} ({len(values)})", mean)

    def _printed(self, cell: Printed | None) -> str:
        if cell is None:
            return "-"
        # as many digits as the paper prints, which says how far its spread was rounded
        digits = max(0, round(-np.log10(2 * cell.half_digit)) - (2 if self.name in PERCENT else 0))
        scale = 100 if self.name in PERCENT else 1
        return f"{cell.mean * scale:.{1 if scale == 100 else 3}f} ± {cell.sd * scale:.{digits}f}"

    def _judged(self) -> Iterator[Table]:
        what = "Numbers" if self.has_levels else "Differences between starts"
        why = "" if self.has_levels else " Levels are those of other images and are not compared."
        caption = (
            f"{what}, paper and here: the difference with its 95 % interval. It agrees if the two are equal within "
            f"0.005, differs if the interval lies outside, and is open otherwise.{why}"
        )
        rows = tuple(self._levels() if self.has_levels else self._contrasts())
        columns = ("column", "of", "paper", "here", "difference", "")
        if rows:
            yield Table(f"{self.name.lower()}-judged", caption, columns, rows, is_folded=len(rows) > 20)

    def _levels(self) -> Iterator[Row]:
        for column, start in ((column, start) for column in self.printed.cells for start in STARTS):
            cell, values = self._cell(column, start), list(self._finals(column, start).values())
            if cell is not None and len(values) > 1:
                yield _judged(column, start, cell.mean, float(np.mean(values)), agreement(values, cell))

    def _contrasts(self) -> Iterator[Row]:
        for column, (a, b) in ((column, pair) for column in self.printed.cells for pair in combinations(STARTS, 2)):
            one, other = self._cell(column, a), self._cell(column, b)
            ours, theirs = self._finals(column, a), self._finals(column, b)
            gaps = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
            if one is not None and other is not None and len(gaps) > 1:
                found = contrast_agreement(gaps, one, other)
                yield _judged(column, f"{a} - {b}", one.mean - other.mean, float(np.mean(gaps)), found)


def _judged(column: str, what: str, paper: float, here: float, found: Agreement) -> Row:
    numbers, gap = (Cell.number(paper, "+.3f"), Cell.number(here, "+.3f")), found.difference
    ends = "" if np.isnan(gap.low) else f" ({gap.low:+.3f} to {gap.high:+.3f})"
    difference = Cell(f"{gap.estimate:+.3f}{ends}", gap.estimate)
    return (column.replace("_", " "), what, *numbers, difference, WORDS[found.outcome])


def finals(frame: pd.DataFrame, metric: str, size: float | None = None) -> Finals:
    """Final performance of the complete runs of a size (None is the largest), by start and seed; {} without a value."""
    chosen = frame if size is None else frame[frame["size"] == size]
    if metric not in chosen or not np.isfinite(chosen[metric].to_numpy(np.float64)).any():
        return {}
    grid = read(chosen, metric)[-1]
    complete = {
        start.name: {seed: curve.final for seed, curve in runs.items() if curve.is_complete(grid.budget)}
        for start, runs in grid.starts.items()
    }
    return {start: values for start, values in complete.items() if values}


def columns_of(name: str, frame: pd.DataFrame) -> dict[str, Finals]:
    """Ours by the columns of a table of the paper."""
    table = TABLES[name]
    if name in ("T3", "T5"):
        found = {column: finals(frame, f"auc:{column}") for column in table.cells}
    elif name == "T1":
        found = {"all": finals(frame, table.metric)}
    else:
        sizes = sorted(frame["size"].dropna().unique())
        found = {_column(name, size, sizes): finals(frame, table.metric, size) for size in sizes}
    return {column: values for column, values in found.items() if values}


def _column(name: str, size: float, sizes: Sequence[float]) -> str:
    """The paper's column of a size: a share of CIFAR-10, or the same place among as many sizes."""
    if name == "T4":
        return f"{size / CIFAR10_COUNT:.0%}"
    columns = list(TABLES[name].cells)
    # the paper's 50k images are a sixth of its own: of other data the sixth stands in their column
    return columns[list(sizes).index(size)] if len(columns) == len(sizes) else f"{size:,.0f} images"
