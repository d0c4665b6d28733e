"""The page of a recipe: did it replicate, the paper's numbers beside ours, the figures, and what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from transfusion.files import write_text
from transfusion.metrics import Interval
from transfusion.paper.claims import Claim
from transfusion.paper.evidence import Evidence, Finding
from transfusion.paper.published import STARTS, TABLES, agreement
from transfusion.paper.replication import Replication
from transfusion.paper.rules import Outcome
from transfusion.report.page import render
from transfusion.report.parts import Cell, Listing, Section, Table
from transfusion.spec import StudySpec
from transfusion.verdict.curves import read

WORDS = {Outcome.REPLICATED: "agrees", Outcome.CONTRADICTED: "differs", Outcome.CANNOT_TELL: "open"}
TABLE_OF = {"t1": "T1", "t2": "T2", "t4": "T4", "t5": "T5"}


def write_page(replication: Replication, judged: Sequence[tuple[Claim, Finding]]) -> Path:
    """Make ``replication.html`` in the recipe's folder from what is on disk; returns its path."""
    path, evidence = replication.folder / "replication.html", replication.evidence()
    sections = [
        _claims(replication, judged),
        *_tables(evidence, replication),
        _differences(replication),
        _links(replication),
    ]
    counts = Counter(finding.outcome for _, finding in judged)
    text = render(
        f"Did it replicate? {replication.recipe.shows}",
        ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome]) + ".",
        [Listing(tuple(_scope(replication)))],
        sections,
        folder=replication.folder,
    )
    write_text(path, text)
    return path


def _scope(replication: Replication) -> Iterator[str]:
    scope = "miniature" if replication.choices.mini else replication.recipe.scope
    yield f"Scope: {scope}. Levels are set beside the paper's only on its own data; elsewhere contrasts are judged."
    yield "Within a family (diseases, sizes, stages, modes) intervals are widened; across claims they are not."
    yield "Of 20 claims without any effect, one will look like one."


def _claims(replication: Replication, judged: Sequence[tuple[Claim, Finding]]) -> Section:
    rows = tuple(
        (claim.id, claim.says, claim.section, _number(finding), str(finding.outcome), _own(claim), finding.why)
        for claim, finding in judged
    )
    columns = ("claim", "the paper says", "section", "here", "outcome", "its own numbers", "why")
    caption = (
        f"Every claim of the paper on {replication.name}, with our number, its 95 % interval over seeds and n. "
        "“Its own numbers” is the outcome of the same rule on what the paper prints."
    )
    return Section("claims", "Did it replicate?", (Table("claims", caption, columns, rows), _estimands(judged)))


def _estimands(judged: Sequence[tuple[Claim, Finding]]) -> Listing:
    return Listing(tuple(f"{claim.id}: {claim.estimand}" for claim, _ in judged), "What each claim was tested by")


def _number(finding: Finding) -> str:
    """Estimate, interval and n."""
    estimate = finding.estimate
    if estimate is None or np.isnan(estimate.estimate):
        return "-"
    form = {"times": ".2f", "share": ".0%", "way": "+.2f", "tau": "+.2f"}.get(finding.unit, "+.4f")
    unit = " times" if finding.unit == "times" else ""
    return f"{estimate.estimate:{form}}{unit}{_ends(estimate, form)} (n = {estimate.n})"


def _ends(estimate: Interval, form: str) -> str:
    if np.isnan(estimate.low):
        return ""
    low = "no limit" if np.isinf(estimate.low) or estimate.low == 0 else format(estimate.low, form)
    high = "no limit" if np.isinf(estimate.high) else format(estimate.high, form)
    return f" ({low} to {high})"


def _own(claim: Claim) -> str:
    if claim.own is None:
        return "none printed"
    found = claim.own()
    return f"{found.outcome}: {_number(found)}"


def _tables(evidence: Evidence, replication: Replication) -> Iterator[Section]:
    """The paper's tables with our numbers beside them."""
    for part, name in TABLE_OF.items():
        if part in evidence.parts and len(evidence.parts[part].frame):
            rows = tuple(_cells(evidence.parts[part].frame, name, replication.choices.mini))
            if rows:
                columns = ("column", "start", "paper", "here, mean ± sd", "difference", "")
                caption = f"Table {name[1:]}, {TABLES[name].title}: the paper's numbers and ours."
                yield Section(name.lower(), f"Table {name[1:]}", (Table(name.lower(), caption, columns, rows),))


def _cells(frame: pd.DataFrame, name: str, is_mini: bool) -> Iterator[tuple[Cell | str, ...]]:
    table = TABLES[name]
    for column, values in _ours(frame, name).items():
        for start in STARTS:
            ours, cell = values.get(start, ()), table.cells.get(column, {}).get(start)
            if not len(ours):
                continue
            spread = f" ± {np.std(ours, ddof=1):.3f}" if len(ours) > 1 else ""
            here = f"{np.mean(ours):.3f}{spread} (n = {len(ours)})"
            if cell is None or is_mini or name in ("T1", "T2"):  # other images: levels mean nothing
                yield (column, start, "-" if cell is None else f"{cell.mean:.3f} ± {cell.sd:g}", here, "-", "")
                continue
            found = agreement(ours, cell)
            gap = found.difference
            printed = f"{cell.mean:.3f} ± {cell.sd:g}"
            yield (column, start, printed, here, f"{gap.estimate:+.3f}{_ends(gap, '+.3f')}", WORDS[found.outcome])


def _ours(frame: pd.DataFrame, name: str) -> dict[str, dict[str, list[float]]]:
    """Column of the paper's table -> start -> final values."""
    if name == "T5":
        metrics = {column: f"auc:{column}" for column in TABLES[name].cells if f"auc:{column}" in frame}
        return {column: _finals(frame, metric, None) for column, metric in metrics.items()}
    metric = TABLES[name].metric
    if metric not in frame:
        return {}
    sizes = sorted(frame["size"].dropna().unique())
    if name == "T4":
        return {f"{size / 50_000:.0%}": _finals(frame, metric, size) for size in sizes}
    if name == "T1":
        return {"all": _finals(frame, metric, None)}
    return {f"{size:,.0f} images": _finals(frame, metric, size) for size in sizes}


def _finals(frame: pd.DataFrame, metric: str, size: float | None) -> dict[str, list[float]]:
    chosen = frame if size is None else frame[frame["size"] == size]
    grid = read(chosen, metric)[-1]
    complete = {
        start.name: [curve.final for curve in runs.values() if curve.is_complete(grid.budget)]
        for start, runs in grid.starts.items()
    }
    return {start: values for start, values in complete.items() if values}


def _differences(replication: Replication) -> Section:
    """What differs from the paper: settings that it states, and what it leaves open."""
    rows = tuple(
        (part, what, value) for part, spec in replication.specs.items() for what, value in _settings(spec).items()
    )
    caption = "The settings of every part. Where the paper states one, the recipe at full scale has it."
    table = Table("settings", caption, ("part", "setting", "value"), rows, is_folded=True)
    return Section("settings", "What was run", (table,))


def _settings(spec: StudySpec) -> Mapping[str, str]:
    train = spec.train
    length = f"{train.epochs:g} epochs" if train.epochs else f"{train.steps} steps"
    return {
        "network": spec.model,
        "donor": spec.donor if isinstance(spec.donor, str) else "trained by the recipe" if spec.donor else "none",
        "image size": f"{spec.task.image_size} px" if spec.task.image_size else "as stored",
        "optimiser": f"{train.optimizer}, learning rate {train.lr:g}, weight decay {train.weight_decay:g}",
        "length": f"{length} of {train.batch_size} images",
        "augmentation": train.augment,
        "head": f"{spec.head}, the same for all starts of a seed",
        "precision": train.precision,
        "seeds": ", ".join(map(str, spec.seeds)),
    }


def _links(replication: Replication) -> Section:
    lines = tuple(
        f"{item.name}, {item.shows}: part {', '.join(item.parts)}, page parts/{item.parts[0]}/report.html."
        for item in replication.recipe.items
        if set(item.parts) <= set(replication.stores)
    )
    return Section("items", "Figures and tables", (Listing(lines),))
