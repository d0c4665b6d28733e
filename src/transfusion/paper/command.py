"""What ``transfusion paper`` does: list items, say what they cost, run them and judge the claims."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from transfusion.errors import UnknownNameError
from transfusion.paper.claims import CLAIMS
from transfusion.paper.grids import PAPER, Choices
from transfusion.paper.page import write_page
from transfusion.paper.replication import Replication, cost_of, write_claims


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
        blocks.append(f"{name}: {recipe.shows}. Needs {recipe.needs}.\n{_printed(table)}")
    return "\n\n".join(blocks)


def costs(of: Replication) -> str:
    """Runs and images that are still to be trained, part by part; reads the data, trains nothing."""
    table = Table("part", "network", "runs", "images to train on", box=None, pad_edge=False)
    for name, study in of.studies.items():
        cost = cost_of(study)
        table.add_row(name, study.spec.model, str(cost.runs), f"{cost.images:,}")
    return f"{_printed(table)}\nRuns that parts share are trained once."


def carry_out(of: Replication, workers: int | None, say: Callable[[str], None]) -> int:
    """Run what is not finished, write page and table of claims, and say what replicated; the exit code."""
    failed = 0
    for name, study in of.studies.items():
        say(f"Part {name} in {study.store.folder}")
        outcome = study.run(workers=workers)
        failed += len(outcome.failed)
        study.report()
    judged = of.findings(CLAIMS[of.name], progress=True)
    write_claims(judged, of.folder / "claims.csv")
    table = Table("claim", "the paper says", "outcome", box=None, pad_edge=False)
    for claim, finding in judged:
        table.add_row(claim.id, claim.says, str(finding.outcome))
    say(_printed(table))
    say(f"\nPage: {write_page(of, judged)}")
    return 1 if failed else 0


def _printed(table: Table) -> str:
    text = io.StringIO()
    Console(width=120, file=text).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
