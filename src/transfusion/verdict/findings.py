"""What a study found, in numbers: no word of prose is made here."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from transfusion.metrics import Interval, Metric
from transfusion.verdict.course import Cost, Course
from transfusion.verdict.details import ClassEffect, Fall, Level
from transfusion.verdict.effects import Effect, Rise
from transfusion.verdict.likeness import Likeness
from transfusion.verdict.sequential import Looks
from transfusion.verdict.tally import Tally

WHOLE, SCALING = "pretrained", "mean_var"
PLAIN = ("random", "kaiming", "default")  # schemes without a donor


@dataclass(frozen=True)
class Findings:
    """A study's conclusions as numbers.

    Attributes:
        judge: the metric that was judged.
        baseline: the start that everything is compared with.
        margin: the smallest difference in the metric that matters.
        rise: from where to where the baseline learns, which fixes the threshold.
        levels: start -> where it ends, the baseline included, at the largest data size.
        schemes: start -> its effect against the baseline, at the largest data size.
        pairs: effects of starts against each other, such as ``pretrained`` against ``mean_var``.
        challenge: the start that ends highest against the main one; None where that is the main one or the baseline.
        scaling_share: share of the speed-up of ``whole`` that ``scaling`` gets too.
        feature_reuse_share: the rest, which holds more than features: all that ``scaling`` does not have.
        plain_shares: start without a donor, other than the baseline -> the same share of it.
        upto_shares: partial start -> share of the full speed-up that it gets, in the order of the frame; their
            intervals hold for all of them together (Bonferroni).
        smallest_upto: the first of them that is shown to have at least 95 % of it, or None.
        modes: scheme -> best and worst batch-norm mode and the difference of their curves' mean heights.
        by_size: training images ("all" for all) -> start -> effect; empty for one size.
        size_change: how much larger the final difference of the main start is with fewest images than with most.
        tallies: start -> how its runs ended.
        falls: start -> how its curve falls from its peak, of those that are shown to.
        classes: effect of the leading start, class by class.
        likeness: what the comparisons of networks say, where there are any.
        called: scheme -> the start of a whole network that is meant by it, the one with the baseline's head.
        course: whether the curves still rise at the end, or were flat long before it.
        cost: of the baseline's way to the threshold; None where the times are not known.
        epochs: passes over the images in a training, where its length was given so.
        looks: the plan of looks, where trainings were added until they decided.
        judged_on: what intervals count as independent beside trainings: ``patients``, or ``images`` where those are not
            known.
    """

    judge: Metric
    baseline: str
    margin: float
    rise: Rise
    levels: dict[str, Level] = field(default_factory=dict)
    schemes: dict[str, Effect] = field(default_factory=dict)
    pairs: tuple[Effect, ...] = ()
    challenge: Effect | None = None
    scaling_share: Interval = field(default_factory=lambda: Interval.undefined(0, "there is nothing to share"))
    feature_reuse_share: Interval = field(default_factory=lambda: Interval.undefined(0, "there is nothing to share"))
    plain_shares: dict[str, Interval] = field(default_factory=dict)
    upto_shares: dict[str, Interval] = field(default_factory=dict)
    smallest_upto: str | None = None
    modes: dict[str, tuple[str, str, Interval]] = field(default_factory=dict)
    by_size: dict[str, dict[str, Effect]] = field(default_factory=dict)
    size_change: Interval | None = None
    tallies: dict[str, Tally] = field(default_factory=dict)
    falls: dict[str, Fall] = field(default_factory=dict)
    classes: tuple[ClassEffect, ...] = ()
    likeness: Likeness | None = None
    called: dict[str, str] = field(default_factory=dict)
    course: Course = field(default_factory=lambda: Course(np.nan, {}))
    cost: Cost | None = None
    epochs: float | None = None
    looks: Looks | None = None
    judged_on: str = "patients"

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return self.judge.name

    @property
    def whole(self) -> str:
        """The start of pretrained weights."""
        return self.called.get(WHOLE, WHOLE)

    @property
    def scaling(self) -> str:
        """The start of their scale alone."""
        return self.called.get(SCALING, SCALING)

    @property
    def main(self) -> Effect | None:
        """The effect that the decision rests on: of ``pretrained``, or else of the first start of the frame."""
        return self.schemes.get(self.whole) or next(iter(self.schemes.values()), None)

    @property
    def is_decided(self) -> bool:
        """Whether the main start is shown to end apart, or to end equal with its pace known."""
        main = self.main
        # ends that are equal leave the pace to decide, and no more trainings are needed once both are known
        return main is not None and (main.is_apart or (main.ends != "unknown" and main.pace != "unknown"))

    @property
    def has_baseline(self) -> bool:
        """Whether there are runs to compare with."""
        return not np.isnan(self.rise.start)

    @property
    def num_incomplete(self) -> int:
        """Runs without an end: unfinished, failed, diverged or collapsed."""
        return sum(tally.num_runs - tally.done for tally in self.tallies.values())
