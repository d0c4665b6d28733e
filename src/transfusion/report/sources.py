"""Whether a page is still that of what is on disk: a study with nothing left to do need not draw it again."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import transfusion
from transfusion.runs.store import Store

META = "made-from"  # name of the page's element that says it
HEAD = 4096  # characters of a page in which it stands
PASSING = (".pyc", "lock", "lock.holder")  # files that say nothing of a study


def page_of(store: Store, *, cache: Path | None = None) -> Path:
    """The study's page as ``page.write_page`` makes it; made only if something that it rests on has changed since."""
    stamp = stamp_of(store, examples=store.spec().examples)
    if store.figures_path.is_dir() and is_current(store.report_path, stamp):
        return store.report_path
    from transfusion.report.page import write_page  # draws: takes a second to import

    return write_page(store, cache=cache)


def stamp_of(store: Store, *, examples: bool) -> str:
    """What a page of the study would be made from, in one short name.

    Files are told apart by size and time, as ``make`` does it: a study of thousands of runs is checked in a second.
    The study's folder, whose name the page shows, and this program are sources too.

    Args:
        store: the study.
        examples: whether the page shows test images.
    """
    digest = hashlib.blake2b(f"{transfusion.__version__} {examples}".encode(), digest_size=12)
    for path in (store.spec_path, store.grid_path, store.card_path):  # every command writes these anew
        digest.update(path.read_bytes() if path.is_file() else b"")
    for folder in (store.runs_path, store.comparisons_path, Path(transfusion.__file__).parent):
        for line in sorted(_listed(folder.absolute())):
            digest.update(line)
    return digest.hexdigest()


def _listed(folder: Path) -> Iterator[bytes]:
    """A line for each file below a folder."""
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names if not name.endswith(PASSING)):
            with contextlib.suppress(OSError):  # another process has just removed it
                found = path.stat()
                yield os.fsencode(f"{path} {found.st_size} {found.st_mtime_ns}\n")


def is_current(page: Path, stamp: str) -> bool:
    """Whether the page at ``page`` says that it was made from ``stamp``."""
    try:
        with page.open(encoding="utf-8") as file:
            return f'<meta name="{META}" content="{stamp}">' in file.read(HEAD)
    except (OSError, UnicodeDecodeError):
        return False
