"""The interval that each claim rests on, so that a whole page seldom says something false.

The primary claims are two: where the main start ends, and how fast it is, against the baseline. Together they are wrong
in at most 5 % of studies without an effect (Holm). All others share 2 %, or the whole 5 % once both primary claims are
shown (Bretz et al. 2009), in equal parts by topic; within a topic they are adjusted by Dunnett's test with a spread
pooled over starts, or by Bonferroni.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from transfusion.metrics import Interval, evidence
from transfusion.verdict.contest import Contest
from transfusion.verdict.effects import Effect
from transfusion.verdict.families import Pool, holm_levels
from transfusion.verdict.inference import Crossing, Floats, gaps_of, log_ratios, moved
from transfusion.verdict.sequential import Looks

PRIMARY, REST = 0.05, 0.02  # all other claims get the 5 % only once both of the main question are shown
ENDS, PACE = "final_difference", "speedup"


def primary(contest: Contest, effect: Effect, looks: Looks | None = None) -> tuple[Effect, float]:
    """The main effect with its two claims adjusted, and what is left for all other claims.

    Args:
        contest: that it is part of.
        effect: of the main start.
        looks: the plan, where the study is judged after every training.
    """
    alpha = PRIMARY if looks is None else looks.level(effect.evidence.n)  # what this look may spend of the 5 %
    name, other = effect.start.name, effect.against
    p_values = {ENDS: effect.evidence.p_value(), PACE: contest.pace_p(name, other)}
    levels = holm_levels(p_values, alpha)
    intervals = {
        ENDS: effect.evidence.interval(1 - levels[ENDS]),
        PACE: contest.pace(name, other, 1 - levels[PACE]),
    }
    all_shown = all(p < levels[what] for what, p in p_values.items())
    tested = effect.evidence.interval(1 - 2 * alpha)  # two one-sided tests at alpha are one interval at 1 - 2 alpha
    judged = replace(effect, adjusted=intervals, equivalence=tested, equivalence_level=alpha)
    return judged, PRIMARY if all_shown else REST


def family(contest: Contest, effects: Mapping[str, Effect], alpha: float) -> dict[str, Effect]:
    """Effects against one start, adjusted for each other; half of ``alpha`` for their ends, half for their paces.

    Args:
        contest: that they are part of.
        effects: by any name.
        alpha: chance of any false claim.
    """
    ends, paces = _pool_of_ends(contest), _pool_of_paces(contest)
    level, num = 1 - alpha / 2, len(effects)  # half for ends, half for paces
    return {
        name: replace(
            effect,
            adjusted={
                ENDS: ends.claim(effect.evidence, num).interval(level),
                PACE: _pace(contest, effect, paces, num, level),
            },
        )
        for name, effect in effects.items()
    }


def _pace(contest: Contest, effect: Effect, pool: Pool, num: int, level: float) -> Interval:
    """By the pooled spread of log steps where every run is timed, by its own and Bonferroni otherwise."""
    name, other = effect.start.name, effect.against
    own, base = contest.crossings(name, other), contest.crossings(other, name)
    # a pooled spread needs numbers; a bound has none
    if not own or not contest.rise.is_clear or not all(each.is_bounded for each in (*own, *base)):
        return contest.pace(name, other, 1 - (1 - level) / max(1, num))
    found = evidence(log_ratios(base, own)[1], moved(base, own))
    logs = pool.claim(found, num, found.n * (gaps_of(own) + gaps_of(base))).interval(level)
    with np.errstate(over="ignore"):  # two trainings may leave an end beyond every number: it is open
        low, estimate, high = np.exp([logs.low, logs.estimate, logs.high]).tolist()
    return replace(logs, estimate=estimate, low=low, high=high)


def _pool_of_ends(contest: Contest) -> Pool:
    runs = [contest.grid.complete(start.name) for start in contest.grid.starts]
    seeds = sorted(set.intersection(*map(set, runs))) if runs else []
    return Pool.of([np.array([curves[seed].final for seed in seeds]) for curves in runs])


def _pool_of_paces(contest: Contest) -> Pool:
    """Over the starts whose runs are all timed."""
    starts = [start.name for start in contest.grid.starts]
    timed: list[list[Crossing]] = [contest.crossings(name, name) for name in starts]
    seeds = [tuple(contest.grid.find(name)) for name in starts]
    usual = max(seeds, key=len, default=())
    logs: list[Floats] = [
        np.log([each.best for each in runs])
        for runs, own in zip(timed, seeds, strict=True)
        if own == usual and all(each.is_bounded for each in runs)  # residuals need the same seeds in every row
    ]
    return Pool.of(logs)
