"""A verdict as tidy frames, for figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from transfusion.metrics import Interval
from transfusion.report.figures.intervals import quantities
from transfusion.verdict import Verdict

COLUMNS = ["start", "scheme", "quantity", "estimate", "low", "high", "n"]


def intervals(verdict: Verdict) -> pd.DataFrame:
    """Every start against the baseline, for ``figures.forest``: one row per start and quantity.

    Returns:
        Columns ``start scheme quantity estimate low high n``.
    """
    frame = verdict.frame()
    own = (frame["size"] == verdict.largest) & (frame["against"] == verdict.baseline)
    own &= frame["quantity"].isin(quantities(verdict.judge))
    rows: pd.DataFrame = frame.loc[own, COLUMNS].reset_index(drop=True)
    return rows


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
    start = verdict.called.get(rest, rest)
    if start == verdict.baseline:
        yield {"stage": "none", "quantity": "speedup", "estimate": 1.0}
        yield {"stage": "none", "quantity": "share", "estimate": 0.0}
    elif start in verdict.schemes:
        yield {"stage": "none", "quantity": "speedup", **_plain(verdict.schemes[start].speedup)}
    if start == verdict.scaling:
        yield {"stage": "none", "quantity": "share", **_plain(verdict.scaling_share)}
    if verdict.whole in verdict.schemes:
        yield {"stage": "all", "quantity": "speedup", **_plain(verdict.schemes[verdict.whole].speedup)}
        yield {"stage": "all", "quantity": "share", "estimate": 1.0}


def _plain(interval: Interval) -> dict[str, float]:
    return {name: getattr(interval, name) for name in ("estimate", "low", "high", "n")}
