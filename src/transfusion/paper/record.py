"""What a recipe left in its folder: evidence, findings, the table of claims."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from transfusion.errors import StoreError
from transfusion.files import read_json, write_text
from transfusion.metrics import Interval, judging
from transfusion.paper.claims import CLAIMS, Claim
from transfusion.paper.data import Identity, Scope, disease_of, identity_of
from transfusion.paper.evidence import Evidence, Finding, Part
from transfusion.paper.grids import PAPER, blocks_of
from transfusion.report.layers import first_layer, tensor_stages
from transfusion.report.weights import key_of_layer, scores_of
from transfusion.runs.frames import runs_of, similarity, tidy
from transfusion.runs.store import RunFiles, Store
from transfusion.runs.tensors import read_tensors
from transfusion.verdict.curves import read
from transfusion.verdict.stored import class_columns
from transfusion.verdict.tally import count

MEMORY = "recipe.json"  # which recipe a folder holds, and what its data are
FILTERED = ("t1", "t5", "f14")  # parts whose first-layer filters are judged
LEAST_JUDGED_SIDE = 5  # pixels: a Gabor fits any smaller filter; drawn are those of ``layers.LEAST_SIDE``


class Record:
    """What a recipe left in its folder: all that pages and claims are made from.

    Args:
        folder: of a recipe.
        beside: folders of other recipes, for the claims over all settings.

    Raises:
        StoreError: there is no recipe in one of them, or two are of one recipe.
    """

    def __init__(self, folder: Path, beside: Sequence[Path] = ()) -> None:
        self.folder, self.memory = folder, remembered(folder)
        self.name = str(self.memory["recipe"])
        self.recipe = PAPER[self.name]
        self.beside = [Record(each) for each in beside]
        # parts are known by name, so of two folders of one recipe one would silently hide the other
        names = [self.name, *(each.name for each in self.beside)]
        if twice := [name for name in names if names.count(name) > 1]:
            raise StoreError(f"Two folders hold the recipe {twice[0]}: a claim over all settings needs one of each.")

    @property
    def identity(self) -> Identity:
        """What the data are."""
        return identity_of(self.memory["data"])

    @property
    def is_miniature(self) -> bool:
        """Whether it was run with a small network and few steps."""
        return bool(self.memory["mini"])

    @property
    def changed(self) -> tuple[str, ...]:
        """What the user put in place of the recipe's: ``model``, ``image_size``, ``donors``."""
        return tuple(self.memory["changed"])

    @property
    def scope(self) -> str:
        """How near it is to what the paper did: ``same kind, miniature``."""
        changed = f"other {' and '.join(self.changed)}" if self.changed else ""
        return ", ".join(filter(None, (str(self.identity.scope), "miniature" if self.is_miniature else "", changed)))

    @property
    def has_data(self) -> bool:
        """Whether its data are the paper's, whole."""
        return self.identity.scope is Scope.SAME_DATA

    @property
    def has_levels(self) -> bool:
        """Whether its levels may be set beside the paper's: its data, its network, all of it."""
        return self.scope == str(Scope.SAME_DATA)  # any addition to it, "miniature" or a change, is a reason not to

    @cached_property
    def stores(self) -> dict[str, Store]:
        """Every part that was ever started in this folder, also by an earlier call with other items."""
        folders = sorted((self.folder / "parts").glob("*/study.json"))
        return {path.parent.name: Store(path.parent) for path in folders}

    @cached_property
    def parts(self) -> dict[str, Part]:
        """What each part says, from what is on disk."""
        return {name: replace(_part(name, store), has_levels=self.has_levels) for name, store in self.stores.items()}

    @cached_property
    def evidence(self) -> Evidence:
        """All parts of this recipe and of those beside it."""
        parts = {name: part for each in (*self.beside, self) for name, part in each.parts.items()}
        return Evidence(parts, dict(_commands(" --mini" if self.is_miniature else "")))

    @cached_property
    def findings(self) -> list[tuple[Claim, Finding]]:
        """What became of each claim."""
        return [(claim, claim.judge(self.evidence)) for claim in CLAIMS[self.name]]

    def positives(self, part: str) -> dict[str, int]:
        """Positive test images of every finding of a part; empty where labels are no findings."""
        card = self.stores[part].card()
        counts = {str(name): int(count) for name, count in card.get("classes", {}).get("test", {}).items()}
        if card.get("kind") == "multilabel":
            return {disease_of(name) or name: count for name, count in counts.items()}
        return {name: counts[label] for label in counts if (name := disease_of(label)) and name == _only_disease(card)}

    def scope_of(self, claim: Claim) -> str:
        """How near a claim's runs are to the paper's: of all recipes for one over all settings."""
        if not claim.id.startswith("I") and claim.id != "F4":
            return self.scope
        scopes = {each.name: each.scope for each in (self, *self.beside)}
        if len(set(scopes.values())) == 1:
            return self.scope
        return "; ".join(f"{name}: {scope}" for name, scope in scopes.items())


def _commands(scale: str) -> Iterator[tuple[str, str]]:
    """Part -> what runs it, by the first of its items."""
    for recipe, about in PAPER.items():
        for item in reversed(about.items):  # so that in a dict of these the first of a part's items stays
            yield from (
                (part, f"transfusion paper {recipe} --data DIR{scale} --only {item.name}") for part in item.parts
            )


def neighbours(folder: Path) -> list[Path]:
    """Folders of the other recipes that lie where they are by default: ``paper-NAME`` beside this one."""
    others = (folder.parent / f"paper-{name}" for name in PAPER if name != remembered(folder)["recipe"])
    return [other for other in others if (other / MEMORY).is_file()]


def remembered(folder: Path) -> dict[str, Any]:
    """Which recipe a folder holds, and what its data are.

    Raises:
        StoreError: there is none, or it is damaged.
    """
    if not (folder / MEMORY).is_file():
        raise StoreError(f"There is no recipe of the paper in {folder}: it has no {MEMORY}. Run transfusion paper.")
    return read_json(folder / MEMORY, "Run the same transfusion paper command again.")


def to_frame(record: Record) -> pd.DataFrame:
    """One row per claim: ``id section says estimand scope outcome estimate low high n unit why`` and ``own`` of each.

    ``own`` columns are the same rule on the numbers that the paper prints.
    """
    frame: pd.DataFrame = pd.DataFrame([_row(record, claim, finding) for claim, finding in record.findings])
    return frame


def write_claims(record: Record) -> Path:
    """Write ``to_frame`` as CSV beside the page; returns its path."""
    path = record.folder / "claims.csv"
    write_text(path, to_frame(record).to_csv(index=False))
    return path


def _row(record: Record, claim: Claim, finding: Finding) -> dict[str, object]:
    own = claim.own() if claim.own else None
    return {
        "id": claim.id,
        "section": claim.section,
        "says": claim.says,
        "estimand": claim.estimand,
        "scope": record.scope_of(claim),
        "outcome": str(finding.outcome),
        **_numbers(finding.estimate),
        "unit": finding.unit,
        "why": finding.reason,
        "own": str(own.outcome) if own else None,
        **{f"own_{name}": value for name, value in _numbers(own.estimate if own else None).items()},
    }


def _numbers(estimate: Interval | None) -> dict[str, float | None]:
    values = (estimate.estimate, estimate.low, estimate.high, estimate.n) if estimate else (None,) * 4
    return dict(zip(("estimate", "low", "high", "n"), values, strict=True))


def _part(name: str, store: Store) -> Part:
    grid, spec = store.grid(), store.spec()
    frame, card = tidy(grid), store.card()
    classes = class_columns(card, spec.train.eval_split, frame)
    # the claims name diseases as the paper does; columns are numbered, and classes spelt as the data has them
    frame = frame.rename(
        columns={column: f"auc:{disease_of(label) or label}" for column, (label, _) in classes.items()}
    )
    if disease := _only_disease(card):
        frame[f"auc:{disease}"] = frame["auc"]  # one disease against none: its AUC is that of the task
    whole = card.get("images", {}).get("train")
    if whole and len(frame):  # claims about amounts of data need counts, also of all images
        frame = frame.assign(size=frame["size"].fillna(whole))
    shares = _gabor(store, grid) if name in FILTERED else pd.DataFrame()
    grids = read(frame, judging(spec.metric, []).column) if len(frame) else []
    lost = {start: tally.lost for start, tally in count(frame, grids, runs_of(grid)).items()}
    stages = ("stem", *blocks_of(spec.model), "head")
    return Part(frame, similarity(store), stages, shares, spec.model, lost=lost)


def _only_disease(card: Mapping[str, Any]) -> str | None:
    """What a task of two classes tells from its absence, if that is a finding of ChestX-ray14."""
    names = list(card.get("classes", {}).get("test", {}))
    return disease_of(names[int(card["positive"])]) if card.get("kind") == "binary" and names else None


def _gabor(store: Store, grid: list[RunFiles]) -> pd.DataFrame:
    """How many first-layer filters of every kept state are Gabor-like, and of what training changed."""
    rows = [row for files in grid for row in _states(files)]
    scores = scores_of(store, [layer for _, layer in rows])
    judged = [{**row, "share": score.share, "chance": float(np.nanmedian(score.chance))}
              for row, layer in rows for score in [scores.get(key_of_layer(layer))] if score]  # fmt: skip
    found: pd.DataFrame = pd.DataFrame(judged)
    return found


def layers_of(files: RunFiles) -> dict[int, Tensor]:
    """Step -> first layer of every kept state of a run; empty where it has no picture or is not finite."""
    layers: dict[int, Tensor] = {}
    for step, path in files.weights().items():
        weights = read_tensors(path)
        first = first_layer(tensor_stages(files), weights)
        if first is None or not weights[first].isfinite().all():
            return {}  # all states, as a diverged run's early ones would be counted among trained networks
        layers[step] = weights[first]
    return layers


def _states(files: RunFiles) -> Iterator[tuple[dict[str, object], Tensor]]:
    """The first layer of a run before, along and after its training, and after minus before."""
    spec, layers = files.spec(), layers_of(files)
    if not layers or min(layers[0].shape[2:]) < LEAST_JUDGED_SIDE:
        return
    last, about = spec.train.steps, {"start": spec.scheme.label, "seed": spec.seed}
    for step, layer in layers.items():
        when = "before" if step == 0 else "after" if step == last else "during"
        yield about | {"step": step, "fraction": step / last, "when": when}, layer
    if {0, last} <= layers.keys() and not layers[0].equal(layers[last]):
        added = layers[last].double() - layers[0].double()  # in float32 a small change is mostly rounding
        yield about | {"step": last, "fraction": 1.0, "when": "difference"}, added
