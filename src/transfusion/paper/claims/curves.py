"""Claims about curves: where training ends, how fast it gets there, and how both change with data."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from transfusion.metrics import Interval
from transfusion.paper.claims.claim import Claim, Judge, all_of, together
from transfusion.paper.evidence import (
    Arms,
    Evidence,
    Finding,
    NotRunError,
    NotTestableError,
    alike,
    area,
    faster,
    higher,
    paced,
    scaling_share,
)
from transfusion.paper.published import TABLES, UNSTATED_N, Cell, difference, same_within
from transfusion.paper.rules import COMPARABLE, Outcome, ordered, weaker
from transfusion.verdict.curves import Curve

P, M, R, S, H = "pretrained", "mean_var", "random", "sampling", "shuffled"
AREA_MARGIN = 0.01  # of the metric, on the mean height of a curve
DRAMATIC = 1.5  # times
SMALL, LARGE = "smallest", "largest"
FEW_POSITIVES = 10  # a class with fewer in the test images is not judged


def _ends_alike(part: str, metric: str, *pairs: tuple[str, str]) -> Judge:
    return all_of(*(_end(part, metric, pair) for pair in pairs))


def _end(part: str, metric: str, pair: tuple[str, str]) -> Judge:
    return lambda evidence: alike(evidence.arms(part, metric).gap(*pair), COMPARABLE, metric)


def _ends_above(part: str, metric: str, a: str, b: str, above: float = 0.0) -> Judge:
    return lambda evidence: higher(evidence.arms(part, metric).gap(a, b), above, metric)


def _is_faster(part: str, metric: str, slow: str, fast: str, than: float = 1.0) -> Judge:
    return lambda evidence: faster(evidence.arms(part, metric).log_speed(slow, fast), than)


def _is_paced(part: str, metric: str, one: str, other: str) -> Judge:
    return lambda evidence: paced(evidence.arms(part, metric).log_speed(one, other))


def _small_gain(evidence: Evidence) -> Finding:
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
    later = [arms.gap(P, R, _quarter(3)) - arms.gap(P, R, _quarter(0))]
    shrinks = higher(-later[0], 0.0, "auc")
    ends = _ends_alike("t1", "auc", (P, R), (M, R), (P, M))(evidence)
    return together([ends, shrinks])


def _quarter(number: int) -> Callable[[Curve], float]:
    def mean(curve: Curve) -> float:
        share = curve.steps / curve.steps[-1]
        inside = (share >= number / 4) & (share <= (number + 1) / 4)
        return float(curve.values[inside].mean()) if inside.any() else float("nan")

    return mean


# batch norm

_MODES = (M, f"{M} bn=mean_var", f"{M} bn=pretrained")


def _modes_alike(evidence: Evidence) -> Finding:
    arms, pairs = evidence.arms("f5", "auc"), list(combinations(_MODES, 2))
    return together([alike(arms.gap(a, b, area), AREA_MARGIN, "auc", 1 - 0.05 / len(pairs)) for a, b in pairs])


def _identity_best(evidence: Evidence) -> Finding:
    arms = evidence.arms("f5", "auc")
    return together([higher(arms.gap(_MODES[0], other, area), 0.0, "auc", 1 - 0.05 / 2) for other in _MODES[1:]])


def _pretrained_worst(evidence: Evidence) -> Finding:
    arms = evidence.arms("f5", "auc")
    return together([higher(arms.gap(other, _MODES[2], area), 0.0, "auc", 1 - 0.05 / 2) for other in _MODES[:2]])


# amounts of data


def _gap_grows(evidence: Evidence) -> Finding:
    first, *_, last = _several(evidence.grids("t2", "auc"))
    return together([higher(_by_seed(first, last, P, other), 0.0, "auc") for other in (R, M)])


def _by_seed(small: Arms, large: Arms, a: str, b: str) -> np.ndarray:
    gaps = small.gap(a, b), large.gap(a, b)
    if len(gaps[0]) != len(gaps[1]):
        raise NotRunError("The smallest and the largest size have different seeds.")
    return gaps[0] - gaps[1]


def _several(grids: list[Arms]) -> list[Arms]:
    if len(grids) < 2:
        raise NotRunError("There is one data size only; it takes two or more.")
    return grids


def _ends_alike_at_all_but_the_smallest(evidence: Evidence) -> Finding:
    grids = _several(evidence.grids("t2", "auc"))[1:]
    level = 1 - 0.05 / (2 * len(grids))
    return together([alike(arms.gap(P, other), COMPARABLE, "auc", level) for arms in grids for other in (R, M)])


def _slope(evidence: Evidence, of: Callable[[Arms], np.ndarray], base: float) -> np.ndarray:
    grids = _several(evidence.grids("t2", "auc"))
    sizes = [_num_images(evidence, arms) for arms in grids]
    values = [of(arms) for arms in grids]
    num = min(map(len, values))
    x = np.log(sizes) / np.log(base)
    slopes: np.ndarray = np.polyfit(x, np.array([each[:num] for each in values]), 1)[0]
    return slopes


def _num_images(evidence: Evidence, arms: Arms) -> float:
    if arms.grid.size is not None:
        return float(arms.grid.size)
    raise NotTestableError("The number of all training images is not recorded; give sizes as counts.")


def _flat_gap(evidence: Evidence) -> Finding:
    return alike(_slope(evidence, lambda arms: arms.gap(P, R), 2.0), COMPARABLE, "auc")


def _steady_speed(evidence: Evidence) -> Finding:
    found = []
    for start in (P, M):
        slopes = _slope(evidence, lambda arms, start=start: arms.log_speed(R, start)[1], 10.0)  # type: ignore[misc]
        found.append(paced((slopes, slopes, slopes)))
    return together(found)


# chest diseases


def _disease(name: str, a: str, b: str, family: int) -> Judge:
    def judge(evidence: Evidence) -> Finding:
        return higher(evidence.arms("t5", f"auc:{name}").gap(a, b), 0.0, "auc", 1 - 0.05 / family)

    return judge


_BETTER = ("Nodule", "Hernia", "Emphysema")
_OUTPERFORMED = ("Pneumonia", "Cardiomegaly", "Consolidation")
_OTHERS = tuple(name for name in TABLES["T5"].cells if name not in (*_BETTER, *_OUTPERFORMED))


def _many_within(evidence: Evidence) -> Finding:
    outcomes = []
    for name in _OTHERS:
        try:
            outcomes.append(_ends_alike("t5", f"auc:{name}", (P, M), (P, R), (M, R))(evidence).outcome)
        except NotTestableError:
            outcomes.append(Outcome.NOT_TESTABLE)
    return _counted(outcomes)


def _counted(outcomes: list[Outcome]) -> Finding:
    """At least half of the judged diseases must lie within the margin."""
    judged = [each for each in outcomes if each is not Outcome.NOT_TESTABLE]
    within, outside = judged.count(Outcome.REPLICATED), judged.count(Outcome.CONTRADICTED)
    if not judged:
        return Finding(Outcome.NOT_TESTABLE, why="No disease has positives and negatives among the test images.")
    if within * 2 >= len(judged):
        outcome = Outcome.REPLICATED
    else:
        outcome = Outcome.CONTRADICTED if outside * 2 > len(judged) else Outcome.CANNOT_TELL
    share = Interval(within / len(judged), float("nan"), float("nan"), len(judged))
    return Finding(outcome, share, "share", f"{within} of {len(judged)} diseases lie within {COMPARABLE:g}.")


# the paper's own numbers under the same rules


def _printed(table: str, column: str, a: str, b: str) -> tuple[Cell, Cell]:
    cells = TABLES[table].cells[column]
    return cells[a], cells[b]


def _own_order(table: str, column: str, a: str, b: str, above: float = 0.0) -> Callable[[], Finding]:
    def judge() -> Finding:
        one, other = _printed(table, column, a, b)
        gaps = [difference(one, other, n) for n in one.possible_n]
        return Finding(weaker([ordered(gap, above) for gap in gaps]), gaps[0], TABLES[table].metric)

    return judge


def _own_same(table: str, column: str, a: str, b: str) -> Callable[[], Finding]:
    def judge() -> Finding:
        one, other = _printed(table, column, a, b)
        outcomes, gaps = [], [difference(one, other, n) for n in one.possible_n]
        for gap, n in zip(gaps, one.possible_n, strict=True):
            within = same_within(gap, one, other, n, COMPARABLE) < 0.05
            outside = gap.low > COMPARABLE or gap.high < -COMPARABLE
            outcomes.append(Outcome.REPLICATED if within else Outcome.CONTRADICTED if outside else Outcome.CANNOT_TELL)
        return Finding(weaker(outcomes), gaps[0], TABLES[table].metric)

    return judge


def _own_all(*parts: Callable[[], Finding]) -> Callable[[], Finding]:
    return lambda: together([part() for part in parts])


def _own_gap_grows() -> Finding:
    found = []
    for other in (R, M):
        small, large = (difference(*_printed("T2", column, P, other), 3) for column in ("50k", "300k"))
        half = float(np.hypot(small.high - small.estimate, large.high - large.estimate))
        gap = small.estimate - large.estimate
        interval = Interval(gap, gap - half, gap + half, 3)
        found.append(Finding(ordered(interval), interval, "auc"))
    return together(found)


def _own_many_within() -> Finding:
    pairs = [(P, M), (P, R), (M, R)]
    return _counted([_own_all(*(_own_same("T5", name, *pair) for pair in pairs))().outcome for name in _OTHERS])


def _own_macro() -> Finding:
    rows = TABLES["T5"].cells.values()
    gap = float(np.mean([row[P].mean - row[R].mean for row in rows]))
    errors = [(row[P].sd ** 2 + row[R].sd ** 2) / min(UNSTATED_N) for row in rows]
    half = float(np.sqrt(np.sum(errors)) / len(errors) * 2.78)  # t with 4 degrees of freedom: the wider assumption
    interval = Interval(gap, gap - half, gap + half, min(UNSTATED_N))
    return Finding(Outcome.CONTRADICTED if interval.low > COMPARABLE else Outcome.CANNOT_TELL, interval, "auc")


# CIFAR


def _small_data_only(evidence: Evidence) -> Finding:
    grids = evidence.grids("t4", "accuracy")
    found = []
    for arms, share in zip(grids, _shares(evidence, grids), strict=True):
        gap = arms.gap(P, R)
        if share <= 0.2:
            found.append(higher(gap, 0.0, "accuracy"))
        else:
            found.append(_not_above(higher(gap, COMPARABLE, "accuracy")))
    return together(found)


def _not_above(found: Finding) -> Finding:
    """A claim that it is *not* above a bound: only an interval above it speaks against."""
    against = found.outcome is Outcome.REPLICATED
    return Finding(Outcome.CONTRADICTED if against else Outcome.REPLICATED, found.estimate, found.unit)


def _shares(evidence: Evidence, grids: list[Arms]) -> list[float]:
    """Training sizes as shares of CIFAR-10's 50,000 images, whatever subset they come from."""
    return [_num_images(evidence, arms) / 50_000 for arms in grids]


def _ends_alike_with_data(evidence: Evidence) -> Finding:
    grids = evidence.grids("t4", "accuracy")
    many = [arms for arms, share in zip(grids, _shares(evidence, grids), strict=True) if share >= 0.4]
    if not many:
        raise NotRunError("There are no sizes from 40 % on.")
    pairs = [(P, R), (P, M), (M, R)]
    level = 1 - 0.05 / (len(pairs) * len(many))
    return together([alike(arms.gap(*pair), COMPARABLE, "accuracy", level) for arms in many for pair in pairs])


def _smallest(evidence: Evidence, test: Callable[[Arms], Finding]) -> Finding:
    return test(evidence.grids("t4", "accuracy")[0])


def _ordered_pace(arms: Arms) -> Finding:
    return together([faster(arms.log_speed(*pair)) for pair in ((R, P), (R, M), (M, P))])


def _same_pace_with_all(evidence: Evidence) -> Finding:
    grids = evidence.grids("t4", "accuracy")
    if _shares(evidence, grids)[-1] < 1:
        raise NotRunError("There is no size of 100 %.")
    return together([paced(grids[-1].log_speed(R, start)) for start in (P, M)])


CURVES = (
    Claim(
        "A1",
        "4.2",
        "All three starts “achieve comparable performance”.",
        "Final differences within 0.005, every pair.",
        _ends_alike("t1", "auc", (P, R), (M, R), (P, M)),
        _own_all(_own_same("T1", "all", P, R), _own_same("T1", "all", M, R), _own_same("T1", "all", P, M)),
    ),
    Claim(
        "A2",
        "4.2",
        "“Only very small gains for transfer learning”.",
        "Final pretrained minus random above 0 and below 0.005.",
        _small_gain,
        _own_order("T1", "all", P, R),
    ),
    Claim(
        "A3",
        "4.2",
        "Transfer “converges the fastest, much faster than random”.",
        "Speed-up of pretrained above 1.",
        _is_faster("t1", "auc", R, P),
    ),
    Claim(
        "A4",
        "4.2",
        "Mean Var gives a “significant speedup over Random”.",
        "Speed-up of mean_var above 1.",
        _is_faster("t1", "auc", R, M),
    ),
    Claim(
        "A5",
        "4.2",
        "Transfer is faster than Mean Var.",
        "Steps of mean_var over those of pretrained above 1.",
        _is_faster("t1", "auc", M, P),
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
        all_of(_is_paced("f4", "auc", M, S), _is_paced("f4", "auc", M, H)),
    ),
    Claim(
        "A8",
        "4.3",
        "Sampling and shuffling beat random.",
        "Speed-ups of both above 1.",
        all_of(_is_faster("f4", "auc", R, S), _is_faster("f4", "auc", R, H)),
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
        _own_gap_grows,
    ),
    Claim(
        "C2",
        "4.5",
        "“Otherwise the performance remains comparable”.",
        "Final differences within 0.005 at every size but the smallest (Bonferroni).",
        _ends_alike_at_all_but_the_smallest,
        _own_all(*(_own_same("T2", c, P, o) for c in ("100k", "150k", "200k", "300k") for o in (R, M))),
    ),
    Claim(
        "C3",
        "Abstract",
        "“Negligible effects on performance”, whatever the amount of data.",
        "Slope of the final gap within 0.005 per doubling of the data.",
        _flat_gap,
    ),
    Claim(
        "C5",
        "C",
        "Differences in speed are “relatively stable over dataset size”.",
        "Slopes of the log speed-ups within a factor of 1.25 per tenfold of the data.",
        _steady_speed,
    ),
    Claim(
        "D1",
        "5.1",
        "Pneumonia: Mean Var “actually outperforms” transfer.",
        "Final AUC of mean_var minus pretrained above 0.",
        _disease("Pneumonia", M, P, 1),
        _own_order("T5", "Pneumonia", M, P),
    ),
    Claim(
        "D2",
        "D.1",
        "Mean Var gains on Cardiomegaly and Consolidation.",
        "Final AUC of mean_var minus pretrained above 0, both.",
        all_of(_disease("Cardiomegaly", M, P, 1), _disease("Consolidation", M, P, 1)),
        _own_all(_own_order("T5", "Cardiomegaly", M, P), _own_order("T5", "Consolidation", M, P)),
    ),
    Claim(
        "D3",
        "D.1",
        "“A large group of other diseases” lies “within 0.5% or less”.",
        "At least half of the other diseases within 0.005, every pair.",
        _many_within,
        _own_many_within,
    ),
    Claim(
        "D4",
        "D.1",
        "Nodule, Hernia and Emphysema are “significantly better” with transfer.",
        "Final AUC of pretrained above mean_var and random, each of three (Bonferroni over 14).",
        all_of(*(_disease(name, P, other, 14) for name in _BETTER for other in (M, R))),
        _own_all(*(_own_order("T5", name, P, other) for name in _BETTER for other in (M, R))),
    ),
    Claim(
        "D5",
        "5.1",
        "Transfer is fastest, then Mean Var, then random.",
        "Ratios of steps on the mean AUC above 1, every pair.",
        all_of(*(_is_faster("t5", "auc", *pair) for pair in ((R, P), (R, M), (M, P)))),
    ),
    Claim(
        "D6",
        "5.1",
        "“For most diseases all three perform comparably”.",
        "Final mean AUC of pretrained and random within 0.005.",
        _ends_alike("t5", "auc", (P, R)),
        _own_macro,
    ),
    Claim(
        "E1",
        "5.2",
        "Transfer “does not dominate … except in the very small data setting”.",
        "Final accuracy of pretrained above random up to 20 % of the data, and not by more than 0.005 from 40 % on.",
        _small_data_only,
        _own_all(_own_order("T4", "10%", P, R), _own_order("T4", "20%", P, R)),
    ),
    Claim(
        "E2",
        "5.2",
        "“Performances remain comparable except when there is very little data”.",
        "Final accuracies within 0.005 from 40 % on, every pair (Bonferroni).",
        _ends_alike_with_data,
        _own_all(
            *(
                _own_same("T4", column, *pair)
                for column in ("40%", "60%", "80%", "100%")
                for pair in ((P, R), (P, M), (M, R))
            )
        ),
    ),
    Claim(
        "E3",
        "5.2",
        "With 10 % there is “a clear ordering in convergence speeds”.",
        "Ratios of steps above 1 at the smallest size, every pair.",
        lambda e: _smallest(e, _ordered_pace),
    ),
    Claim(
        "E4",
        "5.2",
        "“With more data, convergence is approximately the same for all”.",
        "Ratios of steps at 100 % within 1.25.",
        _same_pace_with_all,
    ),
    Claim(
        "E5",
        "5.2",
        "With 10 % Mean Var ends above random (Table 4).",
        "Final accuracy of mean_var minus random above 0 at the smallest size.",
        lambda e: _smallest(e, lambda arms: higher(arms.gap(M, R), 0.0, "accuracy")),
        _own_order("T4", "10%", M, R),
    ),
)
