"""What the report of a study is made from: everything on disk, read once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from transfusion.errors import SpecError, StoreError
from transfusion.metrics import Metric, judging
from transfusion.report.table import with_sizes
from transfusion.runs.frames import similarity, tidy
from transfusion.runs.store import RunFiles, Store
from transfusion.spec import StudySpec
from transfusion.verdict import Verdict
from transfusion.verdict.likeness import named
from transfusion.verdict.stored import class_columns, conclude_study


@dataclass(frozen=True)
class Material:
    """A study as stored, finished or not. Sections are functions of it.

    Attributes:
        store: the study.
        folder: where the page goes; the study's own if not given.
        examples: whether test images are shown; as the study says if not given.
        cache: of decoded images; None is the user's cache folder.
    """

    store: Store
    folder: Path | None = None
    examples: bool | None = None
    cache: Path | None = None

    @cached_property
    def spec(self) -> StudySpec:
        """The settings of the study."""
        return self.store.spec()

    @property
    def shows_images(self) -> bool:
        """Whether test images may be shown."""
        return self.spec.examples if self.examples is None else self.examples

    @cached_property
    def card(self) -> dict[str, Any]:
        """The data card, or {} where it is gone or damaged."""
        try:
            return self.store.card()
        except StoreError:  # the page says so; curves can be judged without it
            return {}

    @cached_property
    def _sorted_out(self) -> tuple[list[RunFiles], dict[str, str]]:
        """The runs that can be read, and why the others cannot."""
        runs, lost = [], {}
        for files in self.store.grid():
            try:
                files.spec(), files.machine(), files.curve()  # all that sections read: a page half made would be lost
                runs.append(files)
            except (SpecError, StoreError) as error:
                lost[files.id] = str(error)
        return runs, lost

    @cached_property
    def runs(self) -> list[RunFiles]:
        """Every run of the grid whose records can be read, in order, finished or not."""
        return self._sorted_out[0]

    @cached_property
    def lost(self) -> dict[str, str]:
        """Run id -> why nothing can be said of it: its records are gone or damaged."""
        return self._sorted_out[1]

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row per run and evaluation, as ``Study.frame`` gives it, and ``name``: start and size in words."""
        frame = tidy(self.runs)
        named: pd.DataFrame = frame.assign(name=with_sizes(frame))
        return named

    @cached_property
    def verdict(self) -> Verdict:
        """What the curves say."""
        return conclude_study(self.store, self.card, self.runs, self.frame)

    @cached_property
    def judge(self) -> Metric:
        """The metric that the study is judged by."""
        classes = class_columns(self.card, self.spec.train.eval_split, self.frame)
        return judging(self.spec.metric, [name for name, _ in classes.values()])

    @cached_property
    def similarity(self) -> pd.DataFrame:
        """How alike the networks are, by start and seed, see ``verdict.likeness.named``; empty without comparisons."""
        return named(self.frame, similarity(self.store))

    @cached_property
    def whole(self) -> pd.DataFrame:
        """The rows of the largest data size, on which the verdict rests."""
        sizes = self.frame["size"]
        rows: pd.DataFrame = self.frame[sizes.isna() if sizes.isna().any() else sizes == sizes.max()]
        return rows

    @cached_property
    def finished(self) -> list[RunFiles]:
        """The finished runs, in order."""
        return [files for files in self.runs if files.state == "done"]
