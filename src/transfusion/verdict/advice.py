"""What to do, by rules that stand before any curve is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transfusion.metrics import Interval
from transfusion.verdict.effects import Comparison
from transfusion.verdict.words import shown, signed, times

if TYPE_CHECKING:
    from transfusion.verdict.verdict import Verdict


@dataclass(frozen=True)
class Advice:
    """A recommendation.

    Attributes:
        start: the start to prefer; None where the study gives no reason to prefer one.
        text: what to do and why.
        change: what would change it.
    """

    start: str | None
    text: str
    change: str

    def __str__(self) -> str:
        return f"Recommendation: {self.text}; {self.change} could change it."

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"start": self.start, "text": self.text, "change": self.change}


@dataclass(frozen=True)
class Pace:
    """How fast a start is against the baseline: its speed-up or, where no threshold can tell, its curve's mean height.

    Attributes:
        nothing: the value that means as fast as the baseline.
    """

    interval: Interval
    nothing: float
    text: str

    @classmethod
    def of(cls, verdict: Verdict, comparison: Comparison) -> Pace:
        """Of one start."""
        speed, area = comparison.speedup, comparison.area
        if not math.isnan(speed.estimate):
            return cls(speed, 1, f"its speed-up is {times(speed)}")
        what = f"its mean {shown(verdict.metric)} over the training"
        return cls(area, 0, f"{what}, in place of a speed-up, is {signed(area)} from {verdict.baseline}'s")


def advise(verdict: Verdict) -> Advice:
    """What the leading start comes to against the baseline.

    The final difference decides if its interval leaves out 0, and pace decides otherwise. Each of the two errs in 5 %
    of studies without effect, so both together in at most 10 %.
    """
    main, baseline = verdict.main, verdict.baseline
    if main is None:
        return Advice(None, f"none, since there is nothing to compare with {baseline}", "a second start")
    name, final, pace = main.start.name, main.final_difference, Pace.of(verdict, main)
    end, doubt = f"the final difference is {signed(final)}", _doubt(verdict, main)
    if final.low > 0:
        return Advice(name, f"start from {name}, because it ends higher: {end}", _NARROWS)
    if final.high < 0:
        return Advice(baseline, f"start from {baseline}, because {name} ends lower: {end}", _NARROWS)
    if pace.interval.low > pace.nothing:
        text = f"start from {name} for the time it saves: {pace.text}; {doubt}"
        return Advice(name, text, "a final difference below 0 beyond doubt")
    if pace.interval.high < pace.nothing:
        text = f"start from {baseline}, because {name} is slower: {pace.text}; {doubt}"
        return Advice(baseline, text, "a final difference above 0 beyond doubt")
    if main.is_equivalent:
        text = f"choose between {name} and {baseline} by convenience: {doubt}, and {pace.text}"
        return Advice(None, text, f"an interval of pace that leaves out {pace.nothing:g}")
    text = f"none between {name} and {baseline} yet, as nothing sets them apart beyond doubt: {end}, and {pace.text}"
    return Advice(None, text, more_seeds(main))


_NARROWS = "more seeds that bring 0 into this interval"


def more_seeds(comparison: Comparison) -> str:
    """How many seeds could tell; one more than there are where as many should have been enough."""
    n, needed = comparison.final_difference.n, comparison.num_seeds_needed
    if needed is None:
        return "3 seeds or more, which show a spread," if n < 2 else "more seeds"
    return f"about {needed} seeds" if needed > n else f"more than {n} seeds"


def _doubt(verdict: Verdict, comparison: Comparison) -> str:
    if comparison.is_equivalent:
        return (
            f"there is no final difference larger than {verdict.margin:g} "
            f"(two one-sided tests, p = {comparison.equivalence_p:.3f})"
        )
    return f"whether it ends apart is open: {signed(comparison.final_difference)}"
