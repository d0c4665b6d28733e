"""Workers on a cluster in the place of processes here: this process plans, submits, and watches the study's folder."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from rich.console import Console

from transfusion.progress import track
from transfusion.runs import comparisons as representations
from transfusion.runs.machine import Machine
from transfusion.runs.slurm import Slurm, Workers
from transfusion.runs.status import WATCH_S, follow
from transfusion.runs.store import Store
from transfusion.spec import RunSpec
from transfusion.tasks import decoded


class Fleet:
    """Carries out the runs of one study by workers on a cluster; see ``Team``.

    Args:
        store: of the study.
        cluster: who starts the workers.
        machine: how each run uses its machine.
        cache: of decoded images; None is the user's. All nodes must see it, and the study's folder.
        progress: show how far it is.
        trackers: that also receive the curves.
    """

    def __init__(
        self,
        store: Store,
        cluster: Slurm,
        machine: Machine,
        cache: Path | None = None,
        progress: bool = True,
        trackers: tuple[str, ...] = (),
    ) -> None:
        self.store, self.machine, self.progress = store, machine, progress
        self._console = Console(stderr=True, quiet=not progress, soft_wrap=True)
        # threads are left out: each node divides its own cores
        options = ["--accelerator", machine.accelerator, "--devices", str(machine.devices)]
        options += ["--trackers", ",".join(trackers)] if trackers else []
        self._workers = Workers(cluster, store.folder, options, decoded.folder(cache).absolute())

    def carry_out(self, grid: list[RunSpec], donor_run: RunSpec | None, damaged: Collection[str] = ()) -> int:
        """See that workers carry out what is unfinished, and watch them; returns how many runs that were."""
        # workers skip what has a result, so a damaged run must lose its result before they look
        for run_id in damaged:
            self._reopen(run_id)
        runs = [*([donor_run] if donor_run else []), *grid]
        unfinished = [run for run in runs if self.store.run(run.id).wanted]
        if unfinished:
            with self._watching(len(unfinished)):
                follow(self.store, self.progress, lambda: self._workers.look(self._num_wanted(runs)))
        return len(unfinished)

    def _reopen(self, run_id: str) -> None:
        files = self.store.run(run_id)
        with files.claim() as mine:
            if mine and (names := files.damage()):
                files.reopen(names)

    def _num_wanted(self, runs: list[RunSpec]) -> int:
        return sum(self.store.run(run.id).wanted for run in runs)

    def compare(self) -> list[str]:
        """See that workers carry out every comparison that is not on disk yet; returns why some failed."""
        if not self.store.spec().representations:
            return []
        units = representations.missing(self.store)
        looks = [representations.Look(unit, self.store.folder.absolute(), self.machine) for unit in units]
        for look in looks:
            look.failure_path.unlink(missing_ok=True)  # else an old failure would end the waiting for a new try
        if looks:
            # one worker: comparisons take minutes where trainings take hours
            with self._watching(1):
                for _ in track(self._steps(looks), "Comparing representations", len(looks), self.progress):
                    pass
        return [why for look in looks if (why := look.failure())]

    def _steps(self, looks: list[representations.Look]) -> Iterator[tuple[int, None]]:
        """How many comparisons ended since the last look at them."""
        left = looks
        while left:
            still = [look for look in left if look.is_open and not look.failure()]
            yield len(left) - len(still), None
            left = still
            if left:
                self._workers.look(len(left))
                time.sleep(WATCH_S)

    @contextlib.contextmanager
    def _watching(self, num: int) -> Iterator[None]:
        """Have workers, at most ``num`` new ones; Ctrl-C ends the watching alone, and it is said how to end them."""
        workers = self._workers
        if workers.job is None:
            workers.submit(num)
            self._say(f"Submitted {workers.script_path} as job {workers.job}.")
        else:
            self._say(f"Job {workers.job}, submitted before, works on this study.")
        self._say(f"Ctrl-C stops watching it; scancel {workers.job} ends it.")
        try:
            yield
        except KeyboardInterrupt:
            self._say(f"Stopped watching. Job {workers.job} continues; scancel {workers.job} ends it.")
            raise

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)
