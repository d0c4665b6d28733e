"""Every metric of a task at one evaluation, and the events that they are means over."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from transfusion.errors import InputError, UnknownNameError
from transfusion.terms import Kind

Floats = NDArray[np.float64]

NUM_BINS = 15  # of the calibration error, as in Guo et al. 2017
SAME = 1e-6  # of the largest; float32 outputs of equal images differ by a tenth of it, with the size of their batch


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
        AUCs do not exist; ``collapsed``, 1 where the scores are the same for all examples (see ``is_constant``); and,
        except for binary tasks, ``auc_<index>`` of each class or label alone.

    Raises:
        UnknownNameError: ``kind`` is none of the four.
        InputError: shapes that do not fit, scores that are NaN or no probabilities, labels out of range.

    Source: Sections 3.1 and 3.2 of the paper for the AUCs; calibration is an addition (classwise-ECE of Kull et
    al. 2019, arXiv:1910.12656).

    Examples:
        >>> measured = evaluate("binary", [[0.9, 0.1], [0.4, 0.6], [0.6, 0.4]], [0, 1, 1], positive=1)
        >>> measured["auc"], round(measured["accuracy"], 3)
        (1.0, 0.667)
    """
    probabilities, truth = _checked(kind, scores, labels)
    judged = _events(kind, probabilities, truth, positive)
    aucs = _per_column(roc_auc_score, *judged)
    # a graded task is judged by its cut, and its grades are shown one by one beside it
    singly = _per_column(roc_auc_score, truth, probabilities) if kind == "graded" else aucs
    measured = {
        "auc": _mean(aucs),
        "auprc": _mean(_per_column(average_precision_score, *judged)),
        "accuracy": _accuracy(kind, probabilities, truth),
        "brier": _mean((judged[1] - judged[0]) ** 2),
        "ece": _mean(_per_column(_calibration_error, *judged, num_outcomes=1)),
        "num_undefined_auc": float(np.isnan(singly).sum()),
        "collapsed": float(is_constant(probabilities)),
    }
    if kind != "binary":
        measured |= {f"auc_{index}": float(auc) for index, auc in enumerate(singly)}
    return measured


def is_constant(scores: ArrayLike) -> bool:
    """Whether a network gives the same scores to all examples, up to rounding: it has collapsed, whatever its AUC.

    Args:
        scores: (examples, outputs), probabilities.

    Examples:
        >>> is_constant([[0.3, 0.7], [0.3, 0.7]]), is_constant([[1e-9, 1], [2e-9, 1]])
        (True, False)
    """
    values = np.asarray(scores, dtype=np.float64)
    # relative to the largest: probabilities of rare classes are small, and vary all the same
    return len(values) > 1 and bool((np.ptp(values, axis=0) <= SAME * np.abs(values).max(axis=0)).all())


def events(kind: Kind, scores: ArrayLike, labels: ArrayLike, positive: int | None = None) -> tuple[Floats, Floats]:
    """What a task is judged on: outcomes and probabilities of its events, for intervals and calibration.

    Args:
        kind: as for ``evaluate``, and so the others.
        scores: (examples, classes) or (examples, labels).
        labels: (examples,), or (examples, labels) of 0, 1 and NaN.
        positive: the positive class (binary) or first positive grade (graded).

    Returns:
        Outcomes (0, 1 or NaN) and probabilities, (examples, events) each: one event for ``binary`` and ``graded``,
        one per class or label for the others.

    Raises:
        UnknownNameError: as ``evaluate``.
        InputError: as ``evaluate``.

    Examples:
        >>> outcomes, probabilities = events("graded", [[0.5, 0.25, 0.25], [1, 0, 0]], [2, 0], positive=1)
        >>> outcomes.ravel(), probabilities.ravel()
        (array([1., 0.]), array([0.5, 0. ]))
    """
    return _events(kind, *_checked(kind, scores, labels), positive)


def _checked(kind: Kind, scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    """Probabilities and outcomes of every class or label."""
    if kind not in get_args(Kind):
        raise UnknownNameError.of("kind of task", kind, get_args(Kind))
    probabilities = _probabilities(scores)
    return probabilities, (_label_matrix if kind == "multilabel" else _one_hot)(labels, probabilities)


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
    # rounded probabilities can add up to 1 + 1e-7
    return truth[:, members].sum(1, keepdims=True), np.clip(scores, 0, 1)


def _per_column(metric: Any, truth: Floats, probabilities: Floats, num_outcomes: int = 2) -> Floats:
    values = np.full(truth.shape[1], np.nan)
    for column, (outcomes, scores) in enumerate(zip(truth.T, probabilities.T, strict=True)):
        known = ~np.isnan(outcomes)
        if len(np.unique(outcomes[known])) >= num_outcomes:  # scikit-learn warns or raises on one outcome; NaN says it
            values[column] = metric(outcomes[known], scores[known])
    return values


def _calibration_error(outcomes: Floats, probabilities: Floats) -> float:
    bins = np.minimum((probabilities * NUM_BINS).astype(np.int64), NUM_BINS - 1)  # 1.0 belongs to the last bin
    return float(np.abs(np.bincount(bins, weights=probabilities - outcomes)).sum() / len(outcomes))


def _accuracy(kind: Kind, probabilities: Floats, truth: Floats) -> float:
    if kind == "multilabel":
        return _mean(np.where(np.isnan(truth), np.nan, (probabilities >= 0.5) == (truth == 1)))
    return float((probabilities.argmax(1) == truth.argmax(1)).mean())


def _mean(values: Floats) -> float:
    """Mean of what is not NaN; NaN, without numpy's warning, if nothing is left."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
