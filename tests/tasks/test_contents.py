"""What has one content: among arrays as among files, and under two names."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfusion.errors import BadDataError
from transfusion.tasks import Task

Loader = Callable[..., Task]
DRAW = np.random.default_rng(3)


def noise(count: int, size: int = 12) -> np.ndarray:
    return DRAW.integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def save(path: Path, **splits: tuple[np.ndarray, np.ndarray]) -> Path:
    np.savez(
        path,
        **{
            f"{split}_{what}": values
            for split, two in splits.items()
            for what, values in zip(("images", "labels"), two, strict=True)
        },
    )
    return path


def contents(task: Task, split: str) -> set[bytes]:
    return {image.tobytes() for image in task.splits[split].images}


def told(task: Task, words: str) -> list[str]:
    return [note for note in task.card["warnings"] if words in note]


# --- rows of arrays --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_copies_among_rows_stay_on_one_side_of_our_cut(tmp_path: Path, load_task: Loader, seed: int) -> None:
    images = np.repeat(noise(20), 3, axis=0)
    path = save(tmp_path / "a.npz", train=(images, np.repeat(np.arange(20) % 2, 3)))
    task = load_task(path, split_seed=seed)
    assert len(task.splits["test"]) == 12
    assert not contents(task, "train") & contents(task, "test")
    assert task.card["identical_files"] == {}


def test_copies_across_given_splits_are_counted(tmp_path: Path, load_task: Loader) -> None:
    train, test = noise(20), noise(10)
    test[:3] = train[[0, 2, 4]]
    task = load_task(
        save(tmp_path / "a.npz", train=(train, np.arange(20) % 2), test=(test, np.array([0, 0, 0, *[1, 0] * 3, 1])))
    )
    assert task.card["identical_files"] == {"train and test": 3}
    assert told(task, "nearly the same") == []


def clouds(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC))


def test_near_duplicates_among_rows_are_counted(tmp_path: Path, load_task: Loader) -> None:
    train = np.stack([clouds(k) for k in range(20)])
    test = np.stack([clouds(k) for k in range(50, 60)])
    test[0] = train[0] * 0.9
    task = load_task(
        save(tmp_path / "a.npz", train=(train, np.arange(20) % 2), test=(test, np.arange(10) % 2)), image_size=64
    )
    assert told(task, "nearly the same") == [
        "1 pictures of the test split look nearly the same as one of the train split."
    ]


def test_rows_with_contradicting_labels_are_told_and_kept(tmp_path: Path, load_task: Loader) -> None:
    images = noise(20)
    images[7] = images[4]
    path = save(tmp_path / "a.npz", train=(images, np.arange(20) % 2))
    task = load_task(path)
    assert told(task, "different labels for the same content") == [
        "2 pictures have different labels for the same content "
        "(contradicting labels: train-4 (same content as train-7)); they are kept."
    ]
    assert sum(map(len, task.splits.values())) == 20
    assert sum(map(len, load_task(path, leave_out_bad=True).splits.values())) == 18


def test_deep_grey_rows_are_told_apart_by_their_values(tmp_path: Path, load_task: Loader) -> None:
    images = noise(16)[..., 0].astype(np.uint16)
    images[2] = images[0].byteswap()  # the same bytes in another order
    path = save(tmp_path / "a.npz", train=(images, np.arange(16) % 2), test=(images[:2], np.arange(2)))
    assert load_task(path).card["identical_files"] == {"train and test": 2}


def test_a_file_written_anew_has_the_same_content(tmp_path: Path, load_task: Loader) -> None:
    images, labels = noise(20), np.arange(20) % 2
    first = load_task(save(tmp_path / "a.npz", train=(images, labels)))
    np.savez_compressed(tmp_path / "b.npz", train_images=images, train_labels=labels)
    assert load_task(tmp_path / "b.npz").fingerprint == first.fingerprint


def test_copies_in_cifar_are_counted(tmp_path: Path, load_task: Loader) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for k, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        data = np.random.default_rng(k % 5).integers(0, 256, (4, 3072)).astype(np.uint8)  # the test batch is the first
        (folder / name).write_bytes(pickle.dumps({b"data": data, b"labels": [0, 1, 0, 1]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"cat", b"dog"]}))
    assert load_task(folder).card["identical_files"] == {"train and test": 4}


# --- the same pictures under two names -------------------------------------------------------------------------------


def folder(root: Path, images: np.ndarray) -> Path:
    for k, image in enumerate(images):
        (root / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / "ab"[k % 2] / f"{k}.png")
    return root


def test_a_copied_folder_says_so(tmp_path: Path, load_task: Loader) -> None:
    first = folder(tmp_path / "first", noise(20))
    shutil.copytree(first, tmp_path / "second")
    assert told(load_task(first), "read before") == []
    task = load_task(tmp_path / "second")
    assert told(task, "read before") == [
        f"The same pictures, labels and splits were read before from {first.resolve()}: one set, two names."
    ]
    assert told(load_task(tmp_path / "second"), "read before") == told(task, "read before")
    shutil.rmtree(first)
    assert told(load_task(tmp_path / "second"), "read before") == []


def test_other_labels_of_the_same_pictures_say_so(tmp_path: Path, load_task: Loader) -> None:
    images = noise(20)
    first = folder(tmp_path / "first", images)
    load_task(first)
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in first.rglob("*.png"):
        shutil.copy(path, flat / path.name)
    (flat / "labels.csv").write_text("image,label\n" + "".join(f"{k}.png,{'xyz'[k % 3]}\n" for k in range(20)))
    assert told(load_task(flat), "read before") == [
        f"The same pictures were read before from {first.resolve()}, with other labels or splits."
    ]


def test_another_cut_of_the_same_folder_says_so(tmp_path: Path, load_task: Loader) -> None:
    first = folder(tmp_path / "first", noise(20))
    load_task(first)
    assert told(load_task(first, image_size=16), "read before") == []
    assert len(told(load_task(first, split_seed=5), "read before with other labels or splits")) == 1


def test_arrays_say_so_too(tmp_path: Path, load_task: Loader) -> None:
    images, labels = noise(20), np.arange(20) % 2
    load_task(save(tmp_path / "a.npz", train=(images, labels)))
    assert len(told(load_task(save(tmp_path / "b.npz", train=(images, labels))), "one set, two names")) == 1


def test_a_cache_that_cannot_be_written_says_nothing_and_does_no_harm(
    tmp_path: Path, load_task: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transfusion.errors import StoreError
    from transfusion.tasks import seen

    def full(*_: object) -> None:
        raise StoreError("Cannot write.")

    monkeypatch.setattr(seen, "write_json", full)
    assert told(load_task(folder(tmp_path / "first", noise(20))), "read before") == []


def test_files_with_contradicting_labels_are_refused(tmp_path: Path, load_task: Loader) -> None:
    root = folder(tmp_path / "set", noise(20))
    shutil.copy(root / "a" / "0.png", root / "b" / "again.png")
    with pytest.raises(BadDataError, match="contradicting labels"):
        load_task(root)
