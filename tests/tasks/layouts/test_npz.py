from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from transfusion.errors import BadDataError, TaskError
from transfusion.tasks import Task

Loader = Callable[..., Task]
Arrays = dict[str, np.ndarray]


def medmnist(labels: np.ndarray, shape: tuple[int, ...] = (12, 12, 3)) -> Arrays:
    """Three splits of the same labels; image row i has the value i, plus 100 per split."""
    arrays = {}
    for part, split in enumerate(("train", "val", "test")):
        ramp = (np.arange(len(labels)) + 60 * part).astype(np.uint8)
        arrays[f"{split}_images"] = np.broadcast_to(ramp.reshape(-1, *[1] * len(shape)), (len(labels), *shape))
        arrays[f"{split}_labels"] = labels
    return arrays


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def saved(arrays: Arrays, name: str = "toy.npz") -> Path:
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name

    return saved


Save = Callable[..., Path]


@pytest.mark.parametrize(
    ("labels", "kind", "num_outputs"),
    [
        (np.arange(20)[:, None] % 2, "binary", 2),
        (np.arange(20) % 2, "binary", 2),
        (np.arange(20)[:, None] % 4, "multiclass", 4),
        (np.eye(20, 5), "multilabel", 5),
    ],
)
def test_kinds(load_task: Loader, save: Save, labels: np.ndarray, kind: str, num_outputs: int) -> None:
    task = load_task(save(medmnist(labels)))
    assert (task.kind, task.num_outputs) == (kind, num_outputs)
    expected = labels[:, 0] if labels.shape[1:] == (1,) else labels
    assert (task.splits["val"].labels == expected).all()
    assert task.splits["val"].labels.dtype == (np.float32 if kind == "multilabel" else np.int64)


def test_retina_is_graded(load_task: Loader, save: Save) -> None:
    task = load_task(save(medmnist(np.arange(20)[:, None] % 5), "retinamnist_64.npz"))
    assert (task.kind, task.positive) == ("graded", 2)


def test_size_is_kept_unless_asked(load_task: Loader, save: Save) -> None:
    path = save(medmnist(np.arange(20) % 2, (12, 12)))
    kept = load_task(path, image_size=None)
    assert kept.splits["test"].images.shape == (20, 12, 12, 1)
    assert (kept.splits["test"].images[:, 0, 0, 0] == np.arange(20) + 120).all()
    assert load_task(path, image_size=24, channels=3).splits["test"].images.shape == (20, 24, 24, 3)


def test_deep_arrays_stay_deep(load_task: Loader, save: Save) -> None:
    arrays = medmnist(np.arange(20) % 2, (12, 12))
    arrays = {key: a.astype(np.uint16) * 200 if "images" in key else a for key, a in arrays.items()}
    images = load_task(save(arrays)).splits["train"].images
    assert images.dtype == np.uint16
    assert images[19, 0, 0, 0] == 3800


def test_missing_splits_are_cut(load_task: Loader, save: Save) -> None:
    arrays = {key: a for key, a in medmnist(np.arange(40) % 2).items() if key.startswith("train")}
    assert [len(split) for split in load_task(save(arrays), val_fraction=0.1).splits.values()] == [28, 4, 8]


def test_labels_that_do_not_match_are_listed(load_task: Loader, save: Save) -> None:
    arrays = medmnist(np.arange(20) % 2)
    arrays["train_labels"] = np.array([np.nan, np.nan, *np.arange(20) % 2])
    arrays["val_labels"] = arrays["val_labels"][:-1]
    with pytest.raises(BadDataError) as caught:
        load_task(save(arrays))
    assert sorted(caught.value.problems) == [
        "image without label: val-19",
        "label that is not usable: train-0 (nan)",
        "label that is not usable: train-1 (nan)",
        "label without image: train-20",
        "label without image: train-21",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_images": None}, "no array 'train_images'"),
        ({"val_labels": None}, "no array 'val_labels'"),
        ({"train_images": np.zeros((20, 12, 12, 3), np.float32)}, "uint8"),
        ({"train_images": np.zeros((20, 12, 12, 2), np.uint8)}, "of shapes"),
        ({"train_images": np.zeros((20, 9, 9, 3), np.uint8)}, "differ in image shape"),
        ({"train_labels": np.array(["a"] * 20)}, "must be numbers"),
        ({"train_labels": np.array([{}] * 20)}, "must be numbers"),
        ({"train_labels": np.arange(20) / 2}, "such as 0.5, 1.5.* no classes"),
        ({"train_labels": np.zeros((20, 2, 2))}, "labels in .* are of shapes"),
    ],
)
def test_files_of_another_kind(load_task: Loader, save: Save, change: Arrays, message: str) -> None:
    arrays = {key: a for key, a in {**medmnist(np.arange(20) % 2), **change}.items() if a is not None}
    with pytest.raises(TaskError, match=message):
        load_task(save(arrays))


def test_a_damaged_file(load_task: Loader, save: Save) -> None:
    path = save(medmnist(np.arange(20) % 2))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(TaskError, match=r"not a readable \.npz file"):
        load_task(path)
