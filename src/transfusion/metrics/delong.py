"""DeLong intervals of one AUC, or of the difference of two, on the same cases."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import expit, logit

from transfusion.errors import InputError
from transfusion.metrics.influence import auc_influence
from transfusion.metrics.interval import Interval

Floats = NDArray[np.float64]


def delong(labels: ArrayLike, scores: ArrayLike, level: float = 0.95, patients: ArrayLike | None = None) -> Interval:
    """Interval of one model's AUC over new cases, or new patients with all their cases, from the same population.

    Not for what another training would give (repeat with other seeds). The interval is symmetric in log odds, so it
    stays inside (0, 1). Where DeLong's variance is 0 or
    cannot be estimated (perfect separation, all scores tied, one case of a kind), it is the exact binomial
    interval of k = min(positives, negatives) disjoint pairs instead: an AUC estimated from all pairs never varies more
    than one from k disjoint pairs (Birnbaum and Klose 1957), and at perfect separation the lower end
    ((1 - level) / 2) ** (1 / k) is exact in the sense of Clopper and Pearson. It is wide, and ``reason`` says so.

    Args:
        labels: 0 or 1, (examples,).
        scores: higher means more likely 1, (examples,).
        level: confidence, 0 to 1.
        patients: who each example belongs to, (examples,). With them the variance is that over whole patients
            (Obuchowski 1997), and the quantile Student's, with degrees of freedom from how many patients there are on
            either side: with 10 to 50 positive ones it covers better than a bootstrap, most of all near 1.

    Returns:
        The interval, ``n`` examples, or patients; NaN with a reason if one of the classes is absent.

    Raises:
        InputError: shapes that do not fit, NaN scores, labels other than 0 and 1.

    Source: DeLong et al. 1988 through mid-ranks (Sun and Xu 2014); Obuchowski 1997, Biometrics 53; an addition to the
    paper.

    Examples:
        >>> measured = delong([0, 0, 0, 1, 1, 1], [0.1, 0.4, 0.35, 0.8, 0.3, 0.9])
        >>> round(measured.estimate, 3), round(measured.low, 3), round(measured.high, 3)
        (0.778, 0.173, 0.983)
    """
    truth, values = checked_pair(labels, scores)
    if patients is not None:
        return _by_patient(truth, values, np.asarray(patients), level)
    n, num_pairs = len(truth), int(min(truth.sum(), (~truth).sum()))
    if num_pairs == 0:
        return Interval.undefined(n, "one class is absent")
    aucs, covariance = _delong_covariance(truth, values[None])
    auc, variance = float(aucs[0]), float(covariance[0, 0])
    if not 0 < auc < 1 or not variance > 0:  # `not >` also where it is NaN, of one case of a kind
        return disjoint_pairs(auc, num_pairs, n, level)
    return _in_log_odds(auc, _z(level) * np.sqrt(variance), n)


def _by_patient(truth: NDArray[np.bool_], values: Floats, patients: NDArray[Any], level: float) -> Interval:
    quantile, n = _z(level), len(np.unique(patients))
    found = auc_influence(truth, values, patients)
    if np.isnan(found.value):
        return Interval.undefined(n, "one class is absent")
    if not 0 < found.value < 1 or not found.variance > 0 or num_disjoint_pairs(truth, patients) < 2:
        return disjoint_pairs(found.value, num_disjoint_pairs(truth, patients), n, level)
    parts = (found.by_patient**2).sum(1)
    quantile = float(stats.t.isf((1 - level) / 2, parts.sum() ** 2 / (parts**2 / found.df).sum()))  # Satterthwaite
    return _in_log_odds(found.value, quantile * np.sqrt(found.variance), n)


def _in_log_odds(auc: float, margin: float, n: int) -> Interval:
    """The interval that is symmetric in log odds, from half the width that one about the AUC itself would have."""
    half = margin / (auc * (1 - auc))
    low, high = expit(logit(auc) + np.array([-half, half]))
    return Interval(auc, float(low), float(high), n)


def num_disjoint_pairs(truth: NDArray[np.bool_], patients: NDArray[Any]) -> int:
    """Most pairs of a positive and a negative case that use every patient at most once.

    Examples:
        >>> num_disjoint_pairs(np.array([True, True, False]), np.array(["a", "b", "a"]))
        1
    """
    positive, negative = set(patients[truth].tolist()), set(patients[~truth].tolist())
    return min(len(positive), len(negative), len(positive | negative) // 2)


def delong_test(labels: ArrayLike, a: ArrayLike, b: ArrayLike, level: float = 0.95) -> tuple[Interval, float]:
    """Whether two models rank the same cases equally well: AUC of ``a`` minus AUC of ``b``.

    It speaks about these two sets of weights only, not about the rules that made them: compare schemes over seeds.

    Args:
        labels: 0 or 1, (examples,).
        a: scores of one model, (examples,).
        b: scores of the other model on the same cases, (examples,).
        level: confidence, 0 to 1.

    Returns:
        The difference with its interval, and the two-sided p-value. Where the variance of the difference is 0 or cannot
        be estimated, the interval spans the two models' own intervals, ``reason`` says so, and p is NaN.

    Raises:
        InputError: as for ``delong``.

    Source: DeLong et al. 1988.

    Examples:
        >>> difference, p = delong_test([0, 0, 1, 1, 1], [1, 2, 3, 2, 4], [1, 3, 2, 2, 4])
        >>> round(difference.estimate, 3), p > 0.05
        (0.25, True)
    """
    truth, first = checked_pair(labels, a)
    second = checked_pair(labels, b)[1]
    if truth.all() or not truth.any():
        return Interval.undefined(len(truth), "one class is absent"), float("nan")
    aucs, covariance = _delong_covariance(truth, np.stack([first, second]))
    difference, contrast = float(aucs[0] - aucs[1]), np.array([1, -1])
    variance = float(contrast @ covariance @ contrast)
    if not variance > 1e-15:  # rounding of covariances of order 1
        own = delong(truth, first, level), delong(truth, second, level)
        low, high = own[0].low - own[1].high, own[0].high - own[1].low
        return Interval(difference, low, high, len(truth), "the variance of the difference is 0 or unknown"), np.nan
    error = np.sqrt(variance)
    low, high = difference - _z(level) * error, difference + _z(level) * error
    return Interval(difference, low, high, len(truth)), float(2 * stats.norm.sf(abs(difference) / error))


def checked_pair(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    """Labels and scores as arrays that fit each other."""
    truth, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != values.shape or not truth.size:
        raise InputError(f"Labels have shape {truth.shape} and scores {values.shape}; give one of each per example.")
    if not np.isin(truth, (0, 1)).all():
        raise InputError("Labels must be 0 or 1; other values were given. Leave unlabelled examples out.")
    if np.isnan(values).any():
        raise InputError(f"{int(np.isnan(values).sum())} of {values.size} scores are NaN; leave those examples out.")
    return truth.astype(np.bool_), values


def _z(level: float) -> float:
    if not 0 < level < 1:
        raise InputError(f"A confidence level of {level} is not between 0 and 1; the usual one is 0.95.")
    return float(stats.norm.isf((1 - level) / 2))


def _delong_covariance(truth: NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """AUCs (models,) and covariance (models, models) of scores (models, examples); NaN for one case of a kind."""
    num_positive, num_negative = int(truth.sum()), int((~truth).sum())
    # mid-ranks count the pairs in n log n where comparing each with each takes n^2
    rank = stats.rankdata(scores, axis=1)
    rank_positive = rank[:, truth] - stats.rankdata(scores[:, truth], axis=1)
    rank_negative = rank[:, ~truth] - stats.rankdata(scores[:, ~truth], axis=1)
    beaten, beating = rank_positive / num_negative, 1 - rank_negative / num_positive
    aucs = beaten.mean(1)
    if min(num_positive, num_negative) < 2:  # one case has no variance
        return aucs, np.full((len(scores), len(scores)), np.nan)
    parts = np.atleast_2d(np.cov(beaten)) / num_positive, np.atleast_2d(np.cov(beating)) / num_negative
    return aucs, parts[0] + parts[1]


def disjoint_pairs(auc: float, num_pairs: int, n: int, level: float) -> Interval:
    """Clopper-Pearson interval of ``num_pairs`` trials of which the share ``auc`` succeeded.

    Examples:
        >>> found = disjoint_pairs(1.0, num_pairs=10, n=20, level=0.95)
        >>> round(found.low, 3), found.high
        (0.692, 1.0)
    """
    tail, hits, misses = (1 - level) / 2, num_pairs * auc, num_pairs * (1 - auc)
    low = float(stats.beta.ppf(tail, hits, misses + 1)) if hits > 0 else 0.0  # hits need not be whole: an AUC is a mean
    high = float(stats.beta.isf(tail, hits + 1, misses)) if misses > 0 else 1.0
    what = {0.0: "perfect reversed separation", 1.0: "perfect separation"}.get(auc, "the variance is 0 or unknown")
    return Interval(auc, low, high, n, f"{what}: interval of {num_pairs} disjoint pairs of cases")
