"""What a study will take, from three timed steps of its own network on its own images.

They are timed in processes like those that will train, as many at once as will run side by side: neighbours slow each
other down. Of the page only the Gabor fits are timed; the rest is taken to take as long as it usually does.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from transfusion import tasks
from transfusion.errors import SpecError
from transfusion.filters import gabor_score
from transfusion.networks import models
from transfusion.runs.batches import Batches
from transfusion.runs.comparisons import Probe
from transfusion.runs.machine import Machine, best_precision
from transfusion.runs.plan import Plan
from transfusion.runs.store import Store
from transfusion.runs.train import Trainer, snapshot_steps
from transfusion.runs.workers import Crew
from transfusion.similarity.networks import compare
from transfusion.spec import RepresentationSpec, RunSpec

STEPS = 3  # timed at least
LEAST_S = 0.5  # for which steps are repeated
MOST_IMAGES = 256  # of a timed evaluation
PAGE_S, PAGE_RUN_S = 6.0, 0.1  # of a page, and of each run on it, without Gabor fits; on two cores of an EPYC
FITTED = 8  # filters that are timed
FIT_SIDES = (3, 11)  # pixels of filters that the page fits Gabors to
PAGE_BYTES = 5e6
STATE = 3  # times the weights: a checkpoint of Adam


@dataclass(frozen=True)
class Pace:
    """What one process takes, in seconds.

    Attributes:
        begin_s: to load the images and build the network.
        step_s: for an optimiser step.
        image_s: to evaluate an image.
        pair_s: to compare two networks, beyond their passes over the images.
        fit_s: to fit Gabors to the filters of the first layer.
        num_held_out: images of an evaluation.
        weights: bytes of the network.
        num_outputs: of the network.
        has_validation: whether a split picks an evaluation, whose weights are kept.
    """

    begin_s: float
    step_s: float
    image_s: float
    pair_s: float
    fit_s: float
    num_held_out: int
    weights: int
    num_outputs: int
    has_validation: bool


@dataclass(frozen=True)
class Trial:
    """All that a worker needs to time a run's steps."""

    run: RunSpec
    machine: Machine
    cache: Path | None
    representations: RepresentationSpec | None

    def carry_out(self) -> Pace:
        """Take a few steps, and throw them away."""
        began = time.monotonic()
        train, machine = self.run.train, replace(self.machine, devices=1)
        machine.settle()
        task = tasks.load(self.run.task, cache=self.cache)
        model = models.build(self.run.model, task.num_outputs, task.channels, train.side(task.image_size))
        precision = best_precision(machine.device_type()) if train.precision == "auto" else train.precision
        share = train.with_values(batch_size=train.batch_size // self.machine.devices)
        trainer = Trainer(machine.fabric(precision), self.run.with_values(train=share), task, model)
        trainer.train_step()
        trainer.train_loss()  # waits for the device
        begin_s = time.monotonic() - began
        step_s = _steps(trainer)
        image_s = _evaluation(trainer)
        held_out = [trainer.held_out, *([trainer.validation] if trainer.validation else [])]
        return Pace(
            begin_s,
            step_s,
            image_s,
            self._pair(trainer, image_s),
            _fit(trainer),
            sum(map(len, held_out)),
            sum(tensor.numel() * tensor.element_size() for tensor in trainer.module.state_dict().values()),
            task.num_outputs,
            trainer.validation is not None,
        )

    def _pair(self, trainer: Trainer, image_s: float) -> float:
        if self.representations is None:
            return 0.0
        settings, train = self.representations, trainer.run.train
        images = Probe(trainer.task, train.eval_split, settings, self.machine, train.ten_crop)
        began = time.monotonic()
        pair = {"a": trainer.module, "b": trainer.module}
        compare(pair, images, measures=settings.measures, positions=settings.positions)
        return max(0.0, time.monotonic() - began - 2 * len(images.data) * image_s)


def _steps(trainer: Trainer) -> float:
    began, found = time.monotonic(), list[float]()
    while len(found) < STEPS or time.monotonic() - began < LEAST_S:
        now = time.monotonic()
        trainer.train_step()
        trainer.train_loss()
        found.append(time.monotonic() - now)
    return float(np.mean(found))


def _evaluation(trainer: Trainer) -> float:
    split = trainer.task.splits[trainer.run.train.eval_split]
    rows = np.random.default_rng(0).permutation(len(split))[:MOST_IMAGES]
    some = Batches(trainer.task, split, rows, trainer.fabric.device)
    found = []
    for _ in range(2):  # the first one warms up
        began = time.monotonic()
        trainer.evaluate(some)
        found.append(time.monotonic() - began)
    return found[-1] / len(some)


def _fit(trainer: Trainer) -> float:
    """Of all filters, from a few."""
    layers = (tensor for tensor in trainer.module.state_dict().values() if tensor.ndim == 4)
    first = next((layer for layer in layers if min(layer.shape[2:]) >= FIT_SIDES[0]), None)
    if first is None or max(first.shape[2:]) > FIT_SIDES[1]:
        return 0.0
    few, began = first[:FITTED], time.monotonic()
    gabor_score(few.float().cpu())
    return (time.monotonic() - began) * len(first) / len(few)


def time_steps(crew: Crew, trial: Trial) -> tuple[Pace, float]:
    """Time a run as the crew will train it.

    Returns:
        The median pace of its workers, and the seconds that they take to start.

    Raises:
        SpecError: if the steps fail; a study would fail in the same way.
    """
    places = max(1, crew.workers)
    began = time.monotonic()
    try:
        with crew.executor() as pool:
            first = _round(pool, trial, places)
            start_s = time.monotonic() - began - max(each.begin_s for each in first)
            paces = _round(pool, trial, places)
    except BrokenProcessPool:
        raise SpecError("The process that timed three steps died: lower --batch-size or --workers.") from None
    own = ("begin_s", "step_s", "image_s", "pair_s", "fit_s")
    middle = {name: median(getattr(each, name) for each in paces) for name in own}
    return replace(paces[0], **middle), max(0.0, start_s)


def _round(pool: Executor, trial: Trial, places: int) -> list[Pace]:
    return [future.result() for future in [pool.submit(trial.carry_out) for _ in range(places)]]


@dataclass(frozen=True)
class Part:
    """Runs that are carried out side by side.

    Attributes:
        runs: that are not finished.
        done: run id -> steps that are done already.
        pace: of one of them.
        start_s: until the workers have started.
        workers: side by side.
        keeps: weights kept along the way of each run.
    """

    runs: Sequence[RunSpec]
    done: dict[str, int]
    pace: Pace
    start_s: float
    workers: int
    snapshots: bool = False

    @property
    def run_s(self) -> list[float]:
        """Seconds of each run."""
        return [self._seconds(run) for run in self.runs]

    def _seconds(self, run: RunSpec) -> float:
        done, pace = self.done.get(run.id, 0), self.pace
        looks = sum(step >= done for step in run.train.evaluations)
        return pace.begin_s + pace.step_s * (run.train.steps - done) + looks * pace.num_held_out * pace.image_s

    @property
    def time_s(self) -> float:
        """Seconds until all have ended, each taken up by the first worker that is free."""
        free = [self.start_s] * max(1, self.workers)
        for seconds in self.run_s:
            heapq.heapreplace(free, free[0] + seconds)
        return max(free)

    @property
    def disk(self) -> float:
        """Bytes that they leave, and those of checkpoints on the way."""
        ends = 3 if self.pace.has_validation else 2
        kept = [ends + (len(snapshot_steps(run.train)) if self.snapshots else 0) for run in self.runs]
        looks = [len(run.train.evaluations) for run in self.runs]
        scores = 4 * self.pace.num_held_out * self.pace.num_outputs
        return sum(kept) * self.pace.weights + sum(looks) * scores + max(1, self.workers) * STATE * self.pace.weights


@dataclass(frozen=True)
class Estimate:
    """What is left of a study to do.

    Attributes:
        parts: runs side by side, those of a donor first.
        compare_s: to compare networks.
        page_s: to make the page.
    """

    parts: tuple[Part, ...]
    compare_s: float = 0.0
    page_s: float = 0.0

    @property
    def num_runs(self) -> int:
        """Runs that are not finished."""
        return sum(len(part.runs) for part in self.parts)

    @property
    def time_s(self) -> float:
        """Seconds in all."""
        return sum(part.time_s for part in self.parts) + self.compare_s + self.page_s

    @property
    def disk(self) -> float:
        """Bytes in all."""
        return sum(part.disk for part in self.parts) + PAGE_BYTES


def comparing_s(settings: RepresentationSpec, runs: Sequence[RunSpec], pace: Pace, workers: int) -> float:
    """Seconds to compare the networks of these runs; see ``comparisons.units``."""
    num_seeds = len({run.seed for run in runs})
    starts = len(runs) // max(1, num_seeds)
    couples = num_seeds if num_seeds > 2 else num_seeds - 1
    along = [len(snapshot_steps(run.train)) + 1 for run in runs]
    ends = 2 * starts
    groups = num_seeds + 3 * couples  # grid; seeds, untrained and across: networks of which every pair is compared
    passes = groups * ends + sum(along) + len(runs)
    pairs = groups * ends * (ends - 1) / 2 + sum(along)
    each_s = min(settings.images, pace.num_held_out) * pace.image_s
    return (passes * each_s + pairs * pace.pair_s) / max(1, workers)


def page_s(runs: Sequence[RunSpec], pace: Pace) -> float:
    """Seconds of a page: Gabors are fitted to the filters before and after training and to their difference."""
    before = {(run.scheme, None if run.scheme.name == "pretrained" else run.seed) for run in runs}
    return PAGE_S + PAGE_RUN_S * len(runs) + pace.fit_s * (len(before) + 2 * len(runs))


def estimate(
    plan: Plan,
    store: Store,
    machine: Machine,
    workers: int | None,
    settings: RepresentationSpec | None,
    cache: Path | None = None,
) -> Estimate:
    """Time a study's runs as far as they are not finished.

    Raises:
        SpecError: if the steps fail.
    """  # fmt: skip
    groups = [plan.grid] if plan.donor_run is None or store.beside(plan.donor_run.id) else [[plan.donor_run], plan.grid]
    parts = []
    for group in groups:
        runs = [run for run in group if store.run(run.id).wanted]
        if runs:
            crew = Crew.fit(machine, workers, len(group))
            looked_at = settings if group is plan.grid else None
            pace, start_s = time_steps(crew, Trial(runs[0], crew.machine, cache, looked_at))
            done = {run.id: store.run(run.id).last_step() for run in runs}
            parts.append(Part(runs, done, pace, start_s, crew.workers, looked_at is not None))
    compare_s = 0.0
    if settings and parts and parts[-1].runs[-1] in plan.grid:
        last = parts[-1]
        compare_s = last.start_s + comparing_s(settings, last.runs, last.pace, last.workers)
    last_s = page_s(plan.grid, parts[-1].pace) if parts else PAGE_S
    return Estimate(tuple(parts), compare_s, last_s)
