"""How many processor cores this process may use, which is not how many there are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def available() -> int:
    """Cores that the scheduler's affinity and the control group's quota leave to this process, at least 1.

    Examples:
        >>> 1 <= available() <= os.cpu_count()
        True
    """
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([granted, *quotas()])))


def thread_limit() -> int | None:
    """Threads per process that the user allows by OMP_NUM_THREADS, or None."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # "4,2" is 4, and 2 in nested regions
    return int(first) if first.isdecimal() and int(first) > 0 else None


def quotas(root: Path = Path("/")) -> Iterator[float]:
    """Cores of every processor quota of this process's control groups, versions 1 and 2.

    A quota holds for all groups below its own, and a container may see its own group as the root: so every folder
    on the way is read.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    mounted = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, place = line.split(":", 2)
        tops = [mounted] if not controllers else [mounted / controllers, mounted / "cpu"]
        if controllers and "cpu" not in controllers.split(","):
            continue
        path = PurePosixPath(place.lstrip("/"))
        for folder in (top / part for top in tops for part in (path, *path.parents)):
            yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{what}_us").read_text() for what in ("quota", "period"))
        if quota != "max" and int(quota) > 0:  # -1 in version 1 is no limit
            yield int(quota) / int(period)
    except (OSError, ValueError):
        return
