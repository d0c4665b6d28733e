"""Class folders, with or without split folders: ``train/NORMAL/a.png`` or ``NORMAL/a.png``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from transfusion.errors import TaskError
from transfusion.spec import TaskSpec
from transfusion.tasks.layouts.disk import SPLIT_FOLDERS, natural_order, pictures_below, subfolders
from transfusion.tasks.listing import Entry, Listing, Problem


def split_folders(root: Path) -> dict[str, Path]:
    """The folders right below ``root`` that are named like a split.

    Raises:
        TaskError: if two folders are named like the same split.
    """
    found: dict[str, Path] = {}
    for path in subfolders(root):
        split = SPLIT_FOLDERS.get(path.name.lower())
        if split in found:
            raise TaskError(f"{root} has two {split} folders, '{found[split].name}' and '{path.name}'. Keep one.")
        if split:
            found[split] = path
    return found


def read(spec: TaskSpec, root: Path) -> Listing:
    """List a folder of class folders; the label of a picture is the name of its class folder.

    Raises:
        TaskError: if there are fewer than two classes.
    """
    splits = {path.name: split for split, path in split_folders(root).items()}
    pictures, other_files = pictures_below(root)
    entries, problems = [], list(_empty_classes(root, bool(splits)))
    for path in pictures:
        place = path.relative_to(root)
        split = splits.get(place.parts[0])
        depth = 1 if splits else 0
        if (splits and split is None) or len(place.parts) < depth + 2:
            problems.append(Problem("image without label", place.as_posix(), "not in a class folder"))
        else:
            entries.append(Entry(place.as_posix(), path, place.parts[depth], split))
    classes = tuple(sorted({str(entry.label) for entry in entries}, key=natural_order))
    if len(classes) < 2:
        raise TaskError(
            f"{root} has pictures in {len(classes)} class folders ({', '.join(classes) or 'none'}); a task needs two "
            "or more, as in train/NORMAL/a.png or NORMAL/a.png. For labels in a CSV file give task.labels."
        )
    return Listing(
        layout="folder",
        name=root.name,
        source=spec.data,
        kind="binary" if len(classes) == 2 else "multiclass",
        classes=classes,
        entries=tuple(entries),
        problems=tuple(problems),
        other_files=other_files,
    )


def _empty_classes(root: Path, has_splits: bool) -> Iterator[Problem]:
    parts = split_folders(root).values() if has_splits else [root]
    for part in parts:
        for folder in subfolders(part):
            if not pictures_below(folder)[0]:
                yield Problem("empty class folder", folder.relative_to(root).as_posix())
