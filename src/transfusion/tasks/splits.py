"""Cutting images into parts: stratified by label, never through a patient."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import get_args

import numpy as np

from transfusion.errors import TaskError
from transfusion.terms import Split

SPLITS: tuple[str, ...] = get_args(Split)


def strata(labels: np.ndarray) -> np.ndarray:
    """The stratum of every image: its class, or its rarest label.

    Args:
        labels: (n,) class indices, or (n, labels) of 0, 1 and NaN.

    Returns:
        int64 (n,); images without any label form the last stratum.

    Examples:
        >>> strata(np.array([[1, 1], [1, 0], [0, 0]])).tolist()
        [1, 0, 2]
    """
    if labels.ndim == 1:
        return labels.astype(np.int64)
    counts = np.nansum(labels, axis=0)
    rarity = np.where(labels > 0, counts, np.inf)  # the rarest: common labels come along anyway
    rarest: np.ndarray = np.where((labels > 0).any(axis=1), rarity.argmin(axis=1), labels.shape[1])
    return rarest.astype(np.int64)


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """An order of all images whose every prefix holds each stratum in its share, give or take one.

    The j-th of a stratum's m images, drawn in random order, gets the position (j + 1/2) / m; images are ordered
    by position, so prefixes are nested by construction.

    Returns:
        A permutation of 0..n-1.

    Examples:
        >>> labels = np.array([0, 0, 0, 1, 1, 1])
        >>> sorted(labels[stratified_order(labels, seed=0)[:2]].tolist())
        [0, 1]
    """
    rng = np.random.default_rng(seed)
    groups = strata(labels)
    position = np.empty(len(groups))
    for group in np.unique(groups):
        members = rng.permutation(np.flatnonzero(groups == group))
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    # else strata of equal size would follow each other in the order of their numbers
    tie = rng.permutation(len(groups))
    return np.lexsort((tie, position))


def cut(labels: np.ndarray, patients: Sequence[str], fraction: float, seed: int) -> np.ndarray:
    """Choose whole patients that hold ``fraction`` of the images, stratified as far as whole patients allow.

    Patients are sorted into strata by their rarest class or label. Within a stratum they are drawn in random
    order, and one is taken whenever that brings the number of images nearer to its target; what a stratum lacks
    or has too much is carried to the next, commoner one.

    Args:
        labels: (n,) or (n, labels).
        patients: n identifiers; give every image its own where patients are unknown.
        fraction: share of the images, in [0, 1).
        seed: decides the draw.

    Returns:
        Boolean mask (n,) of the chosen images.

    Examples:
        >>> patients = ["a", "a", "b", "b", "c", "c", "d", "d"]
        >>> int(cut(np.zeros(8, int), patients, fraction=0.25, seed=0).sum())
        2
    """
    members = _members(patients)
    stratum_of = _patient_strata(strata(labels), members)
    by_stratum: dict[int, list[str]] = defaultdict(list)
    for patient, stratum in stratum_of.items():
        by_stratum[stratum].append(patient)
    chosen = np.zeros(len(labels), dtype=bool)
    rng, owed = np.random.default_rng(seed), 0.0
    # rare strata first, while there is freedom to hit their share
    for group in sorted(by_stratum.values(), key=lambda group: (sum(len(members[p]) for p in group), group)):
        owed += fraction * sum(len(members[patient]) for patient in group)
        for index in rng.permutation(len(group)):
            rows = members[group[index]]
            if abs(owed - len(rows)) < abs(owed):  # a patient with many images must not overshoot by more than it lacks
                chosen[rows] = True
                owed -= len(rows)
    return chosen


def _members(patients: Sequence[str]) -> dict[str, list[int]]:
    members: dict[str, list[int]] = defaultdict(list)
    for row, patient in enumerate(patients):
        members[patient].append(row)
    return dict(sorted(members.items()))


def _patient_strata(groups: np.ndarray, members: dict[str, list[int]]) -> dict[str, int]:
    sizes = np.bincount(groups)
    return {patient: int(min(groups[rows], key=lambda g: (sizes[g], g))) for patient, rows in members.items()}


def together(patients: Sequence[str | None], contents: Sequence[str]) -> list[str] | None:
    """Who must stay on one side of a cut: pictures of one patient, and pictures of one content.

    Args:
        patients: n identifiers, all None where patients are unknown.
        contents: n hashes.

    Returns:
        n identifiers, or None where every picture stands alone.

    Examples:
        >>> together(["a", "b", "c"], ["x", "y", "y"])
        ['a', 'b', 'b']
        >>> together([None, None], ["x", "y"])
    """
    alone = patients[0] is None if patients else True
    own = [str(row) for row in range(len(contents))] if alone else [str(patient) for patient in patients]
    first: dict[str, str] = {}
    root = {unit: unit for unit in own}

    def find(unit: str) -> str:
        while root[unit] != unit:
            unit = root[unit]
        return unit

    for unit, content in zip(own, contents, strict=True):
        a, b = sorted((find(unit), find(first.setdefault(content, unit))))  # sorted: independent of the order of images
        root[b] = a
    return None if alone and len(first) == len(own) else [find(unit) for unit in own]


def complete(
    given: Sequence[str | None],
    labels: np.ndarray,
    patients: Sequence[str] | None,
    fractions: dict[str, float],
    seed: int,
) -> np.ndarray:
    """Cut the splits that are not given out of the training images.

    Given splits stand as given. A patient who also stands in a given val or test split is never moved, so a cut
    makes no new overlap.

    Args:
        given: per image ``train``, ``val``, ``test``, or None (training images that may be cut, as ``train``).
        labels: (n,) or (n, labels).
        patients: n identifiers of what stays together, or None where every image stands alone.
        fractions: ``val`` and ``test``: share of the training images to cut where that split is not given.
        seed: decides the cut.

    Returns:
        (n,) array of split names.

    Raises:
        TaskError: when a requested split comes out empty.
    """
    split = np.array([name or "train" for name in given], dtype="<U5")
    units = list(patients) if patients is not None else [str(row) for row in range(len(split))]
    held_out = {unit for unit, name in zip(units, split, strict=True) if name != "train"}
    movable = np.array([unit not in held_out for unit in units]) & (split == "train")
    pool = int(movable.sum())
    for name in ("test", "val"):  # test first: it is what the study rests on
        if name in set(given) or not fractions[name]:
            continue
        rows = np.flatnonzero(movable)
        # of all training images, not of what is left of them
        share = min(fractions[name] * pool / max(len(rows), 1), 1.0)
        taken = rows[cut(labels[rows], [units[row] for row in rows], share, seed)]
        split[taken] = name
        movable[taken] = False
        _check_cut(name, len(taken), len(set(units)), patients is not None)
    if "train" not in split:
        raise TaskError("No training images are left. Give a train split, or smaller val_fraction and test_fraction.")
    return split


def _check_cut(name: str, num_taken: int, num_units: int, by_patient: bool) -> None:
    if not num_taken:
        units = "groups (patients, or copies of one file)" if by_patient else "images"
        raise TaskError(
            f"{num_units} {units} are too few to cut a {name} split from. "
            f"Give a {name} split, raise {name}_fraction, or set it to 0 for none."
        )
