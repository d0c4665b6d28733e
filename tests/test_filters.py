"""Gabor scores where the truth is known, and the small sums around them."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from transfusion.errors import InputError
from transfusion.filters import gabor_score, pictures, relative_change, weight_histograms


def _gabor(turn_deg, frequency, phase=0.3, centre=(3, 3), sigma=(1.6, 2.2), side=7):
    """``turn_deg`` anticlockwise, rows going down."""
    y, x = np.mgrid[:side, :side].astype(float)
    turn = -math.radians(turn_deg)
    u = (x - centre[0]) * math.cos(turn) + (y - centre[1]) * math.sin(turn)
    v = (y - centre[1]) * math.cos(turn) - (x - centre[0]) * math.sin(turn)
    return np.exp(-((u / sigma[0]) ** 2 + (v / sigma[1]) ** 2) / 2) * np.cos(2 * math.pi * frequency * u + phase)


def _shuffled(filters, seed):
    generator = torch.Generator().manual_seed(seed)
    flat = filters.flatten(2)
    order = torch.stack([torch.randperm(flat.shape[2], generator=generator) for _ in flat])
    return flat.gather(2, order[:, None].expand(-1, flat.shape[1], -1)).reshape(filters.shape)


@pytest.fixture(scope="module")
def donor_filters(real_data):
    return load_file(real_data / "squeezenet1_0-imagenet1k.safetensors")["features.0.weight"]


def test_planted_gabors_are_found():
    draw = np.random.default_rng(0)
    turn, frequency = draw.uniform(0, 180, 40), draw.uniform(0.15, 0.35, 40)
    places = draw.uniform(2, 4, (40, 2))
    filters = [_gabor(turn[i], frequency[i], draw.uniform(0, 6.28), places[i]) for i in range(40)]
    score = gabor_score(np.stack(filters))
    assert (score.r2 > 0.98).all()
    assert score.frequency == pytest.approx(frequency, abs=0.05)
    off = np.abs(score.orientation_deg - turn) % 180
    assert (np.minimum(off, 180 - off) < 8).all()


def test_noise_lowers_the_score():
    noise = np.random.default_rng(0).normal(size=(10, 7, 7))
    r2 = [gabor_score(_gabor(40, 0.2)[None] + level * noise).r2.mean() for level in (0.05, 0.2, 1.0)]
    assert r2[0] > 0.95 > r2[1] > 0.5 > r2[2]


def test_every_parameter_of_a_clean_gabor():
    score = gabor_score(_gabor(30, 0.25, side=9, centre=(4.2, 3.8), sigma=(1.5, 2.5))[None])
    assert score.r2[0] == pytest.approx(1, abs=1e-4)
    assert score.orientation_deg[0] == pytest.approx(30, abs=0.5)
    assert score.frequency[0] == pytest.approx(0.25, abs=0.005)
    assert score.sigma[0] == pytest.approx((1.5, 2.5), abs=0.1)
    assert score.centre[0] == pytest.approx((4.2, 3.8), abs=0.1)


def test_colour_does_not_hide_a_gabor():
    filters = _gabor(60, 0.2)[None, None] * np.array([0.5, -1.0, 0.2])[None, :, None, None] + 3
    score = gabor_score(filters)
    assert score.r2[0] > 0.99
    assert score.colour_share[0] == pytest.approx(1)


def test_scale_and_sign_do_not_matter():
    filters = torch.randn(5, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    assert gabor_score(-1e-6 * filters).r2 == pytest.approx(gabor_score(filters).r2, abs=1e-6)


def test_random_filters_pass_at_the_stated_rate():
    shares = [
        gabor_score(torch.randn(100, 3, 7, 7, generator=torch.Generator().manual_seed(seed))).share for seed in range(4)
    ]
    # 400 filters at 5 %: within four standard errors, the null's own included
    assert 0.01 < np.mean(shares) < 0.12


def test_small_filters_say_nothing():
    score = gabor_score(torch.randn(32, 3, 3, 3, generator=torch.Generator().manual_seed(0)))
    assert score.threshold > 0.95


def test_the_donor_is_gabor_like_and_scrambled_is_not(donor_filters):
    donor = gabor_score(donor_filters)
    assert donor.share > 0.9
    assert np.median(donor.r2) > 0.9
    assert np.median(donor.p_value) < 0.01
    for seed in range(2):
        scrambled = gabor_score(_shuffled(donor_filters, seed))
        assert scrambled.share < 0.2
        assert np.median(scrambled.r2) < 0.5
        assert np.median(scrambled.p_value) > 0.2


def test_a_flat_filter_has_no_score():
    flat = [np.full((7, 7), level) for level in (0.0, *np.random.default_rng(0).normal(size=19))]
    score = gabor_score(np.stack([_gabor(0, 0.2), *flat]))
    assert score.r2[0] > 0.99
    assert np.isnan(score.r2[1:]).all()
    assert np.isnan(score.p_value[1:]).all()
    assert float(score) == pytest.approx(1 / 21)


def test_tensors_and_arrays_agree_bit_by_bit():
    filters = torch.randn(3, 1, 5, 7, generator=torch.Generator().manual_seed(0))
    assert gabor_score(filters).r2.tolist() == gabor_score(filters[:, 0].numpy()).r2.tolist()


@pytest.mark.parametrize("shape", [(4,), (4, 3), (2, 3, 1, 1), (0, 3, 7, 7), (2, 3, 3, 3, 3)])
def test_shapes_that_are_no_filters(shape):
    with pytest.raises(InputError, match="Got filters of shape"):
        gabor_score(np.ones(shape))


def test_values_that_are_not_finite():
    with pytest.raises(InputError, match="'filters' holds NaN or infinite weights"):
        gabor_score(np.full((1, 3, 7, 7), np.nan))


def test_relative_change():
    before = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    after = np.array([[3.0, 9.0], [0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert relative_change(before, after).tolist() == [1.0, 0.0, math.inf, 0.0]


def test_relative_change_of_different_layers_is_refused():
    with pytest.raises(InputError, match=r"shape \(2, 3\) before and \(3, 2\) after"):
        relative_change(np.ones((2, 3)), np.ones((3, 2)))


def test_pictures_share_one_scale():
    draw = np.random.default_rng(0)
    before, after = draw.normal(size=(2, 6, 3, 5, 4))
    shown = pictures(before, after)
    scale = max(np.abs(before).max(), np.abs(after).max(), np.abs(after - before).max())
    assert list(shown) == ["before", "after", "difference"]
    assert all(each.shape == (6, 5, 4, 3) and 0 <= each.min() <= each.max() <= 1 for each in shown.values())
    assert shown["after"][2, 1, 3, 0] == pytest.approx(0.5 + after[2, 0, 1, 3] / scale / 2)
    assert max(np.abs(each - 0.5).max() for each in shown.values()) == pytest.approx(0.5)


def test_pictures_of_filters_that_did_not_move_are_grey():
    filters = np.random.default_rng(0).normal(size=(2, 1, 5, 5))
    assert (pictures(filters, filters)["difference"] == 0.5).all()
    assert (pictures(filters, -filters)["difference"] != 0.5).all()


def test_many_channels_are_averaged():
    before, after = np.random.default_rng(0).normal(size=(2, 2, 8, 5, 5))
    shown = pictures(before, after)
    assert shown["after"].shape == (2, 5, 5, 1)
    assert shown["difference"] - 0.5 == pytest.approx(shown["after"] - shown["before"])


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


def test_the_fit_leaves_the_number_of_threads_as_it_was():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        gabor_score(np.random.default_rng(0).normal(size=(2, 5, 5)))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_flat_filters_alone_have_no_score():
    score = gabor_score(np.zeros((4, 3, 7, 7)))
    assert np.isnan(score.r2).all()
    assert np.isnan(score.threshold)
