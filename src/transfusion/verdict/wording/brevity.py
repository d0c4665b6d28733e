"""Many statements that nothing is known are reported as one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from transfusion.verdict.findings import Findings
from transfusion.verdict.numbers import RATIO, SIGNED, listed, number
from transfusion.verdict.statement import Statement, Topic

MOST, MOST_NAMES = 2, 4  # statements of a topic that stay apart, and names in a sentence
FORMS: dict[Topic, str] = {"final": SIGNED, "pace": RATIO, "pair": SIGNED, "class": SIGNED}


def told(found: Findings, statements: Iterable[Statement]) -> Iterator[Statement]:
    """The statements, in their order; those of one topic that nothing is known of are one, where they are many."""
    every = list(statements)
    alike = {topic: [one for one in every if _is_open(one, topic)] for topic in FORMS}
    for one in every:
        group = alike.get(one.topic, [])
        if len(group) <= MOST or not _is_open(one, one.topic):
            yield one
        elif one is group[0]:  # in the place of the first; the others are reported with it
            yield _joined(found, group)


def _is_open(one: Statement, topic: Topic) -> bool:
    return one.topic == topic and one.outcome == "unknown"


def _joined(found: Findings, group: Sequence[Statement]) -> Statement:
    first = group[0]
    seen = [one.estimate for one in group if not math.isnan(one.estimate)]
    form = FORMS[first.topic]
    text = f"{_what(found, group)}: not known."
    if seen:
        unit = " times" if form == RATIO else ""
        text = f"{text} Measured: {number(min(seen), form)} to {number(max(seen), form)}{unit}."
    return replace(first, text=text, start=None, interval=None, soft=())


def _what(found: Findings, group: Sequence[Statement]) -> str:
    """What is not known, and of whom."""
    if group[0].topic == "class":
        return f"AUC of single classes, {group[0].start} against {found.baseline} in {len(group)} classes"
    if group[0].topic == "pair":
        return f"Final {found.judge.title} and speed in {len(group)} pairs of starts"
    names = [str(one.start) for one in group]
    who = listed(names) if len(names) <= MOST_NAMES else f"{len(names)} starts"
    what = f"Final {found.judge.title}" if group[0].topic == "final" else "Speed"
    return f"{what}, {who} against {found.baseline}"
