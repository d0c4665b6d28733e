"""The publisher's split is used whole, or the program stops and asks; nothing is ever cut in its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transfusion.errors import TaskError, TransfusionError
from transfusion.tasks import Task, check

Loader = Callable[..., Task]
Tree = Callable[..., Path]
NAMES = [f"i{row}.png" for row in range(24)]
PARTS = [row % 3 for row in range(24)]  # every third picture is of the same part


def sizes(task: Task) -> tuple[int, ...]:
    return tuple(len(split) for split in task.splits.values())


def table(column: str, cells: list[str], extra: dict[str, list[str]] | None = None) -> str:
    columns = {"image": NAMES, "label": ["ab"[row // 3 % 2] for row in range(24)], column: cells, **(extra or {})}
    rows = zip(*columns.values(), strict=True)
    return "\n".join([",".join(columns), *(",".join(row) for row in rows)])


def cells_of(words: tuple[str, ...]) -> list[str]:
    return [words[part] for part in PARTS]


@pytest.mark.parametrize(
    "words",
    [
        ("train", "validate", "test"),
        ("TRAIN", "VAL", "TEST"),
        ("Training", "Validation", "Testing"),
        ("train", "dev", "test"),
        ("trn", "vld", "tst"),
        ("train_set", "val_set", "test_set"),
        ("Training set", "Validation set", "Test set"),
        ("trainset", "valset", "testset"),
        ("train images", "valid images", "test images"),
        ("tr", "val", "ts"),
    ],
)
@pytest.mark.parametrize("column", ["split", "Dataset_type", "whatever"])
def test_words_of_publishers(tree: Tree, load_task: Loader, column: str, words: tuple[str, ...]) -> None:
    task = load_task(tree(NAMES, {"labels.csv": table(column, cells_of(words))}))
    assert sizes(task) == (8, 8, 8)
    assert task.splits["test"].names == tuple(sorted(NAMES[2::3]))


@pytest.mark.parametrize(
    ("column", "words", "odd", "settings"),
    [
        ("split", ("train", "val", "tset"), "'tset' (8 rows)", {"split_names": {"tset": "test"}}),
        ("split", ("train", "", "test"), "'' (8 rows)", {"split_names": {"": "val"}}),
        ("split", ("train", "holdout", "test"), "'holdout'", {"split_names": {"holdout": "val"}}),
        ("subset", ("A", "B", "C"), "'A'", {"split_names": {"A": "train", "B": "val", "C": "test"}}),
        ("split", ("0", "1", "2"), "'0'", {"split_names": {"0": "train", "1": "val", "2": "test"}}),
        (
            "fold",
            ("0", "1", "2"),
            "'0'",
            {"split_column": "fold", "split_names": {"1": "val", "2": "test", "*": "train"}},
        ),
        ("partition", ("1", "2", "3"), "'1'", {"split_names": {"2": "val", "3": "test", "*": "train"}}),
        ("is_train", ("1", "0", "0"), "'1'", {"split_column": "is_train", "split_names": {"1": "train", "0": "test"}}),
        ("set", ("train", "eval", "test"), "'eval'", {"split_names": {"eval": "val"}}),
        ("usage", ("train", "Public", "Private"), "'P", {"split_names": {"public": "val", "private": "test"}}),
        ("whatever", ("train", "other", "test"), "'other'", {"split_names": {"other": "val"}}),
    ],
)
def test_cells_that_are_not_understood_are_named(
    tree: Tree, load_task: Loader, column: str, words: tuple[str, ...], odd: str, settings: dict[str, Any]
) -> None:
    root = tree(NAMES, {"labels.csv": table(column, cells_of(words))})
    with pytest.raises(TaskError) as caught:
        load_task(root)
    assert odd in str(caught.value)
    assert "task.split_names" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sizes(load_task(root, **settings)) in ((8, 8, 8), (8, 0, 16))
    free = load_task(root, split_column="none")
    assert free.card["splits_given"] == []


@pytest.mark.parametrize(
    ("column", "words", "meaning"),
    [
        ("test_set", ("0", "0", "1"), "{'1': test, '*': train}"),
        ("is_validation", ("False", "True", "False"), "{'True': val, '*': train}"),
        ("in_training_data", ("yes", "no", "no"), "{'yes': train, '*': test}"),
        ("official_split", ("1", "2", "3"), "{'1': test, '*': train}"),
        ("cv_fold", ("a", "b", "c"), "{'a': test, '*': train}"),
        ("cohort", ("train", "external", "internal"), "{'external': test, '*': train}"),
        ("source", ("nih_train", "nih_test", "nih_val"), "{'nih_test': test, '*': train}"),
        ("held_out", ("0", "1", "0"), "{'1': test, '*': train}"),
    ],
)
def test_columns_that_may_be_splits_are_asked_about(
    tree: Tree, load_task: Loader, column: str, words: tuple[str, ...], meaning: str
) -> None:
    root = tree(NAMES, {"labels.csv": table(column, cells_of(words))})
    with pytest.raises(TaskError, match=f"column {column} looks like the split") as caught:
        load_task(root)
    assert meaning in str(caught.value)


@pytest.mark.parametrize(
    "forms", [("train_{}", "test_{}"), ("IMG-{}-Training", "IMG-{}-Testing"), ("{}_test", "a_train{}")]
)
@pytest.mark.parametrize("folder", ["", "pictures/"])
def test_file_names_that_tell_splits(tree: Tree, load_task: Loader, forms: tuple[str, str], folder: str) -> None:
    stems = [forms[row // 3 % 2].format(row) for row in range(24)]
    names = [f"{folder}{'ab'[row % 2]}/{stem}.png" for row, stem in enumerate(stems)]
    task = load_task(tree(names))
    assert sizes(task) == (12, 0, 12)
    assert all("test" in name.lower() for name in task.splits["test"].names)
    assert sizes(load_task(tree(names), split_column="none", patient_pattern="none", test_fraction=0.25)) == (18, 0, 6)


def test_some_file_names_that_tell_splits_are_asked_about(tree: Tree, load_task: Loader) -> None:
    names = [f"{'ab'[row % 2]}/{'test_' if row > 18 else ''}{row}.png" for row in range(24)]
    with pytest.raises(TaskError, match="5 of 24 file names tell a split, as test_20 does"):
        load_task(tree(names))


def test_pictures_of_trains_tell_no_split(tree: Tree, load_task: Loader) -> None:
    names = [f"{label}/{sort}_{row}.png" for label, sort in (("a", "train_wagon"), ("b", "car")) for row in range(12)]
    assert load_task(tree(names)).card["splits_given"] == []


def test_folds_beside_a_split_are_not_the_split(tree: Tree, load_task: Loader) -> None:
    text = table("split", cells_of(("train", "val", "test")), {"fold": cells_of(("0", "1", "2"))})
    assert sizes(load_task(tree(NAMES, {"labels.csv": text}))) == (8, 8, 8)


def test_two_splits_that_differ_are_asked_about(tree: Tree, load_task: Loader) -> None:
    other = {"subset": cells_of(("test", "train", "val"))}
    root = tree(NAMES, {"labels.csv": table("split", cells_of(("train", "val", "test")), other)})
    with pytest.raises(TaskError, match=r"split, subset all look like splits and differ.*split_column"):
        load_task(root)
    assert load_task(root, split_column="subset").splits["test"].names == tuple(sorted(NAMES[0::3]))


def in_folders(*folders: str, num: int = 4) -> list[str]:
    return [
        f"{folder}/{label}/{folder.replace('/', '')}{label}{i}.png"
        for folder in folders
        for label in "ab"
        for i in range(num)
    ]


@pytest.mark.parametrize(
    "folders",
    [
        ("train", "val", "test"),
        ("Train", "Validate", "Test"),
        ("TRAINING", "VALIDATION", "TESTING"),
        ("train", "Val_set", "test"),
        ("Training set", "Validation set", "Test set"),
        ("a. Training Set", "b. Validation Set", "c. Testing Set"),
        ("train_images", "valid_images", "test_images"),
        ("imagesTr", "imagesVal", "imagesTs"),
        ("wrapper/train", "wrapper/val", "wrapper/test"),
        ("images/train", "images/dev", "images/test"),
    ],
)
def test_folders_of_publishers(tree: Tree, load_task: Loader, folders: tuple[str, ...]) -> None:
    assert sizes(load_task(tree(in_folders(*folders)))) == (8, 8, 8)


@pytest.mark.parametrize(
    "folders", [("a/train", "a/test", "b/train", "b/test"), ("a/Training", "a/Testing", "b/Training", "b/Testing")]
)
def test_split_folders_inside_class_folders(tree: Tree, load_task: Loader, folders: tuple[str, ...]) -> None:
    task = load_task(tree([f"{folder}/{row}.png" for folder in folders for row in range(5)]))
    assert (sizes(task), task.classes) == ((10, 0, 10), ("a", "b"))


@pytest.mark.parametrize(
    ("folders", "odd", "meaning"),
    [
        (("train", "test", "holdout"), "holdout/ (8 pictures)", "val"),
        (("train", "tset"), "tset/ (8 pictures)", "test"),
        (("Train", "Test", "Pruebas"), "Pruebas/", "val"),
        (("train", "test", "unlabeled"), "unlabeled/", "leave_out"),
        (("Traning", "Testing"), "Traning/", "train"),
        (("train", "test", "fold1"), "fold1/", "val"),
    ],
)
def test_folders_that_are_not_understood_are_named(
    tree: Tree, load_task: Loader, folders: tuple[str, ...], odd: str, meaning: str
) -> None:
    root = tree(in_folders(*folders))
    for settings in ({}, {"leave_out_bad": True}):  # a split is no bad file
        with pytest.raises(TaskError) as caught:
            load_task(root, **settings)
        assert odd in str(caught.value)
        assert "task.split_names" in str(caught.value)
    task = load_task(root, split_names={odd.split("/")[0]: meaning})
    assert sum(sizes(task)) == 8 * (len(folders) - (meaning == "leave_out"))
    assert meaning == "leave_out" or len(task.splits[meaning]) == 8


@pytest.mark.parametrize("folders", [("tset", "tarin"), ("Train_2019", "Test_2019"), ("test_a", "control")])
def test_classes_that_look_like_splits_are_asked_about(tree: Tree, load_task: Loader, folders: tuple[str, str]) -> None:
    root = tree([f"{folder}/{row}.png" for folder in folders for row in range(10)])
    with pytest.raises(TaskError, match=r"a split\?|has pictures in|no training images|which split is that"):
        load_task(root)
    assert load_task(root, split_names=dict.fromkeys(folders, "none")).classes == tuple(sorted(folders))


def rows_of(names: list[str]) -> str:
    return "image,label\n" + "\n".join(f"{name},{'ab'[row % 2]}" for row, name in enumerate(names))


@pytest.mark.parametrize(
    "names",
    [
        ("train.csv", "val.csv", "test.csv"),
        ("train_1.csv", "valid.csv", "test.csv"),
        ("Training_labels.csv", "Validation_labels.csv", "Testing_labels.csv"),
        ("labels_train.csv", "labels_val.csv", "labels_test.csv"),
        ("splits/train.csv", "splits/dev.csv", "splits/test.csv"),
    ],
)
def test_tables_are_splits(tree: Tree, load_task: Loader, names: tuple[str, ...]) -> None:
    tables = {name: rows_of(NAMES[8 * part : 8 * part + 8]) for part, name in enumerate(names)}
    assert sizes(load_task(tree([f"images/{name}" for name in NAMES], tables))) == (8, 8, 8)


@pytest.mark.parametrize(
    ("names", "odd"),
    [
        (("train.csv", "extra.csv"), "extra.csv names no split"),
        (("train_1.csv", "train_2.csv"), "name the same split"),
        (("one.csv", "two.csv"), "names no split"),
    ],
)
def test_tables_that_are_not_understood_are_named(
    tree: Tree, load_task: Loader, names: tuple[str, ...], odd: str
) -> None:
    root = tree(NAMES, {name: rows_of(NAMES[12 * part : 12 * part + 12]) for part, name in enumerate(names)})
    with pytest.raises(TaskError, match=odd):
        load_task(root)
    stems = [Path(name).stem for name in names]
    assert sizes(load_task(root, split_names=dict(zip(stems, ("train", "test"), strict=True)))) == (12, 0, 12)


def test_a_form_for_answers_and_a_test_without_labels_are_not_used(tree: Tree, load_task: Loader) -> None:
    tables = {
        "train.csv": rows_of(NAMES[:16]),
        "test.csv": "image\n" + "\n".join(NAMES[16:]),
        "sample_submission.csv": rows_of(NAMES[16:]),
    }
    names = [f"train_images/{name}" for name in NAMES[:16]] + [f"test_images/{name}" for name in NAMES[16:]]
    task = load_task(tree(names, tables))
    assert sum(sizes(task)) == 16
    for word in ("sample_submission.csv", "test.csv", "test folder"):
        assert any(word in note for note in task.card["warnings"])


def test_folders_beside_one_table_decide(tree: Tree, load_task: Loader) -> None:
    places = [f"{'train' if row < 16 else 'test'}/{name}" for row, name in enumerate(NAMES)]
    assert sizes(load_task(tree(places, {"labels.csv": rows_of(NAMES)}))) == (16, 0, 8)


def test_pictures_beside_split_folders_are_asked_about(tree: Tree, load_task: Loader) -> None:
    places = [f"{('train', 'test', 'more')[row % 3]}/{name}" for row, name in enumerate(NAMES)]
    with pytest.raises(TaskError, match=r"more/ \(8 pictures\) beside test/, train/"):
        load_task(tree(places, {"labels.csv": rows_of(NAMES)}))


def test_a_table_that_contradicts_the_folders(tree: Tree, load_task: Loader) -> None:
    places = [f"{'train' if row < 16 else 'test'}/{name}" for row, name in enumerate(NAMES)]
    root = tree(places, {"labels.csv": table("split", ["test"] * 8 + ["train"] * 16)})
    with pytest.raises(TaskError, match="different splits"):
        load_task(root)
    assert sizes(load_task(root, split_column="split")) == (16, 0, 8)
    assert load_task(root, split_column="none").splits["test"].names == tuple(sorted(f"test/{n}" for n in NAMES[16:]))


def test_one_folder_in_two_splits(tree: Tree, load_task: Loader) -> None:
    with pytest.raises(TaskError, match="folders of two splits"):
        load_task(tree(in_folders("train", "train/test")))


def test_names_alone_are_enough_to_refuse(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    from transfusion.spec import TaskSpec

    root = tree(in_folders("train", "tset"))
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read"))
    with pytest.raises(TransfusionError, match="tset"):
        check(TaskSpec(data=str(root)))
