"""A small study in which one file-system call fails once: one line or a recorded failure, and then the same bits."""

import errno
import os

import pytest

from transfusion.errors import TransfusionError
from transfusion.runs.machine import Machine
from transfusion.spec import StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study

SPEC = StudySpec(
    task=TaskSpec(data="embedded:fundus", image_size=16, num_images=(16, 4, 12)),
    model="cbr_tiny_small",
    schemes=("random",),
    seeds=(0,),
    train=TrainSpec(steps=4, batch_size=4, eval_every=2, precision="float32"),
)
MACHINE = Machine(accelerator="cpu", threads=1, checkpoint_s=0.0)
CALLS = ("fsync", "replace", "mkdir", "open", "unlink", "posix_fallocate")
FAULTS = ("ENOSPC", "EIO", "EMFILE", "EACCES")
FAST = (("fsync", 3, "ENOSPC"), ("replace", 5, "EIO"), ("open", 2, "EMFILE"), ("mkdir", 1, "EACCES"))
MOST = 24  # of each call in such a study


def carry_out(folder):
    study = Study(SPEC, folder / "study", cache=folder / "cache")
    outcome = study.run(workers=0, progress=False, machine=MACHINE)
    return study, outcome


def bits(study):
    files = study.store.grid()[0]
    curve = [{key: value for key, value in row.items() if key != "time_s"} for row in files.curve()]
    return curve, {path.name: path.read_bytes() for path in files.folder.rglob("*.safetensors")}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    study, outcome = carry_out(tmp_path_factory.mktemp("whole"))
    assert not outcome.failed
    return bits(study)


class Failing:
    """The n-th call of a function of ``os`` below a folder fails, once."""

    def __init__(self, name, number, code):
        self.real, self.left, self.code = getattr(os, name), number, getattr(errno, code)

    def __call__(self, *args, **named):
        self.left -= 1
        if self.left == 0:
            raise OSError(self.code, os.strerror(self.code))
        return self.real(*args, **named)


def cases():
    for call in CALLS:
        for number in range(1, MOST + 1):
            code = FAULTS[number % len(FAULTS)]
            fast = (call, number, code) in FAST
            yield pytest.param(call, number, code, marks=() if fast else pytest.mark.torture)
    for call, number, code in FAST:
        if FAULTS[number % len(FAULTS)] != code:
            yield pytest.param(call, number, code)


@pytest.mark.parametrize(("call", "number", "code"), [*cases()])
def test_a_fault_costs_no_bit(tmp_path, monkeypatch, expected, call, number, code):
    with monkeypatch.context() as patch:
        patch.setattr(os, call, Failing(call, number, code))
        said = what_it_says(tmp_path)
    study, outcome = carry_out(tmp_path)
    assert outcome.failed == {}
    assert bits(study) == expected
    assert "Remove the folder" not in said
    assert not list((tmp_path / "study").rglob(".*~"))


def what_it_says(folder):
    """The failures of a study, or the one line that it ends in."""
    try:
        return " ".join(carry_out(folder)[1].failed.values())
    except (TransfusionError, OSError) as error:
        return str(error)
