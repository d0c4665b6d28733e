"""From a study's spec to its runs: look at the task, the model and the donor once, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfusion import donors, models, schemes, tasks
from transfusion.errors import SpecError
from transfusion.spec import DonorRunSpec, RunSpec, StudySpec
from transfusion.store import Store, write_tensors
from transfusion.tasks import Task


@dataclass(frozen=True)
class Plan:
    """What a study amounts to.

    Attributes:
        grid: its runs, seeds outermost, so that an unfinished study compares like with like.
        donor_run: the run that must come first, where the study trains its own donor.
        card: the task's data card.
    """

    grid: list[RunSpec]
    donor_run: RunSpec | None = None
    card: dict[str, Any] = field(default_factory=dict)


def make_plan(spec: StudySpec, store: Store, cache: Path | None = None) -> Plan:
    """Read the data and the donor, refuse what cannot work, and lay out the grid.

    Raises:
        TransfusionError: for anything wrong with task, model, donor or schemes.
    """
    task = tasks.load(spec.task, cache=cache, progress=True)
    spec = spec.with_values(task=spec.task.with_values(fingerprint=task.fingerprint))
    _check_starts(spec, task)
    if isinstance(spec.donor, DonorRunSpec):
        donor_run = _donor_run(spec, spec.donor, cache)
        return Plan(list(_grid(spec, task, f"run:{donor_run.id}", None)), donor_run, task.card)
    fingerprint = keep_donor(spec, task, store) if spec.donor else None
    return Plan(list(_grid(spec, task, spec.donor, fingerprint)), None, task.card)


def _check_starts(spec: StudySpec, task: Task) -> None:
    """Refuse schemes, stages and a missing donor here rather than in the ninth run."""
    model = models.build(spec.model, task.num_outputs, task.channels, task.image_size)
    for start in spec.starts():
        schemes.check(model, start.name, upto=start.upto, rest=start.rest)
        if spec.donor is None and schemes.needs_donor(start.name, start.batch_norm, start.rest):
            raise SpecError(
                f"Scheme '{start.name}' needs a donor and none is given. "
                "Give --donor torchvision:NAME, timm:NAME, file:PATH or run:ID."
            )


def _donor_run(spec: StudySpec, donor: DonorRunSpec, cache: Path | None) -> RunSpec:
    task = tasks.load(donor.task, cache=cache, progress=True)
    return RunSpec(
        task=donor.task.with_values(fingerprint=task.fingerprint),
        model=spec.model,
        scheme=donor.scheme,
        seed=donor.seed,
        train=donor.train,
    )


def keep_donor(spec: StudySpec, task: Task, store: Store) -> str:
    """Read the donor, see that it fits the model, and keep a copy in the study's folder; its fingerprint."""
    assert isinstance(spec.donor, str)
    donor = donors.load(spec.donor, spec.model, runs=store.find_run)
    donors.adapt(donor.state, models.build(spec.model, task.num_outputs, task.channels, task.image_size))
    kept = store.donor_path(donor.fingerprint)
    if not kept.exists():
        write_tensors(kept, donor.state)
    return donor.fingerprint


def _grid(spec: StudySpec, task: Task, donor: str | None, fingerprint: str | None) -> Iterator[RunSpec]:
    num_images = len(task.splits["train"].labels)
    for seed in spec.seeds:
        for size in spec.sizes:
            for start in spec.starts():
                taught = schemes.needs_donor(start.name, start.batch_norm, start.rest)
                yield RunSpec(
                    task=spec.task,
                    model=spec.model,
                    donor=donor if taught else None,
                    donor_fingerprint=fingerprint if taught else None,
                    scheme=start,
                    size=_count(size, num_images),
                    seed=seed,
                    train=spec.train,
                )


def _count(size: int | float | None, num_images: int) -> int | None:
    """A size as a number of training images; all of them is None, however it was written."""
    if size is None:
        return None
    count = max(1, round(size * num_images)) if isinstance(size, float) else size
    if count > num_images:
        raise SpecError(f"A size of {size} was asked for, but the training split has {num_images} images.")
    return None if count == num_images else count
