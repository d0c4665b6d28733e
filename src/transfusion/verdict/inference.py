"""Intervals and tests for three to ten seeds: numbers in, intervals out.

Differences and log ratios are paired over seeds and judged by Student's t, which keeps its level with three
values where a percentile bootstrap does not: with three seeds it can draw ten distinct samples only, and its
nominal 95 % interval covers some 75 to 80 % (``benchmarks/verdict_coverage.py`` measures it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from transfusion.metrics import Evidence, Influence, Interval, contrast, evidence, shared_covariance, weighted

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Crossing:
    """When one run reached a level: between two evaluations, in steps.

    Attributes:
        earliest: the last evaluation before it was reached; 0 where the first one was already there.
        best: the best single number: ``latest`` or ``earliest`` where only one of them is known.
        latest: the evaluation at which it was reached; inf where it was not reached at all.
        doubt: standard deviation of log(best) that the gap between the two leaves, however many runs there are.
        pull: derivative of log(best) by the values of the curve, (evaluations,).
        patients: how far each patient of the test images moves log(best); None where that is not known.
    """

    earliest: float
    best: float
    latest: float
    doubt: float = 0.0
    pull: Floats | None = field(default=None, compare=False, repr=False)
    patients: Influence | None = field(default=None, compare=False, repr=False)

    @property
    def is_bounded(self) -> bool:
        """Whether it lies between two evaluations, neither of them step 0."""
        return self.earliest > 0 and self.latest < np.inf

    @property
    def range(self) -> tuple[float, float, float]:
        """Least, best and greatest number for an interval: ``best`` unless there is no evaluation on one side."""
        if self.is_bounded:
            return self.best, self.best, self.best
        return self.earliest, self.best, self.latest


def mean_interval(values: Floats, level: float = 0.95) -> Interval:
    """Student's t interval of a mean; without ends, and with a reason, for one value or two that agree exactly.

    Three or more that agree exactly have an interval of no width, and a reason that says so.

    Examples:
        >>> found = mean_interval(np.array([0.9, 1.0, 1.1]))
        >>> round(found.low, 3), round(found.high, 3)
        (0.752, 1.248)
    """
    return evidence(values).interval(level)


def ratio_interval(baseline: Sequence[Crossing], scheme: Sequence[Crossing], level: float = 0.95) -> Interval:
    """Geometric mean over seeds of steps(baseline) / steps(scheme), known to lie between evaluations or beyond them.

    Student's t of the logs, with a standard error that also holds what the gaps between evaluations leave open, since
    all seeds may lie on the same side of what was read off, and other patients, where the crossings say how far each
    patient moves them: no number of seeds averages either out. A run that never got there, or was there at its first
    evaluation, leaves an end open (0 or inf) instead of being dropped.

    Examples:
        >>> slow, quick = ([Crossing(s - 10, s, s + 10) for s in steps] for steps in ((200, 220, 240), (100, 110, 120)))
        >>> found = ratio_interval(slow, quick)
        >>> round(found.estimate, 6), found.n
        (2.0, 3)
    """
    if not baseline:
        return Interval.undefined(0, "no seed has both runs")
    least, middle, most = _ratios(baseline, scheme)
    exact = middle.interval(level)
    said = [_censoring({"baseline": baseline, "own": scheme}), exact.reason]
    reason = "; ".join(filter(None, said)) or None
    low, high = _end(least, "low", level), _end(most, "high", level)
    # open on both sides: any number fits
    estimate = np.nan if low == 0 and high == np.inf else float(np.exp(exact.estimate))
    return Interval(estimate, low, high, exact.n, reason, exact.parts)


def ratio_p(baseline: Sequence[Crossing], scheme: Sequence[Crossing]) -> float:
    """Two-sided p-value of "as many steps", the largest that the open ends allow; NaN where there is no interval."""
    if len(baseline) < 2:
        return float("nan")
    least, _, most = _ratios(baseline, scheme)
    # each side by the bound that speaks against it most
    sides = [each.p_value() if sign * each.estimate > 0 else 1.0 for each, sign in ((least, 1), (most, -1))]
    finite = [p for p, each in zip(sides, (least, most), strict=True) if np.isfinite(each.estimate)]
    return float(np.min(finite)) if finite else 1.0


def log_ratios(baseline: Sequence[Crossing], scheme: Sequence[Crossing]) -> tuple[Floats, Floats, Floats]:
    """Least, best and greatest log of steps(baseline) / steps(scheme) that each pair allows, (pairs,) each."""
    with np.errstate(divide="ignore"):
        above, below = (np.log([each.range for each in runs]).T for runs in (baseline, scheme))
    return above[0] - below[2], above[1] - below[1], above[2] - below[0]


def _ratios(baseline: Sequence[Crossing], scheme: Sequence[Crossing]) -> tuple[Evidence, Evidence, Evidence]:
    """The same as evidence; an infinite mean where an end is open."""
    gaps, patients = gaps_of(baseline) + gaps_of(scheme), moved(baseline, scheme)
    least, middle, most = (widened(logs, gaps, patients) for logs in log_ratios(baseline, scheme))
    return least, middle, most


def moved(baseline: Sequence[Crossing], scheme: Sequence[Crossing]) -> list[Influence] | None:
    """How far each patient moves the log of each pair's ratio; None where that is not known of all."""
    pairs = [(base.patients, own.patients) for base, own in zip(baseline, scheme, strict=True)]
    found = [contrast(base, own) for base, own in pairs if base is not None and own is not None]
    return found if len(found) == len(pairs) else None


def gaps_of(runs: Sequence[Crossing]) -> float:
    """Variance of a mean log that the gaps between evaluations leave."""
    return float(np.mean([each.doubt for each in runs])) ** 2


def widened(logs: Floats, gaps: float, patients: Sequence[Influence] | None = None) -> Evidence:
    """Evidence of log ratios.

    The gaps' variance counts as if it were no better known than the spread, so it never narrows.
    """
    if np.isinf(logs).any():
        return Evidence(float(logs[np.isinf(logs)][0]), np.nan, len(logs), np.nan)
    found = evidence(logs, patients)
    return replace(found, spread=found.spread + found.n * gaps)


def share_interval(part: Floats, whole: Floats, level: float = 0.95, common: Floats | None = None) -> Interval:
    """Fieller's interval of mean(part) / mean(whole), paired over seeds.

    It holds the shares that a paired t test of ``part - share * whole`` does not reject, so it is exact for normal
    values at any n, and bounded just when the interval of mean(whole) excludes 0; a bootstrap of the ratio has neither
    property. Undefined where mean(whole) is not shown to be above 0.

    Args:
        part: one value per seed, (seeds,).
        whole: of the same seeds, (seeds,).
        level: of confidence.
        common: covariance of mean(part) and mean(whole) that more seeds would not reduce, (2, 2); none if not given.

    Examples:
        >>> part, whole = np.array([0.5, 0.55, 0.45]), np.array([1.0, 1.1, 0.9])
        >>> round(share_interval(part, whole).estimate, 6)
        0.5
    """
    n, shared = len(whole), np.zeros((2, 2)) if common is None else common
    base = widened(whole, float(shared[1, 1])).interval(level)
    if not base.low > 0:
        return Interval.undefined(n, base.reason or "the whole speed-up is not shown to be above 1")
    quantile = float(stdtrit(n - 1, (1 + level) / 2))
    (spread_part, joint), (_, spread_whole) = (np.cov(part, whole) / n + shared) * quantile**2
    a = base.estimate**2 - spread_whole  # above 0, since the interval of the whole excludes 0: the share is bounded
    b = part.mean() * base.estimate - joint
    c = part.mean() ** 2 - spread_part
    half = np.sqrt(max(b**2 - a * c, 0.0))  # rounding may leave it at -1e-18
    return Interval(float(part.mean() / base.estimate), float((b - half) / a), float((b + half) / a), n)


def gaps_in_common(baseline: float, part: float, whole: float) -> Floats:
    """Covariance of two mean log ratios to one baseline that the gaps leave, from each group's, (2, 2)."""
    return np.array([[baseline + part, baseline], [baseline, baseline + whole]])


def share_of_speedup(groups: Mapping[str, Sequence[Crossing]], level: float = 0.95) -> Interval:
    """Log speed-up of a part over log speed-up of the whole, steps known to lie between evaluations or beyond them.

    Where runs of one group are known on one side only, the share lies between its value at the bound and the limit that
    it goes to as the steps run off: 1 for the baseline (everything is fast against one that never gets there), 0 for a
    whole that was there at once, no limit for the part. The interval holds both.

    Args:
        groups: name -> crossings by seed, in the order baseline, part, whole.
        level: of confidence.
    """
    baseline, part, whole = groups.values()
    n, bounded = len(baseline), [name for name, runs in groups.items() if not all(c.is_bounded for c in runs)]
    logs = log_ratios(baseline, part)[1], log_ratios(baseline, whole)[1]
    common = gaps_in_common(*map(gaps_of, (baseline, part, whole))) + _patients_in_common(baseline, part, whole)
    at_bound = share_interval(*logs, level, common)
    if not bounded or np.isnan(at_bound.low):
        return at_bound
    least = log_ratios(baseline, whole)[0]
    if len(bounded) > 1 or np.isinf(least).any() or not mean_interval(least).low > 0:
        unknown = sum(not crossing.is_bounded for runs in groups.values() for crossing in runs)
        return Interval.undefined(n, f"the steps of {unknown} of {3 * n} runs are known only within bounds")
    limits = dict(zip(groups, ([1.0], _limits(part), [0.0]), strict=True))[bounded[0]]
    ends = [at_bound.low, at_bound.high, *limits]
    return Interval(at_bound.estimate, min(ends), max(ends), n, f"bounded only: {_censoring(groups)}")


def over_thresholds(crossings: Sequence[Crossing]) -> Crossing:
    """One run's crossings of several levels as one, all of them bounded: means of logs."""
    sides = np.log([(one.earliest, one.best, one.latest) for one in crossings])
    earliest, best, latest = np.exp(sides.mean(0)).tolist()
    known = [one.patients for one in crossings if one.patients is not None]
    patients = weighted(known, [1 / len(known)] * len(known)) if len(known) == len(crossings) else None
    return Crossing(earliest, best, latest, float(np.mean([one.doubt for one in crossings])), patients=patients)


def _patients_in_common(baseline: Sequence[Crossing], part: Sequence[Crossing], whole: Sequence[Crossing]) -> Floats:
    """Covariance of two mean log ratios over other patients, (2, 2); 0 where that is not known."""
    both = moved(baseline, part), moved(baseline, whole)
    if both[0] is None or both[1] is None or len(baseline) < 2:
        return np.zeros((2, 2))
    totals = [np.stack([one.by_patient.sum(0) for one in found]) for found in both if found]
    spreads = [max(shared_covariance(one, one), 0.0) for one in totals]
    most = float(np.sqrt(spreads[0] * spreads[1]))  # Cauchy and Schwarz: an estimated covariance may exceed it
    joint = float(np.clip(shared_covariance(totals[0], totals[1]), -most, most))
    return np.array([[spreads[0], joint], [joint, spreads[1]]])


def _limits(part: Sequence[Crossing]) -> list[float]:
    """The limits that a share goes to as the unknown steps of the part run off; none where they are bounded."""
    late, early = any(c.latest == np.inf for c in part), any(c.earliest == 0 for c in part)
    return [-np.inf] * late + [np.inf] * early


def _end(logs: Evidence, end: str, level: float) -> float:
    """End of the interval of a ratio from the logs that bound it; open where one of them is."""
    if np.isinf(logs.estimate):
        return 0.0 if end == "low" else float("inf")
    with np.errstate(over="ignore"):  # an end beyond every number is open
        return float(np.exp(getattr(logs.interval(level), end)))


def _censoring(groups: Mapping[str, Sequence[Crossing]]) -> str | None:
    """Which runs are timed on one side only, in words; None where all are bounded."""
    said = []
    for who, runs in groups.items():
        late, early = sum(c.latest == np.inf for c in runs), sum(c.earliest == 0 for c in runs)
        said += [f"{late} of {len(runs)} {who} runs never got there"] if late else []
        said += [f"{early} of {len(runs)} {who} runs were there by their first evaluation"] if early else []
    return ", ".join(said) or None
