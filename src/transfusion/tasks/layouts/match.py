"""Rows of a label table to pictures on disk, whichever way the table names them."""

from __future__ import annotations

import filecmp
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from transfusion.spec import TaskSpec
from transfusion.tasks.layouts.disk import DICOM_SUFFIXES, PICTURE_SUFFIXES, Found, by_folder
from transfusion.tasks.listing import Entry, Label, Problem
from transfusion.tasks.names import shown
from transfusion.tasks.split_names import SplitNames

_DRIVE = re.compile(r"^([A-Za-z]:|\w+://)")
KNOWN_SUFFIXES = PICTURE_SUFFIXES | DICOM_SUFFIXES


class Row(NamedTuple):
    """One line of a label table.

    ``label`` is None where there is none (``text`` is empty) or none that can be used. ``unjudged`` names labels
    that nobody judged. A row with ``dropped`` is one whose picture is not used, as the task's settings have it.
    """

    image: str
    label: Label | None
    text: str = ""
    split: str | None = None
    patient: str | None = None
    unjudged: tuple[str, ...] = ()
    dropped: bool = False


class Matched(NamedTuple):
    """Usable pictures in the order of their names, what is wrong, and what to report."""

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


class PictureIndex:
    """Finds pictures by path or name, as they are written or nearly so.

    A name that comes with folders is found in these folders only: its path and the picture's must agree as far as
    both go, from the file upwards. Folders that all names share say nothing (``/home/me/images``) and are passed
    over. Among what agrees the whole name counts first, then its letters in either case, then the name without its
    suffix.
    """

    def __init__(self, found: Found) -> None:
        self._places = {path: _folded(found.place(path).parts) for path in found.pictures}
        self._exact: dict[str, list[Path]] = defaultdict(list)
        self._names: dict[str, list[Path]] = defaultdict(list)
        self._stems: dict[str, list[Path]] = defaultdict(list)
        for path, place in self._places.items():
            self._exact[path.name].append(path)
            self._names[place[-1]].append(path)
            self._stems[_stem(place[-1])].append(path)

    def find(self, images: Sequence[str]) -> list[list[Path]]:
        """All pictures that each of the names of a table may mean."""
        parts = {image: _parts(image) for image in images}
        shared = _num_shared([part[:-1] for part in parts.values() if part])
        found = {image: self._find(part, shared) if part else [] for image, part in parts.items()}
        return [found[image] for image in images]

    def _find(self, parts: Sequence[str], shared: int) -> list[Path]:
        folded = _folded(parts)
        last = folded[-1]
        for candidates in (self._exact.get(parts[-1]), self._names.get(last), self._stems.get(_stem(last))):
            for tail in (folded, folded[shared:]):
                agreeing = [path for path in candidates or () if _agree(tail, self._places[path])]
                if agreeing:
                    return self._deepest(agreeing, tail)
        return self._stems.get(last, []) if len(parts) == 1 else []

    def _deepest(self, paths: list[Path], tail: Sequence[str]) -> list[Path]:
        """Of several pictures those whose path agrees furthest."""
        depth = {path: min(len(self._places[path]), len(tail)) for path in paths}
        return [path for path in paths if depth[path] == max(depth.values())]


def _parts(image: str) -> tuple[str, ...]:
    r"""``C:\data\a.png`` and ``./data/a.png`` as their parts."""
    path = _DRIVE.sub("", image.replace("\\", "/"))
    return tuple(part for part in path.split("/") if part not in ("", ".", ".."))


def _folded(parts: Sequence[str]) -> tuple[str, ...]:
    """Alike for names that differ in case or in how accents are composed."""
    return tuple((part if part.isascii() else unicodedata.normalize("NFC", part)).casefold() for part in parts)


def _stem(name: str) -> str:
    stem, _, suffix = name.rpartition(".")
    return stem if stem and f".{suffix}" in KNOWN_SUFFIXES else name


def _num_shared(folders: Sequence[tuple[str, ...]]) -> int:
    """How many leading folders all of them have in common."""
    if not folders:
        return 0
    low, high = min(folders), max(folders)  # what the first and the last in order share, all share
    same = [a == b for a, b in zip(low, high, strict=False)]
    return same.index(False) if False in same else len(same)


def _agree(named: Sequence[str], place: Sequence[str]) -> bool:
    pairs = list(zip(reversed(named[:-1]), reversed(place[:-1]), strict=False))
    return all(a == b for a, b in pairs)


def match(rows: Sequence[Row], found: Found, spec: TaskSpec) -> Matched:
    """Bring rows and pictures together.

    Rows that agree are one label; where a name fits several files, those with the same bytes are one picture, and
    otherwise the one in a folder of the row's own split counts. Pictures without a row are problems, unless a split
    folder has no row at all: its labels were never published.

    Args:
        rows: of the table.
        found: the pictures.
        spec: whose words for splits count.
    """
    names = SplitNames(spec)
    candidates = PictureIndex(found).find([row.image for row in rows])
    by_picture: dict[Path, list[Row]] = defaultdict(list)
    problems: list[Problem] = []
    listed: set[Path] = set()
    twins = 0
    for row, paths in zip(rows, candidates, strict=True):
        listed.update(paths)
        paths = _of_split(paths, row.split, found, names)
        distinct = _distinct(paths)
        twins += len(paths) - len(distinct)
        if len(distinct) == 1:
            by_picture[distinct[0]].append(row)
        elif not row.dropped:
            problems.append(_unmatched(row, paths))
    entries = [_entry(path, members, found, problems) for path, members in by_picture.items()]
    unlisted, notes = _unlisted(found, listed, names)
    repeated = sum(len(members) > 1 for members in by_picture.values())
    if repeated:
        notes.append(f"{repeated} pictures have several rows, which agree; each counts once.")
    if twins:
        notes.append(f"{twins} files lie there a second time with the same content; each counts once.")
    kept = sorted(filter(None, entries), key=lambda entry: entry.name)
    return Matched(tuple(kept), tuple(dict.fromkeys([*problems, *unlisted])), tuple(notes))


def _of_split(paths: list[Path], split: str | None, found: Found, names: SplitNames) -> list[Path]:
    if len(paths) < 2 or split is None:
        return paths
    own = [path for path in paths if split in {names.of(part) for part in found.place(path).parts[:-1]}]
    return own or paths


def _distinct(paths: list[Path]) -> list[Path]:
    """One of each content."""
    kept: list[Path] = []
    for path in paths:
        if not any(filecmp.cmp(path, other, shallow=False) for other in kept):  # shallow would trust size and time
            kept.append(path)
    return kept


def _unmatched(row: Row, paths: Sequence[Path]) -> Problem:
    if not paths:
        return Problem("label without image", row.image)
    return Problem("name of several images", row.image, ", ".join(sorted(shown(path.parent.name) for path in paths)))


def _entry(path: Path, rows: Sequence[Row], found: Found, problems: list[Problem]) -> Entry | None:
    """The entry of a picture, or None and a problem."""
    name = shown(str(found.place(path)))
    told = {row[1:] for row in rows}  # all but the name
    row = rows[0]
    if len(told) > 1:
        texts = Counter(row.text or "no label" for row in rows)
        which = "labels" if len(texts) > 1 else "splits or patients"
        problems.append(Problem(f"contradicting {which}", name, f"{len(rows)} rows: {', '.join(texts)}"))
    elif row.dropped:
        return None
    elif row.label is None:
        problems.append(Problem("unknown label" if row.text else "missing label", row.image, row.text))
    else:
        return Entry(name, path, row.label, row.split, row.patient, row.unjudged)
    return None


def _unlisted(found: Found, listed: set[Path], names: SplitNames) -> tuple[list[Problem], list[str]]:
    """Pictures that no row names: problems, or a note on a split folder that has no labels at all."""
    splits = {path: {names.of(part) for part in found.place(path).parts[:-1]} - {None} for path in found.pictures}
    labelled = {split for path in listed for split in splits.get(path, ())}
    bare = Counter(
        split
        for path, own in splits.items()
        for split in own - labelled
        if path not in listed and labelled and split != "none"
    )
    others = [path for path in found.pictures if path not in listed and not (splits[path] & set(bare))]
    notes = [
        f"The {count} pictures of the {split} folder have no labels and are not used."
        for split, count in bare.items()
        if split != "leave_out"
    ]
    return list(by_folder("image without label", others, found.root)), notes
