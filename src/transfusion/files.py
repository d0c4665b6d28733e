"""How files are written and read back: whole or not at all, and with a checksum that makes damage visible."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from transfusion.errors import StoreError, TransfusionError

_NO_THREAD = "can't start new thread"  # for want of memory or of processes: Python does not say which
_NO_MEMORY = ("cannot allocate memory", "can't allocate memory", "failed to map segment", _NO_THREAD)
_REMEDIES = {
    errno.EMFILE: "raise the number of open files (ulimit -n)",
    errno.ENFILE: "close programs that keep files open",
    errno.EAGAIN: "raise the number of processes (ulimit -u), or take fewer workers",
    errno.ENOMEM: "free some, or take fewer workers",
    errno.ENOSPC: "free the disk",
    errno.EDQUOT: "free the disk",
    errno.EROFS: "make the disk writable",
    errno.EACCES: "give this user access",
    errno.EPERM: "give this user access",
    errno.EEXIST: "choose another place, or move away what is there",
    errno.ENOTDIR: "choose a place in a folder",
    errno.ENOENT: "choose a place where folders can be made",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "remove the links that lead to each other",
}
_SORTS = (
    (stat.S_ISFIFO, "a named pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)

CHECKSUM = "checksum"
_HOST = re.sub(r"\W", "-", socket.gethostname())
_TEMPORARY = re.compile(r"\..+\.(?P<host>[\w-]+)\.(?P<pid>\d+)~")


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file, flush it to the disk, and rename it to ``path``.

    Raises:
        StoreError: when the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # beside it: a rename is atomic within a file system only; the name says whose litter it is
        temporary = path.with_name(f".{path.name}.{_HOST}.{os.getpid()}~")
        try:
            write(temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
            flush_folder(path.parent)  # the rename itself is lost in a power cut if the folder is not flushed
        finally:
            with contextlib.suppress(OSError):  # swept later
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> StoreError:
    """One line for a file that cannot be written, and what to do."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        advice = "Raise the number of open files (ulimit -n) and run the same command again."
    else:
        advice = "Free the disk or choose another --out."
    return StoreError(f"Cannot write {path}: {error.strerror or error}. {advice}")


def odd_sort(path: Path) -> str:
    """What a path leads to that is neither a file nor a folder, with its article; empty for these two and for nothing.

    Examples:
        >>> odd_sort(Path("/dev/null")), odd_sort(Path("/dev")), odd_sort(Path("/no/such/thing"))
        ('a character device', '', '')
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return "a link that leads to itself" if error.errno == errno.ELOOP else ""
    return next((sort for is_one, sort in _SORTS if is_one(mode)), "")


def expanded(path: str | Path) -> Path:
    """A path with its ``~`` spelled out; where there is no such user, as it stands, as in a shell.

    Examples:
        >>> expanded("~no-such-user/x").name
        'x'
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111  pathlib's own raises


def real_place(path: str | Path) -> Path:
    """Where a path leads in the end; of links in a ring, the first; what can be no path is left as it stands."""
    with contextlib.suppress(ValueError):  # a null byte, which is refused where the path is read
        return Path(os.path.realpath(expanded(path)))  # pathlib's own raises before Python 3.13
    return Path(path)


def flush_folder(folder: Path) -> None:
    """Make a rename last through a power cut."""
    if os.name == "nt":  # Windows cannot open a folder, and has no need to
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove what writers of this host left below ``folder`` when they were killed."""
    for path in folder.rglob(".*~"):
        match = _TEMPORARY.fullmatch(path.name)
        if match and match["host"] == _HOST and not is_alive(int(match["pid"])):
            with contextlib.suppress(OSError):
                path.unlink()


def is_alive(pid: int) -> bool:
    """Whether there is a process of this number on this host."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Write a whole text file atomically; what is not UTF-8 in a name becomes a question mark."""
    write_bytes(path, text.encode("utf-8", errors="replace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file atomically."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write indented JSON atomically, with a checksum."""
    write_text(path, json.dumps({**values, CHECKSUM: checksum(values)}, indent=2) + "\n")


def checksum(values: dict[str, Any]) -> str:
    """Sixteen hexadecimal digits that stand for what JSON holds.

    Examples:
        >>> len(checksum({"a": 1})), checksum({"a": 1}) == checksum({"a": 2})
        (16, False)
    """
    return hashlib.blake2b(json.dumps(values).encode(), digest_size=8).hexdigest()


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Read a JSON object; a checksum in it must fit.

    Args:
        path: of the file.
        remedy: what to do where it cannot be read, as a sentence; it must cost no finished work.

    Raises:
        StoreError: ending in ``remedy``.
    """
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"Cannot read {path}: {reason(error)}. {remedy}") from error
    if not isinstance(values, dict):
        raise StoreError(f"Cannot read {path}: it holds {type(values).__name__}, not names with values. {remedy}")
    return values


def parse_json(text: str) -> Any:
    """JSON as ``write_json`` writes it, without the checksum, or as people do, without one.

    Raises:
        ValueError: if the checksum does not fit, or a key is there twice.
    """
    values = json.loads(text, object_pairs_hook=named_once)
    if isinstance(values, dict) and values.pop(CHECKSUM, None) not in (None, checksum(values)):
        raise ValueError(f"it is damaged, or was edited (then remove its line '{CHECKSUM}')")
    return values


def named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, for ``json.loads``; of a key that is there twice, Python alone would keep the last.

    Raises:
        ValueError: if one is.
    """
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = next(key for key in values if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f"the key '{twice}' occurs twice")
    return values


def write_table(path: Path, text: str) -> None:
    """Write a CSV file atomically, and its digest beside it: a table has no place for one inside."""
    # the digest first: cut off in between, the old table counts as damaged and is made anew, never trusted
    write_text(_digest_path(path), _digest(text.encode()))
    write_text(path, text)


def is_whole_table(path: Path) -> bool:
    """Whether a table is what was written; one whose digest is gone cannot be distinguished from it."""
    try:
        noted = _digest_path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return path.exists()
    return path.exists() and noted == _digest(path.read_bytes())


def _digest_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.digest")


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


@contextlib.contextmanager
def reading(what: str, remedy: str, kind: type[TransfusionError]) -> Iterator[None]:
    """The boundary to data from outside: whatever reading them raises becomes one line.

    Args:
        what: is read, for the line.
        remedy: what to do, as a sentence.
        kind: of error; errors of this package pass as they are.

    Raises:
        TransfusionError: of ``kind``.
        MemoryError: where the machine lacks memory, in whichever words a library says so.

    Examples:
        >>> with reading("a.csv", "Write it again.", StoreError):
        ...     [][0]
        Traceback (most recent call last):
        ...
        transfusion.errors.StoreError: a.csv cannot be read (IndexError: list index out of range). Write it again.
    """
    try:
        yield
    except TransfusionError:  # it is one line already
        raise
    except Exception as error:
        if lacks_memory(error):  # no fault of what is read, which is not to be repaired
            raise MemoryError(f"reading {what}") from error
        raise kind(f"{what} cannot be read ({reason(error)}). {remedy}") from error


def reason(error: BaseException) -> str:
    """What went wrong, in the first line of an error's words.

    Examples:
        >>> reason(OSError(28, "No space left on device")), reason(KeyError("labels")), reason(EOFError())
        ('No space left on device', "KeyError: 'labels'", 'EOFError')
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if _NO_THREAD in str(error):
        return "no more threads can be started"
    if lacks_memory(error):
        return "not enough memory"
    first = (str(error).strip().splitlines() or [""])[0].rstrip(".:")
    if type(error) is ValueError and first:
        return first
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def is_passing(error: BaseException) -> bool:
    """Whether the machine is at fault and not the file: permissions, memory, open files, a disk that failed.

    Examples:
        >>> is_passing(PermissionError(13, "Permission denied")), is_passing(OSError("image file is truncated"))
        (True, False)
    """
    return lacks_memory(error) or (isinstance(error, OSError) and error.errno is not None)


def remedy(error: BaseException) -> str:
    """What to do about a fault of the machine, before trying again; empty where that depends.

    Examples:
        >>> remedy(OSError(28, "No space left on device")), remedy(OSError(5, "Input/output error"))
        ('free the disk', '')
        >>> remedy(RuntimeError("can't start new thread"))
        'free memory, raise the number of processes (ulimit -u), or take fewer workers'
    """
    if _NO_THREAD in str(error):
        return "free memory, raise the number of processes (ulimit -u), or take fewer workers"
    number = error.errno if isinstance(error, OSError) else None
    return _REMEDIES.get(errno.ENOMEM if number is None and lacks_memory(error) else number or 0, "")


def lacks_memory(error: BaseException) -> bool:
    """Whether the machine has too little memory, which libraries say in their own ways.

    Examples:
        >>> lacks_memory(RuntimeError("can't start new thread")), lacks_memory(RuntimeError("no such stage"))
        (True, False)
    """
    said = str(error).lower()
    told = isinstance(error, (RuntimeError, ImportError, OSError)) and any(words in said for words in _NO_MEMORY)
    return isinstance(error, MemoryError) or told
