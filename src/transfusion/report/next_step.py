"""The next step as a command."""

from __future__ import annotations

import math
import shlex

from transfusion.report.material import Material
from transfusion.verdict.wording.opening import ENOUGH

MOST = 100  # trainings of each start that a command asks for; beyond them other images help more


def command(material: Material) -> str:
    """What to type next: more trainings where they may decide, what is missing first; empty where there is nothing.

    The folder is given by its last part, so that no path of this machine is on the page.
    """
    study = f"transfusion study {shlex.quote(material.store.folder.absolute().name)}"
    verdict = material.verdict
    if any(tally.unfinished or tally.failed for tally in verdict.tallies.values()) or not verdict.tallies:
        return study
    wanted = _trainings(material)
    if wanted > len(material.spec.seeds):
        return f"{study} --seeds {wanted}"
    fall = verdict.advice.outcome == "stop early"
    return f"{study} --set task.val_fraction=0.1 --out {shlex.quote(material.spec.name)}-val" if fall else ""


def _trainings(material: Material) -> int:
    """Of each start; 0 where more would not help."""
    decision = material.verdict.advice
    if decision.outcome == "first look":
        return ENOUGH
    if decision.effect is None or decision.outcome not in ("undecided", "probably saves time"):
        return 0
    if decision.effect.num_lost:
        return 0
    needed = [decision.effect.to_confirm, decision.effect.to_show_equal]
    numbers = [one.best for one in needed if one is not None and one.best is not None]
    fits = [num for num in numbers if len(material.spec.seeds) < num <= MOST and not math.isinf(num)]
    return min(fits, default=0)
