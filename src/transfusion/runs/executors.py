"""Executors as this project uses them: jobs in, outcomes out, whatever kind of futures they give.

``concurrent.futures`` and all that keep to its interface (Dask's ``client.get_executor()``, loky, Parsl) give futures
that can be waited for; Dask's own client and submitit give objects that must be asked. Both will do.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from typing import Any

from transfusion.errors import ClusterError, SpecError
from transfusion.files import reason
from transfusion.runs.jobs import Ending, Job

POLL_S = 0.25  # as often as the display moves


class Pool:
    """An executor that carries out jobs.

    Args:
        executor: anything whose ``submit(function, *arguments)`` gives objects with ``done()`` and ``result()``.
        call: what it calls, with a job and the number of the attempt at it. Some executors, Dask's among them, take
            two calls of a function with equal arguments for one.
        is_ours: whether this program starts it again when it breaks.

    Raises:
        SpecError: if it is no executor.
    """

    def __init__(self, executor: Any, call: Callable[[Job, int], Ending], *, is_ours: bool) -> None:
        if not callable(getattr(executor, "submit", None)):
            raise SpecError(
                f"{_name(executor)} is no executor: it has no submit(). Give one of concurrent.futures, or Dask's "
                "client.get_executor()."
            )
        self._executor, self._call, self._is_ours = executor, call, is_ours
        self._attempts = Counter[str]()

    def submit(self, job: Job) -> Any:
        """Give it a job; returns what stands for the outcome.

        Raises:
            BrokenProcessPool: if it is ours and broke.
            ClusterError: if it takes no more, or what it gives is no future.
        """
        self._attempts[job.id] += 1
        try:
            # submit() may start a process, which inherits how this one takes Ctrl-C
            with deaf_to_interrupts():
                future = self._executor.submit(self._call, job, self._attempts[job.id])
        except Exception as error:
            raise self._broken(error) from error
        if not (callable(getattr(future, "done", None)) and callable(getattr(future, "result", None))):
            raise ClusterError(
                f"{_name(self._executor)}.submit() gives {_name(future)}, which has no done() and result(). Give an "
                "executor of concurrent.futures, or Dask's client.get_executor()."
            )
        return future

    def ended(self, futures: Collection[Any]) -> list[Any]:
        """Those that have ended, after a quarter of a second at most."""
        # wait() wakes at once; asking each in turn costs a quarter of a second per job
        if all(isinstance(future, Future) for future in futures):
            return list(wait(futures, timeout=POLL_S, return_when=FIRST_COMPLETED).done)
        ended = [future for future in futures if future.done()]
        if not ended:
            time.sleep(POLL_S)
        return ended

    def outcome(self, future: Any, job: Job) -> Ending:
        """What a job came to; whatever the executor itself says against it is the run's failure.

        Raises:
            BrokenProcessPool, ClusterError: if the executor broke.
        """
        try:
            outcome: Ending = future.result()
        # the executor's own end says nothing about the job: it is tried again and not recorded as failed
        except (BrokenExecutor, CancelledError) as error:
            raise self._broken(error) from error
        except Exception as error:
            job.fail(f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))
            return "failed"
        return outcome

    def withdraw(self, futures: Collection[Any]) -> None:
        """Take back what has not begun, where nobody waits for it any more; our own processes are ended anyway."""
        for future in [] if self._is_ours else futures:
            if callable(getattr(future, "cancel", None)):
                future.cancel()

    def _broken(self, error: Exception) -> Exception:
        if self._is_ours:
            return error
        return ClusterError(
            f"{_name(self._executor)} broke, or was shut down ({reason(error)}). Nothing that was finished is "
            "lost: run the same study with a new one."
        )


def _name(thing: object) -> str:
    return f"{type(thing).__module__.partition('.')[0]}.{type(thing).__qualname__}"


@contextlib.contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Processes that start meanwhile leave Ctrl-C to this one from their first moment."""
    if threading.current_thread() is not threading.main_thread():  # Python sets signal handlers only there
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
