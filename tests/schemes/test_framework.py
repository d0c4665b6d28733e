"""``default`` is what the framework does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from transfusion.networks.models import build
from transfusion.schemes import initialize
from transfusion.schemes.framework import fresh_tensors


def test_layers_reset_themselves():
    model = nn.Sequential(nn.Linear(400, 300), nn.LayerNorm(300), nn.MultiheadAttention(300, 3), nn.PReLU())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(9)
    fresh = fresh_tensors(model, seed=0)
    assert set(fresh) == set(model.state_dict())
    bound = 1 / 400**0.5
    assert fresh["0.weight"].abs().max().item() == pytest.approx(bound, rel=1e-3)
    # attention sets its own projection's bias to zero, unlike the linear layer that holds it
    assert (fresh["2.out_proj.bias"] == 0).all()
    assert (fresh["3.weight"] == 0.25).all()
    assert all((p == 9).all() for p in model.parameters())


def test_one_layer_does_not_move_another():
    small = nn.Sequential(nn.Linear(4, 3))
    large = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3))
    assert torch.equal(fresh_tensors(small, 1)["0.weight"], fresh_tensors(large, 1)["0.weight"])
    assert not torch.equal(fresh_tensors(small, 1)["0.weight"], fresh_tensors(small, 2)["0.weight"])


def test_tensors_without_a_reset_are_filled_as_by_random():
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cls_token = nn.Parameter(torch.zeros(1, 1, 500))
            self.proj = nn.Linear(4, 4)

    assert initialize(Tokens(), "default")["cls_token"].rule == "token"
    assert initialize(Tokens(), "default")["proj.bias"].rule == "default"


def test_built_models_start_as_their_library_starts_them():
    model = build("resnet18", num_outputs=2)
    initialize(model, "default", seed=3)
    # torchvision: He normal over fan_out, where torch's own reset is uniform over fan_in
    assert model.layer4[0].conv2.weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    again = build("resnet18", num_outputs=2)
    initialize(again, "default", seed=3)
    assert torch.equal(model.conv1.weight, again.conv1.weight)
    initialize(again, "default", seed=4)
    assert not torch.equal(model.conv1.weight, again.conv1.weight)


def test_a_model_changed_since_falls_back_on_its_layers():
    model = build("cbr_tiny_small", num_outputs=2)
    model.head = nn.Linear(256, 7)
    assert fresh_tensors(model, 0)["head.weight"].shape == (7, 256)
