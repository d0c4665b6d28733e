"""Which column of a label table says what pictures belong together."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from transfusion.errors import TaskError
from transfusion.spec import TaskSpec
from transfusion.tasks.layouts.sheet import need_column
from transfusion.tasks.names import plain, words

# from the widest group to the narrowest: what keeps patients together keeps their lesions together
GROUPS = (
    r"patients?|pat|pt(?=.)|p(?=id)|subjects?|subj|participants?|persons?|individuals?|donors?|volunteers?|probands?|mrn|empi|"
    r"cases?|animals?|mouse|mice|rat",
    r"lesions?|nodules?|eyes?(?=.)|specimens?",
    r"study|studies|exams?|examinations?|accession|visits?|encounters?|hadm",
    r"series",
)
AROUND = (
    r"(?:ids?|uids?|uuid|nos?|nr|num|numbers?|names?|keys?|codes?|identifiers?|anon|anonymi[sz]ed|deidentified|instance|"
    r"submitter|unique)*"
)
FORMS = tuple(re.compile(f"{AROUND}(?:{group}){AROUND}") for group in GROUPS)
# what may be such a column, and is asked about where it repeats
MAYBE = frozenset(
    "id ids uid uuid identifier key code no nr number name patient patienten paziente paciente pt user owner client "  # noqa: SIM905
    "record family twin twins cluster unit group session scan slide wsi video clip sequence stack volume sample biopsy "
    "block tumor tumour stay admission hash".split()
)
NEVER = frozenset(
    "image img images file filename filepath path picture photo dicom sop label labels class target grade level "  # noqa: SIM905
    "diagnosis category dx finding findings device scanner camera hospital site center centre rad reader radiologist "
    "rater annotator age sex gender race date time view side eye location region zip icd model version".split()
)
FEWEST = 5
MOST_PER_PICTURE = 0.7


def rank(column: str) -> int | None:
    """The place of a column among groups by its name, the widest first; None for a column of another name.

    Examples:
        >>> [rank(name) for name in ("Patient No.", "anon_patient_id", "lesion_id", "StudyInstanceUID", "patient_age")]
        [0, 0, 1, 2, None]
    """
    name = plain(column)
    return next((place for place, form in enumerate(FORMS) if form.fullmatch(name)), None)


def group_column(spec: TaskSpec, frame: pd.DataFrame, taken: Sequence[str | None]) -> str | None:
    """The column that says which pictures belong together: the patient, else the lesion or study."""
    if spec.patient_column == "none":
        return None
    if spec.patient_column:
        return need_column(frame, spec.patient_column)
    ranks = {str(column): rank(str(column)) for column in frame if column not in (*taken, spec.label_column)}
    found = {column: place for column, place in ranks.items() if place is not None}
    return min(found, key=lambda column: found[column]) if found else None


def refuse_doubtful(spec: TaskSpec, frame: pd.DataFrame, image: str, taken: Sequence[str | None]) -> None:
    """Ask about a column that may say which pictures belong together, before cutting through what it holds.

    Raises:
        TaskError: if there is one.
    """
    if spec.patient_column or spec.patient_pattern:
        return
    pictures = frame.drop_duplicates(image)  # several rows of one picture are no group
    for column in map(str, frame.columns):
        said = set(words(column))
        if column in (image, *taken) or not (said & MAYBE or plain(column).startswith("patient")) or said & NEVER:
            continue
        count = pictures[column].nunique()
        if FEWEST <= count <= MOST_PER_PICTURE * len(pictures):
            raise TaskError(
                f"The column {column} has {count} values for {len(pictures)} pictures: do those with the same value "
                f"belong together, as of one patient? Then --set task.patient_column='{column}'; if not, "
                "--set task.patient_column=none."
            )


def people(texts: Sequence[str]) -> list[str]:
    """Identifiers in one spelling each: case, leading zeros and how a program wrote a number distinguish nobody.

    Examples:
        >>> people(["P007", "p7", "12.0", "12", "0", ""])
        ['P007', 'P007', '12.0', '12.0', '0', '']
    """
    first: dict[str, str] = {}
    return [first.setdefault(_same_person(text), text) for text in texts]


def _same_person(text: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"^(\d+)\.0+$", r"\1", text)).casefold()
