"""Everything a study leaves on disk; the only owner of file names.

::

    DIR/
      study.json                the spec of the study
      grid.json                 ids of its runs, in order, of its own donor's run, and which data they learn
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
        scores.safetensors      the scores of every evaluation
        after.safetensors       weights at the end
        result.json             written last: the run is finished
        failure.json            why it failed, with its traceback
        trackers.json           what each tracker has received, if there are any
        step                    how far an unfinished run is, for displays
        lock                    held by the process that works on it
      representations/KEY/      how alike the networks are; KEY stands for the settings
        UNIT.csv                similarity by stage and pair of weights
        UNIT.safetensors        activations of two images

Whole files are written beside their name and renamed into place; the curve is appended to and a torn last line
is dropped on reading. So what was computed survives a kill at any moment. Every file carries a checksum or can be
made again: what is damaged is found, named and repeated, never trained upon.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from transfusion.errors import SpecError, StoreError
from transfusion.files import read_json, real_place, write_json
from transfusion.runs.run_files import AGAIN, SNAPSHOTS, RunFiles, State, run_around
from transfusion.runs.tensors import read_tensors, write_tensors, write_weights
from transfusion.spec import RunSpec, StudySpec, TaskSpec

__all__ = [
    "SNAPSHOTS",
    "RunFiles",
    "State",
    "Store",
    "read_tensors",
    "run_around",
    "write_tensors",
    "write_weights",
]


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
        self.runs_path = folder / "runs"
        self.comparisons_path = folder / "representations"

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
        return StudySpec.parse(read_json(self.spec_path, AGAIN))

    def begin(
        self,
        spec: StudySpec,
        grid: list[RunSpec],
        donor_run: RunSpec | None,
        card: dict[str, Any],
        donor: tuple[str, dict[str, Tensor]] | None = None,
    ) -> None:
        """Record the study, its donor, its runs and its data; runs of an earlier grid stay where they are.

        Raises:
            StoreError: if the folder holds a study of other data.
        """
        fingerprint = grid[0].task.fingerprint
        self._refuse_other_data(spec.task, fingerprint)
        if donor:
            self.keep_donor(*donor)  # before the grid: workers may be at work already
        for run in [*grid, *([donor_run] if donor_run else [])]:
            self.run(run.id).declare(run)
        write_json(self.card_path, card)
        compared = spec.representations and spec.representations.id
        ids = [run.id for run in grid]
        first = donor_run and donor_run.id
        values = {"runs": ids, "donor_run": first, "fingerprint": fingerprint, "representations": compared}
        write_json(self.grid_path, values)
        write_json(self.spec_path, spec.model_dump(mode="json"))  # last: a study exists once its spec does

    def _refuse_other_data(self, task: TaskSpec, fingerprint: str | None) -> None:
        """What was concluded here must not be replaced by a study of other images."""
        # the content decides, not the path: data that moved are the same data
        if not self.exists or fingerprint in self._fingerprints():
            return
        try:
            earlier = self.spec().task
        except (StoreError, SpecError):  # damaged; it says nothing, and is written anew
            return
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

    def _fingerprints(self) -> Iterator[str | None]:
        """Of the data that this study's runs learn; of all runs in the folder, where the record is damaged."""
        with contextlib.suppress(StoreError):
            yield self._grid()["fingerprint"]
            return
        for path in (self.folder / "runs").glob("*"):
            with contextlib.suppress(StoreError, SpecError):
                yield RunFiles(path).spec().task.fingerprint

    def grid(self) -> list[RunFiles]:
        """The runs of the study as it was last started, in order, finished or not."""
        return [self.run(run_id) for run_id in self._grid()["runs"]] if self.exists else []

    def donor_run(self) -> RunFiles | None:
        """The run whose weights are the study's donor, where it trains one itself."""
        known = self._grid()["donor_run"] if self.exists else None
        return known and self.run(known)

    def _grid(self) -> dict[str, Any]:
        return read_json(self.grid_path, AGAIN)

    def card(self) -> dict[str, Any]:
        """The data card, or {}."""
        return read_json(self.card_path, AGAIN) if self.card_path.exists() else {}

    def note(self, sentences: Iterable[str]) -> None:
        """Add to the notes of the data card what became known while the study ran."""
        card = self.card()
        notes = list(dict.fromkeys([*card.get("notes", []), *sentences]))
        if notes != card.get("notes", []):
            write_json(self.card_path, {**card, "notes": notes})

    def run(self, run_id: str) -> RunFiles:
        """The folder of one run, made or not."""
        return RunFiles(self.runs_path / run_id)

    def donor_path(self, fingerprint: str) -> Path:
        """Where a donor's weights are kept."""
        return self.folder / "donors" / f"{fingerprint}.safetensors"

    def beside(self, run_id: str) -> RunFiles | None:
        """A run that a study beside this one has finished, whole; the id says that it is the one that is meant."""
        found = map(RunFiles, self.folder.parent.glob(f"*/runs/{run_id}"))  # a half-copied run is damaged or not "done"
        return next((files for files in found if files.state == "done" and not files.damage()), None)

    def adopt(self, run_id: str) -> None:
        """Copy a run that a study beside this one has finished, unless it was begun here."""
        mine, theirs = self.run(run_id), self.beside(run_id)
        if theirs is not None and not mine.machine_path.exists():
            with mine.claim() as free:
                if free:
                    mine.take(theirs)

    def keep_donor(self, name: str, weights: dict[str, Tensor]) -> None:
        """Keep weights where runs look for a donor."""
        if not self.donor_path(name).exists():  # a name stands for one content: a hash, or a run's id
            write_tensors(self.donor_path(name), weights)

    @property
    def representations_folder(self) -> Path:
        """Where comparisons are kept, under the settings of the study as it is."""
        return self.comparisons_path / str(self._grid()["representations"])

    def representation_path(self, unit: str, suffix: str) -> Path:
        """Where a unit of comparisons is kept."""
        return self.representations_folder / f"{unit}.{suffix}"

    def gabor_path(self, layer: str) -> Path:
        """Where the Gabor fits of a layer are kept, by a hash of its weights: they take seconds each."""
        return self.folder / "filters" / f"{layer}.safetensors"

    def find_run(self, run_id: str) -> Path:
        """The final weights of a run of this study or of one beside it; see ``find_run``."""
        return find_run(self.folder.parent, run_id)


def _same_place(one: str, other: str) -> bool:
    """Whether two ways of naming data, as ``TaskSpec.data`` does, name the same place."""
    return one == other or real_place(one) == real_place(other)


def find_run(studies: Path, run_id: str) -> Path:
    """The final weights of a run of the studies in a folder, by id or the start of one.

    Raises:
        StoreError: if none or several match.
    """
    folders = map(RunFiles, studies.glob(f"*/runs/{run_id}*"))
    runs = [files for files in folders if files.after_path.exists() or files.spec_path.exists()]
    # by id: a run that two studies share is one run, and either copy will do
    found = {files.id: files.after_path for files in runs if files.after_path.exists()}
    if len(found) == 1:
        return next(iter(found.values()))
    if runs and not found:
        raise StoreError(f"{runs[0].no_weights} Name another run.")
    what = f"{len(found)} finished runs start" if found else "No finished run starts"
    raise StoreError(
        f"{what} with '{run_id}' in the studies of {studies.absolute()}. Each folder under runs/ is an id; file:PATH "
        "names weights elsewhere."
    )
