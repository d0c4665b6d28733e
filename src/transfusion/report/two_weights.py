"""Two sets of weights, compared as networks on the images of a task."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from transfusion import filters, tasks
from transfusion.errors import DonorError, DonorMismatchError, InputError, SpecError
from transfusion.files import expanded, write_text
from transfusion.networks import donors, models
from transfusion.networks.structure import head, stage_of
from transfusion.progress import track
from transfusion.report.page import render
from transfusion.report.parts import Listing, Page, Section
from transfusion.report.stage_by_stage import said, sections, warnings_of
from transfusion.runs import inputs
from transfusion.runs.comparisons import Probe
from transfusion.runs.machine import Machine
from transfusion.runs.store import find_run, run_around
from transfusion.similarity.networks import across, compare
from transfusion.spec import RepresentationSpec, RunSpec, TaskSpec
from transfusion.tasks import Task

IMAGENET_CLASSES = 1000
STUDIES = Path("studies")  # where run:ID is looked for


@dataclass(frozen=True)
class Request:
    """Two networks to compare, and the images to compare them on.

    Attributes:
        names: the two sets of weights, as given: a donor string, a weight file, or the folder of a run.
        model: of both; see ``models.build``. None takes that of a run.
        task: whose images they are shown. None takes that of a run.
        settings: images, positions and measures.
        stages: which, or None for all.
        num_outputs: of both heads; None takes those of the weights.
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
        about: the network and the images, in words.
        are_same: whether the two sets of weights are the same, tensor by tensor.
        told: what each took of its weights, its input format, and the stages that were left out, in sentences.
    """

    frame: pd.DataFrame
    grid: pd.DataFrame | None
    first_layers: tuple[Tensor, Tensor] | None
    about: str
    are_same: bool = False
    told: tuple[str, ...] = ()

    @property
    def conclusions(self) -> list[str]:
        """What was found, a sentence each."""
        same = "A and B hold the same weights, tensor by tensor, so every similarity is 1 by construction."
        return [same] if self.are_same else said(self.frame)

    @property
    def notes(self) -> list[str]:
        """Warnings, a sentence each."""
        return [*self.told, *(self.conclusions if self.are_same else ()), *warnings_of(self.frame)]


@dataclass(frozen=True)
class Weights:
    """Where one set of weights is.

    Attributes:
        source: a donor string, see ``donors.load``; of a file, with its whole path.
        run: the run that they are of, or None.
    """

    source: str
    run: RunSpec | None

    @classmethod
    def named(cls, name: str) -> Weights:
        """Find what a user names: a donor string, a weight file, or the folder or ``run:ID`` of a run.

        Raises:
            DonorError: it is neither a file nor a run with weights.
            StoreError: no run, or more than one, has the ID.
        """
        kind, _, rest = name.partition(":")
        if kind == "run" and rest:
            return cls._at(find_run(STUDIES, rest))
        path = expanded(rest if kind == "file" else name)
        is_donor = ":" in name and kind != "file" and not path.exists()
        return cls(name, None) if is_donor else cls._at(path)

    @classmethod
    def _at(cls, path: Path) -> Weights:
        files = run_around(path)
        if path.is_dir():
            if files is None:
                raise DonorError(f"{path} is a folder, but not that of a run. Give a weight file, or DIR/runs/ID.")
            if not files.after_path.exists():
                raise DonorError(f"{files.no_weights} Give another run, or a weight file in its folder.")
            path = files.after_path
        if not path.is_file():
            raise DonorError(
                f"There is no weight file or folder of a run at {path}. Give the path of one, run:ID, torchvision:NAME "
                "or timm:NAME."
            )
        return cls(f"file:{path.resolve()}", files.spec() if files else None)


def compared(request: Request, show_progress: bool = False) -> Found:
    """Load both sets of weights, show them the same images, and compare their representations.

    Raises:
        SpecError: no model or no data is given, and none can be read from a run; or A and B are one file.
        DonorError: weights that cannot be found, read or fitted.
        StoreError: for a run that is not there.
        TaskError: images that cannot be used.
        InputError: outputs that cannot be compared.
        UnknownNameError: for a model, stage or measure that does not exist.
    """
    weights = [Weights.named(name) for name in request.names]
    if weights[0].source == weights[1].source:  # every similarity would be 1, and a typing error look like a finding
        raise SpecError(f"A and B are the same weights, {weights[0].source}. Give two sets, such as those of two runs.")
    runs = [one.run for one in weights if one.run is not None]
    model = request.model or next((run.model for run in runs), None)
    spec = request.task or next((run.task for run in runs), None)
    if model is None or spec is None:
        raise SpecError("Both --model and --data are needed, unless A or B is a run's. Give them.")
    found = [donors.load(one.source, model) for one in weights]
    trained = [inputs.of_donor(donor, model, partial(find_run, STUDIES)) for donor in found]
    task = tasks.load(inputs.chosen(spec, trained[0].format or trained[1].format), progress=show_progress)
    networks, told = {}, []
    for side, name, donor, seen in zip("AB", request.names, found, trained, strict=True):
        try:
            networks[side], notes = _network(request, model, task, donor.state)
            inputs.let_see(networks[side], task, seen.format)
            told += [f"{side}: {note}" for note in (*donor.notes, *seen.notes, *notes)]
        except DonorMismatchError as error:
            raise DonorMismatchError(f"{side} = {name} as {model}: {error}") from None
    looked = _look(request, networks, task, show_progress)
    about, are_same = f"{model} on {looked.about}", found[0].fingerprint == found[1].fingerprint
    return replace(looked, about=about, are_same=are_same, told=(*told, *looked.told))


def write(request: Request, found: Found, folder: Path) -> Path:
    """Write ``comparison.csv``, ``across.csv`` and the page; returns the page's path."""
    notes = [Section("notes", "Notes", (Listing(found.told),))] if found.told else []
    page = Page(
        " and ".join(f"{side} = {name}" for side, name in zip("AB", request.names, strict=True)),
        f"Two sets of weights of {found.about}.",
        found.conclusions,
        [*sections(found.frame, found.grid, found.first_layers), *notes],
    )
    write_text(folder / "comparison.csv", found.frame.to_csv(index=False))
    if found.grid is not None:
        write_text(folder / "across.csv", found.grid.to_csv(index=False))
    path = folder / "comparison.html"
    write_text(path, render(page, folder))
    return path


def _look(request: Request, networks: dict[str, nn.Module], task: Task, show_progress: bool) -> Found:
    # unseen images say more
    split = next((name for name in ("test", "val", "train") if len(task.splits[name])), "test")
    probe = Probe(task, split, request.settings, Machine())
    layers = first_layers(networks["A"], networks["B"])
    total = len(probe.data)
    batches = track(((len(batch), batch) for batch in probe), "Comparing stages", total, show_progress)
    settings = request.settings
    grid = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        frame = compare(networks, batches, request.stages, settings.measures, settings.positions)
        left_out = tuple(dict.fromkeys(str(one.message) for one in caught if issubclass(one.category, UserWarning)))
        if request.stages is None:  # the same stages are odd
            again = track(((len(batch), batch) for batch in probe), "Comparing all with all", total, show_progress)
            grid = across(networks["A"], networks["B"], again)
    about = f"{total} {split} images of {task.name} at {task.image_size} px"
    return Found(frame, grid, layers, about, told=left_out)


def _network(request: Request, name: str, task: Task, state: Mapping[str, Tensor]) -> tuple[nn.Module, tuple[str, ...]]:
    """A network filled with one set of weights, and notes on how they fit."""
    num_outputs = request.num_outputs or _num_outputs(name, task, state)
    model = models.build(name, num_outputs, task.channels, task.image_size)
    taken = donors.fit(state, model)
    stages = stage_of(model)
    absent = [key for key in model.state_dict() if key not in taken.state]
    # a stage that is compared must come from the weights as a whole: what they lack is drawn at random
    if any(request.stages is None or stages[key] in request.stages for key in absent):
        raise DonorMismatchError(
            f"The weights have nothing that fits {', '.join(absent)} of {name} with {num_outputs} outputs. Name the "
            "other stages by --stages, or the outputs by --num-outputs."
        )
    model.load_state_dict(taken.state, strict=False)
    return model.to(Machine().device_type()).to(memory_format=torch.channels_last), taken.notes


def _num_outputs(name: str, task: Task, state: Mapping[str, Tensor]) -> int:
    """The width of the head that the weights come with."""
    model = models.build(name, 2, task.channels, task.image_size)  # 2: a width that marks the tensors of the head
    within = tuple(f"{part}." for part in head(model))
    own, state = model.state_dict(), donors.fit(state, model).whole
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
    except InputError:  # of another shape, or too small to be drawn
        return None
    return first, second
