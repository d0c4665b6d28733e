"""What a network is to learn: images, labels, splits, and the metric that judges it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from transfusion.errors import TaskError
from transfusion.tasks.splits import stratified_order
from transfusion.terms import Kind


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a task's images with their labels; row i of every field is the same picture.

    Attributes:
        images: read-only, memory-mapped, shape (n, height, width, channels), uint8 or uint16 over the full
            range of the type.
        labels: int64 (n,) class indices, or float32 (n, labels) of 0 and 1 for ``multilabel``.
        patients: one identifier per picture, or None where patients are unknown.
        names: where each picture comes from: a path below the data folder, or ``split-row`` for arrays.
    """

    images: np.ndarray
    labels: np.ndarray
    patients: tuple[str, ...] | None
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class Task:
    """Images, labels and splits, ready to train on.

    Attributes:
        name: display name: the folder's, the file's or the phantom's.
        kind: ``binary`` and ``multiclass`` (softmax over classes), ``graded`` (ordered classes, judged by the
            referable AUC), ``multilabel`` (independent sigmoids).
        classes: names in the order of the outputs.
        channels, image_size: shape of every image; height and width are equal.
        metric: what the curves show: ``auc``.
        positive: binary: index of the positive class; graded: the first positive grade, whose score is the
            summed probability of it and all above; otherwise None.
        splits: ``train``, ``val`` and ``test``, always all three; an empty one has 0 rows.
        mean, std: per channel, in 0..1 units: what normalisation subtracts and divides by.
        fingerprint: hash of the pictures' content, labels, splits and every setting that training sees.
        card: a data card that JSON can hold: counts, patients, warnings, what was left out and why.
    """

    name: str
    kind: Kind
    classes: tuple[str, ...]
    channels: int
    image_size: int
    positive: int | None
    splits: Mapping[str, Split]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    card: Mapping[str, Any]
    metric: str = "auc"

    @property
    def num_outputs(self) -> int:
        """Width of the network's head: one output per class, grade or label (two for ``binary``)."""
        return len(self.classes)

    def subset(self, size: int | None, seed: int = 0) -> np.ndarray:
        """Which training images a run with ``size`` of them sees.

        Subsets are nested (a smaller one is contained in a larger one of the same seed) and stratified: a class
        with a share p of the training images has p * size of them, give or take one. For ``multilabel`` the
        strata are each image's rarest label.

        Args:
            size: number of images in 1..n, or None for all.
            seed: which of the possible subsets.

        Returns:
            Indices into ``splits["train"]``, ascending, int64.

        Raises:
            TaskError: if there are not that many images.
        """
        train = self.splits["train"]
        if size is None:
            return np.arange(len(train))
        if not 1 <= size <= len(train):
            raise TaskError(f"{self.name} has {len(train)} training images; a subset of {size} cannot be drawn.")
        return np.sort(stratified_order(train.labels, seed)[:size])
