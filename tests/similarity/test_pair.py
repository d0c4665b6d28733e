"""Whitening: the quick way and the careful way agree, and the careful way drops what is noise."""

import pytest
import reference
import torch

from transfusion.similarity import Sums, pair


def _view(x, dtype=torch.float64):
    sums = Sums((x.shape[1], x.shape[1]))
    sums.update([torch.as_tensor(x).to(dtype)] * 2)
    return next(sums.pairs())[2].x


@pytest.mark.parametrize("condition", [1.0, 100.0, 1e4])
def test_whitened_features_are_orthonormal(condition):
    x = reference.conditioned(500, 7, condition)
    white = torch.from_numpy(reference.centred(x)) @ _view(x).basis.weights
    assert torch.allclose(white.T @ white, torch.eye(7, dtype=torch.float64), atol=1e-6)


def test_both_ways_to_whiten_span_the_same(monkeypatch):
    x = reference.conditioned(500, 7, 100.0)
    quick = _view(x).basis
    monkeypatch.setattr(pair, "whiten_full_rank", lambda *args: None)
    careful = _view(x).basis
    assert torch.allclose(quick.weights @ quick.weights.T, careful.weights @ careful.weights.T, rtol=1e-8)
    assert 0 < quick.spread <= careful.spread


def test_spread_never_flatters():
    for condition in (1.0, 30.0, 1e4):
        view = _view(reference.conditioned(500, 7, condition))
        scale = view.moment.diagonal().sqrt()
        values = torch.linalg.eigvalsh(view.moment / torch.outer(scale, scale))
        assert view.basis.spread <= float(values[0] / values[-1]) * (1 + 1e-6)


@pytest.mark.parametrize(("dtype", "rank"), [(torch.float64, 7), (torch.float32, 7), (torch.bfloat16, 4)])
def test_rank_follows_what_the_type_can_hold(dtype, rank):
    x = torch.from_numpy(reference.conditioned(500, 7, 1e4)).to(dtype)
    assert abs(_view(x, dtype).basis.rank - rank) <= (dtype == torch.bfloat16)


def test_principal_components_hold_the_share_of_variance():
    view = _view(reference.conditioned(500, 7, 10.0))
    ranks = [view.principal(share).rank for share in (0.5, 0.9, 0.99, 1.0)]
    assert ranks == sorted(ranks)
    assert ranks[0] < ranks[-1] == 7


@pytest.mark.parametrize("smallest", [0.3, 1e-4, 2e-5, 1e-7, 0.0])
@pytest.mark.parametrize("shape", [(9, 9), (9, 5), (5, 9)])
def test_singular_values_to_ten_digits_however_small(smallest, shape):
    draw = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn((side, side), generator=draw).double()).Q for side in shape)
    values = torch.linspace(1, smallest, min(shape), dtype=torch.float64)
    cosines = left[:, : len(values)] * values @ right[: len(values)]
    assert torch.allclose(pair.singular_values(cosines), values, rtol=0, atol=1e-10)
