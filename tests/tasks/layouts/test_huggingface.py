"""Hugging Face's image folders (docs: datasets, "Create an image dataset") and Parquet files, as their library writes
them: features in the schema's metadata under ``huggingface``, pictures as structs of bytes and path."""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from transfusion.errors import BadDataError, TaskError, UnknownNameError
from transfusion.tasks import Task

pa = pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed")
pq = pytest.importorskip("pyarrow.parquet")
Loader = Callable[..., Task]
Tree = Callable[..., Path]
DRAW = np.random.default_rng(7)
NAMES = ("benign", "malignant")


def sizes(task: Task) -> tuple[int, ...]:
    return tuple(len(split) for split in task.splits.values())


def lines(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def table(names: Sequence[str], column: str = "label") -> str:
    return "\n".join([f"file_name,{column}", *(f"{name},{NAMES[k % 2]}" for k, name in enumerate(names))])


# --- image folders ---------------------------------------------------------------------------------------------------


def test_metadata_csv_in_every_split(tree: Tree, load_task: Loader) -> None:
    parts = {"train": [f"{k:04d}.png" for k in range(12)], "test": [f"{k:04d}.png" for k in range(6)]}
    names = [f"{split}/{name}" for split, own in parts.items() for name in own]
    task = load_task(tree(names, {f"{split}/metadata.csv": table(own) for split, own in parts.items()}))
    assert (task.kind, task.classes, sizes(task)) == ("binary", NAMES, (12, 0, 6))
    assert task.splits["train"].labels.tolist() == [0, 1] * 6


def test_metadata_jsonl_at_the_root_names_folders(tree: Tree, load_task: Loader) -> None:
    names = [f"{('train', 'validation', 'test')[min(k // 8, 2)]}/images/{k}.png" for k in range(20)]
    rows = [{"file_name": name, "label": k % 3, "text": f"a caption {k}"} for k, name in enumerate(names)]
    task = load_task(tree(names, {"metadata.jsonl": lines(rows)}))
    assert (task.kind, task.num_outputs, sizes(task)) == ("multiclass", 3, (8, 8, 4))


def test_metadata_below_data(tree: Tree, load_task: Loader) -> None:
    names = [f"data/{('train', 'test')[k > 9]}/{k}.png" for k in range(16)]
    tables = {
        f"data/{split}/metadata.csv": table([Path(n).name for n in names if f"/{split}/" in n])
        for split in ("train", "test")
    }
    assert sizes(load_task(tree(names, tables))) == (10, 0, 6)


def test_lists_of_labels_are_multilabel(tree: Tree, load_task: Loader) -> None:
    names = [f"{k}.png" for k in range(20)]
    rows = [
        {"file_name": name, "labels": [["edema"], ["mass", "edema"], ["mass"]][k % 3]} for k, name in enumerate(names)
    ]
    task = load_task(tree(names, {"metadata.jsonl": lines(rows)}))
    assert (task.kind, task.classes) == ("multilabel", ("edema", "mass"))


def test_without_a_split_patients_are_kept_together(tree: Tree, load_task: Loader) -> None:
    names = [f"{k}.png" for k in range(24)]
    rows = [f"{name},{NAMES[k // 2 % 2]},P{k // 2}" for k, name in enumerate(names)]
    task = load_task(tree(names, {"metadata.csv": "\n".join(["file_name,label,patient_id", *rows])}))
    assert not set(task.splits["train"].patients or ()) & set(task.splits["test"].patients or ())
    assert task.card["patients"]["train"] == 10


def test_captions_are_no_labels(tree: Tree, load_task: Loader) -> None:
    names = [f"{k}.png" for k in range(24)]
    rows = [{"file_name": name, "text": f"a chest number {k}"} for k, name in enumerate(names)]
    with pytest.raises(TaskError, match="these are no classes"):
        load_task(tree(names, {"metadata.jsonl": lines(rows)}))


def test_a_picture_that_is_missing_is_named(tree: Tree, load_task: Loader) -> None:
    names = [f"{k}.png" for k in range(12)]
    with pytest.raises(BadDataError, match="label without image: train/gone.png"):
        load_task(tree([f"train/{n}" for n in names], {"train/metadata.csv": table([*names, "gone.png"])}))


def test_a_picture_of_another_split_is_not_taken(tree: Tree, load_task: Loader) -> None:
    tables = {
        "train/metadata.csv": table([*map("{}.png".format, range(8)), "x.png"]),
        "test/metadata.csv": table(["y.png", "x.png"]),
    }
    root = tree([*(f"train/{k}.png" for k in range(8)), "test/x.png", "test/y.png"], tables)
    with pytest.raises(BadDataError, match=r"has 1 problems .*label without image: train/x\.png"):
        load_task(root)


def test_two_tables_in_one_folder(tree: Tree, load_task: Loader) -> None:
    names = [f"{k}.png" for k in range(8)]
    root = tree(names, {"metadata.csv": table(names), "metadata.jsonl": lines([{"file_name": "0.png", "label": 1}])})
    with pytest.raises(TaskError, match=r"has metadata.csv, metadata.jsonl. Keep the one"):
        load_task(root)


def test_a_broken_line_is_named(tree: Tree, load_task: Loader) -> None:
    with pytest.raises(TaskError, match=r"metadata.jsonl cannot be read as a table"):
        load_task(tree(["0.png"], {"metadata.jsonl": '{"file_name": "0.png", "label"\n'}))
    with pytest.raises(TaskError, match="is no object of JSON"):
        load_task(tree(["0.png"], {"metadata.jsonl": "[1, 2]\n"}))


def test_a_metadata_table_without_file_name_is_a_table_as_any(tree: Tree, load_task: Loader) -> None:
    names = [f"{k}.png" for k in range(16)]
    task = load_task(tree(names, {"metadata.csv": table(names).replace("file_name", "image")}))
    assert (task.card["layout"], sum(sizes(task))) == ("csv", 16)


# --- Parquet ---------------------------------------------------------------------------------------------------------


def encoded(seed: int | None = None, suffix: str = "PNG") -> bytes:
    content = io.BytesIO()
    draw = DRAW if seed is None else np.random.default_rng(seed)
    Image.fromarray(draw.integers(0, 256, (8, 8, 3)).astype(np.uint8)).save(content, suffix)
    return content.getvalue()


CLASS = {"names": list(NAMES), "_type": "ClassLabel"}


def write(path: Path, columns: dict[str, Any], features: dict[str, Any] | None = None, rows: int = 4) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = pa.table({name: pa.array(values) for name, values in columns.items()})
    if features is not None:
        noted = {"image": {"_type": "Image"}, **features}
        made = made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": noted}})})
    pq.write_table(made, path, row_group_size=rows)


def pictures(count: int, form: str = "x{}.png") -> list[dict[str, Any]]:
    return [{"bytes": encoded(), "path": form.format(k)} for k in range(count)]


def test_names_of_classes_come_from_the_schema(tmp_path: Path, load_task: Loader) -> None:
    for split, count in (("train", 10), ("validation", 5), ("test", 6)):
        write(
            tmp_path / f"set/data/{split}-00000-of-00001.parquet",
            {"image": pictures(count), "label": [k % 2 for k in range(count)]},
            {"label": CLASS},
        )
    task = load_task(tmp_path / "set")
    assert (task.name, task.kind, task.classes, task.positive) == ("set", "binary", NAMES, 1)
    assert (sizes(task), task.card["layout"]) == ((10, 5, 6), "parquet")
    assert task.splits["test"].labels.tolist() == [0, 1] * 3
    assert task.splits["test"].names[0] == "test/0/x0.png"


def test_pixels_are_those_of_the_files(tmp_path: Path, load_task: Loader) -> None:
    contents = [encoded(k) for k in range(12)]
    write(
        tmp_path / "set/train.parquet", {"image": [{"bytes": c, "path": None} for c in contents], "label": [0, 1] * 6}
    )
    for k, content in enumerate(contents):
        (tmp_path / "plain" / str(k % 2)).mkdir(parents=True, exist_ok=True)
        (tmp_path / "plain" / str(k % 2) / f"{k:02d}.png").write_bytes(content)
    ours, plain = (load_task(tmp_path / name, test_fraction=0.0) for name in ("set", "plain"))
    key = {image.tobytes() for image in plain.splits["train"].images}
    assert {image.tobytes() for image in ours.splits["train"].images} == key


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_row_groups_and_shards_of_any_size(tmp_path: Path, load_task: Loader, rows: int) -> None:
    for shard in range(3):
        columns = {
            "image": [{"bytes": encoded(100 * shard + k), "path": "a.png"} for k in range(7)],
            "label": [0, 1, 0, 1, 0, 1, 1],
        }
        write(tmp_path / f"set/train-{shard:05d}-of-00003.parquet", columns, {"label": CLASS}, rows)
    task = load_task(tmp_path / "set")
    assert (sum(sizes(task)), task.card["identical_files"]) == (21, {})
    assert len(set(task.splits["train"].names + task.splits["test"].names)) == 21


def test_folders_name_splits_as_the_hub_converts(tmp_path: Path, load_task: Loader) -> None:
    for split in ("train", "test"):
        write(
            tmp_path / f"set/default/{split}/0000.parquet",
            {"image": pictures(8), "label": [0, 1] * 4},
            {"label": CLASS},
        )
    assert sizes(load_task(tmp_path / "set")) == (8, 0, 8)


def test_one_file_is_cut_by_patients_that_names_tell(tmp_path: Path, load_task: Loader) -> None:
    images = [{"bytes": encoded(), "path": f"person{k // 2}_virus_{k}.jpeg"} for k in range(24)]
    write(tmp_path / "one.parquet", {"image": images, "label": [k // 2 % 2 for k in range(24)]}, {"label": CLASS})
    task = load_task(tmp_path / "one.parquet")
    assert task.name == "one"
    assert not set(task.splits["train"].patients or ("a",)) & set(task.splits["test"].patients or ("a",))


def test_a_column_of_plain_bytes(tmp_path: Path, load_task: Loader) -> None:
    write(tmp_path / "set/a.parquet", {"img": [encoded() for _ in range(12)], "label": ["cat", "dog"] * 6})
    assert load_task(tmp_path / "set").classes == ("cat", "dog")


def test_lists_of_class_labels(tmp_path: Path, load_task: Loader) -> None:
    found = [[0], [0, 1], [], [1]] * 5
    feature = {"feature": {"names": ["edema", "mass"], "_type": "ClassLabel"}, "_type": "List"}
    write(tmp_path / "set/train.parquet", {"image": pictures(20), "labels": found}, {"labels": feature})
    task = load_task(tmp_path / "set", test_fraction=0.0)
    assert (task.kind, task.classes) == ("multilabel", ("edema", "mass"))
    assert task.splits["train"].labels[:4].tolist() == [[1, 0], [1, 1], [0, 0], [0, 1]]


def test_grades_keep_their_numbers(tmp_path: Path, load_task: Loader) -> None:
    names = ["No DR", "Mild", "Moderate", "Severe", "Proliferative"]
    columns = {"image": pictures(20), "label": [k % 5 for k in range(20)]}
    write(tmp_path / "set/train.parquet", columns, {"label": {"names": names, "_type": "ClassLabel"}})
    assert load_task(tmp_path / "set").kind == "multiclass"
    task = load_task(tmp_path / "set", kind="graded")
    assert (task.kind, task.classes, task.positive) == ("graded", tuple("01234"), 2)


def test_a_test_split_whose_labels_are_held_back(tmp_path: Path, load_task: Loader) -> None:
    for split, label in (("train", [0, 1] * 10), ("test", [-1] * 20)):
        write(tmp_path / f"set/{split}.parquet", {"image": pictures(20), "label": label}, {"label": CLASS})
    task = load_task(tmp_path / "set")
    assert sum(sizes(task)) == 20
    assert any("test split has no labels" in note for note in task.card["warnings"])


def test_a_label_held_back_among_others_is_a_problem(tmp_path: Path, load_task: Loader) -> None:
    write(tmp_path / "set/train.parquet", {"image": pictures(20), "label": [0, 1] * 9 + [0, -1]}, {"label": CLASS})
    with pytest.raises(BadDataError, match="missing label: train/19/x19.png"):
        load_task(tmp_path / "set")


def test_a_name_that_is_no_split_is_asked_about(tmp_path: Path, load_task: Loader) -> None:
    for split in ("train", "holdout"):
        write(
            tmp_path / f"set/{split}-00000-of-00001.parquet",
            {"image": pictures(8), "label": [0, 1] * 4},
            {"label": CLASS},
        )
    with pytest.raises(TaskError, match=r"holdout-00000-of-00001.parquet names no split .*\{holdout: train\}"):
        load_task(tmp_path / "set")
    assert sizes(load_task(tmp_path / "set", split_names={"holdout": "test"})) == (8, 0, 8)


def test_several_columns_of_pictures_are_asked_about(tmp_path: Path, load_task: Loader) -> None:
    columns = {"left": pictures(8), "right": pictures(8), "label": [0, 1] * 4}
    write(tmp_path / "set/train.parquet", columns)
    with pytest.raises(TaskError, match=r"several columns of pictures \(left, right\)"):
        load_task(tmp_path / "set")
    assert sum(sizes(load_task(tmp_path / "set", image_column="right"))) == 8
    with pytest.raises(UnknownNameError, match="wrong"):
        load_task(tmp_path / "set", image_column="wrong")


def test_an_image_and_its_mask(tmp_path: Path, load_task: Loader) -> None:
    write(
        tmp_path / "set/train.parquet",
        {"image": pictures(8), "mask": pictures(8), "label": [0, 1] * 4},
        {"mask": {"_type": "Image"}, "label": CLASS},
    )
    assert sum(sizes(load_task(tmp_path / "set"))) == 8


def test_features_beside_class_folders_are_no_data_set(tree: Tree, load_task: Loader) -> None:
    root = tree([f"{name}/{k}.png" for name in NAMES for k in range(8)])
    write(root / "features.parquet", {"f": [1.0, 2.0]})
    assert load_task(root).card["layout"] == "folder"


def test_no_pictures_no_data_set(tmp_path: Path, load_task: Loader) -> None:
    write(tmp_path / "set/train.parquet", {"text": ["a", "b"], "label": [0, 1]})
    with pytest.raises(TaskError, match="has no column of pictures; its columns are text, label"):
        load_task(tmp_path / "set")


def test_a_picture_without_bytes_or_broken_is_named(tmp_path: Path, load_task: Loader) -> None:
    images = pictures(12)
    images[3] = {"bytes": None, "path": "gone.png"}
    images[5] = {"bytes": images[5]["bytes"][:60], "path": "torn.png"}
    write(tmp_path / "set/train.parquet", {"image": images, "label": [0, 1] * 6}, {"label": CLASS})
    with pytest.raises(BadDataError, match=r"unreadable file: train/3/gone.png .*unreadable file: train/5/torn.png"):
        load_task(tmp_path / "set")
    assert sum(sizes(load_task(tmp_path / "set", leave_out_bad=True))) == 10


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_a_damaged_file_is_one_line(tmp_path: Path, load_task: Loader, damage: str) -> None:
    path = tmp_path / "set/train.parquet"
    write(path, {"image": pictures(8), "label": [0, 1] * 4}, {"label": CLASS})
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[:200], "text": b"hello", "empty": b""}[damage])
    with pytest.raises(TaskError, match=r"train.parquet cannot be read \(.*\). Download it again"):
        load_task(tmp_path / "set")


def test_a_damaged_row_group_is_one_line(tmp_path: Path, load_task: Loader) -> None:
    path = tmp_path / "set/train.parquet"
    write(path, {"image": pictures(8), "label": [0, 1] * 4}, {"label": CLASS})
    whole = bytearray(path.read_bytes())
    whole[4:400] = bytes(396)
    path.write_bytes(bytes(whole))
    with pytest.raises((TaskError, BadDataError), match=r"train"):
        load_task(tmp_path / "set")


def test_without_the_extra_one_line_names_it(
    tmp_path: Path, load_task: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "set/train.parquet", {"image": pictures(8), "label": [0, 1] * 4})
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "pyarrow" else there(name, *more)
    )
    with pytest.raises(TaskError, match=r"pip install 'weight-transfusion\[parquet\]'"):
        load_task(tmp_path / "set")
