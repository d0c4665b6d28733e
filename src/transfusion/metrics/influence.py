"""How far each patient moves a metric: what its variance over other patients is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from transfusion.errors import InputError, UnknownNameError
from transfusion.metrics.evaluation import events
from transfusion.terms import Kind

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Influence:
    """A metric on some patients' images, and how far each patient moves it.

    Attributes:
        value: the metric; NaN where it does not exist.
        by_patient: (parts, patients), through the positive and the other cases, in the order of the patients' names.
            The squares of the sums over parts add up to the metric's variance over other patients, and products with
            those of another model on the same patients to their covariance.
        df: (parts,), degrees of freedom of each part.
        num_positive: patients with a positive case, of the event that has fewest; for accuracy all patients.
    """

    value: float
    by_patient: Floats
    df: Floats
    num_positive: int

    @property
    def variance(self) -> float:
        """Of the metric over other patients."""
        return float((self.by_patient.sum(0) ** 2).sum())


def weighted(found: Sequence[Influence], weights: Sequence[float]) -> Influence:
    """Of a weighted sum of metrics on the same patients, such as a mean over a curve or a difference of two models.

    Raises:
        InputError: if the numbers of patients differ.

    Examples:
        >>> one = influence("accuracy", "binary", [[0.9, 0.1], [0.4, 0.6]], [0, 0])
        >>> weighted([one, one], [1, -0.5]).value
        0.25
    """
    if len({each.by_patient.shape for each in found}) > 1:
        counts = " and ".join(str(each.by_patient.shape[1]) for each in found)
        raise InputError(f"Influences of {counts} patients cannot be compared; judge all models on the same images.")
    value = sum(weight * each.value for each, weight in zip(found, weights, strict=True))
    # patients keep their places, so what models have in common cancels in a difference
    moved = np.sum([weight * each.by_patient for each, weight in zip(found, weights, strict=True)], axis=0)
    return replace(found[0], value=float(value), by_patient=moved)


def influence(
    metric: str,
    kind: Kind,
    scores: ArrayLike,
    labels: ArrayLike,
    positive: int | None = None,
    patients: ArrayLike | None = None,
) -> Influence:
    """Influence of each patient on ``auc``, ``auprc``, ``accuracy`` or ``auc_<index>`` of one model.

    For one event without groups the variance is DeLong's, with groups that of Obuchowski (1997), and for the others
    that of the infinitesimal jackknife with the usual correction for few patients.

    Args:
        metric: one that ``evaluate`` returns.
        kind: as for ``evaluate``, and so ``scores``, ``labels`` and ``positive``.
        scores: probabilities, (examples, outputs).
        labels: (examples,), or (examples, labels) of 0, 1 and NaN for ``multilabel``.
        positive: the positive class (binary) or first positive grade (graded).
        patients: who each example belongs to, (examples,); None takes each for its own patient.

    Raises:
        UnknownNameError: for any other metric.
        InputError: as for ``evaluate``, or patients that do not fit.

    Source: DeLong et al. 1988; Obuchowski 1997, Biometrics 53; Efron 1982 (infinitesimal jackknife).

    Examples:
        >>> scores, labels = [[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]], [0, 0, 1, 1]
        >>> found = influence("auc", "binary", scores, labels, positive=1)
        >>> found.value, round(found.variance, 3)
        (0.75, 0.125)
    """
    values = np.asarray(scores, np.float64)
    owners, num = _numbered(patients, len(values))
    if metric == "accuracy":
        return mean_influence(_right(kind, values, np.asarray(labels)), patients)
    name, _, index = metric.partition("_")
    if name not in RANKED or (index and not (name == "auc" and index.isdigit())):
        raise UnknownNameError.of("metric with a variance over patients", metric, ["accuracy", "auc_<index>", *RANKED])
    outcomes, probabilities = _judged(index, kind, values, labels, positive)
    columns = zip(outcomes.T, probabilities.T, strict=True)
    found = [RANKED[name](y[~np.isnan(y)] == 1, p[~np.isnan(y)], owners[~np.isnan(y)], num) for y, p in columns]
    defined = [each for each in found if not np.isnan(each.value)]
    if not defined:
        return Influence(float("nan"), np.zeros((2, num)), np.zeros(2), 0)
    return Influence(
        float(np.mean([each.value for each in defined])),
        np.mean([each.by_patient for each in defined], axis=0),
        np.sum([each.df for each in defined], axis=0),
        min(each.num_positive for each in defined),  # the rarest class: an interval is as rough as there
    )


def auc_influence(truth: NDArray[np.bool_], scores: Floats, patients: ArrayLike) -> Influence:
    """Of one event's AUC.

    Args:
        truth: which examples are positive, (examples,).
        scores: higher means more likely positive, (examples,).
        patients: who each example belongs to, (examples,).

    Raises:
        InputError: patients that do not fit.

    Examples:
        >>> auc_influence(np.array([True, True, False]), np.array([0.9, 0.4, 0.5]), ["a", "b", "c"]).value
        0.5
    """
    return _auc(truth, scores, *_numbered(patients, len(truth)))


def _judged(index: str, kind: Kind, scores: Floats, labels: ArrayLike, positive: int | None) -> tuple[Floats, Floats]:
    """Outcomes and probabilities, (examples, events): those of the task, or of one class."""
    if not index:
        return events(kind, scores, labels, positive)
    singly: Kind = "multilabel" if kind == "multilabel" else "multiclass"
    outcomes, probabilities = events(singly, scores, labels)
    if int(index) >= outcomes.shape[1]:
        raise InputError(f"There is no class {index}: the scores have {outcomes.shape[1]} columns.")
    return outcomes[:, [int(index)]], probabilities[:, [int(index)]]


def _right(kind: Kind, scores: Floats, labels: NDArray[np.float64]) -> Floats:
    """Which (examples, 1) or (examples, labels) were classified correctly, NaN where unlabelled."""
    if kind != "multilabel":
        return np.asarray(scores.argmax(1) == labels, np.float64)[:, None]
    return np.where(np.isnan(labels), np.nan, (scores >= 0.5) == (labels == 1))


def mean_influence(right: Floats, patients: ArrayLike | None = None) -> Influence:
    """Influence of each patient on a share of cases, such as those that are classified right.

    Args:
        right: 0, 1 or NaN (not counted), (examples, columns).
        patients: who each example belongs to, (examples,); None takes each for its own patient.

    Raises:
        InputError: if the patients do not fit.

    Examples:
        >>> found = mean_influence(np.array([[1.0], [1.0], [0.0], [np.nan]]))
        >>> round(found.value, 3), found.num_positive
        (0.667, 3)
    """
    owners, num = _numbered(patients, len(right))
    known = ~np.isnan(right)
    if not known.any():
        return Influence(float("nan"), np.zeros((1, num)), np.zeros(1), 0)
    value, num_patients = float(right[known].mean()), len(np.unique(owners[known.any(1)]))
    apart = np.where(known, right - value, 0).sum(1) / known.sum()
    return Influence(value, _by_patient(apart, owners, num)[None], np.array([num_patients - 1.0]), num_patients)


def _auc(truth: NDArray[np.bool_], scores: Floats, owners: Integers, num: int) -> Influence:
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return Influence(float("nan"), np.zeros((2, num)), np.zeros(2), 0)
    rank = rankdata(scores)
    beaten = (rank[truth] - rankdata(scores[truth])) / negatives
    beating = 1 - (rank[~truth] - rankdata(scores[~truth])) / positives
    value = float(beaten.mean())
    return _of_parts(value, (beaten - value) / positives, (beating - value) / negatives, truth, owners, num)


def _auprc(truth: NDArray[np.bool_], scores: Floats, owners: Integers, num: int) -> Influence:
    """Of average precision, from its derivative with respect to each case's weight."""
    positives = int(truth.sum())
    if not positives or truth.all():
        return Influence(float("nan"), np.zeros((2, num)), np.zeros(2), 0)
    # from the highest score; ties are one level, as in scikit-learn
    levels, place = np.unique(-scores, return_inverse=True)
    hits, cases = (np.bincount(place, weights=w, minlength=len(levels)) for w in (truth * 1.0, np.ones(len(truth))))
    taken = cases.cumsum()
    precision = hits.cumsum() / taken
    value = float((hits * precision).sum() / positives)
    later = np.stack([hits / taken, hits * precision / taken])[:, ::-1].cumsum(1)[:, ::-1]  # levels not above one's own
    slope = truth * (precision[place] - value) + truth * later[0, place] - later[1, place]
    return _of_parts(value, slope[truth] / positives, slope[~truth] / positives, truth, owners, num)


RANKED: dict[str, Callable[[NDArray[np.bool_], Floats, Integers, int], Influence]] = {"auc": _auc, "auprc": _auprc}


def _of_parts(
    value: float, above: Floats, below: Floats, truth: NDArray[np.bool_], owners: Integers, num: int
) -> Influence:
    sides = ((above, owners[truth]), (below, owners[~truth]))
    counts = [len(np.unique(whose)) for _, whose in sides]
    return Influence(value, np.stack([_by_patient(*side, num) for side in sides]), np.array(counts) - 1.0, counts[0])


def _by_patient(apart: Floats, owners: Integers, num: int) -> Floats:
    """Sums over each patient's cases, so scaled that their squares are an unbiased variance; NaN for one patient."""
    num_patients = len(np.unique(owners))
    # as n - 1 in a sample's variance
    scale = np.sqrt(num_patients / (num_patients - 1)) if num_patients > 1 else np.nan
    return np.asarray(np.bincount(owners, weights=apart, minlength=num) * scale, np.float64)


def _numbered(patients: ArrayLike | None, num: int) -> tuple[Integers, int]:
    if patients is None:
        return np.arange(num), num
    whose = np.asarray(patients)
    if whose.shape != (num,):
        raise InputError(f"Patients have shape {whose.shape} for {num} examples; give one patient per example.")
    owners: Integers = np.unique(whose, return_inverse=True)[1]
    return owners, int(owners.max(initial=-1)) + 1
