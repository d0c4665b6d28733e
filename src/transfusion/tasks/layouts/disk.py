"""Finding pictures on disk, and what to pass over."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PICTURE_SUFFIXES = frozenset(
    (".bmp .gif .jfif .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp").split()  # noqa: SIM905
)
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def is_clutter(name: str) -> bool:
    """Hidden files, and what file managers and archives leave behind."""
    return name.startswith(".") or name.lower() in {"thumbs.db", "desktop.ini", "__macosx"}


def files_below(root: Path) -> Iterator[Path]:
    """Every file below ``root`` that is not clutter, links followed, in the order of the names."""
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not is_clutter(name))
        yield from (Path(folder, name) for name in sorted(names) if not is_clutter(name))


def pictures_below(root: Path) -> tuple[list[Path], dict[str, int]]:
    """The picture files below ``root``, and how many others of which suffix lie among them."""
    pictures, others = [], Counter[str]()
    for path in files_below(root):
        if path.suffix.lower() in PICTURE_SUFFIXES:
            pictures.append(path)
        else:
            others[path.suffix.lower() or path.name] += 1
    return pictures, dict(others)


def subfolders(root: Path) -> list[Path]:
    """The folders right below ``root`` that are not clutter, in the order of the names."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not is_clutter(path.name))


def natural_order(name: str) -> list[tuple[bool, int, str]]:
    """Sort key that puts ``2`` before ``10``, and ``grade 2`` before ``grade 10``."""
    parts = re.findall(r"\d+|\D+", name)
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
