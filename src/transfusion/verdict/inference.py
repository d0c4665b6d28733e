"""Intervals and tests for three to ten seeds: numbers in, intervals out.

Differences and log ratios are paired over seeds and judged by Student's t, which keeps its level with three
values where a percentile bootstrap does not: with three seeds it can draw ten distinct samples only, and its
nominal 95 % interval covers some 75 to 80 % (``benchmarks/verdict_coverage.py`` measures it).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import nctdtr, stdtr, stdtrit

from transfusion.metrics import Interval

Floats = NDArray[np.float64]

POWER = 0.8
MAX_SEEDS = 10_000
ENOUGH_TO_AGREE = 3  # values that agree exactly


@dataclass(frozen=True)
class Crossing:
    """When one run reached a level, in steps, as far as its evaluations tell.

    Attributes:
        earliest: it was not reached before; 0 where the first evaluation was already there.
        best: the best single number: ``latest`` or ``earliest`` where only one of them is known.
        latest: it was reached by then; inf where it was not reached at all.
    """

    earliest: float
    best: float
    latest: float

    @property
    def is_exact(self) -> bool:
        """Whether the evaluations before and after it are both known."""
        return self.earliest == self.latest


def mean_interval(values: Floats, level: float = 0.95) -> Interval:
    """Student's t interval of a mean; without ends, and with a reason, for one value or two that agree exactly.

    Three or more that agree exactly have an interval of no width, and a reason that says so: independent trainings do
    so by chance only where the metric cannot tell them apart.
    """
    n = len(values)
    if n == 0:
        return Interval.undefined(0, "no seed has both runs complete")
    estimate = float(values.mean())
    if n == 1:
        return Interval(estimate, np.nan, np.nan, 1, "one seed shows no spread")
    if np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):
        end = estimate if n >= ENOUGH_TO_AGREE else np.nan
        return Interval(estimate, end, end, n, f"all {n} seeds agree exactly, so there is no spread to judge by")
    margin = float(stdtrit(n - 1, (1 + level) / 2)) * float(values.std(ddof=1)) / np.sqrt(n)
    return Interval(estimate, estimate - margin, estimate + margin, n)


def ratio_interval(baseline: Sequence[Crossing], scheme: Sequence[Crossing]) -> Interval:
    """Geometric mean over seeds of steps(baseline) / steps(scheme), both known exactly or within bounds.

    The lower end is that of the t interval of the smallest ratios that the bounds allow, the upper end that of the
    largest: a run that never got there leaves an end open (0 or inf) instead of being dropped.
    """
    if not baseline:
        return Interval.undefined(0, "no seed has both runs")
    least, middle, most = log_ratios(baseline, scheme)
    exact = mean_interval(middle)
    said = [_censoring({"baseline": baseline, "own": scheme}), exact.reason]
    reason = "; ".join(filter(None, said)) or None
    low, high = _end(least, "low"), _end(most, "high")
    estimate = np.nan if low == 0 and high == np.inf else float(np.exp(exact.estimate))
    return Interval(estimate, low, high, exact.n, reason)


def log_ratios(baseline: Sequence[Crossing], scheme: Sequence[Crossing]) -> tuple[Floats, Floats, Floats]:
    """Least, best and greatest log of steps(baseline) / steps(scheme) that each pair allows, (pairs,) each."""
    with np.errstate(divide="ignore"):
        above, below = (np.log([[c.earliest, c.best, c.latest] for c in runs]).T for runs in (baseline, scheme))
    return above[0] - below[2], above[1] - below[1], above[2] - below[0]


def share_interval(part: Floats, whole: Floats, level: float = 0.95) -> Interval:
    """Fieller's interval of mean(part) / mean(whole), paired over seeds.

    It holds the shares that a paired t test of ``part - share * whole`` does not reject, so it is exact for normal
    values at any n, and bounded just when the interval of mean(whole) excludes 0; a bootstrap of the ratio has neither
    property. Undefined where mean(whole) is not above 0 beyond doubt.
    """
    n, base = len(whole), mean_interval(whole, level)
    if not base.low > 0:
        return Interval.undefined(n, base.reason or "the whole speed-up is not above 1 beyond doubt")
    quantile = float(stdtrit(n - 1, (1 + level) / 2))
    (spread_part, joint), (_, spread_whole) = np.cov(part, whole) * quantile**2 / n
    a = base.estimate**2 - spread_whole
    b = part.mean() * base.estimate - joint
    c = part.mean() ** 2 - spread_part
    half = np.sqrt(max(b**2 - a * c, 0.0))
    return Interval(float(part.mean() / base.estimate), float((b - half) / a), float((b + half) / a), n)


def share_of_speedup(groups: Mapping[str, Sequence[Crossing]]) -> Interval:
    """Log speed-up of a part over log speed-up of the whole, steps known exactly or, for one group, within bounds.

    Where runs of one group are bounded only, the share lies between its value at the bound and the limit that it goes
    to as the steps run off: 1 for the baseline (everything is fast against one that never gets there), 0 for a whole
    that was there at once, no limit for the part. The interval holds both.

    Args:
        groups: name -> crossings by seed, in the order baseline, part, whole.
    """
    baseline, part, whole = groups.values()
    n, bounded = len(baseline), [name for name, runs in groups.items() if not all(c.is_exact for c in runs)]
    at_bound = share_interval(log_ratios(baseline, part)[1], log_ratios(baseline, whole)[1])
    if not bounded or np.isnan(at_bound.low):
        return at_bound
    least = log_ratios(baseline, whole)[0]
    if len(bounded) > 1 or np.isinf(least).any() or not mean_interval(least).low > 0:
        unknown = sum(not crossing.is_exact for runs in groups.values() for crossing in runs)
        return Interval.undefined(n, f"the steps of {unknown} of {3 * n} runs are known only within bounds")
    limits = dict(zip(groups, ([1.0], _limits(part), [0.0]), strict=True))[bounded[0]]
    ends = [at_bound.low, at_bound.high, *limits]
    return Interval(at_bound.estimate, min(ends), max(ends), n, f"bounded only: {_censoring(groups)}")


def _limits(part: Sequence[Crossing]) -> list[float]:
    late, early = any(c.latest == np.inf for c in part), any(c.earliest == 0 for c in part)
    return [-np.inf] * late + [np.inf] * early


def equivalence_p(values: Floats, margin: float) -> float:
    """p-value of two one-sided t tests against a mean of at least ``margin`` or at most minus it; NaN without spread.

    Source: Schuirmann 1987.
    """
    n = len(values)
    found = mean_interval(values)
    if not found.low < np.inf:
        return float("nan")
    if found.low == found.high:
        return float(abs(found.estimate) >= margin)
    error = values.std(ddof=1) / np.sqrt(n)
    return float(stdtr(n - 1, (abs(values.mean()) - margin) / error))


def num_seeds_needed(values: Floats, margin: float) -> int | None:
    """Seeds with which the equivalence test says "no difference larger than margin" with power 0.8 if there is none.

    From the spread over seeds that was seen, itself uncertain with few seeds; None without spread or above 10,000.
    """
    if len(values) < 2 or not (spread := values.std(ddof=1)) > 0:
        return None

    def power(n: int) -> float:
        return float(2 * nctdtr(n - 1, -margin * np.sqrt(n) / spread, -stdtrit(n - 1, 0.95)) - 1)

    needed = 2 + bisect_left(range(2, MAX_SEEDS + 1), POWER, key=power)
    return needed if needed <= MAX_SEEDS else None


def _end(values: Floats, end: str) -> float:
    """End of the interval of a ratio whose logs are bounded by ``values``; open where one of them is."""
    if np.isinf(values).any():
        return 0.0 if end == "low" else float("inf")
    return float(np.exp(getattr(mean_interval(values), end)))


def _censoring(groups: Mapping[str, Sequence[Crossing]]) -> str | None:
    said = []
    for who, runs in groups.items():
        late, early = sum(c.latest == np.inf for c in runs), sum(c.earliest == 0 for c in runs)
        said += [f"{late} of {len(runs)} {who} runs never got there"] if late else []
        said += [f"{early} of {len(runs)} {who} runs were there by their first evaluation"] if early else []
    return ", ".join(said) or None
