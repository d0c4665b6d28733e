"""Representations of a study's networks: which are compared on which images, in units that can be interrupted.

A unit is a set of weights, all of the largest data size, that see the held-out images together:

- ``grid``: every start of one seed, before and after training, of which the change of each start is read;
- ``seeds``: every start of two seeds after training: how alike networks get that share neither random numbers nor
  the order of images. Starts of one seed share both (``mean_var`` and ``random`` begin as scaled copies);
- ``untrained``: the same before training, the yardstick of what networks share that have learned nothing;
- ``across``: every start of one seed before training and of another seed after it;
- ``dynamics``: one run, each of its snapshots with its end;
- ``activations``: maps of two images by every start of the first seed, before and after.

Networks whose weights are not finite, as a run that diverged leaves them, are left out of their units.

Source:
    Paper, section 6 and figures 9 and 14 to 17. ``seeds`` is ours: without it nobody can say what "alike" is.
"""

from __future__ import annotations

import contextlib
import math
import traceback
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from transfusion import tasks
from transfusion.errors import SpecError, StoreError
from transfusion.files import is_whole_table, read_json, write_json, write_table
from transfusion.locks import claimed
from transfusion.networks import models
from transfusion.runs.batches import Batches, centre, derive_seed
from transfusion.runs.frames import FOUND, PAIR
from transfusion.runs.jobs import Ending
from transfusion.runs.machine import Machine
from transfusion.runs.maps import Weights, activations, network_name, shown_stage
from transfusion.runs.run_files import AGAIN
from transfusion.runs.store import RunFiles, Store, read_tensors, write_tensors
from transfusion.runs.tensors import is_whole
from transfusion.similarity import measure
from transfusion.similarity.networks import compare
from transfusion.spec import RepresentationSpec, RunSpec
from transfusion.tasks import Task

Kind = Literal["grid", "seeds", "untrained", "across", "dynamics", "activations"]
BATCH = 32  # images


@dataclass(frozen=True)
class Unit:
    """Weights that see the same images together.

    Attributes:
        weights: (run id, step) of each, in order.
    """

    kind: Kind
    weights: tuple[Weights, ...]

    @property
    def id(self) -> str:
        """Stands for the weights, which a run's id and a step determine."""
        return f"{self.kind}-{derive_seed(*(network_name(*each) for each in self.weights)):016x}"


@dataclass(frozen=True)
class Look:
    """All that a worker needs to carry out one unit, wherever it is."""

    unit: Unit
    folder: Path
    machine: Machine
    cache: Path | None = None

    @property
    def id(self) -> str:
        """The unit's."""
        return self.unit.id

    @property
    def path(self) -> Path:
        """Where what it finds is kept."""
        return _path(Store(self.folder), self.unit)

    @property
    def failure_path(self) -> Path:
        """Where it is recorded why it failed."""
        return Store(self.folder).representation_path(self.id, "failure.json")

    @property
    def lock_path(self) -> Path:
        """Held by the process that works on it."""
        return self.failure_path.with_name(f"{self.id}.lock")

    @property
    def is_open(self) -> bool:
        """See ``Job``."""
        return not _is_whole(self.path)

    def carry_out(self) -> Ending:
        """Carry out the unit and keep what it found."""
        self.lock_path.parent.mkdir(parents=True, exist_ok=True)
        with claimed(self.lock_path) as mine:
            if not mine:
                return "busy"
            if not self.is_open:
                return "kept"
            try:
                _compare(self)
            except Exception as error:
                message = " ".join(str(error).split()) or type(error).__name__  # some exceptions have an empty text
                self.fail(message, traceback.format_exc())
                return "failed"
            self.failure_path.unlink(missing_ok=True)  # only after the result is on disk
        return "done"

    def fail(self, error: str, trace: str) -> None:
        """Record why it failed; the same command tries again."""
        write_json(self.failure_path, {"error": error, "traceback": trace.splitlines()})

    def failure(self) -> str:
        """Why it failed, or an empty text."""
        return str(read_json(self.failure_path, AGAIN)["error"]) if self.failure_path.exists() else ""


def _path(store: Store, unit: Unit) -> Path:
    return store.representation_path(unit.id, "safetensors" if unit.kind == "activations" else "csv")


def check(settings: RepresentationSpec, model: nn.Module) -> None:
    """See that measures and stage exist, before anything is trained.

    Raises:
        UnknownNameError: if one does not.
    """
    for name in settings.measures:
        measure(name)
    shown_stage(settings, model)


def looked_at(runs: list[RunSpec]) -> list[RunSpec]:
    """The runs of the largest data size, the only ones whose representations are compared."""
    largest = max((run.size or math.inf for run in runs), default=math.inf)  # a size of None is all images
    return [run for run in runs if (run.size or math.inf) == largest]


def without_weights(store: Store) -> list[RunFiles]:
    """The finished runs of the largest data size that cannot be compared, as their weights were not kept."""
    return [files for files, _ in finished(store) if not files.has_weights]


def finished(store: Store) -> list[tuple[RunFiles, RunSpec]]:
    """The finished runs of the largest data size whose spec can be read; the report says which cannot."""
    runs = []
    for files in store.grid():
        with contextlib.suppress(SpecError, StoreError):
            runs += [(files, files.spec())] if files.state == "done" else []
    largest = looked_at([run for _, run in runs])
    return [(files, run) for files, run in runs if run in largest]


def units(store: Store) -> list[Unit]:
    """Every unit that the study's finished runs allow, those of the first seed first."""
    by_seed: dict[int, list[tuple[RunFiles, RunSpec]]] = defaultdict(list)
    for files, run in finished(store):
        if files.has_weights:
            by_seed[run.seed].append((files, run))
    found = []
    for seed, group in by_seed.items():
        ends = tuple((files.id, step) for files, run in group for step in (0, run.train.steps))
        found.append(Unit("grid", ends))
        found += [Unit("dynamics", tuple((files.id, step) for step in files.weights())) for files, _ in group]
        if seed == next(iter(by_seed)):
            found.append(Unit("activations", ends))
    # a ring, in which every seed is before as often as after; of two seeds there is one couple
    ring = {frozenset(pair): pair for pair in zip(by_seed, [*by_seed][1:] + [*by_seed][:1], strict=True)}
    couples = [couple for pair, couple in ring.items() if len(pair) > 1]
    both = [[run for seed in by_seed if seed in couple for run in by_seed[seed]] for couple in couples]
    found += [Unit("seeds", tuple((files.id, run.train.steps) for files, run in group)) for group in both]
    found += [Unit("untrained", tuple((files.id, 0) for files, _ in group)) for group in both]
    for one, other in couples:
        ends = tuple((files.id, run.train.steps) for files, run in by_seed[other])
        found.append(Unit("across", (*((files.id, 0) for files, _ in by_seed[one]), *ends)))
    return found


def missing(store: Store) -> list[Unit]:
    """The units that have not been carried out yet, or whose file is damaged."""
    return [unit for unit in units(store) if not _is_whole(_path(store, unit))]


def _is_whole(path: Path) -> bool:
    return path.exists() and (is_whole(path) if path.suffix == ".safetensors" else is_whole_table(path))


def not_finite(store: Store) -> list[tuple[RunFiles, int]]:
    """Run and step of the weights that were left out of their units, as they hold NaN or infinite values."""
    # only what a unit on disk lacks is opened: reading all weights of a study takes long
    suspects = dict.fromkeys(weights for unit in units(store) for weights in _unseen(store, unit))
    files = ((store.run(run), step) for run, step in suspects)
    return [(run, step) for run, step in files if not are_finite(read_tensors(run.weights()[step]))]


def _unseen(store: Store, unit: Unit) -> list[tuple[str, int]]:
    """The weights of a unit on disk that no comparison of it is about."""
    path = _path(store, unit)
    if unit.kind == "activations" or not path.exists():
        return []
    frame = pd.read_csv(path, dtype={"a_run": str, "b_run": str})
    seen = {pair for side in "ab" for pair in zip(frame[f"{side}_run"], frame[f"{side}_step"], strict=True)}
    return [weights for weights in unit.weights if weights not in seen]


def are_finite(weights: Mapping[str, Tensor]) -> bool:
    """Whether no tensor holds NaN or infinite values, as a run that diverged leaves them."""
    return all(bool(tensor.isfinite().all()) for tensor in weights.values())


def _compare(look: Look) -> None:
    store, unit = Store(look.folder), look.unit
    settings = store.spec().representations or RepresentationSpec()
    look.machine.here().settle()
    task = tasks.load(store.run(unit.weights[0][0]).spec().task, cache=look.cache)
    found = ((weights, _network(store, task, *weights, look.machine)) for weights in unit.weights)
    # one network of NaN would turn every pair with it into an error, and the unit into none
    networks = {weights: network for weights, network in found if are_finite(network.state_dict())}
    train = store.run(unit.weights[0][0]).spec().train
    images = Probe(task, train.eval_split, settings, look.machine, train.ten_crop)
    if unit.kind == "activations":
        write_tensors(look.path, activations(networks, images, settings))
    else:
        write_table(look.path, _similarity(unit, networks, images, settings).to_csv(index=False))


class Probe:
    """The held-out images that networks are compared on, in an order drawn once.

    Args:
        task: with the images.
        split: of them.
        settings: how many.
        machine: where they go.
        side: of what the networks see of each, its centre; None is all of it.
    """

    def __init__(
        self, task: Task, split: str, settings: RepresentationSpec, machine: Machine, side: int | None = None
    ) -> None:
        self.side = side or task.image_size
        held_out = task.splits[split]
        # a fixed seed: units made on different days, or by different workers, see the same images
        rows = np.random.default_rng(0).permutation(len(held_out))[: settings.images]
        self.data = Batches(task, held_out, rows, torch.device(machine.device_type()))
        self.pictures, self.labels = held_out.images, held_out.labels

    def __iter__(self) -> Iterator[Tensor]:
        """Normalised batches, (images, channels, height, width)."""
        for start in range(0, len(self.data), BATCH):
            yield self.inputs(np.arange(start, min(start + BATCH, len(self.data))))

    def inputs(self, positions: np.ndarray) -> Tensor:
        """What networks see of some images, normalised."""
        images, _ = self.data.get(positions)
        return self.data.normalise(centre(images, self.side))

    def two(self) -> np.ndarray:
        """Positions of the first image and of the first one with another label."""
        labels = self.labels[self.data.rows]
        other = [place for place in range(1, len(labels)) if np.any(labels[place] != labels[0])]  # rows, if multilabel
        return np.array([0, other[0] if other else len(labels) - 1])


def _network(store: Store, task: Task, run: str, step: int, machine: Machine) -> nn.Module:
    files = store.run(run)
    spec = files.spec()
    model = models.build(spec.model, task.num_outputs, task.channels, spec.train.side(task.image_size))
    model.load_state_dict(read_tensors(files.weights()[step]))
    return model.to(machine.device_type()).to(memory_format=torch.channels_last)


def _similarity(
    unit: Unit, networks: dict[Weights, nn.Module], images: Probe, settings: RepresentationSpec
) -> pd.DataFrame:
    end = unit.weights[-1] if unit.kind == "dynamics" else None
    if len(networks) < 2 or (end and end not in networks):
        nothing: pd.DataFrame = pd.DataFrame(columns=[*PAIR, *FOUND, "kind"])
        return nothing
    named = {network_name(*weights): weights for weights in networks}
    frame = compare(
        {name: networks[weights] for name, weights in named.items()},
        images,
        measures=settings.measures,
        positions=settings.positions,
        against=end and network_name(*end),
    )
    for side in ("a", "b"):
        runs, steps = zip(*(named[name] for name in frame[side]), strict=True)
        frame = frame.assign(**{f"{side}_run": runs, f"{side}_step": steps})
    found: pd.DataFrame = frame.drop(columns=["a", "b"]).assign(kind=unit.kind)
    return found
