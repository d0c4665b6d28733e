"""How an estimate, an interval and a count are written; the only place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from transfusion.metrics import Interval

UNKNOWN, NOTHING = "unknown", "-"
WIDE_RATIO, WIDE_DIFFERENCE = 1000, 1.0  # metrics lie between 0 and 1
SIGNED, RATIO, SHARE = "+.3f", ".2f", ".0%"  # formats of a difference, a ratio and a share
NULL = {SIGNED: 0.0, RATIO: 1.0}  # no effect
MOST_DIGITS = 7


def number(value: float, form: str) -> str:
    """A number; infinity as a sign, none where it rounds to 0, and a large ratio with three digits.

    Examples:
        >>> number(0.0123, "+.3f"), number(-0.0001, "+.3f"), number(0.25, ".0%"), number(250.06, ".2f")
        ('+0.012', '0.000', '25 %', '250')
    """
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if form == RATIO and abs(value) >= 10:
        form = ".1f" if abs(value) < 100 else ",.0f"
    said = format(value, form).replace("%", " %")
    return said if said.strip("+-0. %") else said.lstrip("+-")  # no "-0.000"


def ends(interval: Interval, form: str) -> str:
    """Both ends, the open ones in words; empty where they are not known.

    Examples:
        >>> ends(Interval(2, 1.5, math.inf, 3), ".2f"), ends(Interval(0.5, 0.25, 1, 3), ".0%")
        ('1.50 or more', '25 % to 100 %')
        >>> ends(Interval(0.03, 0.0002, 0.06, 5), "+.3f")
        '+0.0002 to +0.060'
        >>> ends(Interval(2, 0, 3, 3), ".2f"), ends(Interval(2, 0, 4000, 3), ".2f")
        ('3.00 or less', 'anything fits')
    """
    low, high = interval.low, interval.high
    if math.isnan(low) or math.isnan(high) or is_open(interval):
        return ""
    if low == high:
        return "the same in every training"
    if _is_wide(interval, form):
        return "anything fits"
    if high == math.inf:
        return f"{number(low, form)} or more"
    if low == -math.inf or (low == 0 and form == RATIO):
        return f"{number(high, form)} or less"
    return f"{_beside(low, form)} to {_beside(high, form)}"


def _beside(value: float, form: str) -> str:
    """A number with as many digits as show on which side of no effect it lies."""
    if form not in NULL or value == NULL[form] or not math.isfinite(value):
        return number(value, form)
    finer = (f"{form[:-2]}{digits}f" for digits in range(int(form[-2]), MOST_DIGITS))
    shown = [number(value, each) for each in finer]
    return next((said for said in shown if float(said.replace(",", "")) != NULL[form]), shown[0])


def _is_wide(interval: Interval, form: str) -> bool:
    """Whether it holds no effect and, beside it, more than there can be: two trainings may give such an interval."""
    low, high = interval.low, interval.high
    if form == RATIO:
        least, most = low or WIDE_RATIO**-0.5, WIDE_RATIO**0.5 if high == math.inf else high
        return low < 1 < high and most > WIDE_RATIO * least
    return form == SIGNED and low < 0 < high < math.inf and WIDE_DIFFERENCE < high - low < math.inf


def is_open(interval: Interval) -> bool:
    """Whether both ends are open, so that it says nothing.

    Examples:
        >>> is_open(Interval(1, 0, math.inf, 3)), is_open(Interval(1, 0.5, math.inf, 3))
        (True, False)
    """
    return interval.low in (0, -math.inf) and interval.high == math.inf


def fits_anything(interval: Interval, form: str) -> bool:
    """Whether its ends say nothing, and so its estimate neither.

    Examples:
        >>> fits_anything(Interval(1.9, 0.01, 300, 3), RATIO), fits_anything(Interval(1.9, 0.5, 8, 3), RATIO)
        (True, False)
    """
    return is_open(interval) or _is_wide(interval, form)


def brief(interval: Interval, form: str) -> str:
    """An estimate with the ends of its interval, for a cell; the end that is known where the other has no limit.

    Examples:
        >>> brief(Interval(2, 1.5, math.inf, 3), RATIO), brief(Interval(0.01, -0.01, 0.03, 3), SIGNED)
        ('≥ 1.50', '+0.010 [-0.010, +0.030]')
        >>> brief(Interval(0.065, 0.0003, 0.131, 5), SIGNED)  # the end shows on which side of no effect it lies
        '+0.065 [+0.0003, +0.131]'
    """
    if math.isnan(interval.estimate):
        return UNKNOWN
    low, high = (_beside(end, form) for end in (interval.low, interval.high))
    if not interval.low <= interval.high or is_open(interval):
        return number(interval.estimate, form)
    if interval.high == math.inf:
        return f"≥ {low}"
    if interval.low == -math.inf or (interval.low == 0 and form in (RATIO, SHARE)):
        return f"≤ {high}"
    return f"{number(interval.estimate, form)} [{low}, {high}]"


def measured(interval: Interval, form: str) -> str:
    """An estimate and, in brackets, what else fits.

    Examples:
        >>> measured(Interval(0.01, -0.01, 0.03, 3), SIGNED)
        '+0.010 (-0.010 to +0.030)'
    """
    if math.isnan(interval.estimate):
        return UNKNOWN
    around = ends(interval, form)
    return number(interval.estimate, form) + (f" ({around})" if around else "")


def times(ratio: Interval) -> str:
    """A ratio that is shown to be above 1; a bound by the end that is known.

    Examples:
        >>> times(Interval(3, 2, 4.5, 3)), times(Interval(3, 2, math.inf, 3))
        ('3.00 times (2.00 to 4.50)', 'at least 2.00 times')
    """
    if ratio.high == math.inf:
        return f"at least {number(ratio.low, RATIO)} times"
    return f"{number(ratio.estimate, RATIO)} times ({ends(ratio, RATIO)})"


def inverse(ratio: Interval) -> Interval:
    """Of 1 / ratio: times slower, from times faster.

    Examples:
        >>> inverse(Interval(0.5, 0.25, 1, 3)).high
        4.0
    """
    low, high = (math.inf if end == 0 else 1 / end for end in (ratio.high, ratio.low))
    return replace(ratio, estimate=1 / ratio.estimate, low=low, high=high)


def level(value: float) -> str:
    """A value of the metric."""
    return number(value, ".3f")


def trainings(n: int) -> str:
    """A count of runs.

    Examples:
        >>> trainings(1), trainings(3)
        ('1 training', '3 trainings')
    """
    return f"{n} training" + ("" if n == 1 else "s")


def mean_and_sd(mean: float, std: float) -> str:
    """A mean, with its standard deviation where there is one.

    Examples:
        >>> mean_and_sd(0.9, 0.01), mean_and_sd(0.9, math.nan)
        ('0.900 ± 0.010', '0.900')
    """
    if math.isnan(mean):
        return NOTHING
    return f"{mean:.3f}" if math.isnan(std) else f"{mean:.3f} ± {std:.3f}"


def mean_sd(values: pd.Series) -> str:
    """Mean, and standard deviation where there are several; a dash for none."""
    return mean_and_sd(float(values.mean()), float(values.std())) if len(values) else NOTHING


def span(counts: pd.Series | Sequence[float]) -> str:
    """Least to most of some counts, or the one that all agree on.

    Examples:
        >>> span([3, 5, 4]), span([3, 3])
        ('3 to 5', '3')
    """
    known = np.asarray(counts, dtype=float)
    known = known[~np.isnan(known)]
    if not len(known):
        return "0"
    return f"{known.min():.0f}" + ("" if known.min() == known.max() else f" to {known.max():.0f}")


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them: a, b and c.

    Examples:
        >>> listed(["a", "b", "c"])
        'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def measure_name(measure: str) -> str:
    """A similarity measure's name: CCA similarity for ``cca``.

    Examples:
        >>> measure_name("cca"), measure_name("pwcca")
        ('CCA similarity', 'pwcca')
    """
    return {"cca": "CCA similarity", "linear_cka": "linear CKA"}.get(measure, measure)
