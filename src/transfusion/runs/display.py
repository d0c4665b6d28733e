"""The live display of a study: runs done, what runs now, its current metric, and the time left."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from transfusion import locks
from transfusion.runs.jobs import Ending
from transfusion.runs.run import Job
from transfusion.runs.run_files import RunFiles

SPARING = 10  # times as long as a look at all runs takes, before the next


class Display:
    """A bar on a terminal; one line per finished run elsewhere; nothing when not enabled."""

    def __init__(self, jobs: Iterable[Job], *, enabled: bool, what: str = "run") -> None:
        self.what = what
        self.console = Console(stderr=True, quiet=not enabled)
        self.jobs = list(jobs)
        self.total = sum(job.run.train.steps for job in self.jobs)
        self.ended = 0
        self._ended: set[str] = set()
        self._waiting: set[str] = set()
        self._not_before = 0.0
        self.bar = Progress(
            TextColumn("[bold]{task.fields[runs]}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[now]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task("", total=self.total, completed=self._look()[0], runs=self._runs(), now="")

    def __enter__(self) -> Display:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._not_before = 0.0  # the last look is not spared: the bar ends where the runs ended
        self.refresh()
        if self.bar.live.is_started:  # else rich ends the line of a bar that never was
            self.bar.stop()

    def refresh(self) -> None:
        """Read from disk how far every run is; nothing to do where nobody looks, and little where it takes long."""
        began = time.monotonic()
        if self.bar.disable or began < self._not_before:
            return
        steps, now = self._look()
        self.bar.update(self.task, completed=steps, runs=self._runs(), now=now)
        # with thousands of runs on a slow disk, looking would otherwise cost more than it shows
        self._not_before = time.monotonic() + SPARING * (time.monotonic() - began)

    def _look(self) -> tuple[int, str]:
        """Steps done by all runs, and what runs now."""
        # by what is on disk, not by what this process started: others may work on the same study
        running = [job for job in self.jobs if job.id not in self._ended and job.files.machine_path.exists()]
        steps = sum(job.files.last_step() for job in running)
        steps += sum(job.run.train.steps for job in self.jobs if job.id in self._ended)
        return steps, "  ".join(f"{job.run.label} {_last(job.files)}" for job in running)

    def end(self, job: Job, outcome: Ending) -> None:
        """Say that one run has ended, here or elsewhere."""
        self.ended += 1
        self._ended.add(job.id)
        failure = job.files.failure()
        told = f"[red]failed: {escape(failure['error'])}[/red]" if failure else _last(job.files)
        where = "  (elsewhere)" if outcome == "kept" else ""
        self.console.print(f"{self._runs()}  {escape(job.run.label)}  {told}{where}", highlight=False)

    def wait(self, job: Job) -> None:
        """Say once whom a run waits for."""
        if job.id not in self._waiting:
            self._waiting.add(job.id)
            holder = escape(locks.holder(job.files.lock_path))
            since = locks.last_change([job.files.curve_path])
            self.console.print(
                f"{escape(job.run.label)} waits for {holder}, which works on it{since}.", highlight=False
            )

    def _runs(self) -> str:
        return f"{self.what} {self.ended}/{len(self.jobs)}"


def _last(files: RunFiles) -> str:
    row, _ = files.last_row()
    if not row:
        return "starting"
    auc = row["auc"]
    return f"step {files.last_step()}  auc {'undefined' if auc is None else format(auc, '.3f')}"
