import math

import pytest

from transfusion.metrics import Interval
from transfusion.verdict.numbers import RATIO, brief, ends, inverse, times


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.5, 2.0, "0.50 to 2.00"),
        (0.5, math.inf, "0.50 or more"),
        (0.0, 2.0, "2.00 or less"),
        (0.01, 90.0, "anything fits"),
        (1.1, 9000.0, "1.10 to 9,000"),
        (0.0, math.inf, ""),
        (-math.inf, math.inf, ""),
        (0.0, math.nan, ""),
        (math.nan, math.nan, ""),
    ],
)
def test_an_end_that_is_not_known_is_no_interval(low, high, said):
    assert ends(Interval(1.0, low, high, 3), RATIO) == said


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        (Interval(2, 1, 3, 3), "2.00 [1.00, 3.00]"),
        (Interval(2, 1, math.inf, 3), "≥ 1.00"),
        (Interval(2, 0, 3, 3), "≤ 3.00"),
        (Interval(2, math.nan, math.nan, 1), "2.00"),
        (Interval.undefined(0, "nothing"), "unknown"),
    ],
)
def test_intervals_in_a_cell(interval, said):
    assert brief(interval, RATIO) == said


def test_a_slow_start_is_so_many_times_slower():
    assert times(inverse(Interval(0.5, 0.25, 0.8, 3))) == "2.00 times (1.25 to 4.00)"
    assert times(inverse(Interval(0.5, 0.0, 0.8, 3))) == "at least 1.25 times"
