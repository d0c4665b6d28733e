"""Captures that survive what networks do to them, and comparisons of networks whose answer is known."""

import numpy as np
import pytest
import torch
from torch import nn

from transfusion.errors import InputError, UnknownNameError
from transfusion.networks.structure import stages
from transfusion.similarity import cca
from transfusion.similarity.capture import captured
from transfusion.similarity.networks import across, compare


def _images(num=40, size=8, seed=0):
    return torch.randn((num, 3, size, size), generator=torch.Generator().manual_seed(seed))


def _net(seed=0, stride=1):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=stride), nn.ReLU(inplace=True), nn.Conv2d(4, 6, 3))


STAGES = {"first": ["0"], "last": ["1", "2"]}


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
    net, images = _net(), _images(4)
    with captured(net, STAGES) as outputs:
        net(images)
    assert torch.equal(outputs["first"], net[0](images))
    assert (outputs["first"] < 0).any()


def test_the_last_of_several_calls_counts():
    net, images = Twice(), _images(4)
    with captured(net, {"only": ["conv"]}) as outputs:
        final = net(images)
    assert torch.equal(outputs["only"], final)


def test_hooks_are_gone_afterwards():
    net = _net()
    with captured(net, STAGES) as outputs:
        pass
    net(_images(2))
    assert outputs == {}


def test_one_pass_gives_what_arrays_give():
    networks, images = {"a": _net(0), "b": _net(1), "c": _net(2)}, _images()
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
    networks, images = {"start": _net(0), "middle": _net(1), "end": _net(2)}, _images()
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
    frame = compare({"a": _net(), "b": _net(1)}, [_images()], stages=STAGES, measures=("cca", "debiased_cka"))
    expected = "stage a b measure value reverse baseline rank_a rank_b n warnings cautions images"
    assert list(frame.columns) == expected.split()
    assert len(frame) == 4


def test_a_network_is_like_itself_and_unlike_chance():
    net = _net()
    frame = compare({"a": net, "b": net}, _images(200).split(20), stages=STAGES, measures=("cca", "linear_cka"))
    assert frame.value.to_numpy() == pytest.approx(1)
    assert (frame.baseline < 0.3).all()


def test_baseline_keeps_positions_matched():
    """Every image is the same but for a little noise, so re-matched images are as alike as matched ones."""
    images = _images(1).repeat(60, 1, 1, 1) + 0.01 * _images(60, seed=1)
    frame = compare({"a": _net(0), "b": _net(1)}, images.split(20), stages=STAGES, positions=8)
    assert frame.baseline.to_numpy() == pytest.approx(frame.value.to_numpy(), abs=0.02)


def test_positions_are_taken_and_counted():
    frame = compare({"a": _net(0), "b": _net(1)}, [_images()], stages=STAGES, positions=5)
    assert set(frame.n) == {40 * 5}
    again = compare({"a": _net(0), "b": _net(1)}, [_images()], stages=STAGES, positions=5)
    other = compare({"a": _net(0), "b": _net(1)}, [_images()], stages=STAGES, positions=5, seed=1)
    assert again.value.tolist() == frame.value.tolist() != other.value.tolist()


def test_maps_of_different_size_are_averaged_onto_the_smaller():
    fine, coarse, images = _net(0), _net(1, stride=2), _images()
    frame = compare({"fine": fine, "coarse": coarse}, [images], stages={"first": ["0"]}, positions=None)
    pooled = nn.functional.adaptive_avg_pool2d(fine[0](images), 3)
    expected = cca(*(maps.detach().movedim(1, -1).reshape(-1, 4) for maps in (pooled, coarse[0](images))))
    assert frame.value[0] == pytest.approx(expected.value, abs=1e-6)
    assert frame.n[0] == 40 * 9


def test_maps_against_vectors_are_averaged_over_each_image():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    frame = compare({"map": _net(), "flat": flat}, [_images()], stages={"first": ["0"], "x": ["1"]}, positions=None)
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
    frame = compare({"a": Tokens(), "b": Tokens()}, [_images()], stages={"out": ["wrap"]}, positions=None)
    assert (frame.n[0], frame.rank_a[0]) == (40 * 64, 3)


class ChannelsLast(nn.Module):
    def forward(self, maps):
        return maps.movedim(1, -1)


def test_channels_last_is_recognised():
    def net(seed):
        return nn.Sequential(*_net(seed), ChannelsLast())

    last = compare({"a": net(0), "b": net(1)}, [_images()], stages={"out": ["3"]}, positions=None)
    first = compare({"a": net(0), "b": net(1)}, [_images()], stages={"out": ["2"]}, positions=None)
    assert last.value[0] == pytest.approx(first.value[0], abs=1e-12)


@pytest.mark.parametrize("sizes", [[1] * 9, [8, 1], [1, 8], [2], [5, 1, 1, 1, 1]])
def test_batches_of_one_image_are_no_exception(sizes):
    images = _images(sum(sizes))
    frame = compare({"a": _net(0), "b": _net(0)}, images.split(sizes), stages=STAGES, positions=None)
    whole = compare({"a": _net(0), "b": _net(0)}, [images], stages=STAGES, positions=None)
    assert frame.value.tolist() == pytest.approx(whole.value.tolist(), abs=1e-9)
    assert set(frame.images) == {sum(sizes)}
    assert (frame.baseline < 0.999).all()


def test_labels_are_ignored_and_modes_restored():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    net[2].eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    compare({"a": net, "b": _net()}, [(_images(), torch.zeros(40))], stages={"first": ["0"]})
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

    frame = compare({"a": Own(), "b": Own()}, [_images()])
    assert frame.stage.tolist() == ["body", "head"]
    assert compare({"a": Own(), "b": Own()}, [_images()], stages=["head"]).stage.tolist() == ["head"]
    with pytest.raises(UnknownNameError, match=r"no stage that all networks share 'hed'. Did you mean 'head'\?"):
        compare({"a": Own(), "b": Own()}, [_images()], stages=["hed"])


class Silent(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

    def forward(self, images):
        return self.used(images)


@pytest.mark.parametrize(
    ("networks", "batches", "stages", "message"),
    [
        ({"a": _net()}, [_images()], STAGES, r"Got 1 network\(s\); compare needs at least two"),
        ({"a": _net(), "b": _net()}, [], STAGES, "Got 0 images"),
        ({"a": _net(), "b": _net()}, [_images(1)], STAGES, "Got 1 images"),
        ({"a": Silent(), "b": Silent()}, [_images()], {"x": ["unused"]}, r"Stages \['x'\] gave no output"),
        ({"a": _net(), "b": _net()}, [_images() * torch.nan], STAGES, "Stage 'first', networks a, b: .* holds NaN"),
        ({"a": nn.Flatten(0), "b": nn.Flatten(0)}, [_images()], {"x": [""]}, r"Stage 'x' gives shape \(7680,\)"),
    ],
)
def test_refusals(networks, batches, stages, message):
    with pytest.raises(InputError, match=message):
        compare(networks, batches, stages=stages)


def test_unknown_modules_are_named():
    with pytest.raises(UnknownNameError, match=r"no module of stage 'x' named '9'. Known: 0, 1, 2"):
        compare({"a": _net(), "b": _net()}, [_images()], stages={"x": ["9"]})


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


class Turned(nn.Module):
    """Gives what its layer gives with its channels last."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.mlp = nn.Linear(6, 6)

    def forward(self, images):
        return self.mlp(self.conv(images).movedim(1, -1))


@pytest.mark.parametrize(
    ("make", "shape", "n", "width"),
    [
        (lambda: nn.Conv1d(3, 6, 3, padding=1), (40, 3, 50), 40 * 50, 6),
        (lambda: nn.Conv2d(3, 8, 3, padding=1), (40, 3, 8, 5), 40 * 8 * 5, 8),
        (lambda: nn.Conv3d(1, 4, 3, padding=1), (40, 1, 5, 5, 5), 40 * 125, 4),
        (Turned, (40, 3, 7, 5), 40 * 7 * 5, 6),
        (lambda: nn.TransformerEncoderLayer(9, 3, 16, batch_first=True), (40, 5, 9), 40 * 5, 8),
    ],
    ids=["1-D", "height equals channels", "3-D", "channels last, not square", "tokens that sum to nothing"],
)
def test_channels_are_features_whatever_the_layout(make, shape, n, width):
    torch.manual_seed(0)
    pair = {name: nn.Sequential(make()) for name in "ab"}
    frame = compare(pair, [torch.randn(shape)], stages={"only": ["0"]}, positions=None)
    assert frame.loc[0, ["n", "rank_a"]].tolist() == [n, width]


def test_ids_of_tokens_are_left_as_they_are():
    pair = {name: nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 4)) for name in "ab"}
    frame = compare(pair, torch.randint(10, (20, 6)), stages={"only": ["1"]})
    assert frame["n"].tolist() == [120]


def test_one_tensor_is_one_batch_and_one_name_one_measure():
    images, pair = _images(), {"a": _net(0), "b": _net(1)}
    one = compare(pair, images, stages=STAGES, measures="cca")
    other = compare(pair, [images], stages=STAGES, measures=("cca", "cca"))
    assert one.equals(other)


def test_a_diverged_network_is_named():
    pair = {"good": _net(0), "bad": _net(1)}
    nn.init.constant_(pair["bad"][2].weight, torch.nan)
    with pytest.raises(InputError, match="Stage 'last', network bad: "):
        compare(pair, [_images()], stages=STAGES)


def test_a_single_image_of_another_size_is_refused():
    with pytest.raises(InputError, match="a batch of one image beside another size"):
        compare({"a": _net(0), "b": _net(1)}, [_images(4), _images(1, size=9)], stages=STAGES)


class Shared(nn.Module):
    """One ReLU for all layers, as in many own networks; its last call is far behind its first stage."""

    def __init__(self):
        super().__init__()
        self.conv1, self.relu, self.conv2 = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3)
        self.fc = nn.Linear(6, 2)

    def forward(self, images):
        maps = self.relu(self.conv2(self.relu(self.conv1(images))))
        return self.fc(maps.mean((2, 3)))


def test_a_shared_activation_counts_where_its_stage_ends():
    net, images = Shared(), _images(4)
    with captured(net, stages(net)) as outputs:
        net(images)
    first = net.relu(net.conv1(images))
    assert list(stages(net)) == ["conv1", "conv2", "head"]
    assert torch.equal(outputs["conv1"], first)
    assert torch.equal(outputs["conv2"], net.conv2(first))


class Listed(nn.Module):
    """Branches in a list that never runs itself, the last registered of which does not run last."""

    def __init__(self):
        super().__init__()
        self.branches = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.Conv2d(3, 5, 3)])

    def forward(self, images):
        _ = self.branches[1](images)
        return [torch.zeros(7, 2), self.branches[0](images)]


def test_the_last_module_that_ran_gives_the_output():
    frame = compare({"a": Listed(), "b": Listed()}, [_images()], stages={"lists": ["branches"]})
    assert frame["rank_a"].tolist() == [4]
    frame = compare({"a": Listed(), "b": Listed()}, [_images()], stages={"whole": [""]})
    assert frame["rank_a"].tolist() == [4], "of a list of outputs, the one with a row per image"


@pytest.mark.parametrize(
    ("name", "size"),
    [("coat_lite_tiny", 224), ("crossvit_9_240", 240), ("hrnet_w18_small", 64), ("twins_svt_small", 224),
     ("hiera_tiny_224", 224), ("tnt_s_legacy_patch16_224", 224)],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Stages .'stem'. gave no output")
def test_unusual_networks_are_compared_at_every_stage(name, size):
    timm = pytest.importorskip("timm")
    net = timm.create_model(name, num_classes=3)
    frame = compare({"a": net, "b": net}, _images(3, size), measures="linear_cka", positions=4)
    with_modules = [stage for stage, names in stages(net).items() if any(n in dict(net.named_modules()) for n in names)]
    assert list(frame["stage"]) == with_modules
    assert len(frame) >= 5
    value = frame.set_index("stage").drop("head")["value"]
    assert value.to_numpy() == pytest.approx(1, abs=1e-6)


def test_compiled_and_parallel_networks_are_compared_as_what_they_wrap():
    net, other, images = _net(0), _net(1), _images()
    plain = compare({"a": net, "b": other}, images, stages=STAGES)
    compiled = compare({"a": torch.compile(net), "b": nn.DataParallel(other)}, images, stages=STAGES)
    assert compiled["value"].tolist() == plain["value"].tolist()
    whole = compare({"a": torch.compile(Shared()), "b": nn.DataParallel(Shared())}, images)
    assert whole["stage"].tolist() == ["conv1", "conv2", "head"]


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images, mask):
        return self.conv(images * mask)


def test_a_network_that_needs_more_is_run_by_forward():
    torch.manual_seed(0)
    networks = {"a": Masked(), "b": Masked()}
    batches = [{"image": images, "mask": torch.ones(len(images), 1, 1, 1)} for images in _images().split(9)]
    frame = compare(
        networks, batches, stages={"conv": ["conv"]}, forward=lambda net, batch: net(batch["image"], batch["mask"])
    )
    bare = compare(
        {name: nn.Sequential(net.conv) for name, net in networks.items()}, _images().split(9), stages={"conv": ["0"]}
    )
    assert frame["value"].tolist() == bare["value"].tolist()
    assert frame["images"].tolist() == [40]
    frame = across(*networks.values(), batches, forward=lambda net, batch: net(batch["image"], batch["mask"]))
    assert frame["n"].tolist() == [40]


@pytest.mark.parametrize(
    "wrap", [lambda x: (x, 1), lambda x: [x, 1], lambda x: {"image": x, "y": 1}], ids=["tuple", "list", "dict"]
)
def test_batches_of_any_form_give_the_same(wrap):
    networks, batches = {"a": _net(0), "b": _net(1)}, _images().split(10)
    assert compare(networks, map(wrap, batches), stages=STAGES).equals(compare(networks, batches, stages=STAGES))


def test_one_odd_stage_is_left_out_with_a_warning():
    stages_of = {"x": ["unused"], "y": ["used"]}
    with pytest.warns(UserWarning, match=r"Stages \['x'\] gave no output: .* \(network a\). It is left out."):
        frame = compare({"a": Silent(), "b": Silent()}, [_images()], stages=stages_of)
    assert frame["stage"].tolist() == ["y"]
    with pytest.warns(UserWarning, match=r"\(network b\). It is left out"):
        frame = across(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), Silent(), [_images()])
    assert set(frame["stage_b"]) == {"used"}


def test_networks_with_other_stages_are_paired_by_name_or_by_hand():
    a, b = _net(0), Shared()
    with pytest.raises(InputError, match=r"share no stage \(a: 0, 2; b: conv1, conv2, head\). Pair others with"):
        compare({"a": a, "b": b}, [_images()])
    frame = compare({"a": a, "b": b}, [_images()], stages={"early": {"a": ["0"], "b": ["conv1"]}})
    assert frame[["stage", "rank_a", "rank_b"]].values.tolist() == [["early", 4, 4]]
    with pytest.raises(UnknownNameError, match="network of stage 'early' 'b'"):
        compare({"a": a, "b": b}, [_images()], stages={"early": {"a": ["0"]}})
    with pytest.warns(UserWarning, match="Only head are compared, which all networks have"):
        compare({"a": nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2)), "b": b}, [_images()])
