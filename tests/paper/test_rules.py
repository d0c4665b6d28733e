import numpy as np
import pytest

from transfusion.metrics import Interval
from transfusion.paper.rules import Outcome, every, ordered, same, weaker

R, C, U, X, N = Outcome.REPLICATED, Outcome.CONTRADICTED, Outcome.CANNOT_TELL, Outcome.NOT_TESTABLE, Outcome.NOT_RUN


@pytest.mark.parametrize(
    ("low", "high", "outcome"), [(0.1, 0.2, R), (-0.2, -0.1, C), (-0.1, 0.1, U), (np.nan, np.nan, U), (0.0, 0.1, U)]
)
def test_order_wants_the_whole_interval_on_one_side(low, high, outcome):
    assert ordered(Interval(0.05, low, high, 5)) is outcome


@pytest.mark.parametrize(
    ("wide", "narrow", "outcome"),
    [
        ((-0.004, 0.004), (-0.003, 0.003), R),
        ((-0.006, 0.004), (-0.0049, 0.003), R),  # the tests are at 5 % each: the 90 % interval decides
        ((-0.02, 0.02), (-0.01, 0.01), U),
        ((0.006, 0.02), (0.007, 0.019), C),
        ((0.001, 0.02), (0.002, 0.019), U),  # a difference that is there and may still be too small to matter
        ((np.nan, np.nan), (np.nan, np.nan), U),
    ],
)
def test_sameness_is_never_a_mere_lack_of_a_difference(wide, narrow, outcome):
    assert same(Interval(0.0, *wide, 5), Interval(0.0, *narrow, 5), 0.005) is outcome


@pytest.mark.parametrize(
    ("parts", "whole"),
    [([R, R], R), ([R, U], U), ([R, C, N], C), ([R, N, U], N), ([R, X], X), ([], N)],
)
def test_a_claim_of_several_parts(parts, whole):
    assert every(parts) is whole


def test_the_weaker_of_two_assumptions():
    assert (weaker([R, R]), weaker([R, U]), weaker([C, R])) == (R, U, U)
