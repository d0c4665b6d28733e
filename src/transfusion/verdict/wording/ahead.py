"""What to do next, and the option of ``transfusion study`` that does it."""

from __future__ import annotations

from transfusion.verdict.decision import Decision
from transfusion.verdict.effects import Effect
from transfusion.verdict.findings import Findings
from transfusion.verdict.needed import MOST
from transfusion.verdict.numbers import listed
from transfusion.verdict.statement import Statement
from transfusion.verdict.wording import course, more
from transfusion.verdict.wording.brevity import MOST_NAMES

ENOUGH = 5  # trainings each, that a first look is advised to come back with
HALF = 0.5  # of the uncertainty
MOST_SEEDS = 100  # that a command is offered for
Step = tuple[str, str | None]


def statement(found: Findings, decision: Decision, effect: Effect) -> Statement:
    """The next step."""
    text, option = _step(found, decision, effect)
    name = effect.start.name
    return Statement("next", decision.outcome, f"Next: {text}", name, effect.against, option=option)


def _step(found: Findings, decision: Decision, effect: Effect) -> Step:
    longer = course.option(found, course.LONGER * effect.timing.budget)
    said: dict[str, Step] = {
        "nobody learned": ("check the labels, then more steps or another learning rate (--lr).", longer),
        "first look": (f"at least {ENOUGH} trainings of each start.", f"--seeds {ENOUGH}"),
        "too easy": ("more or harder test images; more trainings will not help.", None),
        "stop early": ("keep a validation split that picks the step.", "--set task.val_fraction=0.1"),
    }
    if decision.outcome in said:
        return said[decision.outcome]
    if decision.outcome in ("undecided", "probably saves time"):
        return _how_many(found, effect)
    return _of_decided(found, decision, effect)


def _of_decided(found: Findings, decision: Decision, effect: Effect) -> Step:
    """Where the decision stands, what would sharpen or widen it."""
    timing, course_ = effect.timing, found.course
    if effect.pace == "unknown" and not found.rise.is_clear:
        if decision.outcome == "only it learns":
            longer = course.option(found, course.LONGER * timing.budget)
            return f"if speed matters, train longer, until {found.baseline} learns something too.", longer
        return f"if speed matters, evaluate more often; {found.baseline} shows no rise that could be timed.", None
    if course_.rising:
        return f"train longer, as {_curves(list(course_.rising))} still rise.", course.option(found, 2 * course_.budget)
    if (timing.own_at_once or timing.against_at_once) and timing.first_look > 1:
        return "look more often, to time the start.", f"--eval-every {max(1, int(timing.first_look) // 3)}"
    if not found.by_size:
        return "see whether fewer images change it.", "--sizes 10%,30%,all"
    return "see what the networks learned.", "--representations"


def _curves(starts: list[str]) -> str:
    """Those of some starts, by name where they are few."""
    return f"the curves of {listed(starts)}" if len(starts) <= MOST_NAMES else f"{len(starts)} curves"


def _how_many(found: Findings, effect: Effect) -> Step:
    if effect.num_lost:
        return "find out why trainings were lost; those that survived cannot show equality.", None
    said = [text for text in (more.trainings_needed(effect), more.trainings_to_show_equal(effect)) if text]
    enough = [need.best for need in (effect.to_confirm, effect.to_show_equal) if need and need.best]
    # the fewer: either conclusion settles it
    seeds = min((num for num in enough if num > effect.evidence.n), default=0)
    # nobody trains more than that; no command for it
    option = f"--seeds {seeds}" if said and seeds <= MOST_SEEDS else None
    patients = more.patients_needed(effect, found.judged_on)
    if said:
        return " ".join([*said, *([f"Or {patients}"] if patients else []), more.HOW]), option
    if patients:
        return patients, None
    if more.only_patients_help(effect):
        both = "more trainings and " if effect.evidence.shared_part < HALF else ""
        whom = found.judged_on
        return f"{both}more test {whom}; on these, {MOST:,} trainings of each start would not settle it.", None
    return "more trainings.", f"--seeds {2 * effect.evidence.n}"
