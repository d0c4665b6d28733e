"""The page of a recipe: did it replicate, the paper's numbers beside ours, its figures, and what differs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from transfusion.files import write_text
from transfusion.metrics import Interval
from transfusion.paper.claims import Claim
from transfusion.paper.differences import STATED, differences
from transfusion.paper.evidence import Finding
from transfusion.paper.gallery import gallery
from transfusion.paper.own_donor import own_donors
from transfusion.paper.record import Record
from transfusion.paper.rules import Outcome
from transfusion.paper.tables import Beside, columns_of
from transfusion.report.page import render
from transfusion.report.parts import Cell, Listing, Page, Picture, Section, Table

PARTS = {"T1": "t1", "T2": "t2", "T3": "t5", "T4": "t4", "T5": "t5"}
# where a claim's evidence is drawn: its id, or its group's letter
SHOWN_IN = {
    "A1": "T1", "A2": "T1", "A7": "F4", "A8": "F4", "A9": "F11", "A10": "F2", "A": "F3", "B": "F5",
    "C1": "T2", "C2": "T2", "C3": "T2", "C": "F13", "D5": "F6", "D6": "T5", "D": "T5",
    "E1": "T4", "E2": "T4", "E5": "T4", "E6": "T4", "E7": "T4", "E": "F7", "F3": "F14", "F4": "F14", "F": "F8",
    "G6": "F15", "G7": "F15", "G": "F9", "H4": "F18", "H": "F10",
}  # fmt: skip


def write_page(record: Record) -> Path:
    """Write ``replication.html`` to the recipe's folder, and ``figures/`` beside it; returns its path."""
    path, pictures = record.folder / "replication.html", list(gallery(record))
    figures = Section("figures", "The paper's figures, made here", tuple(pictures))
    tables = list(_tables(record))
    sections = [
        _claims(record, pictures, tables),
        *tables,
        *([figures] if pictures else []),
        *own_donors(record),
        differences(record),
        _parts(record),
    ]
    counts = Counter(finding.outcome for _, finding in record.findings)
    page = Page(
        f"Did it replicate? {record.recipe.shows}",
        ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome]) + ".",
        [Listing(tuple(_scope(record)))],
        sections,
    )
    write_text(path, render(page, record.folder))
    return path


def _scope(record: Record) -> Iterator[str]:
    yield f"Scope: {record.scope}. {record.identity.why}"
    networks = sorted({store.spec().model for store in record.stores.values()})
    if networks and networks != [STATED[record.name]["network"]]:
        yield f"The paper's network is {STATED[record.name]['network']}; here it is {' and '.join(networks)}."
    if not record.has_levels:
        yield "Levels are those of other images or another network; only contrasts between starts are judged."
    yield "Within a family (diseases, sizes, stages, modes) intervals are widened; across claims they are not."
    yield "Of 20 claims without any effect, one will look like one."


def _claims(record: Record, pictures: list[Picture], tables: list[Section]) -> Section:
    anchors = {picture.name: f"figure-{picture.name}" for picture in pictures}
    anchors |= {section.anchor.upper(): section.anchor for section in tables}
    rows = tuple(_row(record, claim, finding, anchors) for claim, finding in record.findings)
    columns = ("claim", "the paper says", "here", "outcome", "its own numbers", "see")
    caption = (
        f"Every claim of the paper on {record.name}, with our number, its 95 % interval over seeds and n; below a "
        f"claim its section, and its scope unless that is {record.scope}. “Its own numbers” is the outcome of the same "
        "rule on what the paper prints."
    )
    estimands = Listing(
        tuple(f"{claim.id}: {claim.estimand}" for claim, _ in record.findings), "What each claim was tested by"
    )
    table = Table("claims", caption, columns, rows, is_stacked=True)
    return Section("claims", "Did it replicate?", (table, estimands))


def _row(record: Record, claim: Claim, finding: Finding, anchors: dict[str, str]) -> tuple[Cell | str, ...]:
    shown = SHOWN_IN.get(claim.id) or SHOWN_IN.get(claim.id[0], "")
    # by its beginning: Figure 7 is F7a and F7b where there are several sizes
    place = next((anchor for name, anchor in anchors.items() if name.startswith(shown)), "") if shown else ""
    scope = record.scope_of(claim)
    below = ". ".join(filter(None, (claim.section, "" if scope == record.scope else scope)))
    return (
        claim.id,
        Cell(claim.says, claim.says, note=below),
        _number(finding),
        Cell(str(finding.outcome), str(finding.outcome), note=finding.reason),
        _own(claim),
        Cell(shown if place else "-", shown, link=place),
    )


def number_of(finding: Finding) -> str:
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
    # a ratio with a lower end of 0 has none: a run never got there
    low = "no limit" if np.isinf(estimate.low) or estimate.low == 0 else format(estimate.low, form)
    high = "no limit" if np.isinf(estimate.high) else format(estimate.high, form)
    return f" ({low} to {high})"


def _number(finding: Finding) -> Cell:
    """The estimate, and below it how sure it is."""
    number, _, rest = number_of(finding).partition(" (")
    return Cell(number, finding.estimate.estimate if finding.estimate else math.nan, note=f"({rest}" if rest else "")


def _own(claim: Claim) -> Cell | str:
    if claim.own is None:
        return "none printed"
    found = claim.own()
    return Cell(str(found.outcome), str(found.outcome), note=number_of(found))


def _tables(record: Record) -> Iterator[Section]:
    """The paper's tables with our numbers beside them, those that have any."""
    for name in (item.name for item in record.recipe.items if item.name in PARTS):
        part = record.parts.get(PARTS[name])
        ours = columns_of(name, part.frame) if part is not None and len(part.frame) else {}
        if ours:
            yield Beside(name, ours, record.positives(PARTS[name]), record.has_levels).section()


def _parts(record: Record) -> Section:
    lines = tuple(
        f"{item.name}, {item.shows}: part {', '.join(item.parts)}, page parts/{item.parts[0]}/report.html."
        for item in record.recipe.items
        if set(item.parts) <= set(record.stores)
    )
    return Section("items", "Studies behind the items", (Listing(lines),))
