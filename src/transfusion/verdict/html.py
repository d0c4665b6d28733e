"""A verdict as a notebook shows it: the decision, every start with its interval as a bar, and its numbers."""

from __future__ import annotations

import math
from html import escape

from transfusion.metrics import Interval
from transfusion.verdict.findings import Findings
from transfusion.verdict.numbers import RATIO, SIGNED, brief, level
from transfusion.verdict.statement import Statement

WIDTH, ROW, LEAST = 160, 18, 1e-9  # px, px, and the least half-width of the axis
CELL = "padding:2px 10px;text-align:left;border:0"


def html(found: Findings, statements: tuple[Statement, ...]) -> str:
    """Markup that stands alone; every name in it is escaped.

    Args:
        found: the numbers.
        statements: what they come to, of which the first are shown.
    """
    said = {topic: " ".join(one.text for one in statements if one.topic == topic) for topic in SHOWN}
    lines = [f"<p style='{style}'>{escape(said[topic])}</p>" for topic, style in SHOWN.items() if said[topic]]
    return f"<div style='line-height:1.45'>{''.join(lines)}{_table(found)}</div>"


SHOWN = {
    "runs": "margin:0 0 4px;font-weight:600",
    "decision": "margin:0;font-size:1.35em;font-weight:700",
    "numbers": "margin:2px 0 6px",
    "certainty": "margin:0 0 6px;opacity:.75;font-size:.92em",
}


def _table(found: Findings) -> str:
    if not found.schemes:
        return ""
    ends = [effect.claim("final_difference") for effect in found.schemes.values()]
    reach = max([abs(end) for one in ends for end in (one.low, one.high, one.estimate) if math.isfinite(end)] + [LEAST])
    heads = ("start", f"final {found.judge.title}", f"difference to {found.baseline}", "", "times sooner")
    rows = ["".join(f"<th style='{CELL}'>{escape(head)}</th>" for head in heads)]
    for name, where in found.levels.items():
        effect = found.schemes.get(name)
        cells = [escape(name), "-" if math.isnan(where.mean) else level(where.mean), "baseline", "", "baseline"]
        if effect is not None:
            end = effect.claim("final_difference")
            cells[2:] = [brief(end, SIGNED), _bar(end, reach), brief(effect.claim("speedup"), RATIO)]
        rows.append("".join(f"<td style='{CELL}'>{cell}</td>" for cell in cells))
    return f"<table style='border-collapse:collapse'>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _bar(interval: Interval, reach: float) -> str:
    """The interval about the line of no difference."""
    if math.isnan(interval.estimate):
        return ""
    ends = (interval.estimate if math.isnan(end) else end for end in (interval.low, interval.estimate, interval.high))
    low, middle, high = (WIDTH * (0.5 + 0.47 * max(-1.0, min(1.0, end / reach))) for end in ends)
    y = ROW / 2
    return (
        f"<svg width='{WIDTH}' height='{ROW}' role='img' aria-label='{brief(interval, SIGNED)}'>"
        f"<path d='M{WIDTH / 2} 0V{ROW}' stroke='currentColor' stroke-opacity='.4'/>"
        f"<path d='M{low:.1f} {y}H{high:.1f}' stroke='currentColor' stroke-width='1.6'/>"
        f"<circle cx='{middle:.1f}' cy='{y}' r='3.5' fill='currentColor'/></svg>"
    )
