"""What the runs of a recipe say about an estimand: paired over seeds, with a reason wherever there is no answer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from transfusion.metrics import Interval
from transfusion.paper.rules import SIMILAR_PACE, Outcome, ordered, same
from transfusion.verdict.contest import shared
from transfusion.verdict.curves import Curve, Grid, read
from transfusion.verdict.effects import RISE_SHARE, Rise
from transfusion.verdict.inference import (
    Floats,
    gaps_in_common,
    gaps_of,
    log_ratios,
    mean_interval,
    share_interval,
    widened,
)

Quantity = Callable[[Curve], float]


# neither leaves this package: ``claims.claim.attempt`` turns them into outcomes, so they are no part of the error tree
class NotRunError(Exception):
    """Runs that an estimand needs are not there."""


class NotTestableError(Exception):
    """A precondition of an estimand fails on these data."""


@dataclass(frozen=True)
class Finding:
    """What became of one claim.

    Attributes:
        outcome: see ``rules.Outcome``.
        estimate: the number that it rests on most, with its 95 % interval over seeds; None where there is none.
        unit: of the estimate: the metric's name, ``times``, ``share``, ``way`` (from chance to identity).
        why: what is missing or what else matters, in a sentence; may be empty.
        parts: outcomes of a claim's parts, where it has several.
    """

    outcome: Outcome
    estimate: Interval | None = None
    unit: str = ""
    why: str = ""
    parts: tuple[Outcome, ...] = ()

    @property
    def reason(self) -> str:
        """``why``, and what became of the parts.

        Examples:
            >>> Finding(Outcome.CANNOT_TELL, parts=(Outcome.REPLICATED, Outcome.CANNOT_TELL)).reason
            'Of 2 parts 1 replicated, 1 cannot tell.'
        """
        counts = Counter(self.parts)
        if len(counts) < 2:  # parts that agree say nothing that the outcome does not
            return self.why
        shown = sorted(counts, key=lambda outcome: (outcome is self.outcome, list(Outcome).index(outcome)))
        told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in shown)
        has_own = self.estimate is not None and self.outcome not in (Outcome.NOT_RUN, Outcome.NOT_TESTABLE)
        number = " (the number is the first of these)" if has_own else ""
        return f"{self.why} Of {len(self.parts)} parts {told}{number}.".strip()


class Logs(NamedTuple):
    """Log of steps(slow) / steps(fast) to one level, by seed.

    Attributes:
        seeds: whose runs they are of.
        least, best, most: that evaluations allow, (seeds,).
        slow_gaps, fast_gaps: variance of the mean that the gaps between evaluations leave, on either side.
    """

    seeds: tuple[int, ...]
    least: Floats
    best: Floats
    most: Floats
    slow_gaps: float
    fast_gaps: float

    @property
    def gaps(self) -> float:
        """Variance of the mean that no number of seeds reduces."""
        return self.slow_gaps + self.fast_gaps

    def of(self, seeds: Sequence[int]) -> Logs:
        """Those of some of the seeds, in that order."""
        at = [self.seeds.index(seed) for seed in seeds]
        return self._replace(seeds=tuple(seeds), least=self.least[at], best=self.best[at], most=self.most[at])


@dataclass(frozen=True)
class Part:
    """The curves of one part of a recipe, and what its networks look like.

    Attributes:
        frame: tidy, as ``Study.frame`` gives it.
        similarity: comparisons of networks, as ``runs.frames.similarity`` gives them; may be empty.
        stages: of the network, in order.
        gabor: start, seed, step, fraction (of the run), when, share, chance: how many first-layer filters are
            Gabor-like, and the median R2 of filters of the same spectrum with random phases; may be empty.
        model: name of the network.
        has_levels: whether its levels may be set beside the paper's.
        lost: start -> how many of its runs failed, diverged or collapsed.
    """

    frame: pd.DataFrame
    similarity: pd.DataFrame = field(default_factory=pd.DataFrame)
    stages: tuple[str, ...] = ()
    gabor: pd.DataFrame = field(default_factory=pd.DataFrame)
    model: str = ""
    has_levels: bool = False
    lost: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Arms:
    """The runs of one size of one part: starts against each other, paired over seeds."""

    grid: Grid
    baseline: str = "random"
    lost: Mapping[str, int] = field(default_factory=dict)

    def runs(self, start: str) -> dict[int, Curve]:
        """Its curves by seed.

        Raises:
            NotRunError: there are none.
        """
        found = self.grid.find(start)
        if not found:
            raise NotRunError(f"There are no runs of {start}.")
        return found

    def whole(self, *starts: str) -> Arms:
        """Itself, for a claim that some starts are the same: those that survived say nothing of those that did not.

        Raises:
            NotTestableError: a run of one of them failed, diverged or collapsed.
        """
        said = [f"{self.lost[start]} of {start}" for start in starts if self.lost.get(start)]
        if said:
            raise NotTestableError(f"Trainings were lost, {' and '.join(said)}: the others cannot show sameness.")
        return self

    def gap(self, a: str, b: str, of: Quantity | None = None) -> Floats:
        """A quantity of ``a`` minus that of ``b`` for every seed whose two runs are complete, (seeds,)."""
        return np.array(list(self.gaps(a, b, of).values()))

    def gaps(self, a: str, b: str, of: Quantity | None = None) -> dict[int, float]:
        """Seed -> a quantity of ``a`` minus that of ``b``, where both runs are complete.

        Args:
            a: label of a start.
            b: label of another.
            of: of a curve; the final performance if not given.

        Raises:
            NotRunError: no seed has both.
        """
        measure = of or final
        ours, theirs = self.runs(a), self.runs(b)
        budget = self.grid.budget
        # a run that stopped short has no end to compare
        both = [seed for seed in shared(ours, theirs) if all(x[seed].is_complete(budget) for x in (ours, theirs))]
        if not both:
            raise NotRunError(f"No seed has complete runs of {a} and {b}.")
        return {seed: measure(ours[seed]) - measure(theirs[seed]) for seed in both}

    @cached_property
    def level(self) -> float:
        """80 % of the rise of the baseline, which every speed is measured at.

        Raises:
            NotTestableError: it does not rise beyond the noise of its evaluations.
        """
        runs = self.runs(self.baseline)
        # complete ones, as in the verdict: one that was lost must not move the threshold
        rise = Rise.of(self.grid.complete(self.baseline) or runs)
        if not rise.is_clear:
            raise NotTestableError("random does not rise beyond the noise of its evaluations: nothing can be timed.")
        return rise.level(RISE_SHARE)

    def log_speed(self, slow: str, fast: str) -> Logs:
        """Log of steps(slow) / steps(fast) to ``level``, over the seeds that have both.

        Raises:
            NotRunError: no seed has both.
            NotTestableError: all runs of both were there by their first evaluation, or there is no level.
        """
        others, own = self.runs(slow), self.runs(fast)
        seeds = shared(own, others)
        if not seeds:
            raise NotRunError(f"No seed has runs of {slow} and {fast}.")
        # a run that stopped short counts too: it bounds its steps from below, and dropping it would favour slow starts
        crossings = [[runs[seed].crossing(self.level) for seed in seeds] for runs in (others, own)]
        if all(c.earliest == 0 for side in crossings for c in side):
            raise NotTestableError(f"{slow} and {fast} were there by the first evaluation: evaluate earlier.")
        return Logs(tuple(seeds), *log_ratios(crossings[0], crossings[1]), *map(gaps_of, crossings))


def final(curve: Curve) -> float:
    """Performance where training ends."""
    return curve.final


def area(curve: Curve) -> float:
    """Mean height of the whole curve."""
    return curve.area


def higher(gap: Floats, above: float, unit: str, level: float = 0.95) -> Finding:
    """Whether a mean difference is above a bound."""
    interval = mean_interval(gap, level)
    return Finding(ordered(interval, above), interval, unit)


def alike(gap: Floats, margin: float, unit: str, level: float = 0.95) -> Finding:
    """Whether a mean difference is 0 within a margin."""
    wide, narrow = mean_interval(gap, level), mean_interval(gap, 2 * level - 1)
    return Finding(same(wide, narrow, margin), wide, unit)


def faster(logs: Logs, more_than: float = 1.0) -> Finding:
    """Whether a ratio of steps is above a bound."""
    interval = ratio(logs)
    return Finding(ordered(interval, more_than), interval, "times")


def paced(logs: Logs) -> Finding:
    """Whether a ratio of steps is 1 within the margin of similar pace."""
    wide, narrow = (_bounded(logs, level) for level in (0.95, 0.90))
    return Finding(same(wide, narrow, math.log(SIMILAR_PACE)), _exponential(wide), "times")


def ratio(logs: Logs) -> Interval:
    """Geometric mean of ratios that are known within bounds, 95 %; an end that no evaluation bounds is open."""
    return _exponential(_bounded(logs, 0.95))


def scaling_share(part: Logs, whole: Logs) -> Interval:
    """Log speed-up of a part over that of the whole, by the best single numbers (Fieller).

    Raises:
        NotRunError: they share no seed.
    """
    # Fieller's interval is of pairs: a run that was lost takes its seed out of both
    seeds = in_common(part.seeds, whole.seeds)
    part, whole = part.of(seeds), whole.of(seeds)
    common = gaps_in_common(part.slow_gaps, part.fast_gaps, whole.fast_gaps)
    return share_interval(part.best, whole.best, common=common)


def in_common(*groups: Iterable[int]) -> list[int]:
    """The seeds that all groups have, in order.

    Raises:
        NotRunError: there are none.
    """
    seeds = shared(*groups)
    if not seeds:
        raise NotRunError("No seed has all the runs that are set against each other.")
    return seeds


def _bounded(logs: Logs, level: float) -> Interval:
    # each end by the steps that speak most against it: an interval of the best guesses would be too sure of itself
    low, high = (
        end if np.isinf(side).any() else getattr(widened(side, logs.gaps).interval(level), name)
        for side, end, name in ((logs.least, -np.inf, "low"), (logs.most, np.inf, "high"))
    )
    return Interval(float(logs.best.mean()), low, high, len(logs.best))


def _exponential(interval: Interval) -> Interval:
    estimate, low, high = np.exp([interval.estimate, interval.low, interval.high]).tolist()
    return Interval(estimate, low, high, interval.n, interval.reason)


@dataclass(frozen=True)
class Evidence:
    """All parts of a recipe that have been run.

    Attributes:
        parts: name -> its curves.
        commands: name of a part -> what runs it, for what is missing.
    """

    parts: Mapping[str, Part]
    commands: Mapping[str, str] = field(default_factory=dict)

    def part(self, name: str) -> Part:
        """One part.

        Raises:
            NotRunError: it is not there.
        """
        if name not in self.parts or not len(self.parts[name].frame):
            remedy = f": {self.commands[name]}" if name in self.commands else ""
            raise NotRunError(f"Part {name} has no curves yet{remedy}.")
        return self.parts[name]

    def grids(self, part: str, metric: str) -> list[Arms]:
        """The runs of every size, smallest first, all images last."""
        frame = self.part(part).frame
        # a class without positives has a column that is NaN throughout: not run and not testable are two outcomes
        if metric not in frame or not np.isfinite(frame[metric].to_numpy(np.float64)).any():
            raise NotTestableError(_no_metric(metric, metric in frame))
        return [Arms(grid, lost=self.part(part).lost) for grid in read(frame, metric)]

    def arms(self, part: str, metric: str) -> Arms:
        """The runs of the largest size."""
        return self.grids(part, metric)[-1]


def _no_metric(metric: str, is_known: bool) -> str:
    disease = metric.removeprefix("auc:")
    if not is_known and disease != metric:
        return f"{disease} is not among the labels of these images."
    return f"{disease if disease != metric else metric} cannot be judged: not both outcomes are among the test images."


def worst_of(findings: Sequence[Finding], outcome: Outcome) -> Finding:
    """The finding that decides a claim of several parts, with the outcome of the whole."""
    # its number is shown: beside "contradicted" nobody should read the estimate of a part that holds
    deciding = next((each for each in findings if each.outcome == outcome), findings[0])
    parts = tuple(part for each in findings for part in each.parts or (each.outcome,))
    return Finding(outcome, deciding.estimate, deciding.unit, deciding.why, parts)
