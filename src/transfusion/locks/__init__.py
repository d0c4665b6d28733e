"""Locks that say who holds them, and that are freed when their holder dies, however it dies; see ``leases``."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import filelock
from rich.console import Console

from transfusion.files import is_alive
from transfusion.locks import leases

PATIENCE_S = 60.0  # without any work of a lock's holder, before that is said


@contextlib.contextmanager
def held(lock: Path, what: str) -> Iterator[None]:
    """Hold a lock, waiting for it if necessary; its present holder is reported at once.

    Args:
        lock: its file.
        what: the holder does meanwhile, as in "decodes the images".
    """
    handle = leases.handle(lock)
    try:
        handle.acquire(timeout=0)
    except filelock.Timeout:
        _say(f"Waiting for {holder(lock)}, which {what}.")
        _wait(handle, lock)
    try:
        sign(lock)
        yield
    finally:
        handle.release()


def _say(text: str) -> None:
    Console(stderr=True).print(text, markup=False, highlight=False)


def _wait(handle: filelock.BaseFileLock, lock: Path) -> None:
    """Acquire a lock, however long that takes; a holder that does nothing meanwhile is named, once."""
    told = ""
    while True:
        spent = _processor_s(lock)  # a long wait alone is no sign: decoding takes hours, and it is work
        with contextlib.suppress(filelock.Timeout):
            handle.acquire(timeout=PATIENCE_S)
            return
        idle = spent is not None and spent == _processor_s(lock)
        if idle and holder(lock) != told:
            told = holder(lock)
            _say(f"Still waiting for {told}: it has done nothing for {PATIENCE_S:.0f} s. If it hangs, end it.")


def _processor_s(lock: Path) -> float | None:
    """Processor time of a lock's holder and the processes that it started; None where it is not known."""
    known = signature(lock)
    if known.get("host") != socket.gethostname():
        return None
    spent: dict[int, float] = {}
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = path.read_text().rpartition(")")[2].split()  # a program's name may hold blanks and brackets
            pid = int(path.parent.name)
            parents[pid], spent[pid] = int(fields[1]), float(fields[11]) + float(fields[12])
    if known.get("pid") not in spent:
        return None
    family = {known["pid"]}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:  # its workers do the work
        family |= more
    return sum(spent[pid] for pid in family)


@contextlib.contextmanager
def claimed(lock: Path) -> Iterator[bool]:
    """Hold a lock that is free; yields False when another process holds it."""
    handle = leases.handle(lock)
    try:
        handle.acquire(timeout=0)
    except filelock.Timeout:
        yield False
        return
    try:
        sign(lock)
        yield True
    finally:
        handle.release()


def is_held(lock: Path) -> bool:
    """Whether some process holds a lock at this moment."""
    if leases.kind_of(lock) == "lease":
        with contextlib.suppress(FileNotFoundError):  # by its age, which other machines' clocks blur
            return time.time() - leases.lease_path(lock).stat().st_mtime < 2 * leases.LEASE_S
    if not lock.exists():
        return False
    handle = leases.handle(lock)
    try:
        handle.acquire(timeout=0)
    except filelock.Timeout:
        return True
    handle.release()
    return False


def sign(lock: Path, **more: Any) -> None:
    """Note beside a lock who holds it."""
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    signature = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time(), "command": command, **more}
    with contextlib.suppress(OSError):  # a name only: nothing depends on it
        _signature_path(lock).write_text(json.dumps(signature), encoding="utf-8")


def signature(lock: Path) -> dict[str, Any]:
    """What the holder of a lock noted, or {}."""
    try:
        values = json.loads(_signature_path(lock).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def holder(lock: Path) -> str:
    """Who holds a lock, in words, and whether that process is stopped."""
    known = signature(lock)
    if not {"pid", "host", "since"} <= known.keys():
        return f"the process that holds {lock}"
    since = time.strftime("%H:%M:%S", time.localtime(known["since"]))
    here = known["host"] == socket.gethostname()
    where, state = ("", _state(known["pid"])) if here else (f" on {known['host']}", "")
    return f"process {known['pid']}{where} ({known.get('command')}, since {since}{state})"


def last_change(paths: Iterable[Path]) -> str:
    """When the newest of some files changed, as a remark; a holder that hangs shows by it."""
    times = []
    for path in paths:
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime)
    return f"; its last step was kept at {time.strftime('%H:%M:%S', time.localtime(max(times)))}" if times else ""


def _state(pid: int) -> str:
    """A remark on a process of this host that does not run."""
    try:
        letter = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):  # no Linux, or it is gone
        return "" if is_alive(pid) else "; it has ended"
    return f"; it is stopped: resume it with kill -CONT {pid}, or end it" if letter in "Tt" else ""


def _signature_path(lock: Path) -> Path:
    return lock.with_name(f"{lock.name}.holder")
