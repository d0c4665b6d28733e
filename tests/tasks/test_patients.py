from __future__ import annotations

import pytest

from transfusion.tasks.listing import Entry
from transfusion.tasks.patients import assign


def patients_of(names: list[str], pattern: str | None = None) -> list[str | None]:
    entries, _ = assign([Entry(name, row, "x") for row, name in enumerate(names)], pattern)
    return [entry.patient for entry in entries]


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
    assert patients_of([name]) == [patient]


def test_one_name_of_another_sort_makes_all_unknown() -> None:
    assert patients_of(["10_left.png", "cat.png"]) == [None, None]


def test_a_pattern_gives_its_group_or_its_match() -> None:
    assert patients_of(["a/p7-1.png"], r"p(\d+)") == ["7"]
    assert patients_of(["a/p7-1.png"], r"p\d+") == ["p7"]


def test_a_column_wins_over_names() -> None:
    entries, problems = assign([Entry("1_left.png", 0, "x", None, "me"), Entry("1_right.png", 1, "x")], None)
    assert [entry.patient for entry in entries] == ["me"]
    assert [str(problem) for problem in problems] == ["no patient: 1_right.png"]
