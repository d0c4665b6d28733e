"""Image folders as Hugging Face's datasets have them: ``metadata.csv`` or ``.jsonl`` beside the pictures that it names.

Each table names pictures in the column ``file_name``, relative to its own folder; there is one for all, or one in every
folder of a split.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from transfusion.errors import TaskError
from transfusion.spec import TaskSpec
from transfusion.tasks.layouts.disk import scan, subfolders
from transfusion.tasks.layouts.sheet import read_table
from transfusion.tasks.layouts.table import Sheets, listing_of
from transfusion.tasks.listing import Listing
from transfusion.tasks.names import listed

TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
COLUMN = "file_name"
_USUAL = (COLUMN, "image_file_name")


def find(root: Path) -> list[Path]:
    """The tables below ``root`` that name pictures as Hugging Face does."""
    return [path for path in _candidates(root) if _column(read_table(path))]


def _candidates(root: Path) -> Iterator[Path]:
    """Of every folder one table, down to ``data/train/metadata.csv``."""
    folders = [root, *(inner for inner in subfolders(root))]
    folders += [deeper for inner in folders[1:] if inner.name == "data" for deeper in subfolders(inner)]
    for folder in folders:
        found = [folder / name for name in TABLES if (folder / name).is_file()]
        if len(found) > 1:
            raise TaskError(f"{folder} has {listed(path.name for path in found)}. Keep the one that is meant.")
        yield from found


def _column(table: pd.DataFrame) -> str | None:
    """The column that names pictures: of several (``mask_file_name``) the usual one."""
    named = [str(column) for column in table.columns if str(column) == COLUMN or str(column).endswith(f"_{COLUMN}")]
    usual = [name for name in _USUAL if name in named]
    return (usual or named)[0] if usual or len(named) == 1 else None


def read(spec: TaskSpec, root: Path) -> Listing:
    """List such a folder; columns are found as in any table of labels.

    Raises:
        TaskError: if there is no such table.
    """
    paths = find(root)
    if not paths:
        raise TaskError(f"{root} has no metadata.csv or metadata.jsonl with a column {COLUMN}, nor have its folders.")
    frames = [_with_paths(read_table(path), path.parent.relative_to(root)) for path in paths]
    frame = pd.concat(frames, ignore_index=True).fillna("")
    sheets = Sheets(tuple(paths), frame, [None] * len(frame))
    own = {} if spec.image_column else {"image_column": COLUMN}
    return listing_of(sheets, scan(root, spec), spec.with_values(**own))


def _with_paths(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Pictures by their paths below the data's folder, all in one column."""
    column = _column(table)
    assert column is not None
    named: pd.DataFrame = table.rename(columns={column: COLUMN})
    named[COLUMN] = [str(folder / name) for name in named[COLUMN]]
    return named
