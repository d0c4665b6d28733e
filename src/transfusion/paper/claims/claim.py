"""A claim: a sentence of the paper as estimand, margin and rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transfusion.paper.evidence import Evidence, Finding, NotRunError, NotTestableError, worst_of
from transfusion.paper.rules import Outcome, every

Judge = Callable[[Evidence], Finding]


@dataclass(frozen=True)
class Claim:
    """One sentence of the paper, and how it is put to the test.

    Attributes:
        id: letter and number; the letter is the group.
        section: of the paper, where it stands.
        says: the claim, in the paper's words where they are quoted.
        estimand: what is estimated, and what counts as replicated.
        test: judges it; it may raise what ``judge`` turns into an outcome.
        own: the outcome of the same rule on the paper's printed numbers, and those numbers; None where it prints none.
    """

    id: str
    section: str
    says: str
    estimand: str
    test: Judge
    own: Callable[[], Finding] | None = None

    def judge(self, evidence: Evidence) -> Finding:
        """What became of it; never raises for runs that are missing or preconditions that fail."""
        return attempt(self.test, evidence)


def attempt(test: Judge, evidence: Evidence) -> Finding:
    """The finding of a test, or why there is none."""
    # these two only: any other exception is a bug, and no outcome may hide it
    try:
        return test(evidence)
    except NotRunError as error:
        return Finding(Outcome.NOT_RUN, why=str(error))
    except NotTestableError as error:
        return Finding(Outcome.NOT_TESTABLE, why=str(error))


def all_of(*tests: Judge) -> Judge:
    """The judge of a claim that holds only if each of its parts does."""

    def judge(evidence: Evidence) -> Finding:
        return together([attempt(test, evidence) for test in tests])

    return judge


def together(findings: Sequence[Finding]) -> Finding:
    """One finding for several that must all hold."""
    return worst_of(findings, every([each.outcome for each in findings]))
