"""What a listing must fulfil before its pictures are decoded, and what the user's settings override."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from transfusion.errors import SpecError, TaskError, UnknownNameError
from transfusion.spec import TaskSpec
from transfusion.tasks import patients
from transfusion.tasks.listing import Entry, Listing, Problem
from transfusion.tasks.pictures import Facts
from transfusion.tasks.split_names import SplitNames

FIRST_REFERABLE = 2
NEGATIVE_NAMES = frozenset(
    "-1 0 absent benign clean control controls false good healthy neg negative no non none noncovid nonpneumonia "  # noqa: SIM905
    "normal not ok unaffected uninfected well without".split()
)


def usable(listing: Listing, spec: TaskSpec) -> Listing:
    """Keep what can be used, with patients, kind and positive class decided.

    Raises:
        SpecError: if a setting contradicts the data.
        TaskError: if too little is left to make a task.
    """
    listing = patients.assign(_without_lone_classes(_with_named_splits(listing, spec)), spec)
    _check_enough(listing)
    return _with_positive(_with_kind(listing, spec), spec)


def _with_named_splits(listing: Listing, spec: TaskSpec) -> Listing:
    """Splits that the names of the files tell (``train_0001.png``), where nothing else gave any."""
    entries = listing.entries
    # names of files are the weakest sign of a split: anything else that gives one wins
    if listing.arrays is not None or spec.split_column == "none" or any(entry.split for entry in entries):
        return listing
    splits = SplitNames(spec).of_files([PurePosixPath(entry.name).stem for entry in entries])
    if not any(splits):
        return listing
    note = f"Splits are taken from file names ({PurePosixPath(entries[0].name).name}, ...)."
    told = tuple(entry._replace(split=split) for entry, split in zip(entries, splits, strict=True))
    return replace(listing, entries=told, notes=(*listing.notes, note))


def contradictions(listing: Listing, facts: Sequence[Facts]) -> tuple[list[Problem], set[int]]:
    """Pictures of one content and different labels: a problem for each content, and their places."""
    told: dict[str, dict[object, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, (entry, fact) in enumerate(zip(listing.entries, facts, strict=True)):
        if not fact.error:
            told[fact.digest][entry.label].append(row)
    clashes = [sorted(rows[0] for rows in by_label.values()) for by_label in told.values() if len(by_label) > 1]
    names = [[listing.entries[row].name for row in rows] for rows in clashes]
    bad = {row for by_label in told.values() if len(by_label) > 1 for rows in by_label.values() for row in rows}
    return [Problem("contradicting labels", n[0], f"same content as {', '.join(n[1:])}") for n in names], bad


def _without_lone_classes(listing: Listing) -> Listing:
    """A class that only one of the given splits has is a misnamed folder or a broken label."""
    given = {entry.split for entry in listing.entries}
    if listing.kind not in ("binary", "multiclass") or len(given) < 2:
        return listing
    members: dict[str, list[Entry]] = defaultdict(list)
    for entry in listing.entries:
        members[str(entry.label)].append(entry)
    lone = {name: entries for name, entries in members.items() if len({entry.split for entry in entries}) == 1}
    problems = [
        Problem("class in one split only", name, f"{len(entries)} images in {entries[0].split}")
        for name, entries in lone.items()
    ]
    return replace(
        listing,
        classes=tuple(name for name in listing.classes if name not in lone),
        entries=tuple(entry for entry in listing.entries if entry.label not in lone),
        problems=(*listing.problems, *problems),
    )


def _check_enough(listing: Listing) -> None:
    problems = "; ".join(str(problem) for problem in listing.problems[:3])
    if not listing.entries:
        raise TaskError(f"{listing.source} has no picture that can be used. {problems or 'It is empty'}.")
    if listing.kind != "multilabel" and len({entry.label for entry in listing.entries}) < 2:
        raise TaskError(f"{listing.source} has usable pictures of one class only; a task needs two. {problems}".strip())
    if all(entry.split in ("val", "test") for entry in listing.entries):
        raise TaskError(f"{listing.source} has no training images. Add a train split.")


def _with_kind(listing: Listing, spec: TaskSpec) -> Listing:
    kind = spec.kind or listing.kind
    if (kind == "multilabel") != (listing.kind == "multilabel") or (kind == "binary" and len(listing.classes) != 2):
        raise SpecError(
            f"task.kind '{kind}' does not fit {listing.source}, which is {listing.kind} with "
            f"{len(listing.classes)} classes. Leave task.kind out, or choose one that fits."
        )
    return replace(listing, kind=kind)


def _with_positive(listing: Listing, spec: TaskSpec) -> Listing:
    if spec.positive is not None and spec.positive not in listing.classes:
        raise UnknownNameError.of("class", spec.positive, listing.classes)
    if spec.positive is not None and listing.kind not in ("binary", "graded"):
        raise SpecError(f"task.positive applies to binary and graded tasks; {listing.source} is {listing.kind}.")
    if spec.positive is not None:
        return replace(listing, positive=listing.classes.index(spec.positive))
    if listing.kind == "binary":
        return replace(listing, positive=_positive_class(listing.classes))
    if listing.kind == "graded" and listing.positive is None:
        return replace(listing, positive=min(FIRST_REFERABLE, len(listing.classes) - 1))
    return listing


def _positive_class(classes: tuple[str, ...]) -> int:
    """The second of two classes, unless its name says that nothing was found (``NORMAL``, ``no_tumor``)."""
    first = re.split(r"[\s_-]+", classes[1].lower().strip())[0] or classes[1]
    return 0 if first in NEGATIVE_NAMES else 1
