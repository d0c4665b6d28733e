"""The table of a study: mean and standard deviation over seeds, at a few steps."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from transfusion.verdict.curves import start_names

COLUMNS = 6  # evaluations shown; the last is always among them


def with_sizes(frame: pd.DataFrame) -> pd.Series:
    """Names of the starts, with the number of training images where it is not all of them."""
    names = start_names(frame)
    return names.where(frame["size"].isna(), names + " " + frame["size"].astype(str) + " images")


def final_table(frame: pd.DataFrame, metric: str = "auc") -> str:
    """Mean and standard deviation over seeds of ``metric``, one row per start, at up to six steps.

    Args:
        frame: as ``Study.frame`` gives it.
        metric: a column of the frame.

    Returns:
        A table in plain text; n is the number of runs behind the last column.
    """
    steps = _spread(sorted(frame["step"].unique()))
    table = Table(title=f"{metric.upper()} on held-out images, mean ± sd over runs", title_justify="left")
    table.add_column("start")
    table.add_column("n", justify="right")
    for step in steps:
        table.add_column(f"step {step}", justify="right")
    for name, rows in frame.groupby(with_sizes(frame), sort=False):
        cells = [rows.loc[rows["step"] == step, metric].dropna() for step in steps]
        table.add_row(str(name), str(len(cells[-1])), *(_cell(cell) for cell in cells))
    text = io.StringIO()
    Console(width=120, file=text).print(table)
    return text.getvalue().rstrip()


def _spread(steps: list[int]) -> list[int]:
    places = np.linspace(0, len(steps) - 1, min(COLUMNS, len(steps))).round().astype(int)
    return [steps[place] for place in places]


def _cell(values: pd.Series) -> str:
    if not len(values):
        return "-"
    return f"{values.mean():.3f}" + (f" ± {values.std():.3f}" if len(values) > 1 else "")
