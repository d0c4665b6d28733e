"""Real training where the truth is certain by design: reuse is total, reuse is nil, and nothing is there at all."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from transfusion.networks.models import build
from transfusion.runs.machine import Machine
from transfusion.schemes import initialize
from transfusion.spec import DonorRunSpec, SchemeSpec, StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study

TASK = TaskSpec(data="embedded:natural", image_size=16, num_images=(600, 0, 100))
ONE_THREAD = Machine(accelerator="cpu", threads=1, checkpoint_s=1e9)
LONG = TrainSpec(steps=150, batch_size=32, lr=1e-3, eval_every=75, precision="float32")
SHORT = LONG.with_values(steps=30, eval_every=3)
DENSE = SHORT.with_values(eval_every=1)  # for what is learned within three steps: to be timed it must be seen
COMMON = {"task": TASK, "model": "cbr_tiny_small", "train": SHORT, "seeds": (0, 1, 2)}

pytestmark = [pytest.mark.training, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("known")


def verdict_of(spec, folder):
    """Run a study as a user would; no run may fail."""
    study = Study(spec, folder, cache=folder.parent / "cache")
    assert study.run(workers=0, progress=False, machine=ONE_THREAD).failed == {}
    return study.verdict()


@pytest.fixture(scope="module")
def total(folder):
    """The task is the donor's own: all that is left to learn is the head."""
    donor = DonorRunSpec(task=TASK, train=LONG)
    spec = StudySpec(**COMMON, donor=donor, schemes=("pretrained", "mean_var", "random"))
    return verdict_of(spec.with_values(train=DENSE), folder / "total")


def test_total_reuse_is_found(total):
    assert total.schemes["pretrained"].speedup.low > 1
    assert total.scaling_share.high < 0.5
    assert total.advice.start == "pretrained"


def file_donor(folder, name, state):
    """A donor of weights made up here."""
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, folder / f"{name}.safetensors")
    return f"file:{folder / f'{name}.safetensors'}"


def glorot_body():
    """A network of the baseline's own kind, of a seed that no study here has."""
    model = build(COMMON["model"], num_outputs=8)
    initialize(model, "random", seed=1_000_000)
    return model.state_dict()


def trained_body(folder):
    (trained,) = (folder / "total" / "donors").glob("*.safetensors")
    return load_file(trained)


def holds(interval, value):
    return interval.low <= value <= interval.high


def test_nil_reuse_is_not_claimed(total, folder):
    """The same donor with the entries of every tensor permuted: it knows the scale of its weights and nothing else."""
    generator = torch.Generator().manual_seed(0)
    scrambled = {
        name: tensor.flatten()[torch.randperm(tensor.numel(), generator=generator)].reshape(tensor.shape)
        for name, tensor in trained_body(folder).items()
    }
    pretrained = SchemeSpec(name="pretrained", batch_norm="identity")
    schemes = (pretrained, "mean_var", "random")
    spec = StudySpec(**COMMON, donor=file_donor(folder, "scrambled", scrambled), schemes=schemes)
    verdict = verdict_of(spec, folder / "nil")
    assert set(verdict.schemes) == {"pretrained", "mean_var"}
    assert not verdict.scaling_share.high < 1
    assert {one.outcome for one in verdict.about("scaling")} <= {"unknown", "all"}


def test_no_effect_is_not_claimed(folder):
    """A donor that is as random as the baseline, with the head of every other start: copied, or drawn from its moments.

    Until all starts had one head, such a donor made networks learn half as fast.
    """
    donor = file_donor(folder, "glorot", glorot_body())
    spec = StudySpec(**COMMON, donor=donor, schemes=("pretrained", "mean_var", "random"))
    verdict = verdict_of(spec.with_values(seeds=(0, 1, 2, 3, 4)), folder / "none")
    assert verdict.advice.start is None
    for start in ("pretrained", "mean_var"):
        assert holds(verdict.schemes[start].speedup, 1)
    assert np.isnan(verdict.scaling_share.estimate)
