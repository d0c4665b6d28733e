"""What names, first bytes and tables alone show is told before anything is decoded, in one line that names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from transfusion.errors import TaskError
from transfusion.spec import TaskSpec
from transfusion.tasks import Task, check

Loader = Callable[..., Task]
Tree = Callable[..., Path]
PICTURES = [f"{label}/x{row}y.png" for label in "ab" for row in range(12)]
FLAT = [f"x{row}y.png" for row in range(24)]


def table(first: str = "a", second: str = "b", separator: str = ",", end: str = "\n") -> str:
    rows = [f"{name}{separator}{(first, second)[row % 2]}" for row, name in enumerate(FLAT)]
    return end.join([f"image{separator}label", *rows])


ODD = {
    "a class of volumes": (PICTURES, {f"c/{k}.nii.gz": "x" for k in range(5)}, "c/ .5 NIfTI volumes"),
    "a video": (PICTURES, {"a/v.mp4": "x"}, "a/v.mp4 .1 videos"),
    "phone photographs": (PICTURES, {"a/p.heic": "x"}, "a/p.heic .1 HEIC"),
    "a download that broke off": (PICTURES, {"a/p.png.part": "\x89PNG"}, "a/p.png.part .1 unfinished"),
    "a backup": (PICTURES, {"a/x0y.png.bak": "x"}, "a/x0y.png.bak .1 backups"),
    "an empty class": (PICTURES, {"c/.keep": ""}, "empty class folder: c"),
    "a logo beside the classes": ([*PICTURES, "logo.png"], {}, "image without label: logo.png"),
    "many beside the classes": ([*PICTURES, *FLAT], {}, r"without label: ./ .24 pictures"),
    "arrays alone": ([], {f"{label}/{k}.npy": "x" for label in "ab" for k in range(9)}, r"no pictures, but 18 .npy"),
    "MATLAB alone": ([], {f"{label}/{k}.mat": "x" for label in "ab" for k in range(9)}, "no pictures, but 18 .mat"),
    "a file of arrays": ([], {"train.h5": "x"}, r"no data set of a known layout, but 1 .h5"),
    "an archive alone": ([], {"set.zip": "PK"}, "known layout, but 1 .zip"),
    "records": ([], {"a.tfrecord": "x", "b.tfrecord": "x"}, "but 2 .tfrecord"),
    "a row of a sum": (FLAT, {"labels.csv": table() + "\nTotal,24"}, "label without image: Total"),
    "a row too few": (FLAT, {"labels.csv": table().rpartition("\n")[0]}, "image without label: x23y.png"),
    "a sign for nothing": (FLAT, {"labels.csv": table(second="-")}, r"unknown label: x1y.png \(-\)"),
    "no header": (FLAT, {"labels.csv": table().partition("\n")[2]}, "no header"),
    "null bytes": (FLAT, {"labels.csv": table() + "\0\0"}, "null bytes"),
    "UTF-16 without its mark": (FLAT, {"labels.csv": table().encode("utf-16-le")}, "null bytes"),
    "Shift-JIS": (FLAT, {"labels.csv": table("正常", "異常").encode("shift-jis")}, "neither UTF-8 nor Windows-1252"),
    "two tables": (FLAT, {"a.csv": table(), "b.csv": table()}, "several CSV files"),
    "text that is a folder's": (FLAT, {"labels.txt": table()}, "known layout, but 24 .png"),
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_odd_is_named_without_opening_a_picture(tree: Tree, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    names, others, said = ODD[case]
    root = tree(names, others)
    root.mkdir(exist_ok=True)
    monkeypatch.setattr("PIL.Image.open", lambda *_: pytest.fail("a picture was opened"))
    with pytest.raises(TaskError, match=said) as caught:
        check(TaskSpec(data=str(root)))
    assert "\n" not in str(caught.value)


READ = {
    "UTF-8 with its mark": "\ufeff" + table(),
    "UTF-16 with its mark": table().encode("utf-16"),
    "UTF-32 with its mark": table().encode("utf-32"),
    "semicolons": table(separator=";"),
    "Excel's line": "sep=;\n" + table(separator=";"),
    "tabs": table(separator="\t"),
    "bars": table(separator="|"),
    "old Macintosh line ends": table(end="\r"),
    "Windows line ends": table(end="\r\n"),
    "blank lines": table(end="\n\n"),
    "trailing commas": "\n".join(f"{line},,," for line in table().split("\n")),
    "an Excel blank after each cell": table(first="a ", second="b\u00a0"),
}


@pytest.mark.parametrize("case", READ)
def test_tables_of_any_program_are_read(tree: Tree, load_task: Loader, case: str) -> None:
    assert load_task(tree(FLAT, {"labels.csv": READ[case]})).classes == ("a", "b")


@pytest.mark.parametrize("encoding", ["cp1252", "gbk", "mac-roman"])
def test_an_encoding_that_was_guessed_is_told(tree: Tree, load_task: Loader, encoding: str) -> None:
    text = table("正常", "异常") if encoding == "gbk" else table("Mélanome", "nævus")
    told = load_task(tree(FLAT, {"labels.csv": text.encode(encoding)})).card["warnings"]
    assert any("read as Windows-1252" in note for note in told)
    again = load_task(tree(FLAT, {"labels.csv": text.encode()})).card["warnings"]
    assert not any("1252" in note for note in again)
