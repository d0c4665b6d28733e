"""A file of rows that is only ever appended to, in which any damage but a torn last line shows.

Each line carries a checksum of itself and of the line before it, so a line that is changed, lost or moved is noticed.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from pathlib import Path
from typing import Any

from transfusion.errors import StoreError
from transfusion.files import reason, unwritable, write_text

Row = dict[str, Any]
CHECK = "check"
REPAIR = "Run the same study command again: it repairs the run."


class Curve:
    """The evaluations of a run, in order of steps."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> list[Row]:
        """Every row.

        Raises:
            StoreError: if a line other than a torn last one is damaged.
        """
        rows, damage = self.whole()
        if damage:
            raise StoreError(f"{self.path} is damaged ({damage}). {REPAIR}")
        return rows

    def whole(self) -> tuple[list[Row], str]:
        """The rows before the first damage, and what the damage is; a torn last line is none."""
        try:
            # what follows the last newline was cut off, or is empty
            *lines, _torn = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return [], ""
        except OSError as error:
            return [], reason(error)
        rows: list[Row] = []
        check = ""
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line.decode("utf-8"))
                check = _check(check, row, row.pop(CHECK, None))
                # a line without any checksum is let pass, but a row holds numbers: words come from elsewhere
                if any(isinstance(value, str) for value in row.values()):
                    raise ValueError("it holds words")
            except (ValueError, AttributeError, TypeError) as error:
                return rows, f"line {number}: {error}"
            rows.append(row)
        return rows, ""

    def append(self, row: Row) -> None:
        """Add a row and flush it to the disk; NaN is written as null."""
        rows, _ = self.whole()
        # NaN is no JSON, and other readers of the file would refuse the whole line
        row = {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_text([*rows, row]).splitlines(keepends=True)[-1])
                file.flush()
                os.fsync(file.fileno())  # a checkpoint that knows of this row may follow at once
        except OSError as error:
            raise unwritable(self.path, error) from error

    def rewind(self, step: int) -> None:
        """Keep the whole rows up to ``step``: what came later will be made again."""
        write_text(self.path, _text([row for row in self.whole()[0] if row["step"] <= step]))


def _text(rows: list[Row]) -> str:
    """Rows as lines, each with its checksum."""
    lines, check = [], ""
    for row in rows:
        check = _check(check, row)
        lines.append(json.dumps({**row, CHECK: check}) + "\n")
    return "".join(lines)


def _check(before: str, row: Row, noted: str | None = None) -> str:
    """The checksum of a row that follows the one with checksum ``before``.

    Raises:
        ValueError: if another one is noted in the row.
    """
    found = f"{zlib.crc32((before + json.dumps(row)).encode()):08x}"  # against accidents, not against forgers
    if noted not in (None, found):
        raise ValueError("its checksum does not fit")
    return found
