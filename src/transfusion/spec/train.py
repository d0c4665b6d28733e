"""How a network is trained, as settings."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from transfusion.spec.validated import Spec

NUM_EVEN = 20  # evaluations of a run, were all as far apart as the later ones
EARLY_RATIO = 1.25  # of the steps of two early evaluations
EARLIEST = 200  # part of a run that passes before the first


class TrainSpec(Spec):
    """How a network is trained.

    Attributes:
        optimizer: ``adam``, ``adamw`` or ``sgd``.
        lr: peak learning rate.
        momentum: of ``sgd``.
        weight_decay: as the optimiser's library has it.
        schedule: ``constant``; ``step`` (times ``gamma`` at each of ``milestones``); ``cosine`` (to 0 at the end);
            ``plateau`` (times ``gamma`` whenever the loss on the validation split has not fallen for ``patience``
            evaluations; needs one).
        milestones: fractions of the run, in (0, 1); with ``epochs`` also epochs, from 1 on.
        gamma: what ``step`` and ``plateau`` multiply the learning rate by.
        patience: evaluations that ``plateau`` waits for.
        warmup_steps: linear rise from 0 at the start.
        steps: optimiser steps.
        epochs: passes over the run's own training images, in place of ``steps``: runs of several data sizes then get
            as many passes each.
        batch_size: examples per step, over all devices.
        eval_every: steps between evaluations; the first is at step 0, the last at ``steps``. None is dense at first and
            even later, see ``evaluations``.
        eval_epochs: passes between evaluations, in place of ``eval_every``; needs ``epochs``.
        eval_split: the split that the curves are measured on.
        augment: ``none``; ``flip`` (horizontal); ``crop`` (shifts of up to an eighth with reflected borders, and
            flip); ``pad_crop`` (the same with black borders); ``resized_crop`` (a random part scaled to the whole, and
            flip); ``fundus`` (flips both ways, brightness, contrast, saturation).
        ten_crop: side in pixels of the square that the network sees, smaller than the pictures (224 of 256). An
            evaluation averages the probabilities of ten such crops: corners, centre and their mirror images. Training
            sees one: ``resized_crop`` scales to it, anything else takes the centre. None is the whole picture.
        precision: ``auto`` picks what the processor does well, and records it.
    """

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: Annotated[float, Field(gt=0, lt=1e3)] = 3e-4
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["constant", "step", "cosine", "plateau"] = "constant"
    milestones: tuple[Annotated[float, Field(gt=0)], ...] = (0.5, 0.75)
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    patience: Annotated[int, Field(ge=0)] = 5
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    steps: Annotated[int, Field(ge=1)] = 1000
    epochs: Annotated[float, Field(gt=0)] | None = None
    batch_size: Annotated[int, Field(ge=1)] = 32
    eval_every: Annotated[int, Field(ge=1)] | None = None
    eval_epochs: Annotated[float, Field(gt=0)] | None = None
    eval_split: Literal["val", "test"] = "test"
    augment: Literal["none", "flip", "crop", "pad_crop", "resized_crop", "fundus"] = "none"
    ten_crop: Annotated[int, Field(ge=8)] | None = None
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"

    @model_validator(mode="after")
    def _epochs_where_needed(self) -> TrainSpec:
        late = [milestone for milestone in self.milestones if milestone >= (self.epochs or 1)]
        if late:
            known = f"{self.epochs:g} epochs" if self.epochs else "the whole run, which is 1 without train.epochs"
            raise ValueError(f"a milestone of {late[0]:g} is not within {known}")
        if self.eval_epochs and not self.epochs:
            raise ValueError("eval_epochs needs train.epochs; give eval_every in steps")
        return self

    @property
    def evaluations(self) -> tuple[int, ...]:
        """Steps at which a run is evaluated, the same for all runs of a study.

        Without ``eval_every`` each is a quarter later than the one before, until they are a twentieth of the run apart,
        and evenly from there: a start that is four times as fast is then timed about as sharply as the others.

        Examples:
            >>> TrainSpec(steps=100).evaluations
            (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 19, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 100)
            >>> TrainSpec(steps=25, eval_every=10).evaluations
            (0, 10, 20, 25)
        """
        if self.eval_every is not None:
            return (*range(0, self.steps, self.eval_every), self.steps)
        apart = max(1, round(self.steps / NUM_EVEN))
        found = [0, max(1, self.steps // EARLIEST)]  # step 0 is the start itself: what the weights know before training
        while (later := max(found[-1] + 1, round(found[-1] * EARLY_RATIO))) - found[-1] < apart:
            found.append(later)
        # no two closer than half the distance
        even = range(apart * math.ceil(found[-1] / apart + 0.5), self.steps, apart)
        return (*(step for step in found if step < self.steps), *even, self.steps)

    def side(self, image_size: int) -> int:
        """Side in pixels of what the network sees of pictures of ``image_size``."""
        return self.ten_crop or image_size

    def of_size(self, num_images: int) -> TrainSpec:
        """The same settings in optimiser steps, for a run that trains on ``num_images``.

        Examples:
            >>> train = TrainSpec(epochs=200, eval_epochs=1, milestones=(60, 120), batch_size=128).of_size(5000)
            >>> train.steps, train.eval_every, train.milestones
            (7812, 39, (0.3, 0.6))
        """
        if self.epochs is None:
            return self
        epoch = num_images / self.batch_size
        fractions = tuple(each if each < 1 else each / self.epochs for each in self.milestones)
        every = self.eval_every if self.eval_epochs is None else max(1, round(self.eval_epochs * epoch))
        steps = max(1, round(self.epochs * epoch))
        return self.with_values(steps=steps, eval_every=every, milestones=fractions, epochs=None, eval_epochs=None)
