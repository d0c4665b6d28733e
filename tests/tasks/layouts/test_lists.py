"""Text files that list the pictures of a split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from transfusion.errors import BadDataError, TaskError
from transfusion.tasks import Task

Loader = Callable[..., Task]
Tree = Callable[..., Path]
NAMES = [f"{label}/{label}{k}.png" for label in ("cat", "dog") for k in range(10)]
TEST = [name for name in NAMES if name[-5] in "89"]
VAL = [name for name in NAMES if name[-5] in "7"]
TRAIN = [name for name in NAMES if name not in TEST + VAL]


def lines(names: list[str], form: str = "{}") -> str:
    return "\n".join(form.format(name) for name in names) + "\n"


def sizes(task: Task) -> tuple[int, ...]:
    return tuple(len(split) for split in task.splits.values())


@pytest.mark.parametrize(
    "form",
    ["{}", "./{}", "images/{}", "/home/me/set/{}", "{} 0", "{},dog", "{}\tdog\t3", "7 {} dog", "  {}  "],
)
def test_lists_beside_class_folders(tree: Tree, load_task: Loader, form: str) -> None:
    tables = {"train.txt": lines(TRAIN, form), "val.txt": lines(VAL, form), "test.txt": lines(TEST, form)}
    task = load_task(tree(NAMES, tables))
    assert sizes(task) == (14, 2, 4)
    assert set(task.splits["test"].names) == set(TEST)
    assert any("Splits are taken from the lists" in note for note in task.card["warnings"])


@pytest.mark.parametrize("place", ["{}", "splits/{}", "ImageSets/{}"])
@pytest.mark.parametrize("name", ["{}_list.txt", "{}.lst", "{}_files.txt", "{}-images.txt"])
def test_where_and_how_lists_are_called(tree: Tree, load_task: Loader, place: str, name: str) -> None:
    tables = {place.format(name.format(s)): lines(own) for s, own in (("train", TRAIN + VAL), ("test", TEST))}
    assert sizes(load_task(tree(NAMES, tables))) == (16, 0, 4)


def test_names_without_folders_and_suffix(tree: Tree, load_task: Loader) -> None:
    bare = [Path(name).stem for name in TEST]
    assert sizes(load_task(tree(NAMES, {"test.txt": lines(bare)}))) == (16, 0, 4)


def test_names_with_blanks(tree: Tree, load_task: Loader) -> None:
    names = [f"{label}/{label} ({k}).png" for label in ("cat", "dog") for k in range(10)]
    assert sizes(load_task(tree(names, {"test.txt": lines(names[:3] + names[10:13])}))) == (14, 0, 6)


def test_lists_beside_a_table(tree: Tree, load_task: Loader) -> None:
    flat = [f"images/{k}.png" for k in range(20)]
    tables = {
        "labels.csv": "image,label\n" + "".join(f"{k}.png,{'ab'[k % 2]}\n" for k in range(20)),
        "train_val_list.txt": lines(flat[:14]),
        "test_list.txt": lines(flat[14:]),
    }
    assert sizes(load_task(tree(flat, tables))) == (14, 0, 6)


def test_trainval_beside_its_parts(tree: Tree, load_task: Loader) -> None:
    tables = {"trainval.txt": TRAIN + VAL, "train.txt": TRAIN, "val.txt": VAL, "test.txt": TEST}
    assert sizes(load_task(tree(NAMES, {name: lines(own) for name, own in tables.items()}))) == (14, 2, 4)


def test_trainval_alone_trains(tree: Tree, load_task: Loader) -> None:
    tables = {"trainval.txt": lines(TRAIN + VAL), "test.txt": lines(TEST)}
    assert sizes(load_task(tree(NAMES, tables))) == (16, 0, 4)


def test_a_picture_in_no_list_is_named(tree: Tree, load_task: Loader) -> None:
    tables = {"train.txt": lines(TRAIN), "test.txt": lines(TEST)}
    with pytest.raises(BadDataError, match="image in no list of a split: cat/cat7.png"):
        load_task(tree(NAMES, tables))


def test_lists_of_the_whole_set_beside_a_part_of_it(tree: Tree, load_task: Loader) -> None:
    tables = {"train.txt": lines([*TRAIN, *VAL, "cat/gone.png"]), "test.txt": lines([*TEST, "dog/gone.png"])}
    assert sizes(load_task(tree(NAMES, tables))) == (16, 0, 4)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n", "  \t\n"])
def test_texts_of_every_sort(tree: Tree, load_task: Loader, encoding: str, end: str) -> None:
    files = {
        name: lines(own).replace("\n", end).encode(encoding)
        for name, own in (("train.txt", TRAIN + VAL), ("test.txt", TEST))
    }
    assert sizes(load_task(tree(NAMES, files))) == (16, 0, 4)


@pytest.mark.parametrize("form", ['"{}"', "'{}'", '"{}",dog', "{};1", "C:\\data\\{}", "../set/{}", '"{}'])
@pytest.mark.parametrize("first", ["", "image\n", "# test\n\n"])
def test_lines_in_quotes_with_other_separators_and_headers(
    tree: Tree, load_task: Loader, form: str, first: str
) -> None:
    files = {"train.txt": first + lines(TRAIN + VAL, form), "test.txt": first + lines(TEST, form)}
    assert sizes(load_task(tree(NAMES, files))) == (16, 0, 4)


def test_lines_that_name_no_picture_are_told(tree: Tree, load_task: Loader) -> None:
    task = load_task(tree(NAMES, {"test.txt": lines([*TEST, "gone.png", "lost.png"])}))
    assert sizes(task) == (16, 0, 4)
    assert any("2 lines of test.txt name no picture" in note for note in task.card["warnings"])


@pytest.mark.parametrize(
    "content", [b"", b"\n \n", bytes(9), lines(TEST).encode("utf-16-le"), lines(TEST).encode() + b"\0"]
)
@pytest.mark.parametrize("name", ["train.txt", "test.txt"])
def test_a_list_that_cannot_be_read_is_not_passed_over(
    tree: Tree, load_task: Loader, name: str, content: bytes
) -> None:
    files = {"train.txt": lines(TRAIN + VAL).encode(), "test.txt": lines(TEST).encode()} | {name: content}
    with pytest.raises(TaskError, match=f"{name} is called like the list of a split and cannot be read"):
        load_task(tree(NAMES, files))


def test_a_list_of_other_pictures_is_not_passed_over(tree: Tree, load_task: Loader) -> None:
    with pytest.raises(TaskError, match="test.txt lists 4 pictures, of which none is there"):
        load_task(tree(NAMES, {"test.txt": lines([f"x{Path(name).name}" for name in TEST])}))


def test_a_line_that_fits_two_pictures_is_asked_about(tree: Tree, load_task: Loader) -> None:
    names = [f"{label}/{k}.png" for label in ("cat", "dog") for k in range(10)]
    with pytest.raises(TaskError, match="3.png in .*test.txt fits several pictures"):
        load_task(tree(names, {"test.txt": "3.png\n4.png\n"}))


@pytest.mark.parametrize("name", ["fold1", "holdout", "cv_2"])
def test_lists_of_other_ways_to_cut_are_asked_about(tree: Tree, load_task: Loader, name: str) -> None:
    root = tree(NAMES, {f"{name}.txt": lines(TEST)})
    with pytest.raises(TaskError, match=f"{name}.txt lists pictures: is it a split"):
        load_task(root)
    assert sizes(load_task(root, split_names={name: "test"})) == (16, 0, 4)


def test_a_picture_in_two_lists_is_named(tree: Tree, load_task: Loader) -> None:
    tables = {"train.txt": lines(TRAIN + VAL + TEST[:1]), "test.txt": lines(TEST)}
    with pytest.raises(TaskError, match=r"cat8.png is in the lists of two splits, test.txt, train.txt"):
        load_task(tree(NAMES, tables))


def test_ten_ways_of_cutting_ask_which(tree: Tree, load_task: Loader) -> None:
    tables = {"train1.txt": TRAIN + VAL, "test1.txt": TEST, "train2.txt": TEST + VAL, "test2.txt": TRAIN}
    root = tree(NAMES, {name: lines(own) for name, own in tables.items()})
    with pytest.raises(TaskError, match="lists of two splits"):
        load_task(root)
    assert sizes(load_task(root, split_names={"train2": "none", "test2": "none"})) == (16, 0, 4)


def test_lists_that_contradict_folders(tree: Tree, load_task: Loader) -> None:
    names = [f"{split}/{name}" for split, own in (("train", TRAIN + VAL), ("test", TEST)) for name in own]
    root = tree(names, {"train.txt": lines(TRAIN + VAL), "test.txt": lines(TEST)})
    assert sizes(load_task(root)) == (16, 0, 4)
    (root / "train.txt").write_text(lines(TRAIN[1:] + VAL))
    (root / "test.txt").write_text(lines(TEST + TRAIN[:1]))
    with pytest.raises(TaskError, match="Lists give 1 pictures another split than folders"):
        load_task(root)


@pytest.mark.parametrize("name", ["tset.txt", "traning.txt", "Validaton.lst"])
def test_a_name_with_a_slip_is_asked_about(tree: Tree, load_task: Loader, name: str) -> None:
    with pytest.raises(TaskError, match=f"{name} lists pictures: is it a split"):
        load_task(tree(NAMES, {name: lines(TEST)}))


@pytest.mark.parametrize("name", ["README.txt", "requirements.txt", "train_log.txt", "classes.txt", "test_notes.txt"])
@pytest.mark.parametrize("content", [b"cats and dogs\nsee the paper\n", b"", b"\0\1\2"])
def test_other_text_files_are_none(tree: Tree, load_task: Loader, name: str, content: bytes) -> None:
    task = load_task(tree(NAMES, {name: content}))
    assert sizes(task) == (16, 0, 4)
    assert not any("lists" in note for note in task.card["warnings"])
