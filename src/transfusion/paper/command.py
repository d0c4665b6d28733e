"""What ``transfusion paper`` does: list items, say what they cost, run them and judge the claims."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from transfusion.errors import UnknownNameError
from transfusion.paper.grids import PAPER, Choices, PaperRecipe
from transfusion.paper.page import number_of, write_page
from transfusion.paper.record import Record, neighbours, write_claims
from transfusion.paper.replication import Cost, Replication, costs_of
from transfusion.runs.plan import starts
from transfusion.verdict.wording.course import seconds


def replication(name: str, choices: Choices, folder: Path | None, only: tuple[str, ...]) -> Replication:
    """The recipe of a name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in PAPER:
        raise UnknownNameError.of("recipe", name, PAPER)
    return Replication(name, choices, folder or Path("studies") / f"paper-{name}", only)


def listing() -> str:
    """Every item of the paper, by recipe, with the data that it needs."""
    blocks = []
    for name, recipe in PAPER.items():
        table = Table("item", "shows", "parts", box=None, pad_edge=False)
        for item in recipe.items:
            table.add_row(item.name, item.shows, ", ".join(item.parts))
        needs = f"{name}: {recipe.shows}. Needs {recipe.needs}."
        blocks.append(f"{needs}\n{_printed(table)}\n\n{_printed(_parts(recipe))}")
    return "\n\n".join(blocks) + "\n\nTimes on this machine: transfusion paper NAME --data DIR --dry-run."


def _parts(recipe: PaperRecipe) -> Table:
    """Runs and settings of every part at full scale; a run that several parts share is counted in the first."""
    table = Table("part", "network", "pixels", "new runs", "each", "settings", box=None, pad_edge=False)
    seen = set[tuple[object, ...]]()
    for name, spec in recipe.build(Choices(Path("DIR"))).items():
        train = spec.train
        runs = {
            (spec.model, train.lr, start.label, None if size == 1 else size, seed)
            for start in starts(spec) for size in spec.sizes for seed in spec.seeds
        }  # fmt: skip
        length = f"{train.epochs:g} epochs" if train.epochs else f"{train.steps:,} steps"
        side = str(spec.task.image_size or "as stored")
        settings = f"{train.optimizer}, rate {train.lr:.2g}, {train.augment}, {len(spec.seeds)} seeds"
        table.add_row(name, spec.model, side, str(len(runs - seen)), f"{length} of {train.batch_size}", settings)
        seen |= runs
    return table


def costs(of: Replication, workers: int | None = None) -> str:
    """Runs, images and time that are left, part by part; reads the data, takes a few steps and keeps none."""
    table = Table("part", "network", "runs", "images to train on", "time here", box=None, pad_edge=False)
    every = list(costs_of(of, workers))
    whole = Cost("all", "", *(sum(getattr(cost, name) for cost in every) for name in ("runs", "images", "time_s")))
    for cost in (*every, whole):
        table.add_row(cost.part, cost.model, str(cost.runs), f"{cost.images:,}", seconds(cost.time_s))
    return (
        f"{_printed(table)}\nA run that several parts share is counted in the first of them. Times are from three "
        "steps of each network, taken now: on a busy machine they are longer."
    )


def carry_out(of: Replication, beside: Sequence[Path], workers: int | None, say: Callable[[str], None]) -> int:
    """Run what is not finished, write page and table of claims, and say what replicated; the exit code."""
    failed = 0
    of.begin()
    for name, study in of.studies.items():
        say(f"Part {name} in {study.store.folder}")
        outcome = study.run(workers=workers)
        failed += len(outcome.failed)
        study.report()
    say(conclude(of.folder, beside))
    return 1 if failed else 0


def conclude(folder: Path, beside: Sequence[Path] = ()) -> str:
    """Judge every claim from what is on disk, and write page and table anew; the table, and where they are.

    Args:
        folder: of a recipe.
        beside: folders of other recipes, for the claims over all settings; those that lie beside it if not given.
    """
    record = Record(folder, beside or neighbours(folder))
    table = Table("claim", "the paper says", "here", "outcome", box=None, pad_edge=False)
    for claim, finding in record.findings:
        table.add_row(claim.id, claim.says, number_of(finding), str(finding.outcome))
    return f"{_printed(table)}\nScope: {record.scope}\nTable: {write_claims(record)}\nPage: {write_page(record)}"


def _printed(table: Table) -> str:
    text = io.StringIO()
    Console(width=120, file=text).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
