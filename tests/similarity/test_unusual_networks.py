"""Networks of every build and batches of every form are compared for what they are."""

import pytest
import torch
from torch import nn

from tests.similarity.small_networks import STAGES, Silent, images_of, small_net
from transfusion.errors import InputError, UnknownNameError
from transfusion.networks.structure import stages
from transfusion.similarity.capture import captured
from transfusion.similarity.networks import across, compare


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
    images, pair = images_of(), {"a": small_net(0), "b": small_net(1)}
    one = compare(pair, images, stages=STAGES, measures="cca")
    other = compare(pair, [images], stages=STAGES, measures=("cca", "cca"))
    assert one.equals(other)


def test_a_diverged_network_is_named():
    pair = {"good": small_net(0), "bad": small_net(1)}
    nn.init.constant_(pair["bad"][2].weight, torch.nan)
    with pytest.raises(InputError, match="Stage 'last', network bad: "):
        compare(pair, [images_of()], stages=STAGES)


def test_a_single_image_of_another_size_is_refused():
    with pytest.raises(InputError, match="a batch of one image beside another size"):
        compare({"a": small_net(0), "b": small_net(1)}, [images_of(4), images_of(1, size=9)], stages=STAGES)


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
    net, images = Shared(), images_of(4)
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
    frame = compare({"a": Listed(), "b": Listed()}, [images_of()], stages={"lists": ["branches"]})
    assert frame["rank_a"].tolist() == [4]
    frame = compare({"a": Listed(), "b": Listed()}, [images_of()], stages={"whole": [""]})
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
    frame = compare({"a": net, "b": net}, images_of(3, size), measures="linear_cka", positions=4)
    with_modules = [stage for stage, names in stages(net).items() if any(n in dict(net.named_modules()) for n in names)]
    assert list(frame["stage"]) == with_modules
    assert len(frame) >= 5
    value = frame.set_index("stage").drop("head")["value"]
    assert value.to_numpy() == pytest.approx(1, abs=1e-6)


def test_compiled_and_parallel_networks_are_compared_as_what_they_wrap():
    net, other, images = small_net(0), small_net(1), images_of()
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
    batches = [{"image": images, "mask": torch.ones(len(images), 1, 1, 1)} for images in images_of().split(9)]
    frame = compare(
        networks, batches, stages={"conv": ["conv"]}, forward=lambda net, batch: net(batch["image"], batch["mask"])
    )
    bare = compare(
        {name: nn.Sequential(net.conv) for name, net in networks.items()}, images_of().split(9), stages={"conv": ["0"]}
    )
    assert frame["value"].tolist() == bare["value"].tolist()
    assert frame["images"].tolist() == [40]
    frame = across(*networks.values(), batches, forward=lambda net, batch: net(batch["image"], batch["mask"]))
    assert frame["n"].tolist() == [40]


@pytest.mark.parametrize(
    "wrap", [lambda x: (x, 1), lambda x: [x, 1], lambda x: {"image": x, "y": 1}], ids=["tuple", "list", "dict"]
)
def test_batches_of_any_form_give_the_same(wrap):
    networks, batches = {"a": small_net(0), "b": small_net(1)}, images_of().split(10)
    assert compare(networks, map(wrap, batches), stages=STAGES).equals(compare(networks, batches, stages=STAGES))


def test_one_odd_stage_is_left_out_with_a_warning():
    stages_of = {"x": ["unused"], "y": ["used"]}
    with pytest.warns(UserWarning, match=r"Stages \['x'\] gave no output: .* \(network a\). It is left out."):
        frame = compare({"a": Silent(), "b": Silent()}, [images_of()], stages=stages_of)
    assert frame["stage"].tolist() == ["y"]
    with pytest.warns(UserWarning, match=r"\(network b\). It is left out"):
        frame = across(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), Silent(), [images_of()])
    assert set(frame["stage_b"]) == {"used"}


def test_networks_with_other_stages_are_paired_by_name_or_by_hand():
    a, b = small_net(0), Shared()
    with pytest.raises(InputError, match=r"share no stage \(a: 0, 2; b: conv1, conv2, head\). Pair others with"):
        compare({"a": a, "b": b}, [images_of()])
    frame = compare({"a": a, "b": b}, [images_of()], stages={"early": {"a": ["0"], "b": ["conv1"]}})
    assert frame[["stage", "rank_a", "rank_b"]].values.tolist() == [["early", 4, 4]]
    with pytest.raises(UnknownNameError, match="network of stage 'early' 'b'"):
        compare({"a": a, "b": b}, [images_of()], stages={"early": {"a": ["0"]}})
    with pytest.warns(UserWarning, match="Only head are compared, which all networks have"):
        compare({"a": nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2)), "b": b}, [images_of()])
