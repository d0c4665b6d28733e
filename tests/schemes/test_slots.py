"""What each tensor is taken for, and how its fans are counted."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.init import _calculate_fan_in_and_fan_out
from torch.nn.utils import parametrizations

from transfusion.errors import InputError
from transfusion.schemes.slots import fans, slots


def roles(model: nn.Module) -> dict[str, str]:
    return {slot.name: slot.role for slot in slots(model)}


@pytest.mark.parametrize(
    "layer", [nn.Linear(5, 7), nn.Conv1d(4, 6, 5), nn.Conv2d(4, 6, (3, 5)), nn.Conv3d(2, 3, 3), nn.Bilinear(3, 4, 5)]
)
def test_fans_agree_with_torch(layer):
    assert fans(layer, tuple(layer.weight.shape)) == _calculate_fan_in_and_fan_out(layer.weight)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d, nn.ConvTranspose3d])
def test_fans_count_connections(kind, groups):
    """Fans are what a layer of ones adds up: inputs per output at stride 1, and outputs per input."""
    layer = kind(4, 8, 3, groups=groups, bias=False)
    nn.init.ones_(layer.weight)
    fan_in, fan_out = fans(layer, tuple(layer.weight.shape))
    image = torch.ones(1, 4, *[9] * (layer.weight.ndim - 2), requires_grad=True)
    outputs = layer(image)
    outputs.sum().backward()
    assert outputs.max().item() == fan_in
    assert image.grad.max().item() == fan_out


def test_torch_counts_groups_and_transposes_otherwise():
    depthwise, transposed = nn.Conv2d(8, 8, 3, groups=8), nn.ConvTranspose2d(4, 8, 3)
    assert _calculate_fan_in_and_fan_out(depthwise.weight) == (9, 72)
    assert fans(depthwise, tuple(depthwise.weight.shape)) == (9, 9)
    assert _calculate_fan_in_and_fan_out(transposed.weight) == (72, 36)
    assert fans(transposed, tuple(transposed.weight.shape)) == (36, 72)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.LayerNorm(4), {"weight": "norm", "bias": "bias"}),
        (nn.GroupNorm(2, 4), {"weight": "norm", "bias": "bias"}),
        (nn.InstanceNorm2d(4, affine=True), {"weight": "norm", "bias": "bias"}),
        (nn.Embedding(3, 4), {"weight": "token"}),
        (nn.PReLU(4), {"weight": "constant"}),
        (nn.Linear(1, 5), {"weight": "weight", "bias": "bias"}),
        (
            nn.GRU(2, 3),
            {"weight_ih_l0": "weight", "weight_hh_l0": "weight", "bias_ih_l0": "bias", "bias_hh_l0": "bias"},
        ),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_roles(layer, expected):
    assert roles(layer) == expected


def test_batch_norm_is_told_by_its_statistics():
    assert set(roles(nn.BatchNorm3d(4)).values()) == {"batch_norm"}
    assert set(roles(nn.InstanceNorm1d(4, affine=True, track_running_stats=True)).values()) == {"batch_norm"}
    assert set(roles(nn.BatchNorm1d(4, track_running_stats=False)).values()) == {"batch_norm"}


def test_attention():
    found = roles(nn.MultiheadAttention(8, 2))
    assert found == {
        "in_proj_weight": "weight", "in_proj_bias": "bias", "out_proj.weight": "weight", "out_proj.bias": "bias"
    }  # fmt: skip


class Response(nn.Module):
    """ConvNeXt V2's response norm, as transformers writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1, 1, 6))
        self.bias = nn.Parameter(torch.zeros(1, 1, 1, 6))


class Scales(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer_scale = nn.Parameter(torch.ones(6, 1, 1))
        self.attention_biases = nn.Parameter(torch.zeros(4, 49))
        self.height_rel = nn.Parameter(torch.zeros(9, 2))
        self.complex_weight = nn.Parameter(torch.zeros(5, 3, 4, 2))
        self.spectrum = nn.Parameter(torch.zeros(5, 3, dtype=torch.complex64))
        self.order = nn.Parameter(torch.arange(6), requires_grad=False)
        self.register_buffer("table", torch.zeros(3, 3))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.LayerNorm((4, 5, 5)), {"weight": "norm", "bias": "bias"}),
        (Response(), {"weight": "constant", "bias": "bias"}),
        (nn.GRUCell(1, 1), {"weight_ih": "weight", "weight_hh": "weight", "bias_ih": "bias", "bias_hh": "bias"}),
        (
            Scales(),
            {
                "layer_scale": "constant", "attention_biases": "bias", "height_rel": "token", "order": "buffer",
                "complex_weight": "constant", "spectrum": "constant", "table": "buffer",
            },
        ),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_looks_like_weights_and_is_not(layer, expected):
    assert roles(layer) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GlobalResponseNorm", {"weight": "constant", "bias": "bias"}),
        ("LayerScale", {"gamma": "constant"}),
        ("EvoNorm2dB0", {"weight": "batch_norm", "bias": "batch_norm", "v": "constant", "running_var": "batch_norm"}),
        ("EvoNorm2dS0", {"weight": "constant", "bias": "bias", "v": "constant"}),
        ("FilterResponseNormTlu2d", {"weight": "constant", "bias": "bias", "tau": "constant"}),
        ("LayerNorm2d", {"weight": "norm", "bias": "bias"}),
        ("RmsNorm", {"weight": "norm"}),
        ("ScaledStdConv2d", {"weight": "weight", "bias": "bias", "gain": "constant"}),
        ("RelPosBias", {"relative_position_bias_table": "token"}),
    ],
)
def test_layers_of_timm(name, expected):
    import timm.layers
    from timm.layers.grn import GlobalResponseNorm
    from timm.models.vision_transformer import LayerScale

    arguments = {"ScaledStdConv2d": (4, 6, 3), "RelPosBias": ((4, 4), 2)}.get(name, (6,))
    layer = {"LayerScale": LayerScale, "GlobalResponseNorm": GlobalResponseNorm}.get(name) or getattr(timm.layers, name)
    found = roles(layer(*arguments))
    assert {key: found[key] for key in expected} == expected


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 6))
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, 6))
        self.relative_position_bias_table = nn.Parameter(torch.zeros(9, 2))
        self.gamma = nn.Parameter(torch.full((6,), 1e-5))
        self.matrix = nn.Parameter(torch.zeros(6, 4))
        self.register_buffer("index", torch.arange(4))
        self.register_buffer("scratch", torch.zeros(2), persistent=False)


def test_bare_parameters():
    assert roles(Tokens()) == {
        "cls_token": "token",
        "pos_embed": "token",
        "relative_position_bias_table": "token",
        "gamma": "constant",
        "matrix": "weight",
        "index": "buffer",
    }


def test_parametrized_weights_are_known_by_their_layer():
    spectral = parametrizations.spectral_norm(nn.ConvTranspose2d(4, 6, 3))
    found = {slot.name: slot for slot in slots(spectral)}
    assert found["parametrizations.weight.original"].fans == (36, 54)
    assert found["parametrizations.weight.0._u"].role == "singular"
    nested = nn.Sequential(parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.ReLU())
    found = {slot.name: slot for slot in slots(nested)}
    assert found["0.parametrizations.weight.original0"].role == "gain"
    assert found["0.parametrizations.weight.original1"].fans == (27, 36)


def test_tied_tensors_name_the_first():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    tied = {slot.name: slot.tied_to for slot in slots(model)}
    assert tied == {"0.weight": None, "0.bias": None, "1.weight": "0.weight", "1.bias": None}


def test_tensors_without_values_are_refused():
    with pytest.raises(InputError, match=r"'weight' is lazy.*run one batch"):
        slots(nn.LazyLinear(3))
    with pytest.raises(InputError, match=r"'weight' is sparse.*to_dense"):
        slots(Holder(torch.eye(3).to_sparse()))
    with pytest.raises(InputError, match=r"'0\.weight' is on the meta device.*to_empty"):
        slots(nn.Sequential(nn.Linear(2, 2, device="meta")))


class Holder(nn.Module):
    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn])
def test_weights_of_eight_bits_are_refused_by_name(dtype):
    with pytest.raises(InputError, match=r"'0\.weight' is quantised"):
        slots(nn.Sequential(Holder(torch.ones(3, 3).to(dtype))))


@pytest.mark.filterwarnings("ignore")
def test_quantised_layers_are_refused_by_name():
    quantised = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.ReLU(), nn.Linear(4, 4)), {nn.Linear})
    with pytest.raises(InputError, match=r"'1' is quantised \(torch.*Linear\)"):
        slots(quantised)


def test_tensors_that_share_memory_are_tied():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = nn.Parameter(model[0].weight.data)
    assert {slot.name: slot.tied_to for slot in slots(model)}["1.weight"] == "0.weight"
