"""What ``transfusion paper NAME`` does: say what its items cost, run them and judge the claims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.table import Table

from transfusion.errors import UnknownNameError
from transfusion.paper.grids import PAPER, Choices
from transfusion.paper.listing import printed
from transfusion.paper.page import number_of, write_page
from transfusion.paper.record import Record, neighbours, write_claims
from transfusion.paper.replication import Cost, Replication, costs_of
from transfusion.verdict.wording.course import seconds


def replication(name: str, choices: Choices, folder: Path | None, only: tuple[str, ...]) -> Replication:
    """The recipe of a name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in PAPER:
        raise UnknownNameError.of("recipe", name, PAPER)
    return Replication(name, choices, folder or Path("studies") / f"paper-{name}", only)


def costs(of: Replication, workers: int | None = None) -> str:
    """Runs, images and time that are left, part by part; reads the data, takes a few steps and keeps none."""
    table = Table("part", "network", "runs", "images to train on", "time here", box=None, pad_edge=False)
    every = list(costs_of(of, workers))
    whole = Cost("all", "", *(sum(getattr(cost, name) for cost in every) for name in ("runs", "images", "time_s")))
    for cost in (*every, whole):
        table.add_row(cost.part, cost.model, str(cost.runs), f"{cost.images:,}", seconds(cost.time_s))
    return (
        f"{printed(table)}\nA run that several parts share is counted in the first of them. Times are from three "
        "steps of each network, taken now: on a busy machine they are longer."
    )


def carry_out(of: Replication, beside: Sequence[Path], workers: int | None, say: Callable[[str], None]) -> int:
    """Run what is not finished, write page and table of claims, and say what replicated; the exit code."""
    failed = 0
    of.begin()  # what is wrong with data, network or donor stops it here, before anything is trained
    for name, study in of.studies.items():
        say(f"Part {name} in {study.store.folder}")
        outcome = study.run(workers=workers)
        failed += len(outcome.failed)
        study.report()
    say(conclude(of.folder, beside))
    return 1 if failed else 0


def conclude(folder: Path, beside: Sequence[Path] = ()) -> str:
    """Judge every claim from what is on disk, and rewrite page and table; returns the table and their paths.

    Args:
        folder: of a recipe.
        beside: folders of other recipes, for the claims over all settings; those that lie beside it if not given.
    """
    record = Record(folder, beside or neighbours(folder))
    table = Table("claim", "the paper says", "here", "outcome", box=None, pad_edge=False)
    for claim, finding in record.findings:
        table.add_row(claim.id, claim.says, number_of(finding), str(finding.outcome))
    return f"{printed(table)}\nScope: {record.scope}\nTable: {write_claims(record)}\nPage: {write_page(record)}"
