"""The page: one self-contained HTML file, made from what is on disk alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from transfusion.report import figures
from transfusion.report.table import CurveTable
from transfusion.store import Store, tidy, write_text
from transfusion.verdict import conclude


def write_page(store: Store) -> Path:
    """Make the report of a study - finished, running, killed or partly failed - and its figures.

    Returns:
        Path of the page; the figures lie beside it as SVG, PDF and PNG.

    Raises:
        StoreError: if there is no study in the folder.
    """
    spec, runs = store.spec(), store.grid()
    frame = tidy(runs)
    environment = Environment(
        loader=PackageLoader("transfusion.report", "."), autoescape=True, undefined=StrictUndefined
    )
    machines = [files.machine() for files in runs if files.machine()]
    text = environment.get_template("page.html.jinja").render(
        title=spec.name,
        summary=_summary(store, frame),
        verdict=conclude(frame),
        missing=[*store.card().get("warnings", []), *_missing(store)],
        figures=list(_figures(store, frame)),
        metric="AUC",
        table=CurveTable.of(frame) if len(frame) else CurveTable("auc", (), ()),
        card=json.dumps(store.card(), indent=2, ensure_ascii=False),
        spec=spec.to_json(),
        machine=json.dumps(machines[0] if machines else {}, indent=2),
    )
    write_text(store.report_path, text)
    return store.report_path


def _summary(store: Store, frame: pd.DataFrame) -> str:
    spec, card = store.spec(), store.card()
    images = ", ".join(f"{count} {split}" for split, count in _counts(card).items())
    return f"{spec.model} on {spec.task.data} ({images} images); {frame['run'].nunique()} runs with curves."


def _counts(card: dict[str, Any]) -> dict[str, int]:
    return {str(split): int(count) for split, count in card.get("images", {}).items()}


def _missing(store: Store) -> Iterator[str]:
    for files in store.grid():
        spec, state = files.spec(), files.state
        what = f"{spec.scheme.name} seed {spec.seed} (run {files.id})"
        if state == "failed":
            yield f"{what} failed: {files.failure()['error']}"
        elif state != "done":
            curve = files.curve()
            reached = f"is at step {curve[-1]['step']} of {spec.train.steps}" if curve else "has not started"
            yield f"{what} {reached}"


def _figures(store: Store, frame: pd.DataFrame) -> Iterator[dict[str, str]]:
    sizes = frame["size"].drop_duplicates().tolist()
    for size in sizes:
        whole = pd.isna(size)
        rows = frame[frame["size"].isna()] if whole else frame[frame["size"] == size]
        path = figures.save(figures.convergence(rows), store.figures_path, f"convergence{'' if whole else f'-{size}'}")
        n = rows.groupby("scheme")["seed"].nunique()
        yield {
            "svg": path.read_text()[path.read_text().index("<svg") :],
            "caption": f"Held-out AUC against optimiser steps, {'all' if whole else size} training images: mean over "
            f"n = {n.min()}{'' if n.min() == n.max() else f' to {n.max()}'} seeds, band of one standard deviation.",
        }
