"""A donor in odd units is told from one in ordinary units."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils import parametrizations

from transfusion.networks.models import build
from transfusion.schemes import far_from_he, initialize, scales


@pytest.fixture
def model():
    network = build("squeezenet1_1", num_outputs=3)
    initialize(network, "kaiming", seed=1)
    return network


def test_he_draws_are_in_ordinary_units(model):
    found = scales(model, model.state_dict())
    assert list(found) == ["first layer", "stem", "fires1", "fires2", "fires3"]
    assert all(scale == pytest.approx(1, rel=0.1) for scale in found.values())
    assert far_from_he(found) == {}


@pytest.mark.parametrize("factor", [12.0, 1 / 12])
def test_a_first_layer_in_other_units_is_found(model, factor):
    """The same function: what the first layer gains the second loses."""
    state = model.state_dict()
    state["features.0.weight"] = state["features.0.weight"] * factor
    found = scales(model, state)
    assert found["first layer"] == pytest.approx(factor, rel=0.1)
    assert set(far_from_he(found)) == {"first layer", "stem"}


def test_a_whole_stage_is_found_but_not_one_layer_of_it(model):
    state = model.state_dict()
    state["features.3.squeeze.weight"] = state["features.3.squeeze.weight"] * 20
    assert far_from_he(scales(model, state)) == {}
    for name in state:
        if name.startswith(("features.3.", "features.4.")) and name.endswith("weight") and "squeeze" not in name:
            state[name] = state[name] * 20
    assert set(far_from_he(scales(model, state))) == {"fires1"}


def test_what_has_no_scale_of_its_own_is_left_out():
    layers = (parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4, 2))
    nn.init.zeros_(model[1].weight)
    assert scales(model, model.state_dict()) == {}


def test_real_donor(real_data):
    state = load_file(real_data / "squeezenet1_0-imagenet1k.safetensors")
    assert all(torch.isfinite(torch.tensor(list(scales(build("squeezenet1_0", 2), state).values()))))
