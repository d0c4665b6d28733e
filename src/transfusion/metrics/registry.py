"""What each metric is called, which way is better, and what a difference in it must be to matter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from transfusion.errors import InputError, UnknownNameError

VALIDATION = "val_"
CLASS_METRIC = "auc"  # the one that evaluations record class by class
PICKED_BY = f"{VALIDATION}auc"  # one network is kept of a run, so all metrics are judged at its evaluation


@dataclass(frozen=True)
class Metric:
    """One number of an evaluation.

    Attributes:
        name: as a study's setting and a frame's column have it.
        title: display name.
        higher_is_better: None where neither end is good, such as a count; such a metric judges nothing.
        margin: smallest difference that matters, unless the user says otherwise.
        chance: what outputs that know nothing get, NaN where that depends on the task.
        limit: the best possible value.
        least: the lowest possible value; values are checked against it and ``limit`` where it is finite.
    """

    name: str
    title: str
    higher_is_better: bool | None
    margin: float = 0.01
    chance: float = float("nan")
    limit: float = 1.0
    least: float = float("-inf")

    @property
    def column(self) -> str:
        """The column of a tidy frame that holds it."""
        return self.name

    @property
    def picked_by(self) -> str:
        """The column that picks the evaluation at which a run is final, whatever the metric."""
        return PICKED_BY


METRICS = {
    metric.name: metric
    for metric in (
        Metric("auc", "AUC", higher_is_better=True, chance=0.5, least=0.0),
        Metric("auprc", "AUPRC", higher_is_better=True, margin=0.02, least=0.0),
        Metric("accuracy", "accuracy", higher_is_better=True, least=0.0),
        Metric("brier", "Brier", higher_is_better=False, limit=0.0),
        Metric("ece", "ECE", higher_is_better=False, limit=0.0),
        Metric("loss", "loss", higher_is_better=False, limit=0.0),
        Metric("num_undefined_auc", "classes without AUC", higher_is_better=None),
        Metric("collapsed", "constant outputs", higher_is_better=None),
    )
}
AUC = METRICS["auc"]

SPLIT = re.compile(r"(?:train|val|test)_(?=.)")


@dataclass(frozen=True)
class _ClassMetric(Metric):
    """The AUC of one class against all others."""

    place: str = ""

    @property
    def column(self) -> str:
        return f"{CLASS_METRIC}_{self.place}"


def metric_of(name: str, classes: Sequence[str] = ()) -> Metric:
    """The metric that a setting or a column means.

    Args:
        name: of ``METRICS``, with or without the split it is measured on (``val_loss``); ``auc:CLASS`` for the AUC of
            one class by its name or its number.
        classes: names of the classes in the order of the outputs.

    Raises:
        UnknownNameError: if there is no such metric or class.

    Examples:
        >>> metric_of("accuracy").title, metric_of("val_loss").higher_is_better
        ('accuracy', False)
        >>> metric_of("auc:ill", ("well", "ill")).column
        'auc_1'
    """
    base = SPLIT.sub("", name, count=1)
    if base in METRICS:
        return replace(METRICS[base], name=name)
    family, colon, wanted = name.partition(":")
    if family == CLASS_METRIC and colon:
        place = list(classes).index(wanted) if wanted in classes else int(wanted) if wanted.isdigit() else None
        if place is None or (classes and place >= len(classes)):
            raise UnknownNameError.of("class", wanted, classes)
        title = f"AUC of {classes[place]}" if classes else f"AUC of class {wanted}"
        values: dict[str, Any] = vars(METRICS[CLASS_METRIC]) | {"name": name, "title": title}
        return _ClassMetric(**values, place=str(place))
    if re.fullmatch(rf"{CLASS_METRIC}_\d+", name):
        return metric_of(name.replace("_", ":"), classes)
    raise UnknownNameError.of("metric", name, [*METRICS, f"{CLASS_METRIC}:CLASS"])


def judging(metric: str | Metric, classes: Sequence[str] = ()) -> Metric:
    """The metric, if runs can be judged by it.

    Raises:
        UnknownNameError: if there is no such metric.
        InputError: if higher values of it are not better.

    Examples:
        >>> judging("auc:ill", ("well", "ill")).column
        'auc_1'
    """
    found = metric if isinstance(metric, Metric) else metric_of(metric, classes)
    if not found.higher_is_better:  # curves are read upwards: thresholds are shares of a rise
        known = ", ".join(name for name, one in METRICS.items() if one.higher_is_better)
        raise InputError(f"Higher is not better for '{found.name}' ({found.title}); judge by one of: {known}.")
    return found
