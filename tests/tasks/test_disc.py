"""The disc of a fundus photograph fills the square, however the camera cut it."""

import importlib.util

import numpy as np
import pytest
from PIL import Image

from transfusion import tasks
from transfusion.errors import SpecError, TaskError
from transfusion.spec import RunSpec, TaskSpec
from transfusion.tasks.disc import NoDiscError, square


def eye(height, width, x, y, radius, full=255):
    """A bright disc on black, in three channels."""
    rows, columns = np.mgrid[:height, :width]
    inside = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    dtype = np.uint8 if full == 255 else np.uint16
    return np.repeat((inside * full * 0.6).astype(dtype)[..., None], 3, axis=2)


@pytest.mark.parametrize("full", [255, 65535])
@pytest.mark.parametrize(("height", "width", "x", "y", "radius"), [(200, 300, 150, 100, 90), (300, 200, 60, 220, 50)])
def test_the_square_is_the_discs(height, width, x, y, radius, full):
    shown = square(eye(height, width, x, y, radius, full))
    assert shown.shape[0] == shown.shape[1] == pytest.approx(2 * radius, abs=4)
    bright = np.argwhere(shown[..., 0] > 0)
    assert bright.mean(axis=0) == pytest.approx([shown.shape[0] / 2] * 2, abs=2)


def test_a_disc_that_the_frame_cuts_off_keeps_its_scale():
    whole, cut = square(eye(300, 300, 150, 150, 120)), square(eye(300, 300, 150, 150, 120)[60:240])
    assert cut.shape[0] == pytest.approx(whole.shape[0], abs=4)
    assert cut[0].max() == 0  # above the picture is black
    assert whole[len(whole) // 2].max() > 0


def test_specks_in_the_margin_do_not_count():
    picture = eye(200, 300, 150, 100, 80)
    picture[3, 3] = picture[190, 290] = 255
    assert square(picture).shape == square(eye(200, 300, 150, 100, 80)).shape


def test_a_dark_picture_has_no_disc(tmp_path):
    with pytest.raises(NoDiscError, match="dark all over"):
        square(np.full((50, 50, 3), 5, np.uint8))
    folders = write(tmp_path, dark="b/train/x.png")
    with pytest.raises(TaskError, match=r"x\.png: it is dark all over.*leave_out"):
        tasks.load(TaskSpec(data=str(folders), image_size=32, crop="circle", patient_pattern="none"), tmp_path / "c")
    assert tasks.load(TaskSpec(data=str(folders), image_size=32, patient_pattern="none"), tmp_path / "c")


def test_a_task_of_discs_is_another_task(tmp_path):
    folders = write(tmp_path)
    cut, circle = (
        tasks.load(TaskSpec(data=str(folders), image_size=32, crop=crop, patient_pattern="none"), tmp_path / "c")
        for crop in ("square", "circle")
    )
    assert cut.fingerprint != circle.fingerprint
    assert np.asarray(circle.splits["train"].images).mean() > 2 * np.asarray(cut.splits["train"].images).mean()


def test_arrays_too(tmp_path):
    images = np.stack([eye(60, 60, 20 + i, 30, 8 + i % 5) for i in range(12)])
    labels = np.arange(12) % 2
    np.savez(
        tmp_path / "eyes.npz",
        **{
            f"{s}_{k}": v
            for s in ("train", "test")
            for k, v in (("images", images if s == "train" else images[::-1] // 2), ("labels", labels))
        },
    )
    task = tasks.load(TaskSpec(data=str(tmp_path / "eyes.npz"), crop="circle"), tmp_path / "c")
    assert np.asarray(task.splits["train"].images).mean() > 3 * images.mean()


def test_the_default_makes_no_new_runs():
    run = RunSpec(task=TaskSpec(data="x"), model="resnet18")
    assert run.id == run.with_values(task=run.task.with_values(crop="square")).id
    assert run.id != run.with_values(task=run.task.with_values(crop="circle")).id


def test_without_opencv_it_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SpecError, match="pip install"):
        tasks.check(TaskSpec(data="nowhere", crop="circle"))


def write(folder, dark=None):
    for label in "ab":
        for split in ("train", "test"):
            (folder / "eyes" / split / label).mkdir(parents=True)
            for i in range(4):
                radius = 10 + i + 4 * (label == "b") + 8 * (split == "test")
                Image.fromarray(eye(100, 100, 50, 50, radius)).save(folder / "eyes" / split / label / f"{i}.png")
    if dark:
        Image.new("RGB", (100, 100)).save(folder / "eyes" / "train" / "b" / "x.png")
    return folder / "eyes"
