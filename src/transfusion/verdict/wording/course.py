"""Whether the study trained long enough or too long, and the seconds that a start saves."""

from __future__ import annotations

import math
from collections.abc import Iterator

from transfusion.verdict.findings import Findings
from transfusion.verdict.numbers import SIGNED, level, listed, number, trainings
from transfusion.verdict.statement import Statement
from transfusion.verdict.wording.brevity import MOST_NAMES

LONGER = 2  # times the steps, where curves still rise


def option(found: Findings, steps: float) -> str:
    """The option that makes every training so many steps long; of one in epochs, as many times the epochs.

    Examples:
        >>> from transfusion import metrics
        >>> from transfusion.verdict.course import Course
        >>> from transfusion.verdict.effects import Rise
        >>> found = Findings(metrics.AUC, "random", 0.01, Rise(0.5, 0.9, 0.01), course=Course(100, {}))
        >>> option(found, 200)
        '--steps 200'
    """
    if found.epochs:
        return f"--set train.epochs={found.epochs * steps / found.course.budget:.3g}"
    return f"--steps {steps:.0f}"


def length(found: Findings) -> Iterator[Statement]:
    """Whether longer or shorter trainings would be better."""
    course, metric = found.course, found.judge.title
    if course.rising:
        names, gains = list(course.rising), list(course.rising.values())
        least, most = (number(pick(gain.estimate for gain in gains), SIGNED) for pick in (min, max))
        rises = least if least == most else f"{least} to {most}"
        who = listed(names) if len(names) <= MOST_NAMES else f"{len(names)} starts"
        longer = option(found, LONGER * course.budget)
        text = (
            f"{who} still rise{'s' if len(names) == 1 else ''} at the last step, by {rises} in {metric} over "
            f"the last fifth of the steps. Train longer: {longer}."
        )
        yield Statement("course", "rising", text, names[0], interval=gains[0], option=longer)
    if course.flat_since is not None:
        shorter = option(found, course.flat_since)
        text = f"All starts are flat since step {course.flat_since:,} of {course.budget:,.0f}: {shorter} would do."
        yield Statement("course", "flat", text, option=shorter)


def cost(found: Findings) -> Iterator[Statement]:
    """The seconds of a training that the main start saves; bounds where its speed-up is one."""
    known, effect = found.cost, found.main
    if known is None or effect is None or effect.pace not in ("faster", "slower"):
        return
    speedup = effect.claim("speedup")
    # an open interval has no estimate to reckon with: the end that is known bounds the time
    ratio = speedup.low if speedup.high == math.inf else speedup.high if speedup.low == 0 else speedup.estimate
    bound = "at most " if speedup.high == math.inf else "at least " if speedup.low == 0 else ""
    own_s, median_s = known.base_s / ratio, known.step_s[0]
    steps, base_steps = (f"{max(1, spent / median_s):,.0f}" for spent in (own_s, known.base_s))
    own, base = seconds(own_s), seconds(known.base_s)
    median, least, most = (seconds(each) for each in known.step_s)
    at_least, busy = "at least " if known.is_least else "", ""
    if least != most:
        busy = f"; the machine, more or less busy, took {least} to {most}"
    text = (
        f"{effect.start.name} reaches {found.judge.title} {level(known.threshold)} after {bound}{steps} steps instead "
        f"of {at_least}{base_steps}. That is about {own} of a training instead of {base}. Reckoned by {median} a step, "
        f"evaluations included: the median of {trainings(known.n)}{busy}."
    )
    outcome = "saved" if effect.pace == "faster" else "lost"
    yield Statement("cost", outcome, text, effect.start.name, effect.against, known.saved(speedup))


DAYS_FROM = 100 * 3600  # seconds


def seconds(value: float) -> str:
    """A time in words.

    Examples:
        >>> seconds(0.849), seconds(34.4), seconds(113), seconds(7260), seconds(1e7)
        ('850 ms', '34 s', '1 min 53 s', '2 h 01 min', '116 days')
    """
    if value < 1:
        return f"{float(f'{value * 1000:.2g}'):.0f} ms"
    if value < 100:
        return f"{value:.2g} s"
    if value >= DAYS_FROM:
        return f"{value / 86_400:,.0f} days"
    minutes, rest = divmod(round(value), 60)  # rounded before it is cut: 59.6 s is no "0 min 60 s"
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
