"""The live display of a study: runs done, what runs now, its current metric, and the time left."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from transfusion import locks
from transfusion.runs.run import Job
from transfusion.runs.store import RunFiles, Store


class Display:
    """A bar on a terminal; one line per finished run elsewhere; nothing when not enabled."""

    def __init__(self, jobs: Iterable[Job], *, enabled: bool) -> None:
        self.console = Console(stderr=True, quiet=not enabled)
        self.jobs = list(jobs)
        self.total = sum(job.run.train.steps for job in self.jobs)
        self.ended = 0
        self._steps_ended: dict[str, int] = {}
        self._waiting: set[str] = set()
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
        self.task = self.bar.add_task("", total=self.total, completed=self._steps(), runs=self._runs(), now="")

    def __enter__(self) -> Display:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refresh()
        if self.bar.live.is_started:  # else rich ends the line of a bar that never was
            self.bar.stop()

    def refresh(self) -> None:
        """Read from disk how far every run is; nothing to do where nobody looks."""
        if self.bar.disable:
            return
        now = "  ".join(_now(job) for job in self.jobs if _files(job).state == "started")
        self.bar.update(self.task, completed=self._steps(), runs=self._runs(), now=now)

    def end(self, job: Job) -> None:
        """Say that one run has ended."""
        self.ended += 1
        files = _files(job)
        failure = files.failure()
        outcome = f"[red]failed: {escape(failure['error'])}[/red]" if failure else _last(files)
        self.console.print(f"{self._runs()}  {escape(job.run.label)}  {outcome}", highlight=False)

    def wait(self, job: Job) -> None:
        """Say once whom a run waits for."""
        if job.id not in self._waiting:
            self._waiting.add(job.id)
            holder = escape(locks.holder(job.files.lock_path))
            self.console.print(f"{escape(job.run.label)} waits for {holder}, which works on it.", highlight=False)

    def _runs(self) -> str:
        return f"run {self.ended}/{len(self.jobs)}"

    def _steps(self) -> int:
        return sum(self._steps_of(job) for job in self.jobs)

    def _steps_of(self, job: Job) -> int:
        """The last step that is known to be done; remembered once the run has ended."""
        if job.run.id in self._steps_ended:
            return self._steps_ended[job.run.id]
        files = _files(job)
        steps = files.last_step()
        if files.state == "done":
            self._steps_ended[job.run.id] = steps
        return steps


def _files(job: Job) -> RunFiles:
    return Store(job.folder).run(job.run.id)


def _now(job: Job) -> str:
    return f"{job.run.label} {_last(_files(job))}"


def _last(files: RunFiles) -> str:
    row, _ = files.last_row()
    if not row:
        return "starting"
    auc = row["auc"]
    return f"step {files.last_step()}  auc {'undefined' if auc is None else format(auc, '.3f')}"
