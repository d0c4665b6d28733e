"""Rows find their own pictures, or are named; tables are read whichever program wrote them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from transfusion.errors import BadDataError, TaskError
from transfusion.tasks import Task

Loader = Callable[..., Task]
Tree = Callable[..., Path]


def rows(form: str, num: int = 12) -> str:
    return "image,label\n" + "\n".join(f"{form.format(k=k)},{'ab'[k % 2]}" for k in range(num))


def total(task: Task) -> int:
    return sum(len(split) for split in task.splits.values())


@pytest.mark.parametrize(
    ("disk", "table"),
    [
        ("img_{k:03d}x.png", "IMG_{k:03d}X.PNG"),
        ("img_{k:03d}x.png", "img_{k:03d}x"),
        ("img_{k:03d}x.png", "img_{k:03d}x.dcm"),
        ("img_{k:03d}x.PNG", "img_{k:03d}x.jpg"),
        ("images/i{k}x.png", "C:\\Users\\me\\images\\i{k}x.png"),
        ("images/i{k}x.png", "/home/me/data/i{k}x.png"),
        ("images/i{k}x.png", "./images/i{k}x.png"),
        ("images/i{k}x.png", "s3://bucket/images/i{k}x.png"),
        ("p{k}/s1/view.png", "set-v1/p{k}/s1/view.png"),
        ("p{k}/s1/view.png", "D:\\set-v1\\p{k}\\s1\\view.png"),
        ("deep/p{k}/view.png", "p{k}/view.png"),
        ("imgs/p{k}/view.png", "/mnt/raw/p{k}/view.png"),
        ("i{k}.v2.png", "i{k}.v2"),
        ("Müller{k}x.png", "Mu\u0308ller{k}x.png"),
        ("i {k}x.png", "i {k}x.png"),
    ],
)
def test_names_that_are_nearly_the_same(tree: Tree, load_task: Loader, disk: str, table: str) -> None:
    root = tree([disk.format(k=k) for k in range(12)], {"labels.csv": rows(table)})
    task = load_task(root, patient_pattern="none")
    assert total(task) == 12
    for split in task.splits.values():
        for name, label in zip(split.names, split.labels, strict=True):
            assert int("".join(filter(str.isdigit, name.split("/s1")[0].split(".")[0]))) % 2 == label


def test_never_another_patients_file_of_the_same_name(tree: Tree, load_task: Loader) -> None:
    names = [f"p{k}/s1/view.png" for k in range(12) if k != 5]
    with pytest.raises(BadDataError) as caught:
        load_task(tree(names, {"labels.csv": rows("p{k}/s1/view.png")}), patient_pattern="none")
    assert caught.value.problems == ("label without image: p5/s1/view.png",)


def test_two_files_that_differ_in_case_are_told_apart(tree: Tree, load_task: Loader) -> None:
    names = [f"i{k}x.png" for k in range(12)] + ["I3x.png"]
    with pytest.raises(BadDataError) as caught:
        load_task(tree(names, {"labels.csv": rows("i{k}x.png")}))
    assert caught.value.problems == ("image without label: I3x.png",)


def test_twins_are_one_picture_and_namesakes_are_not(tree: Tree, load_task: Loader) -> None:
    root = tree([f"part_1/i{k}x.png" for k in range(12)], {"labels.csv": rows("i{k}x")})
    shutil.copytree(root / "part_1", root / "PART_2")
    task = load_task(root)
    assert total(task) == 12
    assert any("12 files lie there a second time" in note for note in task.card["warnings"])
    shutil.copy(root / "part_1" / "i0x.png", root / "PART_2" / "i1x.png")
    with pytest.raises(BadDataError, match=r"name of several images: i1x \(PART_2, part_1\)"):
        load_task(root)


def test_rows_that_agree_are_one_label(tree: Tree, load_task: Loader) -> None:
    text = rows("i{k}x")
    root = tree([f"i{k}x.png" for k in range(12)], {"labels.csv": text + "\ni0x,a\ni2x,a"})
    task = load_task(root)
    assert total(task) == 12
    assert any("2 pictures have several rows" in note for note in task.card["warnings"])
    (root / "labels.csv").write_text(text + "\ni0x,b")
    with pytest.raises(BadDataError, match=r"contradicting labels: i0x.png \(2 rows: a, b\)"):
        load_task(root)


ENCODED = {
    "utf-16 with tabs": rows("i{k}x.png").replace(",", "\t").encode("utf-16"),
    "utf-32": rows("i{k}x.png").encode("utf-32"),
    "utf-8 with its mark": rows("i{k}x.png").encode("utf-8-sig"),
    "code page 1252": rows("i{k}x.png").replace(",a", ",é").encode("cp1252"),
    "sep line": b"sep=;\r\n" + rows("i{k}x.png").replace(",", ";").encode(),
    "quoted sep line": b'"sep=;"\r\n' + rows("i{k}x.png").replace(",", ";").encode(),
    "bars": rows("i{k}x.png").replace(",", "|").encode(),
    "carriage returns": rows("i{k}x.png").replace("\n", "\r\n").encode(),
    "empty trailing columns": rows("i{k}x.png").replace("\n", ",,,\n").encode() + b",,,",
    "empty trailing rows": rows("i{k}x.png").encode() + b"\n,\n,\n",
    "blanks around": rows(" i{k}x.png ").replace("label", " label ").encode(),
    "semicolons and commas in quotes": rows('"i{k}x.png"').replace(",", ";").encode(),
}


@pytest.mark.parametrize("how", ENCODED)
def test_tables_of_every_program(tree: Tree, load_task: Loader, how: str) -> None:
    task = load_task(tree([f"i{k}x.png" for k in range(12)], {"labels.csv": ENCODED[how]}))
    assert (total(task), task.kind) == (12, "binary")


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"PK\x03\x04xlsx", "Excel"), (b"\xd0\xcf\x11\xe0", "old Excel"), (b"PAR1", "Parquet"), (b"\x1f\x8bxx", "read")],
)
def test_tables_that_are_none_are_named(tree: Tree, load_task: Loader, content: bytes, word: str) -> None:
    with pytest.raises(TaskError, match=word):
        load_task(tree([f"i{k}x.png" for k in range(12)], {"labels.csv": content}))


def test_links_add_nothing_twice(tree: Tree, load_task: Loader, tmp_path: Path) -> None:
    root = tree([f"{label}/i{k}x.png" for label in "ab" for k in range(6)])
    (root / "a" / "latest").symlink_to("..")
    (root / "a" / "again.png").symlink_to("i0x.png")
    (root / "0latest").symlink_to("b")
    assert total(load_task(root)) == 12
    elsewhere = tmp_path / "store"
    shutil.move(root / "b", elsewhere)
    (root / "b").symlink_to(elsewhere)
    (root / "0latest").unlink()
    assert total(load_task(root)) == 12


def test_files_without_a_usual_suffix_are_read_or_named(tree: Tree, load_task: Loader) -> None:
    root = tree([f"{label}/i{k}x.png" for label in "ab" for k in range(6)])
    shutil.move(root / "a" / "i0x.png", root / "a" / "i0x")
    shutil.move(root / "a" / "i1x.png", root / "a" / "i1x.png_large")
    assert total(load_task(root)) == 12
    for k in range(5):
        (root / "a" / f"v{k}.nii.gz").write_bytes(b"x")
    with pytest.raises(BadDataError, match=r"file that is not read: a/ \(5 NIfTI volumes; convert them to PNG\)"):
        load_task(root)


def test_masks_are_left_out_with_a_note(tree: Tree, load_task: Loader) -> None:
    names = [f"{label}/images/i{k}x.png" for label in "ab" for k in range(6)]
    masks = [name.replace("images", "masks") for name in names]
    task = load_task(tree([*names, *masks, "a/images/i0x_seg.png"]))
    assert total(task) == 12
    assert any("13 files are masks" in note for note in task.card["warnings"])


def test_a_copy_of_the_set_inside_the_set(tree: Tree, load_task: Loader) -> None:
    root = tree([f"{label}/i{k}x.png" for label in "ab" for k in range(6)])
    for label in "ab":
        shutil.copytree(root / label, root / "backup" / label)
    with pytest.raises(TaskError, match=r"class folders a, b a second time in backup/.*leave_out"):
        load_task(root)
    assert total(load_task(root, leave_out=("backup/*",))) == 12


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_names_that_are_not_utf8_are_shown(tree: Tree, load_task: Loader) -> None:
    root = tree([f"{label}/i{k}x.png" for label in "ab" for k in range(6)])
    (root / "a").rename(root / os.fsdecode(b"M\xe9lanome"))
    task = load_task(root)
    assert task.classes == ("M?lanome", "b")
    (root / "b").rename(root / os.fsdecode(b"M\xe8lanome"))
    with pytest.raises(TaskError, match="not UTF-8"):
        load_task(root)


def test_many_odd_files_are_told_by_folder(tree: Tree, load_task: Loader) -> None:
    names = [f"i{k}x.png" for k in range(12)] + [f"extra/e{k}x.png" for k in range(500)]
    with pytest.raises(BadDataError) as caught:
        load_task(tree(names, {"labels.csv": rows("i{k}x.png")}))
    assert caught.value.problems == ("image without label: extra/ (500 pictures)",)
