"""Pictures and labels in Parquet files, as Hugging Face's datasets publish them. Needs the extra ``parquet``.

The bytes of a picture's file stand in a column of their own, names of classes in the file's schema. Files are named for
their splits: ``data/train-00000-of-00002.parquet``, ``default/test/0000.parquet``.
"""

from __future__ import annotations

import bisect
import importlib.util
import itertools
import json
import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from transfusion.errors import TaskError, UnknownNameError
from transfusion.files import reading
from transfusion.spec import TaskSpec
from transfusion.tasks.layouts import table
from transfusion.tasks.layouts.disk import PICTURE_SUFFIXES, files_below
from transfusion.tasks.listing import Entry, Listing, Member, Problem
from transfusion.tasks.names import listed
from transfusion.tasks.split_names import SplitNames, mentioned

if TYPE_CHECKING:
    from pyarrow import DataType, Schema

SUFFIX = ".parquet"
GROUPS_HELD = 2  # row groups of one file in memory
USUAL = ("image", "img", "picture", "photo", "pixel_values")
NO_EXTRA = "need the extra: pip install 'weight-transfusion[parquet]'. Or write the pictures to class folders."
SHARD = re.compile(r"[-_.]?(\d+[-_]of[-_]\d+|\d+|part)(-[0-9a-f]{8,})?$")
NAME = "name of the picture"


def find(root: Path) -> list[Path]:
    """The Parquet files at or below ``root``, where there are no pictures beside them."""
    if root.is_file():
        return [root] if root.suffix.lower() == SUFFIX else []
    files = files_below(root)
    if any(path.suffix.lower() in PICTURE_SUFFIXES for path in files):  # then it is a table beside its pictures
        return []
    return [path for path in files if path.suffix.lower() == SUFFIX]


def read(spec: TaskSpec, root: Path) -> Listing:
    """List the rows of Parquet files; labels, splits and patients by the rules of tables.

    A column that the schema calls a ``ClassLabel`` gives its names; with ``task.kind=graded`` its numbers. A split
    without any label is not used.

    Raises:
        TaskError: if the extra is not installed, there is no such file, or one has no column of pictures.
    """
    paths = find(root)
    if not paths:
        raise TaskError(f"{root} has no Parquet file, or pictures beside it: those are class folders or a table.")
    if not importlib.util.find_spec("pyarrow"):
        raise TaskError(f"{root} has {len(paths)} Parquet files, which {NO_EXTRA}")
    splits = _splits(paths, root, spec)
    shards = [_shard(path, spec) for path in paths]
    frame = pd.concat([shard.frame for shard in shards], ignore_index=True).fillna("")
    of_row = [split for shard, split in zip(shards, splits, strict=True) for _ in shard.members]
    frame[NAME] = _names(of_row, list(frame[NAME]))
    told = table.rows_of(table.Sheets(tuple(paths), frame, of_row), NAME, spec)
    bare = {split for split in of_row if not any(row.label for row in told.rows if row.split == split)} - {
        "train",
        None,
    }
    pairs = list(zip(told.rows, (member for shard in shards for member in shard.members), strict=True))
    used = [(row, member) for row, member in pairs if not row.dropped and row.split not in bare]
    return Listing(
        layout="parquet",
        name=root.stem if root.is_file() else root.name,
        source=spec.data,
        kind=told.labels.kind,
        classes=told.labels.classes,
        entries=tuple(
            Entry(row.image, member, row.label, row.split, row.patient, row.unjudged)
            for row, member in used
            if row.label is not None
        ),
        problems=tuple(
            Problem("unknown label" if row.text else "missing label", row.image, row.text)
            for row, _ in used
            if row.label is None
        ),
        notes=(
            *told.labels.notes,
            *(f"The {split} split has no labels and is not used." for split in sorted(map(str, bare))),
        ),
        group=told.group,
    )


def _names(splits: Sequence[str | None], paths: Sequence[str]) -> list[str]:
    """``test/12/a.png``: the split, the place there, and the name that the picture's file once had."""
    counts: Counter[str | None] = Counter()
    names = []
    for split, path in zip(splits, paths, strict=True):
        names.append(f"{split or 'row'}/{counts[split]}/{path}".rstrip("/"))
        counts[split] += 1
    return names


def _splits(paths: Sequence[Path], root: Path, spec: TaskSpec) -> list[str | None]:
    """The split that each file's name gives, or the folder that it lies in.

    Raises:
        TaskError: if some give one and others do not, or several sets lie there.
    """
    names = SplitNames(spec)
    base = root if root.is_dir() else root.parent
    places = [path.relative_to(base) for path in paths]
    texts = [SHARD.sub("", place.stem) or place.parent.name for place in places]
    texts = [
        text if names.of(text) or mentioned(text) else place.parent.name or text
        for text, place in zip(texts, places, strict=True)
    ]
    found = [names.of(text) or mentioned(text) for text in texts]
    odd = sorted({str(place) for place, split in zip(places, found, strict=True) if split is None})
    if odd and len(paths) > 1 and (any(found) or len(set(texts)) > 1):
        raise TaskError(
            f"{root} has {len(paths)} Parquet files, of which {listed(odd)} {'names' if len(odd) == 1 else 'name'} no "
            f'split that is known. Say what it is with --set task.split_names="{{{texts[found.index(None)]}: train}}" '
            "(or val, test, leave_out), or give one file as --data."
        )
    return found


class Shard(NamedTuple):
    """One file: what it says of each picture as text, and the pictures."""

    frame: pd.DataFrame
    members: list[Member]


def _shard(path: Path, spec: TaskSpec) -> Shard:
    import pyarrow.parquet

    with reading(str(path), "Download it again.", TaskError), pyarrow.parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        features = _features(schema)
        picture = _picture_column(path, schema, features, spec)
        others = [field.name for field in schema if field.name != picture and not _has_bytes(field.type)]
        named = [f"{picture}.path"] if _is_struct_with(schema.field(picture).type, "path") else []
        rows = file.read([*others, *named]).to_pylist()  # all but the pictures, which may be larger than memory
        num_rows = file.metadata.num_rows
    frame = pd.DataFrame(
        {name: [_text(row[name], features.get(name), spec) for row in rows] for name in others}, dtype=str
    )
    frame[NAME] = [(row[picture] or {}).get("path") or "" for row in rows] if named else [""] * num_rows
    reader = RowReader(path, picture)
    return Shard(frame, [Member(path, place, reader) for place in range(num_rows)])


def _features(schema: Schema) -> dict[str, Any]:
    """What Hugging Face's datasets note of the columns, where they wrote the file."""
    noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    found: dict[str, Any] = noted.get("info", {}).get("features", {})
    return found


def _picture_column(path: Path, schema: Schema, features: Mapping[str, Any], spec: TaskSpec) -> str:
    if spec.image_column and spec.image_column not in schema.names:
        raise UnknownNameError.of("column", spec.image_column, schema.names)
    found = [field.name for field in schema if _has_bytes(field.type)]
    noted = [name for name in found if isinstance(features.get(name), dict) and features[name].get("_type") == "Image"]
    usual = [name for name in USUAL if name in found]
    chosen = [spec.image_column] if spec.image_column else noted if len(noted) == 1 else usual[:1] or found
    if len(chosen) != 1:
        has = f"has several columns of pictures ({listed(found)})" if found else "has no column of pictures"
        raise TaskError(
            f"{path} {has}; its columns are {', '.join(schema.names)}. Name the one with the bytes of picture files "
            "with task.image_column."
        )
    return chosen[0]


def _has_bytes(kind: DataType) -> bool:
    from pyarrow import types

    inner = kind.field("bytes").type if _is_struct_with(kind, "bytes") else kind
    return bool(types.is_binary(inner) or types.is_large_binary(inner))


def _is_struct_with(kind: DataType, name: str) -> bool:
    from pyarrow import types

    return bool(types.is_struct(kind)) and kind.get_field_index(name) >= 0


def _text(value: Any, feature: Any, spec: TaskSpec) -> str:
    """A cell as a table has it; classes by their names, several of them joined by a bar."""
    if isinstance(value, list):
        inner = feature[0] if isinstance(feature, list) else (feature or {}).get("feature")
        return "|".join(_text(item, inner, spec) for item in value) or "No Finding"
    names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
    if names and spec.kind != "graded" and isinstance(value, int):
        return str(names[value]) if 0 <= value < len(names) else ""  # -1 stands for a label that is held back
    return "" if value is None else str(value)


class RowReader:
    """Gives the bytes of a row's picture; neighbouring rows are read together, and the last few of them are held.

    Args:
        path: of the Parquet file.
        column: that holds the pictures.
    """

    def __init__(self, path: Path, column: str) -> None:
        self._path, self._column = path, column
        self._lock = threading.Lock()
        self._starts: list[int] = []
        self._held: dict[int, Any] = {}

    def __call__(self, row: int) -> bytes:
        """The content of the picture file in this row; empty where there is none.

        Raises:
            TaskError: if the file is damaged.
        """
        with self._lock, reading(str(self._path), "Download it again.", TaskError):
            group = bisect.bisect_right(self._group_starts(), row) - 1
            if group not in self._held:
                self._hold(group)
            cell = self._held[group][row - self._starts[group]].as_py()
        return (cell.get("bytes") if isinstance(cell, dict) else cell) or b""

    def _group_starts(self) -> list[int]:
        if not self._starts:
            from pyarrow.parquet import read_metadata

            told = read_metadata(self._path)
            sizes = [told.row_group(group).num_rows for group in range(told.num_row_groups)]
            self._starts = [0, *itertools.accumulate(sizes)][:-1]
        return self._starts

    def _hold(self, group: int) -> None:
        from pyarrow.parquet import ParquetFile

        while len(self._held) >= GROUPS_HELD:
            self._held.pop(next(iter(self._held)))  # the oldest: rows are requested nearly in order
        with ParquetFile(self._path) as file:
            self._held[group] = file.read_row_group(group, [self._column]).column(0)
