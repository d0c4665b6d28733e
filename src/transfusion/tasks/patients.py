"""Who a picture shows: from a column, the user's pattern, or the naming of well-known data sets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from transfusion.errors import SpecError
from transfusion.tasks.listing import Entry, Problem

KNOWN_PATTERNS = (
    r"(.+)_(?:left|right)",  # EyePACS
    r"(person\d+_(?:bacteria|virus))_\d+",  # Kermany's chest X-rays; either series numbers its own patients
    r"((?:NORMAL2-)?IM-\d+)-\d+(?:-\d+)?",  # the same without pneumonia, again two series
    r"(\d{8})_\d{3}",  # ChestX-ray14
)


def assign(entries: Sequence[Entry], pattern: str | None) -> tuple[list[Entry], list[Problem]]:
    """Fill in patients.

    Patients that a column gave stand. Otherwise ``pattern`` is searched in every file name (without its suffix),
    and without a pattern the naming of well-known data sets is tried, which counts only if every name follows it.

    Returns:
        The entries, each with its patient or all without, and a problem for each that lacks one.

    Raises:
        SpecError: if the pattern is not a regular expression.
    """
    if any(entry.patient for entry in entries):
        found = [entry.patient for entry in entries]
    elif pattern:
        found = [_search(_compiled(pattern), entry.name) for entry in entries]
    else:
        known = re.compile("|".join(f"^{form}$" for form in KNOWN_PATTERNS))
        found = [_search(known, entry.name) for entry in entries]
        if not all(found):
            return list(entries), []
    problems = [Problem("no patient", e.name) for e, patient in zip(entries, found, strict=True) if not patient]
    kept = [e._replace(patient=patient) for e, patient in zip(entries, found, strict=True) if patient]
    return kept, problems


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise SpecError(f"task.patient_pattern '{pattern}' is not a regular expression: {error}.") from error


def _search(pattern: re.Pattern[str], name: str) -> str | None:
    match = pattern.search(PurePosixPath(name).stem)
    if not match:
        return None
    return next((group for group in match.groups() if group), match.group())
