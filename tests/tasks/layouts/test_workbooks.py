"""Excel workbooks as tables of labels."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from transfusion.errors import TaskError
from transfusion.tasks import Task

openpyxl = pytest.importorskip("openpyxl", reason="the extra 'excel' is not installed")
Loader = Callable[..., Task]
Tree = Callable[..., Path]
NAMES = [f"images/{k}.png" for k in range(16)]
ROWS = [["image", "label", "patient_id"], *([f"{k}.png", ("cat", "dog")[k // 2 % 2], k // 2] for k in range(16))]


def save(path: Path, sheets: Mapping[str, Sequence[Sequence[object]]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    book.save(path)
    return path


@pytest.mark.parametrize("sheets", [{"Sheet1": ROWS}, {"Sheet1": ROWS, "Sheet2": [], "Sheet3": []}])
def test_the_one_sheet_with_rows(tree: Tree, load_task: Loader, sheets: dict[str, list[list[object]]]) -> None:
    root = tree(NAMES)
    save(root / "labels.xlsx", sheets)
    task = load_task(root)
    assert (task.classes, task.card["layout"]) == (("cat", "dog"), "csv")
    assert task.card["patients"]["train"] + task.card["patients"]["test"] == 8


def test_numbers_are_grades_as_in_csv(tree: Tree, load_task: Loader) -> None:
    root = tree(NAMES)
    path = save(root / "a.xlsx", {"s": [["image", "grade"], *([f"{k}.png", k % 4] for k in range(16))]})
    task = load_task(root, labels=str(path))
    assert (task.kind, task.classes) == ("graded", tuple("0123"))


def test_the_workbook_itself_as_data(tree: Tree, load_task: Loader) -> None:
    root = tree(NAMES)
    assert load_task(save(root / "labels.xlsx", {"s": ROWS})).name == "labels"


def test_several_sheets_are_asked_about(tree: Tree, load_task: Loader) -> None:
    root = tree(NAMES)
    save(root / "labels.xlsx", {"2019": ROWS, "2020": ROWS})
    with pytest.raises(TaskError, match=r"several sheets \(2019, 2020\)"):
        load_task(root)


def test_beside_class_folders_it_is_told_not_used(tree: Tree, load_task: Loader) -> None:
    """COVID-19 Radiography: COVID/images, COVID/masks, COVID.metadata.xlsx (FILE NAME, FORMAT, SIZE, URL)."""
    names = [
        f"{c}/{part}/{c}-{k}.png" for c in ("COVID", "Normal") for part in ("images", "masks") for k in range(1, 9)
    ]
    root = tree(names)
    for label in ("COVID", "Normal"):
        rows = [["FILE NAME", "FORMAT", "SIZE", "URL"], *([f"{label}-{k}", "PNG", "256*256", "x"] for k in range(1, 9))]
        save(root / f"{label}.metadata.xlsx", {"Sheet1": rows})
    task = load_task(root)
    assert (task.classes, sum(len(split) for split in task.splits.values())) == (("COVID", "Normal"), 16)
    assert sum("was not read" in note for note in task.card["warnings"]) == 2


def test_csv_beside_a_workbook_counts(tree: Tree, load_task: Loader) -> None:
    root = tree(NAMES, {"labels.csv": "\n".join(",".join(map(str, row)) for row in ROWS)})
    (root / "labels.xlsx").write_bytes(b"never opened")
    assert load_task(root).classes == ("cat", "dog")


def test_a_lock_file_of_excel_is_no_workbook(tree: Tree, load_task: Loader) -> None:
    root = tree(NAMES)
    save(root / "labels.xlsx", {"s": ROWS})
    (root / "~$labels.xlsx").write_bytes(b"\x05User")
    assert load_task(root).classes == ("cat", "dog")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(40)])
def test_a_damaged_workbook_is_one_line(tree: Tree, load_task: Loader, content: bytes) -> None:
    root = tree(NAMES, {"labels.xlsx": content})
    with pytest.raises(TaskError, match=r"labels.xlsx cannot be read"):
        load_task(root)


def test_without_the_extra_one_line_names_it(tree: Tree, load_task: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(NAMES)
    save(root / "labels.xlsx", {"s": ROWS})
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "openpyxl" else there(name, *more)
    )
    with pytest.raises(TaskError, match=r"pip install 'weight-transfusion\[excel\]'"):
        load_task(root)
