"""Which pictures were read before, from where, and how they were labelled and cut: two specs of one content say so."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from transfusion.errors import StoreError
from transfusion.files import read_json, real_place, write_json
from transfusion.tasks import decoded
from transfusion.tasks.names import listed


class Reading(NamedTuple):
    """One way in which pictures were read.

    Attributes:
        data: the folder or file, resolved.
        cut: hash of which content has which label in which split.
    """

    data: str
    cut: str


def reading_of(data: str, digests: Sequence[str], labels: np.ndarray, splits: np.ndarray) -> Reading:
    """Describe how pictures are read, whatever their order."""
    # sorted: names and order may differ
    rows = sorted(map(str, zip(digests, labels.tolist(), splits.tolist(), strict=True)))
    return Reading(str(real_place(data)), decoded.key_of(rows))


def notes(folder: Path, digests: Sequence[str], now: Reading) -> list[str]:
    """Remember how pictures are read now, and say how the same pictures were read before.

    Args:
        folder: of the cache.
        digests: of the pictures' contents.
        now: how they are read.

    Returns:
        Sentences; data that are no longer there are not spoken of.
    """
    path = folder / f"seen-{decoded.key_of(sorted(digests))}.json"
    with contextlib.suppress(StoreError):  # a cache that cannot be written remembers nothing, and does no harm
        with decoded.making(path, "reads the same pictures"):
            before = _before(path)
            if now not in before:
                write_json(path, {"readings": [*before, now]})
        return _told([one for one in before if one != now and Path(one.data).exists()], now)
    return []


def _before(path: Path) -> list[Reading]:
    try:
        return [Reading(*one) for one in read_json(path, "It is rebuilt.")["readings"]]
    except StoreError:
        return []


def _told(others: Sequence[Reading], now: Reading) -> list[str]:
    elsewhere = {one.data: one.cut for one in others if one.data != now.data}
    same = [data for data, cut in elsewhere.items() if cut == now.cut]
    otherwise = [data for data, cut in elsewhere.items() if cut != now.cut]
    told = []
    if same:
        told.append(f"The same pictures, labels and splits were read before from {listed(same)}: one set, two names.")
    if otherwise:
        told.append(f"The same pictures were read before from {listed(otherwise)}, with other labels or splits.")
    if any(one.data == now.data for one in others):
        told.append("The same pictures were read before with other labels or splits, by other settings of the task.")
    return told
