"""How many more trainings or patients, in words."""

from __future__ import annotations

import math

from transfusion.verdict.effects import Effect
from transfusion.verdict.needed import MOST, POWER, Needed, patients_to_confirm
from transfusion.verdict.numbers import SHARE, SIGNED, number

HOW = f"Each with {number(POWER, SHARE)} power; the ranges are what the spread seen leaves open."


def trainings_needed(effect: Effect) -> str:
    """To confirm the difference seen; empty where as many as there are should have done, or no number is enough."""
    range_ = _range(effect.to_confirm, effect.evidence.n)
    seen = number(effect.evidence.estimate, SIGNED)
    return f"to confirm {seen}, if it is real, {range_}." if range_ else ""


def trainings_to_show_equal(effect: Effect) -> str:
    """To show a difference under the margin."""
    range_ = _range(effect.to_show_equal, effect.evidence.n)
    return f"To show that they differ by less than {effect.margin:g}, if so, {range_}." if range_ else ""


def patients_needed(effect: Effect, judged_on: str) -> str:
    """Where it is patients that are few."""
    if effect.num_patients is None or effect.evidence.shared_part < 0.5:  # else more trainings help more
        return ""
    needed = patients_to_confirm(effect.evidence, effect.num_patients)
    if needed is None or needed <= effect.num_patients:
        return ""
    return f"judge these trainings on {needed:,} test {judged_on}; now {effect.num_patients:,}."


def only_patients_help(effect: Effect) -> bool:
    """Whether no number of trainings would settle where it ends, on these test images."""
    enough = any(needed and needed.best for needed in (effect.to_confirm, effect.to_show_equal))
    return not enough and not math.isnan(effect.evidence.shared)


def _range(needed: Needed | None, n: int) -> str:
    if needed is None or needed.best is None or needed.low is None or needed.best <= n:
        return ""
    most = f"{needed.high:,}" if needed.high is not None else f"over {MOST:,}"
    return f"about {needed.best:,} trainings each ({needed.low:,} to {most})"
