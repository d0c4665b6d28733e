"""Judges that several claims share: ends alike, faster, as fast."""

from __future__ import annotations

from transfusion.metrics import Interval
from transfusion.paper.claims.claim import Judge, all_of, together
from transfusion.paper.evidence import (
    Arms,
    Finding,
    NotRunError,
    NotTestableError,
    alike,
    faster,
    paced,
)
from transfusion.paper.published import TABLES
from transfusion.paper.rules import COMPARABLE, Outcome

P, M, R, S, H = "pretrained", "mean_var", "random", "sampling", "shuffled"
# the diseases that appendix D.1 names: better with transfer, better with mean_var; "a large group" are the others
BETTER = ("Nodule", "Hernia", "Emphysema")
OUTPERFORMED = ("Pneumonia", "Cardiomegaly", "Consolidation")
OTHERS = tuple(name for name in TABLES["T5"].cells if name not in (*BETTER, *OUTPERFORMED))


def ends_alike(part: str, metric: str, *pairs: tuple[str, str]) -> Judge:
    """Final performance is the same within the paper's "0.5 %", for every pair of starts."""
    # all pairs must hold, so no level is widened: an intersection of tests at 5 % errs in at most 5 %
    return all_of(*(_end(part, metric, pair) for pair in pairs))


def _end(part: str, metric: str, pair: tuple[str, str]) -> Judge:
    return lambda evidence: alike(evidence.arms(part, metric).whole(*pair).gap(*pair), COMPARABLE, metric)


def is_faster(part: str, metric: str, slow: str, fast: str, than: float = 1.0) -> Judge:
    """Start ``fast`` needs fewer steps than ``slow``: a ratio above ``than``."""
    return lambda evidence: faster(evidence.arms(part, metric).log_speed(slow, fast), than)


def smallest_is_faster(slow: str, fast: str, than: float = 1.0) -> Judge:
    """The same on CIFAR-10, in accuracy, at the smallest size."""
    return lambda evidence: faster(evidence.grids("t4", "accuracy")[0].log_speed(slow, fast), than)


def is_paced(part: str, metric: str, one: str, other: str) -> Judge:
    """Two starts need as many steps, within the margin of similar pace."""
    return lambda evidence: paced(evidence.arms(part, metric).whole(one, other).log_speed(one, other))


def several(grids: list[Arms]) -> list[Arms]:
    """Sizes, of which there must be two."""
    if len(grids) < 2:
        raise NotRunError("There is one data size only; it takes two or more.")
    return grids


def num_images(arms: Arms) -> float:
    """Training images of a size.

    Raises:
        NotTestableError: the size is all images, and their number is not recorded.
    """
    if arms.grid.size is not None:
        return float(arms.grid.size)
    raise NotTestableError("The number of all training images is not recorded; give sizes as counts.")


def counted(findings: list[Finding]) -> Finding:
    """At least half of what could be judged is the same within the paper's "0.5 %".

    It takes more than half shown to differ to contradict it: a mean outside the margin may be noise.
    """
    judged = [each for each in findings if each.outcome is not Outcome.NOT_TESTABLE]
    if not judged:
        return Finding(Outcome.NOT_TESTABLE, why="No disease has positives and negatives among the test images.")
    outcomes = [each.outcome for each in judged]
    within, outside = (outcomes.count(kind) for kind in (Outcome.REPLICATED, Outcome.CONTRADICTED))
    outcome = Outcome.CONTRADICTED if 2 * outside > len(judged) else Outcome.CANNOT_TELL
    # as measured beside as shown: the paper counts differences that it sees, and a reader of the page does too
    sizes = [abs(each.estimate.estimate) for each in judged if each.estimate is not None]
    near = sum(round(size, 9) <= COMPARABLE for size in sizes)  # .850 - .845 is 0.005, and in binary a bit more
    share = Interval(near / len(judged), float("nan"), float("nan"), len(judged), "a count, not a sample")
    why = f"{near} of {len(judged)} measured within {COMPARABLE:g}; {within} are shown to be, {outside} not to be."
    return Finding(Outcome.REPLICATED if 2 * within >= len(judged) else outcome, share, "share", why)


def widest(findings: list[Finding]) -> Finding:
    """Several findings as one, with the estimate furthest from 0."""
    whole = together(findings)
    known = [each.estimate for each in findings if each.estimate is not None]
    far = max(known, key=lambda interval: abs(interval.estimate)) if known else None
    return Finding(whole.outcome, far, whole.unit, whole.why)
