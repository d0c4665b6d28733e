"""Pictures made on the spot: ``embedded:fundus`` and ``embedded:natural``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from transfusion.errors import UnknownNameError
from transfusion.spec import TaskSpec
from transfusion.tasks.listing import Arrays, Entry, Listing
from transfusion.tasks.phantoms import fundus, natural
from transfusion.tasks.splits import SPLITS
from transfusion.terms import Kind

DEFAULT_SIZE = 64


class Phantom(NamedTuple):
    """An embedded task; raise ``version`` when its pictures or labels change.

    ``render`` takes labels (m,), one row of integers per picture that seeds it (m, k), and the size in pixels; it
    draws uint8 (m, size, size, 3).
    """

    kind: Kind
    classes: tuple[str, ...]
    positive: int | None
    prevalence: tuple[float, ...]
    render: Callable[[np.ndarray, np.ndarray, int], np.ndarray]
    version: int = 1


PHANTOMS = {
    "fundus": Phantom("graded", fundus.GRADES, fundus.FIRST_REFERABLE, fundus.PREVALENCE, fundus.render),
    "natural": Phantom("multiclass", natural.CLASSES, None, natural.PREVALENCE, natural.render),
}


def read(spec: TaskSpec) -> Listing:
    """List the pictures of a phantom; they are drawn when their pixels are needed.

    A split's first pictures stay the same when it is made longer.

    Raises:
        UnknownNameError: if there is no such phantom.
    """
    name = spec.data.removeprefix("embedded:")
    if name not in PHANTOMS:
        raise UnknownNameError.of("embedded task", name, PHANTOMS)
    phantom, size = PHANTOMS[name], spec.image_size or DEFAULT_SIZE
    parts = [_part(phantom, spec.split_seed, part, num) for part, num in enumerate(spec.num_images)]
    labels, seeds = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    entries = tuple(
        Entry(f"{SPLITS[part]}-{row}", place, phantom.classes[label], SPLITS[part])
        for place, (label, (_, part, row)) in enumerate(zip(labels, seeds, strict=True))
    )

    def draw(places: Sequence[int]) -> list[np.ndarray]:
        return list(phantom.render(labels[list(places)], seeds[list(places)], size))

    identity = f"embedded {name} {phantom.version} {spec.split_seed} {spec.num_images} {size}"
    return Listing(
        layout="embedded",
        name=name,
        source=spec.data,
        kind=phantom.kind,
        classes=phantom.classes,
        entries=entries,
        positive=phantom.positive,
        arrays=Arrays(identity, (), (size, size), 3, np.dtype(np.uint8), draw),
    )


def _part(phantom: Phantom, seed: int, part: int, num_images: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) and picture seeds (n, 3) of one split."""
    # one stream per split, drawn in order: more pictures extend it and change none
    chance = np.random.default_rng([seed, part]).random(num_images)
    edges = np.cumsum(phantom.prevalence)[:-1]
    seeds = [(seed, part, row) for row in range(num_images)]
    return np.searchsorted(edges, chance, side="right"), np.array(seeds, dtype=np.int64).reshape(-1, 3)
