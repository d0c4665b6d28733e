"""Pictures that look the same are counted across splits, given ones included; pictures that do not are not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfusion.tasks import Task

Loader = Callable[..., Task]


def picture(seed: int) -> Image.Image:
    """Clouds: no two alike, and smooth as photographs are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC)


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """Split folders without a picture that resembles another."""
    for row in range(40):
        path = tmp_path / "set" / ("train" if row < 24 else "test") / "ab"[row % 2] / f"x{row}y.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(row).save(path)
    return tmp_path / "set"


def told(task: Task) -> list[str]:
    return [note for note in task.card["warnings"] if "nearly the same" in note]


@pytest.mark.parametrize("size", [32, 64])
def test_pictures_of_their_own_are_not_near(given: Path, load_task: Loader, size: int) -> None:
    assert told(load_task(given, image_size=size)) == []


def test_saved_anew_resized_and_brightened_are_near(given: Path, load_task: Loader) -> None:
    picture(0).save(given / "test" / "a" / "anew.jpg", quality=85)
    picture(1).resize((72, 72)).save(given / "test" / "b" / "small.png")
    picture(2).point(lambda value: value * 0.9).save(given / "test" / "a" / "dark.png")
    task = load_task(given, image_size=64)
    assert told(task) == ["3 pictures of the test split look nearly the same as one of the train split."]
    assert task.card["identical_files"] == {}


def test_identical_files_are_counted_once(given: Path, load_task: Loader) -> None:
    shutil.copy(given / "train" / "a" / "x0y.png", given / "test" / "a" / "copy.png")
    task = load_task(given, image_size=64)
    assert told(task) == []
    assert task.card["identical_files"] == {"train and test": 1}


def test_flat_pictures_are_not_compared(given: Path, load_task: Loader) -> None:
    Image.new("RGB", (96, 96), (9, 9, 9)).save(given / "train" / "a" / "black.png")
    Image.new("RGB", (96, 96), (12, 12, 12)).save(given / "test" / "a" / "dark.png")
    assert told(load_task(given, image_size=64)) == []
