"""How long a recipe would train on this machine, from timed steps of its networks on noise: no data are needed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from transfusion import cores
from transfusion.networks import models
from transfusion.runs.machine import Machine, best_precision
from transfusion.runs.train import Trainer
from transfusion.spec import RunSpec
from transfusion.tasks import Split, Task

STEPS = 3  # timed; the fastest counts, as other programs only ever slow a step down
SIDE = 96  # pixels of the largest timed images: what a convolution costs grows with the area
FEW, MANY = 1, 3  # images of the two timed batches on a processor: a step costs so much, and each image so much more
STORED = 32  # pixels where a recipe takes its data as they are: CIFAR's
NUM_CLASSES = 10  # what a head costs is next to nothing
NUM_CROPS = 10


@dataclass(frozen=True)
class StepCost:
    """What training costs on this machine, in seconds.

    Attributes:
        step_s: for a step, however many images it has: the optimiser's work.
        image_s: for each image of a step.
        eval_s: to evaluate an image, all its crops.
    """

    step_s: float
    image_s: float
    eval_s: float

    def run_s(self, run: RunSpec, num_held_out: int) -> float:
        """Seconds of a run that is evaluated on so many images, without its beginning and end."""
        train = run.train
        looks = len(train.evaluations) * num_held_out
        return train.steps * (self.step_s + train.batch_size * self.image_s) + looks * self.eval_s


def kind_of(run: RunSpec) -> tuple[object, ...]:
    """What decides how long a step of a run takes."""
    train = run.train
    shown = (run.task.image_size, train.ten_crop, run.task.channels)
    return (run.model, *shown, train.batch_size, train.optimizer, train.augment, train.precision)


def measured(run: RunSpec) -> StepCost:
    """Take a few steps of a run on images of noise, and evaluate some; after one of each that is not timed.

    Large images are timed small and scaled up by their area. On a processor one core is timed, by what it computes and
    not by the clock, so that other users of the machine do not count; all cores are taken to share the work.
    """
    machine = Machine(threads=1)
    machine.settle()
    device, train, side = machine.device_type(), run.train, run.train.side(run.task.image_size or STORED)
    small, area = min(side, SIDE), (side / min(side, SIDE)) ** 2
    few, many = (max(1, train.batch_size // 4), train.batch_size) if device == "cuda" else (FEW, MANY)
    model = models.build(run.model, NUM_CLASSES, run.task.channels or 3, small)
    precision = best_precision(device) if train.precision == "auto" else train.precision
    plain = train.with_values(ten_crop=None, schedule="constant")  # there is no validation split to follow
    task, fabric = _noise(many, small, run.task.channels or 3), machine.fabric(precision)
    trainer = Trainer(fabric, run.with_values(train=plain, size=None), task, model)
    # two batch sizes tell what a step costs from what its images cost
    less_s, more_s = (_trained(trainer, num) for num in (few, many))
    image_s = max((more_s - less_s) / max(1, many - few), more_s / many / 2)  # not below what noise may make of it
    crops = NUM_CROPS if train.ten_crop else 1
    cores_used = cores.available() if device == "cpu" else 1
    found = max(0.0, more_s - many * image_s), image_s * area, _evaluated(trainer) * area * crops
    return StepCost(*(each / cores_used for each in found))


def _noise(num: int, side: int, channels: int) -> Task:
    """A task whose images take no time to make."""
    images = np.random.default_rng(0).integers(0, 256, (num, side, side, channels), dtype=np.uint8)
    split = Split(images, np.arange(num) % NUM_CLASSES, None, tuple(map(str, range(num))))
    none = Split(images[:0], np.arange(0), None, ())
    return Task(
        name="noise",
        kind="multiclass",
        classes=tuple(map(str, range(NUM_CLASSES))),
        channels=channels,
        image_size=side,
        positive=None,
        splits={"train": split, "val": none, "test": split},
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
        fingerprint="noise",
        card={},
    )


def _trained(trainer: Trainer, batch_size: int) -> float:
    """Seconds a step."""
    train = trainer.run.train.with_values(batch_size=batch_size)
    trainer.run = trainer.run.with_values(train=train)

    def step() -> None:
        trainer.train_step()
        trainer.train_loss()  # waits for the device

    return _fastest(step)


def _evaluated(trainer: Trainer) -> float:
    """Seconds an image."""
    return _fastest(lambda: trainer.evaluate(trainer.held_out)) / len(trainer.held_out)


def _fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of a few times, after one that is not timed."""
    # a GPU works while the process waits, so its time is the clock's
    clock = time.monotonic if torch.cuda.is_available() else time.process_time
    work()
    found = []
    for _ in range(STEPS):
        began = clock()
        work()
        found.append(clock() - began)
    return min(found)
