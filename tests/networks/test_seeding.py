"""Generators depend on seed and name only, and nothing global moves."""

from __future__ import annotations

import contextlib

import torch

from transfusion.networks.seeding import generator, isolated_rng


def test_generators_differ_by_seed_and_by_name():
    draws = [torch.randn(8, generator=generator(*key)) for key in ((0, "a"), (1, "a"), (0, "b"), (-1, "a"))]
    assert len({tuple(draw.tolist()) for draw in draws}) == 4
    assert torch.equal(draws[0], torch.randn(8, generator=generator(0, "a")))


def test_global_state_is_put_back_even_after_an_error():
    before = torch.get_rng_state()
    with contextlib.suppress(RuntimeError), isolated_rng(0):
        torch.randn(4) @ torch.randn(3)
    assert torch.equal(before, torch.get_rng_state())
    with isolated_rng(0):
        inside = torch.randn(4)
    with isolated_rng(0):
        again = torch.randn(4)
    assert torch.equal(inside, again)
    torch.randn(4)
    assert not torch.equal(before, torch.get_rng_state())
