"""How the runs of a study ended, counted before anything is concluded from those that survived."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from transfusion.verdict.curves import Grid

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Tally:
    """Runs of one start, over all data sizes.

    Attributes:
        num_runs: how many there are to be.
        failed: that stopped with an error.
        diverged: whose loss became NaN or infinite.
        collapsed: whose network gives the same outputs for all images.
        unfinished: that stop short of the last step for no known reason, or have not begun.
    """

    num_runs: int
    failed: int = 0
    diverged: int = 0
    collapsed: int = 0
    unfinished: int = 0

    @property
    def lost(self) -> int:
        """Those that will never be finished."""
        return self.failed + self.diverged + self.collapsed

    @property
    def done(self) -> int:
        """Those that ended as they should."""
        return self.num_runs - self.lost - self.unfinished

    def to_dict(self) -> dict[str, int]:
        """Plain values."""
        return asdict(self)


def hidden_rate(num_runs: int) -> float:
    """The highest rate of failure that n runs without one do not exclude, at 95 % confidence.

    Source: Clopper and Pearson 1934, one-sided, no event.

    Examples:
        >>> round(hidden_rate(3), 2)
        0.63
    """
    return float(1 - (1 - CONFIDENCE) ** (1 / num_runs)) if num_runs else 1.0


def count(frame: pd.DataFrame, grids: list[Grid], runs: pd.DataFrame | None = None) -> dict[str, Tally]:
    """The tally of every start, in the order of the frame.

    Args:
        frame: tidy curves, with the column ``start``.
        grids: what was read from it.
        runs: one row per run, also of those without a curve: ``run start state``, where the state is ``done``,
            ``failed``, ``diverged`` or any other; None where only the curves are known.
    """
    known = frame[["run", "start"]].drop_duplicates("run").assign(state="") if runs is None else runs
    short = _short(known, grids)
    told: dict[str, Counter[str]] = {}
    for run, start, state in known[["run", "start", "state"]].itertuples(index=False, name=None):
        told.setdefault(str(start), Counter())[short.get(run, "done") if state in ("", "done") else str(state)] += 1
    return {start: _tally(states) for start, states in told.items()}


def _tally(states: Mapping[str, int]) -> Tally:
    found = {state: states.get(state, 0) for state in ("failed", "diverged", "collapsed")}
    total = sum(states.values())
    return Tally(total, **found, unfinished=total - sum(found.values()) - states.get("done", 0))


def _short(known: pd.DataFrame, grids: list[Grid]) -> dict[Any, str]:
    """Run -> ``collapsed`` or ``unfinished``, of those without a complete curve."""
    ended = {
        curve.run: "collapsed" if curve.is_collapsed else "done" if curve.is_complete(grid.budget) else "unfinished"
        for grid in grids
        for curves in grid.starts.values()
        for curve in curves.values()
    }
    return {run: state for run in known["run"] if (state := ended.get(run, "unfinished")) != "done"}
