"""All figures of a recipe that lie in its folder, by the paper's numbers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from transfusion.errors import StoreError
from transfusion.paper import insides
from transfusion.paper.published import STARTS
from transfusion.paper.record import Record, layers_of
from transfusion.paper.sheets import Courses, by_disease, shown
from transfusion.report.parts import Picture
from transfusion.runs import comparisons
from transfusion.runs.maps import network_name
from transfusion.runs.tensors import read_tensors
from transfusion.verdict.likeness import named

NUM_BLOCKS = 4  # heatmaps of Figure 9: ResNet-50 has four blocks


def gallery(record: Record) -> Iterator[Picture]:
    """Every figure whose runs are there, in the order of the paper."""
    found = [*_courses(record), *_diseases(record), *_filters(record), *_representations(record)]
    return iter(sorted(found, key=lambda picture: _number(picture.name)))


def _number(name: str) -> tuple[int, str]:
    """By which figures are sorted: F7a, F8 and F8-chest stand before F10."""
    digits = "".join(letter for letter in name.partition("-")[0] if letter.isdigit())
    return int(digits), name


def _courses(record: Record) -> Iterator[Picture]:
    frames = {name: part.frame for name, part in record.parts.items() if len(part.frame)}
    if frames:
        spec = record.stores[next(iter(frames))].spec()
        yield from Courses(frames, spec.metric, spec.train.batch_size).pictures()


def _diseases(record: Record) -> Iterator[Picture]:
    part = record.parts.get("t5")
    if part is not None and any(str(column).startswith("auc:") for column in part.frame):
        draw = partial(by_disease, part.frame, record.positives("t5"))
        yield shown("F6", draw, "Held-out AUC of every disease; mean over seeds, bands of one sd.")


def _filters(record: Record) -> Iterator[Picture]:
    for name in ("t1", "t5"):
        if name in record.stores and (found := _layers(record, name)):
            yield from insides.filters_of(found, name)
    if "f14" in record.stores and (found := _layers(record, "f14")):
        yield from insides.filters_along(next(iter(found.values())), record.parts["f14"].gabor)


def _layers(record: Record, part: str) -> dict[str, dict[int, Tensor]]:
    """Start -> step -> first layer, of the first seed that has all starts."""
    by_seed: dict[int, dict[str, dict[int, Tensor]]] = {}
    for files in record.stores[part].grid():
        spec = files.spec()
        if spec.size is None and files.state == "done" and (layers := layers_of(files)):
            by_seed.setdefault(spec.seed, {})[spec.scheme.label] = layers
    return max(by_seed.values(), key=len, default={})  # the first of them, or while runs are missing the fullest


def _representations(record: Record) -> Iterator[Picture]:
    part = record.parts.get("t1")
    if part is None or not len(part.similarity):
        return
    table = named(part.frame, part.similarity)
    table = table[table["measure"] == table["measure"].iloc[0]]
    table = table[table["a_start"].isin(STARTS) & table["b_start"].isin(STARTS)]
    if not len(table):
        return
    blocks = [stage for stage in part.stages if stage not in ("stem", "head") and stage in set(table["stage"])]
    four = blocks[:NUM_BLOCKS] if len(blocks) >= NUM_BLOCKS else ["stem", *blocks]
    images, maps = _activations(record)
    caption = (
        "Similarity of six networks by stage (of different seeds; a start before and after of one run), what training "
        "changes, and activations with channels matched between starts."
    )
    apart = table[table["kind"] != "dynamics"]  # states along a training would count as further networks
    draw = partial(insides.likeness, apart, four, images, insides.matched(maps) if maps else {})
    yield shown("F9", draw, caption, is_photo=True)
    yield from insides.dynamics(table)


def _activations(record: Record) -> tuple[Any, dict[str, tuple[Any, Any]]]:
    """Two images, and by start the maps that a stage makes of them before and after training."""
    store = record.stores["t1"]
    frame = record.parts["t1"].frame.drop_duplicates("run")
    starts = dict(zip(frame["run"], frame["start"], strict=True))
    for unit in comparisons.units(store):
        path = store.representation_path(unit.id, "safetensors")
        if unit.kind != "activations" or not path.exists():
            continue
        try:
            tensors = {name: tensor.numpy() for name, tensor in read_tensors(path).items()}
        except StoreError:  # made anew by the next call of the study
            return None, {}
        found = {}
        for run in dict.fromkeys(run for run, _ in unit.weights):
            steps = sorted(step for other, step in unit.weights if other == run)
            both = [tensors.get(network_name(run, step)) for step in (steps[0], steps[-1])]
            if starts.get(run) in STARTS and both[0] is not None and both[1] is not None:
                found[str(starts[run])] = (np.asarray(both[0]), np.asarray(both[1]))
        return tensors.get("pictures"), found
    return None, {}
