"""The exact route on its own: an isometric copy of the data, block by block."""

import numpy as np
import pytest
import reference
import torch

from transfusion.similarity import MEASURES, Sums, judge
from transfusion.similarity.exact import exact_pair


@pytest.mark.parametrize("n", [30, 1024, 2500])
def test_keeps_inner_products(n):
    x, y = reference.related(n)
    pair = exact_pair(torch.from_numpy(x), torch.from_numpy(y))
    inner = reference.centred(x).T @ reference.centred(y)
    assert np.allclose((pair.x.moment @ pair.y.moment.T).numpy(), inner, atol=1e-9)


@pytest.mark.parametrize("measure", ["cca", "cca_squared", "pwcca", "svcca"])
def test_agrees_with_moments_where_both_work(measure):
    x, y = (torch.from_numpy(each) for each in reference.related())
    sums = Sums((x.shape[1], y.shape[1]))
    sums.update([x, y])
    ((_, _, pair),) = sums.pairs()
    exact, summed = judge(MEASURES[measure], exact_pair(x, y)), judge(MEASURES[measure], pair)
    assert exact.value == pytest.approx(summed.value, abs=1e-11)
    assert exact.ranks == summed.ranks


def test_dead_and_dependent_features():
    x, y = reference.related()
    x = np.hstack([x, x[:, :2] @ np.array([[1.0], [3.0]]), np.full((len(x), 1), 7.7)])
    answer = judge(MEASURES["cca"], exact_pair(torch.from_numpy(x), torch.from_numpy(y)))
    assert answer.ranks == (8, 6)
    assert answer.value == pytest.approx(reference.canonical_correlations(x, y).mean(), abs=1e-9)


def test_nothing_but_constants():
    x, y = np.ones((20, 3)), reference.related(20)[1]
    assert np.isnan(judge(MEASURES["cca"], exact_pair(torch.from_numpy(x), torch.from_numpy(y))).value)
