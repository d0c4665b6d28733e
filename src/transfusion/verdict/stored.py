"""The verdict of a study as it is stored."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from safetensors import SafetensorError

from transfusion.errors import InputError, StoreError, UnknownNameError
from transfusion.metrics import Influence, influence, judging
from transfusion.runs.frames import runs_of, similarity, tidy
from transfusion.runs.store import RunFiles, Store
from transfusion.verdict.sequential import Looks
from transfusion.verdict.verdict import Verdict, conclude


def conclude_study(
    store: Store, card: Mapping[str, Any], runs: list[RunFiles] | None = None, frame: pd.DataFrame | None = None
) -> Verdict:
    """What the curves on disk say, by the metric, baseline and margin of the study.

    Args:
        store: the study.
        card: its data card, {} where that is lost.
        runs: the runs to judge; those of the grid if not given.
        frame: their curves, where they have been read already.
    """
    spec, runs = store.spec(), store.grid() if runs is None else runs
    frame = tidy(runs) if frame is None else frame
    classes = class_columns(card, spec.train.eval_split, frame)
    judge = judging(spec.metric, [name for name, _ in classes.values()])
    found = conclude(
        frame,
        spec.metric,
        spec.baseline,
        spec.margin,
        similarity(store),
        pairs=spec.pairs,
        runs=runs_of(runs),
        classes=classes,
        influences=influences_of(runs, card, judge.column, list(classes)),
        looks=Looks(spec.max_seeds) if spec.until else None,
    )
    unknown = card.get("patients", {}).get(spec.train.eval_split) == "unknown"
    return replace(found, epochs=spec.train.epochs, judged_on="images" if unknown else "patients")


def influences_of(
    runs: Sequence[RunFiles], card: Mapping[str, Any], judged: str, classes: Sequence[str] = ()
) -> dict[str, dict[Hashable, dict[int, Influence]]]:
    """Column -> run -> step -> influence of each patient, of every run whose predictions can be read.

    Args:
        runs: of a study.
        card: its data card, which says how predictions are judged; without that none are.
        judged: the metric that curves are judged by, at every evaluation whose scores were kept.
        classes: metrics that are judged where runs end. Those without a variance over patients are left out.
    """
    found: dict[str, dict[Hashable, dict[int, Influence]]] = {column: {} for column in (judged, *classes)}
    kept = {files.id: files for files in runs if files.state == "done" and files.predictions_path.exists()}
    for run, files in kept.items() if card.get("kind") else ():
        with contextlib.suppress(OSError, StoreError, SafetensorError, KeyError):  # damaged: the report says
            end = files.final_step()
            scores, labels, patients = files.predictions()
            by_step = {**files.scores(), end: scores}
            rule = labels, card.get("positive"), patients
            for column in found:
                steps = by_step if column == judged else (end,)
                with contextlib.suppress(InputError, UnknownNameError):
                    found[column][run] = {step: influence(column, card["kind"], by_step[step], *rule) for step in steps}
    return found


def class_columns(card: Mapping[str, Any], split: str, frame: pd.DataFrame) -> dict[str, tuple[str, int | None]]:
    """Column of a class's AUC -> its name and the number of its test images, in the order of the outputs."""
    columns = sorted((name for name in map(str, frame.columns) if name.removeprefix("auc_").isdigit()), key=_place)
    counts: Mapping[str, int] = card.get("classes", {}).get(split, {})
    names = list(counts) if len(counts) == len(columns) else [f"class {_place(column)}" for column in columns]
    return {column: (name, counts.get(name)) for column, name in zip(columns, names, strict=True)}


def _place(column: str) -> int:
    return int(column.removeprefix("auc_"))
