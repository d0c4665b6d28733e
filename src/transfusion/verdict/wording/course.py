"""Whether the study trained long enough or too long, and the seconds that a start saves."""

from __future__ import annotations

import math
from collections.abc import Iterator

from transfusion.verdict.effects import Effect
from transfusion.verdict.findings import Findings
from transfusion.verdict.numbers import SIGNED, level, listed, number, trainings
from transfusion.verdict.statement import Statement

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


def statements(found: Findings) -> Iterator[Statement]:
    """How long, and at what cost."""
    course, metric = found.course, found.judge.title
    if course.rising:
        names, gains = list(course.rising), list(course.rising.values())
        rises = listed([number(gain.estimate, SIGNED) for gain in gains])
        longer = option(found, LONGER * course.budget)
        text = (
            f"{listed(names)} still rise{'s' if len(names) == 1 else ''} at the last step, by {rises} in {metric} over "
            f"the last fifth of the steps. Train longer: {longer}."
        )
        yield Statement("course", "rising", text, names[0], interval=gains[0], option=longer)
    if course.flat_since is not None:
        shorter = option(found, course.flat_since)
        text = f"All starts are flat since step {course.flat_since:,} of {course.budget:,.0f}: {shorter} would do."
        yield Statement("course", "flat", text, option=shorter)
    if found.cost is not None and found.main is not None and found.main.pace in ("faster", "slower"):
        yield _cost(found, found.main)


def _cost(found: Findings, effect: Effect) -> Statement:
    """The seconds of one training; a bound where the speed-up is one."""
    cost, speedup = found.cost, effect.claim("speedup")
    assert cost is not None
    ratio = speedup.low if speedup.high == math.inf else speedup.high if speedup.low == 0 else speedup.estimate
    own = ("at most " if speedup.high == math.inf else "at least " if speedup.low == 0 else "") + seconds(
        cost.base_s / ratio
    )
    base = ("at least " if cost.is_least else "") + seconds(cost.base_s)
    median, least, most = (seconds(each) for each in cost.step_s)
    text = (
        f"{effect.start.name} reaches {found.judge.title} {level(cost.threshold)} after {own} of a training instead of "
        f"{base}. Reckoned by {median} per step, evaluations included: the median of {trainings(cost.n)}; the machine, "
        f"more or less busy, took {least} to {most}."
    )
    outcome = "saved" if effect.pace == "faster" else "lost"
    return Statement("cost", outcome, text, effect.start.name, effect.against, cost.saved(speedup))


def seconds(value: float) -> str:
    """A time for people.

    Examples:
        >>> seconds(0.0314), seconds(34.4), seconds(113), seconds(7260)
        ('31 ms', '34 s', '1 min 53 s', '2 h 01 min')
    """
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 100:
        return f"{value:.2g} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
