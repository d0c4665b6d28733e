"""How far a study is, who works on what and how long it will take, all read from its folder: from any machine."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from transfusion import locks
from transfusion.errors import SpecError, StoreError
from transfusion.runs.display import Display
from transfusion.runs.machine import Machine
from transfusion.runs.run import Job
from transfusion.runs.store import RunFiles, Store
from transfusion.spec import RunSpec

WATCH_S = 1.0  # between two looks at a study


@dataclass(frozen=True)
class RunStatus:
    """One run, as it is now.

    Attributes:
        state: ``done``, ``failed``, ``at work``, ``cut off`` (begun, and nobody works on it) or ``waiting``.
        step: of its last evaluation.
        time_s: of training up to that evaluation.
        remark: who works on it, or why it failed.
    """

    run: RunSpec
    state: str
    step: int = 0
    time_s: float = 0.0
    remark: str = ""

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.run.train.steps

    @classmethod
    def of(cls, files: RunFiles) -> RunStatus:
        """Read it from its folder."""
        run, state = files.spec(), files.state
        if state == "done":
            result = files.result()
            return cls(run, "done", run.train.steps, result.get("time_s") or 0.0)
        row, _ = files.last_row() if state != "new" else ({}, "")
        so_far = row.get("step", 0), row.get("time_s") or 0.0
        if state == "failed":
            return cls(run, "failed", *so_far, remark=files.failure()["error"])
        if locks.is_held(files.lock_path):
            return cls(run, "at work", *so_far, remark=locks.holder(files.lock_path))
        return cls(run, "waiting" if state == "new" else "cut off", *so_far)


@dataclass(frozen=True)
class StudyStatus:
    """A study, as it is now.

    Attributes:
        runs: its own donor's first, where it trains one.
        damaged: ids of runs whose record cannot be read.
    """

    folder: Path
    runs: list[RunStatus]
    damaged: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path) -> StudyStatus:
        """Read it from its folder.

        Raises:
            StoreError: if there is no study.
        """
        store = Store(folder)
        store.spec()
        runs, damaged = [], []
        for files in everything(store):
            try:
                runs.append(RunStatus.of(files))
            except (StoreError, SpecError):
                damaged.append(files.id)
        return cls(folder, runs, damaged)

    @property
    def counts(self) -> Counter[str]:
        """State -> number of runs."""
        return Counter(run.state for run in self.runs)

    @property
    def left_s(self) -> float | None:
        """Seconds until it is finished, by the pace so far of those at work on it; None where that is not known."""
        timed = [run for run in self.runs if run.time_s > 0 and run.step > 0]
        at_work = self.counts["at work"]
        if not timed or not at_work:
            return None
        # a ratio of sums: short runs have the noisiest pace and should weigh least
        pace_s = sum(run.time_s for run in timed) / sum(run.step for run in timed)
        return pace_s * sum(run.steps - run.step for run in self.runs if run.state != "failed") / at_work

    def __str__(self) -> str:
        counts = self.counts
        states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
        left = "" if self.left_s is None else f"; about {duration(self.left_s)} left"
        lines = [f"{self.folder}: {counts['done']} of {len(self.runs) + len(self.damaged)} runs done ({states}){left}"]
        lines += [
            f"  {run.state}: {run.run.label}, step {run.step} of {run.steps}{run.remark and ', '}{run.remark}"
            for run in self.runs
            if run.state in ("at work", "cut off", "failed")
        ]
        return "\n".join([*lines, *(f"  its record is damaged: run {run}" for run in self.damaged)])


STATES = ("done", "at work", "cut off", "failed", "waiting")


def everything(store: Store) -> list[RunFiles]:
    """All runs of a study, its own donor's first."""
    return [*filter(None, [store.donor_run()]), *store.grid()]


def studies(folder: Path) -> Iterator[Path]:
    """The folders of studies: this one, or those in it."""
    for path in [folder] if Store(folder).exists else sorted(folder.glob("*/")):
        if Store(path).exists:
            yield path


def duration(seconds: float) -> str:
    """Seconds for people.

    Examples:
        >>> duration(42.3), duration(3700), duration(200_000)
        ('42 s', '1 h 2 min', '2 d 8 h')
    """
    if seconds < 119.5:  # "90 s" reads better than "2 min"; 119.5 would be rounded to 120 s
        return f"{round(seconds)} s"
    if seconds >= 86_400 - 1800:  # what rounds to 24 hours
        days, hours = divmod(round(seconds / 3600), 24)
        return f"{days} d {hours} h"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def follow(store: Store, show: bool, look: Callable[[], None] = lambda: None) -> None:
    """Show how a study goes on until nothing is left to do, whoever carries it out.

    Args:
        store: of the study.
        show: a live display on a terminal, and a line per finished run elsewhere.
        look: is called about once a second, and raises to end this.
    """
    machine = Machine()
    jobs = [Job(files.spec(), store.folder.absolute(), machine) for files in everything(store) if files.wanted]
    left = {job: job.files.failed_at for job in jobs}
    with Display(jobs, enabled=show) as display:
        while left:
            for job in [job for job, failed_at in left.items() if _has_ended(job, failed_at)]:
                del left[job]
                display.end(job, "done")
            display.refresh()
            if left:
                look()
                time.sleep(WATCH_S)


def _has_ended(job: Job, failed_at: int) -> bool:
    """Whether a run is done, or failed anew."""
    files = job.files
    return files.state == "done" or (files.state == "failed" and files.failed_at != failed_at)
