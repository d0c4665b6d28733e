"""One set of rules for labels in tables, arrays and folders: right, or one line that asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transfusion.errors import SpecError, TaskError
from transfusion.spec import TaskSpec
from transfusion.tasks import Task
from transfusion.tasks.labels import Labels, of_flags, of_one

Loader = Callable[..., Task]
Tree = Callable[..., Path]
Cells = list[str]


def one(cells: Cells, column: str = "label", **settings: Any) -> Labels:
    return of_one(cells, column, TaskSpec(**settings))


@pytest.mark.parametrize(
    ("cells", "column", "kind", "classes"),
    [
        (["a", "b", "a"], "label", "binary", ("a", "b")),
        (["a", "b", "c"], "label", "multiclass", ("a", "b", "c")),
        (["1.0", "0.0", "1"], "label", "binary", ("0", "1")),
        (["True", "False", "TRUE"], "label", "binary", ("False", "True")),
        (["yes", "No", "no"], "label", "binary", ("No", "yes")),
        (["-1", "1", "-1"], "label", "binary", ("-1", "1")),
        (["10", "9", "2"], "label", "multiclass", ("2", "9", "10")),
        (["0", "1", "2"], "label", "multiclass", ("0", "1", "2")),
        (["0", "1", "2"], "grade", "graded", ("0", "1", "2")),
        (["0", "1", "4"], "diagnosis", "graded", ("0", "1", "2", "3", "4")),
        (["0.0", "2.0", "3.0"], "Retinopathy grade", "graded", ("0", "1", "2", "3")),
        (["٠", "١", "٢", "٣"], "level", "multiclass", ("٠", "١", "٢", "٣")),
        (["🐈", "🐕", "🐈"], "label", "binary", ("🐈", "🐕")),
        (["0", "3", "4"], "KL", "graded", ("0", "1", "2", "3", "4")),
        (["0", "1", "1"], "diagnosis", "binary", ("0", "1")),
        (["mild", "severe", "none"], "severity", "multiclass", ("mild", "none", "severe")),
        (["Benign", "benign", "MALIGNANT", "malignant"], "dx", "binary", ("Benign", "MALIGNANT")),
        (["no tumor", "no_tumor", "glioma"], "label", "binary", ("glioma", "no tumor")),
        (["a|b", "a", "c"], "label", "multilabel", ("a", "b", "c")),
        (["a;b", "a", "c"], "label", "multilabel", ("a", "b", "c")),
        (["a, b", "a", "b"], "label", "multilabel", ("a", "b")),
        (["a/b", "b", "a"], "label", "multilabel", ("a", "b")),
        (["a + b", "b", "a"], "label", "multilabel", ("a", "b")),
        (["['a', 'b']", "['a']", "[]"], "Labels", "multilabel", ("a", "b")),
        (["No Finding", "a|b", "b"], "label", "multilabel", ("a", "b")),
        (["Lung Opacity", "Normal", "No Lung Opacity / Not Normal"], "class", "multiclass", None),
        (["basal cell, solid", "nevus", "nevus"], "dx", "binary", None),
        (["['a' 'b']", "['a']", "['b']"], "Labels", "multilabel", ("a", "b")),
        (["{'a', 'b'}", "{'a'}", "{'b'}"], "Labels", "multilabel", ("a", "b")),
        (["('a', 'b')", "('a',)", "('b',)"], "Labels", "multilabel", ("a", "b")),
        (["[Lung mass, edema]", "[edema]", "[]"], "Labels", "multilabel", ("Lung mass", "edema")),
        (["[0, 1]", "[0]", "[1]"], "Labels", "multilabel", ("0", "1")),
        (["[0, 1, 0]", "[1, 0, 0]", "[0, 0, 1]"], "target", "multiclass", ("0", "1", "2")),
        (["[0. 1. 0.]", "[1. 0. 0.]", "[0. 0. 1.]"], "target", "multiclass", ("0", "1", "2")),
        (["[0 1 1]", "[1 0 0]", "[0 0 0]"], "target", "multilabel", ("0", "1", "2")),
        (["[0, 1]", "[1, 0]", "[1, 0]"], "target", "binary", ("0", "1")),
        (["a\nb", "a", "b"], "label", "multilabel", ("a", "b")),
        (["a\tb", "a", "b"], "label", "multilabel", ("a", "b")),
        (["TRUE", "yes", "1", "false", "no", "0"], "label", "binary", None),
        (["Positive", "pos", "NEG", "negative"], "label", "binary", None),
        (["O\u0308dem", "\u00d6dem", "normal"], "label", "binary", ("O\u0308dem", "normal")),
        (["+", "-", "+"], "label", "binary", ("+", "-")),
        (["grade 0", "grade 1", "grade 2"], "label", "multiclass", ("grade 0", "grade 1", "grade 2")),
        (["lung cancer", "lung", "colon cancer"], "label", "multiclass", None),
        (["T-cell", "B-cell", "T-cell"], "label", "binary", ("B-cell", "T-cell")),
        (["stage_1", "stage_2", "stage_3"], "label", "multiclass", ("stage_1", "stage_2", "stage_3")),
        (["0", "1", "2"], "score", "graded", ("0", "1", "2")),
    ],
)
def test_what_a_column_tells(cells: Cells, column: str, kind: str, classes: tuple[str, ...] | None) -> None:
    told = one(cells, column)
    assert told.kind == kind
    assert classes is None or told.classes == classes


@pytest.mark.parametrize(
    ("cells", "column", "question"),
    [
        (["melanoma, nodular", "melanoma, flat", "nevus"], "dx", "label_separator"),
        (["a/b", "a", "c"], "label", "label_separator"),
        ([f"{age}.5" for age in range(20, 60)], "age", "no classes"),
        ([str(age) for age in range(20, 60)], "age", "no classes"),
        ([f"report {row}" for row in range(40)], "text", "no classes"),
        (["0.5", "0", "1"], "label", "0.5"),
        (["1", "2", "3"], "grade", "without 0"),
        (["1", "2", "5"], "BIRADS level", "task.positive"),
        (["1", "2", "3", "4"], "BI-RADS score", "task.positive"),
        (["R0", "R1", "R2"], "retinopathy_grade", "task.kind=graded"),
        (["grade 0", "grade 1", "grade 3"], "Severity", "task.kind=graded"),
        *(
            ([f"edema{joint}mass", "edema", "mass"], "label", "label_separator")
            for joint in (" and ", " et ", " und ", ":", "^", "~", "#", "\\", "_", "-", ".", " ")
        ),
        (["edema and mass", "edema", "nothing"], "label", "label_separator=' and '"),
        (["0 1", "0", "1"], "label", "label_separator=' '"),
    ],
)
def test_what_a_column_does_not_tell_is_asked(cells: Cells, column: str, question: str) -> None:
    with pytest.raises(TaskError, match=question):
        one(cells, column)


@pytest.mark.parametrize("sign", ["-", "?", "--", "."])
def test_signs_for_nothing_are_no_labels(sign: str) -> None:
    assert one(["a", sign, "b"]).values == ["a", None, "b"]


def test_grades_are_numbers_however_they_are_written() -> None:
    told = one(["00", "01", "02", "2", "1"], "level")
    assert (told.kind, told.classes, told.values) == ("graded", ("0", "1", "2"), ["0", "1", "2", "2", "1"])


def test_a_text_is_no_class() -> None:
    with pytest.raises(TaskError, match="a label of 501 characters"):
        one(["cat", "x" * 501, "cat"])


def test_a_class_of_unknowns_is_told() -> None:
    assert any("1 pictures are labelled UNK" in note for note in one(["a", "b", "UNK"]).notes)


@pytest.mark.parametrize(
    ("cells", "settings", "kind", "classes"),
    [
        (["a|b", "a", "b"], {"kind": "multiclass"}, "multiclass", ("a", "a|b", "b")),
        (["a|b", "a", "b"], {"label_separator": "none"}, "multiclass", ("a", "a|b", "b")),
        (["a/b", "a", "c"], {"label_separator": "/"}, "multilabel", ("a", "b", "c")),
        (["a", "b", "c"], {"kind": "multilabel"}, "multilabel", ("a", "b", "c")),
        (["0", "1", "3"], {"kind": "graded"}, "graded", ("0", "1", "2", "3")),
        (["1", "2", "3"], {"kind": "graded", "positive": "2"}, "graded", ("1", "2", "3")),
        (["0.5", "1.5", "1"], {"kind": "multiclass"}, "multiclass", ("0.5", "1", "1.5")),
    ],
)
def test_kind_overrules(cells: Cells, settings: dict[str, Any], kind: str, classes: tuple[str, ...]) -> None:
    told = one(cells, **settings)
    assert (told.kind, tuple(sorted(told.classes))) == (kind, classes)


@pytest.mark.parametrize(
    ("policy", "expected"), [("ignore", ["1", "0", None]), ("zero", ["1", "0", "0"]), ("one", ["1", "0", "1"])]
)
def test_doubt_in_one_column(policy: str, expected: list[str | None]) -> None:
    told = one(["1", "0", "-1"], uncertain=policy)
    values = [None if gone else value for value, gone in zip(told.values, told.dropped, strict=True)]
    assert values == expected
    assert any("-1" in note for note in told.notes)
    assert told.classes == ("0", "1")


def flags(columns: dict[str, str], **settings: Any) -> Labels:
    """Cells are joined by commas."""
    return of_flags({name: text.split(",") for name, text in columns.items()}, TaskSpec(**settings))


def states(told: Labels) -> list[str]:
    """Per row one character for each class: 1, 0, or a dot where it is not judged; ``-`` for a row without labels."""
    rows = []
    for value, gap in zip(told.values, told.unjudged, strict=True):
        marks = ("." if name in gap else str(int(name in (value or ()))) for name in told.classes)
        rows.append("-" if value is None else "".join(marks))
    return rows


@pytest.mark.parametrize(
    ("columns", "settings", "expected"),
    [
        ({"a": "1,0,1", "b": "1,0,0"}, {}, ["11", "00", "10"]),
        ({"a": "1.0,0.0,1.0", "b": "1.0,0.0,0.0"}, {}, ["11", "00", "10"]),
        ({"a": "True,False,True", "b": "True,False,False"}, {}, ["11", "00", "10"]),
        ({"a": "yes,no,yes", "b": "yes,no,no"}, {}, ["11", "00", "10"]),
        ({"a": "1,,1", "b": "1,,"}, {}, ["11", "00", "10"]),  # as people mark in Excel
        ({"a": "x,,x", "b": "x,,"}, {}, ["11", "00", "10"]),
        ({"a": "1,0,", "b": "1,0,0"}, {}, ["11", "00", ".0"]),
        ({"a": "1,0,", "b": "1,0,0"}, {"blank": "zero"}, ["11", "00", "00"]),
        ({"a": "1,0,-1", "b": "1,,0"}, {}, ["11", "00", ".0"]),  # as CheXpert marks
        ({"a": "1,0,-1", "b": "1,,0"}, {"uncertain": "one"}, ["11", "00", "10"]),
        ({"a": "1,0,-1", "b": "1,,0"}, {"uncertain": "zero"}, ["11", "00", "00"]),
        ({"a": "1,0,-1", "b": "1,,0"}, {"blank": "ignore"}, ["11", "0.", ".0"]),
        ({"a": "1,-1,1", "b": "1,-1,-1"}, {}, ["11", "00", "10"]),  # as CelebA marks
        ({"a": "1,0,1", "b": "1,0,0", "c": ",,"}, {}, ["11", "00", "10"]),
        ({"a": "1,0,", "b": "1,0,", "c": "1,0,"}, {}, ["111", "000", "-"]),
        ({"a": "1,0,2", "b": "1,0,0"}, {}, ["11", "00", "-"]),
        ({"edema": "1,0,0", "No Finding": "0,1,0"}, {}, ["10", "01", "00"]),
    ],
)
def test_what_columns_of_flags_tell(columns: dict[str, str], settings: dict[str, Any], expected: list[str]) -> None:
    told = flags(columns, **settings)
    assert told.kind == "multilabel"
    assert states(told) == expected


@pytest.mark.parametrize(
    ("columns", "kind", "values"),
    [
        ({"a": "1,0,0", "b": "0,1,0", "c": "0,0,1"}, "multiclass", ["a", "b", "c"]),
        ({"a": "1,0,0", "b": "0,1,1"}, "binary", ["a", "b", "b"]),
        ({"a": "1.0,,", "b": ",1.0,", "c": ",,1.0"}, "multiclass", ["a", "b", "c"]),
        ({"edema": "1,0,1", "No Finding": "0,1,0"}, "binary", ["edema", "No Finding", "edema"]),
    ],
)
def test_exclusive_flags_are_classes(columns: dict[str, str], kind: str, values: list[str]) -> None:
    told = flags(columns)
    assert (told.kind, told.values) == (kind, values)
    assert flags(columns, kind="multilabel").kind == "multilabel"


def test_classes_need_one_flag_each() -> None:
    with pytest.raises(SpecError, match="2 of 3 rows have none or several"):
        flags({"a": "1,0,1", "b": "1,0,0"}, kind="multiclass")


HEADERS = {
    "labels of their own among metadata": ("image,age,sex,label", "5{i}.5,male,{c}", {"classes": ("a", "b")}),
    "a grade that is called so": ("Image name,Retinopathy grade,Risk", "{g},{i}", {"kind": "graded"}),
    "a class and its number": ("image,class_id,class_name", "{g},name{g}", {"classes": ("name0", "name1", "name2")}),
    "findings among metadata": ("image,Age,AP/PA,Edema,Mass", "5{i},AP,{f},{h}", {"kind": "multilabel"}),
    "neutral flags alone": ("image,foo,bar", "{f},{h}", {"kind": "multilabel"}),
    "one free column": ("image,verdict", "{c}", {"classes": ("a", "b")}),
    "numbered rows": (",image,verdict", None, {"classes": ("a", "b")}),
    "one class each of numbered flags": ("image,class_0,class_1", "{f},{n}", {"kind": "binary"}),
    "the same column twice": ("image,label,label", "{c},{c}", {"classes": ("a", "b")}),
    "target before diagnosis": ("image,diagnosis,target", "unknown,{f}", {"kind": "binary"}),
}


def sheet(header: str, form: str | None, num: int = 24) -> str:
    rows = []
    for i in range(num):
        values = {"i": i, "c": "ab"[i % 2], "g": i % 3, "f": i % 2, "h": int(i % 3 > 0 and i % 4 > 0), "n": 1 - i % 2}
        rows.append(f"{i},x{i}y.png,{values['c']}" if form is None else f"x{i}y.png," + form.format(**values))
    return "\n".join([header, *rows])


@pytest.mark.parametrize("case", HEADERS)
def test_which_columns_are_labels(tree: Tree, load_task: Loader, case: str) -> None:
    header, form, expected = HEADERS[case]
    task = load_task(tree([f"x{i}y.png" for i in range(24)], {"labels.csv": sheet(header, form)}))
    assert {name: getattr(task, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("header", "form"),
    [
        ("image,age,sex_male,smoker,malignant", "5{i},{f},{h},{f}"),
        ("image,sex_male,malignant", "{h},{f}"),
        ("image,age,foo,bar", "5{i},{f},{h}"),
        ("image,has_ruler,hair,tumour", "{f},{h},{f}"),
        ("image,age", "5{g}"),
        ("image,sex", "{c}"),
        ("image,first,second", "{c},{g}"),
        ("image,left grade,right grade", "{g},{h}"),
    ],
)
def test_columns_that_may_be_no_labels_are_asked_about(tree: Tree, load_task: Loader, header: str, form: str) -> None:
    root = tree([f"x{i}y.png" for i in range(24)], {"labels.csv": sheet(header, form)})
    with pytest.raises(TaskError, match=r"which column has the labels.*task.label_column"):
        load_task(root)
    assert load_task(root, label_column=header.split(",")[-1]).num_outputs in (2, 3)


@pytest.mark.parametrize(
    ("header", "form"),
    [
        ("image,label,diagnosis", "{c},{h}"),
        ("image,class,dx", "{g},{f}"),
        ("image,label_1,label_2", "{f},{h}"),
        ("image,reader_a,reader_b", "{f},{h}"),
        ("image,expert_1,expert_2", "{f},{f}"),
        ("image,a,a", "{f},{h}"),
    ],
)
def test_labels_that_contradict_are_asked_about(tree: Tree, load_task: Loader, header: str, form: str) -> None:
    root = tree([f"x{i}y.png" for i in range(24)], {"labels.csv": sheet(header, form)})
    with pytest.raises(TaskError, match=r"task.label_column|Rename"):
        load_task(root)


def test_a_finer_column_of_labels_is_told(tree: Tree, load_task: Loader) -> None:
    rows = [f"x{i}y.png,{i // 2 % 2},{'abcd'[i % 4]}" for i in range(24)]
    root = tree([f"x{i}y.png" for i in range(24)], {"labels.csv": "\n".join(["image,label,diagnosis", *rows])})
    assert any("not diagnosis" in note for note in load_task(root).card["warnings"])


def test_a_label_that_every_picture_has_cannot_be_judged(tree: Tree, load_task: Loader) -> None:
    root = tree([f"x{i}y.png" for i in range(24)], {"labels.csv": sheet("image,foo,bar,all", "{f},{h},1")})
    assert any("Every picture of the test split has all" in note for note in load_task(root).card["warnings"])


def npz(root: Path, labels: np.ndarray) -> Path:
    draw = np.random.default_rng(0)
    arrays = {f"{s}_images": draw.integers(0, 256, (len(labels), 8, 8)).astype(np.uint8) for s in ("train", "test")}
    np.savez(root / "set.npz", train_labels=labels, test_labels=labels, **arrays)
    return root / "set.npz"


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (np.eye(4)[np.arange(20) % 4], "multiclass"),
        (np.eye(2, dtype=bool)[np.arange(20) % 2], "binary"),
        (np.arange(20) % 2 * 2 - 1, "binary"),
        (np.array([[1, 1], [0, 0], [1, 0], [0, 1]] * 5), "multilabel"),
        (np.array([[1, -1], [0, 0], [1, 1], [0, 1]] * 5), "multilabel"),
        (np.array([[1, np.nan], [0, 0], [1, 1], [0, 1]] * 5), "multilabel"),
        ((np.arange(20) % 3).astype(float)[:, None], "multiclass"),
    ],
)
def test_arrays_follow_the_same_rules(tmp_path: Path, load_task: Loader, labels: np.ndarray, kind: str) -> None:
    task = load_task(npz(tmp_path, labels))
    assert task.kind == kind
    if kind == "multilabel":
        expected = np.where(labels == -1, np.nan, labels.astype(float))
        assert np.array_equal(task.splits["test"].labels, expected, equal_nan=True)


def test_folders_follow_the_same_rules(tree: Tree, load_task: Loader) -> None:
    names = [f"{label}/x{row}y{label}.png" for label in ("Benign", "benign", "malignant") for row in range(10)]
    task = load_task(tree(names))
    assert task.classes == ("Benign", "malignant")
    assert any("Benign, benign differ" in note for note in task.card["warnings"])
    joined = [f"{label}/x{row}z{label}.png" for label in ("edema", "mass", "edema, mass") for row in range(10)]
    assert load_task(tree(joined) / ".." / "set", leave_out=("[Bbm]*[nt]/*",)).kind == "multilabel"


def test_unjudged_labels_are_not_a_number_and_count_for_nothing(tree: Tree, load_task: Loader) -> None:
    rows = "\n".join(f"x{i}y.png,{(1, 0, -1)[i % 3]},{i % 2}" for i in range(24))
    task = load_task(
        tree([f"x{i}y.png" for i in range(24)], {"t.csv": f"image,edema,mass\n{rows}"}), test_fraction=0.25
    )
    labels = np.concatenate([split.labels for split in task.splits.values()])
    assert np.isnan(labels[:, 0]).sum() == 8
    assert task.card["classes"]["train"]["edema"] + task.card["classes"]["test"]["edema"] == 8


@pytest.mark.parametrize("names", ["none mild severe".split(), "0 1 severe".split()])
def test_grades_that_are_words_have_no_order(
    tree: Callable[..., Path], load_task: Callable[..., Task], names: list[str]
) -> None:
    root = tree([f"{name}/{name}{k}.png" for name in names for k in range(6)])
    assert load_task(root).kind == "multiclass"
    with pytest.raises(SpecError, match="needs an order, and .* have none"):
        load_task(root, kind="graded")


def test_grades_with_numbers_in_their_names_are_in_order(
    tree: Callable[..., Path], load_task: Callable[..., Task]
) -> None:
    names = "10_worst 0_none 2_mild".split()
    task = load_task(tree([f"{name}/{name}{k}.png" for name in names for k in range(6)]), kind="graded")
    assert task.classes == ("0_none", "2_mild", "10_worst")
