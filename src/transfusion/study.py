"""A study: a grid of runs in one folder, and what is concluded from them."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from transfusion.errors import SpecError, StoreError, UnknownNameError
from transfusion.files import odd_sort, real_place
from transfusion.locks import leases
from transfusion.runs.estimate import Estimate, estimate
from transfusion.runs.fleet import Fleet
from transfusion.runs.frames import tidy
from transfusion.runs.machine import Machine
from transfusion.runs.plan import Plan, make_plan
from transfusion.runs.sharing import joined
from transfusion.runs.slurm import Slurm
from transfusion.runs.store import Store
from transfusion.runs.team import Team, damaged_files
from transfusion.runs.trackers import check
from transfusion.spec import RunSpec, StudySpec

STUDIES = Path("studies")  # below the working directory; where a study is kept unless another folder is given

if TYPE_CHECKING:
    import pandas as pd

    from transfusion.verdict import Verdict


@dataclass(frozen=True)
class Summary:
    """What a call of ``Study.run`` did.

    Attributes:
        ran: runs that it trained or resumed.
        kept: runs that had ended before it.
        failed: run id -> message, of runs that failed now or, where trying again is no use, before.
        unseen: why some comparisons of representations failed.
        repaired: run id -> names of damaged files, of finished runs that were therefore carried out again.
    """

    ran: int
    kept: int
    failed: dict[str, str]
    unseen: list[str] = field(default_factory=list)
    repaired: dict[str, list[str]] = field(default_factory=dict)


class Study:
    """A grid of runs in one folder.

    Example::

        if __name__ == "__main__":  # runs go to processes of their own, which read this file again
            study = Study.load("retina.yaml", "studies/retina")
            study.run()
            print(study.verdict())

    Args:
        spec: what to run.
        folder: where everything is kept; made on the first ``run``.
        cache: of decoded images; None is the user's cache folder.
        locks: by which workers share the runs: ``flock``, ``lease`` for file systems whose locks do not reach other
            machines, or ``auto``, which looks.
    """

    def __init__(
        self, spec: StudySpec, folder: str | Path, *, cache: str | Path | None = None, locks: str = "auto"
    ) -> None:
        self.spec = spec
        self.store = Store(Path(folder))
        self.cache, self.locks = Path(cache) if cache else None, locks
        self._plan: Plan | None = None

    @classmethod
    def load(cls, source: str | Path, folder: str | Path | None = None) -> Study:
        """A study from its folder, from a YAML or JSON file, or from the name of a recipe.

        Args:
            source: folder of an earlier study, or its name below ``studies/``; path of a spec; or recipe name.
            folder: where a new study is kept; ``studies/NAME`` if not given.

        Raises:
            UnknownNameError: if ``source`` is no recipe and looks like no path.
            StoreError: if it is a folder without a study, or a path that is not there.
        """
        from transfusion.recipes import RECIPES

        path = Path(source)
        if str(source) in RECIPES:
            spec = RECIPES[str(source)].study
        elif path.is_dir():
            return cls(Store(path).spec(), folder or path)
        elif path.is_file():
            spec = StudySpec.read(path)
        elif path.suffix or len(path.parts) > 1:
            found = f"{path} is {sort}" if (sort := odd_sort(path)) else f"There is no file or folder {path}"
            raise StoreError(f"{found}. Give a study's folder, a YAML file or a recipe.")
        elif (earlier := Store(STUDIES / path)).exists:  # what a page calls a study by, given where it was started
            return cls(earlier.spec(), folder or earlier.folder)
        else:
            raise UnknownNameError.of("recipe", source, RECIPES)
        return cls(spec, folder or STUDIES / spec.name)

    def plan(self) -> Plan:
        """Look at data, model and donor, once; a run's id stands for their content.

        Raises:
            TransfusionError: for anything that would make a run fail and can be detected before training.
        """
        if self._plan is None:
            _refuse_among_the_data(self.spec.task.data, self.store.folder)
            # kept: it hashes the donor and looks at every image
            self._plan = make_plan(self.spec, self.store, self.cache)
        return self._plan

    def runs(self) -> list[RunSpec]:
        """Every run of the grid."""
        return self.plan().grid

    def estimate(self, *, machine: Machine | None = None, workers: int | None = None) -> Estimate:
        """What is left to do, in seconds and bytes, from three timed steps; trains and writes nothing.

        Args:
            machine: how each run uses its machine; None decides.
            workers: runs side by side here; None decides, 0 runs them in this process.

        Raises:
            TransfusionError: for anything that would make a run fail and can be detected before training.
        """
        machine = machine or Machine()
        machine.check(self.spec.train.batch_size, self.spec.train.precision)
        return estimate(self.plan(), self.store, machine, workers, self.spec.representations, self.cache)

    def run(
        self,
        executor: Executor | None = None,
        *,
        cluster: Slurm | None = None,
        machine: Machine | None = None,
        workers: int | None = None,
        progress: bool = True,
        trackers: Sequence[str] = (),
        budget_s: float = math.inf,
    ) -> Summary:
        """Carry out every run that is not finished; safe to interrupt, and to call again.

        A study ``until="decided"`` adds one seed, and records it, as long as it is not decided, there are
        fewer than ``max_seeds``, and the budget lasts.

        Args:
            executor: anything with the interface of ``concurrent.futures``, such as Dask's ``client.get_executor()``;
                None starts processes here. Elsewhere each process decides what it may use, and looks whether it has it.
            cluster: has workers started on its machines, as ``Slurm(8, {"partition": "gpu"})``; this process watches.
            machine: how each run uses its machine; None decides.
            workers: runs side by side here; None decides, 0 runs them in this process.
            progress: show a live display on a terminal, and a line per finished run elsewhere.
            trackers: that also receive the curves: ``tensorboard``, ``csv``, ``wandb``, ``mlflow``.
            budget_s: seconds after which no seed is added; what has begun is finished.

        Raises:
            SpecError: if this machine lacks what ``machine`` or a tracker asks for.
            ClusterError: if ``executor`` breaks, or all jobs of ``cluster`` end before the study; what was finished is
                kept, and the same call resumes.
            StoreError: if another command carries out another grid in the same folder.
        """
        check(trackers)
        machine = machine or Machine()
        if executor and cluster:
            raise SpecError("Runs go to an executor or to a cluster: give one of them.")
        team: Team | Fleet
        if cluster:
            team = Fleet(self.store, cluster, machine, self.cache, progress, tuple(trackers))
        else:
            team = Team(self.store, machine, self.cache, executor, workers, progress, tuple(trackers))
            if team.is_here:
                machine.check(self.spec.train.batch_size, self.spec.train.precision)
            team.prepare()
        began = time.monotonic()
        outcome = self._run(team)
        while self._wants_a_seed() and time.monotonic() - began < budget_s:
            # one seed at a time: the rule for stopping allows for a look after each
            self.spec, self._plan = self.spec.with_another_seed(), None
            later = self._run(team)
            outcome = replace(later, ran=outcome.ran + later.ran, kept=outcome.kept)
        return outcome

    def _wants_a_seed(self) -> bool:
        """Whether another training of each start may be added, and the question is still open."""
        if not self.spec.until or len(self.spec.seeds) >= self.spec.max_seeds:
            return False
        return not self.verdict().is_decided

    def _run(self, team: Team | Fleet) -> Summary:
        """Carry out the grid as it is."""
        with self._joined() as plan:
            return self._carry_out(plan, team)

    @contextlib.contextmanager
    def _joined(self) -> Iterator[Plan]:
        """Be one of the commands that work on the study, with its plan on disk."""
        plan = self.plan()
        # what is compared belongs to the agreement: two commands must not fill two folders of comparisons
        grid = [*(run.id for run in plan.grid), str(self.spec.representations and self.spec.representations.id)]
        self._settle_locks()  # before the first lock is taken
        with joined(self.store.folder, grid):
            self.store.begin(self.spec, plan.grid, plan.donor_run, plan.card, plan.donor)
            yield plan

    def _settle_locks(self) -> None:
        self.store.folder.mkdir(parents=True, exist_ok=True)
        if told := leases.settle(self.store.folder, self.locks):
            Console(stderr=True).print(told, markup=False, highlight=False)

    def begin(self) -> list[RunSpec]:
        """Plan the study and write that into its folder, for workers to carry out; returns its runs.

        Raises:
            TransfusionError: as ``plan``.
            StoreError: if another command carries out another grid in the same folder.
        """
        with self._joined() as plan:
            return plan.grid

    def _carry_out(self, plan: Plan, team: Team | Fleet) -> Summary:
        if plan.donor_run:
            self.store.adopt(plan.donor_run.id)
        everything = [self.store.run(run.id) for run in (*plan.grid, *([plan.donor_run] if plan.donor_run else []))]
        damaged = damaged_files(everything, team.progress)
        ran = team.carry_out(plan.grid, plan.donor_run, damaged)
        unseen = team.compare()
        for files in everything:
            files.tidy()
        failed = {files.id: failure["error"] for files in everything if (failure := files.failure())}
        done = sum(files.state == "done" for files in everything)
        return Summary(ran=ran, kept=max(0, done + len(failed) - ran), failed=failed, unseen=unseen, repaired=damaged)

    def frame(self) -> pd.DataFrame:
        """One row per run and evaluation, read from disk.

        Columns: ``run start scheme batch_norm upto rest size seed step loss auc`` and the task's other metrics. Runs of
        this study's grid only; a run that is not started yet has no rows. See ``runs.frames.tidy``.
        """
        return tidy(self.store.grid())

    def verdict(self) -> Verdict:
        """What the curves on disk say; see ``transfusion.conclude``."""
        from transfusion.verdict.stored import conclude_study

        return conclude_study(self.store, self.store.card())

    def report(self) -> Path:
        """Page and figures of what is on disk, made anew if that has changed since; returns the page's path."""
        from transfusion.report.sources import page_of

        return page_of(self.store, cache=self.cache)

    def _repr_html_(self) -> str | None:
        """What a notebook shows; nothing of its own before the study was begun."""
        from transfusion.report.notebook import html

        return html(self.store) if self.store.exists else None


def _refuse_among_the_data(data: str, folder: Path) -> None:
    """A study's figures are pictures: among the data they would be taken for some of them.

    Raises:
        SpecError: if the study would be kept there.
    """
    place = real_place(data)
    if place.is_dir() and real_place(folder).is_relative_to(place):
        raise SpecError(
            f"The study would be kept in {folder}, among the data in {data}, and its figures would be taken for "
            "pictures of them. Give it a folder elsewhere with --out."
        )
