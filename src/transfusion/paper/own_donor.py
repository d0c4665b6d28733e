"""The donor that a recipe trained itself: how its training went, where it ended, and what its filters became."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd

from transfusion.metrics.registry import judging
from transfusion.paper import insides
from transfusion.paper.record import Record, layers_of
from transfusion.paper.sheets import WHOLE, courses, lines
from transfusion.report.parts import Cell, Part, Picture, Section, Table
from transfusion.runs.frames import tidy
from transfusion.runs.store import RunFiles, Store


def own_donors(record: Record) -> Iterator[Section]:
    """A section for each donor that the recipe trained, as far as it has come."""
    shown = set[str]()  # by run: parts of a recipe share the donor that the first of them trained
    for part, store in record.stores.items():
        files = store.donor_run()
        if files is not None and files.id not in shown and files.curve():
            shown.add(files.id)
            yield Section(f"donor-{part}", f"The donor that part {part} trained", tuple(_contents(store, files)))


def _contents(store: Store, files: RunFiles) -> Iterator[Part]:
    run, frame, metric = files.spec(), tidy([files]), judging(store.spec().metric, [])
    yield (
        f"Run {files.id}: {run.model} from {run.scheme.label} on {run.task.data}, {run.train.steps:,} steps of "
        f"{run.train.batch_size} images; {files.state}."
    )
    yield _final(files, [column for column in (metric.column, "auc", "loss", "train_loss") if column in frame])
    name = f"donor-{files.id}"
    draw = partial(courses, lines(frame, [run.scheme.label]), metric.column, metric.title, {WHOLE: None})
    caption = f"Held-out {metric.title} of the donor along its training; one run."
    yield Picture(name, draw, caption, caption)
    if len(layers := layers_of(files)) > 1:
        what = "First-layer filters of the donor before and after its training and what changed, on a scale of its own."
        draw_filters = partial(insides.trained_filters, {run.scheme.name: layers})
        yield Picture(f"{name}-filters", draw_filters, what, what, is_photo=True)
    if len(layers) > 2:
        along = "First-layer filters of the donor along its training, as Figure 14 shows them."
        yield Picture(f"{name}-along", partial(insides.snapshots, layers), along, along, is_photo=True)


def _final(files: RunFiles, columns: list[str]) -> Table:
    last = pd.Series(files.curve()[-1], dtype=float)
    rows = ((column.replace("_", " "), Cell.number(float(last.get(column, np.nan)), ".4f")) for column in columns)
    caption = f"The donor at step {int(last['step']):,}, on its own held-out images."
    return Table(f"donor-{files.id}", caption, ("measure", "value"), tuple(rows))
