"""Decoded once, shared by every run: images as one memory-mapped ``.npy``, file hashes as one JSON per folder.

Everything is written beside its place under a lock and moved in when complete, so several processes may race
and a kill at any moment leaves nothing broken. Deleting the whole folder costs time, nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import platformdirs
from filelock import FileLock

from transfusion import cores
from transfusion.errors import StoreError
from transfusion.progress import track
from transfusion.tasks.pictures import Facts

VERSION = "1"  # raise it when decoding or scaling changes
CHUNK = 64
MAX_THREADS = 32  # files that are decoded at once, however many cores there are
S = TypeVar("S")
R = TypeVar("R")
Inspect = Callable[[Path], Facts]
Read = Callable[[range], Sequence["np.ndarray | str"]]


def folder(cache: Path | None) -> Path:
    """The cache's folder: as given, else ``TRANSFUSION_CACHE``, else the user's cache folder.

    Raises:
        StoreError: if it cannot be made.
    """
    chosen = cache or Path(os.environ.get("TRANSFUSION_CACHE") or platformdirs.user_cache_dir("transfusion"))
    try:
        chosen.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The cache folder {chosen} cannot be made: {error.strerror}. Set TRANSFUSION_CACHE to a folder that can."
        ) from error
    return chosen


def key_of(*parts: object) -> str:
    """Hash anything that JSON can hold."""
    content = json.dumps([VERSION, *parts], sort_keys=True).encode()
    return hashlib.blake2b(content, digest_size=16).hexdigest()


class FactsMemo:
    """What is known of every file of a data set, remembered as long as its size and time of change stay.

    Args:
        cache: the cache's folder.
        data: the data set, as the user named it.
        inspect: finds out about a picture; runs in several threads.
        hash_file: does so for a file that is no picture.
    """

    def __init__(self, cache: Path, data: str, inspect: Inspect, hash_file: Inspect) -> None:
        self._path = cache / f"facts-{key_of(str(Path(data).expanduser().resolve()))}.json"
        self._inspect = inspect
        self._hash_file = hash_file
        self._known = self._read()

    def of(self, paths: Sequence[Path], progress: bool = False) -> list[Facts]:
        """Facts of every picture, in order; only new or changed files are read."""
        return self._of(paths, self._inspect, progress)

    def of_file(self, path: Path) -> Facts:
        """The hash of a file that is no picture."""
        return self._of([path], self._hash_file, False)[0]

    def _of(self, paths: Sequence[Path], inspect: Inspect, progress: bool) -> list[Facts]:
        stamps = {path: _stamp(path) for path in paths}
        unknown = [path for path, stamp in stamps.items() if self._known.get(str(path), [None])[0] != stamp]
        steps = ((1, pair) for pair in zip(unknown, in_threads(inspect, unknown), strict=True))
        for path, facts in track(steps, "Looking at the files", len(unknown), progress):
            self._known[str(path)] = [stamps[path], *facts]
        if unknown:
            self._write()
        return [Facts(*self._known[str(path)][1:]) for path in paths]

    def condemn(self, errors: dict[Path, str]) -> None:
        """Remember which files turned out not to be decodable."""
        for path, error in errors.items():
            stamp, *facts = self._known[str(path)]
            self._known[str(path)] = [stamp, *Facts(*facts)._replace(error=error)]
        self._write()

    def _read(self) -> dict[str, list[Any]]:
        try:
            known = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _write(self) -> None:
        with FileLock(f"{self._path}.lock"):
            partial = self._path.with_suffix(".partial")
            partial.write_text(json.dumps(self._known))
            _move_in(partial, self._path)


def _stamp(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        return [-1, -1]
    return [status.st_size, status.st_mtime_ns]


def in_threads(function: Callable[[S], R], items: Iterable[S]) -> Iterator[R]:
    """Map in as many threads as there are cores to use; order kept."""
    with ThreadPoolExecutor(min(cores.available(), cores.thread_limit() or MAX_THREADS)) as pool:
        yield from pool.map(function, items)


def _move_in(partial: Path, path: Path) -> None:
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def remembered(path: Path, make: Callable[[], Any]) -> Any:
    """What JSON can hold, made once and kept at ``path``."""
    with FileLock(f"{path}.lock"):
        if not path.exists():
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(make()))
            _move_in(partial, path)
    return json.loads(path.read_text())


def moments(path: Path, images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of every channel in 0..1 units, computed once and kept at ``path``.

    Args:
        path: of the JSON file.
        images: (n, height, width, channels), uint8 or uint16.
    """
    mean, std = remembered(path, lambda: _moments(images))
    return tuple(mean), tuple(std)


def _moments(images: np.ndarray) -> tuple[list[float], list[float]]:
    """From counts of every value, which are exact: the same on every machine, whatever its order of summation."""
    full = int(np.iinfo(images.dtype).max)
    counts = np.zeros((images.shape[-1], full + 1))
    for start in range(0, len(images), CHUNK):
        for channel, values in enumerate(np.moveaxis(images[start : start + CHUNK], -1, 0)):
            counts[channel] += np.bincount(values.ravel(), minlength=full + 1)
    values = np.arange(full + 1) / full
    mean = counts @ values / counts.sum(axis=1)
    std = np.sqrt([((values - m) ** 2 * c).sum() / c.sum() for m, c in zip(mean, counts, strict=True)])
    return mean.round(12).tolist(), np.where(std > 0, std, 1.0).round(12).tolist()


class IncompleteError(Exception):
    """Some rows could not be decoded; carries the reason for each."""

    def __init__(self, errors: dict[int, str]) -> None:
        self.errors = errors
        super().__init__(f"{len(errors)} rows")


def images(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], read: Read, progress: bool = False) -> np.ndarray:
    """The images at ``path``, made there first if need be.

    Args:
        path: of the ``.npy`` file.
        shape: (n, height, width, channels).
        dtype: uint8 or uint16.
        read: rows -> for each an array (height, width, channels), or the reason why there is none.
        progress: show a bar.

    Returns:
        Read-only memory map of ``shape``.

    Raises:
        IncompleteError: if rows could not be decoded; all are tried, and nothing is kept.
    """
    with FileLock(f"{path}.lock"):
        if not path.exists():
            partial = path.with_suffix(".partial")
            _fill(partial, shape, dtype, read, progress)
            _move_in(partial, path)
    mapped: np.ndarray = np.load(path, mmap_mode="r")
    return mapped


def _fill(partial: Path, shape: tuple[int, ...], dtype: np.dtype[Any], read: Read, progress: bool) -> None:
    chunks = [range(start, min(start + CHUNK, shape[0])) for start in range(0, shape[0], CHUNK)]
    steps = ((len(chunk), (chunk, rows)) for chunk, rows in zip(chunks, in_threads(read, chunks), strict=True))
    target = np.lib.format.open_memmap(partial, "w+", dtype, shape)
    errors: dict[int, str] = {}
    for chunk, rows in track(steps, "Decoding images", shape[0], progress):
        for row, pixels in zip(chunk, rows, strict=True):
            if isinstance(pixels, str):
                errors[row] = pixels
            else:
                target[row] = pixels
    target.flush()
    if errors:
        partial.unlink()
        raise IncompleteError(errors)
