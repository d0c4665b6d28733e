"""Pictures that belong together stay together, or the program asks; it never cuts through a patient silently."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transfusion.errors import BadDataError, TaskError
from transfusion.tasks import Task

Loader = Callable[..., Task]
Tree = Callable[..., Path]


def groups(task: Task) -> dict[str, set[str]]:
    """Patient -> the splits that it is in."""
    found: dict[str, set[str]] = {}
    for name, split in task.splits.items():
        for patient in split.patients or ():
            found.setdefault(patient, set()).add(name)
    return found


def places(form: str, patients: int = 20, views: int = 3) -> list[str]:
    """Paths of ``patients`` with ``views`` pictures each; patients alternate between classes a and b."""
    return [
        form.format(label="ab"[patient % 2], patient=patient, view=view)
        for patient in range(patients)
        for view in range(views)
    ]


@pytest.mark.parametrize(
    "form",
    [
        "{label}/P{patient:03d}/{view}.png",
        "{label}/patient{patient}/slice_{view}.png",
        "{label}/case-{patient}/IM-0001-{view:04d}.png",
        "{label}/sub-{patient:02d}/ses-1/{view}.png",
        "{label}/{patient:06d}/{view}.png",
        "{label}/TCGA-{patient:02d}-A1/{view}.png",
        "{label}/images/Subject {patient}/{view}.png",
        "train/{label}/P{patient:03d}/{view}.png",
        "{patient}/{label}/{view}.png",
        "IDC/{patient:04d}/{label}/{patient:04d}_idx5_x{view}_y1_class0.png",
        "{label}/{patient}_left_{view}.png",
        "{label}/person{patient}_virus_{view}.png",
        "{label}/IM-{patient:04d}-{view:04d}.png",
        "{label}/NORMAL-{patient:07d}-{view:04d}.png",
        "{label}/{patient:08d}_{view:03d}.png",
        "{label}/patient_{patient}_img_{view}.png",
        "{label}/scan_subject{patient:02d}_{view}.png",
        "{label}/P{patient:03d}_slice{view}.png",
        "{label}/case{patient}-view{view}.png",
        "{label}/lesion {patient} ({view}).png",
    ],
)
def test_groups_that_are_plain_stay_together(tree: Tree, load_task: Loader, form: str) -> None:
    if "left" in form:
        form = form.replace("_left_{view}", "_left")
        names = sorted({*places(form), *places(form.replace("left", "right"))})
    else:
        names = places(form)
        if "{patient}/{label}" in form or "/{label}/{patient:04d}" in form:  # every patient has both classes
            both = [name.replace("/a/", "/b/") for name in names] + [name.replace("/b/", "/a/") for name in names]
            names = sorted(set(both))
    task = load_task(tree(names))
    found = groups(task)
    assert len(found) == 20
    assert all(len(splits) == 1 for splits in found.values())
    assert task.classes == ("a", "b")
    assert any("Patients are taken from" in note for note in task.card["warnings"])


PATTERN = {"patient_pattern": "(?<=/)([^/]+)/"}
NAMES = {"patient_pattern": r"/([^/]+)_\d+$"}


@pytest.mark.parametrize(
    ("form", "question", "settings"),
    [
        ("{label}/{patient:04d}_{view}.png", "names begin with", NAMES),
        ("{label}/8{patient}_{view}.png", "names begin with", NAMES),
        ("{label}/2019-03-{patient:02d}_{view}.png", "names begin with", NAMES),
        ("{label}/ISIC_{patient:07d}_{view}.png", "names begin with", NAMES),
        ("{label}/201{view}/{patient}.png", "one patient each", {"patient_pattern": r"/(\d+)$"}),
        ("{label}/2019-03-{patient:02d}/x{view}.png", "one patient each", PATTERN),
        ("{label}/IM-0001-{patient:04d}{view}.png", "which cannot be", {"patient_pattern": r"(\d{4})\d$"}),
    ],
)
def test_groups_that_are_not_plain_are_asked_about(
    tree: Tree, load_task: Loader, form: str, question: str, settings: dict[str, Any]
) -> None:
    root = tree(places(form))
    with pytest.raises(TaskError) as caught:
        load_task(root)
    assert question in str(caught.value)
    assert "task.patient_pattern" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert load_task(root, patient_pattern="none").splits["train"].patients is None
    found = groups(load_task(root, **settings))
    assert len(found) == 20
    assert all(len(splits) == 1 for splits in found.values())


@pytest.mark.parametrize(
    "form",
    [
        "{label}/img{patient:03d}{view}.png",
        "{label}/benign ({patient}{view}).png",
        "{label}/IDRiD_{patient:02d}{view}.png",
        "{label}/images/{patient}{view}.png",
        "{label}/part_{view}/x{patient}.png",
        "{label}/40X/x{patient}{view}.png",
        "{label}/{label}_{patient}{view}.png",
        "{label}/ISIC_00{patient:02d}{view}.png",
    ],
)
def test_names_that_tell_nothing_are_no_groups(tree: Tree, load_task: Loader, form: str) -> None:
    assert load_task(tree(places(form))).splits["train"].patients is None


def test_some_folders_of_patients_and_some_pictures_beside_them(tree: Tree, load_task: Loader) -> None:
    names = [*places("{label}/P{patient:03d}/{view}.png"), "a/x.png", "b/y.png"]
    with pytest.raises(TaskError, match="one patient each"):
        load_task(tree(names))


def test_classes_and_their_sorts_cannot_be_told_apart(tree: Tree, load_task: Loader) -> None:
    names = [f"{outer}/{inner}/{row}.png" for outer in ("cat", "dog") for inner in ("old", "young") for row in range(5)]
    root = tree(names)
    with pytest.raises(TaskError, match=r"hold the same subfolders \(old, young\).*task.label_pattern"):
        load_task(root)
    assert load_task(root, label_pattern="([^/]+)/[^/]+/[^/]+$", patient_pattern="none").classes == ("cat", "dog")
    assert load_task(root, label_pattern="([^/]+)/[^/]+$", patient_pattern="none").classes == ("old", "young")


def table(column: str, patients: int = 20) -> tuple[list[str], str]:
    names = [f"x{row}.png" for row in range(3 * patients)]
    rows = [f"{name},{'ab'[row // 3 % 2]},g{row // 3}" for row, name in enumerate(names)]
    return names, f"image,label,{column}\n" + "\n".join(rows)


@pytest.mark.parametrize(
    "column",
    (
        "patient,Patient ID,patient_id,subject_id,Subject,PatientID,participant,lesion_id,case_id,study_id,StudyID,MRN,"
        "Person ID,series_id,exam_id"
    ).split(","),
)
def test_columns_that_group(tree: Tree, load_task: Loader, column: str) -> None:
    names, text = table(column)
    found = groups(load_task(tree(names, {"labels.csv": text})))
    assert len(found) == 20
    assert all(len(splits) == 1 for splits in found.values())


def test_a_picture_without_a_lesion_is_alone_and_one_without_a_patient_a_problem(tree: Tree, load_task: Loader) -> None:
    names, text = table("lesion_id")
    root = tree(names, {"labels.csv": text.replace(",g0\n", ",\n")})
    assert len(groups(load_task(root))) == 19 + 3
    (root / "labels.csv").write_text((root / "labels.csv").read_text().replace("lesion_id", "patient_id"))
    with pytest.raises(BadDataError, match="no patient: 3"):
        load_task(root)


def test_the_patient_wins_over_the_study(tree: Tree, load_task: Loader) -> None:
    names, text = table("study_id")
    head, *rows = text.split("\n")
    wide = [f"{head},patient_id", *(f"{row},p{place // 6}" for place, row in enumerate(rows))]
    assert len(groups(load_task(tree(names, {"labels.csv": "\n".join(wide)})))) == 10


def test_copies_stay_on_one_side_of_a_cut(tree: Tree, load_task: Loader) -> None:
    root = tree([f"{label}/x{row:02d}y.png" for label in "ab" for row in range(15)])
    for path in list(root.rglob("*.png")):
        shutil.copy(path, path.with_name(f"copy of {path.name}"))
    task = load_task(root, val_fraction=0.2)
    assert task.card["identical_files"] == {}
    assert [len(split) for split in task.splits.values()] == [36, 12, 12]


def test_copies_join_patients(tree: Tree, load_task: Loader) -> None:
    root = tree(places("{label}/P{patient:03d}/{view}.png"))
    shutil.copy(root / "a/P000/0.png", root / "a/P002/0.png")
    task = load_task(root, test_fraction=0.5)
    assert task.card["identical_files"] == {}
    found = groups(task)
    assert found["P000"] == found["P002"]


def test_one_content_in_two_classes(tree: Tree, load_task: Loader) -> None:
    root = tree([f"{label}/x{row:02d}y.png" for label in "ab" for row in range(15)])
    shutil.copy(root / "a/x00y.png", root / "b/other.png")
    with pytest.raises(BadDataError, match=r"contradicting labels: a/x00y.png \(same content as b/other.png\)"):
        load_task(root)
    kept = load_task(root, leave_out_bad=True)
    assert sum(map(len, kept.splits.values())) == 29
    assert any("Left out: 1 x contradicting" in note for note in kept.card["warnings"])


def test_a_rare_class_is_told(tree: Tree, load_task: Loader) -> None:
    names = [f"{label}/x{row:02d}y.png" for label, num in (("a", 40), ("b", 30), ("rare", 2)) for row in range(num)]
    assert any("no picture of rare" in note for note in load_task(tree(names)).card["warnings"])


@pytest.mark.parametrize("groups", ["a1 b1 c1".split(), "s1-x s2-x s3-x s4-x".split()])
def test_a_handful_of_groups_of_names_is_no_question(tree: Tree, load_task: Loader, groups: list[str]) -> None:
    """As few groups as classes, or nearly, are how files are named, not who is on them."""
    names = [f"{label}/{groups[k % len(groups)]}_{place}{k}.png" for place, label in enumerate("ab") for k in range(12)]
    assert load_task(tree(names)).card["patients"]["train"] == "unknown"


def test_five_groups_of_names_are_asked_about(tree: Tree, load_task: Loader) -> None:
    names = [f"{label}/{k % 5}7{place}_{k}.png" for place, label in enumerate("ab") for k in range(15)]
    with pytest.raises(TaskError, match="do they belong together"):
        load_task(tree(names))
