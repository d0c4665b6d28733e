"""Class folders, with or without split folders: ``train/NORMAL/a.png`` or ``NORMAL/a.png``."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path, PurePosixPath

from transfusion.errors import TaskError
from transfusion.spec import TaskSpec
from transfusion.tasks import labels
from transfusion.tasks.layouts.disk import Found, by_folder, files_below, inner_folders, instead, scan, subfolders
from transfusion.tasks.layouts.lists import with_lists
from transfusion.tasks.layouts.table import workbooks_at
from transfusion.tasks.listing import Entry, Listing, Problem
from transfusion.tasks.names import listed, shown, words
from transfusion.tasks.patients import BATCH, ENOUGH_GROUPS
from transfusion.tasks.patterns import compiled, search
from transfusion.tasks.split_names import SplitNames

SETTING = "task.label_pattern"
VERSION = re.compile(
    r"originals?|raw|(pre)?processed|resized|cropped|enhanced|aug(mented)?|png|jpe?g|tiff?|thumb(nail)?s?|small|large|clahe|"
    r"gr[ae]y(scale)?|rgb|colou?r|\d+(x\d+|px)|normali[sz]ed|filtered|denoised",
    re.IGNORECASE,
)
PARTS = frozenset("fold folds cv split part batch site center centre hospital round version v scanner".split())  # noqa: SIM905


def read(spec: TaskSpec, root: Path) -> Listing:
    """List a folder of class folders; the label of a picture is the name of its class folder.

    The class folder is the outermost one that names no split and is not the same for all pictures; but folders with
    numbers that all hold the same few subfolders (``8863/0``, ``8863/1``) are patients, and these the classes.
    ``label_pattern`` says otherwise.

    Raises:
        TaskError: if there are fewer than two classes, or folders that are not understood.
    """
    found = _without_unused(scan(root, spec), spec)
    if not found.pictures:
        raise TaskError(f"{root} has no pictures{instead(found.others)}. Give a folder of pictures.")
    places = [found.place(path) for path in found.pictures]
    splits = SplitNames(spec).of_folders(places)
    folders = inner_folders(places, spec)
    level = 0 if spec.label_pattern else _class_level(root, [inner for inner in folders if inner])
    _refuse_versions(places, {p.parent for p, inner in zip(places, folders, strict=True) if len(inner) > level + 1})
    texts = _by_pattern(places, spec.label_pattern) if spec.label_pattern else [_at(inner, level) for inner in folders]
    told = labels.of_one([shown(text) for text in texts], "folder", spec)
    _refuse_alike(texts)
    if len(told.classes) < 2:
        raise TaskError(
            f"{root} has pictures in {len(told.classes)} class folders ({', '.join(told.classes) or 'none'}); a task "
            "needs two or more, as in train/NORMAL/a.png or NORMAL/a.png. For labels in a CSV file give task.labels."
        )
    entries = [
        Entry(
            name=shown(str(place)),
            source=path,
            label=value,
            split=split,
            patient=shown(inner[0]) if level else None,
            folders=tuple(map(shown, inner if spec.label_pattern else inner[level + 1 :])),
        )
        for place, path, value, split, inner in zip(places, found.pictures, told.values, splits, folders, strict=True)
        if value is not None
    ]
    listed_entries, unlisted, list_notes = with_lists(entries, found, spec)
    told_rows = zip(found.pictures, told.values, told.dropped, strict=True)
    stray = [path for path, value, dropped in told_rows if value is None and not dropped]
    detail = f"does not match {spec.label_pattern}" if spec.label_pattern else "not in a class folder"
    return Listing(
        layout="folder",
        name=root.name,
        source=spec.data,
        kind=told.kind,
        classes=told.classes,
        entries=listed_entries,
        problems=(
            *_empty_classes(root, found, spec),
            *unlisted,
            *found.problems,
            *by_folder("image without label", stray, root, detail),
        ),
        other_files=found.others,
        notes=(*found.notes, *told.notes, *list_notes, *map(_unused_workbook, workbooks_at(root))),
    )


def _unused_workbook(path: Path) -> str:
    return f"{path.name} was not read: class folders give the labels, unless --set task.labels='{path}'."


def _without_unused(found: Found, spec: TaskSpec) -> Found:
    """Without the folders that ``split_names`` says to leave out."""
    names = SplitNames(spec)
    unused = {path for path in found.pictures if any(names.of(p) == "leave_out" for p in found.place(path).parts[:-1])}
    note = f"{len(unused)} pictures were left out by task.split_names."
    kept = [path for path in found.pictures if path not in unused]
    return replace(found, pictures=kept, notes=(*found.notes, note)) if unused else found


def _at(folders: Sequence[str], level: int) -> str:
    return folders[level] if len(folders) > level else ""


def _by_pattern(places: Sequence[PurePosixPath], pattern: str) -> list[str]:
    regex = compiled(SETTING, pattern)
    matches = [search(SETTING, regex, str(place)) for place in places]
    return [next((group for group in m.groups() if group), m.group()) if m else "" for m in matches]


def _class_level(root: Path, folders: Sequence[tuple[str, ...]]) -> int:
    """0 where the outer folders are the classes, 1 where they are patients.

    Raises:
        TaskError: if a folder holds the others a second time, or classes and patients cannot be distinguished.
    """
    below: dict[str, set[str]] = defaultdict(set)
    for parts in folders:
        below[parts[0]].add(_at(parts, 1))
    for name, inner in below.items():
        if len(inner) > 1 and inner <= set(below) - {name}:  # an archive unpacked into its own folder
            raise TaskError(
                f"{root} holds the class folders {listed(sorted(inner))} a second time in {shown(name)}/. Use one: "
                f"--data '{shown(str(root / name))}', or --set task.leave_out=\"['{shown(name)}/*']\"."
            )
    inner = set[str]().union(*below.values())
    if not _hold_the_same(below, inner):
        return 0
    if len(below) >= ENOUGH_GROUPS and len(below) > len(inner) and all(map(_may_be_a_person, below)):
        return 1
    raise TaskError(
        f"The folders {listed(f'{name}/' for name in sorted(below))} hold the same subfolders "
        f"({listed(sorted(inner))}). Which are the classes? The inner ones, and the outer ones are patients: "
        "--set task.label_pattern='([^/]+)/[^/]+$' --set task.patient_pattern='([^/]+)/[^/]+/[^/]+$'; "
        "the outer ones: --set task.label_pattern='([^/]+)/[^/]+/[^/]+$'."
    )


def _may_be_a_person(name: str) -> bool:
    return bool(re.search(r"\d", name)) and not PARTS & set(words(name)) and not BATCH.fullmatch(name)


def _refuse_versions(places: Sequence[PurePosixPath], inside: Set[PurePosixPath]) -> None:
    """The same names in ``a/`` and ``a/thumbs/``, or in ``a/raw/`` and ``a/resized/``, are the same pictures twice."""
    names: dict[PurePosixPath, set[str]] = defaultdict(set)
    for place in places:
        names[place.parent].add(place.stem)
    for folder in sorted(inside):
        own = names[folder]
        beside = [folder.parent, *(other for other in inside if other.parent == folder.parent and other != folder)]
        for other in beside if VERSION.fullmatch(folder.name) else beside[:1]:
            alike = other == folder.parent or VERSION.fullmatch(other.name)
            if alike and len(own) > 2 and own <= names.get(other, set()):
                raise TaskError(
                    f"{shown(str(folder))}/ and {shown(str(other))}/ hold {len(own)} files of the same names: are they "
                    "other versions of the same pictures? Leave one out, as in "
                    f"--set task.leave_out=\"['*{shown(folder.name)}/*']\", or rename the files."
                )


def _hold_the_same(below: Mapping[str, set[str]], inner: set[str]) -> bool:
    """Whether two or more folders share few subfolders, which are more than batches."""
    shared = sum(map(len, below.values())) > len(inner)
    telling = "" not in inner and sum(not BATCH.fullmatch(name) for name in inner) > 1
    return len(below) > 1 and shared and telling and len(inner) <= len(below)


def _refuse_alike(texts: Sequence[str]) -> None:
    """Class folders whose names are bytes that cannot be shown must not fall together."""
    names: dict[str, set[str]] = defaultdict(set)
    for text in texts:
        names[shown(text)].add(text)
    several = [name for name, own in names.items() if len(own) > 1]
    if several:
        raise TaskError(f"Several class folders are shown as '{several[0]}': their names are not UTF-8. Rename them.")


def _empty_classes(root: Path, found: Found, spec: TaskSpec) -> Iterator[Problem]:
    folders = {path.parent for path in found.pictures}
    filled = {parent for folder in folders for parent in (folder, *folder.parents)}
    names = SplitNames(spec)
    splits = [path for path in subfolders(root) if names.of(path.name) in ("train", "val", "test")]
    for part in splits or [root]:
        for folder in subfolders(part):
            if folder not in filled and not files_below(folder):
                yield Problem("empty class folder", shown(folder.relative_to(root).as_posix()))
