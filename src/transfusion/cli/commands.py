"""Commands for studies that several machines, or several terminals, work on."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from transfusion import terms
from transfusion.cli.options import listed, names
from transfusion.errors import SpecError, StoreError

if TYPE_CHECKING:
    from transfusion.runs.slurm import Slurm
    from transfusion.runs.work import Worked
    from transfusion.study import Study

INTERRUPTED = 130  # what shells give a command that Ctrl-C stopped
FOLDER = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))


def on_a_cluster(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options of a cluster, and ``cluster`` made of them, a ``Slurm`` or None."""

    @functools.wraps(command)
    def wrapped(*args: Any, cluster: str | None, jobs: int | None, cluster_set: tuple[str, ...], **rest: Any) -> int:
        return command(*args, cluster=_cluster(cluster, jobs, cluster_set), **rest)

    for option in reversed(CLUSTER):  # decorators apply from the inside out, and --help lists them in this order
        wrapped = option(wrapped)
    return wrapped


CLUSTER = (
    click.option("--cluster", type=click.Choice(["slurm"]), help="Start workers on a cluster, and watch them."),
    click.option("--jobs", type=click.IntRange(1), help="With --cluster: workers. [default: 1]"),
    click.option(
        "--cluster-set",
        metavar="KEY=VALUE",
        multiple=True,
        help='With --cluster: an option of sbatch, such as gpus=1, or setup="module load cuda".',
    ),
)


def _cluster(kind: str | None, jobs: int | None, settings: tuple[str, ...]) -> Slurm | None:
    """The cluster that options ask for, or None."""
    if kind is None:
        if jobs is not None or settings:
            # ignoring them would train on this machine what was meant for another
            raise SpecError("--jobs and --cluster-set are options of a cluster; give --cluster slurm too.")
        return None
    from transfusion.runs.slurm import Slurm

    return Slurm.of(jobs or 1, settings)


def plan(studies: Sequence[Study]) -> None:
    """Write the plans of studies into their folders, and print the command of a worker."""
    for each in studies:
        num = len(each.begin())
        click.echo(f"Planned {num} runs. Start workers with: transfusion work {each.store.folder}")


@click.command()
@FOLDER
@click.option("--workers", type=click.IntRange(0), help="Runs side by side; 0 uses this process.")
@click.option("--devices", type=click.IntRange(1), default=1, help="Devices that share each batch of a run.")
@click.option(
    "--accelerator", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", help="What runs compute on."
)
@click.option(
    "--wait/--no-wait",
    default=True,
    show_default=True,
    help="At the end, wait for runs that other workers hold, in case these die.",
)
@click.option("--trackers", metavar="A,B,..", callback=listed(str), help=f"Also send curves to {names(terms.Tracker)}.")
def work(folder: Path, workers: int | None, wait: bool, trackers: tuple[str, ...] | None, **options: Any) -> int:
    """Be one more worker on a study.

    In a second terminal or on another machine: it takes free runs one after another until none is left, and resumes
    those that were interrupted. Any number of workers may share a folder; start and stop them at any time. The study
    is planned by transfusion study, and its page made by transfusion report.
    """
    from transfusion.runs.machine import Machine
    from transfusion.runs.store import Store
    from transfusion.runs.team import Team
    from transfusion.runs.trackers import check
    from transfusion.runs.work import work

    check(trackers or ())
    team = Team(Store(folder), Machine(**options), workers=workers, trackers=trackers or (), patient=wait)
    try:
        return _conclude(folder, work(team))
    except KeyboardInterrupt:
        click.echo("Stopped. Run the same command to resume.", err=True)
        return INTERRUPTED


def _conclude(folder: Path, worked: Worked) -> int:
    """Print what a worker did and what failed; returns the exit code."""
    click.echo(f"Runs trained here: {worked.ran}.", err=True)
    for why in worked.unseen:
        click.echo(f"One comparison of networks failed: {why}", err=True)
    for run_id, message in worked.failed.items():
        click.echo(f"Run {run_id} failed: {message} See {folder / 'runs' / run_id / 'failure.json'}", err=True)
    return 1 if worked.failed or worked.unseen else 0


@click.command()
@click.argument("folders", metavar="[DIR...]", nargs=-1, type=click.Path(path_type=Path))
def ls(folders: tuple[Path, ...]) -> None:
    """List studies and their state.

    DIR is a study or a folder of studies. [default: studies]
    """
    from transfusion.runs.status import StudyStatus, duration, studies

    rows: list[tuple[str, ...]] = [("study", "done", "at work", "failed", "left", "changed")]
    for path in (path for folder in folders or [Path("studies")] for path in studies(folder)):
        status = StudyStatus.of(path)
        counts, left = status.counts, status.left_s
        written = max(each.stat().st_mtime for each in [path, *path.glob("runs/*")])  # of a run, not of the page
        changed = time.strftime("%Y-%m-%d %H:%M", time.localtime(written))
        done = f"{counts['done']} of {len(status.runs) + len(status.damaged)}"
        told = "-" if left is None else duration(left)
        rows.append((str(path), done, str(counts["at work"]), str(counts["failed"]), told, changed))
    if len(rows) == 1:
        where = " or ".join(map(str, folders)) or "studies/"
        raise StoreError(f"There is no study in {where}. Give a study's folder, or one that holds studies.")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@click.command()
@FOLDER
def status(folder: Path) -> None:
    """Show the progress of a study, its workers, and the time left."""
    from transfusion.runs.status import StudyStatus

    click.echo(StudyStatus.of(folder))


@click.command()
@FOLDER
def watch(folder: Path) -> int:
    """Watch a study that others run, until it is finished.

    Ctrl-C stops only the watching.
    """
    from transfusion.runs.status import StudyStatus, follow
    from transfusion.runs.store import Store

    click.echo(StudyStatus.of(folder), err=True)
    try:
        follow(Store(folder), show=True)
    except KeyboardInterrupt:
        click.echo("Stopped watching; the workers continue.", err=True)
        return INTERRUPTED
    click.echo(StudyStatus.of(folder))
    return 0


@click.command()
@click.argument("path", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--to",
    required=True,
    type=click.Choice(["torchvision", "timm", "hf", "onnx"]),
    help="Library to write for; hf is Hugging Face's transformers.",
)
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), help="Folder written. [default: export/ID-FORMAT]"
)
def export(path: Path, to: str, out: Path | None) -> None:
    """Write a trained network for other libraries.

    Class names and the preprocessing of images are written beside its weights.

    RUN is the folder of a run, or of a study: of a study, the run that is best on the validation split is exported.
    """
    from transfusion import export

    trained = export.find(path)
    folder = out or Path("export") / f"{trained.run.id}-{to}"
    lines = export.export(trained, to, folder)
    click.echo(f"Run {trained.run.id}, {trained.run.label} ({trained.why}), in {folder}", err=True)
    click.echo("\n".join(lines))


ALL: tuple[Any, ...] = (work, ls, status, watch, export)
