"""What to do, by rules that stand before any curve is seen.

A difference at the end that is shown to be smaller than the margin decides nothing; pace does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from transfusion.verdict.details import Level
from transfusion.verdict.effects import FEW, Effect
from transfusion.verdict.findings import Findings

Outcome: TypeAlias = Literal[
    "nothing",  # there are no two starts to compare
    "nobody learned",
    "first look",  # fewer than three trainings
    "only it learns",  # the baseline does not
    "another",  # a start beats both the main one and the baseline
    "better",
    "better but slower",
    "stop early",  # it ends lower at the last step, and not at its best
    "worse",
    "saves time",
    "either",
    "either, pace unknown",
    "slower",
    "too easy",  # all end at the best possible value
    "probably saves time",
    "undecided",
]

CEILING = 0.005  # of the metric's limit
NEAR_CHANCE = 0.05


@dataclass(frozen=True)
class Decision:
    """What to do.

    Attributes:
        outcome: the pattern of what was found.
        start: the start to prefer; None where the study gives no reason to prefer one.
        effect: what it rests on: the start that was judged against the baseline, or the one that beats both.
    """

    outcome: Outcome
    start: str | None
    effect: Effect | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"outcome": self.outcome, "start": self.start}


def decide(found: Findings) -> Decision:
    """The decision between the main start, the baseline, and any other start that beats both."""
    main = found.main
    if main is None or not found.has_baseline:
        return Decision("nothing", None)
    if _nobody_learned(found):
        return Decision("nobody learned", None, main)
    if main.final_difference.n < FEW:
        return Decision("undecided" if _too_many_lost(found, main) else "first look", None, main)
    # before the main start is judged: what beats both is the better advice, however the main one fares
    if better := _beats_both(found):
        return Decision("another", better.start.name, better)
    return _between(found, main)


def _too_many_lost(found: Findings, main: Effect) -> bool:
    """Whether there were trainings enough, and too few of them survived."""
    tallies = [found.tallies[name] for name in (main.start.name, main.against) if name in found.tallies]
    return main.num_lost > 0 and all(tally.done + tally.lost >= FEW for tally in tallies)


def _between(found: Findings, main: Effect) -> Decision:
    name, base = main.start.name, found.baseline
    if main.ends == "higher":
        if not found.rise.is_clear and found.levels[name].learns:
            return Decision("only it learns", name, main)
        return Decision("better but slower" if main.pace == "slower" else "better", name, main)
    if main.ends == "lower":
        return _of_lower(found, main)
    if main.ends == "unknown":
        if main.pace == "faster":
            return Decision("probably saves time", name, main)
        return Decision("too easy" if is_at_ceiling(found) else "undecided", None, main)
    if main.pace == "faster":
        return Decision("saves time", name, main)
    if main.pace == "slower":
        return Decision("slower", base, main)
    if is_at_ceiling(found):
        return Decision("too easy", None, main)
    return Decision("either" if main.pace == "same" else "either, pace unknown", None, main)


def _of_lower(found: Findings, main: Effect) -> Decision:
    """A start that ends lower although its best evaluation is no lower than the baseline's is to be stopped early."""
    fall = found.falls.get(main.start.name)
    base = found.falls.get(found.baseline)
    best = base.peak if base else found.levels[found.baseline].mean
    # its best is as good and comes sooner: not the weights are at fault
    if fall and fall.peak >= best and main.pace == "faster":
        return Decision("stop early", main.start.name, main)
    return Decision("worse", found.baseline, main)


def _beats_both(found: Findings) -> Effect | None:
    """The start with the highest end, if it is shown to end higher than the main start and the baseline."""
    if found.challenge is None or found.challenge.ends != "higher":
        return None
    best = found.schemes[found.challenge.start.name]
    return best if best.ends == "higher" else None


def _nobody_learned(found: Findings) -> bool:
    """Whether every start stays near chance, as far as the metric says what chance gives."""
    known = _known(found)
    return bool(known) and all(not one.learns and one.mean < found.judge.chance + NEAR_CHANCE for one in known)


def is_at_ceiling(found: Findings) -> bool:
    """Whether every training of every start ends at the best possible value."""
    known = _known(found)
    return bool(known) and all(one.low >= found.judge.limit - CEILING for one in known)


def _known(found: Findings) -> list[Level]:
    return [level for level in found.levels.values() if level.n]
