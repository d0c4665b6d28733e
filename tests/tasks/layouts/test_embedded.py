from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from transfusion.errors import TaskError, UnknownNameError
from transfusion.tasks import Task
from transfusion.tasks.phantoms import fundus, natural

Loader = Callable[..., Task]
FEW = {"image_size": 32, "num_images": (60, 10, 20)}


@pytest.mark.parametrize(("name", "kind", "num_outputs"), [("fundus", "graded", 5), ("natural", "multiclass", 8)])
def test_embedded_tasks(load_task: Loader, name: str, kind: str, num_outputs: int) -> None:
    task = load_task(f"embedded:{name}", **FEW)
    assert (task.name, task.kind, task.num_outputs, task.channels) == (name, kind, num_outputs, 3)
    assert [split.images.shape for split in task.splits.values()] == [(n, 32, 32, 3) for n in (60, 10, 20)]
    assert len({image.tobytes() for split in task.splits.values() for image in split.images}) == 90


@pytest.mark.parametrize("name", ["fundus", "natural"])
def test_more_images_begin_with_the_same(load_task: Loader, name: str) -> None:
    few = load_task(f"embedded:{name}", **FEW).splits["test"]
    more = load_task(f"embedded:{name}", **{**FEW, "num_images": (60, 10, 30)}).splits["test"]
    other = load_task(f"embedded:{name}", **FEW, split_seed=1).splits["test"]
    assert (few.images == more.images[:20]).all()
    assert (few.labels == more.labels[:20]).all()
    assert (few.images != other.images).any()


def test_unknown_phantoms(load_task: Loader) -> None:
    with pytest.raises(UnknownNameError, match=r"no embedded task 'fundos'. Did you mean 'fundus'"):
        load_task("embedded:fundos")


def test_no_training_images(load_task: Loader) -> None:
    with pytest.raises(TaskError, match="no training images"):
        load_task("embedded:fundus", image_size=32, num_images=(0, 10, 10))


def test_prevalence(load_task: Loader) -> None:
    labels = load_task("embedded:fundus", image_size=8, num_images=(900, 0, 0)).splits["train"].labels
    np.testing.assert_allclose(np.bincount(labels) / 900, fundus.PREVALENCE, atol=0.05)


def seeds(num: int) -> np.ndarray:
    return np.column_stack([np.zeros((num, 2), int), np.arange(num)])


def test_lesions_grow_with_the_grade() -> None:
    def departure(grade: int) -> float:
        """How far eyes of a grade are from the same eyes without disease, on average."""
        sick = fundus.render(np.full(40, grade), seeds(40), 64).astype(float)
        well = fundus.render(np.zeros(40, int), seeds(40), 64).astype(float)
        return float(np.abs(sick - well).mean())

    far = [departure(grade) for grade in range(5)]
    assert far[0] == 0
    assert far == sorted(far)


def test_eyes_are_round_and_red() -> None:
    eyes = fundus.render(np.zeros(20, int), seeds(20), 64)
    assert eyes[:, 0, 0].max() < 10
    red, green, blue = eyes[:, 20:44, 20:44].mean(axis=(0, 1, 2))
    assert red > green > blue


def test_marks_land_where_they_should() -> None:
    middle = fundus.Marks(*(np.array([value]) for value in (1, 0.5, -0.5, 0.1, 0.7)))
    planes = fundus.splat(middle, 2, 64)
    assert planes[0].max() == 0
    row, column = np.unravel_index(planes[1].argmax(), (64, 64))
    assert abs(row - 15.5) <= 0.5
    assert abs(column - 47.5) <= 0.5
    assert planes[1].max() == pytest.approx(0.7, abs=0.05)
    outside = fundus.Marks(*(np.array([value]) for value in (0, 1.5, 0.0, 0.05, 1.0)))
    assert fundus.splat(outside, 2, 64).max() == 0


def test_pink_noise_falls_with_frequency() -> None:
    field = natural.pink_noise(np.random.default_rng(0).standard_normal((50, 64, 64)).astype(np.float32))
    assert field.mean() == pytest.approx(0, abs=1e-5)
    assert field.std() == pytest.approx(1, abs=1e-4)
    power = (np.abs(np.fft.rfft2(field)) ** 2).mean(axis=0)
    assert power[0, 4] / power[0, 16] == pytest.approx(16, rel=0.5)


def test_photographs_spectrum_of_natural_pictures() -> None:
    pictures = natural.render(np.arange(160) % 8, seeds(160), 64).mean(axis=-1)
    power = (np.abs(np.fft.fft2(pictures)) ** 2).mean(axis=0)
    frequency = np.arange(2, 16)
    slope = np.polyfit(np.log(frequency), np.log(power[0, 2:16] + power[2:16, 0]), 1)[0]
    assert -3 < slope < -1  # photographs: about -2 (Field 1987)


@pytest.mark.parametrize("module", [fundus, natural])
@pytest.mark.parametrize("size", [8, 33, 100])
def test_any_size(module: object, size: int) -> None:
    assert module.render(np.array([0, 4]), seeds(2), size).shape == (2, size, size, 3)
