"""Real training of small networks whose weights are made by hand: what they are good for is certain by construction."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from transfusion.networks import models
from transfusion.runs.machine import Machine
from transfusion.schemes import initialize
from transfusion.spec import StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study

ONE_THREAD = Machine(accelerator="cpu", threads=1, checkpoint_s=1e9)
SEEDS = (0, 1, 2, 3, 4)
DONOR_SEED = 1_000_000

pytestmark = [pytest.mark.training, pytest.mark.slow]


class Plain(nn.Module):
    """Convolutions and ReLUs without normalisation, their mean over the image, and a linear head.

    Args:
        blocks: name -> (channels, kernel size, stride).
        num_outputs: logits per image.
        channels: of the images.
    """

    def __init__(self, blocks, num_outputs, channels):
        super().__init__()
        inputs = channels
        for name, (outputs, side, stride) in blocks.items():
            self.add_module(name, nn.Sequential(nn.Conv2d(inputs, outputs, side, stride, padding=side // 2), nn.ReLU()))
            inputs = outputs
        self.names = tuple(blocks)
        self.head = nn.Linear(inputs, num_outputs)

    def forward(self, images):
        for name in self.names:
            images = self.get_submodule(name)(images)
        return self.head(images.mean(dim=(2, 3)))


UNEVEN = {f"layer{i + 1}": (128 if i % 2 else 32, 3, 2 if i < 2 else 1) for i in range(6)}
SEARCHING = {"first": (24, 7, 1), "second": (24, 7, 2), "third": (48, 3, 1)}
PLAIN = {"uneven": UNEVEN, "searching": SEARCHING}


@pytest.fixture(autouse=True)
def plain_networks(monkeypatch):
    """Two networks more among those that a study knows by name."""
    known = models.construct

    def construct(name, num_outputs, channels, image_size):
        if name in PLAIN:
            return Plain(PLAIN[name], num_outputs, channels)
        return known(name, num_outputs, channels, image_size)

    monkeypatch.setattr(models, "construct", construct)
    check = models.check
    monkeypatch.setattr(models, "check", lambda name: None if name in PLAIN else check(name))


def verdict_of(folder, model, donor, data, train, **grid):
    """Run a study as a user would; no run may fail."""
    save_file({name: tensor.contiguous() for name, tensor in donor.state_dict().items()}, folder / "donor.safetensors")
    task = TaskSpec(data=str(data), normalize="task")
    donor_file = f"file:{folder / 'donor.safetensors'}"
    spec = StudySpec(task=task, model=model, donor=donor_file, train=train, seeds=SEEDS, **grid)
    study = Study(spec, folder / "study", cache=folder / "cache")
    assert study.run(workers=0, progress=False, machine=ONE_THREAD).failed == {}
    return study.verdict()


def wave(angle, frequency, phase, places):
    """Parallel stripes; cycles per pixel."""
    y, x = places
    return np.sin(2 * np.pi * frequency * (np.cos(angle) * x + np.sin(angle) * y) + phase)


def saved(path, num_train, num_test, draw):
    """Pictures of the two splits, ``draw(rng) -> (grey picture in 0..1, label)``, as a MedMNIST file."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", num_train), ("test", num_test)):
        pictures, labels = zip(*(draw(rng) for _ in range(count)), strict=True)
        grey = (255 * np.stack(pictures).clip(0, 1)).astype(np.uint8)
        arrays |= {f"{split}_images": np.repeat(grey[..., None], 3, axis=-1), f"{split}_labels": np.array(labels)}
    np.savez(path, **arrays)
    return path


def lying_or_standing(rng):
    """Stripes of 12 px pictures under noise."""
    label, frequency = int(rng.integers(2)), rng.uniform(1.5, 3) / 12
    stripes = wave((1 - label) * np.pi / 2, frequency, rng.uniform(0, 2 * np.pi), np.mgrid[:12, :12])
    return 0.5 + 0.25 * stripes + rng.normal(0, 0.3, (12, 12)), label


def test_a_gain_that_is_all_scale_is_found_so(tmp_path):
    """The donor is a He draw of a network that Glorot's rule, on layers of 32 and 128 channels in turn, makes 48 times
    too quiet: under SGD it learns all the same, later. The donor knows nothing, and has the scale."""
    donor = initialize_as(models.build("uneven", num_outputs=2), "kaiming")
    data = saved(tmp_path / "stripes.npz", 400, 150, lying_or_standing)
    train = TrainSpec(optimizer="sgd", lr=0.01, batch_size=16, steps=600, precision="float32")
    verdict = verdict_of(tmp_path, "uneven", donor, data, train, schemes=("pretrained", "mean_var", "random"))
    assert verdict.levels["random"].mean > 0.95
    for start in ("pretrained", "mean_var"):
        assert verdict.schemes[start].speedup.low > 3
    assert 0.75 < verdict.scaling_share.estimate < 1.25
    assert verdict.scaling_share.low > 0.6


def initialize_as(model, scheme):
    initialize(model, scheme, seed=DONOR_SEED)
    return model


ANGLES = np.arange(6) * np.pi / 6
FREQUENCY = 0.25


def one_of_six_textures(rng):
    """Faint stripes of one of six directions, all of one frequency, in 16 px pictures."""
    label = int(rng.integers(len(ANGLES)))
    stripes = wave(ANGLES[label], FREQUENCY, rng.uniform(0, 2 * np.pi), np.mgrid[:16, :16])
    return 0.5 + 0.12 * stripes + rng.normal(0, 0.2, (16, 16)), label


def matched_filters():
    """(24, 7, 7) of norm 1: each direction in four phases, so that one of them answers wherever the stripes lie."""
    phases = np.arange(4) * np.pi / 2
    filters = [wave(angle, FREQUENCY, phase, np.mgrid[-3:4, -3:4]) for angle in ANGLES for phase in phases]
    return nn.functional.normalize(torch.tensor(np.stack(filters)).float().flatten(1)).reshape(-1, 7, 7)


def searching_donor(place):
    """A draw of the baseline's kind with the matched filters in its first or its second layer, at the draw's own scale.

    In the second they see the image through a first layer that passes it on, once as it is and once negated.
    """
    model = initialize_as(models.build("searching", num_outputs=len(ANGLES)), "random")
    first, second, filters = model.first[0].weight, model.second[0].weight, matched_filters()
    norms = [weight.detach().flatten(1).norm(dim=1).mean() for weight in (first, second)]
    signs = torch.tensor([1.0, -1.0]).repeat(len(filters) // 2)
    with torch.no_grad():
        if place == "first":
            first.copy_(norms[0] * filters[:, None] / math.sqrt(3))
        else:
            first.zero_()[:, :, 3, 3] = norms[0] * signs[:, None] / math.sqrt(3)
            second.copy_(norms[1] * filters[:, None] * signs[None, :, None, None] / math.sqrt(len(filters)))
    return model


@pytest.fixture
def searched(tmp_path):
    """``searched(place)`` is the verdict on a donor that is useful there alone."""

    def verdict(place):
        data = saved(tmp_path / "textures.npz", 1000, 300, one_of_six_textures)
        train = TrainSpec(lr=3e-4, batch_size=16, steps=300, precision="float32")
        grid = {"schemes": ("pretrained", "random"), "upto": (None, "first", "second")}
        found = verdict_of(tmp_path, "searching", searching_donor(place), data, train, **grid)
        assert found.schemes["pretrained"].speedup.low > 1
        return found.upto_shares["pretrained upto first"], found.upto_shares["pretrained upto second"]

    return verdict


def test_a_donor_useful_in_its_stem_alone_is_found_so(searched):
    """The first layer gives all of the head start; the second, a random draw like the baseline's, nothing more."""
    first, second = searched("first")
    assert first.low > 0.5
    assert first.low < 1 < first.high
    assert second.low < 1 < second.high


def test_a_donor_useful_in_its_second_stage_is_not_held_for_one_useful_in_its_stem(searched):
    """Its first layer alone gives nothing; the two together all."""
    first, second = searched("second")
    assert first.high < 0.5
    assert second.low < 1 < second.high
