"""A recipe carried out: its parts share one store of runs, so no run is trained twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from transfusion import tasks
from transfusion.errors import SpecError, StoreError
from transfusion.files import write_json
from transfusion.paper.data import IDENTIFY, disease_of
from transfusion.paper.grids import PAPER, Choices, PaperRecipe
from transfusion.paper.record import MEMORY, remembered
from transfusion.runs.store import Store
from transfusion.spec import DonorRunSpec, StudySpec
from transfusion.study import Study, Summary
from transfusion.tasks import Task
from transfusion.tasks.names import listed

# kinds of labels that the claims of a recipe can be about
KINDS: Mapping[str, tuple[str, ...]] = {
    "fundus": ("binary", "graded", "multiclass"),
    "chest": ("multilabel", "binary"),
    "cifar": ("multiclass",),
    "natural": ("multiclass",),
}
SHARED = ("runs", "donors")  # folders that the parts of a recipe have in common


class Replication:
    """A recipe of the paper in one folder: ``parts/NAME`` are studies whose runs lie in ``runs``, each there once.

    Args:
        name: of the recipe.
        choices: what the user decides about it.
        folder: where everything is kept.
        only: names of items; empty for all of the paper's.
        cache: of decoded images; None is the user's cache folder.

    Raises:
        UnknownNameError: there is no such recipe or item.
        SpecError: it needs data and none are given.
        StoreError: the folder holds something else.
    """

    def __init__(
        self, name: str, choices: Choices, folder: Path, only: tuple[str, ...] = (), cache: Path | None = None
    ) -> None:
        self.name, self.choices, self.folder, self.cache = name, choices, folder, cache
        self.recipe: PaperRecipe = PAPER[name]
        self.specs: Mapping[str, StudySpec] = self.recipe.parts(choices, only)
        _refuse_other(folder, name, choices)

    @cached_property
    def studies(self) -> dict[str, Study]:
        """Part -> its study; folders are made on first use."""
        return {name: self._study(name, spec) for name, spec in self.specs.items()}

    def begin(self) -> None:
        """Check the data, record in ``recipe.json`` what they are, and plan every part.

        Raises:
            TransfusionError: for anything wrong with data, network or donor.
        """
        first = next(iter(self.studies.values()))
        task = tasks.load(first.runs()[0].task, cache=self.cache)
        self._check(task)
        own = first.spec.donor
        donors = tasks.load(own.task, cache=self.cache) if isinstance(own, DonorRunSpec) else None
        found = IDENTIFY[self.name](task, donors)
        changed = [what for what in ("model", "image_size") if getattr(self.choices, what) is not None]
        data = {"scope": str(found.scope), "why": found.why}
        memory = {"recipe": self.name, "mini": self.choices.mini, "changed": changed, "data": data}
        write_json(self.folder / MEMORY, memory)

    def _check(self, task: Task) -> None:
        """Refuse data that no claim of the recipe can be about."""
        if task.kind not in KINDS[self.name]:
            raise SpecError(
                f"{task.name} has {task.kind} labels, and {self.name} takes {' or '.join(KINDS[self.name])}: "
                f"give {self.recipe.needs}."
            )
        if self.name == "chest" and not any(map(disease_of, task.classes)):
            raise SpecError(
                f"{task.name} has none of the 14 findings of ChestX-ray14 among its classes "
                f"({listed(task.classes)}): give {self.recipe.needs}."
            )

    def run(self, *, workers: int | None = None, progress: bool = True) -> dict[str, Summary]:
        """Carry out every run that is not finished; safe to interrupt, and to call again."""
        self.begin()
        return {name: study.run(workers=workers, progress=progress) for name, study in self.studies.items()}

    def _study(self, name: str, spec: StudySpec) -> Study:
        folder = self.folder / "parts" / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for shared in SHARED:
                (self.folder / shared).mkdir(exist_ok=True)
                if not (folder / shared).is_symlink():
                    # relative, so that the recipe's folder can be moved or copied as a whole
                    (folder / shared).symlink_to(Path("..") / ".." / shared, target_is_directory=True)
        except OSError as error:
            raise StoreError(f"Cannot make {folder}: {error}. Give --out a folder that takes links.") from error
        return Study(spec, folder, cache=self.cache)


def _refuse_other(folder: Path, name: str, choices: Choices) -> None:
    """Refuse a folder of a study, of another recipe, or of the same at another scale: their conclusions would mix."""
    if Store(folder).exists:
        raise StoreError(f"{folder} holds a study, not a recipe of the paper. Give another --out.")
    if not (folder / MEMORY).is_file():
        return
    known = remembered(folder)
    if known["recipe"] != name:
        raise StoreError(f"{folder} holds the recipe {known['recipe']}, not {name}. Give another --out.")
    if known["mini"] != choices.mini:
        scale = "miniature" if known["mini"] else "full scale"
        raise StoreError(f"{folder} holds {name} as {scale}. Give another --out for the other.")


@dataclass(frozen=True)
class Cost:
    """What a part would take.

    Attributes:
        part: its name.
        model: its network.
        runs: of its grid that are neither finished nor in a part before it.
        images: that they train on, counting every pass.
        time_s: seconds that they take on this machine, with comparisons and page; from timed steps.
    """

    part: str
    model: str
    runs: int
    images: int
    time_s: float


def costs_of(replication: Replication, workers: int | None = None) -> Iterator[Cost]:
    """What every part still has to train, also its own donor; reads the data, and takes a few steps to time them."""
    seen: set[str] = set()
    for part, study in replication.studies.items():
        plan = study.plan()
        own = [plan.donor_run] if plan.donor_run else []
        runs = {run.id: run for run in (*own, *plan.grid) if run.id not in seen and study.store.run(run.id).wanted}
        seen |= runs.keys()
        images = sum(run.train.steps * run.train.batch_size for run in runs.values())
        found = study.estimate(workers=workers)
        # not its whole time: runs that an earlier part trains are on disk by then
        trained = sum(
            seconds / max(1, each.workers)
            for each in found.parts
            for run, seconds in zip(each.runs, each.run_s, strict=True)
            if run.id in runs
        )
        yield Cost(part, study.spec.model, len(runs), images, trained + found.compare_s + found.page_s)
