"""The section on single models: their intervals, how far seeds differ, and whether probabilities are calibrated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np
import pandas as pd

from transfusion.metrics import METRICS, Interval, reliability
from transfusion.report import figures
from transfusion.report.judged import Model, Rule, class_names, end_rows, judged
from transfusion.report.material import Material
from transfusion.report.palette import styles_of
from transfusion.report.parts import Cell, Part, Picture, Section, Table
from transfusion.report.table import schemes_of
from transfusion.verdict.inference import mean_interval
from transfusion.verdict.numbers import mean_sd, span

SHOWN = {name: METRICS[name].title for name in ("auc", "auprc", "accuracy", "brier", "ece")}
BESIDE = ("auprc", "brier", "ece")
MOST_ROWS = 20  # longer tables are folded
Row: TypeAlias = tuple[Cell | str, ...]
MANY = ("multiclass", "multilabel")
WORDS = (
    "The interval of a single run is over new cases for that one network, not over other seeds; that of a mean over "
    "seeds is over other seeds on these images. AUPRC is average precision; "
    "Brier is the mean squared distance of probability to outcome and ECE the expected calibration error, both 0 at "
    "best."
)


def section(material: Material) -> Section | None:
    """AUC with interval, AUPRC and calibration of every finished run at the largest data size; None without any."""
    rows = end_rows(material)
    if not len(rows):
        return None
    rule, models = judged(material)
    parts = [
        *_about_rule(rule),
        WORDS,
        _runs(models, rule),
        _starts(rows),
        *_classes(material, rows, rule),
        *_calibration(material, models, rule),
    ]
    return Section("models", "Single models", tuple(parts), is_folded=True)


def _about_rule(rule: Rule | None) -> Iterator[str]:
    if rule is None:
        yield (
            "Intervals and calibration are left out: the data card does not say what counts as positive, or no "
            "predictions are on disk. The same study command writes the card anew and repeats no finished run."
        )


def _runs(models: Sequence[Model], rule: Rule | None) -> Table:
    noted = any(model.interval.reason for model in models)
    columns = ("start", "seed", "AUC", "95 % interval", "n", *(SHOWN[name] for name in BESIDE))
    rows = tuple((*_run(model), *([model.interval.reason or ""] if noted else [])) for model in models)
    caption = f"Every finished run with the most training images, {_sample(models)}. {_method(models, rule)}"
    columns = (*columns, "note") if noted else columns
    return Table("model-table", caption, columns, rows, is_folded=len(rows) > MOST_ROWS)


def _run(model: Model) -> Row:
    beside = (_recorded(model.recorded, name) for name in BESIDE)
    n = model.interval.n or np.nan
    head = (model.start, Cell(str(model.seed), model.seed), _recorded(model.recorded, "auc"))
    return (*head, _ends(model.interval), Cell.number(n, ".0f"), *beside)


def _recorded(row: pd.Series, name: str) -> Cell:
    return Cell.number(float(row.get(name, np.nan)))


def _ends(interval: Interval) -> Cell:
    """Both ends, sorted by the lower one."""
    if np.isnan(interval.low):
        return Cell.number(np.nan)
    return Cell(f"{interval.low:.3f} to {interval.high:.3f}", interval.low)


def _sample(models: Sequence[Model]) -> str:
    images = pd.Series([len(model.outcomes) for model in models if len(model.outcomes)], dtype=float)
    patients = pd.Series([model.interval.n for model in models if model.has_patients], dtype=float)
    whom = f" of n = {span(patients)} patients" if len(patients) else ""
    judges = f", each judged on n = {span(images)} held-out images{whom}" if len(images) else ""
    return f"n = {len(models)}{judges}"


def _method(models: Sequence[Model], rule: Rule | None) -> str:
    known = [model for model in models if len(model.outcomes)]
    if rule is None or not known:
        return "Intervals are not available."
    mean = " of the mean over classes" if rule.kind in MANY else ""
    how = (
        "a bootstrap that draws whole patients"
        if mean
        else "symmetric in log odds, with a variance over whole patients"
    )
    by_patient = f"The interval{mean} is {how}; n counts them."
    unknown = "DeLong's" if not mean else f"a bootstrap{mean} that draws images"
    by_image = f"Patients are unknown: the interval is {unknown}, and treats every image as a patient of its own."
    num = sum(model.has_patients for model in known)
    if num in (0, len(known)):
        return by_patient if num else by_image
    return f"{by_patient} Of {len(known) - num} runs: {by_image[0].lower()}{by_image[1:]}"


def _starts(rows: pd.DataFrame) -> Table:
    groups = [(str(start), own) for start, own in rows.groupby("start", sort=False)]
    notes = [_note(own["auc"]) for _, own in groups]
    known = [name for name in SHOWN if name in rows and name != "auc"]
    columns = ("start", "n", "AUC", "95 % interval", *(SHOWN[name] for name in known))
    cells: Iterator[Row] = (
        (start, Cell.number(len(own), "d"), _mean(own["auc"]), _ends(_over_seeds(own["auc"])),
         *(_mean(own[name]) for name in known))
        for start, own in groups
    )  # fmt: skip
    body = tuple((*row, *([note] if any(notes) else [])) for row, note in zip(cells, notes, strict=True))
    caption = "The same runs, mean ± sd over n seeds, with Student's t interval of the mean AUC."
    return Table("start-table", caption, (*columns, "note") if any(notes) else columns, body)


def _mean(values: pd.Series) -> Cell:
    """Mean and standard deviation over seeds."""
    known = values.dropna().astype(float)
    return Cell(mean_sd(known), float(known.mean()))


def _over_seeds(aucs: pd.Series) -> Interval:
    found = mean_interval(aucs.dropna().to_numpy(dtype=float))
    if found.low == found.high:  # of no width, which says nothing of other seeds
        return replace(found, low=np.nan, high=np.nan)
    low, high = np.clip([found.low, found.high], 0, 1)  # no AUC lies beyond, whatever Student's t allows
    return replace(found, low=float(low), high=float(high))


def _note(aucs: pd.Series) -> str:
    """Why a mean over seeds is less certain than it looks; may be empty."""
    missing, n = int(aucs.isna().sum()), int(aucs.notna().sum())
    said = [f"{missing} of {len(aucs)} runs have no AUC"] if missing else []
    if n == 2:
        said.append("two seeds give only a rough standard deviation")
    elif n:
        said += filter(None, [_over_seeds(aucs).reason])
    return "; ".join(said)


def _classes(material: Material, rows: pd.DataFrame, rule: Rule | None) -> Iterator[Table]:
    """AUC of each class against all others, and their mean where that is the task's metric."""
    columns = [name for name in rows.columns.astype(str) if name.removeprefix("auc_").isdigit()]
    if not columns:
        return
    by_start = {str(start): own for start, own in rows.groupby("start", sort=False)}
    named = dict(zip(columns, class_names(material.card, len(columns)), strict=True))
    mean = {"auc": "mean of those that exist"} if rule and rule.kind in MANY else {}
    body: tuple[Row, ...] = tuple(
        (name, *(_mean(own[column]) for own in by_start.values())) for column, name in (named | mean).items()
    )
    seeds = span(pd.Series([len(own) for own in by_start.values()]))
    caption = f"AUC of every class against all others, mean ± sd over n = {seeds} seeds. {_undefined(rows, named)}"
    yield Table("class-table", caption, ("class", *by_start), body, is_folded=len(columns) > MOST_ROWS)


def _undefined(rows: pd.DataFrame, named: Mapping[str, str]) -> str:
    missing = [name for column, name in named.items() if rows[column].isna().all()]
    if not missing:
        return f"All {len(named)} have one."
    return f"{len(missing)} of {len(named)} have cases of one kind only and thus none: {', '.join(missing)}."


def _calibration(material: Material, models: Sequence[Model], rule: Rule | None) -> Iterator[Part]:
    frame = material.frame
    bins = pooled(models, schemes_of(frame))
    if rule is None or not len(bins):
        return
    known = [model for model in models if len(model.outcomes)]
    said = distances(bins)
    seeds = pd.Series([model.start for model in known]).value_counts()
    images = pd.Series([len(model.outcomes) for model in known])
    caption = (
        f"Observed share (left), and how far it lies above or below the prediction (right), against the predicted "
        f"probability of {rule.what}. Every start is pooled over n = {span(seeds)} seeds of n = {span(images)} images, "
        "in up to ten bins of equal counts. On the grey line a probability means what it says; below it, it is too "
        f"high. {said}"
    )
    draw = partial(figures.calibration, bins, styles_of(schemes_of(frame)))
    yield Picture("calibration", draw, caption, f"Reliability diagram. {said}")
    rows = tuple(
        (str(row["start"]), Cell.number(row["predicted"]), Cell.number(row["observed"]), Cell.number(row["n"], ".0f"))
        for row in bins.to_dict("records")
    )
    columns = ("start", "predicted", "observed", "n")
    yield Table("calibration-table", "The same bins in numbers; n predictions each.", columns, rows, is_folded=True)


def pooled(models: Sequence[Model], schemes: dict[str, str]) -> pd.DataFrame:
    """Bins of every start, pooled over seeds and events: ``start scheme predicted observed n``."""
    parts = [pd.DataFrame(columns=["start", "scheme", "predicted", "observed", "n"])]
    for start in dict.fromkeys(model.start for model in models if len(model.outcomes)):
        own = [model for model in models if model.start == start and len(model.outcomes)]
        outcomes = np.concatenate([model.outcomes.ravel() for model in own])
        # pooled over seeds: ten bins of one network on few images would be noise
        found = reliability(outcomes, np.concatenate([model.probabilities.ravel() for model in own]))
        columns = {"predicted": found.predicted, "observed": found.observed, "n": found.n}
        parts.append(pd.DataFrame({"start": start, "scheme": schemes[start], **columns}))
    bins: pd.DataFrame = pd.concat(parts[1:] or parts, ignore_index=True)
    return bins


def distances(bins: pd.DataFrame) -> str:
    """How far probabilities lie from what is observed, start by start, weighted by predictions."""
    said = []
    for start, own in bins.groupby("start", sort=False):
        gap = own["observed"] - own["predicted"]
        # bins differ in size where scores tie
        size, shift = np.average(gap.abs(), weights=own["n"]), np.average(gap, weights=own["n"])
        way = "too low" if shift > 0 else "too high"
        said.append(f"{start} {size:.3f}, {abs(shift):.3f} {way} on the whole")
    return f"Mean distance of predicted probability to observed share: {'; '.join(said)}."
