"""Everything a study leaves on disk; the only owner of file names.

::

    DIR/
      study.json                the spec of the study
      grid.json                 ids of its runs, in order, and which data they learn
      data.json                 the data card: counts, splits, patients, what was left out
      donors/NAME.safetensors   the donor's weights as they were read
      trackers/                 what TensorBoard and others keep, on request
      runs/ID/
        spec.json               the spec of the run; ID is its hash
        machine.json            what it ran on: versions, processor, precision, threads
        provenance.csv          where every initial tensor came from
        before.safetensors      weights at step 0
        curve.jsonl             one line per evaluation, only ever appended
        checkpoint.pt           the latest state of an unfinished run
        snapshots/STEP.safetensors  weights along the way, where the study asks for representations
        predictions.safetensors scores and labels of the last evaluation, and who each image shows
        picked.safetensors      the same of the evaluation that the validation split picks, where there is one
        after.safetensors       weights at the end
        result.json             written last: the run is finished
        failure.json            why it failed, with its traceback
        trackers.json           what trackers have been told, where there are any
        lock                    held by the process that works on it
      representations/KEY/      how alike the networks are; KEY stands for the settings
        UNIT.csv                similarity by stage and pair of weights
        UNIT.safetensors        activations of two images

Whole files are written beside their name and renamed into place; the curve is appended to and a torn last line
is dropped on reading. So what was computed survives a kill at any moment.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import filelock
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from transfusion.errors import StoreError
from transfusion.files import read_json, write_atomically, write_json, write_text
from transfusion.spec import RunSpec, StudySpec, TaskSpec

State = Literal["new", "started", "done", "failed"]
SNAPSHOTS = "snapshots"
AGAIN = "Run the same study command again: it writes this file anew and repeats no finished run."


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write safetensors atomically; tensors may share memory or be strided."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_atomically(path, lambda temporary: save_file(plain, temporary))


def write_weights(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write weights for others: safetensors, or what ``torch.save`` makes where the name ends in .pth or .pt."""
    if path.suffix in (".pth", ".pt"):
        write_atomically(path, lambda temporary: torch.save(tensors, temporary))
    elif path.suffix == ".safetensors":
        write_tensors(path, tensors)
    else:
        raise StoreError(f"Weights cannot be written to {path}: name it .safetensors, .pth or .pt.")


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
        self.checkpoint_path = folder / "checkpoint.pt"
        self.predictions_path = folder / "predictions.safetensors"
        self.picked_path = folder / "picked.safetensors"
        self.after_path = folder / "after.safetensors"
        self.result_path = folder / "result.json"
        self.failure_path = folder / "failure.json"
        self.told_path = folder / "trackers.json"

    @property
    def _remedy(self) -> str:
        return f"Remove the folder {self.folder} to repeat this run alone."

    @property
    def state(self) -> State:
        """``new``, ``started``, ``done`` or ``failed``."""
        if self.result_path.exists():
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
        """Hold the run for this process; yields False when another process holds it.

        The operating system frees the lock when its holder dies, however it dies.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.folder / "lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            yield False
            return
        try:
            for torn in self.folder.glob(".*.[0-9]*"):  # left by a process that was killed while it wrote
                torn.unlink()
            yield True
        finally:
            lock.release()

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
        """Record what this run is to be."""
        if not self.spec_path.exists():
            write_text(self.spec_path, spec.to_json())

    def machine(self) -> dict[str, Any]:
        """What the run ran on, or {} before it began."""
        return read_json(self.machine_path, self._remedy) if self.machine_path.exists() else {}

    def curve(self) -> list[dict[str, Any]]:
        """The evaluations so far, in order of steps; a torn last line is dropped."""
        if not self.curve_path.exists():
            return []
        rows = []
        for line in self.curve_path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return rows

    def append(self, row: dict[str, Any]) -> None:
        """Add one evaluation to the curve and flush it to the disk; NaN is written as null."""
        row = {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
        with self.curve_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def rewind(self, step: int) -> None:
        """Drop evaluations after ``step``: they came after the last checkpoint and will be made again."""
        kept = [row for row in self.curve() if row["step"] <= step]
        write_text(self.curve_path, "".join(json.dumps(row) + "\n" for row in kept))

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint."""
        write_atomically(self.checkpoint_path, lambda temporary: torch.save(state, temporary))

    def load_checkpoint(self, device: torch.device) -> dict[str, Any] | None:
        """The latest checkpoint, or None."""
        if not self.checkpoint_path.exists():
            return None
        state: dict[str, Any] = torch.load(self.checkpoint_path, map_location=device, weights_only=True)
        return state

    def save_snapshot(self, step: int, weights: dict[str, torch.Tensor]) -> None:
        """Keep the weights at a step on the way."""
        write_tensors(self.folder / SNAPSHOTS / f"{step:08d}.safetensors", weights)

    def weights(self) -> dict[int, Path]:
        """Weight files on disk by step, in order: before, every snapshot, and after where the run is finished."""
        found = {int(path.stem): path for path in sorted(self.folder.glob(f"{SNAPSHOTS}/*.safetensors"))}
        ends = {0: self.before_path} if self.before_path.exists() else {}
        if self.state == "done" and self.after_path.exists():
            found[self.spec().train.steps] = self.after_path
        return ends | found

    def save_predictions(
        self, scores: np.ndarray, labels: np.ndarray, patients: np.ndarray | None = None, *, picked: bool = False
    ) -> None:
        """Keep scores (images, outputs) and labels of an evaluation, for intervals over images.

        Args:
            scores: (images, outputs), probabilities.
            labels: (images,) or (images, labels).
            patients: (images,) who each image shows, if known; kept as numbers, without the names.
            picked: whether it is the best by the validation split so far, and not the last one.
        """
        kept = {"scores": torch.from_numpy(scores), "labels": torch.from_numpy(np.array(labels))}
        if patients is not None:
            kept["patients"] = torch.from_numpy(np.unique(patients, return_inverse=True)[1])
        write_tensors(self.picked_path if picked else self.predictions_path, kept)

    def predictions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Scores, labels and patients (None where unknown) at the end of the run.

        That is the evaluation that the validation split picks, or the last one without such a split.
        """
        return self._predictions(self.picked_path if self.picked_path.exists() else self.predictions_path)

    def last_predictions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """The same of the last evaluation."""
        return self._predictions(self.predictions_path)

    @staticmethod
    def _predictions(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        tensors = load_file(path)
        patients = tensors.get("patients")
        return tensors["scores"].numpy(), tensors["labels"].numpy(), None if patients is None else patients.numpy()

    def finish(self, result: dict[str, Any]) -> None:
        """Mark the run as finished; nothing repeats it after this."""
        write_json(self.result_path, result)
        self.checkpoint_path.unlink(missing_ok=True)

    def result(self) -> dict[str, Any]:
        """What ``finish`` recorded."""
        return read_json(self.result_path, self._remedy)

    def fail(self, error: str, trace: str, *, retry: bool) -> None:
        """Record a failure; ``retry`` says whether the same command should try again."""
        write_json(self.failure_path, {"error": error, "retry": retry, "traceback": trace.splitlines()})

    def failure(self) -> dict[str, Any]:
        """What ``fail`` recorded, or {}."""
        return read_json(self.failure_path, self._remedy) if self.failure_path.exists() else {}

    def note_told(self, told: dict[str, Any]) -> None:
        """Record how far each tracker knows the curve."""
        write_json(self.told_path, told)

    def told(self) -> dict[str, Any]:
        """What ``note_told`` recorded, or {}."""
        return read_json(self.told_path, self._remedy) if self.told_path.exists() else {}


def run_around(path: Path) -> RunFiles | None:
    """The run whose folder, or weight file, is at a path; None where it is nothing of a run."""
    folders = [path] if path.is_dir() else [path.parent, *([path.parents[1]] if path.parent.name == SNAPSHOTS else [])]
    return next((files for files in map(RunFiles, folders) if files.spec_path.exists()), None)


class Store:
    """The folder of one study."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec_path = folder / "study.json"
        self.grid_path = folder / "grid.json"
        self.card_path = folder / "data.json"
        self.report_path = folder / "report.html"
        self.figures_path = folder / "figures"
        self.trackers_path = folder / "trackers"

    @property
    def exists(self) -> bool:
        """Whether a study has been started here."""
        return self.spec_path.exists()

    def spec(self) -> StudySpec:
        """The study's spec, read back.

        Raises:
            StoreError: if there is none.
        """
        if not self.exists:
            raise StoreError(
                f"There is no study in {self.folder}: it has no {self.spec_path.name}. Give a folder made by --out."
            )
        return StudySpec.read(self.spec_path)

    def begin(self, spec: StudySpec, grid: list[RunSpec], donor_run: RunSpec | None, card: dict[str, Any]) -> None:
        """Record the study, its runs and its data; runs of an earlier grid stay where they are.

        Raises:
            StoreError: if the folder holds a study of other data.
        """
        fingerprint = grid[0].task.fingerprint
        self._refuse_other_data(spec.task, fingerprint)
        for run in [*grid, *([donor_run] if donor_run else [])]:
            self.run(run.id).declare(run)
        write_json(self.card_path, card)
        compared = spec.representations and spec.representations.id
        ids = [run.id for run in grid]
        write_json(self.grid_path, {"runs": ids, "fingerprint": fingerprint, "representations": compared})
        write_text(self.spec_path, spec.to_json())

    def _refuse_other_data(self, task: TaskSpec, fingerprint: str | None) -> None:
        """What was concluded here must not be replaced by a study of other images."""
        if not self.exists or not self.grid_path.exists() or self._grid()["fingerprint"] == fingerprint:
            return
        earlier = self.spec().task
        if not _same_place(earlier.data, task.data):
            raise StoreError(
                f"{self.folder} holds a study of other data, {earlier.data}, and this one is of {task.data}. "
                "Give this study a folder of its own with --out."
            )
        if earlier.with_values(data=task.data) == task:
            raise StoreError(
                f"The data in {task.data} are no longer those of the study in {self.folder}, whose runs stay what they "
                "are. Restore the images and labels to resume it, or study the new ones in a folder of their own with "
                "--out."
            )

    def grid(self) -> list[RunFiles]:
        """The runs of the study as it was last started, in order, finished or not."""
        return [self.run(run_id) for run_id in self._grid()["runs"]] if self.exists else []

    def _grid(self) -> dict[str, Any]:
        return read_json(self.grid_path, AGAIN)

    def card(self) -> dict[str, Any]:
        """The data card, or {}."""
        return read_json(self.card_path, AGAIN) if self.card_path.exists() else {}

    def run(self, run_id: str) -> RunFiles:
        """The folder of one run, made or not."""
        return RunFiles(self.folder / "runs" / run_id)

    def donor_path(self, fingerprint: str) -> Path:
        """Where a donor's weights are kept."""
        return self.folder / "donors" / f"{fingerprint}.safetensors"

    def keep_donor(self, name: str, weights: Path) -> None:
        """Copy final weights of a run to where runs look for a donor."""
        if not self.donor_path(name).exists():
            write_tensors(self.donor_path(name), load_file(weights))

    def representation_path(self, unit: str, suffix: str) -> Path:
        """Where a unit of comparisons is kept, under the settings of the study as it is."""
        return self.folder / "representations" / str(self._grid()["representations"]) / f"{unit}.{suffix}"

    def find_run(self, run_id: str) -> Path:
        """The final weights of a run of this study or of one beside it, by id or the start of one.

        Raises:
            StoreError: if none or several match.
        """
        folders = [*self.folder.parent.glob(f"*/runs/{run_id}*"), *self.folder.glob(f"runs/{run_id}*")]
        runs = [files for files in map(RunFiles, folders) if files.after_path.exists() or files.spec_path.exists()]
        found = {files.id: files.after_path for files in runs if files.after_path.exists()}
        if len(found) == 1:
            return next(iter(found.values()))
        if runs and not found:
            raise StoreError(f"{runs[0].no_weights} Name another run.")
        what = f"{len(found)} finished runs start" if found else "No finished run starts"
        where = f"{self.folder} or beside it" if self.exists else f"the studies of {self.folder.parent.absolute()}"
        raise StoreError(
            f"{what} with '{run_id}' in {where}. Each folder under runs/ is an id; file:PATH names weights elsewhere."
        )


def _same_place(one: str, other: str) -> bool:
    """Whether two ways of naming data, as ``TaskSpec.data`` does, name the same place."""
    return one == other or Path(one).expanduser().resolve() == Path(other).expanduser().resolve()
