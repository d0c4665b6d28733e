"""Numbers into words, made last and nowhere else.

Every sentence says one thing, in at most 30 words and four numbers; what is not shown is called not known.
"""

from __future__ import annotations

from collections.abc import Iterator

from transfusion.verdict.decision import Decision
from transfusion.verdict.findings import Findings
from transfusion.verdict.statement import Statement
from transfusion.verdict.wording import gain, networks, opening, starts
from transfusion.verdict.wording.brevity import told
from transfusion.verdict.wording.method import rules

__all__ = ["rules", "statements", "told"]


def statements(found: Findings, decision: Decision) -> Iterator[Statement]:
    """Every conclusion: what failed, the decision, its numbers, how sure, what next; then the details."""
    yield from opening.statements(found, decision)
    if decision.effect is None:
        return
    yield from starts.statements(found)
    yield from gain.statements(found)
    if found.likeness:
        yield from networks.statements(found.likeness)
