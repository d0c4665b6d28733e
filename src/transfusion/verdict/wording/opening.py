"""What is read first: lost runs, the decision, its numbers, how sure it is, what next."""

from __future__ import annotations

import math
from collections.abc import Iterator

from transfusion.verdict.curves import Start
from transfusion.verdict.decision import Decision
from transfusion.verdict.effects import RISE_SHARE, Effect
from transfusion.verdict.findings import WHOLE, Findings
from transfusion.verdict.numbers import (
    RATIO,
    SHARE,
    SIGNED,
    fits_anything,
    inverse,
    level,
    listed,
    measured,
    number,
    times,
    trainings,
)  # fmt: skip
from transfusion.verdict.statement import Statement
from transfusion.verdict.tally import Tally, hidden_rate
from transfusion.verdict.wording import ahead, more

FEW_POSITIVES = 20  # patients; with fewer, intervals of a difference are rough


def statements(found: Findings, decision: Decision) -> Iterator[Statement]:
    """In the order in which they are read."""
    yield from _runs(found)
    yield Statement("decision", decision.outcome, _decision(found, decision), decision.start, found.baseline)
    if decision.effect is None:
        return
    yield _numbers(found, decision, decision.effect)
    yield _certainty(found, decision, decision.effect)
    yield ahead.statement(found, decision, decision.effect)


def _runs(found: Findings) -> Iterator[Statement]:
    for start, tally in found.tallies.items():
        if tally.lost:
            yield Statement("runs", "lost", _lost(start, tally), start)
    total = sum(tally.num_runs for tally in found.tallies.values())
    if unfinished := sum(tally.unfinished for tally in found.tallies.values()):
        ended = f"{total - unfinished} of {trainings(total)} have ended"
        yield Statement("runs", "unfinished", f"Interim: {ended}, so thresholds and conclusions may change.")


def _lost(start: str, tally: Tally) -> str:
    counts = {
        "diverged (the loss became NaN or infinite)": tally.diverged,
        "collapsed (the same output for every image)": tally.collapsed,
        "stopped with an error": tally.failed,
    }
    how = listed([f"{count} {what}" for what, count in counts.items() if count])
    said = [f"{tally.lost} of {trainings(tally.num_runs)} of {start} FAILED: {how}."]
    if tally.done:
        said.append(f"The figures for {start} are those of the {tally.done} that survived.")
    if tally.lost > tally.failed:
        said.append("Lower the learning rate (--lr).")
    return " ".join(said)


def _decision(found: Findings, decision: Decision) -> str:
    if decision.effect is None:
        return _nothing(found)
    effect, base = decision.effect, found.baseline
    name, weights = effect.start.name, _weights(effect.start)
    said = {
        "nobody learned": "No start learned anything.",
        "first look": "A first look, no conclusion.",
        "only it learns": f"Use {weights}: only {name} learns within {effect.timing.budget:,.0f} steps.",
        "another": f"Use {name} instead: it ends higher than {_main_name(found)} and {base}.",
        "better": f"Use {weights}.",
        "better but slower": f"Use {weights} if you can wait.",
        "stop early": f"Use {weights}, and stop early.",
        "worse": f"Do not use {weights}: start from {base}.",
        "saves time": f"Use {weights} to save time.",
        "either": f"Either will do, {name} or {base}.",
        "either, pace unknown": f"Either will do in the end, {name} or {base}; speed not known.",
        "slower": f"Skip {weights}: start from {base}.",
        "too easy": "The task is too easy to tell the starts apart.",
        "probably saves time": f"Probably use {weights}: time is saved; whether the end is better is not known.",
        "undecided": f"Not decided between {name} and {base}.",
    }
    return said[decision.outcome]


def _nothing(found: Findings) -> str:
    metric, baseline, others = found.judge.title, found.baseline, listed(list(found.schemes))
    if not others:
        return f"Nothing to compare with {baseline} yet: no training of another start has a value of {metric}."
    return f"Nothing to compare {others} with yet: no training of {baseline} has a value of {metric}."


def _weights(start: Start) -> str:
    return "the pretrained weights" if (start.scheme, start.upto) == (WHOLE, None) else f"the {start.name} start"


def _main_name(found: Findings) -> str:
    return found.main.start.name if found.main else ""


def _numbers(found: Findings, decision: Decision, effect: Effect) -> Statement:
    metric, name, outcome = found.judge.title, effect.start.name, decision.outcome
    if outcome in ("nobody learned", "too easy"):
        text = _everything(found)
    elif outcome == "only it learns":
        text = f"{metric} {level(effect.final_mean)} against {level(effect.against_mean)}; speeds cannot be given."
    elif outcome == "another":
        means = {other: found.levels[other].mean for other in (_main_name(found), found.baseline)}
        rest = listed([f"{level(mean)} ({other})" for other, mean in means.items()])
        text = f"It ends at {metric} {level(effect.final_mean)}, against {rest}."
    elif outcome == "stop early":
        fall = found.falls[name]
        text = (
            f"It is best at step {fall.step:,}, {metric} {level(fall.peak)}, and falls to {level(fall.last)}. "
            f"{found.baseline} ends at {level(effect.against_mean)}."
        )
    else:
        text = f"{end_words(found, effect)} {pace_words(found, effect)}"
    return Statement("numbers", outcome, text, name, effect.against, effect.claim("final_difference"))


def _everything(found: Findings) -> str:
    means = [one.mean for one in found.levels.values() if one.n]
    lowest, highest = level(min(means)), level(max(means))
    reach = lowest if lowest == highest else f"{lowest} to {highest}"
    return f"All starts end at {found.judge.title} {reach}."


def end_words(found: Findings, effect: Effect) -> str:
    """Where it ends, as a sentence of numbers."""
    metric, difference = found.judge.title, effect.claim("final_difference")
    if effect.ends in ("equal", "slightly higher", "slightly lower"):
        return f"Equally good in the end: within {found.margin:g} in {metric}."
    if effect.is_apart:
        other = f"{level(effect.against_mean)} of {effect.against}"
        apart = f"The difference is {measured(difference, SIGNED)}."
        return f"{metric} {level(effect.final_mean)} at the end against {other}. {apart}"
    if math.isnan(difference.estimate) or fits_anything(difference, SIGNED):
        return f"Final {metric}: not known."
    return f"Final {metric}: not known, {measured(difference, SIGNED)}."


def pace_words(found: Findings, effect: Effect) -> str:
    """How fast it is, as a sentence of numbers."""
    speed = effect.claim("speedup")
    if effect.pace == "faster":
        return f"It reaches {level(found.rise.level(RISE_SHARE))} sooner: {times(speed)}."
    if effect.pace == "slower":
        return f"It reaches {level(found.rise.level(RISE_SHARE))} later: {times(inverse(speed))}."
    if effect.pace == "same":
        return f"Speed: about the same, {measured(speed, RATIO)} times."
    if math.isnan(speed.estimate) or fits_anything(speed, RATIO):
        return "Speed: not known."
    return f"Speed: not known, {measured(speed, RATIO)} times."


def _certainty(found: Findings, decision: Decision, effect: Effect) -> Statement:
    difference = effect.final_difference
    judged = f", judged on {effect.num_patients:,} test {found.judged_on}" if effect.num_patients else ""
    said = [f"{trainings(difference.n)} each{judged}; {_covered(found, effect)}"]
    if found.looks is not None:
        said.append(
            f"Trainings were added until they decided, at most {found.looks.last} each; the claims allow for it."
        )
    said += [_parts(found, effect)] if difference.parts else []
    if effect.num_positive is not None and effect.num_positive < FEW_POSITIVES:
        said.append(f"Only {effect.num_positive} test {found.judged_on} are positive: too few for fine differences.")
    smallest = min((tally.done for tally in found.tallies.values()), default=0)
    if smallest and not any(tally.lost for tally in found.tallies.values()):
        hidden = number(hidden_rate(smallest), SHARE)
        said.append(f"No training failed; with {smallest} each, a rate of failure up to {hidden} is not excluded.")
    said += _together(found)
    return Statement("certainty", decision.outcome, " ".join(said), interval=difference)


def _together(found: Findings) -> list[str]:
    """How many claims hold together, and of what."""
    of_sizes = sum(len(effects) for effects in list(found.by_size.values())[:-1])
    starts = len(found.schemes) + len(found.pairs) + of_sizes
    counts = {"ends": starts, "speeds": starts, "classes": len(found.classes), "batch-norm modes": len(found.modes)}
    if (num := sum(counts.values())) <= 2:
        return []
    kinds = listed([kind for kind, count in counts.items() if count])
    said = [f"{num} comparisons were made (of {kinds}); their brackets are wide enough to hold together."]
    whole = found.schemes.get(found.whole)
    is_split = found.scaling in found.schemes and whole is not None and whole.pace == "faster"
    return [*said, "A share of the head start is 95 % by itself."] if is_split else said


def _covered(found: Findings, effect: Effect) -> str:
    """What brackets are intervals over: no claim reaches beyond that."""
    end, speed = ("patients" in one.parts for one in (effect.final_difference, effect.speedup))
    if end and (speed or not effect.speedup.is_known):
        return f"brackets are 95 % intervals over other trainings and other {found.judged_on}."
    if end:
        return (
            f"brackets are 95 % intervals over other trainings and, at the end of training, other {found.judged_on}. "
            "Those of speed are of these test images only."
        )
    return "brackets are 95 % intervals over other trainings on these test images, not other patients."


def _parts(found: Findings, effect: Effect) -> str:
    """Which source of uncertainty is the larger, and so what would help."""
    patients = effect.final_difference.parts.get("patients", 0.0)
    said = f"{number(patients, SHARE)} of the uncertainty is that of {found.judged_on}"
    if patients > 0.5:
        return f"{said}, so more test {found.judged_on} would help most."
    if effect.ends == "unknown" and more.only_patients_help(effect):
        return f"{said}, and that alone is too much for a margin of {effect.margin:g}."
    return f"{said}, so more trainings would help most."
