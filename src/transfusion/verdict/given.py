"""A tidy frame as it is given: completed where that is plain, and refused where it cannot be meant."""

from __future__ import annotations

import numpy as np
import pandas as pd

from transfusion.errors import InputError, UnknownNameError
from transfusion.metrics import Metric
from transfusion.verdict.curves import PLAIN, with_starts


def with_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with columns ``run`` and ``scheme``, from the start, size and seed of every row unless it has them.

    Raises:
        InputError: if the evaluation of a run at a step stands in two rows.

    Examples:
        >>> with_runs(pd.DataFrame({"start": ["random"], "seed": [0], "step": [0]}))[["run", "scheme"]].values.tolist()
        [['random 0', 'random']]
    """
    if "scheme" not in frame and "start" in frame:
        frame = frame.assign(scheme=frame["start"])
    keys = [key for key in ("start", "scheme", *PLAIN, "upto", "size", "seed") if key in frame]
    if "run" not in frame and {"scheme", "seed"} <= set(keys):
        told = [key for key in keys if key != "scheme" or "start" not in keys]
        rows = frame[told].astype(object).itertuples(index=False, name=None)
        frame = frame.assign(run=[" ".join(str(value) for value in row if not pd.isna(value)) for row in rows])
    if {"run", "step"} <= set(frame):
        twice = frame[frame.duplicated(["run", "step"])]
        if len(twice):
            run, step = twice.iloc[0][["run", "step"]]
            raise InputError(
                f"{len(twice)} rows repeat an evaluation, first run '{run}' at step {step}; give every evaluation once."
            )
    return frame


def check_values(frame: pd.DataFrame, judge: Metric, *, ended: bool) -> None:
    """Refuse values that the metric cannot have, and a frame of runs that all ``ended`` without a value.

    Raises:
        InputError: if there are such values, or no run has a value at its last evaluation.
    """
    if judge.column not in frame or not {"run", "step"} <= set(frame):
        return  # ``read`` says what is missing
    values = frame[judge.column].astype(float)
    outside = values[(values < judge.least) | (values > judge.limit)] if np.isfinite(judge.least) else values[:0]
    if len(outside):
        raise InputError(
            f"'{judge.column}' has {len(outside)} values outside {judge.least:g} to {judge.limit:g}, first "
            f"{outside.iloc[0]:g}; give {judge.title} as a share of 1, not in percent."
        )
    last = frame.sort_values("step", kind="stable").groupby("run")[["step", judge.column]].last(skipna=False)
    if ended and values.notna().any() and last[judge.column].isna().all():
        raise InputError(
            f"No run has a value of '{judge.column}' at its last evaluation (step {last['step'].max():g}), so none has "
            "an end to judge; leave these rows out if an earlier step is the end."
        )


def known_start(baseline: str, frame: pd.DataFrame, runs: pd.DataFrame | None) -> str:
    """The baseline, if there is such a start; one whose runs were not evaluated yet is one.

    Raises:
        UnknownNameError: if there is none.
    """
    starts = dict.fromkeys([*with_starts(frame)["start"], *(() if runs is None else runs["start"])])
    if baseline not in starts:
        raise UnknownNameError.of("start", baseline, starts)
    return baseline
