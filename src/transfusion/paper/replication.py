"""A recipe carried out: its parts share one store of runs, and what they say is judged claim by claim."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from transfusion.errors import StoreError
from transfusion.files import write_text
from transfusion.filters import gabor_score
from transfusion.paper.claims import Claim
from transfusion.paper.evidence import Evidence, Finding, Part
from transfusion.paper.grids import PAPER, Choices, PaperRecipe, blocks_of
from transfusion.progress import track
from transfusion.report.layers import first_layer, tensor_stages
from transfusion.runs.frames import similarity, tidy
from transfusion.runs.store import RunFiles, Store
from transfusion.runs.tensors import read_tensors
from transfusion.spec import StudySpec
from transfusion.study import Outcome, Study
from transfusion.verdict.stored import class_columns

SHARED = ("runs", "donors")  # folders that the parts of a recipe have in common
LEAST_SIDE = 5  # pixels: smaller filters fit anything


class Replication:
    """A recipe of the paper in one folder: ``parts/NAME`` are studies whose runs lie in ``runs``, each there once.

    Args:
        name: of the recipe.
        choices: what the user decides about it.
        folder: where everything is kept.
        only: names of items; empty for all.
        cache: of decoded images; None is the user's cache folder.

    Raises:
        UnknownNameError: there is no such recipe or item.
        SpecError: it needs data and none are given.
    """

    def __init__(
        self, name: str, choices: Choices, folder: Path, only: tuple[str, ...] = (), cache: Path | None = None
    ) -> None:
        self.name, self.choices, self.folder, self.cache = name, choices, folder, cache
        self.recipe: PaperRecipe = PAPER[name]
        self.specs: Mapping[str, StudySpec] = self.recipe.parts(choices, only)

    @cached_property
    def studies(self) -> dict[str, Study]:
        """Part -> its study; folders are made on first use."""
        return {name: self._study(name, spec) for name, spec in self.specs.items()}

    def run(self, *, workers: int | None = None, progress: bool = True) -> dict[str, Outcome]:
        """Carry out every run that is not finished; safe to interrupt, and to call again."""
        return {name: study.run(workers=workers, progress=progress) for name, study in self.studies.items()}

    @property
    def stores(self) -> dict[str, Store]:
        """Every part that was ever started in this folder, also by an earlier call with other items."""
        folders = sorted((self.folder / "parts").glob("*/study.json"))
        return {path.parent.name: Store(path.parent) for path in folders}

    def evidence(self, *, progress: bool = False) -> Evidence:
        """What is on disk, part by part."""
        return Evidence({name: _part(name, store, progress) for name, store in self.stores.items()})

    def findings(self, claims: tuple[Claim, ...], *, progress: bool = False) -> list[tuple[Claim, Finding]]:
        """What became of each claim."""
        evidence = self.evidence(progress=progress)
        return [(claim, claim.judge(evidence)) for claim in claims]

    def _study(self, name: str, spec: StudySpec) -> Study:
        folder = self.folder / "parts" / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for shared in SHARED:
                (self.folder / shared).mkdir(exist_ok=True)
                if not (folder / shared).is_symlink():
                    (folder / shared).symlink_to(Path("..") / ".." / shared, target_is_directory=True)
        except OSError as error:
            raise StoreError(f"Cannot make {folder}: {error}. Give --out a folder that takes links.") from error
        return Study(spec, folder, cache=self.cache)


def to_frame(judged: list[tuple[Claim, Finding]]) -> pd.DataFrame:
    """One row per claim: ``id section says estimand outcome estimate low high n unit why own``."""
    frame: pd.DataFrame = pd.DataFrame([_row(claim, finding) for claim, finding in judged])
    return frame


def write_claims(judged: list[tuple[Claim, Finding]], path: Path) -> None:
    """Write ``to_frame`` as CSV."""
    write_text(path, to_frame(judged).to_csv(index=False))


def _row(claim: Claim, finding: Finding) -> dict[str, object]:
    estimate = finding.estimate
    numbers = (estimate.estimate, estimate.low, estimate.high, estimate.n) if estimate else (None,) * 4
    return {
        "id": claim.id,
        "section": claim.section,
        "says": claim.says,
        "estimand": claim.estimand,
        "outcome": str(finding.outcome),
        **dict(zip(("estimate", "low", "high", "n"), numbers, strict=True)),
        "unit": finding.unit,
        "why": finding.why,
        "own": str(claim.own().outcome) if claim.own else None,
    }


def _part(name: str, store: Store, progress: bool) -> Part:
    grid, spec = store.grid(), store.spec()
    frame, card = tidy(grid), store.card()
    classes = class_columns(card, spec.train.eval_split, frame)
    frame = frame.rename(columns={column: f"auc:{label}" for column, (label, _) in classes.items()})
    whole = card.get("images", {}).get("train")
    if whole and len(frame):  # claims about amounts of data need counts, also of all images
        frame = frame.assign(size=frame["size"].fillna(whole))
    filters = pd.DataFrame()
    if name in ("t1", "f14"):
        rows = track(((1, row) for row in _filters(grid)), "Scoring filters", _num_files(grid), progress)
        filters = pd.DataFrame([row for row in rows if row])
    return Part(frame, similarity(store), ("stem", *blocks_of(spec.model), "head"), filters)


def _num_files(grid: list[RunFiles]) -> int:
    return sum(len(files.weights()) for files in grid)


def _filters(grid: list[RunFiles]) -> Iterator[dict[str, object] | None]:
    """How many first-layer filters of every kept state are Gabor-like, and of what training changed."""
    for files in grid:
        spec, paths = files.spec(), files.weights()
        first: str | None = None
        before = None
        for step, path in paths.items():
            weights = read_tensors(path)
            first = first or first_layer(tensor_stages(files), weights)
            if first is None or weights[first].shape[-1] < LEAST_SIDE:
                yield None
                continue
            last = step == spec.train.steps
            when = "before" if step == 0 else "after" if last else "during"
            base = {"start": spec.scheme.label, "seed": spec.seed, "fraction": step / spec.train.steps}
            yield {**base, "when": when, "share": gabor_score(weights[first]).share}
            before = weights[first] if step == 0 else before
            if last and before is not None and not before.equal(weights[first]):
                yield {**base, "when": "difference", "share": gabor_score(weights[first] - before).share}


@dataclass(frozen=True)
class Cost:
    """What a part would take.

    Attributes:
        runs: of its grid that are not finished.
        images: that they train on, counting every pass.
    """

    runs: int
    images: int


def cost_of(study: Study) -> Cost:
    """Runs and images of a part that are still to be trained; reads the data."""
    runs = [run for run in study.runs() if study.store.run(run.id).wanted]
    return Cost(len(runs), sum(run.train.steps * run.train.batch_size for run in runs))
