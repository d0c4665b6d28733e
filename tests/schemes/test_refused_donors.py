"""Donors from which no weights should be made."""

import pytest
import torch
from torch import nn

from transfusion import initialize
from transfusion.errors import DonorError
from transfusion.schemes import SCHEMES

WITH_DONOR = [name for name, scheme in SCHEMES.items() if scheme.needs_donor]


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("scheme", WITH_DONOR)
@pytest.mark.parametrize("name", ["0.weight", "0.bias"])
def test_what_is_not_finite_is_named(scheme, name, value):
    model, donor = network(), network()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    donor.get_parameter(name).data.view(-1)[-1] = value
    with pytest.raises(DonorError, match=rf"NaN or infinite values in {name}\. "):
        initialize(model, scheme, donor=donor)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize("scheme", WITH_DONOR)
def test_a_head_that_is_never_read_may_be_anything(scheme):
    model, donor = network(), network()
    donor[3].weight.data[:] = float("nan")
    initialize(model, scheme, donor=donor)
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


def test_batch_norm_is_looked_at_where_it_is_read():
    model, donor = network(), network()
    donor[1].running_var[0] = float("nan")
    with pytest.raises(DonorError, match=r"1\.running_var"):
        initialize(model, "pretrained", donor=donor)
    initialize(model, "mean_var", donor=donor)
    assert (model[1].running_var == 1).all()
