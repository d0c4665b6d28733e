"""A study whose donor is gone, moved or out of reach resumes with the weights that it kept, and says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import save_file

from transfusion.errors import AbsentDonorError, DonorError
from transfusion.networks.models import build
from transfusion.runs.machine import Machine
from transfusion.spec import StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study

pytestmark = pytest.mark.training

TASK = TaskSpec(data="embedded:fundus", image_size=32, num_images=(24, 8, 16))
QUICK = TrainSpec(steps=2, batch_size=4, eval_every=1, precision="float32")


def study(folder: Path, cache: Path, donor: str, **settings: object) -> Study:
    values = {"task": TASK, "model": "squeezenet1_1", "schemes": ("pretrained", "random"), "seeds": (0,), **settings}
    return Study(StudySpec(donor=donor, train=QUICK, **values), folder, cache=cache)


def go(one: Study) -> tuple[int, int]:
    outcome = one.run(workers=0, progress=False, machine=Machine(accelerator="cpu", threads=1))
    assert not outcome.failed
    return outcome.ran, outcome.kept


@pytest.fixture
def donor(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "donor.safetensors"
    path.parent.mkdir()
    save_file(build("squeezenet1_1", 5, 3, 32).state_dict(), path)
    return path


def test_a_copied_folder_resumes_and_grows_without_the_donors_file(tmp_path: Path, donor: Path) -> None:
    name, cache = f"file:{donor}", tmp_path / "cache"
    first = study(tmp_path / "a", cache, name)
    assert go(first) == (2, 0)
    ids = [run.id for run in first.runs()]
    shutil.copytree(tmp_path / "a", tmp_path / "moved" / "b")
    donor.rename(tmp_path / "gone")
    copied = study(tmp_path / "moved" / "b", cache, name, seeds=(0, 1))
    assert [run.id for run in copied.runs()][:2] == ids
    assert any("is not available: its weights are those that this study kept" in note for note in copied.plan().notes)
    assert go(copied) == (2, 2)

    (tmp_path / "gone").rename(donor)  # with the file again, the runs are the same ones
    again = study(tmp_path / "a", cache, name, seeds=(0, 1))
    assert {run.id for run in again.runs()} == {run.id for run in copied.runs()}


@pytest.mark.parametrize("task", [{"normalize": "imagenet"}, {"interpolation": "nearest"}, {"channels": 1}])
def test_settings_of_the_task_count_as_before(tmp_path: Path, donor: Path, task: dict[str, object]) -> None:
    asked = TASK.with_values(**task)
    ids = [run.id for run in study(tmp_path / "a", tmp_path / "cache", f"file:{donor}", task=asked).runs()]
    first = study(tmp_path / "a", tmp_path / "cache", f"file:{donor}", task=asked)
    go(first)
    donor.unlink()
    assert [run.id for run in study(tmp_path / "a", tmp_path / "cache", f"file:{donor}", task=asked).runs()] == ids


def test_another_donor_model_or_folder_has_nothing_to_fall_back_on(tmp_path: Path, donor: Path) -> None:
    cache = tmp_path / "cache"
    go(study(tmp_path / "a", cache, f"file:{donor}"))
    donor.unlink()
    for other in (
        study(tmp_path / "a", cache, f"file:{donor}2"),
        study(tmp_path / "a", cache, f"file:{donor}", model="resnet18"),
        study(tmp_path / "new", cache, f"file:{donor}"),
    ):
        with pytest.raises(AbsentDonorError, match="does not exist"):
            other.plan()


def test_kept_weights_that_are_damaged_are_not_used(tmp_path: Path, donor: Path) -> None:
    go(study(tmp_path / "a", tmp_path / "cache", f"file:{donor}"))
    donor.unlink()
    (kept,) = (tmp_path / "a" / "donors").glob("*.safetensors")
    content = bytearray(kept.read_bytes())
    content[-9] ^= 1
    kept.write_bytes(bytes(content))
    with pytest.raises(AbsentDonorError, match="does not exist"):
        study(tmp_path / "a", tmp_path / "cache", f"file:{donor}").plan()


def test_a_donor_that_was_replaced_by_another_file_is_never_passed_over(tmp_path: Path, donor: Path) -> None:
    go(study(tmp_path / "a", tmp_path / "cache", f"file:{donor}"))
    donor.write_bytes(b"hello")
    with pytest.raises(DonorError, match="not a whole weight file"):
        study(tmp_path / "a", tmp_path / "cache", f"file:{donor}").plan()
