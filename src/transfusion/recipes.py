"""Named, complete studies. ``transfusion study NAME`` runs one."""

from __future__ import annotations

from dataclasses import dataclass

from transfusion.spec import DonorRunSpec, StudySpec, TaskSpec, TrainSpec


@dataclass(frozen=True)
class Recipe:
    """A study, and what it shows.

    Attributes:
        shows: one line of description.
        study: everything that it takes.
    """

    shows: str
    study: StudySpec


PICTURES = TaskSpec(data="embedded:natural", image_size=32, num_images=(1000, 0, 400), split_seed=1)
DONOR = DonorRunSpec(
    task=PICTURES.with_values(num_images=(3000, 0, 100), split_seed=0),
    train=TrainSpec(steps=500, batch_size=64, lr=1e-3, eval_every=250, schedule="cosine"),
)


def _embedded(name: str, task: TaskSpec) -> StudySpec:
    """A study that differs from the other in its pictures alone."""
    # every other step: what evaluations leave open of a crossing would be most of the uncertainty
    train = TrainSpec(steps=100, lr=4e-4, schedule="cosine", eval_every=2)
    return StudySpec(
        name=name, task=task, model="cbr_tiny_small", donor=DONOR, train=train, seeds=tuple(range(5)), margin=0.03
    )


# together the embedded default: pictures made on the spot, one donor for both
RECIPES = {
    "near": Recipe(
        shows="a donor trained on natural-like pictures, then a few new ones of their kind: transfer helps",
        study=_embedded("near", PICTURES),
    ),
    "far": Recipe(
        shows="the same donor, then drawings of retinas: transfer helps little",
        study=_embedded("far", PICTURES.with_values(data="embedded:fundus")),
    ),
}
