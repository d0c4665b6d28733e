from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from transfusion.errors import BadDataError, TaskError, UnknownNameError
from transfusion.tasks import Task

Loader = Callable[..., Task]
Write = Callable[..., Path]
WHOLE = {"val_fraction": 0.0, "test_fraction": 0.0}


@pytest.fixture
def write(tmp_path: Path, picture: Callable[..., Path]) -> Write:
    """Writes ``labels.csv`` beside ``images/0.png`` and so on."""

    def written(text: str, num: int = 4) -> Path:
        for row in range(num):
            picture(tmp_path / "set" / "images" / f"{row}.png", row)
        (tmp_path / "set" / "labels.csv").write_text(text)
        return tmp_path / "set"

    return written


def labels_of(task: Task) -> dict[str, list[str]]:
    train = task.splits["train"]
    rows = train.labels if train.labels.ndim == 2 else [[k == label for k in range(99)] for label in train.labels]
    return {
        name: [c for k, c in enumerate(task.classes) if row[k]] for name, row in zip(train.names, rows, strict=True)
    }


@pytest.mark.parametrize("name", ["{}", "{}.png", "images/{}.png", "other/place/{}.png", "./images/{}.png"])
def test_images_by_any_sort_of_name(write: Write, load_task: Loader, name: str) -> None:
    rows = "\n".join(f"{name.format(row)},{'ab'[row % 2]}" for row in range(4))
    task = load_task(write(f"file,kind\n{rows}\n"), **WHOLE)
    assert task.kind == "binary"
    assert labels_of(task)["images/3.png"] == ["b"]
    assert task.splits["train"].images[3].max() == 3


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators(write: Write, load_task: Loader, separator: str) -> None:
    rows = "\n".join(separator.join((f"{row}.png", "xyz"[row % 3], "40")) for row in range(4))
    task = load_task(write(separator.join(("image", "label", "age")) + "\n" + rows), **WHOLE)
    assert task.classes == ("x", "y", "z")


def test_joined_labels(write: Write, load_task: Loader) -> None:
    task = load_task(write("image,findings\n0,b|a\n1,No Finding\n2,c\n3,a\n"), **WHOLE)
    assert task.kind == "multilabel"
    assert list(labels_of(task).values()) == [["a", "b"], [], ["c"], ["a"]]


def test_columns_of_flags(write: Write, load_task: Loader) -> None:
    task = load_task(write("image,b,a\n0,1,1\n1,0,0\n2,0,1\n3,1.0,0\n"), **WHOLE)
    assert (task.kind, task.classes) == ("multilabel", ("b", "a"))
    assert list(labels_of(task).values()) == [["b", "a"], [], ["a"], ["b"]]


def test_exclusive_flags_are_classes(write: Write, load_task: Loader) -> None:
    task = load_task(write("image,MEL,NV,BCC\n0,1,0,0\n1,0,1,0\n2,0,0,1\n3,0,1,0\n"), **WHOLE)
    assert (task.kind, task.classes) == ("multiclass", ("MEL", "NV", "BCC"))


def test_grades_are_recognised_by_their_column(write: Write, load_task: Loader) -> None:
    rows = "\n".join(f"{row},{row}" for row in range(4))
    graded = load_task(write(f"id_code,diagnosis\n{rows}"), **WHOLE)
    assert (graded.kind, graded.positive) == ("graded", 2)
    assert load_task(write(f"id_code,label\n{rows}"), **WHOLE).kind == "multiclass"


def test_columns_can_be_named(write: Write, load_task: Loader) -> None:
    text = "n,who,sex,verdict\n0,p,f,x\n1,p,m,y\n2,q,f,x\n3,r,m,y\n"
    columns = {"image_column": "n", "label_column": "verdict", "patient_column": "who"}
    task = load_task(write(text), **columns, **WHOLE)
    assert task.splits["train"].patients == ("p", "p", "q", "r")
    assert task.classes == ("x", "y")
    with pytest.raises(TaskError, match=r"which column has the labels.*n, who, sex, verdict"):
        load_task(write(text))
    with pytest.raises(UnknownNameError, match=r"no column 'verdikt'. Did you mean 'verdict'"):
        load_task(write(text), label_column="verdikt")


def test_a_split_column_is_obeyed(write: Write, load_task: Loader) -> None:
    rows = "\n".join(f"{row},{'ab'[row % 2]},{'train valid test'.split()[row // 2]}" for row in range(6))
    task = load_task(write(f"image,label,split\n{rows}", num=6))
    assert [split.names for split in task.splits.values()] == [
        ("images/0.png", "images/1.png"),
        ("images/2.png", "images/3.png"),
        ("images/4.png", "images/5.png"),
    ]


def test_everything_wrong_with_a_table(write: Write, load_task: Loader, picture: Callable[..., Path]) -> None:
    root = write("image,label\n0,a\n1,b\n2,\n3,NaN\n9,a\n4,a\n4,b\nsame,b\n5,a\n5.png,a\n", num=7)
    for folder in ("x", "y"):
        picture(root / folder / "same.png", ord(folder))
    with pytest.raises(BadDataError) as caught:
        load_task(root)
    assert sorted(caught.value.problems) == [
        "contradicting labels: images/4.png (2 rows: a, b)",
        "image without label: images/6.png",
        "label without image: 9",
        "missing label: 2",
        "missing label: 3",
        "name of several images: same (x, y)",
    ]
    task = load_task(root, leave_out_bad=True, **WHOLE)
    assert task.splits["train"].names == ("images/0.png", "images/1.png", "images/5.png")


def test_labels_may_lie_elsewhere(write: Write, load_task: Loader, tmp_path: Path) -> None:
    root = write("image,label\n0,a\n1,b\n2,a\n3,b\n")
    (root / "labels.csv").rename(tmp_path / "elsewhere.csv")
    task = load_task(root, labels=str(tmp_path / "elsewhere.csv"), **WHOLE)
    assert len(task.splits["train"]) == 4
    with pytest.raises(TaskError, match="There is no file"):
        load_task(root, labels=str(tmp_path / "nowhere.csv"))


def test_the_file_itself_may_be_given(write: Write, load_task: Loader) -> None:
    path = write("image,label\n0,a\n1,b\n2,a\n3,b\n") / "labels.csv"
    assert load_task(path, **WHOLE).name == "labels"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read|no rows"),
        ("image,label\n", "no rows"),
        ("image,label\nx,a\ny,b\n", "(?s)names pictures|class folders"),
    ],
)
def test_tables_that_cannot_be_used(write: Write, load_task: Loader, text: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        load_task(write(text))


def test_several_tables_are_asked_about(write: Write, load_task: Loader) -> None:
    root = write("image,label\n0,a\n1,b\n")
    (root / "more.csv").write_text("x\n1\n")
    with pytest.raises(TaskError, match=r"several CSV files \(labels.csv, more.csv\)"):
        load_task(root)


def test_a_table_without_a_header_is_named(tree: Callable[..., Path], load_task: Loader) -> None:
    names = [f"x{row}y.png" for row in range(24)]
    root = tree(names, {"labels.csv": "\n".join(f"{name},{'ab'[row % 2]}" for row, name in enumerate(names))})
    with pytest.raises(TaskError, match="no header"):
        load_task(root)
