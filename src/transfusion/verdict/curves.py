"""A tidy frame as curves by data size, start and seed, and what each curve says alone."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy.integrate import trapezoid
from sklearn.isotonic import isotonic_regression

from transfusion.errors import InputError
from transfusion.metrics.registry import VALIDATION
from transfusion.spec import SchemeSpec
from transfusion.verdict.inference import Crossing, Floats

NEEDED = ["run", "scheme", "seed", "step"]
PLAIN = {"batch_norm": "identity", "rest": "random", "head": "default"}  # what is meant where a frame leaves them out
Quantity: TypeAlias = Literal["final", "last", "area", "settled"]
COLLAPSED = "collapsed"  # column: 1 where an evaluation's outputs are the same for all images
DOUBT = 0.2  # of the range in which a run may have crossed, as a standard deviation
FINAL_PART = 5  # the settled level is that of the last fifth of the evaluations


@dataclass(frozen=True)
class Start:
    """Where runs begin, and its label."""

    name: str
    scheme: str
    batch_norm: str
    upto: str | None
    rest: str
    head: str

    @classmethod
    def of(cls, row: dict[Hashable, Any]) -> Start:
        """The start of a run whose evaluations look like ``row``."""
        upto = None if pd.isna(row["upto"]) else str(row["upto"])
        name, scheme, batch_norm, rest, head = (
            str(row[key]) for key in ("start", "scheme", "batch_norm", "rest", "head")
        )
        return cls(name, scheme, batch_norm, upto, rest, head)


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
        return float(self.values[-self._num_settled :].mean())

    def weights(self, what: Quantity) -> Floats:
        """Of each evaluation in ``final``, ``last``, ``area`` or ``settled``, (evaluations,)."""
        if what == "area" and self.steps[-1] > self.steps[0]:
            halves = np.diff(self.steps, prepend=self.steps[0], append=self.steps[-1]) / 2
            return np.asarray((halves[:-1] + halves[1:]) / (self.steps[-1] - self.steps[0]), np.float64)
        found = np.zeros(len(self.values))
        if what == "settled":
            found[-self._num_settled :] = 1 / self._num_settled
        else:
            found[-1 if what != "final" or self.picked is None else self.picked] = 1
        return found

    @property
    def _num_settled(self) -> int:
        return math.ceil(len(self.values) / FINAL_PART)

    def crossing(self, level: float) -> Crossing:
        """Between which evaluations it first reached ``level``.

        A run has reached it if any evaluation did. When is read off its smoothed climb, because the first of many
        noisy evaluations to exceed a level comes too early, the more so the slower the climb.
        """
        last, first = float(self.steps[-1]), float(self.steps[self.steps > 0][0])
        # censored, not dropped: later than its last step, nobody knows how much
        if self.values.max() < level:
            return Crossing(last, last, np.inf, pull=np.zeros(len(self.values)))
        after = int(np.argmax(self._climb >= level))  # the first that is
        pull = self._pull(after, level)
        # between step 0 and the first look the log has no lower end: known from above only
        if after == 0 or self.steps[after - 1] <= 0:
            return Crossing(0.0, first, first, pull=pull)
        best, doubt = self._between(after, level)
        return Crossing(float(self.steps[after - 1]), float(np.exp(best)), float(self.steps[after]), doubt, pull)

    def _between(self, after: int, level: float) -> tuple[float, float]:
        """Log of the step at which a straight line in log steps reaches ``level``, and how far off it may be.

        Between two evaluations a curve that bends one way lies between their chord and the chords beside it, run on.
        A smooth one lies a quarter of the way from the chord, one that jumps anywhere.
        """
        steps = self._logs
        climb = np.append(self._climb, self.values[len(self._climb) :])
        sides = (
            [(after - 1, after)]
            + [(after - 2, after - 1)] * (after > 1)
            + [(after, after + 1)] * (after + 1 < len(steps))
        )
        met = [_line(steps[[a, b]], climb[[a, b]], level) for a, b in sides]
        inside = np.clip(met, steps[after - 1], steps[after])  # a chord run on far is no reason to leave the gap
        return float(met[0]), DOUBT * float(np.ptp(inside))

    def _pull(self, after: int, level: float) -> Floats:
        """Derivative of the log of the step at which the chord meets ``level``, by the values, (evaluations,).

        Where the first evaluation after step 0 was already there, that of the chord's later end.
        """
        found = np.zeros(len(self.values))
        if after == 0:
            return found
        low, high = self._climb[after - 1], self._climb[after]
        width = (self._logs[after] - self._logs[after - 1]) / (high - low)
        share = 1.0 if self.steps[after - 1] <= 0 else (level - low) / (high - low)
        for height, part in ((low, 1 - share), (high, share)):
            # isotonic regression averages blocks: each value moves its block's mean
            block = np.flatnonzero(self._climb == height)
            found[block] -= part * width / len(block)
        return found

    @cached_property
    def _logs(self) -> Floats:
        """Logs of the steps, step 0 as half of the first."""
        return np.asarray(np.log(np.maximum(self.steps, self.steps[self.steps > 0][0] / 2)), np.float64)  # 0 has no log

    @cached_property
    def _climb(self) -> Floats:
        """Heights of the run on its way to its best evaluation; isotonic regression averages noise's ups and downs."""
        climb: Floats = isotonic_regression(self.values[: int(self.values.argmax()) + 1])
        return climb


def _line(steps: Floats, heights: Floats, level: float) -> float:
    """Where a line through two points meets ``level``; far to the side where it lies if it does not rise."""
    rise = heights[1] - heights[0]
    if not rise > 0:
        return float(np.copysign(np.inf, level - heights[0]))
    return float(steps[0] + (level - heights[0]) / rise * (steps[1] - steps[0]))


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

    def whole(self, scheme: str, head: str) -> list[Start]:
        """The starts that fill whole networks by a scheme, one per batch-norm mode, all with one rule for the head."""
        return [start for start in self.starts if (start.scheme, start.upto, start.head) == (scheme, None, head)]

    def named(self, scheme: str, head: str) -> str:
        """The start of a whole network that is meant by its scheme: with identity batch norm, or the only one.

        Where it is not there, or not clear, the name that the usual one would have.
        """
        every = self.whole(scheme, head)
        meant = [start for start in every if start.batch_norm == PLAIN["batch_norm"]] or every
        return meant[0].name if len(meant) == 1 else _label((scheme, head), ("name", "head"))

    def head(self, name: str) -> str:
        """The rule for the head of the start called ``name``."""
        return next((start.head for start in self.starts if start.name == name), PLAIN["head"])


def read(frame: pd.DataFrame, column: str, picked_by: str | None = None) -> list[Grid]:
    """The curves of a tidy frame, smallest data size first, all images last.

    Rows without a value are left out, and so are runs that were never evaluated after step 0.

    Args:
        frame: see ``conclude``.
        column: what is judged.
        picked_by: column that picks the evaluation at which a run is final; that of the same metric on the validation
            split if not given or not there. Where there is none it is the last.

    Raises:
        InputError: if a column is missing, or two runs share start, size and seed.
    """
    table = _checked(frame, column)
    grids: dict[int | None, dict[Start, dict[int, Curve]]] = {}
    # values that pick their own end would flatter it
    is_picked = picked_by is not None and picked_by in table and picked_by != column
    for first, curve in _split(table, column, picked_by if picked_by and is_picked else VALIDATION + column):
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
        raise InputError(
            f"The frame lacks {', '.join(missing)}; give a tidy frame with start (or scheme), seed, step and {judged}, "
            "a row per evaluation, as Study.frame() returns it."
        )
    absent = [column for column in (*PLAIN, "upto", "size") if column not in frame.columns]
    table: pd.DataFrame = frame.assign(**dict.fromkeys(absent))
    table = table.astype(dict.fromkeys(PLAIN, object)).fillna(PLAIN)
    table = table[np.isfinite(table[judged].to_numpy(np.float64, na_value=np.nan))]
    # a run that was never trained says nothing of training
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


def _split(table: pd.DataFrame, column: str, picked_by: str) -> Iterator[tuple[dict[Hashable, Any], Curve]]:
    """First row and curve of every run, in the order of the frame."""
    codes, runs = pd.factorize(table["run"])
    if not len(runs):
        return
    order = np.lexsort((table["step"].to_numpy(np.float64), codes))
    starts = np.searchsorted(codes[order], np.arange(len(runs)))
    read = {name: _numbers(table, name)[order] for name in ("step", column, picked_by, COLLAPSED)}
    firsts = table[[*PLAIN, "start", "scheme", "seed", "size", "upto"]].iloc[np.unique(codes, return_index=True)[1]]
    for run, first, *parts in zip(
        runs, firsts.to_dict("records"), *(np.split(values, starts[1:]) for values in read.values()), strict=True
    ):
        steps, values, judged, collapsed = parts
        # the highest on the validation split, the first of several
        picked = int(np.nanargmax(judged)) if np.isfinite(judged).any() else None
        yield first, Curve(steps, values, picked, bool(collapsed[-1] == 1), run)


def _numbers(table: pd.DataFrame, column: str) -> Floats:
    """A column, NaN where there is none."""
    if column not in table:
        return np.full(len(table), np.nan)
    return np.asarray(table[column].to_numpy(np.float64, na_value=np.nan), np.float64)
