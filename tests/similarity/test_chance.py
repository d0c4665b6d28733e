"""Closed-form baselines against what re-pairing really gives."""

import numpy as np
import pytest
import reference

from transfusion.similarity import cca, linear_cka, pwcca
from transfusion.similarity.chance import chance_correlation, chance_square


def _shuffled(measure, x, y, times=40):
    draw = np.random.default_rng(0)
    return np.mean([measure(x, y[draw.permutation(len(y))]) for _ in range(times)])


@pytest.mark.parametrize(
    ("n", "width_x", "width_y"), [(400, 8, 6), (100, 40, 20), (60, 40, 35), (2000, 1, 1), (300, 1, 20)]
)
def test_mean_correlation(n, width_x, width_y):
    x, y = reference.related(n, width_x, width_y)
    expected = _shuffled(lambda a, b: reference.canonical_correlations(a, b).mean(), x, y, times=150)
    assert chance_correlation(width_x, width_y, n) == pytest.approx(expected, rel=0.08)


@pytest.mark.parametrize(("n", "width_x", "width_y"), [(400, 8, 6), (100, 40, 20), (60, 40, 35)])
def test_mean_square(n, width_x, width_y):
    x, y = reference.related(n, width_x, width_y)
    expected = _shuffled(lambda a, b: (reference.canonical_correlations(a, b) ** 2).mean(), x, y, times=600)
    assert chance_square(width_x, width_y, n) == pytest.approx(expected, rel=0.04)


def test_answers_carry_it():
    x, y = reference.related()
    assert cca(x, y).baseline == pytest.approx(_shuffled(lambda a, b: cca(a, b).value, x, y), rel=0.05)
    assert pwcca(x, y).baseline == pytest.approx(_shuffled(lambda a, b: pwcca(a, b).value, x, y), rel=0.1)
    assert linear_cka(x, y).baseline == pytest.approx(
        _shuffled(lambda a, b: linear_cka(a, b).value, x, y, 200), rel=0.15
    )
    assert linear_cka(x, y, debiased=True).baseline == 0


def test_saturation_and_absence():
    assert chance_correlation(99, 99, 100) == pytest.approx(1)
    assert chance_square(99, 99, 100) == 1
    assert np.isnan(chance_correlation(0, 5, 100))
    assert np.isnan(chance_square(0, 5, 100))
