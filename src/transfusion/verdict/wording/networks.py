"""What the networks learned, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator

from transfusion.metrics import Interval
from transfusion.verdict.likeness import Change, Gap, Likeness
from transfusion.verdict.numbers import listed, measure_name, number
from transfusion.verdict.statement import Statement

Pair = tuple[str, str]


def statements(found: Likeness) -> Iterator[Statement]:
    """Where the main start changes, from where on all starts look alike, and of which stages nothing can be said."""
    yield from _change(found)
    yield _alike(found)
    yield from _yardstick(found)
    if found.full and set(found.full) != set(found.stages):
        stages = listed(found.full)
        text = f"No conclusion for {stages}: with so few images chance alone gives a {_measure(found)} near 1 there."
        yield Statement("alike", "too few images", f"{text} Show more (--set representations.images=N).")


def _measure(found: Likeness) -> str:
    return measure_name(found.measure)


def _change(found: Likeness) -> Iterator[Statement]:
    known = {
        stage: change
        for stage, change in found.change.get(found.main, {}).items()
        if math.isfinite(change.share.estimate) and stage not in found.full
    }
    if len(known) < 2:
        return
    for how, pick in (("least", max), ("most", min)):
        stage = pick(known, key=lambda stage: known[stage].share.estimate)
        text = f"In these trainings {found.main} changed {how} at {stage}: {_changed(found, known[stage])}"
        yield Statement("change", how, text, found.main, interval=known[stage].value)


def _changed(found: Likeness, change: Change) -> str:
    share = change.share.estimate
    way = f"{share:.0%} of the way from chance to identity" if share > 0 else "no more than chance"
    return (
        f"{_measure(found)} of before and after {change.value.estimate:.2f}{_ends(change.value)}. Chance gives "
        f"{change.chance:.2f}, so that is {way}."
    ).replace("%", " %")


def _ends(value: Interval) -> str:
    return "" if math.isnan(value.low) else f" ({value.low:.2f} to {value.high:.2f})"


def _alike(found: Likeness) -> Statement:
    yardstick = f"two trainings of {found.baseline} with different seeds"
    known = {
        stage: {pair: gap for pair, gap in pairs.items() if math.isfinite(gap.share.estimate)}
        for stage, pairs in found.gaps.items()
        if stage not in found.full
    }
    if not known:
        text = "Whether the starts end alike is not known: at every stage chance alone gives a similarity near 1."
        return Statement("alike", "unknown", text)
    if not any(known.values()):
        n = max((one.value.n for by_stage in found.change.values() for one in by_stage.values()), default=0)
        text = f"Whether the starts end alike is not known: the yardstick is {yardstick}, and there are {n}."
        return Statement("alike", "unknown", text)
    if found.alike_from is not None:
        pair, gap = _least_alike(known[found.alike_from])
        text = (
            f"From {found.alike_from} on, trained networks of all starts are as alike as {yardstick}. "
            f"Least alike there: {listed(pair)}, {_differ(gap)}."
        )
        return Statement("alike", "alike", text, pair[0], pair[1], gap.claim)
    last = [stage for stage in found.stages if known.get(stage)][-1]
    return _not_alike(found, last, *_least_alike(known[last]))


def _yardstick(found: Likeness) -> Iterator[Statement]:
    """What two trainings of the baseline share, and what two networks share that have learned nothing."""
    known = [
        stage
        for stage in found.stages
        if stage not in found.full
        and math.isfinite(found.between_seeds[stage].estimate)
        and math.isfinite(found.between_untrained[stage].estimate)
    ]
    if not known:
        return
    stage = found.alike_from if found.alike_from in known else known[-1]
    trained, untrained = found.between_seeds[stage], found.between_untrained[stage]
    text = (
        f"At {stage}, two trainings of {found.baseline} with different seeds have {_measure(found)} "
        f"{trained.estimate:.2f}{_ends(trained)}. Untrained, two such networks have "
        f"{untrained.estimate:.2f}{_ends(untrained)}."
    )
    yield Statement("alike", "yardstick", text, found.baseline, found.baseline, trained)


def _not_alike(found: Likeness, stage: str, pair: Pair, gap: Gap) -> Statement:
    names = listed(pair)
    if gap.is_less_alike:
        text = f"At {stage}, {names} networks are clearly less alike than two {found.baseline} ones: {_lower(gap)}."
        return Statement("alike", "less alike", text, pair[0], pair[1], gap.claim)
    by_chance = not gap.is_above_chance and not math.isnan(gap.share.low)
    why = " They are not shown to be more alike than chance." if by_chance else ""
    whether = f"Whether {names} networks end as alike as two {found.baseline} ones is not known"
    text = f"{whether}: at {stage}, {_differ(gap)}.{why}"
    return Statement("alike", "unknown", text, pair[0], pair[1], gap.claim)


def _lower(gap: Gap) -> str:
    low, high = -gap.claim.high, -gap.claim.low
    around = "" if math.isnan(low) else f" ({low:.2f} to {high:.2f})"
    return f"similarity {-gap.claim.estimate:.2f} lower{around}; chance gives {gap.chance:.2f}"


def _differ(gap: Gap) -> str:
    value = gap.claim
    around = "" if math.isnan(value.low) else f" ({number(value.low, '+.2f')} to {number(value.high, '+.2f')})"
    return f"similarity {number(value.estimate, '+.2f')}{around}; chance gives {gap.chance:.2f}"


def _least_alike(gaps: dict[Pair, Gap]) -> tuple[Pair, Gap]:
    return min(gaps.items(), key=lambda item: item[1].share.estimate)
