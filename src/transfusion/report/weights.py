"""Two sets of weights as networks, and what sets them apart on a task's images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from transfusion import donors, filters, models, tasks
from transfusion.capture import across, compare
from transfusion.errors import DonorMismatchError, InputError, SpecError
from transfusion.machine import Machine
from transfusion.report.comparison import said, sections
from transfusion.report.page import render
from transfusion.representations import Probe
from transfusion.spec import RepresentationSpec, RunSpec, TaskSpec
from transfusion.store import RunFiles, Store, write_text
from transfusion.structure import head, stage_of
from transfusion.tasks import Task
from transfusion.tasks.progress import track

IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Request:
    """Which networks are to be compared on what.

    Attributes:
        names: the two sets of weights, as given: a donor string, a weight file, or the folder of a run.
        model: of both; see ``models.build``. None takes that of a run.
        task: whose images they look at. None takes that of a run.
        settings: images, positions and measures.
        stages: which, or None for all.
        num_outputs: of both heads; None takes what the weights say.
    """

    names: tuple[str, str]
    model: str | None
    task: TaskSpec | None
    settings: RepresentationSpec
    stages: tuple[str, ...] | None = None
    num_outputs: int | None = None


@dataclass(frozen=True, eq=False)
class Found:
    """What the comparison found.

    Attributes:
        frame: stage by stage, as ``compare`` gives it; networks ``A`` and ``B``.
        grid: every stage of A against every stage of B, as ``across`` gives it; None for chosen stages.
        first_layers: the first convolutions' weights, where both have one of the same shape.
        about: the images, in words.
    """

    frame: pd.DataFrame
    grid: pd.DataFrame | None
    first_layers: tuple[Tensor, Tensor] | None
    about: str


def run_of(name: str) -> RunSpec | None:
    """The spec of the run whose folder, or weight file, is named; None where it is nothing of a run."""
    path = Path(name.removeprefix("file:")).expanduser()
    files = RunFiles(path if path.is_dir() else path.parent)
    return files.spec() if files.spec_path.exists() else None


def compared(request: Request, show_progress: bool = False) -> Found:
    """Load both sets of weights, show them the same images, and compare what they make of them.

    Raises:
        SpecError: no model or no data is given, and none can be read from a run.
        DonorError: weights that cannot be found, read or fitted.
        TaskError: images that cannot be used.
        InputError: outputs that cannot be compared.
        UnknownNameError: for a model, stage or measure that does not exist.
    """
    runs = [run for run in map(run_of, request.names) if run is not None]
    model = request.model or next((run.model for run in runs), None)
    spec = request.task or next((run.task for run in runs), None)
    if model is None or spec is None:
        raise SpecError("Both --model and --data are needed, unless A or B is the folder of a run. Give them.")
    task = tasks.load(spec, progress=show_progress)
    states = [_weights(name, model) for name in request.names]
    networks = {side: _network(request, model, task, state) for side, state in zip("AB", states, strict=True)}
    return _look(request, networks, task, show_progress)


def write(request: Request, found: Found, folder: Path) -> Path:
    """Write ``comparison.csv``, ``across.csv`` and the page; returns the page's path."""
    text = render(
        " and ".join(f"{side} = {name}" for side, name in zip("AB", request.names, strict=True)),
        f"What two sets of weights make of {found.about}.",
        said(found.frame),
        sections(found.frame, found.grid, found.first_layers),
        folder=folder,
    )
    write_text(folder / "comparison.csv", found.frame.to_csv(index=False))
    if found.grid is not None:
        write_text(folder / "across.csv", found.grid.to_csv(index=False))
    page = folder / "comparison.html"
    write_text(page, text)
    return page


def _look(request: Request, networks: dict[str, nn.Module], task: Task, show_progress: bool) -> Found:
    split = next((name for name in ("test", "val", "train") if len(task.splits[name])), "test")
    probe = Probe(task, split, request.settings, Machine())
    layers = first_layers(networks["A"], networks["B"])
    total = len(probe.data)
    batches = track(((len(batch), batch) for batch in probe), "Comparing stages", total, show_progress)
    settings = request.settings
    frame = compare(networks, batches, request.stages, settings.measures, settings.positions)
    grid = None
    if request.stages is None:
        again = track(((len(batch), batch) for batch in probe), "Comparing all with all", total, show_progress)
        grid = across(networks["A"], networks["B"], again)
    return Found(frame, grid, layers, f"{total} {split} images of {task.name} at {task.image_size} px")


def _weights(name: str, model: str) -> dict[str, Tensor]:
    path = Path(name).expanduser()
    if path.is_dir():
        return donors.load(f"file:{RunFiles(path).after_path}").state
    source = f"file:{path}" if ":" not in name or path.is_file() else name
    # runs lie in any folder beside that of a study
    return donors.load(source, model, Store(Path("studies") / "study").find_run).state


def _network(request: Request, name: str, task: Task, state: Mapping[str, Tensor]) -> nn.Module:
    num_outputs = request.num_outputs or _num_outputs(name, task, state)
    model = models.build(name, num_outputs, task.channels, task.image_size)
    fitted = donors.adapt(state, model)
    stages = stage_of(model)
    absent = [key for key in model.state_dict() if key not in fitted]
    if any(request.stages is None or stages[key] in request.stages for key in absent):
        raise DonorMismatchError(
            f"The weights have nothing that fits {', '.join(absent)} of {name} with {num_outputs} outputs. Name the "
            "other stages by --stages, or the outputs by --num-outputs."
        )
    model.load_state_dict(fitted, strict=False)
    return model.to(Machine().device_type()).to(memory_format=torch.channels_last)


def _num_outputs(name: str, task: Task, state: Mapping[str, Tensor]) -> int:
    """The width of the head that the weights come with."""
    model = models.build(name, 2, task.channels, task.image_size)
    within = tuple(f"{part}." for part in head(model))
    own = model.state_dict()
    ends = [key for key in own if key.startswith(within) and own[key].shape[:1] == (2,)]
    return next((len(state[key]) for key in reversed(ends) if key in state and state[key].ndim), IMAGENET_CLASSES)


def first_layers(a: nn.Module, b: nn.Module) -> tuple[Tensor, Tensor] | None:
    """The weights of both first convolutions, if they can be set side by side."""
    found = [next((m.weight for m in net.modules() if isinstance(m, nn.Conv2d)), None) for net in (a, b)]
    first, second = (None if weight is None else weight.detach().float().cpu() for weight in found)
    if first is None or second is None:
        return None
    try:
        filters.pictures(first, second)
    except InputError:  # of another shape, or too small to be looked at
        return None
    return first, second
