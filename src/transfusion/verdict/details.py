"""What else curves say: where each start ends, which curve falls, single classes, batch-norm modes, data sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfusion.metrics import METRICS, Interval
from transfusion.verdict.contest import Contest, Seen, difference, judged
from transfusion.verdict.curves import Curve, Start, read
from transfusion.verdict.effects import FEW, Rise

CLASSES_PICKED_BY = METRICS["auc"].picked_by
FEWEST_POSITIVES = 2  # one positive image gives an AUC, but no idea of how surely


@dataclass(frozen=True)
class Level:
    """Where one start ends, over its complete runs.

    Attributes:
        interval: mean of the metric at the end (see ``Curve.final``).
        std: standard deviation over runs; NaN for one.
        low, high: the lowest and the highest of them.
        learns: whether it rises beyond the noise of its evaluations.
        last: mean at the last step.
    """

    start: Start
    interval: Interval
    std: float
    low: float
    high: float
    learns: bool
    last: float

    @classmethod
    def of(cls, start: Start, contest: Contest) -> Level:
        """Of one start; NaN where no run is complete."""
        runs = contest.grid.complete(start.name)
        curves, finals = list(runs.values()), np.array([curve.final for curve in runs.values()])
        moved = {seed: contest.influence(curve, curve.weights("final")) for seed, curve in runs.items()}
        interval = judged({seed: curve.final for seed, curve in runs.items()}, moved).interval()
        if not len(finals):
            return cls(start, interval, np.nan, np.nan, np.nan, False, np.nan)
        std = float(finals.std(ddof=1)) if len(finals) > 1 else np.nan
        learns = Rise.of(dict(enumerate(curves))).is_clear
        last = float(np.mean([curve.last for curve in curves]))
        return cls(start, interval, std, float(finals.min()), float(finals.max()), learns, last)

    @property
    def mean(self) -> float:
        """Over its complete runs."""
        return self.interval.estimate

    @property
    def n(self) -> int:
        """Complete runs."""
        return self.interval.n


@dataclass(frozen=True)
class Fall:
    """A mean curve that falls from its peak.

    Attributes:
        step: of the peak of the mean curve.
        peak, last: the metric there and at the last step.
        drop: peak minus last, over seeds, at a level that allows for the pick of the peak (Bonferroni).
    """

    step: int
    peak: float
    last: float
    drop: Interval

    @classmethod
    def of(cls, curves: Mapping[int, Curve], contest: Contest, alpha: float) -> Fall | None:
        """Of the complete curves of one start; None where they share too few evaluations."""
        # of steps that all share: a mean over other runs at each step would jump
        steps = sorted(set.intersection(*(set(curve.steps) for curve in curves.values()))) if curves else []
        if len(steps) < 3:
            return None
        heights = np.array([curve.values[np.isin(curve.steps, steps)] for curve in curves.values()])
        place = int(heights.mean(0).argmax())
        drops = dict(zip(curves, heights[:, place] - heights[:, -1], strict=True))
        moved = {seed: contest.influence(curve, _from_to(curve, steps[place])) for seed, curve in curves.items()}
        drop = judged(drops, moved).interval(1 - alpha / (len(steps) - 1))
        return cls(int(steps[place]), float(heights[:, place].mean()), float(heights[:, -1].mean()), drop)


def _from_to(curve: Curve, step: float) -> NDArray[np.float64]:
    """Weights of a curve's value at a step minus its last."""
    return np.asarray(curve.steps == step, np.float64) - curve.weights("last")


@dataclass(frozen=True)
class ClassEffect:
    """The leading start against the baseline in the AUC of one class.

    Attributes:
        positives: test images of it; None where that is not known.
        difference: at the end, at a level that allows for the number of classes (Bonferroni).
    """

    name: str
    positives: int | None
    difference: Interval

    @property
    def outcome(self) -> str:
        """``higher``, ``lower`` or ``unknown``; ``too few`` where the positive images allow no conclusion."""
        if self.positives is not None and self.positives < FEWEST_POSITIVES:
            return "too few"
        if self.difference.n < FEW:
            return "unknown"
        return "higher" if self.difference.low > 0 else "lower" if self.difference.high < 0 else "unknown"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"positives": self.positives, "outcome": self.outcome, "difference": self.difference.to_dict()}


def falls_of(contest: Contest, alpha: float = 0.05) -> dict[str, Fall]:
    """Start -> how its mean curve falls from its peak, where it is shown to, by more than the margin."""
    grid = contest.grid
    found = {start.name: Fall.of(grid.complete(start.name), contest, alpha / len(grid.starts)) for start in grid.starts}
    falls = {name: fall for name, fall in found.items() if fall and fall.drop.low > 0}
    return {name: fall for name, fall in falls.items() if fall.drop.estimate > contest.margin}


def class_effects(
    frame: pd.DataFrame,
    start: Start,
    baseline: str,
    classes: Mapping[str, tuple[str, int | None]],
    influences: Mapping[str, Seen],
    alpha: float = 0.05,
) -> tuple[ClassEffect, ...]:
    """The leading start against the baseline, class by class, at the largest data size.

    Args:
        frame: tidy curves.
        start: the leading start.
        baseline: name of the other.
        classes: column -> name of the class and its positive test images.
        influences: column -> run -> step -> influence of each patient.
        alpha: chance of any false claim.
    """
    found = []
    for column, (name, positives) in classes.items():
        grids = read(frame, column, CLASSES_PICKED_BY) if frame[column].notna().any() else []
        if grids and start in grids[-1].starts:
            contest = Contest(grids[-1], baseline, 1.0, influences=influences.get(column, {}))
            gap = contest.evidence(grids[-1].starts[start], grids[-1].find(baseline))
            found.append(ClassEffect(name, positives, gap.interval(1 - alpha / len(classes))))
        else:
            found.append(ClassEffect(name, positives, Interval.undefined(0, "no run has an AUC of it")))
    return tuple(found)


def spread_of_modes(contest: Contest, scheme: str, head: str, alpha: float = 0.05) -> tuple[str, str, Interval] | None:
    """The batch-norm modes of a scheme with the highest and lowest curves, and the difference of their mean heights.

    They are picked after the fact, so the interval is widened for all pairs of modes (Bonferroni). None where the
    scheme has fewer than two modes.
    """
    modes = contest.grid.whole(scheme, head)
    if len(modes) < 2:
        return None
    runs = {start.batch_norm: contest.grid.starts[start] for start in modes}
    heights = {mode: np.mean([curve.area for curve in curves.values()]) for mode, curves in runs.items()}
    best, worst = max(heights, key=lambda mode: heights[mode]), min(heights, key=lambda mode: heights[mode])
    num_pairs = len(list(combinations(modes, 2)))
    return best, worst, contest.evidence(runs[best], runs[worst], "area").interval(1 - alpha / num_pairs)


def change_of_gap(small: Contest, large: Contest, name: str, alpha: float = 0.05) -> Interval:
    """Final difference of ``name`` to the baseline with few images minus that with many, paired over seeds."""
    arms = [(contest, contest.grid.find(name), contest.grid.find(contest.baseline)) for contest in (small, large)]
    gaps = [contest.differences("final", *pair) for contest, *pair in arms]
    moved = [contest.contrasts("final", *pair) for contest, *pair in arms]
    changes = {seed: gaps[0][seed] - gaps[1][seed] for seed in gaps[0] if seed in gaps[1]}
    apart = {seed: difference(moved[0][seed], moved[1][seed]) for seed in changes}
    return judged(changes, apart).interval(1 - alpha)
