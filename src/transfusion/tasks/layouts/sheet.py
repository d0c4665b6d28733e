"""Label tables as text, whichever program wrote them."""

from __future__ import annotations

import codecs
import gzip
import importlib.util
import io
import json
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from transfusion.errors import TaskError, UnknownNameError
from transfusion.files import named_once, odd_sort, reading, reason

MISSING = ("", "nan", "NaN", "NA", "N/A", "null", "#N/A", "None", "<NA>")
TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".csv.gz", ".tsv.gz")
WORKBOOK = ".xlsx"
MOST_BYTES = 1 << 30  # of a table or list; ten million lines have half of it
_TOO_LARGE = "it has more than 1 GiB; keep the columns and rows that say something about the images"
MAX_NAME = 1000  # characters of a column's name
MAX_COLUMNS = 4096  # pandas takes milliseconds for each; the largest published sets have hundreds of labels
GZIP = b"\x1f\x8b"
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
NO_TEXT = {
    b"PK\x03\x04": "an Excel workbook or an archive; save the table as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save the table as CSV",
    b"PAR1": "a Parquet file; save the table as CSV",
}


def is_table(path: Path) -> bool:
    """Whether a file is a label table by its name."""
    return path.name.lower().endswith(TABLE_SUFFIXES) and not path.is_dir()  # a link to nothing is to be told


def is_workbook(path: Path) -> bool:
    """Whether a file is an Excel workbook by its name."""
    return path.suffix.lower() == WORKBOOK and path.is_file() and not path.name.startswith("~$")  # a lock of Excel's


def read_table(path: Path) -> pd.DataFrame:
    """Read a table as text; missing values are empty strings, and columns without name and content are dropped.

    Workbooks and lines of JSON are recognised by their suffix; anything else is CSV. UTF-8, 16 and 32 are recognised by
    their first bytes, and what is not UTF-8 is read as Windows' code page 1252. Fields are separated by the comma,
    semicolon, tab or bar that the header has most of; Excel's ``sep=;`` line is obeyed.

    Raises:
        TaskError: if it is no such file, has no rows or thousands of columns.
    """
    if sort := odd_sort(path):  # opening a pipe waits for whoever writes into it
        raise TaskError(f"{path} is {sort}, not a table. Move it away, or put the table in its place.")
    readers = {WORKBOOK: _of_workbook, ".jsonl": _of_json_lines}
    try:
        table = readers.get(path.suffix.lower(), _of_text)(path)
        _refuse_many(len(table.columns))
        _refuse_long(table.columns)
    except TaskError:
        raise
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise TaskError(f"{path} cannot be read as a table: {_told(error)}.") from error
    if table.empty:
        raise TaskError(f"{path} has no rows. Give a table with one row per image.")
    table.columns = table.columns.astype(str).str.strip()
    table = _without_twice(table, path)
    stripped: pd.DataFrame = table.apply(lambda column: column.str.strip())
    table[:] = stripped.mask(stripped.isin(MISSING), "")
    table = table[(table != "").any(axis=1)]
    nameless = [column for column in table if _is_nameless(str(column))]
    empty = [column for column in nameless if table[column].eq("").all()]
    kept: pd.DataFrame = table.drop(columns=empty).reset_index(drop=True)
    return kept


def _told(error: Exception) -> str:
    """What went wrong, in one line, without the path that the message has anyway."""
    return " ".join((error.strerror if isinstance(error, OSError) and error.strerror else str(error)).split())


def _without_twice(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Every column once.

    Raises:
        TaskError: if two of one name differ.
    """
    names = list(table.columns)
    counts = Counter(names)
    for name in [name for name, count in counts.items() if name and count > 1]:
        first, *others = (table.iloc[:, place] for place, own in enumerate(names) if own == name)
        if any(not first.equals(other) for other in others):
            raise TaskError(f"{path} has the column {name} {len(others) + 1} times, and they differ. Rename them.")
    kept: pd.DataFrame = table.loc[:, ~table.columns.duplicated()].copy()
    return kept


def _is_nameless(column: str) -> bool:
    return not column or bool(re.fullmatch(r"Unnamed: \d+", column))


def is_row_number(column: str) -> bool:
    """Whether a column without a name numbers the rows, as pandas writes them.

    Examples:
        >>> is_row_number("Unnamed: 0"), is_row_number("label")
        (True, False)
    """
    return _is_nameless(column) or column.lower() == "index"


def _of_text(path: Path) -> pd.DataFrame:
    separator, text = _separator(text_of(path))
    _refuse_many(text.partition("\n")[0].count(separator) + 1)  # before pandas spends half a minute on them
    # all as text: an identifier 007 is no number, and a class "NA" may be a class
    table: pd.DataFrame = pd.read_csv(
        io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, index_col=False
    )
    header = pd.read_csv(io.StringIO(text), sep=separator, header=None, nrows=1, dtype=str, keep_default_na=False)
    if len(table) and len(header.columns) == len(table.columns):  # pandas numbers the columns of one name
        table.columns = pd.Index([own or name for own, name in zip(header.iloc[0], table.columns, strict=True)])
    return table


def _refuse_many(columns: int) -> None:
    if columns > MAX_COLUMNS:
        raise ValueError(f"it has {columns:,} columns; keep those that say something about the images")


def _refuse_long(names: Iterable[object]) -> None:
    longest = max((len(str(name)) for name in names), default=0)
    if longest > MAX_NAME:
        raise ValueError(f"a column's name has {longest:,} characters; its first line must be the names of its columns")


def _of_json_lines(path: Path) -> pd.DataFrame:
    lines = [_object(line, number) for number, line in enumerate(text_of(path).split("\n"), 1) if line.strip()]
    rows = [{str(name): _cell(value) for name, value in line.items()} for line in lines]
    table: pd.DataFrame = pd.DataFrame(rows, dtype=object).fillna("")
    return table


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line, object_pairs_hook=named_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"line {number} is not JSON ({reason(error)})") from error
    if not isinstance(found, dict):
        raise ValueError(f'line {number} is no object of JSON, as in {{"file_name": "a.png", "label": "cat"}}')
    return found


def _cell(value: object) -> str:
    """A value of JSON as text; several labels are joined by a bar."""
    if isinstance(value, list) and not any(isinstance(item, (list, dict)) for item in value):
        return "|".join(map(_cell, value))
    if isinstance(value, (list, dict)):
        return json.dumps(value)
    return "" if value is None else str(value)


def _of_workbook(path: Path) -> pd.DataFrame:
    """The one sheet that is not empty.

    Raises:
        TaskError: if the package that reads workbooks is not installed.
    """
    if not importlib.util.find_spec("openpyxl"):
        raise TaskError(f"{path} is an Excel workbook: pip install 'weight-transfusion[excel]'. Or save it as CSV.")
    with warnings.catch_warnings(), reading(str(path), "Save the table as CSV.", TaskError):
        warnings.simplefilter("ignore")  # about styles
        sheets = pd.read_excel(path, sheet_name=None, dtype=str, keep_default_na=False, engine="openpyxl")
    filled = {str(name): sheet for name, sheet in sheets.items() if not sheet.empty}
    if len(filled) > 1:
        raise ValueError(f"it has several sheets ({', '.join(filled)}); save the one with the labels as CSV")
    table: pd.DataFrame = next(iter(filled.values()), pd.DataFrame()).rename(columns=str).fillna("")
    return table


def text_of(path: Path) -> str:
    """A text file in whichever encoding.

    Raises:
        OSError, EOFError, ValueError: if it is none.
    """
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(_TOO_LARGE)
    content = path.read_bytes()
    if content.startswith(GZIP):
        with gzip.open(io.BytesIO(content)) as packed:
            content = packed.read(MOST_BYTES + 1)  # what it unpacks to is known only by unpacking
        if len(content) > MOST_BYTES:
            raise ValueError(_TOO_LARGE)
    for magic, sort in NO_TEXT.items():
        if content.startswith(magic):
            raise ValueError(f"it is {sort}")
    if not content.strip():
        raise ValueError("it is empty")
    for bom, encoding in BOMS:  # UTF-32 before 16, whose mark it begins with
        if content.startswith(bom):
            return _decoded(content, encoding)
    # cp1252 is what Excel writes on Windows
    text = content.decode("utf-8") if is_utf8(content) else content.decode("cp1252", "replace")
    if "\ufffd" in text:
        raise ValueError("it is neither UTF-8 nor Windows-1252; save it as UTF-8")
    if "\0" in text:
        raise ValueError("it holds null bytes; if it is UTF-16 without its mark, save it as UTF-8")
    return text


def _decoded(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"it begins as {encoding[:6].upper()} and is damaged at byte {error.start:,}") from error


def is_utf8(content: bytes) -> bool:
    """Whether bytes are a text in UTF-8."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def encoding_note(path: Path) -> list[str]:
    """That a table was read in an encoding that it does not tell of itself: names of classes may be other ones."""
    content = b"" if is_workbook(path) or path.suffix.lower() == ".parquet" else path.read_bytes()
    if content.startswith((GZIP, *(bom for bom, _ in BOMS))) or is_utf8(content):
        return []
    return [f"{path.name} is not UTF-8 and was read as Windows-1252; if names look wrong, save it as UTF-8."]


def _separator(text: str) -> tuple[str, str]:
    """The separator, and the text from the header on."""
    first, _, rest = text.partition("\n")
    declared = re.fullmatch(r'"?sep=(.|\\t)"?[,;\t]*', first.strip("\r "))
    if declared:
        return declared.group(1).replace(r"\t", "\t"), rest
    bare = re.sub(r'"[^"]*"', "", first)  # a comma in quotes separates nothing
    return max(",;\t|", key=bare.count), text


def need_column(table: pd.DataFrame, name: str) -> str:
    """Check that a column is there.

    Raises:
        UnknownNameError: listing those that are.
    """
    if name not in table:
        raise UnknownNameError.of("column", name, table.columns)
    return name
