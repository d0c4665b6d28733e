import math

import pytest

from transfusion.metrics import Interval
from transfusion.verdict.words import brackets


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.5, 2.0, "(95 % interval 0.50 to 2.00; n = 3 seeds)"),
        (0.5, math.inf, "(95 % interval 0.50 to no limit; n = 3 seeds)"),
        (0.0, math.inf, "(no interval; n = 3 seeds)"),
        (-math.inf, math.inf, "(no interval; n = 3 seeds)"),
        (0.0, math.nan, "(no interval; n = 3 seeds)"),
        (math.nan, math.nan, "(no interval; n = 3 seeds)"),
    ],
)
def test_an_end_that_is_not_known_is_no_interval(low, high, said):
    assert brackets(Interval(1.0, low, high, 3), ".2f") == said
