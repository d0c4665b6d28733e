"""CSV files with one row per image, beside the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from transfusion.errors import TaskError
from transfusion.files import expanded, odd_sort
from transfusion.spec import TaskSpec
from transfusion.tasks import labels
from transfusion.tasks.labels import Labels
from transfusion.tasks.layouts import columns, groups
from transfusion.tasks.layouts.disk import Found, files_below, inner_folders, is_clutter, scan
from transfusion.tasks.layouts.lists import with_lists
from transfusion.tasks.layouts.match import PictureIndex, Row, match
from transfusion.tasks.layouts.sheet import encoding_note, is_table, is_workbook, read_table
from transfusion.tasks.listing import Entry, Listing
from transfusion.tasks.names import listed
from transfusion.tasks.split_names import SplitNames, mentioned


class Sheets(NamedTuple):
    """The rows of all label tables, and the split of each where the tables are splits."""

    paths: tuple[Path, ...]
    frame: pd.DataFrame
    splits: list[str | None]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For messages."""
        return listed(self.paths)


def tables_at(root: Path) -> list[Path]:
    """The CSV files right below ``root``, or, where there are none, further down beside no pictures."""
    here = sorted(path for path in root.iterdir() if is_table(path) and not is_clutter(path.name))
    return here or [path for path in files_below(root) if is_table(path)]


def workbooks_at(root: Path) -> list[Path]:
    """The Excel workbooks right below ``root``."""
    return sorted(path for path in root.iterdir() if is_workbook(path) and not is_clutter(path.name))


def names_pictures(root: Path, spec: TaskSpec) -> bool:
    """Whether some CSV file at ``root`` names some of the pictures there; a workbook counts beside no class folders."""
    paths = tables_at(root)
    if not paths and not workbooks_at(root):
        return False
    found = scan(root, spec)
    if not paths and len({parts[:1] for parts in inner_folders([*map(found.place, found.pictures)], spec)}) < 2:
        paths = workbooks_at(root)
    index = PictureIndex(found)
    return any(columns.hits(read_table(path), index) for path in paths)


def read(spec: TaskSpec, root: Path) -> Listing:
    """List the pictures that CSV files name.

    Columns are found by their usual names where the spec does not name them. Labels are one column, or several of
    0 and 1, by the rules of ``tasks.labels``. Splits are a column's, else the tables' (train.csv and test.csv), else
    the folders' that the pictures lie in.

    Raises:
        TaskError: if the files or their columns are not recognised, or name splits that are not understood.
        UnknownNameError: if a column that the spec names is not there.
    """
    folder = root if root.is_dir() else root.parent
    found = scan(folder, spec)
    sheets = _sheets(spec, root, PictureIndex(found))
    sheets = sheets._replace(notes=(*sheets.notes, *(note for path in sheets.paths for note in encoding_note(path))))
    listing = listing_of(sheets, found, spec)
    return replace(listing, name=sheets.paths[0].stem if root.is_file() else root.name)


class Told(NamedTuple):
    """What tables say: a row per line, the rules that its labels followed, and the columns of splits and groups."""

    rows: list[Row]
    labels: Labels
    split: str | None
    group: str | None


def rows_of(sheets: Sheets, image: str, spec: TaskSpec) -> Told:
    """Read every line of tables whose column ``image`` names the pictures."""
    frame = sheets.frame
    split = columns.split_column(spec, frame, image)
    group = groups.group_column(spec, frame, (image, split))
    label = columns.label_columns(spec, frame, sheets.name, (image, group, split))
    if group is None and split is None and len(set(sheets.splits)) == 1:
        groups.refuse_doubtful(spec, frame, image, label)
    told = _labels(frame, label, spec)
    told = replace(told, notes=(*told.notes, *columns.unused_labels(frame, label, spec)))
    splits = _splits(sheets, split, spec)
    people = groups.people(list(frame[group])) if group else [None] * len(frame)
    texts = list(frame[label[0]]) if len(label) == 1 else ["" if v is None else "?" for v in told.values]
    rows = [
        Row(str(name), value, text, part, person or None, gap, gone or part == "leave_out")
        for name, value, text, part, person, gap, gone in zip(
            frame[image], told.values, texts, splits, people, told.unjudged, told.dropped, strict=True
        )
    ]
    return Told(rows, told, split, group)


def listing_of(sheets: Sheets, found: Found, spec: TaskSpec) -> Listing:
    """What the rows of these tables say of these pictures."""
    image = columns.image_column(spec, sheets.frame, PictureIndex(found), sheets.name)
    told = rows_of(sheets, image, spec)
    matched = match(told.rows, found, spec)
    entries = with_folder_splits(matched.entries, found, spec, told.split)
    entries, unlisted, list_notes = with_lists(entries, found, spec)
    return Listing(
        layout="csv",
        name=found.root.name,
        source=spec.data,
        kind=told.labels.kind,
        classes=told.labels.classes,
        entries=_with_folders(entries, found, spec),
        problems=(*found.problems, *matched.problems, *unlisted),
        other_files=found.others,
        notes=(*found.notes, *sheets.notes, *told.labels.notes, *matched.notes, *list_notes),
        group=told.group,
    )


def _sheets(spec: TaskSpec, root: Path, index: PictureIndex) -> Sheets:
    if spec.labels:
        paths = [expanded(spec.labels)]
        if not paths[0].is_file() and "," in spec.labels:
            paths = [expanded(part.strip()) for part in spec.labels.split(",")]
        missing = [path for path in paths if not path.is_file()]
        if missing:
            sort = "a folder" if missing[0].is_dir() else odd_sort(missing[0])
            found = f"{missing[0]} is {sort}" if sort else f"There is no file {missing[0]}"
            raise TaskError(f"{found}. Give the path of the CSV file with the labels as task.labels.")
    else:
        paths = [root] if root.is_file() else tables_at(root) or workbooks_at(root)
    if not paths:
        raise TaskError(f"{root} has no table of labels. Put a CSV file there, or give its path as task.labels.")
    return join(paths, spec, root, index)


def join(paths: Sequence[Path], spec: TaskSpec, root: Path, index: PictureIndex) -> Sheets:
    """Read tables that are the splits of one set: train.csv, val.csv, test.csv; metadata in a table of their own too.

    Raises:
        TaskError: if several tables cannot be distinguished by their names, or differ in their columns.
    """
    samples = [path for path in paths if "submission" in path.name.lower()]
    paths = [path for path in paths if path not in samples] or list(paths)
    names = SplitNames(spec)
    frames = {path: read_table(path) for path in paths}
    notes = [f"{path.name} is a form for answers and not used." for path in samples if path not in paths]
    idle = [path for path in paths if len(paths) > 1 and not columns.hits(frames[path], index)]
    if len(idle) < len(paths):
        notes += [f"{path.name} names no picture and is not used." for path in idle]
        paths = _with_metadata([path for path in paths if path not in idle], frames)
    splits = {path: names.of(path.stem) or mentioned(path.stem) for path in paths}
    if len(paths) == 1:
        (path,) = paths
        return Sheets((path,), frames[path], [splits[path]] * len(frames[path]), tuple(notes))
    for path in paths:
        columns.refuse_headless(frames[path], index, path)
    odd = [path for path in paths if splits[path] not in ("train", "val", "test", "leave_out")]
    twice = [path for path in paths if list(splits.values()).count(splits[path]) > 1 and path not in odd]
    if odd or twice:
        raise TaskError(
            f"{root} has several CSV files ({', '.join(path.name for path in paths)}), and "
            f"{listed(path.name for path in odd or twice)} {'names no' if odd else 'name the same'} split. Say which "
            "has the labels with task.labels (several joined by commas), or what they are with task.split_names."
        )
    train = next((path for path in paths if splits[path] == "train"), paths[0])
    for path in [path for path in paths if set(frames[train]) - set(frames[path])]:
        gone = [column for column in frames[train] if column not in frames[path]]
        if splits[path] != "test" or not set(frames[path]) < set(frames[train]):
            raise TaskError(f"{path} has no column {listed(gone)}, which {train.name} has. Give both the same columns.")
        notes.append(f"{path.name} has no column {listed(gone)}: its {len(frames[path])} rows are not used.")
        splits[path] = "leave_out"
    kept = [path for path in paths if splits[path] != "leave_out"]
    rows = [splits[path] for path in kept for _ in range(len(frames[path]))]
    return Sheets(
        tuple(kept), pd.concat([frames[path] for path in kept], ignore_index=True).fillna(""), rows, tuple(notes)
    )


def _splits(sheets: Sheets, column: str | None, spec: TaskSpec) -> list[str | None]:
    """Split of every row: the column's, else the table's."""
    if column is None:
        several = len(set(sheets.splits)) > 1 or set(sheets.splits) <= {"train"}
        return sheets.splits if several else [None] * len(sheets.splits)
    names = SplitNames(spec)
    own = {text: names.of_cell(text) for text in set(sheets.frame[column])}
    odd = sorted(text for text, split in own.items() if split in (None, "none"))
    if odd:
        raise TaskError(columns.ask_for_split(sheets.frame, [column], names))
    rows: list[str | None] = [own[text] for text in sheets.frame[column]]
    if len(set(sheets.splits)) > 1 and rows != sheets.splits:
        clashing = sum(a != b for a, b in zip(rows, sheets.splits, strict=True))
        raise TaskError(f"The column {column} contradicts the tables' names in {clashing} rows. Correct one of them.")
    return rows


def _with_metadata(paths: Sequence[Path], frames: dict[Path, pd.DataFrame]) -> list[Path]:
    """Add the groups that a metadata table gives to the labels beside it, where both begin with the same column."""
    extra = next((path for path in paths if "metadata" in path.name.lower()), None)
    others = [path for path in paths if path != extra]
    if extra is None or len(others) != 1 or frames[extra].columns[0] != frames[others[0]].columns[0]:
        return list(paths)
    key = frames[extra].columns[0]
    new = [key, *(c for c in frames[extra] if groups.rank(str(c)) is not None and c not in frames[others[0]])]
    frames[others[0]] = frames[others[0]].merge(frames[extra][new].drop_duplicates(key), on=key, how="left").fillna("")
    return others


def with_folder_splits(entries: Sequence[Entry], found: Found, spec: TaskSpec, column: str | None) -> tuple[Entry, ...]:
    """Folders named like splits decide where no column and no table does; where both do, they must agree."""
    if spec.split_column and spec.split_column != "none":
        return tuple(entries)
    folders = SplitNames(spec).of_folders([found.place(Path(str(entry.source))) for entry in entries])
    splits = {split for split in folders if split}
    given = {entry.split for entry in entries}
    if splits and given <= {None, "train"} and not column:
        if None in folders:
            raise TaskError(f"{folders.count(None)} pictures lie beside the folders of splits. Move them into one.")
        pairs = zip(entries, folders, strict=True)
        return tuple(entry._replace(split=split) for entry, split in pairs if split != "leave_out")
    if len(splits) > 1:
        clashing = [e.name for e, split in zip(entries, folders, strict=True) if split not in (e.split, None)]
        if clashing:
            raise TaskError(
                f"{column or 'The table'} and the folders give {len(clashing)} pictures different splits "
                f"({clashing[0]}, ...). Say which counts: --set task.split_column={column or 'NAME'}, or none for the "
                "folders."
            )
    return tuple(entries)


def _with_folders(entries: Sequence[Entry], found: Found, spec: TaskSpec) -> tuple[Entry, ...]:
    """Note the folders that may say whom a picture shows."""
    inner = inner_folders([found.place(Path(str(entry.source))) for entry in entries], spec)
    return tuple(entry._replace(folders=folders) for entry, folders in zip(entries, inner, strict=True))


def _labels(frame: pd.DataFrame, names: Sequence[str], spec: TaskSpec) -> Labels:
    if len(names) > 1:
        return labels.of_flags({name: list(frame[name]) for name in names}, spec)
    return labels.of_one(list(frame[names[0]]), names[0], spec)
