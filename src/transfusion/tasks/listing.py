"""What every layout answers with: pictures, labels, splits and patients, and all that is wrong with them."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from transfusion.terms import Kind

Label = str | tuple[str, ...]


class Problem(NamedTuple):
    """One thing that is wrong: what sort of problem, where, and what exactly."""

    sort: str
    where: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.sort}: {self.where}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True)
class Member:
    """A picture file that lies inside another file, read as if it were one of its own.

    Attributes:
        file: the file around it.
        row: its place there.
        read: row -> its bytes.
    """

    file: Path
    row: int
    read: Callable[[int], bytes] = field(compare=False, repr=False)
    suffix = ""  # its bytes say what it is

    def __str__(self) -> str:
        return f"{self.file}#{self.row}"

    def stat(self) -> os.stat_result:
        """That of the file around it."""
        return self.file.stat()

    def read_bytes(self) -> bytes:
        """Its content."""
        return self.read(self.row)

    def open(self, mode: str = "rb") -> io.BytesIO:
        """Its content as a file, in the one mode there is."""
        return io.BytesIO(self.read_bytes())


class Entry(NamedTuple):
    """One picture: its file or its row among the arrays, and what is known about it.

    ``label`` is a class name, or the tuple of all positive labels of a multilabel task, of which ``unjudged`` are the
    labels that nobody judged. ``folders`` are those that may say whom it shows: below the class's, without splits.
    """

    name: str
    source: Path | Member | int
    label: Label
    split: str | None = None
    patient: str | None = None
    unjudged: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Arrays:
    """Pictures that do not lie in files of their own.

    Attributes:
        identity: what determines the pixels besides ``files``.
        files: files that the pixels come from.
        size: height and width.
        channels: 1 or 3.
        dtype: uint8 or uint16.
        read: (m,) rows -> m arrays of shape (height, width, channels).
    """

    identity: str
    files: tuple[Path, ...]
    size: tuple[int, int]
    channels: int
    dtype: np.dtype[Any]
    read: Callable[[Sequence[int]], Sequence[np.ndarray]]


class OnFirstUse:
    """Rows of arrays that are read as a whole, once, when the first row is requested."""

    def __init__(self, load: Callable[[], np.ndarray]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._images: np.ndarray | None = None

    def __call__(self, rows: Sequence[int]) -> list[np.ndarray]:
        """Return the arrays of these rows."""
        with self._lock:  # rows are requested by several threads
            if self._images is None:
                self._images = self._load()
        return [self._images[row] for row in rows]


@dataclass(frozen=True)
class Listing:
    """Everything that a layout finds.

    Attributes:
        layout: its name.
        name: of the task.
        source: the data as the user named them.
        kind: of task.
        classes: in the order of the outputs.
        entries: the usable pictures.
        positive: as in ``Task``; None where the kind has none or the default rule decides.
        problems: everything wrong, all at once.
        arrays: where pixels come from when they do not lie in picture files.
        other_files: how many files of which suffix were passed over.
        notes: what was decided or passed over that a reader must know.
        group: the column that patients come from, where there is one.
    """

    layout: str
    name: str
    source: str
    kind: Kind
    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    positive: int | None = None
    problems: tuple[Problem, ...] = ()
    arrays: Arrays | None = None
    other_files: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    group: str | None = None
