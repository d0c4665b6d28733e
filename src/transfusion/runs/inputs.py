"""How a study's images are brought to its networks: as the donor was trained, the same for every start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from transfusion.files import expanded
from transfusion.networks import models
from transfusion.networks.donors import Donor, file_of, stem_channels
from transfusion.networks.donors.formats import InputFormat, of_model
from transfusion.runs.store import run_around
from transfusion.spec import Normalization, TaskSpec
from transfusion.tasks import Task
from transfusion.tasks.pictures import GREY_MODES


@dataclass(frozen=True)
class Trained:
    """How the images were brought to a donor when it was trained.

    Attributes:
        format: as far as it is known.
        notes: what a reader should know about that, in sentences.
    """

    format: InputFormat | None = None
    notes: tuple[str, ...] = ()


def of_donor(donor: Donor, model_name: str, find_run: Callable[[str], Path]) -> Trained:
    """What a donor was trained on: what it says itself, the task of the run that it is, else what its model usually is.

    Args:
        donor: its weights, and the format that came with them.
        model_name: of the study, as in ``models.build``.
        find_run: from a run's id to its weights.
    """
    kind, _, name = donor.source.partition(":")
    if donor.format is not None:
        return Trained(donor.format)
    run = run_around(find_run(name) if kind == "run" else file_of(name)[0])
    if run is not None and (found := of_task_spec(run.spec().task, f"run:{run.id}")):
        return Trained(found)
    channels = stem_channels(donor.state, models.build(model_name, 2))
    usual = of_model(model_name)
    if usual is None:
        note = f"{donor.source} does not say how its images were normalised: they are by the task's own mean and std."
        return Trained(None, (f"{note} {_SETTABLE}",))
    note = f"{donor.source} does not say how its images were normalised: taken is what {usual.source} was trained with."
    return Trained(replace(usual, channels=channels), (f"{note} {_SETTABLE}",))


_SETTABLE = "Where that is wrong, set task.normalize (and task.interpolation)."


def of_task_spec(spec: TaskSpec, source: str) -> InputFormat | None:
    """The format of a task as ``settled``; None where that is still open."""
    if not isinstance(spec.normalize, Normalization):
        return None
    mean, std = spec.normalize.mean, spec.normalize.std
    return InputFormat(mean, std, spec.interpolation or "bilinear", source, spec.channels, spec.image_size)


def chosen(spec: TaskSpec, trained: InputFormat | None) -> TaskSpec:
    """A task's settings with the donor's format where they leave it to the donor.

    Grey images get three channels where the donor has three, so that it sees exactly what it saw in training.
    """
    if trained is None:
        return spec
    values: dict[str, object] = {"interpolation": spec.interpolation or trained.interpolation}
    if spec.normalize == "donor":
        values["normalize"] = Normalization(mean=trained.mean, std=trained.std, source=trained.source)
    if spec.channels is None and trained.channels == 3:
        values["channels"] = 3
    return spec.with_values(**values)


def as_before(spec: TaskSpec, run: TaskSpec) -> TaskSpec:
    """A task's settings with those of a run, where they leave it to a donor that is not there any more."""
    return spec.with_values(
        normalize=run.normalize if spec.normalize == "donor" else spec.normalize,
        interpolation=spec.interpolation or run.interpolation,
        channels=spec.channels or run.channels,
    )


def on_grey(asked: TaskSpec, task: Task) -> tuple[str, ...]:
    """What is done to grey images for a donor of three channels, where the settings leave that open."""
    if asked.channels is not None or task.channels == 1 or not GREY_MODES.issuperset(task.card["modes"]):
        return ()
    return (
        "The images are grey and the donor has three channels: it is shown three equal ones, as in training. "
        "--channels 1 is quicker, and sums its first kernels over the colours.",
    )


def settled(spec: TaskSpec, task: Task) -> TaskSpec:
    """The settings of a task that was loaded, with nothing about its content or input left open."""
    source = task.card["normalization"]["from"]
    normalization = Normalization(mean=task.mean, std=task.std, source=source)
    values = {"normalize": normalization, "channels": task.channels, "image_size": task.image_size}
    return located(spec).with_values(fingerprint=task.fingerprint, **values)


def located(spec: TaskSpec) -> TaskSpec:
    """The same with absolute paths: a worker's process may have another working folder.

    Examples:
        >>> located(TaskSpec(data="embedded:fundus")).data
        'embedded:fundus'
        >>> Path(located(TaskSpec(data="retina")).data).is_absolute()
        True
    """
    if spec.layout == "embedded" or spec.data.startswith("embedded:"):
        return spec
    return spec.with_values(data=_absolute(spec.data), labels=spec.labels and _tables(spec.labels))


def _tables(labels: str) -> str:
    """One path, or several joined by commas."""
    whole = _absolute(labels)
    return whole if Path(whole).is_file() else ",".join(_absolute(part.strip()) for part in labels.split(","))


def _absolute(path: str) -> str:
    return str(expanded(path).absolute())


def let_see(model: nn.Module, task: Task, trained: InputFormat | None) -> None:
    """Let a network see a task's normalised images as it saw them in training, where that is otherwise."""
    if trained is None:
        return
    own = Normalization(mean=trained.mean, std=trained.std).for_channels(task.channels)
    if (own.mean, own.std) == (task.mean, task.std):
        return
    scale, shift = (
        torch.tensor(values).view(1, -1, 1, 1)
        for values in (
            [std / other for std, other in zip(task.std, own.std, strict=True)],
            [(mean - m) / s for mean, m, s in zip(task.mean, own.mean, own.std, strict=True)],
        )
    )
    model.register_forward_pre_hook(lambda _, images: (images[0] * scale.to(images[0]) + shift.to(images[0]),))
