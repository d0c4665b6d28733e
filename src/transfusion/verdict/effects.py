"""Every start of a grid against the baseline: how far it gets, how fast, and what share of the gain is whose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from transfusion.metrics import Interval
from transfusion.verdict.curves import Curve, Grid, Start
from transfusion.verdict.inference import (
    Crossing,
    Floats,
    equivalence_p,
    mean_interval,
    num_seeds_needed,
    ratio_interval,
    share_of_speedup,
)

RISE_SHARE = 0.8
RISE_SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
NOISE_FACTOR = 4
ENOUGH_OF_SPEEDUP = 0.95
EQUIVALENCE_LEVEL = 0.05

Runs = dict[int, Curve]


@dataclass(frozen=True)
class Rise:
    """From where to where the baseline learns; thresholds are shares of it.

    Attributes:
        start: its mean over seeds at the first evaluation.
        final: its mean over seeds and the last fifth of the evaluations.
        noise: standard deviation of one evaluation about a smooth curve.
    """

    start: float
    final: float
    noise: float

    @classmethod
    def of(cls, runs: Runs) -> Rise:
        """The rise of the baseline's runs; NaN without any."""
        if not runs:
            return cls(np.nan, np.nan, np.nan)
        curves = list(runs.values())
        start, final = (
            float(np.mean(values)) for values in zip(*((c.values[0], c.settled) for c in curves), strict=True)
        )
        return cls(start, final, _noise([curve.values for curve in curves]))

    def level(self, share: float) -> float:
        """The threshold at ``share`` of the rise."""
        return self.start + share * (self.final - self.start)

    @property
    def is_clear(self) -> bool:
        """Whether it stands out of the noise, so that crossing a threshold means something."""
        return self.final - self.start > NOISE_FACTOR * self.noise


@dataclass(frozen=True)
class Comparison:
    """One start against the baseline, paired over seeds.

    Attributes:
        start: the start that is compared.
        final_mean: its mean over the complete runs at the last step.
        final_std: standard deviation over those seeds, as the paper's tables give it; NaN for one.
        final_n: how many they are.
        final_difference: its metric at the last step minus the baseline's.
        speedup: steps of the baseline over its own steps to the threshold (80 % of the baseline's rise).
        area: mean height of its curve minus that of the baseline's, over the whole budget.
        speedup_at: share of the rise -> speed-up there.
        equivalence_p: of "they differ by the margin or more at the last step".
        num_seeds_needed: seeds with which such a difference could be ruled out; None where unknown.
    """

    start: Start
    final_mean: float
    final_std: float
    final_n: int
    final_difference: Interval
    speedup: Interval
    area: Interval
    speedup_at: dict[float, Interval]
    equivalence_p: float
    num_seeds_needed: int | None

    @property
    def is_equivalent(self) -> bool:
        """Whether a test, and not a mere lack of evidence, says that they differ by less than the margin."""
        return self.equivalence_p < EQUIVALENCE_LEVEL

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "final_difference": self.final_difference.to_dict(),
            "speedup": self.speedup.to_dict(),
            "area": self.area.to_dict(),
            "final": {"mean": self.final_mean, "std": self.final_std, "n": self.final_n},
            "speedup_at": {str(share): interval.to_dict() for share, interval in self.speedup_at.items()},
            "equivalence": {"p": self.equivalence_p, "num_seeds_needed": self.num_seeds_needed},
        }


@dataclass(frozen=True)
class Contest:
    """The runs of one data size and the baseline among them."""

    grid: Grid
    baseline: str
    margin: float

    @cached_property
    def rise(self) -> Rise:
        """The baseline's."""
        return Rise.of(self.grid.find(self.baseline))

    @property
    def rivals(self) -> list[Start]:
        """Every start but the baseline."""
        return [start for start in self.grid.starts if start.name != self.baseline]

    def compare(self, start: Start) -> Comparison:
        """One start against the baseline."""
        runs = self.grid.starts[start]
        differences = _values(self.differences("final", runs))
        finals = np.array([curve.final for curve in runs.values() if curve.is_complete(self.grid.budget)])
        speedup_at = {share: self._speedup(runs, share) for share in RISE_SHARES}
        return Comparison(
            start=start,
            final_mean=float(finals.mean()) if len(finals) else np.nan,
            final_std=float(finals.std(ddof=1)) if len(finals) > 1 else np.nan,
            final_n=len(finals),
            final_difference=mean_interval(differences),
            speedup=speedup_at[RISE_SHARE],
            area=mean_interval(_values(self.differences("area", runs))),
            speedup_at=speedup_at,
            equivalence_p=equivalence_p(differences, self.margin),
            num_seeds_needed=num_seeds_needed(differences, self.margin),
        )

    def differences(self, what: str, runs: Runs, other: Runs | None = None) -> dict[int, float]:
        """Seed -> ``final`` or ``area`` of ``runs`` minus that of ``other`` (the baseline), where both are complete."""
        other = self.grid.find(self.baseline) if other is None else other
        pairs = {seed: (runs[seed], other[seed]) for seed in _shared(runs, other)}
        complete = {seed: pair for seed, pair in pairs.items() if all(c.is_complete(self.grid.budget) for c in pair)}
        return {seed: getattr(own, what) - getattr(base, what) for seed, (own, base) in complete.items()}

    def share(self, part: str, whole: str) -> Interval:
        """Log speed-up of ``part`` over log speed-up of ``whole``, both against the baseline."""
        groups = {name: self.grid.find(name) for name in (self.baseline, part, whole)}
        seeds = _shared(*groups.values())
        if len(groups) < 3:
            return Interval.undefined(len(seeds), f"{self.baseline} is itself what the others are compared with")
        if not seeds:
            return Interval.undefined(0, f"no seed has runs of {self.baseline}, {part} and {whole}")
        if not self.rise.is_clear:
            return Interval.undefined(len(seeds), self._no_rise())
        crossings = [_crossings(runs, seeds, self.rise.level(RISE_SHARE)) for runs in groups.values()]
        return share_of_speedup(dict(zip(groups, crossings, strict=True)))

    def _speedup(self, runs: Runs, share: float) -> Interval:
        base = self.grid.find(self.baseline)
        seeds = _shared(runs, base)
        if seeds and not self.rise.is_clear:
            return Interval.undefined(len(seeds), self._no_rise())
        level = self.rise.level(share)
        return ratio_interval(_crossings(base, seeds, level), _crossings(runs, seeds, level))

    def _no_rise(self) -> str:
        return f"{self.baseline} does not rise beyond the noise of its evaluations, so there is nothing to time"


def spread_of_modes(contest: Contest, scheme: str) -> tuple[str, str, Interval] | None:
    """The batch-norm modes of a scheme with the highest and lowest curves, and the difference of their mean heights.

    They are picked after the fact, so the interval is widened for all pairs of modes (Bonferroni). None where the
    scheme has fewer than two modes.
    """
    modes = [start for start in contest.grid.starts if start.scheme == scheme and start.upto is None]
    if len(modes) < 2:
        return None
    runs = {start.batch_norm: contest.grid.starts[start] for start in modes}
    heights = {mode: np.mean([curve.area for curve in curves.values()]) for mode, curves in runs.items()}
    best, worst = max(heights, key=lambda mode: heights[mode]), min(heights, key=lambda mode: heights[mode])
    num_pairs = len(list(combinations(modes, 2)))
    gaps = contest.differences("area", runs[best], runs[worst])
    return best, worst, mean_interval(_values(gaps), 1 - 0.05 / num_pairs)


def change_of_gap(small: Contest, large: Contest, name: str) -> Interval:
    """Final difference of ``name`` to the baseline with few images minus that with many, paired over seeds."""
    gaps = [contest.differences("final", contest.grid.find(name)) for contest in (small, large)]
    return mean_interval(np.array([gaps[0][seed] - gaps[1][seed] for seed in _shared(*gaps)]))


def _shared(*groups: Iterable[int]) -> list[int]:
    return sorted(set.intersection(*(set(group) for group in groups)))


def _values(by_seed: dict[int, float]) -> Floats:
    return np.array(list(by_seed.values()))


def _crossings(runs: Runs, seeds: list[int], level: float) -> list[Crossing]:
    return [runs[seed].crossing(level) for seed in seeds]


def _noise(curves: list[Floats]) -> float:
    """From second differences over the later half, which a smooth curve leaves near 0; robust to a few jumps."""
    bends = [np.diff(values[-max(3, len(values) // 2 + 1) :], n=2) for values in curves]
    pooled = np.abs(np.concatenate(bends))
    return float(np.median(pooled) / (0.6745 * np.sqrt(6))) if pooled.size else 0.0  # normal median; 1 + 4 + 1
