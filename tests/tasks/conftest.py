"""Small picture data sets on disk, and a cache of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from transfusion.spec import TaskSpec
from transfusion.tasks import Task, load

Loader = Callable[..., Task]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def load_task(cache: Path) -> Loader:
    """``load`` with 8-pixel images and a cache of its own."""

    def loaded(data: Path | str, **settings: Any) -> Task:
        return load(TaskSpec(data=str(data), **{"image_size": 8, **settings}), cache)

    return loaded


@pytest.fixture
def picture() -> Callable[..., Path]:
    """Saves a grey picture of one value, or the given pixels."""

    def save(path: Path, value: int | np.ndarray = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((8, 8), value, np.uint8) if isinstance(value, int) else value
        Image.fromarray(pixels).save(path)
        return path

    return save


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """Makes ``set/`` with pictures of noise, every one different, and tables beside them."""
    draw = np.random.default_rng(0)

    def make(pictures: Iterable[str], tables: Mapping[str, str | bytes] | None = None) -> Path:
        root = tmp_path / "set"
        for name in pictures:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (8, 8)).astype(np.uint8)).save(path)
        for name, content in (tables or {}).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root

    return make


@pytest.fixture
def class_folders(tmp_path: Path, picture: Callable[..., Path]) -> Callable[..., Path]:
    """Makes ``root/[split/]class/i.png``, every picture different."""

    def make(splits: tuple[str, ...] = ("",), classes: tuple[str, ...] = ("cat", "dog"), num: int = 20) -> Path:
        root = tmp_path / "data"
        value = 0
        for split in splits:
            for name in classes:
                for row in range(num):
                    picture(root / split / name / f"{row}.png", value % 256)
                    value += 1
        return root

    return make
