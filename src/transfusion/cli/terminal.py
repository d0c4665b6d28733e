"""What the terminal shows of a study.

Before it begins: its grid, time and disk. At its end: decision, numbers, how sure, next command; the rest on request.
"""

from __future__ import annotations

import shlex
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from transfusion.report.method import settings_of
from transfusion.report.table import CurveTable
from transfusion.runs.estimate import Estimate
from transfusion.spec import DonorRunSpec, StudySpec, TaskSpec
from transfusion.study import Study, Summary
from transfusion.verdict import Verdict
from transfusion.verdict.numbers import listed
from transfusion.verdict.statement import OPENING, TITLES, Statement
from transfusion.verdict.wording.course import seconds

WIDEST = 100  # characters of a line, on however wide a terminal


def wrapped(text: str, first: str = "", rest: str = "") -> str:
    """A paragraph in lines of the terminal's width; of 80 characters where there is none.

    Args:
        text: of any length.
        first: what the first line begins with.
        rest: what the others begin with.
    """
    width = min(shutil.get_terminal_size().columns, WIDEST)  # long lines are hard to read
    return textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def cost(estimate: Estimate) -> str:
    """What is left to do for a study, in a line."""
    if not estimate.num_runs:
        return "Every training is finished."
    times = [run_s for part in estimate.parts for run_s in part.run_s]
    shortest, longest = seconds(min(times)), seconds(max(times))
    each = shortest if shortest == longest else f"{shortest} to {longest}"
    side = max(part.workers for part in estimate.parts)
    beside = f", {side} side by side" if side > 1 else ""
    # parts are those of a donor of the study's own, and the grid
    donor = " (1 of the donor)" if len(estimate.parts) > 1 else ""
    trainings = f"{estimate.num_runs} training{'' if estimate.num_runs == 1 else 's'}{donor} of {each}{beside}"
    compare = f", {seconds(estimate.compare_s)} to compare networks" if estimate.compare_s else ""
    return (
        f"About {seconds(estimate.time_s)}: {trainings}{compare}, {seconds(estimate.page_s)} for the page; "
        f"{estimate.disk / 1e6:,.0f} MB on disk."
    )


def preview(study: Study, estimate: Estimate) -> Iterator[str]:
    """A study before it begins, line by line: grid, data card, settings, time and disk."""
    plan, spec = study.plan(), study.spec
    yield "Grid"
    yield from (wrapped(line, "  ", "    ") for line in _grid(study))
    yield "Data"
    yield from (wrapped(line, "  ", "    ") for line in _data(plan.card))
    for note in (*plan.card.get("warnings", []), *plan.notes):
        yield wrapped(f"Note: {note}", "  ", "    ")
    yield "Settings (the others are at their defaults: transfusion settings)"
    # a donor of its own has no defaults unless there is one
    usual = settings_of(StudySpec()) | settings_of(StudySpec(donor=DonorRunSpec(task=TaskSpec())))
    chosen = {key: value for key, value in settings_of(spec).items() if usual.get(key) != value}
    yield from (wrapped(f"{key} = {value}", "  ", "    ") for key, value in chosen.items())
    yield "Time and disk"
    yield wrapped(cost(estimate), "  ", "  ")
    for part in estimate.parts:
        pace = part.pace
        yield wrapped(
            f"Measured for {part.runs[0].model} with {part.runs[0].train.batch_size} images a step: "
            f"{seconds(pace.step_s)} for a step, {seconds(pace.image_s * pace.num_held_out)} for an evaluation, "
            f"{seconds(part.start_s)} until the workers have started.",
            "  ",
            "    ",
        )


def _grid(study: Study) -> Iterator[str]:
    """Starts, seeds, sizes and the length of a training."""
    plan, spec = study.plan(), study.spec
    labels = dict.fromkeys(run.scheme.label for run in plan.grid)
    sizes = dict.fromkeys(f"{run.size:,} images" if run.size else "all images" for run in plan.grid)
    seeds = dict.fromkeys(run.seed for run in plan.grid)
    yield f"{spec.model} from {listed(list(labels))}"
    yield (
        f"{len(labels)} start{'s' * (len(labels) > 1)} x {len(seeds)} seed{'s' * (len(seeds) > 1)} x "
        f"{listed(list(sizes))}: {len(plan.grid)} training{'s' * (len(plan.grid) > 1)}"
    )
    train = plan.grid[-1].train  # of the largest size: one in epochs has a length for every size
    looks = f"{len(train.evaluations)} evaluations on {train.eval_split}"
    yield f"{train.steps:,} steps of {train.batch_size} images, {looks}"
    if plan.donor_run:
        donor = plan.donor_run
        yield f"before them the donor: {donor.scheme.label}, {donor.train.steps:,} steps on {donor.task.data}"


def _data(card: Mapping[str, Any]) -> Iterator[str]:
    """Images, classes, patients and normalisation; a card may lack any of them."""
    counts = ", ".join(f"{count:,} {split}" for split, count in card.get("images", {}).items())
    yield f"{card.get('kind')}, {card.get('source')}, read as {card.get('layout')}: {counts}"
    for split, classes in card.get("classes", {}).items():
        if any(classes.values()):
            yield f"{split}: {', '.join(f'{count:,} {name}' for name, count in classes.items())}"
    patients = {split: count for split, count in card.get("patients", {}).items() if isinstance(count, int) and count}
    yield f"patients: {', '.join(f'{count:,} {split}' for split, count in patients.items()) or 'not known'}"
    seen = card.get("normalization", {})
    mean, std = (", ".join(f"{value:.3g}" for value in seen.get(key, ())) for key in ("mean", "std"))
    yield f"normalised by mean {mean} and standard deviation {std}, from {seen.get('from')}"


def ending(study: Study, *, details: bool) -> Iterator[str]:
    """The end of a study, line by line; makes its page.

    Args:
        study: of which runs may have failed.
        details: print the curves as a table and every conclusion too.
    """
    frame = study.frame()
    if len(frame):  # else every run failed before its first evaluation, which ``troubles`` says
        verdict = study.verdict()
        yield from [f"{CurveTable.of(frame, verdict.judge)}\n"] if details else []
        yield from said(study, verdict, details=details)
        yield f"Page: {study.report()}"


def troubles(study: Study, outcome: Summary) -> Iterator[str]:
    """Failed comparisons and runs, and where their tracebacks are."""
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
        # told, not all: many starts of which nothing is known are one line
        yield from _details(one for one in verdict.told if one.topic not in OPENING)
    yield from _next(study, verdict)


def _place(one: Statement) -> tuple[str, str]:
    """Indents of a statement: a decision and what failed stand at the margin, what they rest on below them."""
    return ("", "") if one.topic in ("runs", "decision") else ("  ", "  ")


def _details(statements: Iterable[Statement]) -> Iterator[str]:
    """Statements as lists under their titles."""
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
    why = "the most that max_seeds allows" if num >= most else "when the time of --budget was up"
    return f"Not decided with {num} seeds, {why}."
