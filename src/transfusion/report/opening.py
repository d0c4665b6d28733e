"""What a reader sees first: what was studied, what was found, and what to keep in mind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath

from transfusion.report.material import Material
from transfusion.report.parts import Said
from transfusion.runs import comparisons as representations
from transfusion.runs.store import RunFiles
from transfusion.verdict.statement import Statement
from transfusion.verdict.wording.course import seconds

PATH = re.compile(r"""(?<![\w/\\.])(?:[A-Za-z]:)?(?:[/\\][^/\\\s"'<>|:;,]+){2,}""")
# words of a card's warnings that touch every number on the page, and so stand above the decision
SERIOUS = ("patients are in both", "are identical in", "look nearly the same", "has no picture of")


def summary(material: Material) -> str:
    """Network, data and how many runs, in a sentence."""
    spec = material.spec
    counts = ", ".join(f"{count:,} {split}" for split, count in material.card.get("images", {}).items() if count)
    images = f" ({counts} images)" if counts else ""
    donor = f", pretrained weights from {_short(spec.donor)}" if isinstance(spec.donor, str) else ""
    total = len(material.runs) + len(material.lost)
    # summed over runs, as if one had followed the other
    time_s = float(material.frame.groupby("run")["time_s"].max().sum()) if "time_s" in material.frame else 0.0
    spent = f" in {seconds(time_s)} of training" if time_s else ""
    data = _short(spec.task.data)
    return f"{spec.model} on {data}{images}{donor}; {len(material.finished)} of {total} runs finished{spent}."


def said(statement: Statement) -> Said:
    """A statement as the page shows it."""
    return Said(statement.text, statement.soft)


def cautions(material: Material) -> list[str]:
    """What affects every number: lost records, images or patients in several splits, classes without images."""
    return [*_about_lost(material), *(text for text in _of_card(material) if any(sign in text for sign in SERIOUS))]


def notes(material: Material) -> list[str]:
    """What else is known about the data, and every run that is not finished or cannot be read."""
    return [*_about_data(material), *_about_runs(material), *_about_comparisons(material)]


def _of_card(material: Material) -> list[str]:
    """Warnings and notes of the data card, without paths of this machine."""
    card = material.card
    return [without_paths(text) for text in (*card.get("warnings", []), *card.get("notes", []))]


def without_paths(text: str) -> str:
    """The text with the last part of every absolute path in it.

    Examples:
        >>> without_paths("file:/home/me/a.pth does not say; see https://docs/a/b and 1/2.")
        'file:a.pth does not say; see https://docs/a/b and 1/2.'
    """
    # folders name users and hospitals, and the page may be mailed
    return PATH.sub(lambda found: PurePath(found.group().replace("\\", "/")).name, text)


def name_of(files: RunFiles) -> str:
    """The run's label, and the id that its folder is called."""
    return f"{files.spec().label} (run {files.id})"


def _short(place: str) -> str:
    """The last part of a path; the whole stands among the settings."""
    return PurePath(place).name or place


def _about_lost(material: Material) -> Iterator[str]:
    if not material.card:
        yield f"The data card {material.store.card_path.name} is missing or damaged: what the images were is not known."
    for run_id, why in material.lost.items():
        yield f"Run {run_id} is left out: {without_paths(why)}"


def _about_data(material: Material) -> Iterator[str]:
    yield from (warning for warning in _of_card(material) if not any(sign in warning for sign in SERIOUS))
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
    waiting = 0
    for files in material.runs:
        curve = files.curve()
        if files.state == "failed":
            yield f"{name_of(files)} failed: {without_paths(files.failure()['error'])}"
        elif files.state != "done" and curve:
            yield f"{name_of(files)} is at step {curve[-1]['step']} of {files.spec().train.steps}."
        elif files.state != "done":
            waiting += 1
    if waiting:
        have = "run has" if waiting == 1 else "runs have"
        yield f"{waiting} {have} not started, or not reached a first evaluation."
