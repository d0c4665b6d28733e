"""Names and tables of a study's starts: mean and standard deviation over seeds, at a few steps."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from transfusion.metrics import AUC, Metric
from transfusion.verdict.curves import read, with_starts
from transfusion.verdict.numbers import mean_sd

NUM_COLUMNS = 6  # evaluations shown; the last is always among them
Item = TypeVar("Item")


@dataclass(frozen=True)
class Row:
    """One start: its name, the runs behind the last cell, the cells, and the means that they show."""

    name: str
    n: int
    cells: tuple[str, ...]
    means: tuple[float, ...]


@dataclass(frozen=True)
class CurveTable:
    """Mean and standard deviation over seeds of a metric, one row per start.

    Prints as plain text for a terminal.
    """

    metric: Metric
    steps: tuple[int, ...]
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, frame: pd.DataFrame, metric: Metric = AUC) -> CurveTable:
        """Summarise a frame of ``Study.frame`` at up to six steps."""
        steps = evenly(sorted(int(step) for step in frame["step"].unique()), NUM_COLUMNS)
        rows = []
        for name, runs in frame.groupby(with_sizes(frame), sort=False):
            values = [runs.loc[runs["step"] == step, metric.column].dropna() for step in steps]
            cells, means = tuple(mean_sd(value) for value in values), tuple(float(value.mean()) for value in values)
            rows.append(Row(str(name), len(values[-1]), cells, means))
        return cls(metric, tuple(steps), tuple(rows))

    def __str__(self) -> str:
        table = Table(box=box.SIMPLE)
        table.add_column("start")
        for heading in ("n", *(f"step {step}" for step in self.steps)):
            table.add_column(heading, justify="right")
        for row in self.rows:
            table.add_row(row.name, str(row.n), *row.cells)
        text = io.StringIO()
        Console(width=120, file=text).print(table)  # fixed: a log file has no width, and must not wrap
        lines = [line.rstrip() for line in text.getvalue().splitlines()]
        title = f"{self.metric.title} on held-out images, mean ± sd over seeds"
        return "\n".join([title, *filter(None, lines)])


def with_sizes(frame: pd.DataFrame) -> pd.Series:
    """Names of the starts, with the number of training images where it is not all of them."""
    names = with_starts(frame)["start"]
    sized: pd.Series = names.where(frame["size"].isna(), names + ", " + frame["size"].astype(str) + " images")
    return sized


def schemes_of(frame: pd.DataFrame) -> dict[str, str]:
    """Start -> scheme, in the order of a frame of ``with_starts``."""
    first = frame.drop_duplicates("start")
    return dict(zip(first["start"].astype(str), first["scheme"].astype(str), strict=True))


def finals(frame: pd.DataFrame, metric: Metric = AUC) -> pd.DataFrame:
    """The end of every complete run, see ``Curve.final``.

    Returns:
        Columns ``run start scheme size`` and the metric, one row per run.
    """
    rows = [
        {"run": curve.run, "start": start.name, "scheme": start.scheme, "size": grid.size, metric.column: curve.final}
        for grid in read(frame, metric.column, metric.picked_by)
        for start in grid.starts
        for curve in grid.complete(start.name).values()
    ]
    ended: pd.DataFrame = pd.DataFrame(rows, columns=["run", "start", "scheme", "size", metric.column])
    typed: pd.DataFrame = ended.astype({"size": "Int64"})  # an integer that may be missing: None is all images
    return typed


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of some items, evenly spread, the first and the last among them.

    Examples:
        >>> evenly([0, 1, 2, 3, 4], 3)
        [0, 2, 4]
    """
    places = np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int))
    return [items[place] for place in places]
