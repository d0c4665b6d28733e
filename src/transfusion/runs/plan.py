"""From a study's spec to its runs: look at the task, the model and the donor once, before anything is trained."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from transfusion import schemes, tasks
from transfusion.errors import AbsentDonorError, SpecError, StoreError, UnknownNameError
from transfusion.files import reason
from transfusion.metrics import METRICS, judging
from transfusion.networks import donors, models
from transfusion.networks.donors import Donor
from transfusion.runs import comparisons as representations
from transfusion.runs import inputs
from transfusion.runs.store import Store, read_tensors
from transfusion.spec import DonorRunSpec, RunSpec, SchemeSpec, StudySpec, TrainSpec
from transfusion.tasks import Task


@dataclass(frozen=True)
class Plan:
    """What a study amounts to.

    Attributes:
        grid: its runs, seeds outermost, so that an unfinished study compares like with like.
        donor_run: the run that must come first, where the study trains its own donor.
        card: the task's data card.
        notes: what the user should know before anything runs, in sentences.
        donor: name and weights of the donor as the study's model takes it, where there is one already.
    """

    grid: list[RunSpec]
    donor_run: RunSpec | None = None
    card: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    donor: tuple[str, dict[str, Tensor]] | None = field(default=None, repr=False)


def make_plan(spec: StudySpec, store: Store, cache: Path | None = None) -> Plan:
    """Read the data and the donor, refuse what cannot work, and lay out the grid; writes nothing but the cache.

    Raises:
        TransfusionError: for anything wrong with task, model, donor or schemes.
    """
    _check_without_data(spec)
    donor, before = _donor(spec, store)
    donor_run, trained = None, inputs.Trained()
    if isinstance(spec.donor, DonorRunSpec):
        donor_run = _donor_run(spec, spec.donor, cache)
        trained = inputs.Trained(inputs.of_task_spec(donor_run.task, "the study's own donor"))
    elif donor is not None and before is None:
        trained = inputs.of_donor(donor, spec.model, store.find_run)
    asked = spec.task
    chosen = inputs.as_before(asked, before.task) if before else inputs.chosen(asked, trained.format)
    spec = spec.with_values(task=chosen)
    task = tasks.load(spec.task, cache=cache, progress=True)
    spec = spec.with_values(task=inputs.settled(spec.task, task))
    _check_judging(spec, task)
    model = _checked_model(spec.model, task, spec.train)
    if spec.representations:
        representations.check(spec.representations, model)
    from_donor = _starts_with_donor(spec, model)
    notes = (*(donor.notes if donor else ()), *trained.notes, *inputs.on_grey(asked, task))
    origin, kept = dict[str, Any](donor=spec.donor), None
    if donor_run is not None:
        side = spec.train.side(task.image_size)
        pupil = models.build(spec.model, task.num_outputs, donor_run.task.channels or 3, side)
        donors.adapt(pupil.state_dict(), model)  # refuses a donor of grey images for coloured ones
        origin = {"donor": f"run:{donor_run.id}"}
    elif donor is not None and from_donor:
        taken = donors.fit(donor.state, model)
        kept = donors.fingerprint(taken.state), taken.state
        origin = {"donor": donor.source, "donor_fingerprint": kept[0]}
        notes = (*notes, *taken.notes, *on_scale(taken.state, model))
    num_images = len(task.splits["train"].labels)
    # a start without a donor keeps its id, and its finished run, whatever the donor of the study
    grid = [run.with_values(**origin) if run.scheme in from_donor else run for run in grid_of(spec, num_images)]
    card = {**task.card, "notes": list(notes)}
    # by id: two sizes that come to the same number of images are one run
    return Plan(list({run.id: run for run in grid}.values()), donor_run, card, notes, kept)


def _donor(spec: StudySpec, store: Store) -> tuple[Donor | None, RunSpec | None]:
    """The donor's weights; of one that is gone or out of reach those that the study kept, and a run that had them."""
    if not isinstance(spec.donor, str):
        return None, None
    try:
        return donors.load(spec.donor, spec.model, runs=store.find_run), None
    except AbsentDonorError:
        kept = _kept(spec, store)
        if kept is None:
            raise
    run, state = kept
    note = f"The donor {spec.donor} is not available: its weights are those that this study kept."
    return Donor(str(run.donor), state, str(run.donor_fingerprint), notes=(note,)), run


def _kept(spec: StudySpec, store: Store) -> tuple[RunSpec, dict[str, Tensor]] | None:
    """What a study of the same donor and model kept of it, if that is whole."""
    if not store.exists or (store.spec().donor, store.spec().model) != (spec.donor, spec.model):
        return None
    runs = [files.spec() for files in store.grid() if files.spec_path.exists()]
    run = next((run for run in runs if run.donor_fingerprint), None)
    path = store.donor_path(str(run.donor_fingerprint)) if run else None
    if run is None or path is None or not path.exists():
        return None
    with contextlib.suppress(StoreError):  # damaged: then the donor is missed
        state = read_tensors(path)
        return (run, state) if donors.fingerprint(state) == run.donor_fingerprint else None
    return None


def _check_judging(spec: StudySpec, task: Task) -> None:
    """Refuse a metric, a baseline or a pair that the study will not have, before anything is trained."""
    metric = judging(spec.metric, task.classes)
    if task.kind == "binary" and metric.column not in METRICS:
        raise SpecError(f"{task.name} has two classes and one AUC; judge it by metric=auc (got '{spec.metric}').")
    known = [start.label for start in starts(spec)]
    named = [name for pair in spec.pairs or () for name in pair]
    named += [spec.baseline] if spec.baseline != StudySpec().baseline else []
    for name in named:
        if name not in known:
            raise UnknownNameError.of("start", name, known)


def _checked_model(name: str, task: Task, train: TrainSpec) -> nn.Module:
    """Build the network and see that it takes the task's images, and that there are some to evaluate on."""
    if not len(task.splits[train.eval_split]):
        cut = " Give such a split, or cut one (--set task.val_fraction=0.1)." if train.eval_split == "val" else ""
        raise SpecError(f"The {train.eval_split} split of {task.name} is empty: there is nothing to evaluate on.{cut}")
    if train.schedule == "plateau" and (train.eval_split == "val" or not len(task.splits["val"])):
        raise SpecError(
            f"train.schedule=plateau follows the loss on a validation split beside the test split, and {task.name} has "
            "none. Cut one (--set task.val_fraction=0.1), or give another schedule."
        )
    labels = np.asarray(task.splits[train.eval_split].labels)
    # NaN is unlabelled
    if not any(len(np.unique(column[~np.isnan(column)])) > 1 for column in np.atleast_2d(labels.T)):
        raise SpecError(
            f"All images of the {train.eval_split} split of {task.name} have one label, so no AUC can be computed. "
            "Give a split with images of every class."
        )
    _check_batch(train.batch_size, task)
    side = _checked_side(train, task)
    model = models.build(name, task.num_outputs, task.channels, side)
    try:
        with torch.inference_mode():
            # eval(): a batch norm would refuse maps of one pixel, and its statistics must not see zeros
            outputs = model.eval()(torch.zeros(2, task.channels, side, side))
    except RuntimeError as error:
        why = str(error).splitlines()[0]
        raise SpecError(f"{name} cannot take images of {side} px ({why}) Choose a larger --image-size.") from None
    assert outputs.shape == (2, task.num_outputs)
    if train.batch_size == 1:
        _check_single(name, model, torch.zeros(1, task.channels, side, side))
    return model


def _checked_side(train: TrainSpec, task: Task) -> int:
    """Side of what the network sees of the task's images."""
    if train.ten_crop and train.ten_crop > task.image_size:
        raise SpecError(
            f"train.ten_crop={train.ten_crop} takes crops of {train.ten_crop} px, and the images of {task.name} have "
            f"{task.image_size} px. Choose a larger --image-size, or smaller crops."
        )
    return train.side(task.image_size)


def _check_single(name: str, model: nn.Module, image: Tensor) -> None:
    """See that the network can be trained on one image at a time."""
    try:
        with torch.no_grad():
            model.train()(image)
    except ValueError as error:
        raise SpecError(
            f"{name} has a norm over the batch, and one image is none ({reason(error)}). Choose a larger --batch-size."
        ) from None


def _check_batch(batch_size: int, task: Task) -> None:
    """Refuse a batch that this machine's memory cannot hold, activations aside."""
    needed = 4 * batch_size * task.channels * task.image_size**2  # bytes of float32
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else needed
    if needed > memory:
        raise SpecError(
            f"A batch of {batch_size} images of {task.image_size} px takes {_gigabytes(needed)} GB, and this machine "
            f"has {_gigabytes(memory)} GB. Choose a smaller --batch-size."
        )


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.3g}" if num_bytes < 1 << 100 else "more than any machine's"  # floats end at 1e308


def _starts_with_donor(spec: StudySpec, model: nn.Module) -> set[SchemeSpec]:
    """The starts that read a donor; unknown names and a missing donor are reported before anything is trained."""
    from_donor = {s for s in starts(spec) if schemes.reads_donor(model, s.name, s.batch_norm, s.upto, s.rest, s.head)}
    _check_donor(spec, from_donor)
    return from_donor


def _check_without_data(spec: StudySpec) -> None:
    """Refuse what the settings alone show to be wrong: to read all images first may take an hour."""
    models.check(spec.model)
    # a whole network starts from a donor whatever the network; partial starts are checked once there is one
    _check_donor(spec, {s for s in starts(spec) if not s.upto and schemes.reads_donor(nn.Linear(1, 1), s.name)})


def _check_donor(spec: StudySpec, from_donor: set[SchemeSpec]) -> None:
    if from_donor and spec.donor is None:
        names = ", ".join(sorted({start.name for start in from_donor}))
        raise SpecError(
            f"These schemes need a donor and none is given: {names}. "
            "Give --donor torchvision:NAME, timm:NAME, file:PATH or run:ID."
        )


def _donor_run(spec: StudySpec, donor: DonorRunSpec, cache: Path | None) -> RunSpec:
    task = tasks.load(donor.task, cache=cache, progress=True)
    _checked_model(spec.model, task, donor.train)
    return RunSpec(
        task=inputs.settled(donor.task, task),
        model=spec.model,
        scheme=donor.scheme,
        seed=donor.seed,
        train=donor.train.of_size(len(task.splits["train"].labels)),
    )


def on_scale(donor: dict[str, Tensor], model: nn.Module) -> Iterator[str]:
    """A sentence where the donor's weights are in odd units, and what that does to the schemes that keep them.

    Args:
        donor: tensors under the model's names.
        model: that takes them; its head and its weights are not looked at.
    """
    far = schemes.far_from_he(schemes.scales(model, donor))
    if far:
        told = ", ".join(
            f"{part} ({scale:.3g} times)" if scale > 1 else f"{part} (1/{1 / scale:.3g})" for part, scale in far.items()
        )
        yield (
            f"The donor's weights are more than {schemes.FAR:g} times above or below He's scale in {told}. mean_var, "
            "sampling and shuffled keep that scale, and a network can have it without having learned anything (ReLU "
            "networks compute the same in any units), so their speed-up may say little of scaling in ordinary units: "
            "put kaiming beside random."
        )


def grid_of(spec: StudySpec, num_images: int) -> Iterator[RunSpec]:
    """The runs of a study on so many training images, as far as they are known before data and donor are read."""
    # seeds outermost: a study that is stopped early has every start as often as any other
    for seed in spec.seeds:
        for size in spec.sizes:
            for start in starts(spec):
                count = _count(size, num_images)
                yield RunSpec(
                    task=spec.task,
                    model=spec.model,
                    scheme=start,
                    size=count,
                    seed=seed,
                    train=spec.train.of_size(count or num_images),
                )


def starts(spec: StudySpec) -> list[SchemeSpec]:
    """The distinct starts of a study, in the order given.

    Raises:
        UnknownNameError: no such scheme.

    Examples:
        >>> [start.label for start in starts(StudySpec(schemes=("pretrained", "random"), upto=(None, "layer1")))]
        ['pretrained', 'pretrained upto layer1', 'random']
    """
    asked = ([scheme] if isinstance(scheme, SchemeSpec) else _starts_of(spec, scheme) for scheme in spec.schemes)
    return list(dict.fromkeys(chain.from_iterable(asked)))


def _starts_of(spec: StudySpec, name: str) -> Iterator[SchemeSpec]:
    if name not in schemes.SCHEMES:
        raise UnknownNameError.of("scheme", name, schemes.SCHEMES)
    scheme, start = schemes.SCHEMES[name], SchemeSpec(name=name, head=spec.head)
    if not scheme.needs_donor:
        yield start
    elif not scheme.owns_batch_norm:
        yield from (start.with_values(batch_norm=mode) for mode in spec.batch_norms)
    else:
        for upto in spec.upto:
            for rest in spec.rest if upto else ("random",):
                # copied stages bring their own batch norm; those above have the paper's
                yield start.with_values(batch_norm="identity" if upto else "pretrained", upto=upto, rest=rest)


def _count(size: int | float | None, num_images: int) -> int | None:
    """A size as a number of training images; all of them is None, however it was written."""
    if size is None:
        return None
    count = max(1, round(size * num_images)) if isinstance(size, float) else size  # 1.0 is all images, 1 is one image
    if count > num_images:
        raise SpecError(f"A size of {size} was asked for, but the training split has {num_images} images.")
    return None if count == num_images else count  # else "all" and its number would be two runs
