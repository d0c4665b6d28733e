"""A network as a test with a threshold: sensitivity, specificity and their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit
from sklearn.metrics import confusion_matrix, roc_curve

from transfusion.errors import InputError
from transfusion.metrics.influence import Influence, mean_influence
from transfusion.metrics.interval import Interval
from transfusion.metrics.readers import evidence

Floats = NDArray[np.float64]

NORMAL = 1.959964  # of the 95 % interval
ROUNDING = 1e-9  # a share that misses its aim by this much reaches it


@dataclass(frozen=True, eq=False)
class Roc:
    """All pairs of sensitivity and specificity that a threshold can give, from (0, 1) to (1, 0).

    Attributes:
        specificity, sensitivity: (points,).
    """

    specificity: Floats
    sensitivity: Floats


def roc(outcomes: ArrayLike, scores: ArrayLike) -> Roc:
    """The curve of one event; ties are one step.

    Args:
        outcomes: 0, 1 or NaN (not counted), (examples,).
        scores: higher is more likely, (examples,).

    Raises:
        InputError: if they do not fit each other, or there are not cases of both kinds.

    Examples:
        >>> found = roc([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
        >>> found.sensitivity.tolist(), found.specificity.tolist()
        ([0.0, 0.5, 0.5, 1.0, 1.0], [1.0, 1.0, 0.5, 0.5, 0.0])
    """
    truth, values = _known(outcomes, scores)
    if not 0 < truth.sum() < len(truth):
        raise InputError("An ROC curve needs cases of both kinds, and all of these are of one.")
    away, found, _ = roc_curve(truth, values)
    return Roc(1 - away, found)


def rates(
    outcomes: ArrayLike, scores: ArrayLike, threshold: float, patients: ArrayLike | None = None
) -> tuple[Influence, Influence]:
    """Sensitivity and specificity of ``score >= threshold``, and how far each patient moves them.

    Args:
        outcomes: 0, 1 or NaN (not counted), (examples,).
        scores: (examples,).
        threshold: from which on a case is called positive.
        patients: who each example belongs to, (examples,); None takes each for its own patient.

    Returns:
        Of sensitivity and of specificity; NaN where there is no case of a kind.

    Raises:
        InputError: if lengths do not fit.

    Examples:
        >>> sensitivity, specificity = rates([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], 0.5)
        >>> sensitivity.value, specificity.value
        (0.5, 0.5)
    """
    truth, values = np.asarray(outcomes, np.float64), np.asarray(scores, np.float64)
    _check(truth, values)
    called = (values >= threshold).astype(np.float64)
    found, spared = np.where(truth == 1, called, np.nan), np.where(truth == 0, 1 - called, np.nan)
    return mean_influence(found[:, None], patients), mean_influence(spared[:, None], patients)


def threshold_at(outcomes: ArrayLike, scores: ArrayLike, sensitivity: float) -> float:
    """The highest threshold that finds at least this share of the positive cases.

    Choose it on cases that do not judge it: on those it is chosen on, its specificity looks better than it is.

    Args:
        outcomes: 0, 1 or NaN (not counted), (examples,).
        scores: (examples,).
        sensitivity: share of positive cases to find, above 0 and at most 1.

    Raises:
        InputError: if there is no positive case, or the share is not possible.

    Examples:
        >>> threshold_at([0, 1, 1, 1, 1], [0.9, 0.2, 0.4, 0.6, 0.8], sensitivity=0.75)
        0.4
    """
    truth, values = _known(outcomes, scores)
    if not 0 < sensitivity <= 1:
        raise InputError(f"A sensitivity of {sensitivity} is not possible; give one above 0 and at most 1, say 0.95.")
    positives = np.sort(values[truth == 1])[::-1]
    if not len(positives):
        raise InputError("There is no positive case, so no threshold has a sensitivity.")
    # 0.07 * 100 is 7.000000000000001
    return float(positives[int(np.ceil(sensitivity * len(positives) - ROUNDING)) - 1])


def rate_interval(influences: Sequence[Influence]) -> Interval:
    """Mean of a share over trainings, with its 95 % interval over other patients and, for several, other trainings.

    Wilson's interval, which stays within 0 and 1 and has a width where every case agrees, with as many cases as would
    give the variance seen, and fewer for few patients or trainings.

    Args:
        influences: of each training on the same patients, as ``rates`` gives them.

    Returns:
        The interval; ``n`` counts trainings. NaN where there is no case.

    Source: Wilson 1927; Korn and Graubard 1998, Survey Methodology 24, for the number of cases. The variance is that
    of ``evidence``.

    Examples:
        >>> found = rate_interval([rates([1] * 20, [0.9] * 18 + [0.1] * 2, 0.5)[0]])
        >>> found.estimate, round(found.low, 2), round(found.high, 2)
        (0.9, 0.68, 0.97)
    """
    values = np.array([each.value for each in influences])
    if not len(values) or np.isnan(values).any():
        return Interval.undefined(len(values), "there is no case of this kind")
    found, cases = evidence(values, influences), float(influences[0].num_positive)
    if len(values) == 1:
        variance, df = found.shared, found.shared_df
    else:
        variance, df = found.error**2, found.df
    share = found.estimate
    if variance > 0 and 0 < share < 1:  # else as many cases as there are: where all agree there is no variance to go by
        cases = share * (1 - share) / variance * (NORMAL / float(stdtrit(df, 0.975))) ** 2
    low, high = _wilson(share, cases)
    return Interval(share, low, high, len(values))


def confusion(labels: ArrayLike, called: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    """How many cases of each class (rows) were called what (columns), (classes, classes).

    Examples:
        >>> confusion([0, 0, 1], [0, 1, 1], 2).tolist()
        [[1, 1], [0, 1]]
    """
    counts: NDArray[np.int64] = confusion_matrix(labels, called, labels=np.arange(num_classes))
    return counts


def _wilson(share: float, cases: float) -> tuple[float, float]:
    square = NORMAL**2
    centre = (share + square / (2 * cases)) / (1 + square / cases)
    half = NORMAL * np.sqrt(share * (1 - share) / cases + square / (4 * cases**2)) / (1 + square / cases)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def _known(outcomes: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    truth, values = np.asarray(outcomes, np.float64), np.asarray(scores, np.float64)
    _check(truth, values)
    known = ~np.isnan(truth)
    return truth[known], values[known]


def _check(truth: Floats, values: Floats) -> None:
    if truth.ndim != 1 or truth.shape != values.shape:
        raise InputError(f"Outcomes have shape {truth.shape} and scores {values.shape}; give one of each per example.")
    if np.isnan(values).any():
        raise InputError("Some scores are NaN; the network diverged or its input did.")
