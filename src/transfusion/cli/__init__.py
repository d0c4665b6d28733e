"""The command line: parse, call, print. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import io
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from transfusion import __version__, terms
from transfusion.cli import commands, paper
from transfusion.cli.commands import INTERRUPTED
from transfusion.cli.options import Setting, listed, names, seconds, size, stage, studies_of
from transfusion.errors import SpecError, TransfusionError
from transfusion.files import is_passing, reason, remedy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from transfusion.networks.donors import Donor
    from transfusion.runs.machine import Machine
    from transfusion.study import Study, Summary

OUTPUTS = click.IntRange(1, 1_000_000)
SIDE = click.IntRange(1, 16_384)  # pixels
SEEDS = click.IntRange(1, 100_000)


def main() -> None:
    """Entry point: one line and exit code 2 for what the user can fix; a bug keeps its traceback."""
    for stream in (sys.stdout, sys.stderr):
        # names on disk need not be UTF-8, and a message about one must not end in an error of its own
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        # not standalone: click would print its own form of an error, with usage lines, and exit
        sys.exit(transfusion.main(standalone_mode=False) or 0)
    except click.exceptions.Abort as error:
        if isinstance(error.__cause__, EOFError):  # a bug of ours, which click takes for a closed terminal
            raise error.__cause__ from None
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        _complain(error.format_message())
    except TransfusionError as error:
        _complain(str(error))
    except Exception as error:
        if not is_passing(error):  # a bug: its traceback is what a report needs
            raise
        where = f": {error.filename}" if isinstance(error, OSError) and error.filename else ""
        first = f"{advice}, then " if (advice := remedy(error)) else ""
        _complain(f"{reason(error)}{where}. Finished work is kept: {first}run the same command again.")


def _complain(message: str) -> None:
    click.echo(f"transfusion: {' '.join(message.split())}", err=True)  # one line, whatever a path or a value holds
    sys.exit(2)


@click.group(
    invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__)
@click.pass_context
def transfusion(context: click.Context) -> None:
    """What do pretrained weights buy on your images, and why?

    Trains the same network from several starts - pretrained, only the scale of the pretrained weights, random -
    with several seeds, and says how fast each converges, where each ends, and how sure that is.

    \b
        transfusion study                                  the embedded default; minutes, no download
        transfusion study --data DIR --model resnet50 --donor torchvision:resnet50
        transfusion study --data DIR --model resnet50 --donor torchvision:resnet50 --dry-run
    """  # noqa: D301 - click wants the character
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@transfusion.command()
@click.argument("source", metavar="[RECIPE | FILE.yaml | DIR]", required=False)
@click.option("--data", metavar="PATH", help="Folder, .npz or .csv of images with labels, or embedded:NAME.")
@click.option("--model", cls=Setting, metavar="NAME", help="torchvision or timm name, cbr_*, or NAME_cifar.")
@click.option(
    "--donor",
    metavar="DONOR",
    help="Pretrained weights: torchvision:NAME, timm:NAME, file:PATH or run:ID. [default: none]",
)
@click.option("--schemes", cls=Setting, metavar="A,B,..", callback=listed(str), help=f"Starts: {names(terms.Scheme)}.")
@click.option(
    "--batch-norms",
    cls=Setting,
    metavar="A,B,..",
    callback=listed(str),
    help=f"Batch-norm modes: {names(terms.BatchNorm)}.",
)
@click.option(
    "--upto",
    cls=Setting,
    metavar="STAGE,..",
    callback=listed(stage),
    help="Stages up to which the schemes hold, or 'all'.",
)
@click.option(
    "--rest", cls=Setting, metavar="A,B,..", callback=listed(str), help="Schemes for the stages above --upto."
)
@click.option("--head", cls=Setting, metavar="SCHEME", help=f"Scheme of every head: {names(terms.Head)}.")
@click.option(
    "--sizes", cls=Setting, metavar="N,..", callback=listed(size), help="Training images: counts, 10%, or 'all'."
)
@click.option("--seeds", cls=Setting, metavar="N", type=SEEDS, help="Number of seeds, or use --set seeds=[7,8].")
@click.option(
    "--until",
    type=click.Choice(["decided"]),
    help="Add seeds until the main question is answered. [default: as many as --seeds]",
)
@click.option(
    "--max-seeds", cls=Setting, metavar="N", type=click.IntRange(3), help="With --until: at most so many seeds."
)
@click.option("--budget", metavar="TIME", callback=seconds, help="With --until: stop adding after 2h, 90m or 30s.")
@click.option("--metric", cls=Setting, metavar="NAME", help="Metric to judge by: auc, accuracy, auprc or auc:CLASS.")
@click.option("--margin", type=float, help="Smallest difference in the metric that matters. [default: 0.01 of AUC]")
@click.option("--baseline", cls=Setting, metavar="START", help="Start that the others are compared with.")
@click.option("--steps", cls=Setting, type=int, help="Optimiser steps of each run.")
@click.option("--batch-size", cls=Setting, type=int, help="Images per step.")
@click.option("--lr", cls=Setting, type=float, help="Learning rate.")
@click.option("--eval-every", type=int, help="Steps between evaluations. [default: dense at first, then 20 evenly]")
@click.option("--image-size", type=int, help="Side of the images in pixels. [default: 224, or that of arrays]")
@click.option(
    "--channels",
    type=click.IntRange(1),
    help="Channels of images: 1 (grey) or 3. [default: as stored, or the donor's]",
)
@click.option("--representations", is_flag=True, help="Also compare the networks' representations, stage by stage.")
@click.option("--dry-run", is_flag=True, help="Show the plan and what it takes in time and on disk; train nothing.")
@click.option("--details", is_flag=True, help="At the end, print the curves as a table and every conclusion too.")
@click.option("--examples/--no-examples", default=None, help="Show test images on the page. [default: examples]")
@click.option("--out", metavar="DIR", help="Folder of the study. [default: studies/NAME]")
@click.option(
    "--workers", type=click.IntRange(0), help="Runs side by side; 0 uses this process. [default: one per core or GPU]"
)
@click.option(
    "--devices", type=click.IntRange(1), default=1, show_default=True, help="Devices that share each batch of a run."
)
@click.option(
    "--accelerator",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="What runs compute on.",
)
@commands.on_a_cluster
@click.option(
    "--locks",
    type=click.Choice(["auto", "flock", "lease"]),
    default="auto",
    help="How workers claim runs: by file locks, or by leases where locks do not reach other machines. [default: auto]",
)
@click.option("--plan-only", is_flag=True, help="Write the plan and stop; transfusion work DIR runs it.")
@click.option("--trackers", metavar="A,B,..", callback=listed(str), help=f"Also send curves to {names(terms.Tracker)}.")
@click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="Any other setting; transfusion settings lists them. Example: train.lr=0.01.",
)
def study(source: str | None, settings: tuple[str, ...], **options: Any) -> int:
    """Run a study, or resume one.

    Finished runs are never repeated: the same command resumes a study that was stopped, and a larger grid adds to
    what is there. Without arguments it runs the embedded default, the recipes near and far. The defaults below hold
    for your own data; a recipe, a file or an earlier study has its own.
    """
    # what is left in ``options`` in the end are settings of the study
    machine = {"accelerator": options.pop("accelerator"), "devices": options.pop("devices")}
    how = {"workers": options.pop("workers"), "trackers": options.pop("trackers") or ()}
    how |= {"cluster": options.pop("cluster")}
    locks, plan_only = options.pop("locks"), options.pop("plan_only")
    budget_s, max_seeds, details = options.pop("budget"), options["max_seeds"], options.pop("details")
    dry_run = options.pop("dry_run")
    studies = studies_of(source, options.pop("out"), options, settings)
    for each in studies:
        each.locks = locks
    if studies[0].spec.until is None and (max_seeds is not None or budget_s < math.inf):
        raise SpecError("--max-seeds and --budget limit --until decided; give it too.")

    from transfusion.runs.machine import Machine
    from transfusion.runs.trackers import check

    check(how["trackers"])  # before hours of training: a tracker that is not installed ends the command here
    if dry_run:
        return _preview(studies, Machine(**machine), how["workers"])
    if plan_only:
        commands.plan(studies)
        return 0
    try:
        outcomes = [_run(each, machine=Machine(**machine), budget_s=budget_s, **how) for each in studies]
    except KeyboardInterrupt:
        # jobs of a cluster run on; what Ctrl-C ended is the watching
        click.echo(f"Stopped{' watching' if how['cluster'] else ''}. Run the same command to resume.", err=True)
        return INTERRUPTED
    return _conclude(studies, outcomes, details)


def _preview(studies: list[Study], machine: Machine, workers: int | None) -> int:
    """Print what each study would be, and run none."""
    from transfusion.cli import terminal

    for each in studies:
        click.echo(f"{each.spec.name}, in {each.store.folder}")
        for line in terminal.preview(each, each.estimate(machine=machine, workers=workers)):
            click.echo(line)
    click.echo("Nothing was trained. Run the same command without --dry-run to start.")
    return 0


def _run(the_study: Study, **how: Any) -> Summary:
    """Print what is known beforehand, and run what is not finished."""
    from transfusion.cli import terminal

    click.echo(f"Study in {the_study.store.folder}", err=True)
    plan = the_study.plan()
    for note in (*plan.card.get("warnings", []), *plan.notes):
        click.echo(f"Note: {note}", err=True)
    # timed on this machine, which says nothing of a cluster's
    if not how["cluster"] and any(the_study.store.run(run.id).wanted for run in plan.grid):
        click.echo(terminal.cost(the_study.estimate(machine=how["machine"], workers=how["workers"])), err=True)
    outcome = the_study.run(**how)
    click.echo(f"Runs: {outcome.ran} trained, {outcome.kept} already finished.", err=True)
    for run_id, files in outcome.repaired.items():
        click.echo(f"Run {run_id} was repeated, because files were damaged: {', '.join(files)}.", err=True)
    return outcome


def _conclude(studies: list[Study], outcomes: list[Summary], details: bool) -> int:
    """Print the conclusions of each study; returns the exit code."""
    from transfusion.cli import terminal

    for each, outcome in zip(studies, outcomes, strict=True):
        click.echo(f"\n{each.spec.name}:" if len(studies) > 1 else "")
        for line in terminal.ending(each, details=details):
            click.echo(line)
        for line in terminal.troubles(each, outcome):
            click.echo(line, err=True)
    return 1 if any(outcome.failed or outcome.unseen for outcome in outcomes) else 0


@transfusion.command()
def settings() -> None:
    """List every setting with its default, and the recipes."""
    from transfusion.cli.settings import lines

    for line in lines():
        click.echo(line)


@transfusion.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True)
@click.option(
    "--out",
    metavar="FILE",
    help="File of the page; figures go beside it. [default: DIR/report.html; ./report.html of several studies]",
)
@click.option("--examples/--no-examples", default=None, help="Show test images on the page. [default: as the study]")
def report(folders: tuple[str, ...], out: str | None, examples: bool | None) -> None:
    """Rebuild figures and page from what is on disk.

    DIR is a study, finished or not, or a recipe of the paper. Several studies are set side by side on one page.
    """
    if len(folders) == 1 and (Path(folders[0]) / "recipe.json").is_file():
        from transfusion.paper import command

        click.echo(command.conclude(Path(folders[0])))
        return
    from transfusion.report.page import write_page
    from transfusion.report.side_by_side import write_side_by_side
    from transfusion.runs.store import Store

    stores = [Store(Path(folder)) for folder in dict.fromkeys(folders)]
    page = Path(out) if out else None
    if len(stores) == 1:
        click.echo(f"Report: {write_page(stores[0], page, examples=examples)}")
    else:
        click.echo(f"Report: {write_side_by_side(stores, page or Path('report.html'))}")


@transfusion.command()
@click.argument("weights", metavar="A B", nargs=2)
@click.option("--model", metavar="NAME", help="torchvision or timm name of both networks. [default: that of a run]")
@click.option("--data", metavar="PATH", help="Images in any layout that study takes. [default: that of a run]")
@click.option("--image-size", type=int, help="Side of the images in pixels.")
@click.option("--num-outputs", type=OUTPUTS, help="Outputs of both heads. [default: those of the weights]")
@click.option("--stages", metavar="A,B,..", callback=listed(str), help="Compare these stages only.")
@click.option(
    "--measures",
    metavar="A,B,..",
    callback=listed(str),
    default="cca,linear_cka",
    show_default=True,
    help=f"Similarity measures, of {names(terms.Measure)}.",
)
@click.option("--images", default=500, show_default=True, help="Images to compare on, held out where possible.")
@click.option("--positions", default=16, show_default=True, help="Positions per image and stage; 0 takes all.")
@click.option("--out", metavar="DIR", default="comparison", show_default=True, help="Folder of tables and page.")
def compare(weights: tuple[str, str], out: str, **options: Any) -> None:
    """Compare two sets of weights, stage by stage, on the same images.

    A and B are donors as for --donor (torchvision:NAME, timm:NAME, file:PATH, run:ID), weight files, or folders of
    runs. Model and data are those of a run, if A or B is one or a weight file in its folder; run:ID is searched for in
    studies/. Prints a table and writes comparison.csv, across.csv and comparison.html.
    """
    from transfusion.report.stage_by_stage import ComparisonTable
    from transfusion.report.two_weights import Request, compared, write
    from transfusion.spec import RepresentationSpec, TaskSpec

    values = {key: options[key] for key in ("images", "measures")} | {"positions": options["positions"] or None}
    data = options["data"]
    task = TaskSpec.parse({"data": data, "image_size": options["image_size"]}) if data else None
    request = Request(
        weights, options["model"], task, RepresentationSpec.parse(values), options["stages"], options["num_outputs"]
    )
    found = compared(request, show_progress=True)
    click.echo(ComparisonTable(found.frame))
    for note in found.notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(f"\nReport: {write(request, found, Path(out))}")


@transfusion.command()
@click.argument("scheme")
@click.option("--model", required=True, metavar="NAME", help="torchvision or timm name, cbr_*, or NAME_cifar.")
@click.option("--donor", metavar="DONOR", help="torchvision:NAME, timm:NAME or file:PATH.")
@click.option("--out", required=True, metavar="FILE", help="File to write: .safetensors, or .pth for torch.save.")
@click.option("--num-outputs", default=1000, show_default=True, type=OUTPUTS, help="Outputs of the head.")
@click.option("--channels", default=3, show_default=True, type=click.IntRange(1, 4096), help="Channels of the images.")
@click.option("--image-size", default=224, show_default=True, type=SIDE, help="Side of the images in pixels.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**31 - 1), help="Of every draw.")
@click.option("--batch-norm", default="identity", show_default=True, help=f"Batch-norm mode: {names(terms.BatchNorm)}.")
@click.option("--upto", metavar="STAGE", help="Only stages up to this one follow the scheme.")
@click.option("--rest", default="random", show_default=True, help="Scheme of the stages above --upto.")
@click.option("--head", default="default", show_default=True, help=f"Scheme of the head: {names(terms.Head)}.")
def init(scheme: str, model: str, donor: str | None, out: str, **options: Any) -> None:
    """Write initial weights to a file.

    The file loads with torch, timm and torchvision.
    """
    from transfusion import schemes
    from transfusion.networks import donors, models
    from transfusion.runs.store import write_weights

    network = models.build(model, options["num_outputs"], options["channels"], options["image_size"])
    rules = {key: options[key] for key in ("batch_norm", "upto", "rest", "head")}
    if donor is None and schemes.reads_donor(network, scheme, **rules):
        raise SpecError("This start needs a donor: give --donor torchvision:NAME, timm:NAME or file:PATH.")
    taken = _taken(donors.load(donor, model), network) if donor else None
    provenance = schemes.initialize(network, scheme, taken, options["seed"], **rules)
    write_weights(Path(out), network.state_dict())
    click.echo(provenance)
    click.echo(f"Wrote {len(provenance.rows)} tensors to {out}")


def _taken(donor: Donor, network: nn.Module) -> dict[str, Tensor]:
    """The tensors that a network takes from a donor; prints what was renamed, left out or reshaped."""
    from transfusion.networks import donors

    fit = donors.fit(donor.state, network)
    for note in (*donor.notes, *fit.notes):
        click.echo(f"Note: {note}", err=True)
    return fit.state


for command in (*commands.ALL, paper.paper):
    transfusion.add_command(command)
