"""How long a study trains: whether its curves still rise at the end, whether they were flat long before it, its cost.

Advice on settings, not claims about starts: none of it enters the decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from transfusion.metrics import Interval
from transfusion.verdict.curves import Curve, Grid
from transfusion.verdict.inference import Crossing, mean_interval

FIFTHS = 5  # parts of a run
FEWEST = 3  # trainings of a start
ALPHA = 0.05  # chance that any start is said to rise that does not


@dataclass(frozen=True)
class Course:
    """How the curves of a study go.

    Attributes:
        budget: last step.
        rising: start -> how much higher it is in the last fifth of the steps than in the one before, of those that are
            shown to rise, by more than the margin.
        flat_since: step from which on every start stays within the margin of its end, if that is in the first fifth.
    """

    budget: float
    rising: dict[str, Interval]
    flat_since: int | None = None

    @classmethod
    def of(cls, grid: Grid, margin: float) -> Course:
        """Of the complete runs of one data size."""
        runs = {start.name: list(grid.complete(start.name).values()) for start in grid.starts}
        known = {name: curves for name, curves in runs.items() if len(curves) >= FEWEST}
        fifths = {name: np.array([_fifths(curve) for curve in curves]) for name, curves in known.items()}
        level = 1 - ALPHA / max(1, len(known))
        gains = {name: mean_interval(means[:, -1] - means[:, -2], level) for name, means in fifths.items()}
        rising = {name: gain for name, gain in gains.items() if gain.low > 0 and gain.estimate > margin}
        is_flat = bool(fifths) and len(known) == len(runs) and all(_is_flat(each, margin) for each in fifths.values())
        return cls(grid.budget, rising, _reached(known, grid.budget, margin) if is_flat else None)


def _fifths(curve: Curve) -> list[float]:
    """Mean height in each fifth of the steps after step 0; NaN where there was no evaluation."""
    last, parts = curve.steps[-1], []
    for part in range(FIFTHS):
        # by steps, not by evaluations, which are dense at the beginning
        inside = (curve.steps > last * part / FIFTHS) & (curve.steps <= last * (part + 1) / FIFTHS)
        parts.append(float(curve.values[inside].mean()) if inside.any() else np.nan)
    return parts


def _is_flat(fifths: np.ndarray, margin: float) -> bool:
    """Whether every fifth but the first is shown (90 % intervals) to be within the margin of the last one."""
    gaps = [mean_interval(fifths[:, part] - fifths[:, -1], 0.9) for part in range(1, FIFTHS - 1)]
    return all(-margin < gap.low and gap.high < margin for gap in gaps)


def _reached(runs: dict[str, list[Curve]], budget: float, margin: float) -> int | None:
    """The first step of the first fifth from which on no start's mean curve is below its end by the margin."""
    late = []
    for curves in runs.values():
        if any(len(curve.steps) != len(curves[0].steps) for curve in curves):
            return None
        heights = np.mean([curve.values for curve in curves], axis=0)
        low = curves[0].steps[heights < np.mean([curve.settled for curve in curves]) - margin]
        late.append(low.max(initial=0))
    after = curves[0].steps[curves[0].steps > max(late)]
    return int(after[0]) if len(after) and after[0] <= budget / FIFTHS else None


@dataclass(frozen=True)
class Cost:
    """What the way to the threshold costs: steps, as seconds of one training.

    Attributes:
        threshold: of the metric.
        base_s: of the baseline, a geometric mean over its trainings.
        is_least: whether some of them never got there, so that it took them longer.
        step_s: of one step with its share of the evaluations: median over trainings, with the least and the most; they
            differ as the machine was busy, so the median serves all starts.
        n: trainings behind that.
    """

    threshold: float
    base_s: float
    is_least: bool
    step_s: tuple[float, float, float]
    n: int

    @classmethod
    def of(cls, frame: pd.DataFrame, base: Sequence[Crossing], threshold: float) -> Cost | None:
        """From the times on a tidy frame; None where it has none, or nobody got there.

        Args:
            frame: ``run step time_s``.
            base: when the baseline's runs reached the threshold.
            threshold: that they reached.
        """
        if "time_s" not in frame or not base:
            return None
        ends = frame.groupby("run")[["step", "time_s"]].max().dropna()
        pace = ends["time_s"] / ends["step"].where(ends["step"] > 0)
        if not (pace := pace.dropna()).size or not all(np.isfinite(each.best) and each.best > 0 for each in base):
            return None
        steps = float(np.exp(np.mean([np.log(each.best) for each in base])))  # geometric, as speed-ups are
        is_least = any(each.latest == np.inf for each in base)
        median = float(pace.median())
        return cls(threshold, steps * median, is_least, (median, float(pace.min()), float(pace.max())), len(pace))

    def saved(self, speedup: Interval) -> Interval:
        """Seconds that a start with this speed-up saves: below 0 where it is slower.

        Examples:
            >>> Cost(0.8, 100.0, False, (1.0, 1.0, 1.0), 6).saved(Interval(4, 2, np.inf, 3)).low
            50.0
        """
        low, estimate, high = (
            self.base_s * (1 - 1 / ratio) if ratio else -np.inf
            for ratio in (speedup.low, speedup.estimate, speedup.high)
        )
        return Interval(estimate, low, high, speedup.n, speedup.reason)
