"""One start against another: how far it gets, how fast, and what share of the gain is whose."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np

from transfusion.metrics import Evidence, Influence, Interval, contrast, evidence
from transfusion.verdict.curves import Curve, Grid, Start
from transfusion.verdict.inference import Crossing, Floats, ratio_interval, ratio_p, share_of_speedup
from transfusion.verdict.needed import Needed, to_confirm, to_show_equal

RISE_SHARE = 0.8
RISE_SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
NOISE_FACTOR = 4
ENOUGH_OF_SPEEDUP = 0.95
EQUIVALENCE_LEVEL = 0.05
FEW = 3  # trainings; fewer conclude nothing
SAME = 1e-3  # two numbers of one metric, one from predictions kept in float32
PACE_MARGIN = 1.2  # times; a ratio of steps shown to be within it is about the same

Ends: TypeAlias = Literal["higher", "slightly higher", "equal", "slightly lower", "lower", "unknown"]
PaceWord: TypeAlias = Literal["faster", "same", "slower", "unknown"]

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
class Timing:
    """What is known of the steps to the threshold, in runs.

    Attributes:
        n: pairs of runs.
        own_never, against_never: that did not get there.
        own_at_once, against_at_once: that were there by their first evaluation after step 0.
        first_look: step of that evaluation.
        budget: last step of the study.
    """

    n: int
    own_never: int
    against_never: int
    own_at_once: int
    against_at_once: int
    first_look: float
    budget: float

    @classmethod
    def of(cls, own: Sequence[Crossing], against: Sequence[Crossing], first_look: float, budget: float) -> Timing:
        """Count."""
        own_never, against_never = (sum(one.latest == np.inf for one in group) for group in (own, against))
        own_at_once, against_at_once = (sum(one.earliest == 0 for one in group) for group in (own, against))
        return cls(len(own), own_never, against_never, own_at_once, against_at_once, first_look, budget)


@dataclass(frozen=True)
class Effect:
    """One start against another, paired over seeds.

    Attributes:
        start: the start that is compared.
        against: name of the start that it is compared with, as a rule the baseline.
        final_mean: mean over its complete runs at the end (see ``Curve.final``).
        final_std: standard deviation over those seeds, as the paper's tables give it; NaN for one.
        final_n: how many they are.
        against_mean: ``final_mean`` of the other.
        evidence: of its metric at the end minus the other's, over trainings and, where predictions are known, patients.
        final_difference: the 95 % interval of that.
        last_difference: the same at the last step.
        speedup: steps of the other over its own steps to the threshold (80 % of the baseline's rise).
        area: mean height of its curve minus that of the other's, over the whole budget.
        speedup_at: share of the rise -> speed-up there.
        timing: of the speed-up.
        equivalence: the 90 % interval of ``final_difference``, which the two one-sided tests at 5 % look at.
        equivalence_p: of "they differ by the margin or more at the end".
        margin: the smallest difference that matters.
        num_lost: runs of the two that failed, diverged or collapsed.
        num_patients: that the runs were judged on; None where predictions are not known.
        num_positive: of them, with a positive image (of the rarest class).
        equivalence_level: what ``equivalence_p`` must be below.
        adjusted: quantity -> interval that holds for its whole family of comparisons. Claims rest on it, see ``claim``.
    """

    start: Start
    against: str
    final_mean: float
    final_std: float
    final_n: int
    against_mean: float
    evidence: Evidence
    final_difference: Interval
    last_difference: Interval
    speedup: Interval
    area: Interval
    speedup_at: dict[float, Interval]
    timing: Timing
    equivalence: Interval
    equivalence_p: float
    margin: float
    num_lost: int = 0
    num_patients: int | None = None
    num_positive: int | None = None
    equivalence_level: float = EQUIVALENCE_LEVEL
    adjusted: Mapping[str, Interval] = field(default_factory=dict)

    def claim(self, quantity: str) -> Interval:
        """The interval that a claim about a quantity rests on: adjusted for its family where there is one."""
        found: Interval = self.adjusted.get(quantity) or getattr(self, quantity)
        return found

    @cached_property
    def to_confirm(self) -> Needed | None:
        """Trainings that would show the difference seen at the end, if it is that large."""
        return to_confirm(self.evidence)

    @cached_property
    def to_show_equal(self) -> Needed | None:
        """Trainings that would show a difference smaller than the margin at the end, if there is none."""
        return to_show_equal(self.evidence, self.margin)

    @property
    def is_equivalent(self) -> bool:
        """Whether a test, and not a mere lack of evidence, says that they differ by less than the margin.

        Not where a run of either was lost: those that survived say nothing of those that did not.
        """
        return self.equivalence_p < self.equivalence_level and not self.num_lost

    @property
    def ends(self) -> Ends:
        """Where it ends, as far as it is shown; less than the margin is ``equal`` or ``slightly``."""
        found = self.claim("final_difference")
        if found.n < FEW:
            return "unknown"
        side = 1 if found.low > 0 else -1 if found.high < 0 else 0
        if self.is_equivalent:
            slightly: dict[int, Ends] = {1: "slightly higher", -1: "slightly lower", 0: "equal"}
            return slightly[side]
        apart: dict[int, Ends] = {1: "higher", -1: "lower", 0: "unknown"}
        return apart[side]

    @property
    def is_apart(self) -> bool:
        """Whether it is shown to end higher or lower by what may matter."""
        return self.ends in ("higher", "lower")

    @property
    def pace(self) -> PaceWord:
        """How fast it is, as far as it is shown."""
        found = self.claim("speedup")
        if found.n < FEW:
            return "unknown"
        if found.low > 1:
            return "faster"
        if found.high < 1:
            return "slower"
        return "same" if found.low >= 1 / PACE_MARGIN and found.high <= PACE_MARGIN else "unknown"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "against": self.against,
            "final_difference": self.final_difference.to_dict(),
            "last_difference": self.last_difference.to_dict(),
            "speedup": self.speedup.to_dict(),
            "area": self.area.to_dict(),
            "final": {"mean": self.final_mean, "std": self.final_std, "n": self.final_n},
            "speedup_at": {str(share): interval.to_dict() for share, interval in self.speedup_at.items()},
            "equivalence": {"p": self.equivalence_p},
            "needed": {"to_confirm": _plain(self.to_confirm), "to_show_equal": _plain(self.to_show_equal)},
            "adjusted": {name: interval.to_dict() for name, interval in self.adjusted.items()},
            "ends": self.ends,
            "pace": self.pace,
        }


@dataclass(frozen=True)
class Contest:
    """The runs of one data size and the baseline among them.

    Attributes:
        lost: start -> how many of its runs failed, diverged or collapsed.
        influences: run -> influence of each patient on its metric at the end; intervals cover other patients where both
            runs of a pair have one.
    """

    grid: Grid
    baseline: str
    margin: float
    lost: Mapping[str, int] = field(default_factory=dict)
    influences: Mapping[Hashable, Influence] = field(default_factory=dict)

    @cached_property
    def rise(self) -> Rise:
        """The baseline's, from its complete runs, so that one that was lost moves no threshold."""
        complete = self.grid.complete(self.baseline)
        return Rise.of(complete or self.grid.find(self.baseline))

    @property
    def rivals(self) -> list[Start]:
        """Every start but the baseline."""
        return [start for start in self.grid.starts if start.name != self.baseline]

    def compare(self, start: Start, against: str | None = None) -> Effect:
        """One start against another, the baseline if not given."""
        other = self.baseline if against is None else against
        runs, others = self.grid.starts[start], self.grid.find(other)
        found = self.evidence(runs, others)
        some = None if np.isnan(found.shared) else next(iter(self.influences.values()))
        finals = np.array([curve.final for curve in self.grid.complete(start.name).values()])
        against_finals = [curve.final for curve in self.grid.complete(other).values()]
        speedup_at = {share: self._speedup(runs, others, share) for share in RISE_SHARES}
        return Effect(
            start=start,
            against=other,
            final_mean=float(finals.mean()) if len(finals) else np.nan,
            final_std=float(finals.std(ddof=1)) if len(finals) > 1 else np.nan,
            final_n=len(finals),
            against_mean=float(np.mean(against_finals)) if against_finals else np.nan,
            evidence=found,
            final_difference=found.interval(),
            last_difference=self.evidence(runs, others, "last").interval(),
            speedup=speedup_at[RISE_SHARE],
            area=self.evidence(runs, others, "area").interval(),
            speedup_at=speedup_at,
            timing=self._timing(runs, others),
            equivalence=found.interval(1 - 2 * EQUIVALENCE_LEVEL),
            equivalence_p=found.equivalence_p(self.margin),
            margin=self.margin,
            num_lost=self.lost.get(start.name, 0) + self.lost.get(other, 0),
            num_patients=some.by_patient.shape[1] if some else None,
            num_positive=some.num_positive if some else None,
        )

    def differences(self, what: str, runs: Runs, other: Runs | None = None) -> dict[int, float]:
        """Seed -> ``final``, ``last`` or ``area`` of ``runs`` minus that of ``other``, where both are complete."""
        other = self.grid.find(self.baseline) if other is None else other
        pairs = {seed: (runs[seed], other[seed]) for seed in shared(runs, other)}
        complete = {seed: pair for seed, pair in pairs.items() if all(c.is_complete(self.grid.budget) for c in pair)}
        return {seed: getattr(own, what) - getattr(base, what) for seed, (own, base) in complete.items()}

    def evidence(self, runs: Runs, others: Runs, what: str = "final") -> Evidence:
        """Of ``differences``, over other patients too where the runs' influences are those of this quantity."""
        values = self.differences(what, runs, others)
        contrasts = [self._contrast(what, runs[seed], others[seed]) for seed in values]
        known = [each for each in contrasts if each is not None]
        shapes = {each.by_patient.shape for each in known}
        return evidence(values_of(values), known if len(known) == len(values) and len(shapes) == 1 else None)

    def _contrast(self, what: str, own: Curve, other: Curve) -> Influence | None:
        """None where the predictions are not known, or are those of another evaluation or other images."""
        pair = [self.influences.get(curve.run) for curve in (own, other)]
        ends = [getattr(curve, what) for curve in (own, other)]
        known = [one for one, end in zip(pair, ends, strict=True) if one is not None and abs(one.value - end) < SAME]
        if len(known) < 2 or known[0].by_patient.shape != known[1].by_patient.shape:
            return None
        return contrast(*known)

    def share(self, part: str, whole: str) -> Interval:
        """Log speed-up of ``part`` over log speed-up of ``whole``, both against the baseline."""
        groups = {name: self.grid.find(name) for name in (self.baseline, part, whole)}
        seeds = shared(*groups.values())
        if len(groups) < 3:
            return Interval.undefined(len(seeds), f"{self.baseline} is itself what the others are compared with")
        if not seeds:
            return Interval.undefined(0, f"no seed has runs of {self.baseline}, {part} and {whole}")
        if not self.rise.is_clear:
            return Interval.undefined(len(seeds), self._no_rise())
        crossings = [_crossings(runs, seeds, self.rise.level(RISE_SHARE)) for runs in groups.values()]
        return share_of_speedup(dict(zip(groups, crossings, strict=True)))

    def _timing(self, runs: Runs, others: Runs) -> Timing:
        seeds, level = shared(runs, others), self.rise.level(RISE_SHARE)
        looks = [float(curve.steps[curve.steps > 0][0]) for curve in runs.values()]
        own, against = (_crossings(group, seeds, level) for group in (runs, others))
        return Timing.of(own, against, min(looks, default=np.nan), self.grid.budget)

    def pace(self, start: str, against: str, level: float = 0.95) -> Interval:
        """The interval of the speed-up of a start against another, at any level."""
        return self._speedup(self.grid.find(start), self.grid.find(against), RISE_SHARE, level)

    def pace_p(self, start: str, against: str) -> float:
        """Two-sided p-value of "no faster and no slower"; NaN where that cannot be told."""
        if not self.rise.is_clear:
            return float("nan")
        return ratio_p(self.crossings(against, start), self.crossings(start, against))

    def crossings(self, start: str, other: str) -> list[Crossing]:
        """Of the threshold, by a start's runs of the seeds that it shares with another."""
        runs = self.grid.find(start)
        return _crossings(runs, shared(runs, self.grid.find(other)), self.rise.level(RISE_SHARE))

    def _speedup(self, runs: Runs, others: Runs, share: float, level: float = 0.95) -> Interval:
        seeds = shared(runs, others)
        if seeds and not self.rise.is_clear:
            return Interval.undefined(len(seeds), self._no_rise())
        threshold = self.rise.level(share)
        return ratio_interval(_crossings(others, seeds, threshold), _crossings(runs, seeds, threshold), level)

    def _no_rise(self) -> str:
        return f"{self.baseline} does not rise beyond the noise of its evaluations, so there is nothing to time"


def _plain(needed: Needed | None) -> dict[str, Any] | None:
    return None if needed is None else asdict(needed)


def shared(*groups: Iterable[int]) -> list[int]:
    """The seeds that are in every group, in order."""
    return sorted(set.intersection(*(set(group) for group in groups)))


def values_of(by_seed: dict[int, float]) -> Floats:
    """The values alone."""
    return np.array(list(by_seed.values()))


def _crossings(runs: Runs, seeds: list[int], level: float) -> list[Crossing]:
    return [runs[seed].crossing(level) for seed in seeds]


def _noise(curves: list[Floats]) -> float:
    """From second differences over the later half, which a smooth curve leaves near 0; robust to a few jumps."""
    bends = [np.diff(values[-max(3, len(values) // 2 + 1) :], n=2) for values in curves]
    pooled = np.abs(np.concatenate(bends))
    return float(np.median(pooled) / (0.6745 * np.sqrt(6))) if pooled.size else 0.0  # normal median; 1 + 4 + 1
