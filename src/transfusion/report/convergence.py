"""The section on convergence: every run's curve, the figure for a paper, and the table."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from transfusion.report import figures
from transfusion.report.chart import chart_of_runs
from transfusion.report.material import Material
from transfusion.report.parts import Cell, Part, Picture, Section, Table
from transfusion.report.table import CurveTable


def section(material: Material) -> Section | None:
    """Chart, figures and table; None before the first evaluation."""
    if material.frame.empty:
        return None
    return Section(
        "convergence", "Convergence", (chart_of_runs(material), *_pictures(material.frame), _table(material.frame))
    )


def _pictures(frame: pd.DataFrame) -> Iterator[Part]:
    for size in frame["size"].drop_duplicates():
        whole = pd.isna(size)
        rows = frame[frame["size"].isna()] if whole else frame[frame["size"] == size]
        n = rows.groupby("name")["seed"].nunique()
        seeds = f"n = {n.min()}{'' if n.min() == n.max() else f' to {n.max()}'} seeds"
        ends = rows[rows["step"] == rows["step"].max()].groupby("name", sort=False)["auc"].mean()
        yield Picture(
            f"convergence{'' if whole else f'-{size}'}",
            partial(figures.convergence, rows),
            f"Held-out AUC against optimiser steps, {'all' if whole else size} training images: mean over {seeds}, "
            "band of one standard deviation. Left the whole course, right the first quarter.",
            "At the last step: " + ", ".join(f"{name} {value:.3f}" for name, value in ends.items()) + ".",
        )


def _table(frame: pd.DataFrame) -> Table:
    table = CurveTable.of(frame)
    rows: tuple[tuple[Cell | str, ...], ...] = tuple(
        (row.name, Cell.number(row.n, "d"), *(_cell(text) for text in row.cells)) for row in table.rows
    )
    caption = "AUC on held-out images: mean ± standard deviation over n seeds"
    return Table("auc", caption, ("start", "n", *(f"step {step}" for step in table.steps)), rows)


def _cell(text: str) -> Cell:
    first = text.split(" ")[0]
    return Cell(text, float("nan") if first == "-" else float(first))
