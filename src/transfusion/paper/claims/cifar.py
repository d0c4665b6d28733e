"""Claims about CIFAR-10 by the amount of data."""

from __future__ import annotations

from collections.abc import Callable

from transfusion.metrics import Interval
from transfusion.paper.claims import printed
from transfusion.paper.claims.claim import Claim, together
from transfusion.paper.claims.judges import M, P, R, num_images
from transfusion.paper.evidence import (
    Arms,
    Evidence,
    Finding,
    NotRunError,
    NotTestableError,
    alike,
    faster,
    higher,
    paced,
)
from transfusion.paper.published import TABLES, agreement
from transfusion.paper.rules import COMPARABLE, Outcome
from transfusion.paper.tables import CIFAR10_COUNT, columns_of


def _small_data_only(evidence: Evidence) -> Finding:
    grids = evidence.grids("t4", "accuracy")
    found, level = [], 1 - 0.05 / len(grids)
    for arms, share in zip(grids, _shares(grids), strict=True):
        gap = arms.gap(P, R) if share <= 0.2 else arms.whole(P, R).gap(P, R)
        # Table 4 has 10 and 20 %, then 40 %; "very small" is read as the two where its own gap exceeds 0.005
        if share <= 0.2:
            found.append(higher(gap, 0.0, "accuracy", level))
        else:
            found.append(_not_above(higher(gap, COMPARABLE, "accuracy", level)))
    if _shares(grids)[-1] < 0.4:  # what holds for few images is half of the claim
        why = f"{NO_LARGE_SIZES} The number is of the smallest size."
        found.append(Finding(Outcome.NOT_RUN, found[0].estimate, "accuracy", why))
    return together(found)


NO_LARGE_SIZES = "No run has 40 % of the images or more."


def _not_above(found: Finding) -> Finding:
    """A claim that a difference is *not* above a bound: only an interval wholly above it contradicts."""
    against = found.outcome is Outcome.REPLICATED
    return Finding(Outcome.CONTRADICTED if against else Outcome.REPLICATED, found.estimate, found.unit)


def _shares(grids: list[Arms]) -> list[float]:
    """Training sizes as shares of all of CIFAR-10, whatever subset they come from."""
    return [num_images(arms) / CIFAR10_COUNT for arms in grids]


def _ends_alike_with_data(evidence: Evidence) -> Finding:
    grids = evidence.grids("t4", "accuracy")
    many = [arms for arms, share in zip(grids, _shares(grids), strict=True) if share >= 0.4]
    if not many:
        raise NotRunError(NO_LARGE_SIZES)
    pairs = [(P, R), (P, M), (M, R)]
    level = 1 - 0.05 / (len(pairs) * len(many))
    gaps = [arms.whole(*pair).gap(*pair) for arms in many for pair in pairs]
    return together([alike(gap, COMPARABLE, "accuracy", level) for gap in gaps])


def _smallest(evidence: Evidence, test: Callable[[Arms], Finding]) -> Finding:
    return test(evidence.grids("t4", "accuracy")[0])


def _transfer_above(arms: Arms) -> Finding:
    return together([higher(arms.gap(P, start), 0.0, "accuracy") for start in (M, R)])


def _ordered_pace(arms: Arms) -> Finding:
    return together([faster(arms.log_speed(*pair)) for pair in ((R, P), (R, M), (M, P))])


def _same_pace_with_all(evidence: Evidence) -> Finding:
    grids = evidence.grids("t4", "accuracy")
    if _shares(grids)[-1] < 1:
        raise NotRunError("No run has all of the images.")
    return together([paced(grids[-1].whole(R, start).log_speed(R, start)) for start in (P, M)])


MOST_OPEN = 3  # of 18 cells: some stay open at five seeds even if every level is the paper's


def _cells_agree(evidence: Evidence) -> Finding:
    """Our levels against all that Table 4 prints; they mean something on the paper's own data alone."""
    part = evidence.part("t4")
    if not part.has_levels:
        raise NotTestableError("Levels are compared on the paper's own data and network only, at full scale.")
    ours = columns_of("T4", part.frame)
    pairs = [(list(ours.get(column, {}).get(start, {}).values()), cell)
             for column, cells in TABLES["T4"].cells.items() for start, cell in cells.items()]  # fmt: skip
    if any(len(values) < 2 for values, _ in pairs):
        raise NotRunError("Not every cell of Table 4 has two runs.")
    return agreeing([agreement(values, cell).outcome for values, cell in pairs])


def agreeing(outcomes: list[Outcome]) -> Finding:
    """All cells but ``MOST_OPEN`` agree and none differs; more that differ than may be open contradict it."""
    agree, differ = outcomes.count(Outcome.REPLICATED), outcomes.count(Outcome.CONTRADICTED)
    holds = not differ and agree >= len(outcomes) - MOST_OPEN
    fails = Outcome.CONTRADICTED if differ > MOST_OPEN else Outcome.CANNOT_TELL
    share = Interval(agree / len(outcomes), float("nan"), float("nan"), len(outcomes), "a count, not a sample")
    why = f"{agree} of {len(outcomes)} cells agree, {differ} differ."
    return Finding(Outcome.REPLICATED if holds else fails, share, "share", why)


CIFAR = (
    Claim(
        "E1",
        "5.2",
        "Transfer “does not dominate … except in the very small data setting”.",
        "Final accuracy of pretrained above random up to 20 % of the data, and not by more than 0.005 from 40 % on "
        "(Bonferroni over sizes).",
        _small_data_only,
        printed.all_printed(printed.order("T4", "10%", P, R), printed.order("T4", "20%", P, R)),
    ),
    Claim(
        "E2",
        "5.2",
        "“Performances remain comparable except when there is very little data”.",
        "Final accuracies within 0.005 from 40 % on, every pair (Bonferroni).",
        _ends_alike_with_data,
        printed.all_printed(
            *(
                printed.sameness("T4", column, *pair)
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
        printed.order("T4", "10%", M, R),
    ),
    Claim(
        "E6",
        "Table 4",
        "The 18 numbers of Table 4.",
        "At least 15 of 18 equal within 0.005, none shown to differ by more.",
        _cells_agree,
    ),
    Claim(
        "E7",
        "Table 4",
        "With 10 % transfer ends above Mean Var and random (Table 4).",
        "Final accuracy of pretrained above mean_var and random at the smallest size, both.",
        lambda e: _smallest(e, _transfer_above),
        printed.all_printed(printed.order("T4", "10%", P, M), printed.order("T4", "10%", P, R)),
    ),
)
