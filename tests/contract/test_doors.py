"""The doors of the stand-alone libraries: what does not belong there is refused in one line, never by a raw error."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import transfusion
from transfusion import cca, compare, gabor_score, initialize, linear_cka, stages, svcca
from transfusion.errors import DonorError, DonorMismatchError, InputError, TransfusionError, UnknownNameError
from transfusion.filters import pictures, relative_change, weight_histograms
from transfusion.networks import donors
from transfusion.networks.models import build
from transfusion.networks.structure import head, stage_of
from transfusion.schemes import far_from_he, reads_donor, scales
from transfusion.similarity import Sums, measure
from transfusion.similarity.networks import across

IMAGES = torch.randn(20, 3, 8, 8, generator=torch.Generator().manual_seed(0))
ROWS = np.random.default_rng(0).normal(size=(60, 3))
TENSOR = torch.from_numpy(ROWS)
FILTERS = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )


def refused(action, error=TransfusionError, said=None):
    """The one line in which something is refused."""
    with pytest.raises(error, match=said) as caught:
        action()
    assert "\n" not in str(caught.value)


NO_NETWORKS = {
    "state dict": network().state_dict(),
    "path": "model.pth",
    "Path": Path("model.pth"),
    "class": nn.Linear,
    "list": [network()],
    "none": None,
    "number": 3,
}
WITH_NETWORK = {
    "initialize": lambda net: initialize(net, "random"),
    "reads_donor": lambda net: reads_donor(net, "random"),
    "scales": lambda net: scales(net, {"a": torch.ones(1)}),
    "stages": stages,
    "head": head,
    "stage_of": stage_of,
    "adapt": lambda net: donors.adapt(network().state_dict(), net),
    "stem_channels": lambda net: donors.stem_channels(network().state_dict(), net),
    "compare": lambda net: compare({"a": network(), "b": net}, IMAGES),
    "across": lambda net: across(network(), net, IMAGES),
}


class TestNetworks:
    @pytest.mark.parametrize("given", NO_NETWORKS.values(), ids=NO_NETWORKS)
    @pytest.mark.parametrize("door", WITH_NETWORK.values(), ids=WITH_NETWORK)
    def test_what_is_no_network(self, door, given):
        refused(lambda: door(given), InputError, r"takes a network \(torch.nn.Module\); got ")

    @pytest.mark.parametrize("names", [["0"], "x", {"a": 3}, {"a": [3]}, 5])
    def test_stages_of_the_user_that_are_none(self, names):
        net = network()
        net.transfusion_stages = names
        refused(lambda: stages(net), InputError, "transfusion_stages")

    def test_one_name_is_a_name_and_not_its_letters(self):
        net = nn.Sequential()
        net.add_module("conv", nn.Conv2d(3, 4, 3))
        net.transfusion_stages = {"all": "conv"}
        assert stages(net) == {"all": ("conv",)}

    @pytest.mark.parametrize("names", [5, [5], {"0": 1}])
    def test_a_head_of_the_user_that_is_none(self, names):
        net = network()
        net.transfusion_head = names
        refused(lambda: head(net), InputError, "transfusion_head")

    def test_a_head_told_to_the_wrapper_alone(self):
        net = nn.DataParallel(network())
        net.transfusion_head = ("module.0",)
        refused(lambda: initialize(net, "random"), InputError, "transfusion_head is set on DataParallel")


class Wrapper(nn.Module):
    """As DistributedDataParallel holds what it wraps."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, images):
        return self.module(images)


WRAPPERS = {
    "DataParallel": nn.DataParallel,
    "compiled": torch.compile,
    "both": lambda net: nn.DataParallel(torch.compile(net)),
    "alike": Wrapper,
}
wrappers = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)


class TestWrapped:
    @wrappers
    @pytest.mark.parametrize("scheme", ["pretrained", "mean_var", "random", "default"])
    def test_a_wrapped_network_is_filled_as_a_bare_one(self, wrap, scheme):
        bare, inner, donor = network(0), network(1), network(2)
        initialize(bare, scheme, donor=donor, seed=3)
        initialize(wrap(inner), scheme, donor=donor, seed=3)
        filled = inner.state_dict()
        assert all(torch.equal(tensor, filled[name]) for name, tensor in bare.state_dict().items())

    @wrappers
    @pytest.mark.parametrize("as_state", [False, True])
    def test_a_wrapped_donor_gives_what_a_bare_one_does(self, wrap, as_state):
        model, donor = network(0), network(1)
        wrapped = wrap(donor)
        initialize(model, "pretrained", donor=wrapped.state_dict() if as_state else wrapped)
        assert torch.equal(model[0].weight, donor[0].weight)

    @wrappers
    def test_compare_runs_what_is_wrapped(self, wrap):
        frame = compare({"a": wrap(network()), "b": network()}, IMAGES)
        assert frame.value.tolist() == pytest.approx([1.0] * len(frame), abs=1e-6)
        assert set(frame.stage) == set(stages(network()))

    def test_a_checkpoint_is_opened(self):
        model, donor = network(0), network(1)
        initialize(model, "pretrained", donor={"state_dict": donor.state_dict(), "epoch": 3})
        assert torch.equal(model[0].weight, donor[0].weight)

    def test_a_checkpoint_with_other_tensors_is_refused_and_adapted(self):
        model, donor = network(0), network(1)
        checkpoint = {"net": donor.state_dict(), "optimizer": {"momentum": torch.ones(3)}}
        refused(lambda: initialize(model, "pretrained", donor=checkpoint), DonorMismatchError, r"donors.adapt\(")
        initialize(model, "pretrained", donor=donors.adapt(checkpoint, model))
        assert torch.equal(model[0].weight, donor[0].weight)


NO_DONORS = {
    "path": "x.pth",
    "Path": Path("x.pth"),
    "list": [1, 2],
    "class": nn.Linear,
    "loaded": donors.Donor("x", network().state_dict(), "f"),
    "fit": donors.fit(network().state_dict(), network()),
    "arrays": {name: tensor.numpy() for name, tensor in network().state_dict().items()},
    "empty": {},
    "number": 0,
    "bool": False,
}
WITH_DONOR = {
    "initialize": lambda donor: initialize(network(), "pretrained", donor=donor),
    "unread": lambda donor: initialize(network(), "random", donor=donor),
    "adapt": lambda donor: donors.adapt(donor, network()),
    "stem_channels": lambda donor: donors.stem_channels(donor, network()),
    "fingerprint": donors.fingerprint,
    "scales": lambda donor: scales(network(), donor),
}


class TestDonors:
    @pytest.mark.parametrize("given", NO_DONORS.values(), ids=NO_DONORS)
    @pytest.mark.parametrize("door", WITH_DONOR.values(), ids=WITH_DONOR)
    def test_what_is_no_donor(self, door, given):
        if door is donors.fingerprint and given == {}:
            pytest.skip("no tensors have a fingerprint, too")
        refused(lambda: door(given), DonorError, "[Gg]ive|Read")

    @pytest.mark.parametrize("change", [lambda t: t.to("meta"), lambda t: t.to_sparse() if t.ndim else t])
    @pytest.mark.parametrize("door", ["initialize", "adapt", "fingerprint"])
    def test_tensors_without_plain_values(self, door, change):
        given = {name: change(tensor) for name, tensor in network().state_dict().items()}
        refused(lambda: WITH_DONOR[door](given), DonorError)

    @pytest.mark.parametrize("given", [None, 3, Path("x.pth"), network(), {}, b"x", ""])
    def test_names_that_are_none(self, given):
        refused(lambda: donors.load(given), DonorError, "torchvision:NAME")

    @pytest.mark.parametrize("scheme", ["pretrained", "mean_var", "shuffled"])
    def test_a_deeper_network_is_another_one(self, scheme):
        model, donor = build("resnet20_cifar", 2), build("resnet32_cifar", 2)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        refused(
            lambda: initialize(model, scheme, donor=donor), DonorMismatchError, r"unexpected: layer1\.3\.conv1\.weight"
        )
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
        with pytest.raises(DonorMismatchError, match="unexpected"):
            donors.adapt(donor, model)

    def test_what_lies_beside_the_body_is_no_other_network(self):
        model, donor = build("resnet20_cifar", 2), build("resnet20_cifar", 7)
        beside = {"projector.weight": torch.ones(2, 2), "queue": torch.ones(3)}
        initialize(model, "pretrained", donor={**donor.state_dict(), **beside})
        assert torch.equal(model.conv1.weight, donor.conv1.weight)

    def test_a_donor_that_is_not_read_may_be_deeper(self):
        initialize(build("resnet20_cifar", 2), "random", donor=build("resnet32_cifar", 2))


class TestSettings:
    @pytest.mark.parametrize("seed", [None, 1.5, 2.0, "0", True, [1], np.float64(2), torch.tensor(1.5)])
    def test_seeds_that_are_no_whole_numbers(self, seed):
        refused(lambda: initialize(network(), "random", seed=seed), InputError, "Got seed=")
        refused(lambda: compare({"a": network(), "b": network()}, IMAGES, seed=seed), InputError, "Got seed=")

    @pytest.mark.parametrize("seed", [np.int64(3), np.uint8(3), torch.tensor(3), np.array(3)])
    def test_whole_numbers_of_any_library_are_one_seed(self, seed):
        one, other = network(0), network(1)
        initialize(one, "random", seed=3)
        initialize(other, "random", seed=seed)
        assert torch.equal(one[0].weight, other[0].weight)
        frames = [compare({"a": one, "b": network(5)}, IMAGES, positions=4, seed=each) for each in (3, seed)]
        assert frames[0].equals(frames[1])

    @pytest.mark.parametrize("seed", [-3, 2**70])
    def test_any_whole_number_will_do(self, seed):
        initialize(network(), "random", seed=seed)
        compare({"a": network(0), "b": network(1)}, IMAGES, seed=seed)

    @pytest.mark.parametrize("name", ["scheme", "batch_norm", "rest", "head"])
    @pytest.mark.parametrize("value", [None, 3, ["random"], {"a": 1}, network()])
    def test_names_that_are_none(self, name, value):
        refused(lambda: initialize(network(), **({"scheme": "random"} | {name: value})), UnknownNameError, "Known: ")

    def test_a_module_without_parameters(self):
        refused(lambda: initialize(nn.ReLU(), "random"), InputError, "nothing to initialise in a ReLU")

    @pytest.mark.parametrize("values", [None, [1.0], "a"])
    def test_scales_that_are_none(self, values):
        refused(lambda: far_from_he(values), InputError, "scales")

    @pytest.mark.parametrize(
        "given", [(3, 2), (None, 2), ("resnet18", "2"), ("resnet18", 1.5), ("resnet18", True), ("resnet18", 2, 1.5)]
    )
    def test_models_that_cannot_be_built(self, given):
        refused(lambda: build(*given), TransfusionError)


NO_ARRAYS = {
    "none": (None, "None"),
    "text": ("abc", "str 'abc'"),
    "dict": ({"a": ROWS}, "dict"),
    "network": (network(), "a network"),
    "ragged": ([[1, 2], [3]], "one array"),
    "sparse": (TENSOR.to_sparse(), r"to_dense\(\)"),
    "meta": (TENSOR.to("meta"), "meta"),
    "complex": (TENSOR.to(torch.complex64), "complex64"),
    "eight bits": (TENSOR.to(torch.float8_e4m3fn), "float8"),
    "truth": (TENSOR > 0, "bool"),
    "truth of NumPy": (ROWS > 0, "bool"),
    "objects": (ROWS.astype(object), "object"),
    "dates": (np.zeros((60, 3), "datetime64[s]"), "datetime64"),
    "masked": (np.ma.masked_array(ROWS, ROWS > 1), "masked values"),
}
no_arrays = pytest.mark.parametrize(("given", "said"), NO_ARRAYS.values(), ids=NO_ARRAYS)
MEASURES = ["cca", "svcca", "pwcca", "linear_cka", "procrustes"]


class TestArrays:
    @pytest.mark.filterwarnings("ignore")  # torch's own about such tensors
    @pytest.mark.parametrize("kind", ["compressed", "quantised", "nested"])
    def test_tensors_that_torch_keeps_otherwise(self, kind):
        given = {
            "compressed": lambda: TENSOR.to_sparse_csr(),
            "quantised": lambda: torch.quantize_per_tensor(TENSOR.float(), 0.1, 0, torch.qint8),
            "nested": lambda: torch.nested.nested_tensor([TENSOR[:9], TENSOR[9:]]),
        }[kind]()
        refused(lambda: cca(given, ROWS), InputError, "^x is .* Give ")
        refused(lambda: gabor_score(given), InputError, "^'filters' is .* Give ")

    @no_arrays
    @pytest.mark.parametrize("name", MEASURES)
    def test_either_side_of_a_measure(self, name, given, said):
        refused(lambda: getattr(transfusion, name)(given, ROWS), InputError, f"^x .*{said}")
        refused(lambda: getattr(transfusion, name)(ROWS, given), InputError, f"^y .*{said}")

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (ROWS[:, 0], r"x\.reshape\(-1, 1\)"),
            (ROWS[:, :0], "at least two samples of one feature"),
            (3.0, "at least two samples of one feature"),
            (np.zeros((4, 5, 6)), r"reshape\(-1, features\)"),
            (np.zeros((4, 5, 6, 7)), r"reshape\(-1, channels\)"),
        ],
    )
    def test_advice_suits_the_shape(self, given, said):
        refused(lambda: cca(given, ROWS), InputError, said)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_what_is_not_finite_has_its_name(self, value):
        refused(lambda: cca(np.full((60, 3), value), ROWS), InputError, "^x holds NaN")
        refused(lambda: linear_cka(ROWS, np.full((60, 3), value)), InputError, "^y holds NaN")

    @pytest.mark.parametrize("rows", [0, -1, 1.5, 2.0, None, "1", True])
    def test_rows_of_an_image(self, rows):
        refused(lambda: cca(ROWS, ROWS, rows_per_image=rows), InputError, "rows_per_image")

    @pytest.mark.parametrize("variance", [0, 2, None, "a", np.nan])
    def test_shares_of_variance(self, variance):
        refused(lambda: svcca(ROWS, ROWS, variance=variance), InputError, "variance=")

    def test_a_third_argument_that_is_no_choice(self):
        refused(lambda: cca(ROWS, ROWS, 0.99), InputError, "squared=0.99")
        refused(lambda: linear_cka(ROWS, ROWS, "no"), InputError, "debiased='no'")

    @pytest.mark.parametrize("name", [None, ["cca"], cca])
    def test_measures_by_something_else_than_their_names(self, name):
        refused(lambda: measure(name), UnknownNameError, "Known: cca")


class TestAnswers:
    def test_a_similarity_compares_as_its_value_does(self):
        high, low = cca(ROWS, ROWS), cca(ROWS, np.random.default_rng(1).normal(size=(60, 3)))
        assert low < 0.5 < high
        assert low < high
        assert low <= high
        assert high >= high.value
        assert low == low.value
        assert low != high
        assert sorted([high, low]) == [low, high]
        assert f"{low:.3f}" == f"{low.value:.3f}"
        assert round(low, 3) == round(low.value, 3)
        assert len({low, low.value}) == 1

    def test_no_value_is_neither_above_nor_below(self):
        nothing = cca(np.ones((60, 3)), ROWS)
        assert not any([nothing < 0.5, nothing >= 0.5, nothing == nothing.value])

    def test_a_similarity_does_not_compare_with_text(self):
        assert cca(ROWS, ROWS) != "1"
        with pytest.raises(TypeError):
            assert cca(ROWS, ROWS) < "1"

    def test_a_comparison_prints_what_one_looks_for(self):
        frame = compare({"a": network(0), "b": network(1)}, IMAGES)
        shown = repr(frame)
        assert "baseline" in shown
        assert "..." not in shown
        assert "cautions" not in shown
        assert "cautions" in frame.to_csv()
        assert "cautions" in repr(frame[["stage", "cautions"]])
        assert "cautions" not in repr(frame[frame.stage == "head"])


def pair():
    return {"a": network(0), "b": network(1)}


NO_COMPARISONS = {
    "two networks": lambda: compare(network(), network(), IMAGES),
    "a list": lambda: compare([network(), network()], IMAGES),
    "one": lambda: compare({"a": network()}, IMAGES),
    "none": lambda: compare(None, IMAGES),
}
NO_BATCHES = {
    "none": (None, "got None"),
    "text": ("images/", "got the str"),
    "number": (3, "got the int"),
    "network": (network(), "got a network"),
    "grey": (IMAGES[:, :1], r"shape \(20, 1, 8, 8\)"),
    "small": (IMAGES[:, :, :2, :2], r"shape \(20, 3, 2, 2\)"),
    "one image": (IMAGES[0], r"shape \(3, 8, 8\)"),
    "data set": (torch.utils.data.TensorDataset(IMAGES), "DataLoader"),
    "array": (IMAGES.numpy(), "from_numpy"),
    "labels first": ([(torch.zeros(20), IMAGES)], r"shape \(20,\)"),
    "odd dict": ([{"foo": IMAGES, "bar": IMAGES}], "Cannot tell which of foo, bar"),
    "used up": (iter([]), "Got 0 images"),
    "sparse": (IMAGES.to_sparse(), "sparse"),
    "meta": (IMAGES.to("meta"), "meta"),
    "complex": (IMAGES.to(torch.complex64), "complex64"),
    "of nothing": ([None], "NoneType"),
    "grey later": ([IMAGES, IMAGES[:, :1]], r"shape \(20, 1, 8, 8\)"),
}


class TestCompare:
    @pytest.mark.parametrize("action", NO_COMPARISONS.values(), ids=NO_COMPARISONS)
    def test_networks_without_names(self, action):
        refused(action, InputError, r"compare\({'before': a, 'after': b}, batches\)")

    @pytest.mark.parametrize(("batches", "said"), NO_BATCHES.values(), ids=NO_BATCHES)
    def test_what_is_no_batch(self, batches, said):
        refused(lambda: compare(pair(), batches), InputError, said)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(("measures", value) for value in (3, [], None, [3], (cca,))),
            *(("stages", value) for value in (3, [], {}, {"a": 3}, {"a": [0]}, {"a": None}, {"a": []}, ["x"])),
            *(("positions", value) for value in (0, -1, 1.5, "all", True)),
            *(("against", value) for value in ("z", network(), 0)),
            *(("forward", value) for value in ("f", lambda batch: batch)),
        ],
    )
    def test_settings(self, name, value):
        refused(lambda: compare(pair(), IMAGES, **{name: value}), (InputError, UnknownNameError))

    def test_a_single_image_is_no_batch_of_its_channels(self):
        """Without batch norm torch takes (channels, height, width) as well, and three outputs pass for three images."""
        alike = {name: nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU()) for name in "ab"}
        refused(lambda: compare(alike, IMAGES[0], stages={"x": ["0"]}), InputError, r"image\[None\]")

    def test_one_stage_by_its_name(self):
        assert compare(pair(), IMAGES, stages="head").equals(compare(pair(), IMAGES, stages=["head"]))

    @pytest.mark.filterwarnings("ignore:.*torch.jit.script")
    @pytest.mark.parametrize("change", [lambda net: net.to("meta"), torch.jit.script])
    def test_networks_that_cannot_be_watched(self, change):
        refused(lambda: compare({"a": network(), "b": change(network())}, IMAGES), InputError, "meta|scripted")
        refused(lambda: across(change(network()), network(), IMAGES), InputError, "meta|scripted")

    def test_lazy_networks(self):
        lazy = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(2))
        refused(lambda: compare({"a": lazy, "b": network()}, IMAGES), InputError, "'0.weight' is lazy")

    def test_what_the_network_runs_out_of_is_no_fault_of_the_batch(self):
        def forward(net, batch):
            raise torch.OutOfMemoryError("out of memory: the input has this size")

        with pytest.raises(torch.OutOfMemoryError):
            compare(pair(), IMAGES, forward=forward)


class TestSums:
    @pytest.mark.parametrize("widths", [3, "34", (0, 3), (-1, 3), (1.5, 3), (), None])
    def test_widths(self, widths):
        refused(lambda: Sums(widths), InputError)

    @pytest.mark.parametrize(
        "blocks",
        [{"a": TENSOR}, TENSOR, [TENSOR], None, [], "ab", ["a", "b"], [TENSOR[:, 0], TENSOR], [TENSOR, TENSOR[:9]]],
    )
    def test_blocks(self, blocks):
        refused(lambda: Sums((3, 3)).update(blocks), InputError)

    @no_arrays
    def test_one_block(self, given, said):
        refused(lambda: Sums((3, 3)).update([TENSOR, given]), InputError, f"^block 1 .*{said}")

    @pytest.mark.parametrize("other", [None, TENSOR, Sums((3, 4))])
    def test_merging(self, other):
        refused(lambda: Sums((3, 3)).merge(other), InputError)

    def test_rounding_units_of_some(self):
        refused(lambda: Sums((3, 3), eps=[1e-3]), InputError, "eps")


WITH_FILTERS = {
    "gabor_score": gabor_score,
    "pictures": lambda given: pictures(given, FILTERS),
    "relative_change": lambda given: relative_change(given, FILTERS),
    "weight_histograms": lambda given: weight_histograms({"a": [given]}),
}


class TestFilters:
    @no_arrays
    @pytest.mark.parametrize("door", WITH_FILTERS.values(), ids=WITH_FILTERS)
    def test_what_is_no_array(self, door, given, said):
        refused(lambda: door(given), InputError, said)

    @pytest.mark.parametrize("door", WITH_FILTERS.values(), ids=WITH_FILTERS)
    def test_a_network_is_told_which_of_its_tensors(self, door):
        refused(lambda: door(build("resnet20_cifar", 2)), InputError, r"model\.conv1\.weight")

    @pytest.mark.parametrize("given", [[FILTERS], None, network(), {"a": 3.0}, {"a": None}, {"a": "b"}, {}])
    def test_histograms_of_something_else(self, given):
        refused(lambda: weight_histograms(given), InputError)

    @pytest.mark.parametrize("bins", [0, -1, 1.5, None, "a", True])
    def test_bins(self, bins):
        refused(lambda: weight_histograms({"a": FILTERS}, bins=bins), InputError, "bins=")
