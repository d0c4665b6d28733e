"""Columns that say which pictures belong together are found by their names, or asked about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from transfusion.errors import TaskError
from transfusion.tasks import Task

Loader = Callable[..., Task]
Tree = Callable[..., Path]
PICTURES = [f"i{row}.png" for row in range(60)]


def table(column: str, values: list[str]) -> str:
    rows = [f"{name},{'ab'[row % 2]},{values[row]}" for row, name in enumerate(PICTURES)]
    return "\n".join([f"image,label,{column}", *rows])


def threes(form: str = "{}") -> list[str]:
    """Three pictures of each of twenty groups, of both classes."""
    return [form.format(100 + row // 3) for row in range(60)]


@pytest.mark.parametrize(
    "column",
    [
        "Patient ID", "patient_number", "PatientNo", "patient no.", "Patient #", "anon_patient_id", "id_patient",
        "patid", "Subject Key", "participant_no", "individual_id", "donor", "animal_id", "mouse", "MRN", "EMPI",
        "case_number", "case_submitter_id", "lesion_id", "nodule_id", "eye_id", "specimen", "StudyInstanceUID",
        "accession_number", "exam_number", "visit_id", "hadm_id", "SeriesInstanceUID",
    ],
)  # fmt: skip
def test_columns_of_groups(tree: Tree, load_task: Loader, column: str) -> None:
    task = load_task(tree(PICTURES, {"labels.csv": table(column, threes())}))
    train, test = (set(task.splits[name].patients or ()) for name in ("train", "test"))
    assert (len(train), len(test), len(train & test)) == (16, 4, 0)
    assert any(column in note for note in task.card["warnings"])


@pytest.mark.parametrize(
    "column",
    "id anon_id slide_id record_id client_id sample_id scan_id video clip wsi biopsy session family_id user owner name "
    "Paziente paciente patientunitstayid cluster unit group hash".split(),
)
def test_columns_that_may_be_groups_are_asked_about(tree: Tree, load_task: Loader, column: str) -> None:
    root = tree(PICTURES, {"labels.csv": table(column, threes("u{}"))})
    with pytest.raises(TaskError, match=f"column {column} has 20 values for 60 pictures") as caught:
        load_task(root)
    assert f"--set task.patient_column='{column}'" in str(caught.value)
    assert load_task(root, patient_column=column).splits["test"].patients is not None
    assert load_task(root, patient_column="none").splits["test"].patients is None


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("id", [str(row) for row in range(60)]),
        ("device_id", threes()),
        ("site_name", threes()),
        ("rad_id", threes()),
        ("class_id", [str(row % 2) for row in range(60)]),
        ("age", threes()),
        ("patient_age", threes()),
        ("group", ["xy"[row % 2] for row in range(60)]),
        ("icd_code", threes()),
        ("visit_date", threes()),
    ],
)
def test_columns_that_are_none_are_not_asked_about(
    tree: Tree, load_task: Loader, column: str, values: list[str]
) -> None:
    assert load_task(tree(PICTURES, {"labels.csv": table(column, values)})).splits["test"].patients is None


@pytest.mark.parametrize("forms", [("P{}", "p{}"), ("{}", "000{}"), ("{}.0", "{}"), ("P{}", " P{} ")])
def test_spellings_of_one_identifier_are_one_group(tree: Tree, load_task: Loader, forms: tuple[str, str]) -> None:
    values = [forms[row % 2].format(100 + row // 3) for row in range(60)]
    task = load_task(tree(PICTURES, {"labels.csv": table("patient", values)}))
    assert sum(len(set(split.patients)) for split in task.splits.values() if split.patients) == 20


def test_given_splits_are_not_asked_about(tree: Tree, load_task: Loader) -> None:
    """Nothing is cut, so nothing can be cut through."""
    rows = [f"{n},{'ab'[r % 2]},{r // 3},{'train' if r < 45 else 'test'}" for r, n in enumerate(PICTURES)]
    task = load_task(tree(PICTURES, {"labels.csv": "\n".join(["image,label,slide_id,split", *rows])}))
    assert [len(split) for split in task.splits.values()] == [45, 0, 15]
