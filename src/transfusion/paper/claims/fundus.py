"""Claims about fundus photographs: where training ends, how fast, batch norm, amounts of data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np

from transfusion.metrics import Interval
from transfusion.paper.claims import printed
from transfusion.paper.claims.claim import Claim, all_of, together
from transfusion.paper.claims.judges import H, M, P, R, S, ends_alike, is_faster, is_paced, num_images, several
from transfusion.paper.evidence import (
    Arms,
    Evidence,
    Finding,
    Logs,
    NotTestableError,
    alike,
    area,
    higher,
    in_common,
    paced,
    scaling_share,
)
from transfusion.paper.published import TABLES
from transfusion.paper.rules import COMPARABLE, Outcome, ordered
from transfusion.verdict.curves import Curve

AREA_MARGIN = 0.01  # of the metric, on the mean height of a curve


def _small_gain(evidence: Evidence) -> Finding:
    """Above 0 and below the margin: a gain that is shown to be larger contradicts "very small"."""
    found = higher(evidence.arms("t1", "auc").gap(P, R), 0.0, "auc")
    assert found.estimate is not None
    within = found.estimate.high < COMPARABLE
    if found.outcome is Outcome.REPLICATED and not within:
        beyond = found.estimate.low > COMPARABLE
        return Finding(Outcome.CONTRADICTED if beyond else Outcome.CANNOT_TELL, found.estimate, "auc")
    return found


def _scaling(evidence: Evidence) -> Finding:
    arms = evidence.arms("t1", "auc")
    share = scaling_share(arms.log_speed(R, M), arms.log_speed(R, P))
    if np.isnan(share.low):
        return Finding(Outcome.CANNOT_TELL, share, "share", share.reason or "")
    return Finding(ordered(share), share, "share")


def _meeting(evidence: Evidence) -> Finding:
    arms = evidence.arms("t1", "auc")
    # ends alone would count curves as met that were never apart
    shrinks = higher(arms.gap(P, R, _quarter(0)) - arms.gap(P, R, _quarter(3)), 0.0, "auc")
    ends = ends_alike("t1", "auc", (P, R), (M, R), (P, M))(evidence)
    return together([ends, shrinks])


def _quarter(number: int) -> Callable[[Curve], float]:
    """Mean height in a quarter of the training, 0 to 3."""

    def mean(curve: Curve) -> float:
        share = curve.steps / curve.steps[-1]
        inside = (share >= number / 4) & (share <= (number + 1) / 4)
        return float(curve.values[inside].mean()) if inside.any() else float("nan")

    return mean


_MODES = (M, f"{M} bn=mean_var", f"{M} bn=pretrained")


def _modes_alike(evidence: Evidence) -> Finding:
    arms, pairs = evidence.arms("f5", "auc").whole(*_MODES), list(combinations(_MODES, 2))
    return together([alike(arms.gap(a, b, area), AREA_MARGIN, "auc", 1 - 0.05 / len(pairs)) for a, b in pairs])


def _identity_best(evidence: Evidence) -> Finding:
    arms = evidence.arms("f5", "auc")
    return together([higher(arms.gap(_MODES[0], other, area), 0.0, "auc", 1 - 0.05 / 2) for other in _MODES[1:]])


def _pretrained_worst(evidence: Evidence) -> Finding:
    arms = evidence.arms("f5", "auc")
    return together([higher(arms.gap(other, _MODES[2], area), 0.0, "auc", 1 - 0.05 / 2) for other in _MODES[:2]])


def _gap_grows(evidence: Evidence) -> Finding:
    first, *_, last = several(evidence.grids("t2", "auc"))
    return together([higher(_by_seed(first, last, P, other), 0.0, "auc") for other in (R, M)])


def _by_seed(small: Arms, large: Arms, a: str, b: str) -> np.ndarray:
    """The final gap of ``a`` to ``b`` at one size minus that at another, (seeds,)."""
    few, many = small.gaps(a, b), large.gaps(a, b)
    return np.array([few[seed] - many[seed] for seed in in_common(few, many)])


def _ends_alike_at_all_but_the_smallest(evidence: Evidence) -> Finding:
    grids = several(evidence.grids("t2", "auc"))[1:]
    level = 1 - 0.05 / (2 * len(grids))
    gaps = [arms.whole(P, other).gap(P, other) for arms in grids for other in (R, M)]
    return together([alike(gap, COMPARABLE, "auc", level) for gap in gaps])


def _slopes(grids: Sequence[Arms], values: Sequence[Mapping[int, float]], base: float) -> dict[int, float]:
    """Seed -> least-squares slope over log size to a base, of what is known by seed at every size."""
    weights = _weights(grids, base)
    return {seed: float(weights @ np.array([each[seed] for each in values])) for seed in in_common(*values)}


def _weights(grids: Sequence[Arms], base: float) -> np.ndarray:
    """The weight of each size in a least-squares slope over log size, (sizes,)."""
    x = np.log([num_images(arms) for arms in grids]) / np.log(base)
    weights: np.ndarray = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    return weights


def _flat_gap(evidence: Evidence) -> Finding:
    grids = several(evidence.grids("t2", "auc"))
    slopes = _slopes(grids, [arms.whole(P, R).gaps(P, R) for arms in grids], 2.0)
    return alike(np.array(list(slopes.values())), COMPARABLE, "auc")


def _steady_speed(evidence: Evidence) -> Finding:
    grids, found = several(evidence.grids("t2", "auc")), []
    for start in (P, M):
        logs = [arms.whole(R, start).log_speed(R, start) for arms in grids]
        slopes = _slopes(grids, [dict(zip(each.seeds, each.best.tolist(), strict=True)) for each in logs], 10.0)
        # sizes are other runs, so what the gaps between evaluations leave adds with the squared weights
        gaps = float(_weights(grids, 10.0) ** 2 @ np.array([each.gaps for each in logs]))
        values = np.array(list(slopes.values()))
        found.append(paced(Logs(tuple(slopes), values, values, values, gaps, 0.0)))
    return together(found)


FEWEST, DRAWS = 5, 2000  # seeds for a bootstrap over them (three make ten distinct draws only), and its draws


def _steady_pace(evidence: Evidence) -> Finding:
    """Spread over sizes of the pace to one level: that of random over those of mean_var and pretrained."""
    grids = several(evidence.grids("t2", "auc"))
    seeds = in_common(*(arms.runs(start) for arms in grids for start in (R, M, P)))  # drawn together, so of all alike
    logs = {start: _log_steps(grids, start, seeds) for start in (R, M, P)}
    return together([_spread_ratio(logs[R], logs[other]) for other in (M, P)])


def _log_steps(grids: Sequence[Arms], start: str, seeds: Sequence[int]) -> np.ndarray:
    """Log of the steps to 80 % of random's rise with all images, (sizes, seeds)."""
    level = grids[-1].level  # one for all sizes: the level of each size's own rise would hide what size changes
    met = [[arms.runs(start)[seed].crossing(level) for seed in seeds] for arms in grids]
    steps = np.array([[each.best if np.isfinite(each.latest) else np.inf for each in row] for row in met])
    if not np.isfinite(steps).all():
        size = grids[int(np.argmax(~np.isfinite(steps).all(axis=1)))].grid.size
        raise NotTestableError(f"With {size} images {start} never reaches the level that random does with all.")
    logs: np.ndarray = np.log(steps)
    return logs


def _spread_ratio(ours: np.ndarray, theirs: np.ndarray) -> Finding:
    """Ratio of two standard deviations over sizes, by a bootstrap over seeds."""
    num = ours.shape[1]
    draws = np.random.default_rng(0).integers(num, size=(DRAWS, num))  # of both alike: seeds are paired
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.log([ours[:, draw].mean(axis=1).std() / theirs[:, draw].mean(axis=1).std() for draw in draws])
        best = float(ours.mean(axis=1).std() / theirs.mean(axis=1).std())
    if num < FEWEST or not np.isfinite(drawn).all():
        why = f"It takes {FEWEST} seeds for a bootstrap over them, and there are {num}."
        return Finding(Outcome.CANNOT_TELL, Interval(best, np.nan, np.nan, num), "times", why)
    low, high = np.exp(np.quantile(drawn, (0.025, 0.975))).tolist()
    interval = Interval(best, low, high, num)
    return Finding(ordered(interval, 1.0), interval, "times")


FUNDUS = (
    Claim(
        "A1",
        "4.2",
        "All three starts “achieve comparable performance”.",
        "Final differences within 0.005, every pair.",
        ends_alike("t1", "auc", (P, R), (M, R), (P, M)),
        printed.all_printed(
            printed.sameness("T1", "all", P, R),
            printed.sameness("T1", "all", M, R),
            printed.sameness("T1", "all", P, M),
        ),
    ),
    Claim(
        "A2",
        "4.2",
        "“Only very small gains for transfer learning”.",
        "Final pretrained minus random above 0 and below 0.005.",
        _small_gain,
        printed.order("T1", "all", P, R),
    ),
    Claim(
        "A3",
        "4.2",
        "Transfer “converges the fastest, much faster than random”.",
        "Speed-up of pretrained above 1.",
        is_faster("t1", "auc", R, P),
    ),
    Claim(
        "A4",
        "4.2",
        "Mean Var gives a “significant speedup over Random”.",
        "Speed-up of mean_var above 1.",
        is_faster("t1", "auc", R, M),
    ),
    Claim(
        "A5",
        "4.2",
        "Transfer is faster than Mean Var.",
        "Steps of mean_var over those of pretrained above 1.",
        is_faster("t1", "auc", M, P),
    ),
    Claim(
        "A6",
        "4.2",
        "“Some of the speedup is due to better scaling”.",
        "Share of the log speed-up of pretrained that mean_var has too, above 0.",
        _scaling,
    ),
    Claim(
        "A7",
        "4.3",
        "Mean Var converges “as fast as sampling from the full empirical distribution”.",
        "Ratios of steps to sampling and shuffled within 1.25.",
        all_of(is_paced("f4", "auc", M, S), is_paced("f4", "auc", M, H)),
    ),
    Claim(
        "A8",
        "4.3",
        "Sampling and shuffling beat random.",
        "Speed-ups of both above 1.",
        all_of(is_faster("f4", "auc", R, S), is_faster("f4", "auc", R, H)),
    ),
    Claim(
        "A9",
        "4.2",
        "The three curves meet in the end.",
        "As A1, and the gap of pretrained to random shrinks from the first to the last quarter.",
        _meeting,
    ),
    Claim(
        "B1",
        "4.4",
        "The batch-norm modes “perform similarly”.",
        "Mean heights of the curves within 0.01, every pair (Bonferroni).",
        _modes_alike,
    ),
    Claim(
        "B2",
        "4.4",
        "Identity performs “slightly better”.",
        "Mean height of identity above both others (Bonferroni).",
        _identity_best,
    ),
    Claim(
        "B3",
        "4.4",
        "Transferred batch norm “performs the worst”.",
        "Mean height of pretrained below both others (Bonferroni).",
        _pretrained_worst,
    ),
    Claim(
        "C1",
        "4.5",
        "For very small data there is “a slightly larger gap”.",
        "Final gap at the smallest size minus at the largest above 0, to random and to mean_var.",
        _gap_grows,
        printed.gap_grows,
    ),
    Claim(
        "C2",
        "4.5",
        "“Otherwise the performance remains comparable”.",
        "Final differences within 0.005 at every size but the smallest (Bonferroni).",
        _ends_alike_at_all_but_the_smallest,
        printed.all_printed(*(printed.sameness("T2", c, P, o) for c in list(TABLES["T2"].cells)[1:] for o in (R, M))),
    ),
    Claim(
        "C3",
        "Abstract",
        "“Negligible effects on performance”, whatever the amount of data.",
        "Slope of the final gap within 0.005 per doubling of the data.",
        _flat_gap,
    ),
    Claim(
        "C4",
        "C",
        "Random's pace varies over dataset size, Mean Var's and transfer's are “quite stable”.",
        "Standard deviation over sizes of the log steps to one level, random over each other, above 1 (bootstrap).",
        _steady_pace,
    ),
    Claim(
        "C5",
        "C",
        "Differences in speed are “relatively stable over dataset size”.",
        "Slopes of the log speed-ups within a factor of 1.25 per tenfold of the data.",
        _steady_speed,
    ),
)
