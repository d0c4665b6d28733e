"""Steps and time that each start needs to reach the target."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from transfusion.report.material import Material
from transfusion.verdict.curves import read
from transfusion.verdict.effects import RISE_SHARE, Effect
from transfusion.verdict.wording.course import seconds


@dataclass(frozen=True)
class Reach:
    """When the trainings of one start reach the target.

    Attributes:
        steps: geometric mean over trainings; where only one end of the speed-up is known, the steps that go with it.
        is_least: one of them never got there, so that it is more.
        is_most: one of them was there by its first evaluation, so that it may be less.
        step_s: seconds of a step, evaluations included, see ``verdict.course.Cost``; NaN where it is not known.
    """

    steps: float
    is_least: bool
    is_most: bool
    step_s: float

    @property
    def count(self) -> str:
        """Steps, in words."""
        return f"{self._sign}{max(1, self.steps):,.0f}"

    @property
    def is_timed(self) -> bool:
        """Whether its time is known, and not bounded only."""
        return not (self._sign or math.isnan(self.step_s))

    @property
    def time(self) -> str:
        """Of a training, in words; empty where that of a step is not known."""
        return "" if math.isnan(self.step_s) else f"{self._sign}{seconds(self.steps * self.step_s)}"

    @property
    def _sign(self) -> str:
        return "> " if self.is_least else "≤ " if self.is_most else ""


def reaches(material: Material) -> dict[str, Reach]:
    """Start -> when it reaches the target, at the largest data size; empty where there is none."""
    rise = material.verdict.rise
    if math.isnan(rise.start) or not rise.is_clear:
        return {}
    judge, cost = material.judge, material.verdict.cost
    step_s = cost.step_s[0] if cost else math.nan
    grid = read(material.whole, judge.column, judge.picked_by)[-1]
    found = {}
    for start, runs in grid.starts.items():
        crossings = [curve.crossing(rise.level(RISE_SHARE)) for curve in runs.values()]
        # geometric, so that ratios are speed-ups
        steps = float(np.exp(np.mean([np.log(one.best) for one in crossings])))
        never = any(one.latest == np.inf for one in crossings)
        at_once = any(one.earliest == 0 for one in crossings)
        found[start.name] = Reach(steps, never, at_once and not never, step_s)
    base = found.get(material.verdict.baseline)
    return {name: _bounded(one, base, material.verdict.schemes.get(name)) for name, one in found.items()}


def _bounded(own: Reach, base: Reach | None, effect: Effect | None) -> Reach:
    """The steps that go with a speed-up of which only one end is known: steps and speed-up must not disagree."""
    speed = effect.claim("speedup") if effect else None
    if base is None or speed is None or base.is_least or base.is_most:
        return own
    # a start that was there by its first evaluation took at most the baseline's steps over the least speed-up
    if own.is_most and math.isinf(speed.high) and speed.low > 0:
        return replace(own, steps=base.steps / speed.low)
    return replace(own, steps=base.steps / speed.high) if own.is_least and speed.low == 0 < speed.high else own
