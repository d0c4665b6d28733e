"""Small sums around filters and weights: how far they moved, and what is drawn of them."""

import math

import numpy as np
import pytest
import torch

from transfusion.errors import InputError
from transfusion.filters import pictures, relative_change, weight_histograms


def test_relative_change():
    before = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    after = np.array([[3.0, 9.0], [0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert relative_change(before, after).tolist() == [1.0, 0.0, math.inf, 0.0]


def test_relative_change_of_different_layers_is_refused():
    with pytest.raises(InputError, match=r"shape \(2, 3\) before and \(3, 2\) after"):
        relative_change(np.ones((2, 3)), np.ones((3, 2)))


def test_pictures_share_one_scale_and_the_difference_has_its_own():
    draw = np.random.default_rng(0)
    before, change = draw.normal(size=(2, 6, 3, 5, 4))
    after = before + 0.01 * change
    shown = pictures(before, after)
    scale = max(np.abs(before).max(), np.abs(after).max())
    assert list(shown) == ["before", "after", "difference"]
    assert all(each.shape == (6, 5, 4, 3) and 0 <= each.min() <= each.max() <= 1 for each in shown.values())
    assert shown["after"][2, 1, 3, 0] == pytest.approx(0.5 + after[2, 0, 1, 3] / scale / 2)
    assert max(np.abs(shown[name] - 0.5).max() for name in ("before", "after")) == pytest.approx(0.5)
    assert shown["difference"][2, 1, 3, 0] == pytest.approx(0.5 + change[2, 0, 1, 3] / np.abs(change).max() / 2)


def test_pictures_of_filters_that_did_not_move_are_grey():
    filters = np.random.default_rng(0).normal(size=(2, 1, 5, 5))
    assert (pictures(filters, filters)["difference"] == 0.5).all()
    assert (pictures(filters, -filters)["difference"] != 0.5).all()


def test_many_channels_are_averaged():
    before, after = np.random.default_rng(0).normal(size=(2, 2, 8, 5, 5))
    shown = pictures(before, after)
    assert shown["after"].shape == (2, 5, 5, 1)
    steps = (after - before).mean(axis=1, keepdims=True)
    assert shown["difference"] - 0.5 == pytest.approx(np.moveaxis(steps, 1, 3) / np.abs(steps).max() / 2)


def test_histograms_share_edges_and_integrate_to_one():
    draw = np.random.default_rng(0)
    edges, density = weight_histograms(
        {"a": [draw.normal(size=(3, 4)), draw.normal(size=5)], "b": [torch.ones(7)]}, bins=9
    )
    assert len(edges) == 10
    for values in density.values():
        assert (values * np.diff(edges)).sum() == pytest.approx(1)
    assert (density["b"] > 0).sum() == 1


def test_histograms_of_nothing_are_refused():
    with pytest.raises(InputError, match=r"No weights to count in \['a'\]"):
        weight_histograms({"a": []})
    with pytest.raises(InputError, match="No weights to count in an empty mapping"):
        weight_histograms({})
