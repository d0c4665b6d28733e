"""Captures that survive what networks do to them, and comparisons of networks whose answer is known."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.similarity.small_networks import STAGES, Silent, images_of, small_net
from transfusion.errors import InputError, UnknownNameError
from transfusion.similarity import cca
from transfusion.similarity.capture import captured
from transfusion.similarity.networks import compare


class Twice(nn.Module):
    """Runs one module twice, and a residual sum in place."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, images):
        out = self.conv(images)
        out += images
        return self.conv(out)


def test_captures_survive_operations_in_place():
    net, images = small_net(), images_of(4)
    with captured(net, STAGES) as outputs:
        net(images)
    assert torch.equal(outputs["first"], net[0](images))
    assert (outputs["first"] < 0).any()


def test_the_last_of_several_calls_counts():
    net, images = Twice(), images_of(4)
    with captured(net, {"only": ["conv"]}) as outputs:
        final = net(images)
    assert torch.equal(outputs["only"], final)


def test_hooks_are_gone_afterwards():
    net = small_net()
    with captured(net, STAGES) as outputs:
        pass
    net(images_of(2))
    assert outputs == {}


def test_one_pass_gives_what_arrays_give():
    networks, images = {"a": small_net(0), "b": small_net(1), "c": small_net(2)}, images_of()
    frame = compare(networks, images.split(7), stages=STAGES, positions=None)
    assert list(zip(frame.stage, frame.a, frame.b, strict=True))[:3] == [
        ("first", "a", "b"),
        ("first", "a", "c"),
        ("first", "b", "c"),
    ]
    rows = [net[0](images).detach().movedim(1, -1).reshape(-1, 4) for net in networks.values()]
    expected = cca(rows[0], rows[2])
    row = frame[(frame.stage == "first") & (frame.a == "a") & (frame.b == "c")].iloc[0]
    assert row.value == pytest.approx(expected.value, abs=1e-10)
    assert (row.n, row.images, row.rank_a) == (40 * 36, 40, 4)


def test_against_one_network_gives_its_pairs_only_and_the_same_numbers():
    networks, images = {"start": small_net(0), "middle": small_net(1), "end": small_net(2)}, images_of()
    every = compare(networks, images.split(7), stages=STAGES)
    some = compare(networks, images.split(7), stages=STAGES, against="end")
    assert set(zip(some.a, some.b, strict=True)) == {("start", "end"), ("middle", "end")}
    both = every.merge(some, on=["stage", "a", "b", "measure"], suffixes=("", "_against"))
    assert len(both) == len(some) == 4
    assert np.allclose(both["value"], both["value_against"], atol=1e-10)
    assert np.allclose(both["baseline"], both["baseline_against"], atol=1e-10)
    with pytest.raises(UnknownNameError, match="network 'nobody'"):
        compare(networks, images.split(7), stages=STAGES, against="nobody")


def test_columns_are_tidy():
    frame = compare(
        {"a": small_net(), "b": small_net(1)}, [images_of()], stages=STAGES, measures=("cca", "debiased_cka")
    )
    expected = "stage a b measure value reverse baseline rank_a rank_b n warnings cautions images"
    assert list(frame.columns) == expected.split()
    assert len(frame) == 4


def test_a_network_is_like_itself_and_unlike_chance():
    net = small_net()
    frame = compare({"a": net, "b": net}, images_of(200).split(20), stages=STAGES, measures=("cca", "linear_cka"))
    assert frame.value.to_numpy() == pytest.approx(1)
    assert (frame.baseline < 0.3).all()


def test_baseline_keeps_positions_matched():
    """Every image is the same but for a little noise, so re-matched images are as alike as matched ones."""
    images = images_of(1).repeat(60, 1, 1, 1) + 0.01 * images_of(60, seed=1)
    frame = compare({"a": small_net(0), "b": small_net(1)}, images.split(20), stages=STAGES, positions=8)
    assert frame.baseline.to_numpy() == pytest.approx(frame.value.to_numpy(), abs=0.02)


def test_positions_are_taken_and_counted():
    frame = compare({"a": small_net(0), "b": small_net(1)}, [images_of()], stages=STAGES, positions=5)
    assert set(frame.n) == {40 * 5}
    again = compare({"a": small_net(0), "b": small_net(1)}, [images_of()], stages=STAGES, positions=5)
    other = compare({"a": small_net(0), "b": small_net(1)}, [images_of()], stages=STAGES, positions=5, seed=1)
    assert again.value.tolist() == frame.value.tolist() != other.value.tolist()


def test_maps_of_different_size_are_averaged_onto_the_smaller():
    fine, coarse, images = small_net(0), small_net(1, stride=2), images_of()
    frame = compare({"fine": fine, "coarse": coarse}, [images], stages={"first": ["0"]}, positions=None)
    pooled = nn.functional.adaptive_avg_pool2d(fine[0](images), 3)
    expected = cca(*(maps.detach().movedim(1, -1).reshape(-1, 4) for maps in (pooled, coarse[0](images))))
    assert frame.value[0] == pytest.approx(expected.value, abs=1e-6)
    assert frame.n[0] == 40 * 9


def test_maps_against_vectors_are_averaged_over_each_image():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    frame = compare(
        {"map": small_net(), "flat": flat}, [images_of()], stages={"first": ["0"], "x": ["1"]}, positions=None
    )
    assert frame.n.tolist() == [40, 40]


class Tokens(nn.Module):
    """(images, tokens, channels), as a transformer gives, within a tuple."""

    def __init__(self):
        super().__init__()
        self.block = nn.Linear(3, 5)
        self.wrap = Wrap()

    def forward(self, images):
        return self.wrap(self.block(images.flatten(2).transpose(1, 2)))[0]


class Wrap(nn.Module):
    def forward(self, tokens):
        return (tokens, None)


def test_tokens_are_positions_and_tuples_are_opened():
    torch.manual_seed(0)
    frame = compare({"a": Tokens(), "b": Tokens()}, [images_of()], stages={"out": ["wrap"]}, positions=None)
    assert (frame.n[0], frame.rank_a[0]) == (40 * 64, 3)


class ChannelsLast(nn.Module):
    def forward(self, maps):
        return maps.movedim(1, -1)


def test_channels_last_is_recognised():
    def net(seed):
        return nn.Sequential(*small_net(seed), ChannelsLast())

    last = compare({"a": net(0), "b": net(1)}, [images_of()], stages={"out": ["3"]}, positions=None)
    first = compare({"a": net(0), "b": net(1)}, [images_of()], stages={"out": ["2"]}, positions=None)
    assert last.value[0] == pytest.approx(first.value[0], abs=1e-12)


@pytest.mark.parametrize("sizes", [[1] * 9, [8, 1], [1, 8], [2], [5, 1, 1, 1, 1]])
def test_batches_of_one_image_are_no_exception(sizes):
    images = images_of(sum(sizes))
    frame = compare({"a": small_net(0), "b": small_net(0)}, images.split(sizes), stages=STAGES, positions=None)
    whole = compare({"a": small_net(0), "b": small_net(0)}, [images], stages=STAGES, positions=None)
    assert frame.value.tolist() == pytest.approx(whole.value.tolist(), abs=1e-9)
    assert set(frame.images) == {sum(sizes)}
    assert (frame.baseline < 0.999).all()


def test_labels_are_ignored_and_modes_restored():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    net[2].eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    compare({"a": net, "b": small_net()}, [(images_of(), torch.zeros(40))], stages={"first": ["0"]})
    assert [module.training for module in net] == [True, True, False]
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_stages_by_default_are_those_in_common():
    small = nn.ModuleDict({"body": nn.Conv2d(3, 4, 3), "head": nn.Linear(4, 2)})

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = small["body"], small["head"]

        def forward(self, images):
            return self.head(self.body(images).mean((2, 3)))

    frame = compare({"a": Own(), "b": Own()}, [images_of()])
    assert frame.stage.tolist() == ["body", "head"]
    assert compare({"a": Own(), "b": Own()}, [images_of()], stages=["head"]).stage.tolist() == ["head"]
    with pytest.raises(UnknownNameError, match=r"no stage that all networks share 'hed'. Did you mean 'head'\?"):
        compare({"a": Own(), "b": Own()}, [images_of()], stages=["hed"])


@pytest.mark.parametrize(
    ("networks", "batches", "stages", "message"),
    [
        ({"a": small_net()}, [images_of()], STAGES, r"Got 1 network\(s\); compare needs at least two"),
        ({"a": small_net(), "b": small_net()}, [], STAGES, "Got 0 images"),
        ({"a": small_net(), "b": small_net()}, [images_of(1)], STAGES, "Got 1 images"),
        ({"a": Silent(), "b": Silent()}, [images_of()], {"x": ["unused"]}, r"Stages \['x'\] gave no output"),
        (
            {"a": small_net(), "b": small_net()},
            [images_of() * torch.nan],
            STAGES,
            "Stage 'first', networks a, b: holds NaN",
        ),
        ({"a": nn.Flatten(0), "b": nn.Flatten(0)}, [images_of()], {"x": [""]}, r"Stage 'x' gives shape \(7680,\)"),
    ],
)
def test_refusals(networks, batches, stages, message):
    with pytest.raises(InputError, match=message):
        compare(networks, batches, stages=stages)


def test_unknown_modules_are_named():
    with pytest.raises(UnknownNameError, match=r"no module of stage 'x' named '9'. Known: 0, 1, 2"):
        compare({"a": small_net(), "b": small_net()}, [images_of()], stages={"x": ["9"]})


@pytest.mark.slow
def test_a_real_donor_against_its_scrambled_self(real_data):
    import torchvision
    from safetensors.torch import load_file

    weights = load_file(real_data / "squeezenet1_0-imagenet1k.safetensors")
    donor, scrambled = (torchvision.models.squeezenet1_0(weights=None) for _ in range(2))
    donor.load_state_dict(weights)
    generator = torch.Generator().manual_seed(0)
    scrambled.load_state_dict(
        {k: v.flatten()[torch.randperm(v.numel(), generator=generator)].reshape(v.shape) for k, v in weights.items()}
    )
    pixels = np.load(real_data / "cifar10_subset.npz")["test_images"][:200]
    images = nn.functional.interpolate(torch.from_numpy(pixels).movedim(3, 1) / 127.5 - 1, 64)
    frame = compare(
        {"donor": donor, "again": donor, "scrambled": scrambled}, images.split(50), stages=["stem", "fires1"]
    )
    cells = frame.set_index(["stage", "a", "b"]).value
    for stage in ("stem", "fires1"):
        assert cells[stage, "donor", "again"] == pytest.approx(1, abs=1e-6)
        assert cells[stage, "donor", "scrambled"] < 0.8
