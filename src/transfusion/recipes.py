"""Named, complete studies. ``transfusion study NAME`` runs one."""

from __future__ import annotations

from dataclasses import dataclass

from transfusion.spec import DonorRunSpec, StudySpec, TaskSpec, TrainSpec


@dataclass(frozen=True)
class Recipe:
    """A study, and what it is to show.

    Attributes:
        shows: one line for people.
        study: everything that it takes.
    """

    shows: str
    study: StudySpec


DEFAULT = Recipe(
    shows="The embedded default: a donor trained on natural-like images, then fundus phantoms; no download.",
    study=StudySpec(
        name="default",
        task=TaskSpec(data="embedded:fundus", image_size=40, num_images=(1500, 0, 300)),
        model="cbr_tiny_small",
        donor=DonorRunSpec(
            task=TaskSpec(data="embedded:natural", image_size=40, num_images=(3000, 0, 100)),
            train=TrainSpec(steps=200, batch_size=64, lr=1e-3, eval_every=100, schedule="cosine"),
        ),
        train=TrainSpec(steps=100, batch_size=32, lr=3e-4),
    ),
)

RECIPES = {"default": DEFAULT}
