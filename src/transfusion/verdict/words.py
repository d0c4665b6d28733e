"""Numbers as a reader meets them in a sentence: with an interval, n, and a reason where there is one."""

from __future__ import annotations

import math

from transfusion.metrics import Interval


def shown(metric: str) -> str:
    """The metric's name: AUC for ``auc``."""
    return metric.upper() if metric.startswith("au") else metric


def measure_name(measure: str) -> str:
    """A similarity measure's name: CCA similarity for ``cca``."""
    return {"cca": "CCA similarity", "linear_cka": "linear CKA"}.get(measure, measure)


def signed(interval: Interval) -> str:
    """A difference."""
    if math.isnan(interval.estimate):
        return f"unknown {brackets(interval, '+.3f')}"
    return f"{interval.estimate:+.3f} {brackets(interval, '+.3f')}"


def times(interval: Interval) -> str:
    """A ratio; a bound is called one."""
    if math.isnan(interval.estimate):
        return f"unknown {brackets(interval, '.2f')}"
    return f"{bound_of_ratio(interval)}{interval.estimate:.2f} times {brackets(interval, '.2f')}"


def bound_of_ratio(interval: Interval, inverse: bool = False) -> str:
    """What stands before a ratio of which one end is open; ``inverse`` where 1 / ratio is shown."""
    if interval.high != math.inf and interval.low != 0:
        return ""
    return "at least " if (interval.high == math.inf) != inverse else "at most "


def brackets(interval: Interval, form: str) -> str:
    """Interval, reason and n in brackets."""
    n = f"n = {interval.n} seed{'s' if interval.n != 1 else ''}"
    why = f", {interval.reason}" if interval.reason else ""
    unknown = math.isnan(interval.low) or math.isnan(interval.high)  # one seed, one end open
    if unknown or (interval.low, interval.high) in ((-math.inf, math.inf), (0, math.inf)):
        return f"(no interval{why}; {n})"
    low = "no limit" if interval.low == -math.inf else format(interval.low, form)
    high = "no limit" if interval.high == math.inf else format(interval.high, form)
    return f"(95 % interval {low} to {high}{why}; {n})"
