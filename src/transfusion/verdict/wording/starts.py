"""Every start against the baseline: where it ends, how fast it is; by class and by data size."""

from __future__ import annotations

import math
from collections.abc import Iterator

from transfusion.metrics import Interval
from transfusion.verdict.details import ClassEffect
from transfusion.verdict.effects import FEW, RISE_SHARE, Effect
from transfusion.verdict.families import SCATTERS
from transfusion.verdict.findings import Findings
from transfusion.verdict.numbers import (
    RATIO,
    SIGNED,
    ends,
    fits_anything,
    inverse,
    is_open,
    level,
    measured,
    number,
    times,
    trainings,
)  # fmt: skip
from transfusion.verdict.statement import Statement
from transfusion.verdict.wording import course


def statements(found: Findings) -> Iterator[Statement]:
    """Ends of all starts, then their speeds, then classes and sizes."""
    for effect in found.schemes.values():
        yield _final(found, effect)
    yield from _overfitting(found)
    yield from course.length(found)
    for effect in found.schemes.values():
        text = f"{_pace(found, effect)}{_at_once(effect) if found.rise.is_clear else ''}"
        yield Statement("pace", effect.pace, text, effect.start.name, effect.against, effect.claim("speedup"))
    yield from course.cost(found)
    for one in found.classes:
        yield _class(found, one)
    yield from _sizes(found)


def _final(found: Findings, effect: Effect) -> Statement:
    name, difference = effect.start.name, effect.claim("final_difference")
    soft = ""
    if effect.ends == "equal":
        soft = f"Measured: {number(difference.estimate, SIGNED)} ({_tested(effect.equivalence)})."
    elif not math.isnan(difference.estimate):
        wider = f" The bracket is wider, as {SCATTERS}." if difference.reason == SCATTERS else ""
        soft = f"Measured: {measured(difference, SIGNED)}; {trainings(difference.n)} each.{wider}"
    text = f"{_end(found, effect)} {soft}".strip()
    return Statement("final", effect.ends, text, name, effect.against, difference, (soft,) if soft else ())


def _tested(equivalence: Interval) -> str:
    """The interval that equality was tested by."""
    inside = ends(equivalence, SIGNED)
    return f"90 % interval {inside}" if equivalence.low < equivalence.high else inside


def _end(found: Findings, effect: Effect) -> str:
    """What is claimed of the end, without its numbers."""
    metric, name, base, margin = found.judge.title, effect.start.name, effect.against, found.margin
    difference, open_end = effect.claim("final_difference"), f"Final {metric}, {name} against {base}: "
    if math.isnan(difference.estimate):
        return f"{open_end}not known, as {difference.reason}."
    if effect.ends == "equal":
        each = f"{trainings(difference.n)} each"
        return f"{name} and {base} end equally good: less than {margin:g} apart in {metric}, in {each}."
    if effect.ends.startswith("slightly"):
        return f"{name} ends {effect.ends} than {base}, by too little to matter: less than {margin:g} in {metric}."
    if effect.is_apart:
        levels = f"{metric} {level(effect.final_mean)} against {level(effect.against_mean)}"
        return f"{name} ends {effect.ends} than {base}: {levels}."
    if difference.n < FEW:
        return f"{open_end}too few trainings to say."
    if effect.num_lost and effect.equivalence_p < 0.05:
        return f"{open_end}not known, because {effect.num_lost} of their trainings failed."
    return f"{open_end}not known."


def _overfitting(found: Findings) -> Iterator[Statement]:
    metric = found.judge.title
    for name, fall in found.falls.items():
        text = (
            f"{name} falls from its peak: {metric} {level(fall.peak)} at step {fall.step:,}, {level(fall.last)} at the "
            "last. It overfits, or the learning rate is too high."
        )
        yield Statement("overfitting", "falls", text, name, interval=fall.drop)
    for name, end in found.levels.items():
        if end.n and abs(end.mean - end.last) > found.margin:
            text = (
                f"{name} has {metric} {level(end.mean)} where the validation split picks, {level(end.last)} at the "
                "last step. The first is what counts here."
            )
            yield Statement("overfitting", "picked", text, name, interval=end.interval)


def _pace(found: Findings, effect: Effect) -> str:
    name, base, speed, timing = effect.start.name, effect.against, effect.claim("speedup"), effect.timing
    threshold = f"{found.judge.title} {level(found.rise.level(RISE_SHARE))}"
    open_end = f"Speed, {name} against {base}: "
    if not timing.n:
        return f"{open_end}not known, as {speed.reason}."
    if not found.rise.is_clear:
        return (
            f"{found.baseline} does not rise beyond the noise of its evaluations in {timing.budget:,.0f} steps: "
            f"{name} cannot be timed against it."
        )
    if timing.own_never == timing.n and effect.pace == "slower":
        steps = f"0 of {trainings(timing.n)}, {timing.budget:,.0f} steps"
        slower = f"at least {number(1 / speed.high, RATIO)} times"
        return f"{name} never reached {threshold} ({steps}). So it is slower than {base}, {slower}."
    if effect.pace == "faster":
        return f"{name} reaches {threshold} {times(speed)} sooner than {base}."
    if effect.pace == "slower":
        return f"{name} reaches {threshold} {times(inverse(speed))} later than {base}."
    if is_open(speed) or math.isnan(speed.estimate):
        return f"{open_end}not known; the evaluations set no bound."
    if fits_anything(speed, RATIO):
        return f"{open_end}not known; anything fits."
    if effect.pace == "same":
        return f"{open_end}about the same, {measured(speed, RATIO)} times."
    return f"{open_end}not known, {measured(speed, RATIO)} times."


def _at_once(effect: Effect) -> str:
    """Where the first look came too late to time a start, and what to do."""
    timing = effect.timing
    groups = {effect.start.name: timing.own_at_once, effect.against: timing.against_at_once}
    late = {who: num for who, num in groups.items() if num}
    if not late or effect.claim("speedup").n == 0:
        return ""
    who, num = next(iter(late.items()))
    often = f" Look more often (--eval-every {max(1, int(timing.first_look) // 3)})." if timing.first_look > 1 else ""
    counted = f"{num} of {trainings(timing.n)} of {who} {'was' if num == 1 else 'were'}"
    return f" {counted} there before the first look at step {timing.first_look:,.0f}.{often}"


def _class(found: Findings, one: ClassEffect) -> Statement:
    name, count = found.main.start.name if found.main else "", ""
    if one.positives is not None:
        count = f" ({one.positives:,} positive test image{'' if one.positives == 1 else 's'})"
    numbers = measured(one.difference, SIGNED)
    words = {
        "too few": "nothing can be concluded from so few.",
        "higher": f"{name} ends higher, by {numbers}.",
        "lower": f"{name} ends lower, by {numbers}.",
        "unknown": f"not known, {numbers}." if not math.isnan(one.difference.estimate) else "not known.",
    }
    said = words[one.outcome] if one.difference.n >= FEW else "too few trainings to say."
    text = f"AUC of {one.name}{count}: {said}"
    shown: Interval | None = None if one.outcome == "too few" else one.difference
    return Statement("class", one.outcome, text, name, found.baseline, shown)


def _sizes(found: Findings) -> Iterator[Statement]:
    if found.size_change is None or found.main is None:
        return
    name, base, sizes = found.main.start.name, found.baseline, list(found.by_size)
    for size in sizes[:-1]:
        if name in found.by_size[size]:
            effect = found.by_size[size][name]
            gain, word = effect.claim("final_difference"), "not known" if effect.ends == "unknown" else effect.ends
            what = f"With {size} images, {name} against {base} in {found.judge.title}"
            text = f"{what}: {word}, {measured(gain, SIGNED)}."
            yield Statement("size", effect.ends, text, name, base, gain)
    change = found.size_change
    outcome = "larger" if change.low > 0 else "smaller" if change.high < 0 else "unknown"
    said = f"the gain is {outcome} with fewer images"
    if outcome == "unknown":
        said = "whether fewer images change the gain is not known"
    text = f"From {sizes[-1]} to {sizes[0]} images: {said}, {measured(change, SIGNED)}."
    yield Statement("size", outcome, text, name, base, change)
