"""Weights that a layer keeps in pieces: weight norm, spectral norm and other parametrizations."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from transfusion.errors import InputError
from transfusion.schemes import SCHEMES, initialize


def test_weight_norm_keeps_the_scale():
    model = nn.Sequential(parametrizations.weight_norm(nn.Conv2d(32, 64, 3)), nn.Flatten(), nn.Linear(64, 2))
    plain = nn.Sequential(nn.Conv2d(32, 64, 3), nn.Flatten(), nn.Linear(64, 2))
    initialize(model, "random")
    initialize(plain, "random")
    weight, original = model[0].weight, model[0].parametrizations.weight.original1
    assert torch.allclose(weight, original, atol=1e-6)
    assert weight.std().item() == pytest.approx(plain[0].weight.std().item(), rel=0.05)


REPARAMETRIZED = {
    "weight_norm": nn.utils.weight_norm,
    "weight_norm, one gain": lambda layer: nn.utils.weight_norm(layer, dim=None),
    "weight_norm, parametrized": parametrizations.weight_norm,
    "spectral_norm": nn.utils.spectral_norm,
    "spectral_norm, parametrized": parametrizations.spectral_norm,
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("norm", REPARAMETRIZED)
def test_weights_kept_in_pieces(norm, scheme, kind):
    """They fit each other after every scheme: the weight has the drawn scale, or the largest singular value 1."""

    def made():
        layer = REPARAMETRIZED[norm](kind(24, 40, 3))
        return nn.Sequential(
            layer, nn.AdaptiveAvgPool2d(1), nn.Flatten(), REPARAMETRIZED[norm](nn.Linear(40, 2))
        ).eval()

    model, donor, plain = made(), made(), nn.Sequential(kind(24, 40, 3), nn.Flatten(), nn.Linear(40, 2))
    initialize(donor, "kaiming", seed=1)
    initialize(model, scheme, donor=donor)
    assert model(torch.zeros(1, 24, 8, 8)).isfinite().all()
    weight, given = model[0].weight.detach(), donor[0].weight.detach()
    if scheme == "pretrained":
        assert torch.equal(weight, given)
    elif norm.startswith("spectral"):
        matrix = weight.movedim(1, 0) if kind is nn.ConvTranspose2d else weight
        assert torch.linalg.matrix_norm(matrix.flatten(1), ord=2).item() == pytest.approx(1, rel=1e-4)
    else:
        initialize(
            plain, scheme, donor={**plain.state_dict(), "0.weight": given} if SCHEMES[scheme].needs_donor else None
        )
        assert weight.std().item() == pytest.approx(plain[0].weight.std().item(), rel=0.1)


def test_an_unknown_parametrization_is_refused_by_name():
    def made():
        return nn.Sequential(parametrizations.orthogonal(nn.Linear(4, 4)), nn.ReLU(), nn.Linear(4, 2))

    model, donor = made(), made()
    before = copy.deepcopy(model.state_dict())
    for scheme in SCHEMES:
        if scheme != "pretrained":
            with pytest.raises(InputError, match=r"'0\.parametrizations\.weight\.original' .*no rule for.*weight norm"):
                initialize(model, scheme, donor=donor)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    initialize(model, "pretrained", donor=donor)
    assert torch.equal(model[0].weight, donor[0].weight)
