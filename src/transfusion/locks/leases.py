"""Which locks a folder can have: the operating system's, or, where they do not reach other machines, leases.

A lock of the operating system (``flock``) is freed when its holder dies, however it dies. Some file systems of clusters
have none, and some keep them to one machine. There a lease does: a file that its holder touches every few seconds and
that others take over once nobody has touched it for a minute. Its holder may only have been asleep, so that it must
look whether the lease is still its own before it writes; see ``check``.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import filelock

from transfusion.errors import SpecError, StoreError
from transfusion.files import read_json, write_json

try:
    import fcntl
except ImportError:  # Windows, whose locks filelock knows
    fcntl = None  # type: ignore[assignment]

Kind = Literal["flock", "lease"]
LEASE_S = 60.0  # without a sign of life, after which others take over
RULE = "locks.json"  # in a study's folder: which locks all that work there use
DEPTH = 4  # folders above a lock that may hold the rule
LOCAL = {  # file system -> mount options that keep its locks to one machine
    "nfs": ("nolock", "local_lock=all", "local_lock=flock"),
    "nfs4": ("local_lock=all", "local_lock=flock"),
    "lustre": ("localflock",),
}
_LEASES: dict[Path, filelock.SoftFileLease] = {}  # of this process: how long another's is unchanged shows with time


class LeaseLostError(StoreError):
    """Another process has taken over what this one held."""


def handle(lock: Path) -> filelock.BaseFileLock:
    """What acquires and releases a lock, as its folder can have it."""
    if kind_of(lock) == "flock":
        return filelock.FileLock(lock, fallback_to_soft=False)  # a soft lock would outlive a killed holder for good
    path = lease_path(lock).absolute()
    if path not in _LEASES:
        _LEASES[path] = filelock.SoftFileLease(path, lease_duration=LEASE_S, thread_local=False)
    return _LEASES[path]


def lease_path(lock: Path) -> Path:
    """The file that stands for a lease."""
    return lock.with_name(f"{lock.name}.lease")


def check(lock: Path) -> None:
    """See that what this process holds is still its own; to be called before anything is written.

    Raises:
        LeaseLostError: if another process has taken it over.
    """
    lease = _LEASES.get(lease_path(lock).absolute())
    if lease is None or lease.token is None:
        return
    try:
        # the file, not the clock: only who reads another's token has surely lost it
        is_mine = lease.token in lease_path(lock).read_text()
    except FileNotFoundError:
        is_mine = False
    if not is_mine:
        raise LeaseLostError(
            f"{lock.parent} was taken over by another worker: this process, or its disk, gave no sign of life for "
            f"{LEASE_S:g} s. Nothing is lost."
        )


def kind_of(lock: Path) -> Kind:
    """The kind of a lock: as its study says, else as its file system can."""
    for folder in list(lock.absolute().parents)[:DEPTH]:
        if (folder / RULE).exists():  # what was agreed on counts more than what this machine could do
            kind: Kind = read_json(folder / RULE, "Remove it when nobody works on the study.")["kind"]
            return kind
    return "lease" if why_none(lock.parent) else "flock"


def settle(folder: Path, asked: str) -> str:
    """Decide the locks of a study, once for all that work on it; returns what a user should know, or an empty text.

    Args:
        folder: of the study.
        asked: ``auto``, ``flock`` or ``lease``.

    Raises:
        SpecError: if others were decided on before.
    """
    if asked not in ("auto", *get_args(Kind)):
        raise SpecError(f"There are no locks '{asked}'. Known: auto, {', '.join(get_args(Kind))}.")
    path = folder / RULE
    why = why_none(folder)
    if path.exists():
        kind = kind_of(path)
        if asked not in ("auto", kind):
            raise SpecError(
                f"The locks of {folder} are {kind}, and --locks {asked} was given. Remove {path} first, when nobody "
                "works on the study."
            )
    else:
        kind = ("lease" if why else "flock") if asked == "auto" else asked  # type: ignore[assignment]
        if kind == "lease" or asked != "auto":  # written only where needed: `auto` finds the same kind anywhere else
            write_json(path, {"kind": kind})
    if kind == "flock":
        return ""
    because = why or "as asked for"
    return f"Locks are leases ({because}): what a dead worker held is free after {LEASE_S:g} s."


def why_none(folder: Path) -> str:
    """Why locks of the operating system do not do in a folder, or an empty text."""
    return why_none_of(folder.stat().st_dev, folder) if folder.exists() else ""


@lru_cache
def why_none_of(device: int, folder: Path) -> str:
    """The same, asked once for each device."""
    option = local_option(folder, _mounts())
    if option:
        return f"this file system is mounted with {option}, which keeps locks to one machine"
    if fcntl is None:
        return ""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:  # there are locks: somebody holds one
        return ""
    except OSError as error:
        return f"this file system has no locks: {error.strerror}"
    finally:
        os.close(descriptor)
    return ""


def _mounts() -> str:
    try:
        return Path("/proc/self/mounts").read_text(errors="replace")
    except OSError:  # no Linux
        return ""


def local_option(folder: Path, mounts: str) -> str:
    """The mount option that keeps locks below ``folder`` to one machine, or an empty text.

    Args:
        folder: absolute or not.
        mounts: as in ``/proc/self/mounts``.

    Examples:
        >>> local_option(Path("/home/me"), "srv:/home /home nfs rw,nolock 0 0")
        'nolock'
        >>> local_option(Path("/home/me"), "srv:/home /home nfs4 rw,local_lock=none 0 0")
        ''
    """
    found, options = ("", ""), ""
    for line in mounts.splitlines():
        _, place, kind, how, *_ = [*line.split(" "), "", "", "", ""]
        place = place.replace("\\040", " ")
        if folder.resolve().is_relative_to(place or "/") and len(place) >= len(found[0]):  # the innermost mount counts
            found, options = (place, kind), how
    return next((option for option in LOCAL.get(found[1], ()) if option in options.split(",")), "")
