"""Shares of Gabor-like filters over seeds."""

import numpy as np
import pytest
from scipy import stats

from transfusion.verdict.gabors import gabor_shares


def test_intervals_are_over_seeds_and_the_change_is_paired():
    shares = {"before": [0.0, 0.1, 0.2], "after": [0.5, 0.58, 0.72], "difference": [0.9, 1.0, 0.95]}
    found = gabor_shares("random", shares)
    change = np.subtract(shares["after"], shares["before"])
    low, high = stats.t.interval(0.95, 2, change.mean(), stats.sem(change))
    assert (found.change.estimate, found.change.low, found.change.high, found.change.n) == pytest.approx(
        (0.5, low, high, 3)
    )
    assert found.difference.high == 1
    assert found.before.low == 0
    assert "more than the 10 % before" in found.words


def test_fewer_is_told_and_no_difference_is_not_called_one():
    fewer = gabor_shares("pretrained", {"before": [0.7, 0.71, 0.7], "after": [0.5, 0.52, 0.49], "difference": [0] * 3})
    assert "fewer than the 70 % before" in fewer.words
    unclear = gabor_shares("random", {"before": [0.0, 0.2], "after": [0.1, 0.15], "difference": [0.1, 0.2]})
    assert "is not shown to differ from no change" in unclear.words


def test_one_seed_and_seeds_without_a_score():
    one = gabor_shares("random", {"before": [0.1, np.nan], "after": [0.1, np.nan], "difference": [0.2, np.nan]})
    assert one.after.n == 1
    assert np.isnan(one.after.low)
    assert "10 % of the first-layer filters" in one.words
    none = gabor_shares("random", {"before": [np.nan], "after": [np.nan], "difference": [np.nan]})
    assert "an unknown share" in none.words
