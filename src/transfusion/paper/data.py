"""Whether the data that a recipe was given are the paper's: told by what they are, never by what they are called."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import NamedTuple

import numpy as np

from transfusion.paper.published import TABLES
from transfusion.tasks import Task


class Scope(str, Enum):
    """How near the data are to the paper's.

    ``same data`` is its data set, whole; ``same kind`` a public stand-in or a part of it; ``other data`` anything else.
    """

    SAME_DATA = "same data"
    SAME_KIND = "same kind"
    OTHER_DATA = "other data"

    def __str__(self) -> str:
        return self.value


class Identity(NamedTuple):
    """What the data are.

    Attributes:
        scope: how near they are to the paper's.
        why: how it was told, in a sentence.
    """

    scope: Scope
    why: str


class _Cifar(NamedTuple):
    """What tells a CIFAR: classes, and mean and std of the 50,000 training images per channel, white being 1.

    Computed over all pixels; widely published, to fewer digits, as the constants to normalise by.
    """

    classes: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


CIFAR10 = _Cifar(10, (0.49140, 0.48216, 0.44653), (0.24703, 0.24349, 0.26159))
CIFAR100 = _Cifar(100, (0.50708, 0.48655, 0.44092), (0.26733, 0.25644, 0.27615))
# of white; the whole set differs by the constants' rounding, a random 1,000 of its images by some 0.004 in the mean
EXACT, NEAR = 1e-4, 0.02
CIFAR_COUNTS = {"train": 50_000, "test": 10_000}

DISEASES = frozenset(TABLES["T5"].cells)


def disease_of(name: str) -> str | None:
    """The finding of ChestX-ray14 that a class is named after, whatever its case.

    Examples:
        >>> disease_of("PNEUMONIA"), disease_of("pleural thickening"), disease_of("NORMAL")
        ('Pneumonia', 'Pleural_Thickening', None)
    """
    plain = name.casefold().replace(" ", "_")
    return next((disease for disease in DISEASES if disease.casefold() == plain), None)


NUM_CHEST = 112_120
# training, validation and test pictures of the lists that the numbers of Table 5 fit (zoogzog/chexnet)
CHEST_COUNTS = {"train": 78_468, "val": 11_219, "test": 22_433}
IMAGENET_COUNT, IMAGENET_CLASSES = 1_281_167, 1000


def counts(task: Task) -> dict[str, int]:
    """Images of every split that has some."""
    return {name: len(split) for name, split in task.splits.items() if len(split)}


def cifar(task: Task, donors: Task | None = None) -> Identity:
    """CIFAR-10, and CIFAR-100 for the donor that the recipe trains."""
    found = [_cifar(task, CIFAR10, "CIFAR-10")]
    if donors is not None:
        found.append(_cifar(donors, CIFAR100, "CIFAR-100"))
    order = list(Scope)  # nearest first: levels are compared only if both data sets are the paper's
    return Identity(max((each.scope for each in found), key=order.index), " ".join(each.why for each in found))


def _cifar(task: Task, edition: _Cifar, name: str) -> Identity:
    images, mean, std = task.splits["train"].images, *_moments(task)
    # pixels, not names: a folder called cifar10 may hold anything, and a copy of CIFAR-10 may be called anything
    far = max(float(np.abs(mean - edition.mean).max()), float(np.abs(std - edition.std).max()))
    if images.shape[1:] != (32, 32, 3) or len(task.classes) != edition.classes or far > NEAR:
        return Identity(Scope.OTHER_DATA, f"{task.name} is not {name}: other classes, sizes or colours.")
    per_class = np.bincount(np.asarray(task.splits["train"].labels), minlength=edition.classes)
    balanced = len(set(per_class.tolist())) == 1
    if counts(task) == CIFAR_COUNTS and balanced and far < EXACT:
        return Identity(Scope.SAME_DATA, f"{task.name} is {name}: counts, classes and mean colours agree.")
    shown = ", ".join(f"{count:,} {split}" for split, count in counts(task).items())
    return Identity(Scope.SAME_KIND, f"{task.name} looks like a part of {name} ({shown} images).")


def _moments(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per channel of the training images, white being 1."""
    images = task.splits["train"].images
    full = float(np.iinfo(images.dtype).max)
    sums = np.zeros((2, images.shape[-1]))
    for start in range(0, len(images), 1000):  # all of CIFAR at once would be 1.2 GB in float64
        some = images[start : start + 1000].reshape(-1, images.shape[-1]) / full
        sums += some.sum(axis=0), (some**2).sum(axis=0)
    mean, square = sums / (len(images) * images.shape[1] * images.shape[2])
    return mean, np.sqrt(square - mean**2)


def chest(task: Task, _: Task | None = None) -> Identity:
    """ChestX-ray14, cut as Table 5's numbers suggest; another cut of it is another test set."""
    if set(task.classes) != DISEASES:
        return Identity(Scope.OTHER_DATA, f"{task.name} does not have the 14 findings of ChestX-ray14.")
    found = counts(task)
    shown = ", ".join(f"{count:,} {split}" for split, count in found.items())
    if found == CHEST_COUNTS:
        return Identity(Scope.SAME_DATA, f"{task.name} is ChestX-ray14 with the lists that Table 5 fits ({shown}).")
    whole = sum(found.values()) == NUM_CHEST
    what = "ChestX-ray14 in another cut than Table 5's" if whole else "a part of ChestX-ray14, or pictures labelled so"
    return Identity(Scope.SAME_KIND, f"{task.name} is {what} ({shown}).")


def fundus(task: Task, _: Task | None = None) -> Identity:
    """The paper's photographs are private: a graded public set is the nearest there is."""
    # nobody can have its data, so the best there can be is the same kind
    if task.kind == "graded" and len(task.classes) == 5 and task.channels == 3:
        return Identity(Scope.SAME_KIND, f"{task.name} has 5 grades; the paper's photographs are private.")
    return Identity(Scope.OTHER_DATA, f"{task.name} is not graded from 0 to 4, as diabetic retinopathy is.")


def natural(task: Task, _: Task | None = None) -> Identity:
    """ImageNet by its count and the names of its classes; CIFAR-100 stands in for it."""
    # class folders of ImageNet are called by their WordNet ids, also in subsets that people cut from it
    wordnet = all(re.fullmatch(r"n\d{8}", name) for name in task.classes)
    if len(task.splits["train"]) == IMAGENET_COUNT and len(task.classes) == IMAGENET_CLASSES and wordnet:
        return Identity(Scope.SAME_DATA, f"{task.name} is ImageNet: its count and its classes agree.")
    if wordnet:
        return Identity(Scope.SAME_KIND, f"{task.name} looks like a part of ImageNet, by the names of its classes.")
    if task.channels == 3 and len(task.classes) == CIFAR100.classes:
        mean, std = _moments(task)
        far = max(float(np.abs(mean - CIFAR100.mean).max()), float(np.abs(std - CIFAR100.std).max()))
        if far < 2 * NEAR:  # less strict: no level of these images is set beside one of the paper's
            return Identity(Scope.SAME_KIND, f"{task.name} looks like a part of CIFAR-100, a stand-in for ImageNet.")
    return Identity(Scope.OTHER_DATA, f"{task.name} is not known: it may be natural images or not.")


IDENTIFY: Mapping[str, Callable[[Task, Task | None], Identity]] = {
    "fundus": fundus,
    "chest": chest,
    "cifar": cifar,
    "natural": natural,
}


def identity_of(known: Mapping[str, str]) -> Identity:
    """What a recipe's folder remembers of its data."""
    return Identity(Scope(known["scope"]), known["why"])
