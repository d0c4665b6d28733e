"""A tidy frame as curves by data size, start and seed, and what each curve says by itself."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.interpolate import PchipInterpolator
from sklearn.isotonic import isotonic_regression

from transfusion.errors import InputError
from transfusion.spec import SchemeSpec
from transfusion.verdict.inference import Crossing, Floats

NEEDED = ["run", "scheme", "seed", "step"]
PLAIN = {"batch_norm": "identity", "rest": "random"}  # what is meant where a frame leaves them out
VALIDATION = "val_"  # before a metric: the same on the validation split
COLLAPSED = "collapsed"  # column: 1 where an evaluation's outputs are the same for all images
FINAL_PART = 5  # the settled level is that of the last fifth of the evaluations
SETTLED = 0.9  # of its own rise: a run this far by an evaluation may have been there long before


@dataclass(frozen=True)
class Start:
    """Where runs begin, and what a person calls it."""

    name: str
    scheme: str
    batch_norm: str
    upto: str | None
    rest: str

    @classmethod
    def of(cls, row: dict[Hashable, Any]) -> Start:
        """The start of a run whose evaluations look like ``row``."""
        upto = None if pd.isna(row["upto"]) else str(row["upto"])
        return cls(str(row["start"]), str(row["scheme"]), str(row["batch_norm"]), upto, str(row["rest"]))


@dataclass(frozen=True)
class Curve:
    """The evaluations of one run that have a value, in order of steps; at least one after step 0.

    Attributes:
        steps: (evaluations,), optimiser steps.
        values: (evaluations,), the metric.
        picked: place of the evaluation that the validation split picks; None where there is no such split.
        is_collapsed: whether its outputs were the same for all images at its last evaluation.
        run: whose curve it is.
    """

    steps: Floats
    values: Floats
    picked: int | None = None
    is_collapsed: bool = False
    run: Hashable = None

    def is_complete(self, budget: float) -> bool:
        """Whether it was evaluated at the last step of the study, by a network that had not collapsed."""
        return bool(self.steps[-1] >= budget) and not self.is_collapsed

    @property
    def final(self) -> float:
        """The metric at the evaluation that the validation split picks, or at the last one."""
        return self.last if self.picked is None else float(self.values[self.picked])

    @property
    def last(self) -> float:
        """The metric at the last evaluation."""
        return float(self.values[-1])

    @property
    def area(self) -> float:
        """Mean height of the curve between its first and last evaluation, in units of the metric."""
        width = self.steps[-1] - self.steps[0]
        return float(trapezoid(self.values, self.steps) / width) if width else self.last

    @property
    def settled(self) -> float:
        """The mean over the last fifth of the evaluations."""
        return float(self.values[-math.ceil(len(self.values) / FINAL_PART) :].mean())

    def crossing(self, level: float) -> Crossing:
        """When it first reached ``level``.

        A run has reached it if any evaluation did. When is read off its smoothed climb, because the first of many
        noisy evaluations to exceed a level comes too early, the more so the slower the climb.
        """
        last, first = float(self.steps[-1]), float(self.steps[self.steps > 0][0])
        if self.values.max() < level:
            return Crossing(last, last, np.inf)
        lowest = self._climb[0][0]
        step = float(self._step_at(level)) if lowest < level else 0.0
        known = step > first or (step > first / 2 and self._climbs_on_after(first))
        return Crossing(step, step, step) if known else Crossing(0.0, first, first)

    def _climbs_on_after(self, step: float) -> bool:
        """Whether it was still on its way at ``step``: if not, it may have crossed any level long before."""
        start, value = self.values[0], self.values[self.steps == step][0]
        return bool(value - start < SETTLED * (self.settled - start))

    @cached_property
    def _climb(self) -> tuple[Floats, Floats]:
        """Heights and steps of the run on its way to its best evaluation, strictly rising.

        Isotonic regression averages the ups and downs that noise makes into blocks, given by their centres.
        """
        top = int(self.values.argmax()) + 1
        heights, block = np.unique(isotonic_regression(self.values[:top]), return_inverse=True)
        return heights, np.bincount(block, weights=self.steps[:top]) / np.bincount(block)

    @cached_property
    def _step_at(self) -> Any:
        """Step as a function of height: a monotone cubic follows the bend of the climb, which a chord would cut."""
        return PchipInterpolator(*self._climb)


@dataclass(frozen=True)
class Grid:
    """The runs of one data size.

    Attributes:
        size: training images, None for all.
        starts: start -> seed -> curve, in the order of the frame.
    """

    size: int | None
    starts: dict[Start, dict[int, Curve]]

    @cached_property
    def budget(self) -> float:
        """The last step that any run was evaluated at."""
        return max(float(curve.steps[-1]) for runs in self.starts.values() for curve in runs.values())

    def complete(self, name: str) -> dict[int, Curve]:
        """The complete curves by seed of a start; see ``Curve.is_complete``."""
        return {seed: curve for seed, curve in self.find(name).items() if curve.is_complete(self.budget)}

    def find(self, name: str) -> dict[int, Curve]:
        """The curves by seed of the start called ``name``; none if it has no runs."""
        return next((runs for start, runs in self.starts.items() if start.name == name), {})


def read(frame: pd.DataFrame, column: str) -> list[Grid]:
    """The curves of a tidy frame, smallest data size first, all images last.

    Rows without a value are left out, and so are runs that were never evaluated after step 0.

    Raises:
        InputError: if a column is missing, or two runs share start, size and seed.
    """
    table = _checked(frame, column)
    grids: dict[int | None, dict[Start, dict[int, Curve]]] = {}
    for first, curve in _split(table, column):
        size = None if pd.isna(first["size"]) else int(first["size"])
        start = Start.of(first)
        runs = grids.setdefault(size, {}).setdefault(start, {})
        if first["seed"] in runs:
            raise InputError(
                f"Two runs share the start '{start.name}', size {size or 'all'} and seed {first['seed']}; "
                "give the frame of one study."
            )
        runs[first["seed"]] = curve
    ordered = sorted(grids, key=lambda size: np.inf if size is None else size)
    return [Grid(size, {start: dict(sorted(runs.items())) for start, runs in grids[size].items()}) for size in ordered]


def _checked(frame: pd.DataFrame, judged: str) -> pd.DataFrame:
    missing = [column for column in [*NEEDED, judged] if column not in frame.columns]
    if missing:
        raise InputError(f"The frame lacks {', '.join(missing)}; give a tidy frame as Study.frame() returns it.")
    absent = [column for column in (*PLAIN, "upto", "size") if column not in frame.columns]
    table: pd.DataFrame = frame.assign(**dict.fromkeys(absent))
    table = table.astype(dict.fromkeys(PLAIN, object)).fillna(PLAIN)
    table = table[np.isfinite(table[judged].to_numpy(np.float64, na_value=np.nan))]
    table = table.drop_duplicates(["run", "step"], keep="last")
    table = table[table.groupby("run")["step"].transform("max") > 0]
    return with_starts(table)


def with_starts(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a column ``start``: the label of every row's start, unless it has one.

    Args:
        frame: with the column ``start``, or ``scheme batch_norm upto rest head`` (see ``SchemeSpec.label``).
    """
    if "start" in frame:
        return frame
    keys = [column for column in ("batch_norm", "upto", "rest", "head") if column in frame]
    told: pd.DataFrame = frame[["scheme", *keys]].astype(object)
    labels = {row: _label(row, ("name", *keys)) for row in set(told.itertuples(index=False, name=None))}
    named: pd.DataFrame = frame.assign(
        start=pd.Series([labels[row] for row in told.itertuples(index=False, name=None)], frame.index, dtype=object)
    )
    return named


def _label(row: tuple[Any, ...], keys: tuple[str, ...]) -> str:
    return SchemeSpec.parse({key: value for key, value in zip(keys, row, strict=True) if not pd.isna(value)}).label


def _split(table: pd.DataFrame, column: str) -> Iterator[tuple[dict[Hashable, Any], Curve]]:
    """First row and curve of every run, in the order of the frame."""
    for run, rows in table.groupby("run", sort=False):
        order = np.argsort(rows["step"].to_numpy())
        steps, values = rows["step"].to_numpy(np.float64)[order], rows[column].to_numpy(np.float64)[order]
        is_collapsed = COLLAPSED in rows and bool(rows[COLLAPSED].iloc[order[-1]] == 1)
        yield rows.iloc[0].to_dict(), Curve(steps, values, _picked(rows, column, order), is_collapsed, run)


def _picked(rows: pd.DataFrame, column: str, order: NDArray[np.intp]) -> int | None:
    """The evaluation with the highest metric on the validation split, the first of several."""
    if VALIDATION + column not in rows:
        return None
    judged = rows[VALIDATION + column].to_numpy(np.float64, na_value=np.nan)[order]
    return int(np.nanargmax(judged)) if np.isfinite(judged).any() else None
