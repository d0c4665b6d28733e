"""A CSV file with one row per image, beside the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from transfusion.errors import TaskError
from transfusion.spec import TaskSpec
from transfusion.tasks.layouts.disk import SPLIT_FOLDERS, natural_order, pictures_below
from transfusion.tasks.layouts.match import PictureIndex, Row, match, need_column, read_table
from transfusion.tasks.listing import Label, Listing
from transfusion.terms import Kind

IMAGE_COLUMNS = ("image", "filename", "file", "path", "imageid", "idcode", "imagename", "imagepath", "imageindex", "id")
LABEL_COLUMNS = ("label", "labels", "class", "target", "grade", "level", "diagnosis", "category", "dx", "findinglabels")
PATIENT_COLUMNS = ("patient", "patientid", "subject", "subjectid", "case", "caseid")
SPLIT_COLUMNS = ("split", "subset", "partition")
GRADE_COLUMNS = ("grade", "level", "diagnosis", "severity")
NO_FINDING = ("No Finding", "none", "None")


def find_table(root: Path) -> Path | None:
    """The only CSV file right below ``root``, if there is one."""
    tables = sorted(path for path in root.glob("*.csv") if not path.name.startswith("."))
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise TaskError(f"{root} has several CSV files ({names}). Say which has the labels with task.labels.")
    return tables[0] if tables else None


def read(spec: TaskSpec, root: Path) -> Listing:
    """List the pictures that a CSV file names.

    Columns are found by their usual names where the spec does not name them. Labels are one column of class names;
    one column of several names joined by ``|`` (multilabel); or several columns of 0 and 1, which are classes
    where every row has exactly one 1, and labels otherwise. Whole numbers from 0 on in a column called grade,
    level, diagnosis or severity are graded. A ``split`` column is obeyed.

    Raises:
        TaskError: if the file or its columns cannot be made out.
        UnknownNameError: if a column that the spec names is not there.
    """
    path = _table_path(spec, root)
    folder = root if root.is_dir() else root.parent
    table = read_table(path)
    pictures, other_files = pictures_below(folder)
    image = _image_column(spec, table, PictureIndex(folder, pictures), path)
    patient = _column(table, spec.patient_column, PATIENT_COLUMNS)
    split = _split_column(table)
    columns = _label_columns(spec, table, [image, patient, split], path)
    labels, kind = _labels(table, columns)
    rows = [
        Row(
            row[image],
            label,
            SPLIT_FOLDERS[row[split].lower()] if split else None,
            row[patient] if patient else None,
        )
        for row, label in zip(table.to_dict("records"), labels, strict=True)
    ]
    entries, problems = match(rows, folder, pictures, lambda text: _parse(text, kind))
    found = {name for entry in entries for name in (entry.label if kind == "multilabel" else [str(entry.label)])}
    classes = tuple(columns) if len(columns) > 1 else tuple(sorted(found, key=natural_order))
    return Listing(
        layout="csv",
        name=path.stem if root.is_file() else root.name,
        source=spec.data,
        kind="binary" if kind == "multiclass" and len(classes) == 2 else kind,
        classes=classes,
        entries=entries,
        problems=problems,
        other_files=other_files,
    )


def _table_path(spec: TaskSpec, root: Path) -> Path:
    if spec.labels:
        path = Path(spec.labels).expanduser()
        if not path.is_file():
            raise TaskError(f"There is no file {path}. Give the path of the CSV file with the labels as task.labels.")
        return path
    found = root if root.is_file() else find_table(root)
    if found is None:
        raise TaskError(f"{root} has no CSV file. Put one there, or give its path as task.labels.")
    return found


def _plain(column: str) -> str:
    return "".join(letter for letter in column.lower() if letter.isalnum())


def _column(table: pd.DataFrame, named: str | None, usual: Sequence[str]) -> str | None:
    """The column that was named, or the first that goes by a usual name."""
    if named:
        return need_column(table, named)
    by_name = {_plain(str(column)): str(column) for column in table.columns}
    return next((by_name[name] for name in usual if name in by_name), None)


def _image_column(spec: TaskSpec, table: pd.DataFrame, index: PictureIndex, path: Path) -> str:
    named = _column(table, spec.image_column, ())
    usual = _column(table, None, IMAGE_COLUMNS)
    for column in [named] if named else [*filter(None, [usual]), *table.columns]:
        if named or any(index.find(value) for value in table[column] if value):
            return str(column)
    raise TaskError(
        f"No column of {path} names pictures below {path.parent}. Name it with task.image_column; "
        f"its columns are {', '.join(table.columns)}."
    )


def _split_column(table: pd.DataFrame) -> str | None:
    column = _column(table, None, SPLIT_COLUMNS)
    return column if column and table[column].str.lower().isin(SPLIT_FOLDERS).all() else None


def _label_columns(spec: TaskSpec, table: pd.DataFrame, taken: Sequence[str | None], path: Path) -> list[str]:
    if spec.label_column:
        return [need_column(table, name.strip()) for name in spec.label_column.split(",")]
    usual = _column(table, None, LABEL_COLUMNS)
    if usual:
        return [usual]
    free = [str(column) for column in table.columns if column not in taken]
    flags = [column for column in free if table[column].isin(("0", "1", "0.0", "1.0", "")).all()]
    if len(flags) > 1 or len(free) == 1:
        return flags or free
    raise TaskError(
        f"{path} does not show which column has the labels. Name it (or several, joined by commas) with "
        f"task.label_column; its columns are {', '.join(table.columns)}."
    )


def _labels(table: pd.DataFrame, columns: Sequence[str]) -> tuple[pd.Series[str], Kind]:
    """One text per row (empty where missing) and the kind that the values speak for."""
    if len(columns) > 1:
        return _flags(table, columns)
    values = table[columns[0]].str.replace(r"^(\d+)\.0+$", r"\1", regex=True)
    present = set(values) - {""}
    if any("|" in value for value in present):
        return values, "multilabel"
    whole = sorted(int(value) for value in present if value.isdecimal())
    graded = _plain(columns[0]) in GRADE_COLUMNS and len(whole) == len(present) and whole == list(range(len(whole)))
    return values, "graded" if graded and len(whole) > 2 else "multiclass"


def _flags(table: pd.DataFrame, columns: Sequence[str]) -> tuple[pd.Series[str], Kind]:
    numbers = table[list(columns)].apply(pd.to_numeric, errors="coerce")
    complete = numbers.isin((0, 1)).all(axis=1)
    names = numbers.eq(1).apply(lambda row: "|".join(row.index[row]), axis=1)
    exclusive = bool(numbers[complete].sum(axis=1).eq(1).all())
    values = names.mask(names.eq(""), NO_FINDING[0]).where(complete, "")
    return values, "multiclass" if exclusive else "multilabel"


def _parse(text: str, kind: Kind) -> Label:
    if kind != "multilabel":
        return text
    return tuple(name for name in text.split("|") if name not in NO_FINDING)
