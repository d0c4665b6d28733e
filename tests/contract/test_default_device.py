"""What ``torch.set_default_device`` says moves no number: the meta device stands for any other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from transfusion import cca, compare, gabor_score, initialize, pwcca
from transfusion.schemes import SCHEMES


@contextmanager
def elsewhere() -> Iterator[None]:
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_embedding_with_a_row_for_padding_is_filled(scheme):
    here, there, donor = (nn.Sequential(nn.Embedding(5, 4, padding_idx=1), nn.Linear(4, 2)) for _ in range(3))
    initialize(here, scheme, donor=donor)
    with elsewhere():
        initialize(there, scheme, donor=donor)
    assert torch.equal(there[0].weight, here[0].weight)


def test_networks_are_compared_at_the_same_positions():
    networks = {name: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2)) for name in "ab"}
    images = torch.randn(20, 3, 8, 8)
    here = compare(networks, images, measures=("cca", "linear_cka"))
    with elsewhere():
        there = compare(networks, images, measures=("cca", "linear_cka"))
    assert there.equals(here)


@pytest.mark.parametrize("measure", [cca, pwcca])
@pytest.mark.parametrize("nearly_dependent", [False, True])
def test_arrays_are_compared(measure, nearly_dependent):
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(200, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    x[:, 2] = x[:, 1] + 1e-9 * x[:, 2] if nearly_dependent else x[:, 2]
    here = measure(x, y)
    with elsewhere():
        assert measure(x, y).value == here.value


def test_filters_are_scored():
    filters = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    with elsewhere():
        there = gabor_score(filters)
    assert (there.r2 == gabor_score(filters).r2).all()
