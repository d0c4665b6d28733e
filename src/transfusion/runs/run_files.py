"""The folder of one run: what is in it, whether it is whole, and who works on it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from transfusion.errors import SpecError, StoreError
from transfusion.files import is_whole_table, read_json, sweep, write_atomically, write_json
from transfusion.locks import claimed, leases
from transfusion.metrics import METRICS
from transfusion.runs.checkpoints import Checkpoints
from transfusion.runs.curve import Curve
from transfusion.runs.tensors import is_whole, read_tensors, write_tensors
from transfusion.spec import RunSpec

State = Literal["new", "started", "done", "failed"]
SNAPSHOTS = "snapshots"
PICKED_BY = METRICS["auc"].picked_by
REPEAT = "repeat"  # in machine.json: the run is carried out again, as it was
AGAIN = "Run the same study command again: it writes this file anew and repeats no finished run."


class RunFiles:
    """The folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name
        self.spec_path = folder / "spec.json"
        self.machine_path = folder / "machine.json"
        self.provenance_path = folder / "provenance.csv"
        self.before_path = folder / "before.safetensors"
        self.curve_path = folder / "curve.jsonl"
        self.predictions_path = folder / "predictions.safetensors"
        self.picked_path = folder / "picked.safetensors"
        self.picked_weights_path = folder / "picked_weights.safetensors"
        self.scores_path = folder / "scores.safetensors"
        self.after_path = folder / "after.safetensors"
        self.result_path = folder / "result.json"
        self.failure_path = folder / "failure.json"
        self.logged_path = folder / "trackers.json"
        self.lock_path = folder / "lock"
        self.step_path = folder / "step"
        self._curve = Curve(self.curve_path)
        self._checkpoints = Checkpoints(folder)
        self.checkpoint_path = self._checkpoints.latest

    @property
    def state(self) -> State:
        """``new``, ``started``, ``done`` or ``failed``; a result that cannot be read is none."""
        if self._result():
            return "done"
        if self.failure_path.exists():
            return "failed"
        return "started" if self.machine_path.exists() else "new"

    @property
    def wanted(self) -> bool:
        """Whether there is something left to do: a run that diverged would only diverge again."""
        return self.state in ("new", "started") or (self.state == "failed" and self.failure()["retry"])

    @contextlib.contextmanager
    def claim(self) -> Iterator[bool]:
        """Hold the run for this process, until it ends or dies; yields False when another process holds it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with claimed(self.lock_path) as mine:
            if mine:  # only who holds the lock knows that temporary files here are litter
                sweep(self.folder)
            yield mine

    @property
    def has_weights(self) -> bool:
        """Whether its weights before and after training are there."""
        return self.before_path.exists() and self.after_path.exists()

    @property
    def no_weights(self) -> str:
        """Why its final weights are not there, in a sentence."""
        why = "its weights were not kept" if self.state == "done" else "it is not finished"
        return f"Run {self.id} has no {self.after_path.name} in {self.folder}: {why}."

    def spec(self) -> RunSpec:
        """The run's spec, read back."""
        return RunSpec.read(self.spec_path)

    def begin(self, spec: RunSpec, machine: dict[str, Any]) -> None:
        """Record what is about to run, and where; a former failure is forgotten."""
        self.failure_path.unlink(missing_ok=True)
        self.declare(spec)
        write_json(self.machine_path, machine)

    def declare(self, spec: RunSpec) -> None:
        """Record what this run is to be, anew where the record is damaged."""
        try:
            known = self.spec() == spec
        except (SpecError, StoreError):
            known = False
        if not known:
            write_json(self.spec_path, spec.model_dump(mode="json"))

    def machine(self) -> dict[str, Any]:
        """What the run ran on, or {} before it began."""
        return read_json(self.machine_path, AGAIN) if self.machine_path.exists() else {}

    def curve(self) -> list[dict[str, Any]]:
        """The evaluations so far, in order of steps; a torn last line is dropped.

        Raises:
            StoreError: if any other line is damaged.
        """
        return self._curve.rows()

    def last_row(self) -> tuple[dict[str, Any], str]:
        """The last evaluation before any damage ({} where there is none), and what the damage is."""
        rows, damage = self._curve.whole()
        return (rows[-1] if rows else {}), damage

    def append(self, row: dict[str, Any]) -> None:
        """Add one evaluation to the curve and flush it to the disk; NaN is written as null."""
        leases.check(self.lock_path)
        self._curve.append(row)

    def note_step(self, step: int) -> None:
        """Say how far the run is between evaluations, to whoever watches; nothing rests on it."""
        with contextlib.suppress(OSError):
            self.step_path.write_text(str(step))

    def last_step(self) -> int:
        """The last step that is known to be done."""
        evaluated = int(self.last_row()[0].get("step", 0))
        with contextlib.suppress(OSError, ValueError):
            return max(evaluated, int(self.step_path.read_text()))
        return evaluated

    def rewind(self, step: int) -> None:
        """Drop evaluations after ``step``: they came after the last checkpoint and will be made again."""
        self._curve.rewind(step)
        with contextlib.suppress(OSError):
            self.step_path.unlink(missing_ok=True)

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Keep the state of an unfinished run, and the one before it."""
        leases.check(self.lock_path)
        self._checkpoints.save(state, len(self.curve()), self.machine())

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The latest state that what is on disk fits, or None to start anew."""
        kept = self._kept()
        return kept and kept["state"]

    def _kept(self) -> dict[str, Any] | None:
        picked = [path for path in (self.picked_path, self.picked_weights_path) if path.exists()]
        on_the_way = [*self.folder.glob(f"{SNAPSHOTS}/*.safetensors"), *picked]
        # they are made on the way only: a resumed run would not make them again
        if not all(map(is_whole, on_the_way)):
            return None
        return self._checkpoints.load(len(self._curve.whole()[0]), self.spec().train.steps)

    def began_on(self) -> dict[str, Any]:
        """The machine that the run must resume on, for the same bits; {} where it starts anew."""
        if kept := self._kept():
            machine: dict[str, Any] = kept["machine"]
            return machine
        with contextlib.suppress(StoreError):
            return self.machine() if self.machine().get(REPEAT) else {}
        return {}

    @property
    def has_beginning(self) -> bool:
        """Whether its initial weights and their provenance are there."""
        return is_whole_table(self.provenance_path) and self.before_path.exists() and is_whole(self.before_path)

    def save_snapshot(self, step: int, weights: dict[str, torch.Tensor]) -> None:
        """Keep the weights at a step on the way."""
        write_tensors(self.folder / SNAPSHOTS / f"{step:08d}.safetensors", weights)

    def save_picked_weights(self, weights: dict[str, torch.Tensor]) -> None:
        """Keep the weights of the evaluation that is the best by the validation split so far."""
        write_tensors(self.picked_weights_path, weights)

    def final_weights(self) -> tuple[Path, int]:
        """The weights that ``predictions`` are of, and their step; those of the last step where they are not kept."""
        if self.picked_weights_path.exists():
            return self.picked_weights_path, self.final_step()
        return self.after_path, self.spec().train.steps

    def weights(self) -> dict[int, Path]:
        """Weight files on disk by step, in order: before, every snapshot, and after where the run is finished."""
        found = {int(path.stem): path for path in sorted(self.folder.glob(f"{SNAPSHOTS}/*.safetensors"))}
        ends = {0: self.before_path} if self.before_path.exists() else {}
        if self.state == "done" and self.after_path.exists():
            found[self.spec().train.steps] = self.after_path
        return ends | found

    def save_predictions(
        self,
        scores: np.ndarray,
        labels: np.ndarray,
        patients: np.ndarray | None = None,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
        *,
        picked: bool = False,
    ) -> None:
        """Keep scores (images, outputs) and labels of an evaluation, for intervals over images.

        Args:
            scores: (images, outputs), probabilities.
            labels: (images,) or (images, labels).
            patients: (images,) who each image shows, if known; kept as numbers, without the names.
            validation: scores and labels of the same network on the validation split, where a threshold is chosen.
            picked: whether it is the best by the validation split so far, and not the last one.
        """
        # float64: rounding makes ties of scores near 1
        kept = {"scores": torch.from_numpy(scores), "labels": torch.from_numpy(np.array(labels))}
        if patients is not None:
            kept["patients"] = torch.from_numpy(np.unique(patients, return_inverse=True)[1])
        if validation is not None:
            kept |= {f"validation_{name}": torch.from_numpy(np.array(values)) for name, values in
                     zip(("scores", "labels"), validation, strict=True)}  # fmt: skip
        write_tensors(self.picked_path if picked else self.predictions_path, kept)

    def predictions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Scores, labels and patients (None where unknown) at the end of the run.

        That is the evaluation that the validation split picks, or the last one without such a split.
        """
        return self._predictions(self.picked_path if self.picked_path.exists() else self.predictions_path)

    def final_step(self) -> int:
        """The step that ``predictions`` are of: the one that the validation split picks, or the last."""
        rows = self.curve()
        if not rows:
            raise StoreError(f"{self.folder} has predictions and no curve. Run the same study command again.")
        judged = [row for row in rows if row.get(PICKED_BY) is not None] if self.picked_path.exists() else []
        return int(max(judged, key=lambda row: row[PICKED_BY], default=rows[-1])["step"])

    def validation(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Scores and labels of the same network on the validation split; None where they are not kept."""
        tensors = read_tensors(self.picked_path if self.picked_path.exists() else self.predictions_path)
        kept = [tensors.get(f"validation_{name}") for name in ("scores", "labels")]
        return None if kept[0] is None or kept[1] is None else (kept[0].numpy(), kept[1].numpy())

    def last_predictions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """The same of the last evaluation."""
        return self._predictions(self.predictions_path)

    def save_scores(self, by_step: dict[int, torch.Tensor]) -> None:
        """Keep the scores of every evaluation, (images, outputs) each, for intervals of pace over other patients."""
        tensors = {"steps": torch.tensor(list(by_step)), "scores": torch.stack(list(by_step.values()))}
        write_tensors(self.scores_path, tensors)

    def scores(self) -> dict[int, np.ndarray]:
        """Step of every evaluation -> scores, (images, outputs); none where they were not kept."""
        if not self.scores_path.exists():
            return {}
        tensors = read_tensors(self.scores_path)
        return dict(zip(tensors["steps"].tolist(), tensors["scores"].numpy(), strict=True))

    @staticmethod
    def _predictions(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        tensors = read_tensors(path)
        patients = tensors.get("patients")
        return tensors["scores"].numpy(), tensors["labels"].numpy(), None if patients is None else patients.numpy()

    def finish(self, result: dict[str, Any]) -> None:
        """Mark the run as finished; nothing repeats it after this, unless a file of it turns out to be damaged."""
        leases.check(self.lock_path)
        write_json(self.result_path, result)
        self.tidy()

    def tidy(self) -> None:
        """Remove what only an unfinished run needs; what cannot be removed now goes the next time."""
        if self.state == "done":
            with contextlib.suppress(OSError):
                self._checkpoints.remove()
                self.failure_path.unlink(missing_ok=True)
                self.step_path.unlink(missing_ok=True)

    def result(self) -> dict[str, Any]:
        """What ``finish`` recorded.

        Raises:
            StoreError: if it is not there or damaged.
        """
        return read_json(self.result_path, AGAIN)

    def _result(self) -> dict[str, Any]:
        try:
            return read_json(self.result_path, AGAIN)
        except StoreError:
            return {}

    def damage(self) -> list[str]:
        """Names of files of a finished run that are not what was written.

        Weights, predictions and tables that somebody removed are missing, not damaged.
        """
        result = self._result()
        if not result:
            return []
        last, damage = self.last_row()
        damaged = [] if not damage and last.get("step") == result.get("step") else [self.curve_path.name]
        if self.provenance_path.exists() and not is_whole_table(self.provenance_path):
            damaged.append(self.provenance_path.name)
        weights = sorted(self.folder.rglob("*.safetensors"))
        damaged += [path.relative_to(self.folder).as_posix() for path in weights if not is_whole(path)]
        with contextlib.suppress(StoreError):
            self.machine()
            return damaged
        return [*damaged, self.machine_path.name]

    def take(self, other: RunFiles) -> None:
        """Become a copy of a finished run; its result comes last, so a copy that is cut off is not finished."""
        own = (other.lock_path, other.logged_path, other.step_path, other.result_path)
        for path in (*(path for path in other.folder.rglob("*") if path.is_file() and path not in own), own[-1]):
            copy = partial(shutil.copyfile, path)
            write_atomically(self.folder / path.relative_to(other.folder), copy)

    def reopen(self, damaged: list[str]) -> None:
        """Make a finished run unfinished, so that it is carried out again, on the same machine where there is one."""
        for name in (*damaged, self.curve_path.name, self.result_path.name):
            (self.folder / name).unlink(missing_ok=True)
        if machine := self.machine():
            write_json(self.machine_path, {**machine, REPEAT: True})

    def fail(self, error: str, trace: str, *, retry: bool) -> None:
        """Record a failure; ``retry`` says whether the same command should try again."""
        write_json(self.failure_path, {"error": error, "retry": retry, "traceback": trace.splitlines()})

    def failure(self) -> dict[str, Any]:
        """What ``fail`` recorded, or {}; a record that is damaged still says that the run failed.

        A finished run did not fail, whatever went wrong after its result was written.
        """
        if self.state != "failed":
            return {}
        try:
            return read_json(self.failure_path, AGAIN)
        except StoreError as error:
            # True: whether it diverged is not known any more, and a second try costs less than a run given up
            return {"error": str(error), "retry": True, "traceback": []}

    @property
    def failed_at(self) -> int:
        """A stamp that distinguishes one failure from another; 0 where there is none."""
        try:
            return self.failure_path.stat().st_mtime_ns  # of one clock, that of the file system: hosts may disagree
        except FileNotFoundError:
            return 0

    def record_logged(self, logged: dict[str, Any]) -> None:
        """Record up to which step each tracker has received the curve."""
        write_json(self.logged_path, logged)

    def logged(self) -> dict[str, Any]:
        """What ``record_logged`` wrote, or {}: a row logged twice is better than a run that cannot end."""
        try:
            return read_json(self.logged_path, AGAIN)
        except StoreError:
            return {}


def run_around(path: Path) -> RunFiles | None:
    """The run whose folder, or weight file, is at a path; None where it is nothing of a run."""
    folders = [path] if path.is_dir() else [path.parent, *([path.parents[1]] if path.parent.name == SNAPSHOTS else [])]
    return next((files for files in map(RunFiles, folders) if files.spec_path.exists()), None)
