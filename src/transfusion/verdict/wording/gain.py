"""What the gain is made of: scale and features, stages, pairs of starts, batch-norm modes."""

from __future__ import annotations

import math
from collections.abc import Iterator

from transfusion.metrics import Interval
from transfusion.verdict.effects import ENOUGH_OF_SPEEDUP, Effect
from transfusion.verdict.findings import Findings
from transfusion.verdict.numbers import RATIO, SHARE, SIGNED, ends, measured, number
from transfusion.verdict.statement import Statement
from transfusion.verdict.wording.opening import end_words, pace_words

HOW_MUCH = "How much of that head start {} has"
THE_REST = "the rest is what it does not have"  # not "features": more than those sets it apart from the whole weights


def statements(found: Findings) -> Iterator[Statement]:
    """In the order in which they are read."""
    yield from _scaling(found)
    yield from _upto(found)
    for effect in found.pairs:
        text = f"{effect.start.name} against {effect.against}: {_lower_first(end_words(found, effect))}"
        text = f"{text} {pace_words(found, effect)}"
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
    share, part, pair = found.scaling_share, found.schemes[found.scaling], _whole_against_scaling(found)
    name = found.scaling
    if part.pace == "slower":
        outcome, text = "none", f"{name} has none of that head start: it is slower than {found.baseline}."
    # a share is one of a difference in pace, and that must be known itself
    elif pair and pair.pace == "unknown":
        outcome = "unknown"
        text = f"{HOW_MUCH.format(name)}: not known, as {found.whole} is not shown to be faster or slower than {name}."
    # neither a part nor the whole is shown while the interval holds both
    elif not share.is_known or (share.high >= 1 and share.low < ENOUGH_OF_SPEEDUP):
        fits = f" ({ends(share, SHARE)} fits)" if share.is_known else _why(share)
        outcome, text = "unknown", f"{HOW_MUCH.format(name)}: not known{fits}."
    elif share.low >= ENOUGH_OF_SPEEDUP:
        outcome, text = "all", _all_scale(found, found.schemes[found.whole], part)
    elif share.high <= 0:
        outcome, text = "none", f"{name} has none of that head start, with 95 % confidence."
    # an upper bound: an end at 0 or without limit, an estimate that is itself a bound (see ``share_of_speedup``), or a
    # share above 0 of a start that is not shown to be faster itself
    elif share.low in (0, -math.inf) or (share.low < 0 and share.reason) or (share.low > 0 and part.pace != "faster"):
        high = number(share.high, SHARE)
        outcome, text = "at most", f"{name} has at most {high} of that head start, with 95 % confidence; {THE_REST}."
    else:
        outcome, text = "known", f"{name} has {measured(share, SHARE)} of that head start; {THE_REST}."
    text = " ".join([text, *_without_donor(found)])
    yield Statement("scaling", outcome, text, name, found.whole, share)


def _whole_against_scaling(found: Findings) -> Effect | None:
    return next((one for one in found.pairs if (one.start.name, one.against) == (found.whole, found.scaling)), None)


def _without_donor(found: Findings) -> Iterator[str]:
    """What starts that know nothing of the donor have of it: so much is owed to the baseline's scale alone."""
    for name, share in found.plain_shares.items():
        if share.is_known and found.schemes[name].pace == "faster":
            yield f"{name}, which has no donor, has {measured(share, SHARE)}."
        elif share.is_known:
            estimate = number(share.estimate, SHARE)
            yield f"{name}, which has no donor, has {estimate}, not shown to be faster than {found.baseline}."


def _why(share: Interval) -> str:
    """Why it is not known, where that is of use to a reader."""
    return f", as {share.reason}".replace("%", " %") if share.reason and share.reason.startswith("it depends") else ""


def _all_scale(found: Findings, whole: Effect, part: Effect) -> str:
    speeds = f"{number(part.speedup.estimate, RATIO)} against {number(whole.speedup.estimate, RATIO)} times"
    text = f"{found.scaling} is at least as fast as {found.whole} ({speeds}): its scale is enough for speed here."
    if found.scaling_share.low < 1:
        least = number(ENOUGH_OF_SPEEDUP, SHARE)
        text = (
            f"{found.scaling} has at least {least} of that head start ({speeds}): its scale is nearly enough for speed."
        )
    pair = _whole_against_scaling(found)
    if pair and pair.ends == "higher":
        gain = measured(pair.claim("final_difference"), SIGNED)
        text = f"{text} {found.whole} does end higher: {found.judge.title} {gain}."
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
