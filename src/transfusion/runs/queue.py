"""Jobs that wait for a worker, in order; one that another process holds comes up again later."""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Generic, TypeVar

from transfusion.runs.jobs import Job

J = TypeVar("J", bound=Job)
BUSY_S = 1.0  # before a job that another process holds is tried again; twice as long each time
LONGEST_S = 15.0  # a holder may die, and then somebody should soon be there


class Queue(Generic[J]):
    """Jobs in order, and beside them those that are held elsewhere, each until it is due again.

    Args:
        jobs: in the order in which they should start.
    """

    def __init__(self, jobs: Iterable[J]) -> None:
        self._ready = deque(jobs)
        self._held: list[tuple[float, int, J]] = []
        self._delays: dict[str, float] = {}
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._ready) + len(self._held)

    def __iter__(self) -> Iterator[J]:
        yield from self._ready
        yield from (job for _, _, job in self._held)

    def take(self) -> J | None:
        """The next job, or None where all that is left is held elsewhere and not due yet."""
        if self._ready:
            return self._ready.popleft()
        return heapq.heappop(self._held)[2] if self.is_due else None

    @property
    def is_due(self) -> bool:
        """Whether there is a job to take now."""
        return bool(self._ready) or (bool(self._held) and self._held[0][0] <= time.monotonic())

    def put_first(self, job: J) -> None:
        """Give back a job that was taken."""
        self._ready.appendleft(job)

    def hold(self, job: J) -> None:
        """Put a job aside that another process holds."""
        delay = self._delays[job.id] = min(LONGEST_S, 2 * self._delays.get(job.id, BUSY_S / 2))
        # the number: jobs have no order
        heapq.heappush(self._held, (time.monotonic() + delay, next(self._numbers), job))
