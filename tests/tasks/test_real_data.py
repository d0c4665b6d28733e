"""The real samples: what they are is recognised without a setting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from transfusion.tasks import Task

pytestmark = pytest.mark.slow

Loader = Callable[..., Task]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: each set is decoded once."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(
    ("data", "kind", "num_outputs", "sizes"),
    [
        ("chest_xray", "binary", 2, (1800, 200, 640)),
        ("eyepacs", "graded", 5, (700, 100, 200)),
        ("nih", "multilabel", 14, (699, 100, 201)),
        ("retinamnist.npz", "graded", 5, (1080, 120, 400)),
        ("cifar10_subset.npz", "multiclass", 10, (5000, 500, 2000)),
        ("cifar100_subset.npz", "multiclass", 100, (10000, 1000, 2000)),
    ],
)
def test_recognised(
    real_data: Path, load_task: Loader, data: str, kind: str, num_outputs: int, sizes: tuple[int, ...]
) -> None:
    task = load_task(real_data / data, image_size=16, val_fraction=0.1)
    assert (task.kind, task.num_outputs) == (kind, num_outputs)
    got = [len(split) for split in task.splits.values()]
    assert np.abs(np.subtract(got, sizes)).max() <= 2
    assert sum(got) == sum(sizes)
    assert not task.card["left_out"]


def test_chest_xrays(real_data: Path, load_task: Loader) -> None:
    task = load_task(real_data / "chest_xray", image_size=16)
    assert task.classes[task.positive or 0] == "PNEUMONIA"
    assert task.card["patients_in_both"] == {}
    assert task.splits["train"].patients is not None


@pytest.mark.parametrize("data", ["eyepacs", "nih"])
def test_no_patient_in_two(real_data: Path, load_task: Loader, data: str) -> None:
    task = load_task(real_data / data, image_size=16, val_fraction=0.1)
    members = [set(split.patients or ()) for split in task.splits.values()]
    assert all(members)
    assert sum(map(len, members)) == len(set.union(*members))


def test_the_second_start_reads_no_pictures(
    real_data: Path, load_task: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_task(real_data / "chest_xray", image_size=16)

    def refuse(path: Path) -> None:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert load_task(real_data / "chest_xray", image_size=16).fingerprint == first.fingerprint
