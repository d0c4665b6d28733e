"""Carries out a study's runs in their order, its donor's first and comparisons last, and shows how far they are."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from transfusion.networks import models
from transfusion.progress import track
from transfusion.runs import comparisons as representations
from transfusion.runs import workers
from transfusion.runs.display import Display
from transfusion.runs.machine import Machine
from transfusion.runs.plan import on_scale
from transfusion.runs.run import Job
from transfusion.runs.store import RunFiles, Store, read_tensors
from transfusion.runs.workers import Crew, Inline, carry_out_all
from transfusion.spec import RunSpec
from transfusion.tasks import decoded

OUTPUTS, SIDE = 2, 224  # of a network of which the scale of its body alone is wanted
HERE = (ProcessPoolExecutor, ThreadPoolExecutor, Inline)  # executors that share this machine


@dataclass(frozen=True)
class Team:
    """Who carries out the runs of one study, and how.

    Attributes:
        cache: of decoded images; None is the user's.
        executor: see ``Study.run``; None starts processes here.
        workers: processes here; None decides.
        trackers: that also receive the curves.
        patient: wait for runs that other processes hold, which may die; else they are left to them. A donor's run is
            always waited for.
    """

    store: Store
    machine: Machine
    cache: Path | None = None
    executor: Executor | None = None
    workers: int | None = None
    progress: bool = True
    trackers: tuple[str, ...] = ()
    patient: bool = True

    @property
    def is_here(self) -> bool:
        """Whether the runs use this machine."""
        return self.executor is None or isinstance(self.executor, HERE)

    def prepare(self) -> None:
        """Have processes load their libraries while the study is planned, unless it may be finished."""
        if self.executor is None and self.workers != 0 and not self.store.exists:
            with contextlib.suppress(OSError, RuntimeError):  # told when the first run needs a process
                workers.prepare()

    def carry_out(self, grid: list[RunSpec], donor_run: RunSpec | None, damaged: Collection[str] = ()) -> int:
        """Carry out what is neither finished nor diverged.

        Args:
            grid: of the study.
            donor_run: comes first; without its weights only what needs no donor can follow.
            damaged: ids of finished runs that are to be repeated.

        Returns:
            How many runs this team ended, and no other process.
        """
        ran = 0
        if donor_run:
            # always patient: nothing that reads the donor can start without it
            ran += self._carry_out([donor_run], damaged, patient=True, what="donor")
            if not self._adopt(donor_run):
                grid = [run for run in grid if run.donor is None]
        return ran + self._carry_out(grid, damaged, self.patient)

    def _adopt(self, donor_run: RunSpec) -> bool:
        """Keep the final weights of the study's own donor where runs look for one; False if it has none."""
        files = self.store.run(donor_run.id)
        if files.state != "done":
            return False
        weights, run = read_tensors(files.after_path), files.spec()
        self.store.keep_donor(donor_run.id, weights)
        model = models.build(run.model, OUTPUTS, run.task.channels or 3, run.train.side(run.task.image_size or SIDE))
        self.store.note(on_scale(weights, model))
        return True

    def _carry_out(self, runs: list[RunSpec], damaged: Collection[str], patient: bool, what: str = "run") -> int:
        unfinished = [run for run in runs if run.id in damaged or self.store.run(run.id).wanted]
        if not unfinished:
            return 0
        crew = self._crew(len(runs))  # all, not those left: threads decide the last bits, also of a resumed study
        looked_at = {run.id for run in representations.looked_at(runs)} if self.store.spec().representations else set()
        looked_at |= {run.id for run in runs if what == "donor"}  # its filters are shown along its training
        folder, cache = self.store.folder.absolute(), self._cache()
        jobs = [
            Job(
                run,
                folder,
                crew.machine,
                cache,
                snapshots=run.id in looked_at,
                trackers=self.trackers,
                verify=run.id in damaged,
                failed_at=self.store.run(run.id).failed_at,
            )
            for run in unfinished
        ]
        ran = 0
        with Display(jobs, enabled=self.progress, what=what) as display:
            for ended in carry_out_all(jobs, crew, self.executor, display.wait if patient else None):
                if ended is not None:
                    display.end(*ended)
                    ran += ended[1] != "kept"  # "kept" was done by another process
                display.refresh()
        return ran

    def compare(self) -> list[str]:
        """Carry out every comparison of representations that is not on disk yet; returns why some failed."""
        if not self.store.spec().representations:
            return []
        units = representations.missing(self.store)
        crew, folder, cache = self._crew(max(1, len(units))), self.store.folder.absolute(), self._cache()
        waits = (lambda _: None) if self.patient else None
        looks = [representations.Look(unit, folder, crew.machine, cache) for unit in units]
        ended = ((int(look is not None), look) for look in carry_out_all(looks, crew, self.executor, waits))
        for _ in track(ended, "Comparing representations", len(looks), self.progress):
            pass
        return [why for look in looks if (why := look.failure())]

    def _crew(self, num_jobs: int) -> Crew:
        """Elsewhere each process decides by itself what it may use."""
        return Crew.fit(self.machine, self.workers, num_jobs) if self.is_here else Crew(0, self.machine)

    def _cache(self) -> Path | None:
        """As given; a process elsewhere need not have this one's settings, nor its working folder."""
        return self.cache and self.cache.absolute() if self.is_here else decoded.folder(self.cache).absolute()


def damaged_files(runs: list[RunFiles], show: bool) -> dict[str, list[str]]:
    """Run id -> names of damaged files, of finished runs: every file is read."""
    looked: Iterator[tuple[int, tuple[str, list[str]]]] = ((1, (files.id, files.damage())) for files in runs)
    return {run: names for run, names in track(looked, "Checking finished runs", len(runs), show) if names}
