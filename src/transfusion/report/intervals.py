"""A verdict as tidy frames, for figures, and as short text, for cells of tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from transfusion.metrics import Interval
from transfusion.verdict import Verdict

WHOLE, SCALING = "pretrained", "mean_var"
QUANTITIES = ("final_difference", "speedup", "area")


def intervals(verdict: Verdict) -> pd.DataFrame:
    """A verdict's comparisons as a tidy frame, for ``figures.forest``: one row per start and quantity.

    Returns:
        Columns ``start scheme quantity estimate low high n``.
    """
    rows = [
        {"start": name, "scheme": compared.start.scheme, "quantity": what, **_plain(getattr(compared, what))}
        for name, compared in verdict.schemes.items()
        for what in QUANTITIES
    ]
    frame: pd.DataFrame = pd.DataFrame(rows, columns=["start", "scheme", "quantity", "estimate", "low", "high", "n"])
    return frame


def upto_intervals(verdict: Verdict) -> pd.DataFrame:
    """What partial starts give, for ``figures.upto``: speed-up and share of the full one, and the ends of each line.

    Returns:
        Columns ``rest stage quantity estimate low high n``; empty where the study has no partial start.
    """
    partial_starts = {name: c for name, c in verdict.schemes.items() if name in verdict.upto_shares}
    rows = [
        {"rest": c.start.rest, "stage": c.start.upto, "quantity": what, **_plain(interval)}
        for name, c in partial_starts.items()
        for what, interval in (("speedup", c.speedup), ("share", verdict.upto_shares[name]))
    ]
    for rest in dict.fromkeys(c.start.rest for c in partial_starts.values()):
        rows += [{"rest": rest, **end} for end in _line_ends(verdict, rest)]
    frame: pd.DataFrame = pd.DataFrame(rows, columns=["rest", "stage", "quantity", "estimate", "low", "high", "n"])
    return frame


def _line_ends(verdict: Verdict, rest: str) -> Iterator[dict[str, Any]]:
    """No pretrained stage at all, which is the scheme of the rest, and all of them; shares of 0 and 1 by definition."""
    if rest == verdict.baseline:
        yield {"stage": "none", "quantity": "speedup", "estimate": 1.0}
        yield {"stage": "none", "quantity": "share", "estimate": 0.0}
    elif rest in verdict.schemes:
        yield {"stage": "none", "quantity": "speedup", **_plain(verdict.schemes[rest].speedup)}
    if rest == SCALING:
        yield {"stage": "none", "quantity": "share", **_plain(verdict.scaling_share)}
    if WHOLE in verdict.schemes:
        yield {"stage": "all", "quantity": "speedup", **_plain(verdict.schemes[WHOLE].speedup)}
        yield {"stage": "all", "quantity": "share", "estimate": 1.0}


def _plain(interval: Interval) -> dict[str, float]:
    return {name: getattr(interval, name) for name in ("estimate", "low", "high", "n")}


def mean_and_sd(mean: float, std: float) -> str:
    """A mean, with its standard deviation where there is one."""
    if np.isnan(mean):
        return "-"
    return f"{mean:.3f}" if np.isnan(std) else f"{mean:.3f} ± {std:.3f}"


def brief(interval: Interval, form: str) -> str:
    """An estimate with the ends of its interval, as far as they are known; a bound is shown as one."""
    if np.isnan(interval.estimate):
        return "unknown"
    bound = "≥ " if interval.high == np.inf else "≤ " if interval.low in (0, -np.inf) else ""
    said = format(interval.estimate, form)
    if not interval.low <= interval.high or (bound and interval.low in (0, -np.inf) and interval.high == np.inf):
        return said
    low, high = ("∞" if end == np.inf else format(end, form) for end in (interval.low, interval.high))
    return f"{bound}{said} [{low}, {high}]"
