"""One start against another: how far it gets, how fast, and what share of the gain is whose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np

from transfusion.metrics import Evidence, Interval
from transfusion.verdict.curves import Curve, Start
from transfusion.verdict.inference import Crossing, Floats
from transfusion.verdict.needed import Needed, to_confirm, to_show_equal

RISE_SHARE = 0.8  # of the baseline's own rise: an absolute level would be out of reach for some data
RISE_SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # shown beside it: does the speed-up hang on the threshold?
NOISE_FACTOR = 4  # a smaller rise may be a wiggle, and steps to a share of it mean nothing
ENOUGH_OF_SPEEDUP = 0.95  # of all stages': from there on the stages above add nothing that matters
EQUIVALENCE_LEVEL = 0.05  # of each of the two one-sided tests
FEW = 3  # trainings; fewer conclude nothing
PACE_MARGIN = 1.2  # times; a ratio of steps shown to be within it is about the same
QUANTITIES = ("final_difference", "last_difference", "speedup", "area")  # of an effect, in every table

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
        return self.final - self.start > NOISE_FACTOR * self.noise  # also False where it falls, or is NaN


@dataclass(frozen=True)
class Timing:
    """What is known of the steps to the threshold, in runs.

    Attributes:
        n: pairs of runs.
        own_never: its runs that did not get there.
        own_at_once, against_at_once: that were there by their first evaluation after step 0.
        first_look: step of that evaluation.
        budget: last step of the study.
    """

    n: int
    own_never: int
    own_at_once: int
    against_at_once: int
    first_look: float
    budget: float

    @classmethod
    def of(cls, own: Sequence[Crossing], against: Sequence[Crossing], first_look: float, budget: float) -> Timing:
        """Count crossings of the threshold that are known on one side only."""
        own_never = sum(one.latest == np.inf for one in own)
        own_at_once, against_at_once = (sum(one.earliest == 0 for one in group) for group in (own, against))
        return cls(len(own), own_never, own_at_once, against_at_once, first_look, budget)


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
        # shown to be small wins over shown to be apart: what is too small to matter decides nothing
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
            **{name: getattr(self, name).to_dict() for name in QUANTITIES},
            "final": {"mean": self.final_mean, "std": self.final_std, "n": self.final_n},
            "speedup_at": {str(share): interval.to_dict() for share, interval in self.speedup_at.items()},
            "equivalence": {"p": self.equivalence_p},
            "needed": {"to_confirm": _plain(self.to_confirm), "to_show_equal": _plain(self.to_show_equal)},
            "adjusted": {name: interval.to_dict() for name, interval in self.adjusted.items()},
            "ends": self.ends,
            "pace": self.pace,
        }


def _plain(needed: Needed | None) -> dict[str, Any] | None:
    return None if needed is None else asdict(needed)


def _noise(curves: list[Floats]) -> float:
    """From second differences over the later half, which a smooth curve leaves near 0; robust to a few jumps."""
    # the later half: early curves bend themselves
    bends = [np.diff(values[-max(3, len(values) // 2 + 1) :], n=2) for values in curves]
    pooled = np.abs(np.concatenate(bends))
    return float(np.median(pooled) / (0.6745 * np.sqrt(6))) if pooled.size else 0.0  # normal median; 1 + 4 + 1
