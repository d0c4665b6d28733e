"""What the terminal says of a study at its end: decision, numbers, how sure, next command; the rest on request."""

from __future__ import annotations

import shlex
import shutil
import textwrap
from collections.abc import Iterable, Iterator

from transfusion.report.table import CurveTable
from transfusion.study import Outcome, Study
from transfusion.verdict import Verdict
from transfusion.verdict.statement import OPENING, TITLES, Statement

WIDEST = 100  # characters of a line, on however wide a terminal


def wrapped(text: str, first: str = "", rest: str = "") -> str:
    """A paragraph in lines of the terminal's width; of 80 characters where there is none.

    Args:
        text: of any length.
        first: what the first line begins with.
        rest: what the others begin with.
    """
    width = min(shutil.get_terminal_size().columns, WIDEST)
    return textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def ending(study: Study, *, details: bool) -> Iterator[str]:
    """The end of a study, line by line; makes its page.

    Args:
        study: of which runs may have failed.
        details: print the curves as a table and every conclusion too.
    """
    frame = study.frame()
    if len(frame):
        verdict = study.verdict()
        yield from [f"{CurveTable.of(frame, verdict.judge)}\n"] if details else []
        yield from said(study, verdict, details=details)
        yield f"Page: {study.report()}"


def troubles(study: Study, outcome: Outcome) -> Iterator[str]:
    """What failed, and where the traceback is."""
    for why in outcome.unseen:
        yield f"One comparison of networks failed: {why}"
    for run_id, message in outcome.failed.items():
        yield f"Run {run_id} failed: {message} See {study.store.run(run_id).failure_path}"


def said(study: Study, verdict: Verdict, *, details: bool) -> Iterator[str]:
    """A study's verdict with its name above and the next command below."""
    if study.spec.until:
        yield _until(study, verdict.is_decided)
    first = [one for one in verdict.statements if one.topic in OPENING and one.topic != "next"]
    yield from (wrapped(one.text, *_place(one)) for one in first)
    if details:
        yield from _details(one for one in verdict.statements if one.topic not in OPENING)
    yield from _next(study, verdict)


def _place(one: Statement) -> tuple[str, str]:
    """A decision and what failed begin at the margin, what they rest on is indented."""
    return ("", "") if one.topic in ("runs", "decision") else ("  ", "  ")


def _details(statements: Iterable[Statement]) -> Iterator[str]:
    title = ""
    for one in statements:
        if TITLES[one.topic] != title:
            title = TITLES[one.topic]
            yield f"\n{title}"
        yield wrapped(one.text, "  - ", "    ")


def _next(study: Study, verdict: Verdict) -> Iterator[str]:
    """What to do next, and the command that does it."""
    for step in verdict.about("next"):
        yield wrapped(step.text, "", "  ")
        if step.option:
            yield f"  transfusion study {shlex.quote(str(study.store.folder))} {step.option}"


def _until(study: Study, is_decided: bool) -> str:
    """How adding seeds ended."""
    num, most = len(study.spec.seeds), study.spec.max_seeds
    if is_decided:
        return f"Decided with {num} seeds."
    return f"Not decided with {num} seeds, " + ("which is all there may be." if num >= most else "and the time is up.")
