"""Who works on a study: several commands may share its runs, as long as they mean the same grid."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from transfusion.errors import StoreError
from transfusion.files import sweep, unwritable
from transfusion.locks import claimed, held, holder, last_change, leases, sign, signature

FOLDER = "commands"


@contextlib.contextmanager
def joined(folder: Path, grid: Sequence[str]) -> Iterator[None]:
    """Be one of the commands that work on a study, until the end; litter of killed ones is swept first.

    Args:
        folder: of the study.
        grid: what this command means to carry out, as ids.

    Raises:
        StoreError: if another command is at work here on another grid; it is named.
    """
    meant = hashlib.blake2b("\n".join(grid).encode(), digest_size=8).hexdigest()
    mine = folder / FOLDER / f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}.lock"
    lock = leases.handle(mine)
    try:
        mine.parent.mkdir(parents=True, exist_ok=True)
        with held(mine.parent / "begin", "begins to work on the same study"):
            # under one lock: two commands that begin at once would each see the other as absent
            for other in _others(mine.parent):
                _refuse_another(other, meant, folder)
            lock.acquire(timeout=0)
            sign(mine, grid=meant)
    except StoreError:
        raise
    except OSError as error:
        raise unwritable(mine, error) from error
    try:
        sweep(folder)
        yield
    finally:
        lock.release()
        _remove(mine)


def _others(folder: Path) -> list[Path]:
    """The locks of the commands that work here, or did when they were killed."""
    leased = {path.with_suffix("") for path in folder.glob("*.lock.lease")}  # where a file system has no locks
    return sorted(leased | set(folder.glob("*.lock")))


def _refuse_another(lock: Path, meant: str, folder: Path) -> None:
    """Remove the trace of a command that has ended; refuse to work beside one that means something else."""
    with claimed(lock) as free:
        # the same grid twice is help; another grid would rewrite grid.json under the feet of the first
        if not free and signature(lock).get("grid") != meant:
            raise StoreError(
                f"{folder} is in use by {holder(lock)}, which carries out another grid"
                f"{last_change(folder.glob('runs/*/curve.jsonl'))}. Wait until it has ended, or give "
                "this study a folder of its own with --out."
            )
    if free:
        _remove(lock)


def _remove(lock: Path) -> None:
    for path in (lock, leases.lease_path(lock), lock.with_name(f"{lock.name}.holder")):
        with contextlib.suppress(OSError):
            path.unlink()
