"""Gabor scores where the truth is known."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.ndimage import gaussian_filter

from transfusion.errors import InputError
from transfusion.filters import gabor, gabor_score

pytestmark = pytest.mark.slow


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


def _smoothed(num, side, sigma, seed=0, channels=3):
    """White noise smoothed over ``sigma`` pixels, cut from larger pictures."""
    noise = np.random.default_rng(seed).normal(size=(num, channels, side + 16, side + 16))
    return gaussian_filter(noise, (0, 0, *np.broadcast_to(sigma, 2)))[:, :, 8:-8, 8:-8]


def _planted(num, side, noise, seed=0):
    draw = np.random.default_rng(seed)
    middle = (side - 1) / 2
    clean = [
        _gabor(
            draw.uniform(0, 180), draw.uniform(0.8, 2) / side, draw.uniform(0, 6.28),
            middle + draw.uniform(-0.15, 0.15, 2) * side, draw.uniform(0.15, 0.35, 2) * side, side,
        )
        for _ in range(num)
    ]  # fmt: skip
    return np.stack([each / each.std() + noise * draw.normal(size=each.shape) for each in clean])


@pytest.mark.parametrize(
    "filters",
    [pytest.param(_smoothed(240, 7, sigma), id=f"smoothed over {sigma}") for sigma in (0.5, 1.0, (0.5, 1.5))]
    + [
        pytest.param(np.random.default_rng(0).normal(size=(240, 3, 7, 7)), id="white"),
        pytest.param(_smoothed(240, 5, 0.8, channels=1), id="5 x 5"),
        pytest.param(_smoothed(240, 3, 0.7), id="3 x 3"),
    ],
)
def test_noise_of_any_spectrum_passes_at_the_stated_rate(filters):
    """240 filters at 5 %: four standard errors are 6 points. Against shuffled pixels, smoothed noise passes at 98 %."""
    assert gabor_score(filters).share <= 0.106


def test_noise_as_smooth_as_blobs_passes_more_often_and_far_less_than_gabors():
    """Smoothed over a fifth of the side, one and a half blobs fill a filter: 7 to 18 % pass, as the docstring says."""
    assert gabor_score(_smoothed(80, 7, 1.5)).share <= 0.3


@pytest.mark.parametrize(("side", "noise", "least"), [(5, 0.0, 0.9), (7, 0.0, 0.95), (7, 0.3, 0.8), (11, 0.3, 0.8)])
def test_gabors_stand_out_from_their_own_spectrum(side, noise, least):
    score = gabor_score(_planted(40, side, noise))
    assert score.share >= least
    assert np.median(score.r2) > np.median(score.chance)


def test_surrogates_are_fitted_until_a_filter_is_decided(monkeypatch):
    """What is Gabor-like is what it is if all surrogates are fitted; most filters of noise need a few."""
    filters = np.concatenate([_planted(20, 7, 0.3), _smoothed(60, 7, 1.0, channels=1)[:, 0]])
    score = gabor_score(filters)
    monkeypatch.setattr(gabor, "ROUNDS", (gabor.NUM_SURROGATES,))
    whole = gabor_score(filters)
    assert (score.is_gabor_like == whole.is_gabor_like).all()
    assert score.p_value == pytest.approx(whole.p_value)
    assert sum(gabor.ROUNDS) == gabor.NUM_SURROGATES


def test_three_by_three_says_little():
    score = gabor_score(_smoothed(40, 3, 0.7))
    assert np.median(score.chance) > 0.85


def test_a_mixed_layer_is_sorted():
    filters = np.concatenate([_planted(30, 7, 0.1), _smoothed(30, 7, 1.0, channels=1)[:, 0]])
    score = gabor_score(filters)
    assert score.is_gabor_like[:30].mean() > 0.9
    assert score.is_gabor_like[30:].mean() < 0.2


def test_what_training_added_is_scored_by_the_difference():
    before = np.random.default_rng(0).normal(size=(40, 7, 7))
    after = before + 0.5 * _planted(40, 7, 0.0)
    assert gabor_score(before).share < 0.2
    assert gabor_score(after).share < 0.5
    assert gabor_score(after - before).share > 0.9


def test_surrogates_keep_the_spectrum_and_lose_the_phases():
    pattern = torch.from_numpy(_planted(3, 6, 0.1))
    found = gabor.surrogates(pattern)
    assert found.shape == (gabor.NUM_SURROGATES, 3, 6, 6)
    sizes = found.square().sum(dim=(2, 3)).mean(dim=0) / pattern.square().sum(dim=(1, 2))
    assert sizes.numpy() == pytest.approx(1, abs=0.25)
    alike = torch.nn.functional.cosine_similarity(found.flatten(2), pattern.flatten(1)[None], dim=2)
    assert float(alike.mean().abs()) < 0.2


def test_the_donor_is_gabor_like_and_scrambled_is_not(donor_filters):
    donor = gabor_score(donor_filters)
    assert donor.share > 0.6
    assert np.median(donor.r2) > 0.9 > np.median(donor.chance)
    scrambled = gabor_score(_shuffled(donor_filters, 0))
    assert scrambled.share < 0.15
    assert np.median(scrambled.r2) < 0.5


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
    assert np.isnan(score.chance).all()
