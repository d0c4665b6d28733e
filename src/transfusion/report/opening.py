"""What a reader sees first: what was studied, what was found, and what to keep in mind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from transfusion.report.material import Material
from transfusion.report.parts import Listing, Said
from transfusion.runs import comparisons as representations
from transfusion.runs.store import RunFiles
from transfusion.verdict.statement import OPENING, TITLES, Statement


def summary(material: Material) -> str:
    """Network, data and how many runs, in a sentence."""
    spec = material.spec
    counts = ", ".join(f"{count} {split}" for split, count in material.card.get("images", {}).items())
    images = f" ({counts} images)" if counts else ""
    donor = f", pretrained weights from {_short(spec.donor)}" if isinstance(spec.donor, str) else ""
    total = len(material.runs) + len(material.lost)
    data = _short(spec.task.data)
    return f"{spec.model} on {data}{images}{donor}; {len(material.finished)} of {total} runs finished."


def verdict(material: Material) -> list[Said | Listing]:
    """What is read first, then the other statements under their titles."""
    first: list[Said] = []
    groups: dict[str, list[Said]] = {}
    for statement in material.verdict.statements:
        if statement.topic in OPENING:
            first.append(said(statement))
        else:
            groups.setdefault(TITLES[statement.topic], []).append(said(statement))
    return [*first, *(Listing(tuple(items), title) for title, items in groups.items())]


def said(statement: Statement) -> Said:
    """A statement as the page shows it."""
    return Said(statement.text, statement.soft)


def notes(material: Material) -> list[str]:
    """Warnings about the data, and every run that is not finished or cannot be read."""
    return [*_about_data(material), *_about_runs(material), *_about_comparisons(material)]


def name_of(files: RunFiles) -> str:
    """The run's label, and the id that its folder is called."""
    return f"{files.spec().label} (run {files.id})"


def _short(place: str) -> str:
    """The last part of a path; the whole stands among the settings."""
    return PurePath(place).name or place


def _about_data(material: Material) -> Iterator[str]:
    if not material.card:
        yield f"The data card {material.store.card_path.name} is missing or damaged: what the images were is not known."
    yield from (*material.card.get("warnings", []), *material.card.get("notes", []))
    left_out = material.card.get("left_out", [])
    if left_out:
        yield f"{len(left_out)} files were left out; they are listed below."


def _about_comparisons(material: Material) -> Iterator[str]:
    wanted = representations.missing(material.store) if material.spec.representations else []
    if wanted:
        kinds = ", ".join(dict.fromkeys(unit.kind for unit in wanted))
        many = (
            f"{len(wanted)} comparisons of networks ({kinds}) are" if len(wanted) > 1 else f"1 comparison ({kinds}) is"
        )
        yield f"{many} not on disk yet: run the same study command again."
    if material.spec.representations and (without := representations.without_weights(material.store)):
        names = "; ".join(name_of(files) for files in without)
        yield f"Left out of the comparisons of networks, as their weights were not kept: {names}."
    if material.spec.representations and (found := representations.not_finite(material.store)):
        names = "; ".join(f"{name_of(files)} at step {step}" for files, step in found)
        yield f"Left out of the comparisons of networks, as their weights hold NaN or infinite values: {names}."


def _about_runs(material: Material) -> Iterator[str]:
    for run_id, why in material.lost.items():
        yield f"Run {run_id} is left out: {why}"
    waiting = 0
    for files in material.runs:
        curve = files.curve()
        if files.state == "failed":
            yield f"{name_of(files)} failed: {files.failure()['error']}"
        elif files.state != "done" and curve:
            yield f"{name_of(files)} is at step {curve[-1]['step']} of {files.spec().train.steps}."
        elif files.state != "done":
            waiting += 1
    if waiting:
        have = "run has" if waiting == 1 else "runs have"
        yield f"{waiting} {have} not started, or not reached a first evaluation."
