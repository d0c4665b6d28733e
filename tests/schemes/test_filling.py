"""``initialize`` on whole networks."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils import parametrizations

from transfusion.errors import DonorError, DonorMismatchError, UnknownNameError
from transfusion.networks import structure as names
from transfusion.networks.models import build
from transfusion.networks.structure import stage_of, stages
from transfusion.schemes import BATCH_NORMS, HEADS, SCHEMES, initialize, reads_donor

WITH_DONOR = [name for name, scheme in SCHEMES.items() if scheme.needs_donor]


def network(num_outputs=3, widths=(3, 8, 16)):
    model = nn.Sequential()
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        layer = nn.Sequential(nn.Conv2d(inputs, outputs, 3), nn.BatchNorm2d(outputs), nn.ReLU())
        model.add_module(f"block{i + 1}", layer)
    model.add_module("pool", nn.AdaptiveAvgPool2d(1))
    model.add_module("flatten", nn.Flatten())
    model.add_module("head", nn.Linear(widths[-1], num_outputs))
    return model


@pytest.fixture
def donor():
    """A network with statistics unlike any initial ones, and seven outputs."""
    model = network(num_outputs=7)
    generator = torch.Generator().manual_seed(0)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        else:
            tensor.fill_(41)
    return model


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_same_seed_same_weights(scheme, donor):
    first, second, other = network(), network(), network()
    initialize(first, scheme, donor=donor, seed=1)
    initialize(second, scheme, donor=donor, seed=1)
    initialize(other, scheme, donor=donor, seed=2)
    assert same(first, second)
    assert not same(first, other)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_but_values_changes(scheme, donor):
    model = network()
    model.block1[0].weight.requires_grad_(False)
    before, state, ids = torch.get_rng_state(), copy.deepcopy(donor.state_dict()), [id(p) for p in model.parameters()]
    initialize(model, scheme, donor=donor)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(state[name], tensor) for name, tensor in donor.state_dict().items())
    assert ids == [id(p) for p in model.parameters()]
    assert not model.block1[0].weight.requires_grad
    assert model.block2[0].weight.requires_grad
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name != "default"])
def test_one_tensor_does_not_depend_on_others(scheme):
    donor = network(widths=(3, 8, 16, 16))
    small, large = network(), network(widths=(3, 8, 16, 16))
    initialize(small, scheme, donor=donor)
    initialize(large, scheme, donor=donor)
    for name, tensor in small.state_dict().items():
        assert torch.equal(tensor, large.state_dict()[name])


@pytest.mark.parametrize(("name", "head"), [*(("plain", head) for head in HEADS), ("cbr_tiny_small", "default")])
def test_all_starts_of_a_seed_have_one_head(name, head):
    """To the bit, whatever the scheme, the batch-norm mode and the stage up to which it holds, donor or not."""

    def made(num_outputs=3):
        return network(num_outputs) if name == "plain" else build(name, num_outputs, image_size=32)

    donor, heads = made(7), set()
    starts = [{"scheme": scheme} for scheme in SCHEMES] + [{"scheme": "sampling", "batch_norm": m} for m in BATCH_NORMS]
    lowest = next(iter(stages(donor)))
    starts += [{"scheme": "pretrained", "upto": lowest, "rest": rest} for rest in ("random", "default", "shuffled")]
    for start in starts:
        model = made()
        table = initialize(model, donor=donor, seed=5, head=head, **start)
        bare = {name: tensor for name, tensor in model.state_dict().items() if table[name].stage == "head"}
        assert set(bare) >= {f"{names.head(model)[0]}.weight", f"{names.head(model)[0]}.bias"}
        heads.add(tuple(value for tensor in bare.values() for value in tensor.flatten().tolist()))
    for scheme in HEADS:
        model = made()
        initialize(model, scheme, seed=5, head=head)
        kept = [tensor for name, tensor in model.state_dict().items() if name in bare]
        heads.add(tuple(value for tensor in kept for value in tensor.flatten().tolist()))
    assert len(heads) == 1
    other = made()
    initialize(other, "random", seed=6, head=head)
    assert not torch.equal(other.get_submodule(names.head(other)[0]).weight, bare[f"{names.head(other)[0]}.weight"])


def test_the_rule_of_the_head_is_a_setting(donor):
    default = initialize(network(), "random")
    assert (default["head.weight"].rule, default["head.bias"].rule) == ("default", "default")
    glorot = initialize(network(num_outputs=7), "pretrained", donor=donor, head="random")
    assert (glorot["head.weight"].rule, glorot["head.weight"].donor_tensor) == ("random", None)
    assert glorot["head.weight"].std_asked == pytest.approx((2 / (16 + 7)) ** 0.5)


def test_batch_norm_of_a_head_never_reads_the_donor(donor):
    """A head may be more than one layer; its batch norm is new as well."""
    model = network()
    model.head = nn.Sequential(nn.BatchNorm1d(16), nn.Linear(16, 3))
    model.pretrained_cfg = {"classifier": "head"}
    for head, rule in (("random", "identity"), ("default", "default")):
        table = initialize(model, "mean_var", donor=donor, batch_norm="mean_var", head=head)
        assert table["head.0.running_var"].rule == rule
        assert table["block1.1.running_var"].rule == "mean_var"


def test_pretrained_copies_all_but_the_head(donor):
    model = network()
    initialize(model, "pretrained", donor=donor)
    for name, tensor in model.state_dict().items():
        if not name.startswith("head"):
            assert torch.equal(tensor, donor.state_dict()[name])


def test_batch_norm_modes(donor):
    model = network()
    norm, given = model.block1[1], donor.block1[1]
    initialize(model, "mean_var", donor=donor, batch_norm="identity")
    assert [t.unique().item() for t in norm.state_dict().values()] == [1, 0, 0, 1, 0]
    initialize(model, "mean_var", donor=donor, batch_norm="pretrained")
    assert same(norm, given)
    initialize(model, "mean_var", donor=donor, batch_norm="mean_var")
    for key in ("weight", "bias", "running_mean", "running_var"):
        drawn = norm.state_dict()[key]
        assert not torch.equal(drawn, given.state_dict()[key])
        assert drawn.unique().numel() > 1
    assert norm.num_batches_tracked == 0


@pytest.mark.parametrize("rest", SCHEMES)
def test_transfusion_up_to_a_stage(rest, donor):
    model = network()
    table = initialize(model, "pretrained", donor=donor, upto="block1", rest=rest)
    assert same(model.block1, donor.block1)
    alone = network()
    initialize(alone, rest, donor=donor)
    assert same(model.block2, alone.block2)
    assert {row.rule for row in table.rows if row.stage == "block1"} == {"pretrained"}
    assert table["head.weight"].rule == "default"


def test_the_batch_norm_mode_holds_above_the_transfused_stages(donor):
    model = network()
    initialize(model, "pretrained", donor=donor, upto="block1", batch_norm="identity")
    assert (model.block2[1].running_var == 1).all()
    initialize(model, "pretrained", donor=donor, upto="block1", batch_norm="pretrained")
    assert same(model.block2[1], donor.block2[1])


def test_reads_donor_foresees_what_is_needed():
    for scheme in SCHEMES:
        assert reads_donor(network(), scheme) == (scheme in WITH_DONOR)
    assert reads_donor(network(), "random", upto="block1", rest="shuffled")
    assert reads_donor(network(), "random", batch_norm="mean_var")
    assert not reads_donor(nn.Sequential(nn.Linear(2, 2)), "random", batch_norm="mean_var")


def test_up_to_the_last_stage_is_the_whole_network(donor):
    whole, upto = network(), network()
    initialize(whole, "pretrained", donor=donor)
    initialize(upto, "pretrained", donor=donor, upto="head", rest="kaiming")
    assert same(whole, upto)


def test_stages_above_need_nothing_of_the_donor(donor):
    state = {name: t for name, t in donor.state_dict().items() if name.startswith("block1")}
    initialize(network(), "pretrained", donor=state, upto="block1")
    with pytest.raises(DonorMismatchError, match=r"missing: block2\.0\.weight"):
        initialize(network(), "pretrained", donor=state, upto="block2")


def test_a_misshapen_donor_leaves_the_model_alone(donor):
    model = network()
    before = copy.deepcopy(model)
    state = donor.state_dict()
    state["block2.0.weight"] = torch.zeros(16, 8, 5, 5)
    with pytest.raises(DonorMismatchError, match=r"misshapen: block2\.0\.weight \(16, 8, 5, 5\) for \(16, 8, 3, 3\)"):
        initialize(model, "shuffled", donor=state)
    assert same(model, before)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"scheme": "pretrained"}, "'pretrained' needs a donor"),
        ({"scheme": "random", "upto": "block1", "rest": "shuffled"}, "'shuffled' needs a donor"),
        ({"scheme": "random", "batch_norm": "mean_var"}, "'mean_var' needs a donor"),
    ],
)
def test_missing_donor(arguments, said):
    with pytest.raises(DonorError, match=said):
        initialize(network(), **arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"scheme": "randon"}, "no scheme 'randon'. Did you mean 'random'"),
        ({"scheme": "random", "rest": "x"}, "no scheme 'x'"),
        ({"scheme": "random", "batch_norm": "none"}, "no batch-norm mode 'none'.*Known: identity"),
        (
            {"scheme": "random", "head": "pretrained"},
            "no rule for the head 'pretrained'.*Known: random, kaiming",
        ),
        ({"scheme": "random", "upto": "block9"}, "no stage 'block9'.*Known: block1, block2, head"),
    ],
)
def test_unknown_names(arguments, said):
    with pytest.raises(UnknownNameError, match=said):
        initialize(network(), **arguments)


def test_tied_tensors_are_filled_once():
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2))
    model[1].weight = model[0].weight
    table = initialize(model, "random")
    assert table["1.weight"].rule == "tied to 0.weight"
    assert model[1].weight is model[0].weight
    untied = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2))
    initialize(untied, "random")
    assert torch.equal(model[1].weight, untied[0].weight)
    assert not torch.equal(untied[1].weight, untied[0].weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_round_the_same_draw(dtype, donor):
    model, full = network().to(dtype), network()
    for scheme in ("random", "mean_var"):
        initialize(model, scheme, donor=donor, seed=2)
        initialize(full, scheme, donor=donor, seed=2)
        assert model.block1[0].weight.dtype == dtype
        assert torch.equal(model.block1[0].weight, full.block1[0].weight.to(dtype))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_same_weights_on_the_gpu(scheme, donor):
    cpu, gpu = network(), network().cuda()
    state = torch.cuda.get_rng_state()
    initialize(cpu, scheme, donor=donor)
    initialize(gpu, scheme, donor=copy.deepcopy(donor).cuda(), seed=0)
    assert same(cpu, gpu.cpu())
    assert torch.equal(state, torch.cuda.get_rng_state())


@pytest.mark.parametrize("setting", ["dtype", "device"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_torchs_defaults_change_no_weight(scheme, setting, donor):
    """The meta device stands for any other: what is made on it by mistake has no values."""
    plain, expected = build("cbr_tiny_small", num_outputs=3), network()
    initialize(plain, scheme, donor=build("cbr_tiny_small", num_outputs=5))
    initialize(expected, scheme, donor=donor, batch_norm="mean_var")
    model = network()
    try:
        torch.set_default_dtype(torch.float64 if setting == "dtype" else torch.float32)
        torch.set_default_device("meta" if setting == "device" else None)
        again = build("cbr_tiny_small", num_outputs=3)
        initialize(again, scheme, donor=build("cbr_tiny_small", num_outputs=5))
        initialize(model, scheme, donor=donor, batch_norm="mean_var")
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert same(again, plain)
    assert same(model, expected)


def test_a_scale_that_training_changed_is_the_frameworks_again():
    """LayerScale and its like are no weights, but they are not to be kept from a network that has been trained."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.PReLU(4), nn.Flatten(), nn.Linear(4, 2))
    nn.init.constant_(model[1].weight, 7)
    table = initialize(model, "random")
    assert (model[1].weight == 0.25).all()
    assert table["1.weight"].rule == "default"


@pytest.mark.parametrize("odd", [torch.zeros(8, 3, 3, 3, dtype=torch.int8), torch.zeros(8, 3, 3, 3).to_sparse()])
def test_a_donor_of_other_numbers_is_refused(odd, donor):
    state = donor.state_dict() | {"block1.0.weight": odd}
    with pytest.raises(DonorMismatchError, match=r"block1\.0\.weight cannot stand for the model's"):
        initialize(network(), "mean_var", donor=state)


@pytest.mark.parametrize("batch_norm", BATCH_NORMS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_any_layer(scheme, batch_norm):
    def build_one():
        model = nn.Sequential(
            nn.Conv1d(4, 4, 3, groups=2), nn.ConvTranspose3d(4, 2, 2), nn.BatchNorm1d(4), nn.GroupNorm(2, 4),
            nn.InstanceNorm2d(3, affine=True), nn.Embedding(5, 4, padding_idx=0), nn.LSTM(4, 3),
            nn.MultiheadAttention(8, 2, add_bias_kv=True), nn.Bilinear(2, 3, 4), nn.PReLU(),
            parametrizations.spectral_norm(nn.Linear(4, 4)), nn.TransformerEncoderLayer(8, 2, 16), nn.Linear(4, 2),
        )  # fmt: skip
        return model

    model = build_one()
    table = initialize(model, scheme, donor=build_one(), batch_norm=batch_norm)
    assert [row.tensor for row in table.rows] == list(model.state_dict())
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["squeezenet1_0", "timm:vit_tiny_patch16_224", "mobilenet_v3_small", "convnext_atto"])
def test_networks_run_after_every_scheme(name, scheme):
    if name in ("timm:vit_tiny_patch16_224", "convnext_atto"):
        pytest.importorskip("timm")
    model = build(name, num_outputs=2, image_size=64).eval()
    table = initialize(model, scheme, donor=build(name, num_outputs=5, image_size=64))
    assert {row.tensor: row.stage for row in table.rows}.items() <= stage_of(model).items()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 64, 64)).isfinite().all()


def test_real_donor(real_data):
    state = load_file(real_data / "squeezenet1_0-imagenet1k.safetensors")
    model = build("squeezenet1_0", num_outputs=2)
    table = initialize(model, "mean_var", donor=state)
    first = table["features.0.weight"]
    assert first.std == pytest.approx(state["features.0.weight"].std().item(), rel=0.05)
    assert table["classifier.1.weight"].rule == "default"
    assert table["classifier.1.bias"].rule == "default"
