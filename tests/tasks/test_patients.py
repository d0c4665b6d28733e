from __future__ import annotations

from pathlib import Path

import pytest

from transfusion.errors import TaskError
from transfusion.spec import TaskSpec
from transfusion.tasks.listing import Entry, Listing
from transfusion.tasks.patients import SERIES, assign


def listing(*entries: Entry) -> Listing:
    return Listing("folder", "toy", "toy", "binary", ("x", "y"), entries)


def patients_of(names: list[str], pattern: str | None = None) -> list[str | None]:
    entries = [Entry(name, Path(name), "xy"[row % 2]) for row, name in enumerate(names)]
    found = assign(listing(*entries), TaskSpec(patient_pattern=pattern))
    return [entry.patient for entry in found.entries]


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("train/10_left.jpeg", "10"),
        ("train/10_right.jpeg", "10"),
        ("PNEUMONIA/person12_virus_46.jpeg", "person12_virus"),
        ("NORMAL/IM-0011-0001-0002.jpeg", "IM-0011"),
        ("NORMAL/NORMAL2-IM-0011-0001.jpeg", "NORMAL2-IM-0011"),
        ("images_001/00000013_005.png", "00000013"),
    ],
)
def test_well_known_names(name: str, patient: str) -> None:
    assert patients_of([name, name.replace("1", "2")])[0] == patient


def test_one_name_of_another_sort_is_named() -> None:
    names = ["10_left.png", "10_right.png", "11_left.png", "11_left (1).png"]
    found = assign(listing(*(Entry(name, Path(name), "x") for name in names)), TaskSpec())
    assert [entry.patient for entry in found.entries] == ["10", "10", "11"]
    assert [str(problem) for problem in found.problems] == [
        "no patient: 11_left (1).png (by file names such as 10_left)"
    ]


def test_a_form_that_few_names_have_is_asked_about() -> None:
    with pytest.raises(TaskError, match=r"2 of 5 names hold a patient, as 10_left does.*patient_pattern"):
        patients_of(["10_left.png", "10_right.png", "cat.png", "dog.png", "cow.png"])


def test_a_pattern_gives_its_group_or_its_match() -> None:
    assert patients_of(["a/p7-1.png", "a/p8-1.png", "a/p8-2.png"], r"p(\d+)") == ["7", "8", "8"]
    assert patients_of(["a/p7-1.png", "a/p8-1.png", "a/p8-2.png"], r"p\d+") == ["p7", "p8", "p8"]


def test_a_pattern_sees_the_whole_path() -> None:
    assert patients_of(["q/p7/1.png", "q/p8/1.png", "q/p8/2.png"], r"(p\d+)/") == ["p7", "p8", "p8"]


def test_a_column_wins_over_names() -> None:
    names = {"1_left.png": "me", "2_left.png": "you", "1_right.png": None}
    found = assign(listing(*(Entry(name, Path(name), "x", None, who) for name, who in names.items())), TaskSpec())
    assert [entry.patient for entry in found.entries] == ["me", "you"]
    assert [problem.where for problem in found.problems] == ["1_right.png"]


def notes_of(*names: str) -> list[str]:
    entries = [Entry(name, Path(name), "xy"[row % 2], name.split("/")[0]) for row, name in enumerate(names)]
    return list(assign(listing(*entries), TaskSpec()).notes)


def test_every_form_of_names_is_told_with_an_example_and_its_count() -> None:
    names = ("train/person2_virus_1.png", "train/person3_virus_1.png", "test/IM-0005-0001.png")
    (note,) = notes_of(*names)
    assert "person2_virus_1 (2)" in note
    assert "IM-0005-0001 (1)" in note


def test_one_number_in_two_series_is_told_with_how_many_are_on_both_sides() -> None:
    both = ("train/person1_bacteria_1.png", "test/person1_virus_6.png", "train/IM-0009-1.png", "train/IM-0008-1.png")
    _, note = notes_of(*both, "train/person4_virus_1.png", "train/person4_bacteria_1.png")
    assert note.startswith(SERIES)
    assert "person1_bacteria_1 and person1_virus_6" in note
    assert "2 numbers in all. 1 of them" in note
    assert len(notes_of("train/person1_virus_1.png", "test/person2_bacteria_1.png", "test/IM-0001-1.png")) == 1
