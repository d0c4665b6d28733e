"""Claims about weight transfusion: pretrained up to a stage, and what is above it."""

from __future__ import annotations

from collections.abc import Callable

from transfusion.paper.claims.claim import Claim, Judge, all_of
from transfusion.paper.claims.judges import M, P, R
from transfusion.paper.evidence import Evidence, Finding, NotTestableError, faster, paced
from transfusion.paper.rules import SIMILAR_PACE, Outcome


def _upto(number: int, rest: str) -> Callable[[Evidence], str]:
    def label(evidence: Evidence) -> str:
        stages = [stage for stage in evidence.part(_part(rest)).stages if stage not in ("stem", "head")]
        if number > len(stages):
            raise NotTestableError(f"This network has {len(stages)} blocks, not {number}.")
        return f"{P} upto {stages[number - 1]}" + ("" if rest == R else f" rest {rest}")  # as ``SchemeSpec.label``

    return label


def _part(rest: str) -> str:
    """The part of the recipe whose partial starts have the stages above from ``rest``."""
    return "f10" if rest == R else "f18"


def _as_fast_as_all(rest: str) -> Judge:
    """Not slower than the whole by more than the margin of similar pace."""

    def judge(evidence: Evidence) -> Finding:
        arms = evidence.arms(_part(rest), "auc")
        part = _upto(2, rest)(evidence)
        logs = arms.whole(part, P).log_speed(part, P)
        found = paced(logs)
        assert found.estimate is not None
        # one-sided: a partial start that is faster than the whole does not speak against the claim
        if found.estimate.high < SIMILAR_PACE:
            return Finding(Outcome.REPLICATED, found.estimate, "times")
        slower = found.estimate.low > SIMILAR_PACE
        return Finding(Outcome.CONTRADICTED if slower else Outcome.CANNOT_TELL, found.estimate, "times")

    return judge


def _pace_of(rest: str, slow: int, fast: int | None, *, same_pace: bool) -> Judge:
    def judge(evidence: Evidence) -> Finding:
        arms = evidence.arms(_part(rest), "auc")
        labels = [P if number is None else _upto(number, rest)(evidence) for number in (slow, fast)]
        if same_pace:
            return paced(arms.whole(*labels).log_speed(*labels))
        return faster(arms.log_speed(*labels))

    return judge


def _much_faster(evidence: Evidence) -> Finding:
    return faster(evidence.arms("f10", "auc").log_speed(R, _upto(2, R)(evidence)), SIMILAR_PACE)


PARTIAL = (
    Claim("H1", "6.4", "Weights up to Block 2 “result in the same convergence speed”.",
          "Steps up to Block 2 over those of the whole below 1.25.", _as_fast_as_all(R)),
    Claim("H2", "6.4", "Below Block 2 it is slower.",
          "Steps up to Block 1 over those of the whole above 1.", _pace_of(R, 1, None, same_pace=False)),
    Claim("H3", "6.4", "Later blocks add nothing.",
          "Steps up to Blocks 3 and 2 within 1.25.", _pace_of(R, 2, 3, same_pace=True)),
    Claim("H4", "F.2", "The same holds with Mean Var above.", "H1 to H3 with mean_var above the stage.",
          all_of(_as_fast_as_all(M), _pace_of(M, 1, None, same_pace=False), _pace_of(M, 2, 3, same_pace=True))),
    Claim("H5", "6.4", "Weights up to Block 2 give “much faster convergence”.",
          "Speed-up above 1.25.", _much_faster),
)  # fmt: skip
