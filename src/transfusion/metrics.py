"""How well scores rank, and how surely: AUC, AUPRC, calibration, and intervals for one AUC or the difference of two.

Arrays in, numbers out. Every metric of a task is a mean over its *events*, each a column of probabilities against
a column of outcomes: the positive class (binary), "grade at least ``positive``" (graded), every class against the
rest (multiclass), every label (multilabel). An event with one outcome only has no AUC: it is NaN, left out of
means, and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score, roc_auc_score

from transfusion.errors import InputError, UnknownNameError

Kind = Literal["binary", "multiclass", "graded", "multilabel"]
Floats = NDArray[np.float64]

NUM_BINS = 15  # of the calibration error, as in Guo et al. 2017


@dataclass(frozen=True)
class Interval:
    """An estimate, how surely it is known, and on how many observations it rests.

    Attributes:
        estimate: the best single number, NaN where there is none.
        low: lower end of the interval, -inf or 0 where the data set no bound.
        high: upper end, inf where the data set no bound.
        n: independent observations used (examples, patients or seeds, as the maker says).
        reason: why the estimate is missing or the interval is not the usual one; None otherwise.
    """

    estimate: float
    low: float
    high: float
    n: int
    reason: str | None = None

    @classmethod
    def undefined(cls, n: int, reason: str) -> Interval:
        """The interval that says nothing, and why."""
        return cls(np.nan, np.nan, np.nan, n, reason)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; ``reason`` only where there is one."""
        values: dict[str, Any] = {"estimate": self.estimate, "low": self.low, "high": self.high, "n": self.n}
        return values | ({"reason": self.reason} if self.reason else {})


def evaluate(kind: Kind, scores: ArrayLike, labels: ArrayLike, positive: int | None = None) -> dict[str, float]:
    """All metrics of a task at one evaluation.

    Args:
        kind: what the labels mean: ``binary``, ``multiclass``, ``graded`` (ordered grades with a cut) or
            ``multilabel`` (independent sigmoid outputs).
        scores: probabilities, (examples, classes) from a softmax or (examples, labels) from sigmoids. Take them in
            float32 or wider: ties made by rounding change an AUC.
        labels: class indices, (examples,); for ``multilabel`` 0, 1 or NaN (unlabelled), (examples, labels).
        positive: index of the positive class (binary), or the first grade that counts as positive (graded: its
            score is the summed probability of this grade and all above).

    Returns:
        ``auc`` (the task's main metric) and ``auprc`` (average precision), means over the events that have both
        outcomes, NaN if none has; ``accuracy`` of the most probable class (multilabel: of all labels, cut at
        0.5); ``brier``, mean squared distance of probability to outcome, 0 (best) to 1, over the events; ``ece``,
        class-wise expected calibration error with 15 equal bins, 0 (best) to 1; ``num_undefined_auc``, how many
        AUCs do not exist; and, except for binary tasks, ``auc_<index>`` of each class or label by itself.

    Raises:
        UnknownNameError: ``kind`` is none of the four.
        InputError: shapes that do not fit, scores that are NaN or no probabilities, labels out of range.

    Source: Sections 3.1 and 3.2 of the paper for the AUCs; calibration is an addition (classwise-ECE of Kull et
    al. 2019, arXiv:1910.12656).

    Example:
        >>> measured = evaluate("binary", [[0.9, 0.1], [0.4, 0.6], [0.6, 0.4]], [0, 1, 1], positive=1)
        >>> measured["auc"], round(measured["accuracy"], 3)
        (1.0, 0.667)
    """
    if kind not in get_args(Kind):
        raise UnknownNameError.of("kind of task", kind, get_args(Kind))
    probabilities = _probabilities(scores)
    truth = _label_matrix(labels, probabilities) if kind == "multilabel" else _one_hot(labels, probabilities)
    events = _events(kind, probabilities, truth, positive)
    aucs = _per_column(roc_auc_score, *events)
    singly = _per_column(roc_auc_score, truth, probabilities) if kind == "graded" else aucs
    measured = {
        "auc": _mean(aucs),
        "auprc": _mean(_per_column(average_precision_score, *events)),
        "accuracy": _accuracy(kind, probabilities, truth),
        "brier": _mean((events[1] - events[0]) ** 2),
        "ece": _mean(_per_column(_calibration_error, *events, num_outcomes=1)),
        "num_undefined_auc": float(np.isnan(singly).sum()),
    }
    if kind != "binary":
        measured |= {f"auc_{index}": float(auc) for index, auc in enumerate(singly)}
    return measured


def _probabilities(scores: ArrayLike) -> Floats:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(f"Scores have shape {values.shape}; give one row per example and one column per class.")
    if np.isnan(values).any():
        bad = int(np.isnan(values).any(axis=1).sum())
        raise InputError(
            f"The scores of {bad} of {len(values)} examples are NaN; the network diverged or its input did."
        )
    if values.min() < -1e-3 or values.max() > 1 + 1e-3:  # half precision rounds a softmax this far
        low, high = values.min(), values.max()
        raise InputError(
            f"Scores lie in [{low:.3g}, {high:.3g}]; give probabilities (softmax or sigmoid of the logits)."
        )
    return np.clip(values, 0, 1)


def _one_hot(labels: ArrayLike, probabilities: Floats) -> Floats:
    values, (num_examples, num_classes) = np.asarray(labels), probabilities.shape
    if values.shape != (num_examples,):
        raise InputError(f"Labels have shape {values.shape} for {num_examples} rows of scores; give one label per row.")
    if not np.isin(values, np.arange(num_classes)).all():
        raise InputError(
            f"Labels run from {values.min()} to {values.max()}; with {num_classes} scores per example give "
            f"whole numbers from 0 to {num_classes - 1}."
        )
    return np.eye(num_classes)[values.astype(np.int64)]


def _label_matrix(labels: ArrayLike, probabilities: Floats) -> Floats:
    values = np.asarray(labels, dtype=np.float64)
    if values.shape != probabilities.shape:
        raise InputError(
            f"Labels have shape {values.shape} and scores {probabilities.shape}; multilabel needs one of "
            "each per example and label."
        )
    if not np.isin(values[~np.isnan(values)], (0, 1)).all():
        raise InputError("Multilabel labels must be 0, 1 or NaN (unlabelled); other values were given.")
    return values


def _events(kind: Kind, probabilities: Floats, truth: Floats, positive: int | None) -> tuple[Floats, Floats]:
    """Outcomes and probabilities of the events that the task is judged on, (examples, events) each."""
    if kind in ("multiclass", "multilabel"):
        return truth, probabilities
    num_classes = probabilities.shape[1]
    if positive is None or not 0 <= positive < num_classes:
        raise InputError(
            f"positive={positive} for a {kind} task with {num_classes} classes; give 0 to {num_classes - 1}."
        )
    members = slice(positive, None if kind == "graded" else positive + 1)
    scores = probabilities[:, members].sum(1, keepdims=True)
    return truth[:, members].sum(1, keepdims=True), np.clip(scores, 0, 1)


def _per_column(metric: Any, truth: Floats, probabilities: Floats, num_outcomes: int = 2) -> Floats:
    values = np.full(truth.shape[1], np.nan)
    for column, (outcomes, scores) in enumerate(zip(truth.T, probabilities.T, strict=True)):
        known = ~np.isnan(outcomes)
        if len(np.unique(outcomes[known])) >= num_outcomes:
            values[column] = metric(outcomes[known], scores[known])
    return values


def _calibration_error(outcomes: Floats, probabilities: Floats) -> float:
    bins = np.minimum((probabilities * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    return float(np.abs(np.bincount(bins, weights=probabilities - outcomes)).sum() / len(outcomes))


def _accuracy(kind: Kind, probabilities: Floats, truth: Floats) -> float:
    if kind == "multilabel":
        return _mean(np.where(np.isnan(truth), np.nan, (probabilities >= 0.5) == (truth == 1)))
    return float((probabilities.argmax(1) == truth.argmax(1)).mean())


def _mean(values: Floats) -> float:
    """Mean of what is not NaN; NaN, without numpy's warning, if nothing is left."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def delong(labels: ArrayLike, scores: ArrayLike, level: float = 0.95) -> Interval:
    """Interval of one model's AUC over new cases from the same population.

    Not for several images of one patient (use ``bootstrap_auc``), nor for what another training would give (repeat
    with other seeds). The interval is symmetric in log odds, so it stays inside (0, 1). Where DeLong's variance is 0 or
    cannot be estimated (perfect separation, all scores tied, one case of a kind), it is the exact binomial
    interval of k = min(positives, negatives) disjoint pairs instead: an AUC estimated from all pairs never varies more
    than one from k disjoint pairs (Birnbaum and Klose 1957), and at perfect separation the lower end
    ((1 - level) / 2) ** (1 / k) is exact in the sense of Clopper and Pearson. It is wide, and ``reason`` says so.

    Args:
        labels: 0 or 1, (examples,).
        scores: higher means more likely 1, (examples,).
        level: confidence, 0 to 1.

    Returns:
        The interval, ``n`` examples; NaN with a reason if one of the classes is absent.

    Raises:
        InputError: shapes that do not fit, NaN scores, labels other than 0 and 1.

    Source: DeLong et al. 1988 through mid-ranks (Sun and Xu 2014); an addition to the paper.

    Example:
        >>> measured = delong([0, 0, 0, 1, 1, 1], [0.1, 0.4, 0.35, 0.8, 0.3, 0.9])
        >>> round(measured.estimate, 3), round(measured.low, 3), round(measured.high, 3)
        (0.778, 0.173, 0.983)
    """
    truth, values = _checked_pair(labels, scores)
    n, num_pairs = len(truth), int(min(truth.sum(), (~truth).sum()))
    if num_pairs == 0:
        return Interval.undefined(n, "one class is absent")
    aucs, covariance = _delong_covariance(truth, values[None])
    auc, variance = float(aucs[0]), float(covariance[0, 0])
    if not 0 < auc < 1 or not variance > 0:
        return _disjoint_pairs(auc, num_pairs, n, level)
    margin = _z(level) * np.sqrt(variance) / (auc * (1 - auc))
    low, high = expit(logit(auc) + np.array([-margin, margin]))
    return Interval(auc, float(low), float(high), n)


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

    Example:
        >>> difference, p = delong_test([0, 0, 1, 1, 1], [1, 2, 3, 2, 4], [1, 3, 2, 2, 4])
        >>> round(difference.estimate, 3), p > 0.05
        (0.25, True)
    """
    truth, first = _checked_pair(labels, a)
    second = _checked_pair(labels, b)[1]
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


def bootstrap_auc(
    labels: ArrayLike, scores: ArrayLike, patients: ArrayLike | None = None, seed: int = 0, num: int = 2000
) -> Interval:
    """95 % interval of one model's AUC over new patients, each of whom may have several images.

    Images of one patient resemble each other, so taking them for independent cases makes an interval too narrow.
    Here whole patients are drawn with replacement (percentile bootstrap). Draws with one class only are left out and
    counted in ``reason``. Perfect separation, where every draw agrees, and fewer than two independent pairs give the
    wide interval of ``delong`` over disjoint pairs of patients.

    Args:
        labels: 0 or 1, (examples,).
        scores: higher means more likely 1, (examples,).
        patients: who each example belongs to, (examples,); None takes each for its own patient.
        seed: decides the draws; the same seed gives the same interval.
        num: number of draws.

    Returns:
        The interval, ``n`` patients; NaN with a reason if one of the classes is absent.

    Raises:
        InputError: as for ``delong``.

    Example:
        >>> measured = bootstrap_auc([0, 0, 1, 1, 0, 1], [0.2, 0.3, 0.6, 0.9, 0.7, 0.5], patients=list("aabbcd"))
        >>> measured.n, round(measured.estimate, 3)
        (4, 0.778)
    """
    truth, values = _checked_pair(labels, scores)
    owners = np.arange(len(truth)) if patients is None else np.unique(np.asarray(patients), return_inverse=True)[1]
    if owners.shape != truth.shape:
        raise InputError(f"Patients have shape {owners.shape} for {len(truth)} examples; give one patient per example.")
    n = int(owners.max()) + 1
    if truth.all() or not truth.any():
        return Interval.undefined(n, "one class is absent")
    ranks = np.unique(values, return_inverse=True)[1]
    estimate = _weighted_auc(ranks, truth, np.ones(len(truth)))
    generator = np.random.default_rng(seed)
    draws = np.array(
        [_weighted_auc(ranks, truth, np.bincount(generator.integers(0, n, n), minlength=n)[owners]) for _ in range(num)]
    )
    drawn = draws[~np.isnan(draws)]
    num_pairs = _num_disjoint_pairs(truth, owners)
    if num_pairs < 2 or np.ptp(drawn) == 0:
        return _disjoint_pairs(estimate, num_pairs, n, 0.95)
    low, high = np.quantile(drawn, (0.025, 0.975))
    missing = num - len(drawn)
    reason = f"{missing} of {num} draws had one class only and are left out" if missing else None
    return Interval(estimate, float(low), float(high), n, reason)


def _checked_pair(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
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
    rank = stats.rankdata(scores, axis=1)
    rank_positive = rank[:, truth] - stats.rankdata(scores[:, truth], axis=1)
    rank_negative = rank[:, ~truth] - stats.rankdata(scores[:, ~truth], axis=1)
    beaten, beating = rank_positive / num_negative, 1 - rank_negative / num_positive
    aucs = beaten.mean(1)
    if min(num_positive, num_negative) < 2:
        return aucs, np.full((len(scores), len(scores)), np.nan)
    parts = np.atleast_2d(np.cov(beaten)) / num_positive, np.atleast_2d(np.cov(beating)) / num_negative
    return aucs, parts[0] + parts[1]


def _disjoint_pairs(auc: float, num_pairs: int, n: int, level: float) -> Interval:
    """Clopper-Pearson interval of ``num_pairs`` trials of which the share ``auc`` succeeded."""
    tail, hits, misses = (1 - level) / 2, num_pairs * auc, num_pairs * (1 - auc)
    low = float(stats.beta.ppf(tail, hits, misses + 1)) if hits > 0 else 0.0
    high = float(stats.beta.isf(tail, hits + 1, misses)) if misses > 0 else 1.0
    what = {0.0: "perfect reversed separation", 1.0: "perfect separation"}.get(auc, "the variance is 0 or unknown")
    return Interval(auc, low, high, n, f"{what}: interval of {num_pairs} disjoint pairs of cases")


def _num_disjoint_pairs(truth: NDArray[np.bool_], owners: NDArray[np.int64]) -> int:
    """Most pairs of a positive and a negative case that use every patient at most once."""
    positive, negative = set(owners[truth]), set(owners[~truth])
    return min(len(positive), len(negative), len(positive | negative) // 2)


def _weighted_auc(ranks: NDArray[np.int64], truth: NDArray[np.bool_], weights: NDArray[Any]) -> float:
    """AUC with case weights; ``ranks`` number the distinct scores from 0."""
    positive = np.bincount(ranks, weights=weights * truth)
    negative = np.bincount(ranks, weights=weights * ~truth)
    num_pairs = positive.sum() * negative.sum()
    below = np.cumsum(negative) - negative / 2
    return float(positive @ below / num_pairs) if num_pairs else float("nan")
