"""Values that no network has, and what was done to a network before it was saved."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from torch import nn

from tests.networks.donors.states import OTHERS, has_body, named
from transfusion.errors import DonorError, DonorMismatchError
from transfusion.networks.donors import adapt, fit

# ---- values


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_brought_to_the_models(model, resnet, dtype):
    found = fit({n: t.to(dtype) if t.is_floating_point() else t for n, t in resnet.items()}, model)
    assert found.state["conv1.weight"].dtype == torch.float32
    assert torch.allclose(found.state["conv1.weight"], resnet["conv1.weight"], rtol=1e-2)
    assert found.state["bn1.num_batches_tracked"].dtype == torch.int64


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_named_and_counted(model, resnet, value):
    bad = {name: tensor.clone() for name, tensor in resnet.items()}
    bad["layer1.0.conv1.weight"].view(-1)[:3] = value
    bad["layer3.0.bn1.running_var"][0] = value
    with pytest.raises(
        DonorError, match="layer1.0.conv1.weight has 3 values that are not finite, .*running_var has 1 value"
    ):
        fit(bad, model)


def test_values_too_large_for_the_model_are_not_finite(model, resnet):
    with pytest.raises(DonorError, match="conv1.weight has 9408 values that are not finite"):
        fit(resnet | {"conv1.weight": torch.full((64, 3, 7, 7), 1e300, dtype=torch.float64)}, model)


def test_a_negative_variance_is_named(model, resnet):
    with pytest.raises(DonorError, match="layer3.0.bn1.running_var has a negative variance"):
        fit(resnet | {"layer3.0.bn1.running_var": resnet["layer3.0.bn1.running_var"] - 10}, model)


def test_nobody_minds_the_values_of_another_head(model, resnet):
    assert has_body(fit(resnet | {"fc.weight": torch.full((1000, 512), float("nan"))}, model), resnet)


def test_what_a_model_takes_it_takes_again(model, resnet):
    once = fit(named("net.", resnet) | {"criterion.weight": OTHERS}, model).state
    again = fit(once, model)
    assert again.notes == ()
    assert adapt(once, model).keys() == once.keys()
    assert all(torch.equal(again.state[name], once[name]) for name in once)


# ---- what was done to a network before it was saved


def fused(net):
    """ResNet-18 for inference: every batch norm merged into the convolution before it."""
    net = copy.deepcopy(net).eval()
    merge = nn.utils.fusion.fuse_conv_bn_eval
    net.conv1, net.bn1 = merge(net.conv1, net.bn1), nn.Identity()
    for block in [block for name in ("layer1", "layer2", "layer3", "layer4") for block in getattr(net, name)]:
        block.conv1, block.bn1 = merge(block.conv1, block.bn1), nn.Identity()
        block.conv2, block.bn2 = merge(block.conv2, block.bn2), nn.Identity()
        if block.downsample:
            block.downsample = nn.Sequential(merge(*block.downsample))
    return net.state_dict()


def test_merged_batch_norms_are_named(model):
    with pytest.raises(DonorMismatchError, match=r"batch norms were merged into its convolutions \(conv1.bias\)"):
        fit(fused(torchvision.models.resnet18()), model)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda n, t: {f"{n}_orig": t, f"{n}_mask": torch.ones_like(t)}, "layer1.0.conv1.weight_orig"),
        (lambda n, t: {f"{n}_g": t[:, :1, :1, :1], f"{n}_v": t}, "layer1.0.conv1.weight_g"),
        (
            lambda n, t: {n.replace("conv1", "conv1.parametrizations").replace("weight", "weight.original0"): t},
            "missing",
        ),
        (lambda n, t: {n.replace("conv1", "conv1.base_layer"): t}, "conv1.base_layer.weight"),
        (lambda n, t: {n: t.permute(2, 3, 1, 0)}, "misshapen"),
        (lambda n, t: {n: t.reshape(-1)}, "misshapen"),
        (lambda n, t: {n: t.sum()}, "misshapen"),
        (lambda n, t: {n: t[None]}, "misshapen"),
    ],
    ids="pruned weight_norm parametrized lora tensorflow flat scalar batched".split(),
)
def test_one_weight_in_another_form_is_named(model, resnet, change, said):
    name = "layer1.0.conv1.weight"
    state = {n: t for n, t in resnet.items() if n != name} | change(name, resnet[name])
    with pytest.raises(DonorMismatchError, match=said):
        fit(state, model)


def test_a_first_kernel_that_is_a_number_is_one_line(model, resnet):
    with pytest.raises(DonorMismatchError, match=r"conv1.weight \(\)"):
        fit({**resnet, "conv1.weight": torch.tensor(1.0)}, model)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.bool, torch.complex64])
def test_numbers_that_are_no_floats_are_named(model, resnet, dtype):
    state = {n: (t * 100).to(dtype) if t.is_floating_point() else t for n, t in resnet.items()}
    with pytest.raises(DonorError, match=r"not plain floating-point numbers: conv1.weight \(torch"):
        fit(state, model)


@pytest.mark.parametrize(
    "rename",
    [
        lambda n: n.replace("layer", "stage"),
        lambda n: n.replace(".", "/"),
        lambda n: n.replace(".", "_"),
        lambda n: n.replace("conv", "convolution"),
        lambda n: f"state.{n}.exp_avg",
        lambda n: n.upper(),
    ],
)
def test_renamed_networks_are_refused_and_never_guessed(model, resnet, rename):
    with pytest.raises(DonorMismatchError, match="does not fit the model"):
        fit({rename(name): tensor for name, tensor in resnet.items()}, model)


def test_two_averages_are_named(model, resnet):
    twins = {}
    for k, prefix in enumerate(("ema_a.", "ema_b.", "model.")):
        twins |= {f"{prefix}{n}": t + k if t.is_floating_point() else t for n, t in resnet.items()}
    with pytest.raises(DonorMismatchError, match="3 networks that fit: ema_a, ema_b, model"):
        fit(twins, model)


def test_a_body_and_head_as_two_sequentials(model, resnet):
    """fastai's cut: children of the body in 0, a new head in 1."""
    net = torchvision.models.resnet18()
    net.load_state_dict(resnet)
    learner = nn.Sequential(nn.Sequential(*list(net.children())[:-2]), nn.Sequential(nn.Flatten(), nn.Linear(512, 2)))
    found = fit(learner.state_dict(), model)
    assert has_body(found, resnet)
    assert not any("0 (20)" in note for note in found.notes), "counters of batches are not worth telling"
