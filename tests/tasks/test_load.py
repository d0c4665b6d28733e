from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfusion.errors import BadDataError, SpecError, TaskError, UnknownNameError
from transfusion.spec import TaskSpec
from transfusion.tasks import Task
from transfusion.tasks.layouts import IDLE

Folders = Callable[..., Path]
Loader = Callable[..., Task]
Saver = Callable[..., Path]


def spoil(root: Path) -> None:
    """Ten kinds of trouble would be too many; these are three."""
    (root / "cat" / "0.png").write_bytes((root / "cat" / "1.png").read_bytes()[:45])
    (root / "dog" / "text.png").write_text("hello")
    shutil.copy(root / "dog" / "0.png", root / "stray.png")


def test_labels_and_pixels_belong_together(class_folders: Folders, load_task: Loader) -> None:
    task = load_task(class_folders(), val_fraction=0.1)
    assert [len(task.splits[name]) for name in ("train", "val", "test")] == [28, 4, 8]
    for split in task.splits.values():
        for image, label, name in zip(split.images, split.labels, split.names, strict=True):
            folder, file = name.split("/")
            value = int(file.removesuffix(".png")) + (20 if folder == "dog" else 0)
            assert (image == value).all()
            assert task.classes[label] == folder


def test_nothing_changes_on_the_second_start(class_folders: Folders, load_task: Loader) -> None:
    root = class_folders()
    first, second = load_task(root), load_task(root)
    assert first.fingerprint == second.fingerprint
    assert (first.splits["train"].images == second.splits["train"].images).all()


def test_moving_the_folder_keeps_the_fingerprint(class_folders: Folders, load_task: Loader, tmp_path: Path) -> None:
    root = class_folders()
    before = load_task(root).fingerprint
    root.rename(tmp_path / "elsewhere")
    assert load_task(tmp_path / "elsewhere").fingerprint == before


@pytest.mark.parametrize(
    "settings",
    [
        {"image_size": 9},
        {"channels": 3},
        {"split_seed": 1},
        {"val_fraction": 0.2},
        {"normalize": "imagenet"},
        {"normalize": {"mean": [0.5], "std": [0.5]}},
        {"interpolation": "bicubic"},
    ],
)
def test_every_setting_counts_in_the_fingerprint(
    class_folders: Folders, load_task: Loader, settings: dict[str, object]
) -> None:
    root = class_folders()
    assert load_task(root).fingerprint != load_task(root, **settings).fingerprint


def test_changed_data_are_noticed(class_folders: Folders, load_task: Loader, picture: Saver) -> None:
    root = class_folders()
    known = load_task(root).fingerprint
    assert load_task(root, fingerprint=known).fingerprint == known
    picture(root / "cat" / "3.png", 255)
    with pytest.raises(TaskError, match="is not what this spec was made for"):
        load_task(root, fingerprint=known)


def test_everything_wrong_is_listed_together(class_folders: Folders, load_task: Loader) -> None:
    root = class_folders()
    spoil(root)
    with pytest.raises(BadDataError, match=r"1 problems .*leave_out_bad=true") as caught:
        load_task(root)  # what names alone tell comes before a file is opened
    assert caught.value.problems == ("image without label: stray.png (not in a class folder)",)
    (root / "stray.png").unlink()
    with pytest.raises(BadDataError, match=r"2 problems .*leave_out_bad=true") as caught:
        load_task(root)
    problems = sorted(caught.value.problems)
    assert "\n" not in str(caught.value)
    assert problems[0].startswith("unreadable file: cat/0.png")
    assert problems[1] == "unreadable file: dog/text.png (not a picture)"


def test_bad_files_can_be_left_out(class_folders: Folders, load_task: Loader) -> None:
    root = class_folders()
    spoil(root)
    task = load_task(root, leave_out_bad=True)
    assert sum(len(split) for split in task.splits.values()) == 39
    assert len(task.card["left_out"]) == 3
    assert load_task(root, leave_out_bad=True).fingerprint == task.fingerprint


def test_a_long_list_is_cut_in_the_message_only(class_folders: Folders, load_task: Loader) -> None:
    root = class_folders()
    for row in range(15):
        (root / "cat" / f"{row}.png").write_text("hello")
    with pytest.raises(BadDataError, match="and 5 more") as caught:
        load_task(root)
    assert len(caught.value.problems) == 15


def test_grey_only_if_all_are_grey(class_folders: Folders, load_task: Loader, picture: Saver) -> None:
    root = class_folders()
    grey = load_task(root)
    assert grey.channels == 1
    picture(root / "cat" / "colour.png", np.zeros((8, 8, 3), np.uint8))
    assert load_task(root).channels == 3
    assert load_task(root, channels=1).splits["train"].images.shape[-1] == 1


def test_one_deep_picture_makes_all_deep(class_folders: Folders, load_task: Loader) -> None:
    root = class_folders()
    assert load_task(root).splits["train"].images.dtype == np.uint8
    Image.fromarray(np.full((8, 8), 1234, np.uint16)).save(root / "cat" / "deep.png")
    task = load_task(root)
    assert task.splits["train"].images.dtype == np.uint16
    assert task.card["bit_depth"] == 16


@pytest.mark.parametrize("settings", [{}, {"normalize": "donor"}, {"normalize": "task"}])
def test_the_tasks_own_mean_where_there_is_no_donor(
    class_folders: Folders, load_task: Loader, settings: dict[str, str]
) -> None:
    task = load_task(class_folders(), **settings)
    assert task.mean == pytest.approx((task.splits["train"].images.mean() / 255,))
    assert task.std == pytest.approx((task.splits["train"].images.std() / 255,))
    assert task.card["normalization"] == {
        "mean": list(task.mean),
        "std": list(task.std),
        "interpolation": "bilinear",
        "from": "task",
    }


def test_the_same_normalization_is_one_task_however_it_is_written(class_folders: Folders, load_task: Loader) -> None:
    root = class_folders()
    named = load_task(root, channels=3, normalize="imagenet")
    mean, std = named.card["normalization"]["mean"], named.card["normalization"]["std"]
    assert load_task(root, channels=3, normalize={"mean": mean, "std": std}).fingerprint == named.fingerprint
    assert (mean, std) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    own = load_task(root)
    same = load_task(root, normalize={"mean": list(own.mean), "std": list(own.std)})
    assert (same.fingerprint, same.card["normalization"]["from"]) == (own.fingerprint, "settings")


def test_one_channel_is_normalised_as_its_three_equal_channels_were(class_folders: Folders, load_task: Loader) -> None:
    """A filter with equal weights on the three colours gives the same response to one channel with their sum."""
    colour, grey = (load_task(class_folders(), channels=c, normalize="imagenet") for c in (3, 1))
    values = np.linspace(0, 1, 5)[:, None]
    three = ((values - colour.mean) / colour.std).sum(axis=1)
    one = 3 * ((values - grey.mean) / grey.std)[:, 0]
    np.testing.assert_allclose(one, three, atol=1e-9)


@pytest.mark.parametrize(
    ("normalize", "said"),
    [
        ("imagnet", "normalize"),
        ({"mean": [0.5, 0.5], "std": [0.5, 0.5]}, "3 values each, or 1; got 2 and 2"),
        ({"mean": [0.5], "std": [0.5, 0.5, 0.5]}, "3 values each, or 1; got 1 and 3"),
        ({"mean": [123.7], "std": [58.4]}, "less than or equal to 1"),
        ({"mean": [0.5], "std": [0.0]}, "greater than 0"),
        ({"mean": [float("nan")], "std": [0.5]}, "mean"),
        ({"mean": [0.5]}, "std"),
    ],
)
def test_normalizations_that_are_none(normalize: object, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        TaskSpec.parse({"normalize": normalize})


def test_the_card_is_plain(class_folders: Folders, load_task: Loader) -> None:
    card = json.loads(json.dumps(load_task(class_folders(("train", "test"))).card))
    assert card["images"] == {"train": 40, "val": 0, "test": 40}  # nothing is cut for validation unasked
    assert card["classes"]["test"] == {"cat": 20, "dog": 20}
    assert card["patients"]["train"] == "unknown"
    assert card["splits_given"] == ["test", "train"]


@pytest.mark.parametrize("spec", [{}, {"kind": "graded"}, {"kind": "multiclass"}, {"positive": "cat"}])
def test_the_card_says_what_predictions_are_judged_by(
    class_folders: Folders, load_task: Loader, spec: dict[str, str]
) -> None:
    task = load_task(class_folders(), **spec)
    card = json.loads(json.dumps(task.card))
    assert (card["kind"], card["positive"]) == (task.kind, task.positive)
    assert card["kind"] == spec.get("kind", "binary")
    assert card["positive"] == (None if task.kind == "multiclass" else 0 if "positive" in spec else 1)
    assert tuple(card["classes"]["test"]) == task.classes


def test_the_card_warns_of_leaks(class_folders: Folders, load_task: Loader) -> None:
    root = class_folders(("train", "test"))
    shutil.copy(root / "train" / "cat" / "0.png", root / "test" / "cat" / "copy.png")
    task = load_task(root, patient_pattern=r"/(\d|copy)", val_fraction=0.0)
    assert task.card["identical_files"] == {"train and test": 1}
    assert task.card["patients_in_both"] == {"train and test": 10}
    assert len(task.card["warnings"]) == 2


def test_cut_splits_share_no_patient(class_folders: Folders, load_task: Loader) -> None:
    task = load_task(class_folders(num=60), patient_pattern=r"/(\d)", val_fraction=0.2)
    members = [set(split.patients or ()) for split in task.splits.values()]
    assert all(members)
    assert not members[0] & members[1]
    assert not members[0] & members[2]
    assert not members[1] & members[2]


def test_names_without_the_patients_pattern(class_folders: Folders, load_task: Loader) -> None:
    with pytest.raises(BadDataError, match="no patient: 20"):
        load_task(class_folders(), patient_pattern=r"/(1\d)$")


def test_a_pattern_that_is_none(class_folders: Folders, load_task: Loader) -> None:
    with pytest.raises(SpecError, match="not a regular expression"):
        load_task(class_folders(), patient_pattern="(")


@pytest.mark.parametrize(
    ("classes", "positive"),
    [(("NORMAL", "PNEUMONIA"), 1), (("disease", "healthy"), 0), (("0", "1"), 1), (("glioma", "no_tumor"), 0)],
)
def test_the_positive_class(class_folders: Folders, load_task: Loader, classes: tuple[str, str], positive: int) -> None:
    task = load_task(class_folders(classes=classes))
    assert (task.kind, task.positive) == ("binary", positive)


def test_kind_and_positive_can_be_set(class_folders: Folders, load_task: Loader) -> None:
    root = class_folders(classes=("0", "1", "2", "3"), num=20)
    assert (load_task(root).kind, load_task(root).positive) == ("multiclass", None)
    graded = load_task(root, kind="graded")
    assert (graded.kind, graded.positive) == ("graded", 2)
    assert load_task(root, kind="graded", positive="3").positive == 3
    with pytest.raises(UnknownNameError, match="no class '4'"):
        load_task(root, kind="graded", positive="4")
    with pytest.raises(SpecError, match="applies to binary and graded"):
        load_task(root, positive="3")
    with pytest.raises(SpecError, match="'binary' does not fit"):
        load_task(root, kind="binary")


def test_a_class_in_one_split_only(class_folders: Folders, load_task: Loader) -> None:
    root = class_folders(("train", "test"))
    (root / "test" / "dog").rename(root / "test" / "hound")
    shutil.copytree(root / "test" / "cat", root / "train" / "cow")
    shutil.copytree(root / "test" / "cat", root / "test" / "cow")
    with pytest.raises(BadDataError, match=r"class in one split only: dog \(20 images in train\)"):
        load_task(root)
    assert load_task(root, leave_out_bad=True).classes == ("cat", "cow")


def test_a_class_in_one_split_only_is_fine_where_none_is_given(class_folders: Folders, load_task: Loader) -> None:
    assert load_task(class_folders(("train",))).classes == ("cat", "dog")


@pytest.mark.parametrize(
    "settings",
    [{"label_column": "x"}, {"patient_column": "x"}, {"split_column": "x"}, {"image_column": "x"}],
    ids=lambda settings: next(iter(settings)),
)
def test_a_setting_that_the_layout_never_reads_is_refused(
    class_folders: Callable[..., Path], load_task: Loader, settings: dict[str, str]
) -> None:
    with pytest.raises(SpecError, match="does not apply to the layout 'folder'"):
        load_task(class_folders(), **settings)
    with pytest.raises(SpecError, match="does not apply to the layout 'embedded'"):
        load_task("embedded:fundus", **settings)


@pytest.mark.parametrize("window", [(5, 1), (3, 3)])
def test_a_window_rises(window: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="window rises"):
        TaskSpec(window=window)


@pytest.mark.parametrize(("layout", "name"), [(layout, name) for layout, names in IDLE.items() for name in names])
def test_every_setting_that_a_layout_never_reads_is_refused(
    tmp_path: Path, load_task: Loader, layout: str, name: str
) -> None:
    (tmp_path / "a").mkdir()
    data = "embedded:natural" if layout == "embedded" else str(tmp_path)
    with pytest.raises(SpecError, match=f"task.{name} 'x' does not apply to the layout '{layout}'"):
        load_task(data, layout=layout, **{name: "x"})
