"""Label tables as text, whichever program wrote them."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from pathlib import Path

import pandas as pd

from transfusion.errors import TaskError, UnknownNameError

MISSING = ("", "nan", "NaN", "NA", "N/A", "null", "#N/A", "None", "<NA>")
TABLE_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
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
    return path.name.lower().endswith(TABLE_SUFFIXES) and path.is_file()


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file as text; missing values are empty strings, and columns without name and content are dropped.

    UTF-8, UTF-16 and UTF-32 are told by their first bytes, and what is not UTF-8 is read as Windows' code page 1252.
    Fields are separated by the comma, semicolon, tab or bar that the header has most of; Excel's ``sep=;`` line is
    obeyed.

    Raises:
        TaskError: if it is no CSV file or has no rows.
    """
    try:
        text = _text(path)
        separator, text = _separator(text)
        table = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, index_col=False)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise TaskError(f"{path} cannot be read as a CSV file: {' '.join(str(error).split())}.") from error
    if table.empty:
        raise TaskError(f"{path} has no rows. Give a CSV file with one row per image.")
    table.columns = table.columns.str.strip()
    stripped: pd.DataFrame = table.apply(lambda column: column.str.strip())
    table[:] = stripped.mask(stripped.isin(MISSING), "")
    table = table[(table != "").any(axis=1)]
    nameless = [column for column in table if _is_nameless(str(column))]
    empty = [column for column in nameless if table[column].eq("").all()]
    kept: pd.DataFrame = table.drop(columns=empty).reset_index(drop=True)
    return kept


def _is_nameless(column: str) -> bool:
    return not column or bool(re.fullmatch(r"Unnamed: \d+", column))


def is_row_number(column: str) -> bool:
    """Whether a column without a name numbers the rows, as pandas writes them."""
    return _is_nameless(column) or column.lower() == "index"


def _text(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith(GZIP):
        content = gzip.decompress(content)
    for magic, sort in NO_TEXT.items():
        if content.startswith(magic):
            raise ValueError(f"it is {sort}")
    if not content.strip():
        raise ValueError("it is empty")
    for bom, encoding in BOMS:
        if content.startswith(bom):
            return content.decode(encoding)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("cp1252")
    if "\0" in text:
        raise ValueError("it holds null bytes; if it is UTF-16 without its mark, save it as UTF-8")
    return text


def _separator(text: str) -> tuple[str, str]:
    """The separator, and the text from the header on."""
    first, _, rest = text.partition("\n")
    declared = re.fullmatch(r'"?sep=(.|\\t)"?[,;\t]*', first.strip("\r "))
    if declared:
        return declared.group(1).replace(r"\t", "\t"), rest
    bare = re.sub(r'"[^"]*"', "", first)
    return max(",;\t|", key=bare.count), text


def need_column(table: pd.DataFrame, name: str) -> str:
    """Check that a column is there.

    Raises:
        UnknownNameError: listing those that are.
    """
    if name not in table:
        raise UnknownNameError.of("column", name, table.columns)
    return name
