"""What it takes to get as far as the baseline: steps and time to the threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from transfusion.report.material import Material
from transfusion.verdict.curves import read
from transfusion.verdict.effects import RISE_SHARE


@dataclass(frozen=True)
class Reach:
    """When the trainings of one start reach the threshold.

    Attributes:
        steps: geometric mean over trainings; the last step where one never gets there.
        is_least: one of them never got there, so that it is more.
        is_most: one of them was there by its first evaluation, so that it may be less.
        step_s: seconds of a step, evaluations included, over all trainings of the study; NaN where it is not known.
    """

    steps: float
    is_least: bool
    is_most: bool
    step_s: float

    @property
    def time(self) -> str:
        """In words, by the mean time of a step; steps where that is not known."""
        sign = "> " if self.is_least else "≤ " if self.is_most else ""
        return sign + (f"{self.steps:,.0f} steps" if math.isnan(self.step_s) else duration(self.steps * self.step_s))


def duration(time_s: float) -> str:
    """Seconds as people say them.

    Examples:
        >>> duration(3.21), duration(113), duration(4000)
        ('3.2 s', '1 min 53 s', '1 h 06 min')
    """
    if time_s < 10:
        return f"{time_s:.1f} s"
    if time_s < 100:
        return f"{time_s:.0f} s"
    hours, rest = divmod(round(time_s), 3600)
    return f"{hours} h {rest // 60:02d} min" if hours else f"{rest // 60} min {rest % 60:02d} s"


def reaches(material: Material) -> dict[str, Reach]:
    """Start -> when it reaches the threshold, at the largest data size; empty where there is no threshold."""
    rise = material.verdict.rise
    if math.isnan(rise.start) or not rise.is_clear:
        return {}
    judge, step_s = material.judge, _step_s(material)
    grid = read(material.whole, judge.column, judge.picked_by)[-1]
    found = {}
    for start, runs in grid.starts.items():
        crossings = [curve.crossing(rise.level(RISE_SHARE)) for curve in runs.values()]
        steps = float(np.exp(np.mean([np.log(one.best) for one in crossings])))
        never = any(one.latest == np.inf for one in crossings)
        at_once = any(one.earliest == 0 for one in crossings)
        found[start.name] = Reach(steps, never, at_once and not never, step_s)
    return found


def _step_s(material: Material) -> float:
    frame = material.whole
    if "time_s" not in frame:
        return float("nan")
    ends = frame.dropna(subset=["time_s"]).groupby("run")[["time_s", "step"]].max()
    return float(ends["time_s"].sum() / ends["step"].sum()) if ends["step"].sum() else float("nan")
