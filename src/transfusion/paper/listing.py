"""Every item of the paper: what it shows, what it needs, and what it would take on this machine."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from rich.console import Console
from rich.table import Table

from transfusion.paper.grids import PAPER, Choices, PaperRecipe
from transfusion.paper.step_cost import StepCost, kind_of, measured
from transfusion.runs.plan import grid_of
from transfusion.spec import DonorRunSpec, RunSpec, StudySpec
from transfusion.verdict.wording.course import seconds


def listing() -> str:
    """Every item of the paper, by recipe, with the data that it needs and what it takes; times some steps."""
    return "\n\n".join([*(_Listed(recipe, name).text for name, recipe in PAPER.items()), FOOTNOTE])


FOOTNOTE = (
    "Runs, images (counting every pass) and time are of an item alone, on data of the size above. Items of one part "
    "share its runs, and a run that several parts need is trained once (new runs: not in a part above). Times are from "
    "timed steps of each network on this machine, now, on a little noise: right to a factor of two. transfusion paper "
    "NAME --data DIR --dry-run times your own data; with --mini a recipe takes minutes to an hour."
)


class _Listed:
    """A recipe at full scale on the data that it is meant for."""

    def __init__(self, recipe: PaperRecipe, name: str) -> None:
        self.recipe, self.name = recipe, name
        self.parts = recipe.build(Choices(Path("DIR")))
        self.runs = {part: _runs(spec, recipe.images[0]) for part, spec in self.parts.items()}

    @property
    def text(self) -> str:
        """As it is printed."""
        num_train, num_held_out = self.recipe.images
        needs = f"{self.name}: {self.recipe.shows}. Needs {self.recipe.needs}."
        sizes = f"Whole: {num_train:,} images to train on, {num_held_out:,} to evaluate on."
        return f"{needs}\n{sizes}\n{printed(self._items())}\n\n{printed(self._parts())}"

    @cached_property
    def _costs(self) -> dict[tuple[object, ...], StepCost]:
        """Of each network, timed once."""
        first = {kind_of(run): run for runs in self.runs.values() for run in runs.values()}
        return {kind: measured(run) for kind, run in first.items()}

    def _items(self) -> Table:
        table = Table("item", "shows", "parts", "runs", "images", "time here", box=None, pad_edge=False)
        for item in self.recipe.items:
            # by id: a run that two parts of an item share is trained once
            runs = {key: run for part in item.parts for key, run in self.runs[part].items()}
            images = sum(run.train.steps * run.train.batch_size for run in runs.values())
            time_s = sum(self._costs[kind_of(run)].run_s(run, self.recipe.images[1]) for run in runs.values())
            amount = (str(len(runs)), f"{images / 1e6:,.3g} M", f"about {seconds(time_s)}")
            table.add_row(item.name, item.shows, ", ".join(item.parts), *amount)
        return table

    def _parts(self) -> Table:
        table = Table("part", "network", "pixels", "new runs", "each", "settings", box=None, pad_edge=False)
        seen = set[str]()
        for name, spec in self.parts.items():
            train = spec.train
            length = f"{train.epochs:g} epochs" if train.epochs else f"{train.steps:,} steps"
            side = str(spec.task.image_size or "as stored")
            settings = f"{train.optimizer}, rate {train.lr:.2g}, {train.augment}, {len(spec.seeds)} seeds"
            new = str(len(self.runs[name].keys() - seen))
            table.add_row(name, spec.model, side, new, f"{length} of {train.batch_size}", settings)
            seen |= self.runs[name].keys()
        return table


def _runs(spec: StudySpec, num_images: int) -> Mapping[str, RunSpec]:
    """The runs of a part by id, its own donor's first."""
    runs = list(grid_of(spec, num_images))
    if isinstance(spec.donor, DonorRunSpec):
        own = spec.donor
        train = own.train.of_size(num_images)
        runs = [RunSpec(task=own.task, model=spec.model, scheme=own.scheme, seed=own.seed, train=train), *runs]
    return {run.id: run for run in runs}


def printed(table: Table) -> str:
    """A table as text of at most 120 columns."""
    text = io.StringIO()
    Console(width=120, file=text).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
