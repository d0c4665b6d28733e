from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from transfusion.errors import TaskError
from transfusion.spec import TaskSpec
from transfusion.tasks import Task
from transfusion.tasks.layouts import read

Folders = Callable[..., Path]
Loader = Callable[..., Task]


def listed(root: Path, **settings: object) -> list[tuple[str, object, str | None]]:
    return [(e.name, e.label, e.split) for e in read(TaskSpec(data=str(root), **settings)).entries]


def test_classes_without_splits(class_folders: Folders) -> None:
    assert listed(class_folders(num=1)) == [("cat/0.png", "cat", None), ("dog/0.png", "dog", None)]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("valid", "val"),
        ("validation", "val"),
        ("TEST", "test"),
        ("Validate", "val"),
    ],
)
def test_split_folders_by_any_name(class_folders: Folders, name: str, split: str) -> None:
    assert {entry[2] for entry in listed(class_folders((name,), num=1))} == {split}


def test_pictures_in_deeper_folders_belong_to_the_class(class_folders: Folders) -> None:
    root = class_folders(num=1)
    shutil.move(root / "cat", root / "deep")
    shutil.move(root / "deep", root / "cat" / "2017")
    assert ("cat/2017/0.png", "cat", None) in listed(root)


def test_clutter_is_passed_over_and_other_files_are_counted(class_folders: Folders) -> None:
    root = class_folders(num=1)
    for name in (".DS_Store", "cat/Thumbs.db", "cat/.hidden.png", "__MACOSX/cat/0.png", "cat/notes.doc"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    listing = read(TaskSpec(data=str(root)))
    assert len(listing.entries) == 2
    assert not listing.problems
    assert listing.other_files == {".doc": 1}


def test_classes_are_in_natural_order(class_folders: Folders) -> None:
    assert read(TaskSpec(data=str(class_folders(classes=("10", "9", "2"), num=1)))).classes == ("2", "9", "10")


def test_an_empty_class_and_pictures_without_class_are_problems(class_folders: Folders) -> None:
    root = class_folders(("train",), num=1)
    (root / "train" / "cow").mkdir()
    shutil.copy(root / "train" / "cat" / "0.png", root / "train" / "a.png")
    problems = sorted(map(str, read(TaskSpec(data=str(root))).problems))
    assert problems == [
        "empty class folder: train/cow",
        "image without label: train/a.png (not in a class folder)",
    ]


def test_two_folders_for_one_split_are_one(class_folders: Folders) -> None:
    assert sum(entry[2] == "val" for entry in listed(class_folders(("train", "val", "valid"), num=1))) == 4


def test_one_class_is_no_task(class_folders: Folders) -> None:
    with pytest.raises(TaskError, match=r"1 class folders \(cat\)"):
        listed(class_folders(classes=("cat",)))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="does not exist.*class folders.*npz"):
        listed(tmp_path / "missing")
    with pytest.raises(TaskError, match="no data set of a known layout"):
        listed(tmp_path)
    (tmp_path / "a.pdf").write_text("")
    with pytest.raises(TaskError, match="a file of an unknown kind"):
        listed(tmp_path / "a.pdf")


@pytest.mark.parametrize("second", ["{label}/thumbs/{row}.png", "{label}/raw/{row}.png", "{label}/any/{row}.png"])
def test_a_second_version_of_the_pictures_is_asked_about(
    tree: Callable[..., Path], load_task: Loader, second: str
) -> None:
    first = "{label}/resized/{row}.png" if "raw" in second else "{label}/{row}.png"
    root = tree([form.format(label=label, row=row) for form in (first, second) for label in "ab" for row in range(12)])
    with pytest.raises(TaskError, match="hold 12 files of the same names.*leave_out"):
        load_task(root)
    folder = second.split("/")[1]
    assert sum(map(len, load_task(root, leave_out=[f"*{folder}/*"]).splits.values())) == 24


def test_classes_may_have_the_names_of_versions(tree: Callable[..., Path], load_task: Loader) -> None:
    root = tree([f"{label}/{row}.png" for label in ("small", "large") for row in range(12)])
    assert load_task(root).classes == ("large", "small")


@pytest.mark.parametrize("place", ["c.zip", "a/more.tar", "archive/set.rar"])
def test_archives_beside_the_pictures_are_named(tree: Callable[..., Path], load_task: Loader, place: str) -> None:
    root = tree([f"{label}/{row}.png" for label in "ab" for row in range(12)], {place: b"PK"})
    try:
        told = "; ".join(load_task(root).card["warnings"])
    except TaskError as error:
        told = str(error)
    assert place.split("/")[0] in told
