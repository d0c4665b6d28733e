"""The rules of claims on the numbers that the paper prints: where its own tables do not carry its sentences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from transfusion.metrics import Interval
from transfusion.paper.claims.claim import together
from transfusion.paper.claims.judges import OTHERS, M, P, R, counted, widest
from transfusion.paper.evidence import Finding
from transfusion.paper.published import TABLES, UNSTATED_N, Cell, difference, same_within
from transfusion.paper.rules import COMPARABLE, Outcome, ordered, weaker


def _cells_of(table: str, column: str, a: str, b: str) -> tuple[Cell, Cell]:
    cells = TABLES[table].cells[column]
    return cells[a], cells[b]


def order(table: str, column: str, a: str, b: str) -> Callable[[], Finding]:
    """Whether a printed mean is above another."""

    def judge() -> Finding:
        one, other = _cells_of(table, column, a, b)
        gaps = [difference(one, other, n) for n in one.possible_n]
        return Finding(weaker([ordered(gap) for gap in gaps]), gaps[0], TABLES[table].metric)

    return judge


def sameness(table: str, column: str, a: str, b: str) -> Callable[[], Finding]:
    """Whether two printed means are the same within the paper's "0.5 %"."""

    def judge() -> Finding:
        one, other = _cells_of(table, column, a, b)
        outcomes, gaps = [], [difference(one, other, n) for n in one.possible_n]
        for gap, n in zip(gaps, one.possible_n, strict=True):
            within = same_within(gap, one, other, n, COMPARABLE) < 0.05
            outside = gap.low > COMPARABLE or gap.high < -COMPARABLE
            outcomes.append(Outcome.REPLICATED if within else Outcome.CONTRADICTED if outside else Outcome.CANNOT_TELL)
        return Finding(weaker(outcomes), gaps[0], TABLES[table].metric)

    return judge


def all_printed(*parts: Callable[[], Finding]) -> Callable[[], Finding]:
    """A claim of several parts."""
    return lambda: together([part() for part in parts])


def gap_grows() -> Finding:
    """Whether the gap of Table 2 is larger with 50k images than with 300k."""
    found = []
    for other in (R, M):
        small, large = (difference(*_cells_of("T2", column, P, other), 3) for column in ("50k", "300k"))
        # the sizes are other trainings, so their errors are independent and their half-widths add in squares
        half = float(np.hypot(small.high - small.estimate, large.high - large.estimate))
        gap = small.estimate - large.estimate
        interval = Interval(gap, gap - half, gap + half, 3)
        found.append(Finding(ordered(interval), interval, "auc"))
    return together(found)


def many_within() -> Finding:
    """How many of the other diseases of Table 5 lie within the paper's "0.5 %"."""
    pairs = [(P, M), (P, R), (M, R)]
    return counted([widest([sameness("T5", name, *pair)() for pair in pairs]) for name in OTHERS])


def macro_mean() -> Finding:
    """Whether the mean AUC over the diseases of Table 5 is the same for pretrained and random."""
    rows = TABLES["T5"].cells.values()
    gap = float(np.mean([row[P].mean - row[R].mean for row in rows]))
    errors = [(row[P].sd ** 2 + row[R].sd ** 2) / min(UNSTATED_N) for row in rows]
    half = float(np.sqrt(np.sum(errors)) / len(errors) * 2.78)  # t with 4 degrees of freedom: the wider assumption
    interval = Interval(gap, gap - half, gap + half, min(UNSTATED_N))
    return Finding(Outcome.CONTRADICTED if interval.low > COMPARABLE else Outcome.CANNOT_TELL, interval, "auc")
