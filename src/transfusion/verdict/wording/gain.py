"""What the gain is made of: scale and features, stages, pairs of starts, batch-norm modes."""

from __future__ import annotations

import math
from collections.abc import Iterator

from transfusion.metrics import Interval
from transfusion.verdict.effects import ENOUGH_OF_SPEEDUP, Effect
from transfusion.verdict.findings import Findings
from transfusion.verdict.numbers import RATIO, SHARE, SIGNED, measured, number
from transfusion.verdict.statement import Statement
from transfusion.verdict.wording.opening import end_words, pace_words

SPLIT = "How the head start splits into scale and features"
MERE_SCALE = "How much of that head start is mere weight scale"


def statements(found: Findings) -> Iterator[Statement]:
    """In the order in which they are read."""
    yield from _scaling(found)
    yield from _upto(found)
    for effect in found.pairs:
        text = f"{effect.start.name} against {effect.against}: {_lower_first(end_words(found, effect))}"
        text = f"{text} {pace_words(effect)}"
        yield Statement(
            "pair", _of_pair(effect), text, effect.start.name, effect.against, effect.claim("final_difference")
        )
    yield from _modes(found)


def _of_pair(effect: Effect) -> str:
    """What is shown of two starts: of their ends first, and else of their paces."""
    return effect.pace if effect.ends == "unknown" else effect.ends


def _lower_first(text: str) -> str:
    first, rest = text.split(" ", 1)
    return text if first.isupper() else f"{first.lower()} {rest}"


def _scaling(found: Findings) -> Iterator[Statement]:
    """Only where there is a head start to split."""
    if not {found.whole, found.scaling} <= set(found.schemes) or found.schemes[found.whole].pace != "faster":
        return
    share, part = found.scaling_share, found.schemes[found.scaling]
    if part.pace == "slower":
        text = f"Scale alone does not help here: {found.scaling} is slower than {found.baseline}. "
        outcome, text = "none", f"{text}So the whole head start is reuse of features."
    # neither mere scale nor reuse is shown while the interval holds both
    elif not share.is_known or (share.high >= 1 and share.low < ENOUGH_OF_SPEEDUP):
        fits = f" (scale: {_possible(share)})" if share.is_known else _why(share)
        outcome, text = "unknown", f"{SPLIT}: not known{fits}."
    elif share.low >= ENOUGH_OF_SPEEDUP:
        outcome, text = "all", _all_scale(found, found.schemes[found.whole], part)
    elif share.high <= 0:
        outcome, text = "none", f"{MERE_SCALE}: none, with 95 % confidence; all of it is reuse of features."
    # an upper bound, as an end at 0 or without limit, or an estimate that is itself a bound; see ``share_of_speedup``
    elif share.low in (0, -math.inf) or (share.low < 0 and share.reason):
        high = number(share.high, SHARE)
        outcome, text = "at most", f"{MERE_SCALE}: at most {high}, with 95 % confidence; the rest is reuse of features."
    else:
        estimate = number(max(share.estimate, 0.0), SHARE)  # below 0: scale slows it down, by no part of a whole
        outcome, text = "known", f"{MERE_SCALE}: {estimate} ({_possible(share)}); the rest is reuse of features."
    yield Statement("scaling", outcome, text, found.scaling, found.whole, share)


def _why(share: Interval) -> str:
    """Why it is not known, where that is of use to a reader."""
    return f", as {share.reason}".replace("%", " %") if share.reason and share.reason.startswith("it depends") else ""


def _possible(share: Interval) -> str:
    """What fits of a share that lies between nothing and all."""
    low, high = max(share.low, 0.0), max(min(share.high, 1.0), 0.0)
    if (low, high) == (0, 1):
        return "anything from nothing to all of it"
    return f"{number(low, SHARE)} to {'all of it' if high == 1 else number(high, SHARE)}"


def _all_scale(found: Findings, whole: Effect, part: Effect) -> str:
    speeds = f"{number(part.speedup.estimate, RATIO)} against {number(whole.speedup.estimate, RATIO)} times"
    text = f"Scale alone is at least as fast as {found.whole} ({speeds}): the features add no speed here."
    if found.scaling_share.low < 1:
        least = number(ENOUGH_OF_SPEEDUP, SHARE)
        text = f"Scale alone gives at least {least} of the head start ({speeds}): the features add little speed here."
    pair = next((one for one in found.pairs if (one.start.name, one.against) == (found.whole, found.scaling)), None)
    if pair and pair.ends == "higher":
        gain = measured(pair.claim("final_difference"), SIGNED)
        text = f"{text} They do add at the end: {found.judge.title} {gain}."
    return text


def _upto(found: Findings) -> Iterator[Statement]:
    """What is not shown either way is not known."""
    shares = found.upto_shares
    if not shares or found.schemes.get(found.whole) is None or found.schemes[found.whole].pace != "faster":
        return
    if name := found.smallest_upto:
        least = number(ENOUGH_OF_SPEEDUP, SHARE)
        text = f"{name} is enough: at least {least} of the head start. Measured: {measured(shares[name], SHARE)}."
        yield Statement("upto", "enough", text, name, found.whole, shares[name])
        return
    known = {name: share for name, share in shares.items() if share.is_known}
    # "none is enough" needs every upper end below: one that is open leaves it open
    undecided = [name for name, share in known.items() if share.high >= ENOUGH_OF_SPEEDUP]
    top = max(known, key=lambda name: known[name].estimate, default=None)
    if undecided:
        name = undecided[0]
        text = f"Up to which stage the weights are needed: not known. {name} gives {_part(known[name])}."
        yield Statement("upto", "unknown", text, name, found.whole, known[name])
    elif top is not None and len(known) == len(shares):
        text = f"No partial start is enough: the most, {top}, gives {_part(known[top])}."
        yield Statement("upto", "none", text, top, found.whole, known[top])
    else:
        yield Statement("upto", "unknown", "Up to which stage the weights are needed: not known.", against=found.whole)


def _part(share: Interval) -> str:
    return f"{measured(share, SHARE)} of the head start"


def _modes(found: Findings) -> Iterator[Statement]:
    for scheme, (best, worst, gap) in found.modes.items():
        what = f"Batch norm of {scheme}, mean {found.judge.title} over the training"
        differ = f"differ by {measured(gap, SIGNED)}, adjusted for the pick"
        if gap.low > 0:
            yield Statement("batch_norm", "apart", f"{what}: {best} is highest, {worst} lowest. They {differ}.", scheme,
                            interval=gap)  # fmt: skip
        else:
            text = f"{what}: no mode is shown to be better. Highest and lowest {differ}."
            yield Statement("batch_norm", "unknown", text, scheme, interval=gap)
