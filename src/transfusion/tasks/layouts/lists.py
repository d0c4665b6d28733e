"""Text files that list the pictures of a split, one a line: ``train.txt``, ``test_list.txt``, ``splits/val.txt``.

What follows a picture's name on its line is not read: labels come from folders or a table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from transfusion.errors import TaskError
from transfusion.files import odd_sort, reason
from transfusion.spec import TaskSpec
from transfusion.tasks.layouts.disk import PICTURE_SUFFIXES, Found, is_clutter
from transfusion.tasks.layouts.match import PictureIndex
from transfusion.tasks.layouts.sheet import text_of
from transfusion.tasks.listing import Entry, Problem
from transfusion.tasks.names import listed, shown, words
from transfusion.tasks.split_names import SplitNames, cuts, looks_like_split, mentioned

SUFFIXES = (".txt", ".lst", ".list")
SAMPLE = 200  # lines that show which word of a line names the picture
QUOTES = "\"'"


class Lists(NamedTuple):
    """The split of every picture that lists name, whether others train, and what to report."""

    splits: dict[Path, str]
    others_train: bool
    notes: tuple[str, ...]


class Named(NamedTuple):
    """The pictures that a list names, and its lines that name none, though they are made like the others."""

    pictures: set[Path]
    absent: list[str]


def read(found: Found, spec: TaskSpec) -> Lists | None:
    """The splits that lists at the data's folder give, or in folders there that hold no pictures; None without lists.

    Raises:
        TaskError: if lists name a picture in two splits, or one is called nearly like a split, is empty or no text.
    """
    paths = _candidates(found)
    names = SplitNames(spec)
    told = {path: names.of(path.stem) or mentioned(path.stem) for path in paths}
    index = PictureIndex(found) if paths else None
    members = {
        path: _named(path, index, is_sure=names.of(path.stem) is not None)
        for path in paths
        if index and told[path] != "none"
    }
    naming = {path: named.pictures for path, named in members.items() if named.pictures}
    odd = [path for path in naming if told[path] is None]
    if odd:
        raise TaskError(
            f"{listed(path.name for path in odd)} lists pictures: is it a split? Say so with "
            f'--set task.split_names="{{{odd[0].stem}: train}}" (or val, test; none: it is no split; leave_out).'
        )
    used = _without_joined(
        {path: pictures for path, pictures in naming.items() if told[path] in ("train", "val", "test")}
    )
    if not used:
        return None
    splits = _agreed(used, {path: str(told[path]) for path in used})
    notes = [f"Splits are taken from the lists {listed(path.name for path in used)}."]
    notes += [
        f"{len(members[path].absent)} lines of {path.name} name no picture that is there ({members[path].absent[0]})."
        for path in used
        if members[path].absent
    ]
    return Lists(splits, "train" not in splits.values(), tuple(notes))


def _candidates(found: Found) -> list[Path]:
    """Lists by their names; any other text file is a readme or what else people write."""
    bare = [path for path in found.root.iterdir() if path.is_dir() and not is_clutter(path.name)]
    holding = {found.root / found.place(path).parts[0] for path in found.pictures}
    folders = [found.root, *sorted(path for path in bare if path not in holding)]
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
    return [path for path in files if not path.is_dir() and (looks_like_split(path.stem) or cuts(path.stem))]


def lines_of(path: Path) -> list[str]:
    """The lines of a list that say something.

    Raises:
        TaskError: if there are none, or it is no text.
    """
    try:
        if sort := odd_sort(path):
            raise ValueError(f"it is {sort}")
        lines = [line.strip() for line in text_of(path).splitlines()]
    except (OSError, EOFError, ValueError) as error:
        raise TaskError(
            f"{path} is called like the list of a split and cannot be read ({reason(error)}). Write it again, or "
            "move it away."
        ) from error
    return [line for line in lines if line and not line.startswith("#")]


def _named(path: Path, index: PictureIndex, is_sure: bool) -> Named:
    """The pictures that a list names: by the whole line, or the word of it that names most.

    Raises:
        TaskError: if a line fits several pictures, or a file that is surely meant for a list cannot be read or names
            pictures that are not there.
    """
    try:
        lines = lines_of(path)
    except TaskError:
        if is_sure:
            raise
        return Named(set(), [])
    sample = lines[:: max(len(lines) // SAMPLE, 1)]
    hits = {place: sum(map(bool, index.find(_words(sample, place)))) for place in (None, 0, 1, 2)}
    names = _words(lines, max(hits, key=lambda place: hits[place]))
    places = index.find(names)
    several = [name for name, place in zip(names, places, strict=True) if len(place) > 1]
    if several:
        raise TaskError(f"{shown(several[0])} in {path} fits several pictures. Write their folders too.")
    pictures = {place[0] for place in places if place}
    absent = [shown(name) for name, place in zip(names, places, strict=True) if not place and _is_picture(name)]
    if is_sure and not pictures and len(absent) > len(lines) / 2:
        raise TaskError(
            f"{path} lists {len(absent)} pictures, of which none is there ({absent[0]}, ...). Write their names as "
            f'they are, or say that it is no split: --set task.split_names="{{{path.stem}: none}}".'
        )
    return Named(pictures, absent)


def _words(lines: Sequence[str], place: int | None) -> list[str]:
    """Of every line the word at a place, or the whole: NAME LABEL, ID NAME and ID LABEL NAME are all about."""
    if place is None:
        return [line.strip(QUOTES) for line in lines]
    parts = (line.replace(",", " ").replace(";", " ").split() for line in lines)
    return [part[place].strip(QUOTES) if len(part) > place else "" for part in parts]


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in PICTURE_SUFFIXES


def _without_joined(lists: dict[Path, set[Path]]) -> dict[Path, set[Path]]:
    """Without ``trainval.txt`` where train.txt and val.txt stand beside it."""
    joined = [path for path in lists if "trainval" in words(path.stem) or {"train", "val"} <= set(words(path.stem))]
    rest = {path: pictures for path, pictures in lists.items() if path not in joined}
    whole = set[Path]().union(*rest.values())
    return {path: pictures for path, pictures in lists.items() if path in rest or not pictures <= whole}


def _agreed(lists: Mapping[Path, set[Path]], told: Mapping[Path, str]) -> dict[Path, str]:
    of_picture: dict[Path, list[Path]] = defaultdict(list)
    for path, pictures in lists.items():
        for picture in pictures:
            of_picture[picture].append(path)
    for picture, paths in sorted(of_picture.items()):
        if len({told[path] for path in paths}) > 1:
            names = [path.name for path in paths]
            raise TaskError(
                f"{shown(picture.name)} is in the lists of two splits, {listed(names)}. Use one set of lists, and "
                f'leave the others out: --set task.split_names="{{{paths[-1].stem}: none}}".'
            )
    return {picture: told[paths[0]] for picture, paths in of_picture.items()}


def with_lists(
    entries: Sequence[Entry], found: Found, spec: TaskSpec
) -> tuple[tuple[Entry, ...], list[Problem], list[str]]:
    """Entries with the splits of lists, where there are any; what a train list leaves out is a problem.

    Raises:
        TaskError: if lists contradict the splits that folders, tables or a column give.
    """
    if spec.split_column == "none":
        return tuple(entries), [], []
    lists = read(found, spec)
    if lists is None:
        return tuple(entries), [], []
    pairs = [
        (entry, lists.splits.get(Path(str(entry.source)), "train" if lists.others_train else None)) for entry in entries
    ]
    clashing = [entry.name for entry, split in pairs if entry.split not in (None, split) and split]
    given = {entry.split for entry in entries} - {None}
    if clashing and given != {"train"}:
        raise TaskError(
            f"Lists give {len(clashing)} pictures another split than folders or tables do ({clashing[0]}, ...). Remove "
            "the lists, or move the pictures."
        )
    bare = [Problem("image in no list of a split", entry.name) for entry, split in pairs if split is None]
    return tuple(entry._replace(split=split) for entry, split in pairs if split), bare, list(lists.notes)
