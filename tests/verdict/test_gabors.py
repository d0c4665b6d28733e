"""Shares of Gabor-like filters over seeds."""

import numpy as np
import pytest
from judged import too_much
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
    statement = found.statement
    assert (statement.topic, statement.outcome, statement.start, statement.n) == ("filters", "more", "random", 3)
    assert statement.interval == found.change
    assert not too_much(statement.text)


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        ([0.7, 0.71, 0.7], [0.5, 0.52, 0.49], "fewer"),
        ([0.0, 0.2], [0.1, 0.15], "unknown"),
        ([0.3, 0.4], [0.3, 0.4], "unchanged"),
        ([0.1], [0.9], "unknown"),
        ([np.nan], [np.nan], "unknown"),
    ],
)
def test_no_difference_is_called_one_that_is_not_shown(before, after, outcome):
    statement = gabor_shares("random", {"before": before, "after": after, "difference": after}).statement
    assert statement.outcome == outcome
    assert "nan" not in statement.text
    assert not too_much(statement.text)


def test_seeds_without_a_score_are_not_counted():
    one = gabor_shares("random", {"before": [0.1, np.nan], "after": [0.1, np.nan], "difference": [0.2, np.nan]})
    assert one.after.n == one.statement.n == 1
    assert np.isnan(one.after.low)
