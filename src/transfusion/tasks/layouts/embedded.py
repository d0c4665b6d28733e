"""Pictures made on the spot: ``embedded:fundus`` and ``embedded:natural``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from transfusion.errors import UnknownNameError
from transfusion.spec import TaskSpec
from transfusion.tasks import fundus, natural
from transfusion.tasks.layouts.listing import Arrays, Entry, Listing
from transfusion.tasks.task import Kind

DEFAULT_SIZE = 64


class Render(Protocol):
    """Draws pictures (m, size, size, 3), uint8, of the given classes; the same rows give the same pictures."""

    def __call__(self, labels: np.ndarray, rows: Sequence[int], size: int) -> np.ndarray: ...


class Phantom(NamedTuple):
    """An embedded task: ``draw_labels(n, rng)`` and ``render``; raise ``version`` when either changes."""

    kind: Kind
    classes: tuple[str, ...]
    positive: int | None
    prevalence: tuple[float, ...]
    render: Render
    version: int


PHANTOMS = {
    "fundus": Phantom("graded", fundus.GRADES, fundus.FIRST_REFERABLE, fundus.PREVALENCE, fundus.render, 1),
    "natural": Phantom("multiclass", natural.CLASSES, None, natural.PREVALENCE, natural.render, 1),
}


def read(spec: TaskSpec, root: Path | None = None) -> Listing:
    """List the pictures of a phantom; they are drawn when their pixels are asked for.

    Raises:
        UnknownNameError: if there is no such phantom.
    """
    name = spec.data.removeprefix("embedded:")
    if name not in PHANTOMS:
        raise UnknownNameError.of("embedded task", name, PHANTOMS)
    phantom, size = PHANTOMS[name], spec.image_size or DEFAULT_SIZE
    labels = np.concatenate([_draw(phantom.prevalence, n, [spec.split_seed, i]) for i, n in enumerate(spec.num_images)])
    rows = [(split, row) for split, n in zip(("train", "val", "test"), spec.num_images, strict=True) for row in range(n)]
    entries = [
        Entry(f"{split}-{row}", place, phantom.classes[labels[place]], split) for place, (split, row) in enumerate(rows)
    ]
    pictures = np.array([[spec.split_seed, "train val test".split().index(split), row] for split, row in rows])
    return Listing(
        layout="embedded",
        name=name,
        source=spec.data,
        kind=phantom.kind,
        classes=phantom.classes,
        entries=tuple(entries),
        positive=phantom.positive,
        arrays=Arrays(
            identity=f"{spec.data} {phantom.version} {size} {spec.split_seed} {spec.num_images}",
            files=(),
            size=(size, size),
            channels=3,
            dtype=np.dtype(np.uint8),
            read=lambda places: list(phantom.render(labels[list(places)], pictures[list(places)], size)),
        ),
    )


def _draw(prevalence: Sequence[float], num_images: int, seed: list[int]) -> np.ndarray:
    return np.random.default_rng(seed).choice(len(prevalence), size=num_images, p=prevalence)
