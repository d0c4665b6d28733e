"""Who carries out runs: processes here by default, or any executor of ``concurrent.futures``.

Several single-threaded processes side by side train small networks faster than one process with every core, so
the cores are divided among as many runs as there are. On GPUs each process keeps one card.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, InvalidStateError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from transfusion import cores
from transfusion.errors import ClusterError
from transfusion.files import is_passing, reason, remedy
from transfusion.runs.executors import POLL_S, Pool, deaf_to_interrupts
from transfusion.runs.jobs import Ending, Job
from transfusion.runs.machine import Machine, end_with_parent, environment, keep_memory
from transfusion.runs.queue import Queue

J = TypeVar("J", bound=Job)
DIED = (
    "The process of this run died: out of memory (lower --batch-size or --workers), or because a script starts "
    "the study outside `if __name__ == '__main__':`."
)
MAX_DEATHS = 2  # of a process, before the run that it was busy with is given up


class Inline(Executor):
    """Carries out each job at once, in this process: for tests and debuggers."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``fn`` now and return a finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class StarvedError(ClusterError, BrokenExecutor):
    """This machine lacks what processes need: memory, threads, open files."""

    @classmethod
    def of(cls, error: BaseException) -> StarvedError:
        """Say what is lacking and what to do."""
        first = f"{advice}, or " if (advice := remedy(error)) else ""
        return cls(
            f"Processes cannot be served here ({reason(error)}). Nothing that was finished is lost: {first}run in this "
            "process with --workers 0."
        )


class Processes(ProcessPoolExecutor):
    """Processes whose futures fail when the executor's own thread does.

    That thread alone answers them. It needs a second thread, pipes and memory, and ends where one is lacking.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._given: set[Future[Any]] = set()
        self._starved: StarvedError | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See ``concurrent.futures``.

        Raises:
            StarvedError: if no process can be started.
        """
        try:
            future = super().submit(fn, *args, **kwargs)
        except Exception as error:
            # the last two: the server of processes ended, which only happens for want of memory
            if is_passing(error) or isinstance(error, EOFError | ConnectionError):
                raise StarvedError.of(error) from error
            raise
        self._given.add(future)
        future.add_done_callback(self._given.discard)
        self._fail_all()  # the thread may have ended meanwhile
        return future

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Notice the end of the executor's thread; other threads' errors are left to who looked after them before."""
        former = threading.excepthook

        def note(failed: threading.ExceptHookArgs) -> None:
            if type(failed.thread).__module__ != ProcessPoolExecutor.__module__ or failed.exc_value is None:
                former(failed)
                return
            self._starved = StarvedError.of(failed.exc_value)
            self._fail_all()

        threading.excepthook = note
        try:
            yield
        finally:
            threading.excepthook = former

    def _fail_all(self) -> None:
        for future in list(self._given if self._starved else ()):
            with contextlib.suppress(InvalidStateError):
                future.set_exception(self._starved)


@dataclass(frozen=True)
class Crew:
    """How many processes, and what each may use.

    Attributes:
        workers: processes side by side; 0 is this process.
        machine: what each run uses.
        gpus: what CUDA_VISIBLE_DEVICES is to be in each process, as "0,1" for two cards; empty without CUDA.
    """

    workers: int
    machine: Machine
    gpus: tuple[str, ...] = ()

    @classmethod
    def fit(cls, machine: Machine, workers: int | None, num_runs: int) -> Crew:
        """Divide the cores that this process may use among ``num_runs`` runs; OMP_NUM_THREADS bounds each run's."""
        if machine.device_type() == "cpu":
            free, limit = cores.available(), cores.thread_limit()
            workers = min(free, num_runs) if workers is None else workers
            share = max(1, free // max(1, workers * machine.devices))
            threads = machine.threads or min(share, limit or share)
            return cls(workers, replace(machine, threads=threads))
        gpus = _shares(machine.devices)
        return cls(max(1, min(len(gpus), num_runs)) if workers is None else workers, machine, gpus)

    @contextlib.contextmanager
    def executor(self) -> Iterator[Executor]:
        """Processes that end with this one, however it ends.

        Raises:
            StarvedError: if this machine lacks what they need.
        """
        if self.workers == 0:
            yield Inline()
            return
        threads, context = self.machine.threads, _context()
        with _environment(environment(threads)):
            try:
                prepare()
                pool = Processes(self.workers, context, _settle, (self._cards(context), dict(os.environ), threads))
            except (OSError, RuntimeError, MemoryError) as error:  # no semaphores: no /dev/shm, or it is full
                raise StarvedError.of(error) from error
            with pool.watched():
                try:
                    yield pool
                finally:
                    _end(pool)

    def _cards(self, context: BaseContext) -> Any:
        """A queue of the cards of each process: an initializer cannot know which of the processes it starts in."""
        cards = context.Queue()
        for place in range(self.workers):
            cards.put(self.gpus[place % len(self.gpus)] if self.gpus else None)
        return cards


def _shares(devices: int) -> tuple[str, ...]:
    """The visible CUDA cards in groups of ``devices``; those that the user hid stay hidden."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")  # names or UUIDs, passed on as they are
    cards = named.split(",") if named else [str(card) for card in range(torch.cuda.device_count())]
    return tuple(",".join(cards[first : first + devices]) for first in range(0, len(cards) - devices + 1, devices))


def prepare() -> None:
    """Begin to load what processes need, while this one does something else; does nothing the second time.

    Raises:
        OSError: if no process can be started.
    """
    context = _context()
    if context.get_start_method() != "forkserver":
        return
    context.set_forkserver_preload(["transfusion.runs.libraries"])
    # allocator and OpenMP read theirs when the server starts; a torch.py in the working folder is none of ours
    with _environment({"PYTHONSAFEPATH": "1", **environment(None)}), deaf_to_interrupts():
        forkserver.ensure_running()


def _context() -> BaseContext:
    """How processes start: forked from a server that has loaded the libraries, and never computed anything.

    A process forked from this one would inherit the locks of OpenMP and CUDA in whatever state they are, and hang; one
    that starts from nothing loads libraries for several seconds, which is what macOS and Windows are left with.
    """
    is_served = sys.platform == "linux" and sys.version_info >= (3, 11)  # before, PYTHONSAFEPATH is not known
    return multiprocessing.get_context("forkserver" if is_served else "spawn")


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _settle(cards: Any, variables: dict[str, str], threads: int | None) -> None:
    """Start of a worker: keep to its own cards and threads, leave Ctrl-C to the parent, and never outlive it."""
    try:
        end_with_parent()
    except RuntimeError:  # no thread: an initializer that raises has its traceback printed, and ends the process too
        os._exit(1)
    os.environ.clear()
    os.environ.update(variables)
    if threads:
        threadpool_limits(threads)  # libraries that were loaded before read OMP_NUM_THREADS no more
    with contextlib.suppress(queue.Empty):
        mine = cards.get(timeout=1)
        if mine is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = mine


def _end(pool: ProcessPoolExecutor) -> None:
    """Stop at once: a run that is interrupted resumes from its last checkpoint."""
    processes = list((pool._processes or {}).values())  # shutdown() forgets them; there is no public list
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


def carry_out_all(
    jobs: Iterable[J], crew: Crew, executor: Executor | None = None, waits: Callable[[J], None] | None = lambda _: None
) -> Iterator[tuple[J, Ending] | None]:
    """Carry out every job; yields each with what it came to, and None every quarter of a second in between.

    Args:
        jobs: in the order in which they should start.
        crew: processes to use here when ``executor`` is None; started again when one of them dies.
        executor: takes every job at once, as a cluster's does.
        waits: is called with a job that another process holds; None leaves such jobs to it.

    Raises:
        ClusterError: if ``executor`` takes no more jobs, or gives no futures.
        StarvedError: if this machine lacks memory, threads or files for the processes of ``crew``.
    """
    waiting, deaths = Queue(jobs), Counter[str]()
    if executor:
        places = max(1, len(waiting))
        yield from _carry_out_in(Pool(executor, _carry_out_elsewhere, is_ours=False), places, waiting, deaths, waits)
    while waiting:
        with crew.executor() as processes:
            pool = Pool(processes, _carry_out, is_ours=True)
            yield from _carry_out_in(pool, max(1, crew.workers), waiting, deaths, waits)


def _carry_out(job: Job, attempt: int) -> Ending:
    """What a process carries out; ``attempt`` makes each call another one to executors that remember results."""
    return job.carry_out()


def _carry_out_elsewhere(job: Job, attempt: int) -> Ending:
    """The same in a process that somebody else started."""
    keep_memory()
    return job.carry_out()


def _carry_out_in(
    pool: Pool, places: int, waiting: Queue[J], deaths: Counter[str], waits: Callable[[J], None] | None
) -> Iterator[tuple[J, Ending] | None]:
    """Feed ``pool`` until nothing waits, or until a process dies and takes the pool with it."""
    running: dict[Any, J] = {}
    try:
        while waiting or running:
            # one at a time while any is suspected: the next death then has one possible cause
            suspects = bool(deaths) and any(deaths[job.id] for job in (*waiting, *running.values()))
            yield from _fill(pool, 1 if suspects else places, waiting, running)
            for future in pool.ended(running):
                outcome, job = pool.outcome(future, running[future]), running[future]
                del running[future]
                if outcome == "busy" and waits:
                    waits(job)
                    waiting.hold(job)
                elif outcome != "busy":
                    yield job, outcome
            if waiting and not running and not waiting.is_due:
                time.sleep(POLL_S)
            yield None
    except BrokenProcessPool:
        yield from _blame(list(running.values()), waiting, deaths)
    finally:
        pool.withdraw(running)


def _fill(pool: Pool, places: int, waiting: Queue[J], running: dict[Any, J]) -> Iterator[tuple[J, Ending]]:
    """Give ``pool`` what waits, as far as there is room; yields what another process did meanwhile."""
    while len(running) < places and (job := waiting.take()) is not None:
        if not job.is_open:
            yield job, "kept"
            continue
        try:
            running[pool.submit(job)] = job
        except BrokenProcessPool:
            waiting.put_first(job)
            raise


def _blame(jobs: list[J], waiting: Queue[J], deaths: Counter[str]) -> Iterator[tuple[J, Ending]]:
    """Any of ``jobs`` may have killed the process: try each again, one at a time, but not indefinitely."""
    for job in reversed(jobs):  # put_first() reverses it once more
        deaths[job.id] += 1
        if deaths[job.id] < MAX_DEATHS:
            waiting.put_first(job)
        else:
            job.fail(DIED, DIED)
            yield job, "failed"
