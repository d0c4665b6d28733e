"""Decoded once, shared by every run: images as one memory-mapped ``.npy``, file hashes as one JSON per folder.

Everything is written beside its place under a lock and moved in when complete, so several processes may race
and a kill at any moment leaves nothing broken. What is complete is read without a lock, so it may lie on a disk that
cannot be written. Everything carries a checksum; what is damaged is rebuilt. Deleting the whole folder costs time,
nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import platformdirs

from transfusion import cores
from transfusion.errors import StoreError, TaskError
from transfusion.files import is_passing, read_json, real_place, reason, write_json
from transfusion.locks import claimed, held
from transfusion.progress import track
from transfusion.tasks.listing import Member
from transfusion.tasks.pictures import Facts

VERSION = "1"  # raise it when decoding or scaling changes
CHUNK = 64
BLOCK = 1 << 20  # bytes
SHOWN = 10  # files in a message
_WHOLE: set[tuple[Any, ...]] = set()  # path, stamp and checksum of what this process has read in full
MAX_THREADS = 32  # files that are decoded at once, however many cores there are
S = TypeVar("S")
R = TypeVar("R")
File = Path | Member
Inspect = Callable[[File], Facts]
Read = Callable[[range], Sequence["np.ndarray | str"]]


def folder(cache: str | Path | None) -> Path:
    """The cache's folder: as given, else ``TRANSFUSION_CACHE``, else the user's cache folder.

    Raises:
        StoreError: if it cannot be made.
    """
    chosen = Path(cache or os.environ.get("TRANSFUSION_CACHE") or platformdirs.user_cache_dir("transfusion"))
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
        self._path = cache / f"facts-{key_of(str(real_place(data)))}.json"
        self._inspect = inspect
        self._hash_file = hash_file
        self._known = self._read()

    def of(self, paths: Sequence[File], progress: bool = False) -> list[Facts]:
        """Facts of every picture, in order; only new or changed files are read."""
        return self._of(paths, self._inspect, progress)

    def of_file(self, path: Path) -> Facts:
        """The hash of a file that is no picture."""
        return self._of([path], self._hash_file, False)[0]

    def _of(self, paths: Sequence[File], inspect: Inspect, progress: bool) -> list[Facts]:
        stamps = {path: _stamp(path) for path in paths}
        # size and times stand for the content: reading every file of a large data set takes an hour
        unknown = [path for path, stamp in stamps.items() if self._known.get(str(path), [None])[0] != stamp]
        steps = ((1, pair) for pair in zip(unknown, in_threads(_attempt(inspect), unknown), strict=True))
        troubles = {}
        for path, facts in track(steps, "Looking at the files", len(unknown), progress):
            if isinstance(facts, Exception):
                troubles[path] = facts
            else:
                self._known[str(path)] = [stamps[path], *facts]
        if len(unknown) > len(troubles):  # what was learnt is kept even where some files cannot be read now
            self._write()
        if troubles:
            raise passing_trouble(troubles)
        return [Facts(*self._known[str(path)][1:]) for path in paths]

    def condemn(self, errors: Mapping[File, str]) -> None:
        """Remember which files turned out not to be decodable."""
        for path, error in errors.items():
            stamp, *facts = self._known[str(path)]
            self._known[str(path)] = [stamp, *Facts(*facts)._replace(error=error)]
        self._write()

    def _read(self) -> dict[str, list[Any]]:
        try:
            return read_json(self._path, "It is rebuilt.")
        except StoreError:
            return {}

    def _write(self) -> None:
        with making(self._path, "looks at the same files"):
            write_json(self._path, self._known)


def _attempt(inspect: Inspect) -> Callable[[File], Facts | Exception]:
    """A passing trouble is handed back, so that all are reported at once and none is remembered."""

    def attempt(path: File) -> Facts | Exception:
        try:
            return inspect(path)
        except Exception as error:
            if not (isinstance(error, OSError) or is_passing(error)):
                raise
            return error

    return attempt


def passing_trouble(troubles: Mapping[File, Exception]) -> TaskError:
    """What the machine refuses today and may grant tomorrow is no fault of a file."""
    shown = "; ".join(f"{path} ({reason(error)})" for path, error in [*troubles.items()][:SHOWN])
    more = f"; and {len(troubles) - SHOWN} more" if len(troubles) > SHOWN else ""
    return TaskError(
        f"{len(troubles)} files cannot be read now: {shown}{more}. They may be whole: check permissions, memory and "
        "open files (ulimit -n), and run the same command again."
    )


@contextlib.contextmanager
def making(path: Path, what: str) -> Iterator[None]:
    """Hold the lock of something in the cache while it is made.

    Raises:
        StoreError: if it cannot be written.
    """
    try:
        with held(path.with_name(f"{path.name}.lock"), what):
            yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"The cache cannot take {path}: {reason(error)}. Free the disk, or set TRANSFUSION_CACHE to another folder."
        ) from error


def _stamp(path: File) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        return [-1, -1, -1]
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]  # ctime: copying tools can restore mtime


def in_threads(function: Callable[[S], R], items: Iterable[S]) -> Iterator[R]:
    """Map in as many threads as there are cores to use; order kept."""
    with ThreadPoolExecutor(min(cores.available(), cores.thread_limit() or MAX_THREADS)) as pool:
        yield from pool.map(function, items)


def remembered(path: Path, make: Callable[[], Any]) -> Any:
    """What JSON can hold, made once and kept at ``path``."""
    with contextlib.suppress(StoreError):
        return read_json(path, "It is rebuilt.")["value"]
    value = make()  # outside the lock: two processes may do it twice, none waits for another's hours
    with making(path, "makes the same"):
        write_json(path, {"value": value})
    return value


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
    # std 0: a blank channel must not divide by 0
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
    if not _is_whole(path):
        with making(path, "decodes the same images"):
            if not _is_whole(path):  # another process may have made it while this one waited
                _sweep(path.parent)
                partial = path.with_suffix(".partial")
                checksum = _fill(partial, shape, dtype, read, progress)
                # before the file itself: a file without its checksum counts as damaged
                _checksum_path(path).write_text(checksum)
                partial.replace(path)
    mapped: np.ndarray = np.load(path, mmap_mode="r")  # pages are shared by all processes, and read only when used
    return mapped


def _is_whole(path: Path) -> bool:
    """Whether what is at ``path`` is what was written; read once per process, as long as it does not change."""
    try:
        known = (path, *_stamp(path), _checksum_path(path).read_text())
        if known not in _WHOLE and known[-1] == _checksum(path):
            _WHOLE.add(known)
    except OSError:
        return False
    return known in _WHOLE


def _checksum_path(path: Path) -> Path:
    return path.with_suffix(".checksum")


def _checksum(path: Path) -> str:
    found = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            found = zlib.crc32(block, found)
    return f"{found:08x}"


def _sweep(folder: Path) -> None:
    """Remove what processes left half made when they were killed."""
    for partial in folder.glob("images-*.partial"):
        with claimed(partial.with_suffix(".npy.lock")) as free:
            if free:
                partial.unlink(missing_ok=True)


def _fill(partial: Path, shape: tuple[int, ...], dtype: np.dtype[Any], read: Read, progress: bool) -> str:
    """Write the images one chunk after the other; returns their checksum.

    Written and not mapped: on a full disk a write is an error that can be told, and a mapped page a signal that kills.
    """
    chunks = [range(start, min(start + CHUNK, shape[0])) for start in range(0, shape[0], CHUNK)]
    steps = ((len(chunk), (chunk, rows)) for chunk, rows in zip(chunks, in_threads(read, chunks), strict=True))
    errors: dict[int, str] = {}
    try:
        with partial.open("wb") as file:
            description = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, description)
            _reserve(file.fileno(), file.tell() + math.prod(shape) * dtype.itemsize)
            for chunk, rows in track(steps, "Decoding images", shape[0], progress):
                pixels = np.zeros((len(chunk), *shape[1:]), dtype)
                for place, row in enumerate(rows):
                    if isinstance(row, str):
                        errors[chunk[place]] = row
                    else:
                        pixels[place] = row
                file.write(pixels.tobytes())
            file.flush()
            os.fsync(file.fileno())
        if errors:
            raise IncompleteError(errors)
        return _checksum(partial)
    except BaseException:  # Ctrl-C too: a partial file is as large as the images
        partial.unlink(missing_ok=True)
        raise


def _reserve(descriptor: int, size: int) -> None:
    """Take the space at once: hours of decoding are not to end at a full disk."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
