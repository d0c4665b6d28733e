"""Rows of a label table to pictures on disk, whichever way the table names them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd

from transfusion.errors import TaskError, UnknownNameError
from transfusion.tasks.listing import Entry, Label, Problem

MISSING = ("", "nan", "NaN", "NA", "N/A", "null")


class Row(NamedTuple):
    """One line of a label table; an empty ``label`` is a missing one."""

    image: str
    label: str
    split: str | None = None
    patient: str | None = None


class PictureIndex:
    """Finds pictures by relative path, file name, or either without its suffix."""

    def __init__(self, root: Path, pictures: Iterable[Path]) -> None:
        self._found: dict[str, list[Path]] = defaultdict(list)
        for path in pictures:
            place = PurePosixPath(path.relative_to(root).as_posix())
            for key in {str(place), str(place.with_suffix("")), place.name, place.stem}:
                self._found[key].append(path)

    def find(self, image: str) -> list[Path]:
        """All pictures that ``image`` may mean; a path that does not exist is looked up by its last part."""
        exact = self._found.get(image.replace("\\", "/").removeprefix("./"))
        return exact or self._found.get(PurePosixPath(image).name, [])


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file as text; missing values are empty strings.

    Raises:
        TaskError: if it is no CSV file or has no rows.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
        separator = max(",;\t", key=header.count)
        table = pd.read_csv(
            path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False
        )
    except (OSError, ValueError) as error:
        raise TaskError(f"{path} cannot be read as a CSV file: {' '.join(str(error).split())}.") from error
    if table.empty:
        raise TaskError(f"{path} has no rows. Give a CSV file with one row per image.")
    table.columns = table.columns.str.strip()
    stripped: pd.DataFrame = table.apply(lambda column: column.str.strip())
    table[:] = stripped.mask(stripped.isin(MISSING), "")
    return table


def need_column(table: pd.DataFrame, name: str) -> str:
    """Check that a column is there.

    Raises:
        UnknownNameError: listing those that are.
    """
    if name not in table:
        raise UnknownNameError.of("column", name, table.columns)
    return name


def match(
    rows: Sequence[Row], root: Path, pictures: Sequence[Path], parse: Callable[[str], Label | None]
) -> tuple[tuple[Entry, ...], tuple[Problem, ...]]:
    """Bring rows and pictures together.

    Args:
        rows: of the table.
        root: folder that the pictures lie below.
        pictures: all of them.
        parse: text of a label -> label, or None for one that the task does not know.

    Returns:
        A usable entry per picture with one row and a good label, in the order of the names; everything else as
        problems. A picture with several rows is left out whole, for they may contradict each other.
    """
    index = PictureIndex(root, pictures)
    times = Counter(row.image for row in rows)
    entries: list[Entry] = []
    problems: list[Problem] = []
    listed: set[Path] = set()
    for row in rows:
        found = index.find(row.image)
        listed.update(found)
        label = parse(row.label) if row.label else None
        problem = _problem(row, found, times[row.image], label)
        if problem:
            problems.append(problem)
        elif label is not None:
            name = found[0].relative_to(root).as_posix()
            entries.append(Entry(name, found[0], label, row.split, row.patient))
    problems += _repeated(entries)
    problems += _unlisted(root, pictures, listed)
    repeated = {entry for entry, count in Counter(entry.name for entry in entries).items() if count > 1}
    kept = sorted((entry for entry in entries if entry.name not in repeated), key=lambda entry: entry.name)
    return tuple(kept), tuple(dict.fromkeys(problems))


def _problem(row: Row, found: Sequence[Path], times: int, label: Label | None) -> Problem | None:
    if times > 1:
        return Problem("image listed more than once", row.image, f"{times} rows")
    if not found:
        return Problem("label without image", row.image)
    if len(found) > 1:
        return Problem("name of several images", row.image, ", ".join(sorted(path.parent.name for path in found)))
    if not row.label:
        return Problem("missing label", row.image)
    if label is None:
        return Problem("unknown label", row.image, row.label)
    return None


def _repeated(entries: Sequence[Entry]) -> Iterator[Problem]:
    for name, times in Counter(entry.name for entry in entries).items():
        if times > 1:
            yield Problem("image listed more than once", name, f"{times} rows")


def _unlisted(root: Path, pictures: Sequence[Path], listed: set[Path]) -> Iterator[Problem]:
    for path in pictures:
        if path not in listed:
            yield Problem("image without label", path.relative_to(root).as_posix())
