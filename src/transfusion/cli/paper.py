"""The command ``paper``: tables, figures and claims of the paper by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from transfusion.cli.options import listed
from transfusion.errors import SpecError


@click.command()
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--data", metavar="DIR", help="Images that the recipe needs.")
@click.option("--only", metavar="T1,F5,..", callback=listed(str), help="These items only.")
@click.option("--mini", is_flag=True, help="A small network and few steps: minutes to an hour on a processor.")
@click.option("--seeds", type=click.IntRange(1), help="Number of seeds. [default: the recipe's]")
@click.option("--model", metavar="NAME", help="Another network than the recipe's.")
@click.option(
    "--donor",
    "donors",
    metavar="[NETWORK=]DONOR",
    multiple=True,
    help="Another donor than the recipe's; of a recipe with several networks, once for each.",
)
@click.option("--image-size", type=int, help="Side of the images in pixels. [default: the recipe's]")
@click.option("--out", metavar="DIR", help="Folder of runs and page. [default: studies/paper-NAME]")
@click.option(
    "--beside",
    metavar="DIR,..",
    callback=listed(Path),
    help="Folders of other recipes, for claims over all settings. [default: paper-NAME beside --out]",
)
@click.option("--workers", type=click.IntRange(0), help="Runs side by side; 0 uses this process.")
@click.option("--dry-run", is_flag=True, help="Show the runs that are left and their time; train nothing.")
def paper(name: str | None, data: str | None, only: tuple[str, ...] | None, out: str | None, **options: Any) -> int:
    """List the paper's tables and figures, or run those of a recipe.

    NAME is fundus, chest, cifar or natural; each claim of the paper is judged. Without a name every item is listed with
    what it shows, its data, runs and settings, and the time that it would take here, which some seconds of training
    measure. The same command resumes, and more items add to what is there; no run is trained twice.
    """
    from transfusion.paper import command
    from transfusion.paper.grids import PAPER, Choices
    from transfusion.paper.listing import listing

    if name is None:
        if given := _given():  # forgetting the name must not print a list and ignore the rest
            raise SpecError(
                f"{given} needs the name of a recipe: transfusion paper NAME {given}, with one of {', '.join(PAPER)}."
            )
        click.echo(listing())
        return 0

    workers, dry_run, beside = options.pop("workers"), options.pop("dry_run"), options.pop("beside") or ()
    choices = Choices(Path(data) if data else None, **options)
    replication = command.replication(name, choices, Path(out) if out else None, only or ())
    if dry_run:
        click.echo(command.costs(replication, workers))
        return 0
    return command.carry_out(replication, beside, workers, click.echo)


def _given() -> str:
    """The first option on the command line, or nothing."""
    context = click.get_current_context()
    found = (one for one in context.command.params if isinstance(one, click.Option))
    given = (one for one in found if context.get_parameter_source(str(one.name)) is ParameterSource.COMMANDLINE)
    return next((one.opts[0] for one in given), "")
