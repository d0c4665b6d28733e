"""Predictions of a study's finished runs, judged again from what is on disk."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError

from transfusion import metrics
from transfusion.errors import InputError, UnknownNameError
from transfusion.metrics import AUC, Interval
from transfusion.progress import track
from transfusion.report.material import Material
from transfusion.report.table import schemes_of
from transfusion.runs.store import RunFiles
from transfusion.terms import Kind

Kept: TypeAlias = tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]


@dataclass(frozen=True)
class Rule:
    """How predictions are judged.

    Attributes:
        kind, positive: as ``metrics.evaluate`` takes them.
        classes: names in the order of the outputs.
    """

    kind: Kind
    positive: int | None
    classes: tuple[str, ...]

    @property
    def what(self) -> str:
        """What the probabilities are of."""
        if self.kind == "multiclass":
            return "each class, pooled over classes"
        if self.kind == "multilabel":
            return "each label, pooled over labels"
        name = self.classes[self.positive or 0]
        return f"{name} or above" if self.kind == "graded" else name


@dataclass(frozen=True, eq=False)
class Model:
    """A finished run and what the evaluation that counts says.

    Attributes:
        recorded: metrics of that evaluation.
        interval: of its AUC; NaN with a reason where it cannot be computed.
        outcomes, probabilities: (images, events); no rows where they are unknown.
        scores, labels: what they were made from.
        patients: (images,) the patient of each image; None where not known.
        validation: outcomes and probabilities of the same network on the validation split; None where not kept.
    """

    start: str
    seed: int
    recorded: pd.Series
    interval: Interval
    outcomes: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 1)))
    probabilities: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 1)))
    scores: NDArray[Any] = field(default_factory=lambda: np.zeros((0, 1)))
    labels: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    patients: NDArray[Any] | None = None
    validation: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    @property
    def has_patients(self) -> bool:
        """Whether the patients of the images are known."""
        return self.patients is not None

    @property
    def is_known(self) -> bool:
        """Whether its predictions are."""
        return len(self.outcomes) > 0


@lru_cache(maxsize=8)
def judged(material: Material) -> tuple[Rule | None, list[Model]]:
    """The finished runs of the largest data size, in order, and how they are judged; None where that is not known."""
    rows = end_rows(material)
    by_id = {files.id: files for files in material.finished if files.id in set(rows["run"])}
    kept = {run: _kept(files) for run, files in by_id.items()}
    usable = {run: found for run, found in kept.items() if not isinstance(found, str)}
    rule = _rule(material.card, usable)
    models = ((1, _model(row, by_id[row["run"]], kept[row["run"]], rule)) for _, row in rows.iterrows())
    return rule, list(track(models, "Intervals of single models", len(rows), show=True))


def end_rows(material: Material) -> pd.DataFrame:
    """The evaluation that counts of every finished run of the largest data size, start by start.

    It is the one that the validation split picks, whose predictions are kept, or the last one without such a split.
    """
    frame = material.frame
    done = [files.id for files in material.finished]
    whole = frame[frame["run"].isin(material.whole["run"]) & frame["run"].isin(done)]
    rows = whole.loc[[_end(own) for _, own in whole.groupby("run", sort=False)]]
    # the order of the page's other tables
    order = rows["start"].map({start: place for place, start in enumerate(schemes_of(frame))})
    ordered: pd.DataFrame = rows.assign(order=order).sort_values("order", kind="stable").drop(columns="order")
    return ordered


def _end(rows: pd.DataFrame) -> Hashable:
    """Index of a run's evaluation that counts."""
    ordered = rows.sort_values("step")
    judged = ordered[AUC.picked_by] if AUC.picked_by in ordered else pd.Series(dtype=float)
    return judged.idxmax() if judged.notna().any() else ordered.index[-1]


def class_names(card: Mapping[str, Any], num: int) -> tuple[str, ...]:
    """Names of the classes, in the order of the outputs; numbers where the card has none that fit."""
    named = tuple(next(iter(card.get("classes", {}).values()), ()))
    return named if len(named) == num else tuple(f"class {place}" for place in range(num))


def _kept(files: RunFiles) -> Kept | str:
    """Predictions of a run, or why there are none."""
    if not files.predictions_path.exists():
        return "its predictions are not on disk"
    try:
        return files.predictions()
    except (OSError, SafetensorError, KeyError):
        return "its predictions are damaged"


def _rule(card: Mapping[str, Any], kept: Mapping[str, Kept]) -> Rule | None:
    """What the data card says; a page without one invents nothing."""
    if not kept or not card.get("kind"):
        return None
    return Rule(card["kind"], card.get("positive"), class_names(card, next(iter(kept.values()))[0].shape[-1]))


def _model(row: pd.Series, files: RunFiles, kept: Kept | str, rule: Rule | None) -> Model:
    start, seed = str(row["start"]), int(row["seed"])
    if isinstance(kept, str) or rule is None:
        why = kept if isinstance(kept, str) else "what counts as positive is not known"
        return Model(start, seed, row, Interval.undefined(0, why))
    scores, labels, patients = kept
    try:
        outcomes, probabilities = metrics.events(rule.kind, scores, labels, rule.positive)
        interval = metrics.auc_interval(outcomes, probabilities, patients)
        picks = files.validation()
        validation = None if picks is None else metrics.events(rule.kind, *picks, rule.positive)
    except (InputError, UnknownNameError) as error:
        return Model(start, seed, row, Interval.undefined(0, f"its predictions do not fit the task: {error}"))
    return Model(start, seed, row, interval, outcomes, probabilities, scores, labels, patients, validation)
