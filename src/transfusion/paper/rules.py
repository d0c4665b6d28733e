"""When a claim counts as replicated: rules from an interval to an outcome, fixed before any curve is seen.

An order claim needs the whole 95 % interval on the claimed side. A sameness claim needs two one-sided 5 % tests, that
is, the 90 % interval inside the margin (Schuirmann 1987); a mere lack of a difference replicates nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from transfusion.metrics import Interval

COMPARABLE = 0.005  # of AUC or accuracy: "within 0.5% or less", the paper's appendix D.1
# the paper names no margin for these two; ours were fixed before any curve was seen, and the page prints them
SIMILAR_PACE = 1.25  # ratio of steps within which speeds count as similar
SAME_LIKENESS = 0.05  # of the way from chance to identity


class Outcome(str, Enum):
    """What became of a claim."""

    REPLICATED = "replicated"
    CONTRADICTED = "contradicted"
    CANNOT_TELL = "cannot tell"
    NOT_TESTABLE = "not testable here"
    NOT_RUN = "not run"

    def __str__(self) -> str:
        return self.value


def ordered(interval: Interval, above: float = 0.0) -> Outcome:
    """Outcome of "it is greater than ``above``".

    Args:
        interval: 95 % interval of the estimand, in the direction of the claim.
        above: what the whole interval must exceed.

    Examples:
        >>> str(ordered(Interval(0.02, 0.01, 0.03, 5))), str(ordered(Interval(0.02, -0.01, 0.05, 5)))
        ('replicated', 'cannot tell')
    """
    if interval.low > above:
        return Outcome.REPLICATED
    return Outcome.CONTRADICTED if interval.high < above else Outcome.CANNOT_TELL


def same(wide: Interval, narrow: Interval, margin: float) -> Outcome:
    """Outcome of "it is 0, to within ``margin``".

    Args:
        wide: 95 % interval.
        narrow: 90 % interval of the same estimand: inside the margin just when both one-sided 5 % tests say so.
        margin: largest size that does not matter, above 0.

    Examples:
        >>> str(same(Interval(0.0, -0.004, 0.004, 9), Interval(0.0, -0.003, 0.003, 9), 0.005))
        'replicated'
    """
    if -margin < narrow.low and narrow.high < margin:
        return Outcome.REPLICATED
    # to contradict is a claim of order, so it takes the wide interval; between the two nothing is shown
    outside = wide.low > margin or wide.high < -margin
    return Outcome.CONTRADICTED if outside else Outcome.CANNOT_TELL


def every(outcomes: Sequence[Outcome]) -> Outcome:
    """Outcome of a claim with several parts: all must hold, and one that fails contradicts the whole.

    Examples:
        >>> str(every([Outcome.REPLICATED, Outcome.CANNOT_TELL]))
        'cannot tell'
    """
    # one counterexample is enough, whatever is still missing; missing runs come before doubt, as they can be made
    order = (Outcome.CONTRADICTED, Outcome.NOT_RUN, Outcome.NOT_TESTABLE, Outcome.CANNOT_TELL)
    whole = Outcome.REPLICATED if outcomes else Outcome.NOT_RUN
    return next((outcome for outcome in order if outcome in outcomes), whole)


def weaker(outcomes: Sequence[Outcome]) -> Outcome:
    """The least definite of several outcomes of one question under different assumptions."""
    return outcomes[0] if len(set(outcomes)) == 1 else Outcome.CANNOT_TELL
