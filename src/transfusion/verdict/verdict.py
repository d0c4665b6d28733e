"""The verdict of a study: a pure function of its tidy frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from transfusion.errors import InputError
from transfusion.metrics import Interval
from transfusion.verdict import sentences
from transfusion.verdict.advice import Advice, advise
from transfusion.verdict.curves import read
from transfusion.verdict.effects import (
    ENOUGH_OF_SPEEDUP,
    RISE_SHARE,
    Comparison,
    Contest,
    Rise,
    change_of_gap,
    spread_of_modes,
)
from transfusion.verdict.likeness import Likeness, read_likeness

WHOLE, SCALING = "pretrained", "mean_var"


@dataclass(frozen=True)
class Verdict:
    """A study's conclusions, each with a number, an interval and n; ``print`` it for one sentence each.

    Attributes:
        metric: the column that was judged.
        baseline: the scheme that everything is compared with.
        margin: the smallest difference in the metric that matters.
        rise: from where to where the baseline learns, which fixes the threshold.
        schemes: start -> its comparison with the baseline, at the largest data size.
        scaling_share: share of the speed-up of ``pretrained`` that ``mean_var`` gets too.
        feature_reuse_share: the rest.
        upto_shares: partial start -> share of the full speed-up that it gets, in the order of the frame.
        smallest_upto: the first of them with at least 95 % of it, or None.
        modes: scheme -> best and worst batch-norm mode and the difference of their curves' mean heights.
        by_size: training images ("all" for all) -> start -> comparison; empty for one size.
        size_change: how much larger the final difference of the main start is with fewest images than with most.
        num_incomplete: runs that stop short of the last step: still running, failed or diverged.
        likeness: what the comparisons of networks say, where there are any.
    """

    metric: str
    baseline: str
    margin: float
    rise: Rise
    schemes: dict[str, Comparison]
    scaling_share: Interval
    feature_reuse_share: Interval
    upto_shares: dict[str, Interval]
    smallest_upto: str | None
    modes: dict[str, tuple[str, str, Interval]]
    by_size: dict[str, dict[str, Comparison]]
    size_change: Interval | None
    num_incomplete: int
    likeness: Likeness | None = None

    @property
    def main(self) -> Comparison | None:
        """The comparison that the recommendation rests on: ``pretrained``, or else the first start of the frame."""
        return self.schemes.get(WHOLE) or next(iter(self.schemes.values()), None)

    @property
    def has_baseline(self) -> bool:
        """Whether there are runs to compare with."""
        return not np.isnan(self.rise.start)

    @cached_property
    def advice(self) -> Advice:
        """What to do, and what would change it."""
        return advise(self)

    @property
    def lines(self) -> list[str]:
        """One sentence per conclusion, the recommendation last."""
        return sentences.lines(self)

    @property
    def rules(self) -> list[str]:
        """How it was judged, in words; the same for every study."""
        return sentences.rules(self)

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, every interval as estimate, low, high and n, and a reason where there is something to say.

        Open ends are inf or 0, missing numbers NaN.
        """
        return {
            "metric": self.metric,
            "baseline": self.baseline,
            "margin": self.margin,
            "threshold": {"level": self.rise.level(RISE_SHARE), "start": self.rise.start, "final": self.rise.final},
            "schemes": _plain(self.schemes),
            "scaling_share": self.scaling_share.to_dict(),
            "feature_reuse_share": self.feature_reuse_share.to_dict(),
            "upto": {"smallest": self.smallest_upto, "shares": _plain(self.upto_shares)},
            "batch_norm": {
                scheme: {"best": best, "worst": worst, "area_difference": gap.to_dict()}
                for scheme, (best, worst, gap) in self.modes.items()
            },
            "sizes": {size: _plain(schemes) for size, schemes in self.by_size.items()},
            "size_change": self.size_change.to_dict() if self.size_change else None,
            "num_incomplete": self.num_incomplete,
            "representations": self.likeness.to_dict() if self.likeness else None,
            "recommendation": self.advice.to_dict(),
            "lines": self.lines,
            "rules": self.rules,
        }


def conclude(
    frame: pd.DataFrame,
    metric: str = "auc",
    baseline: str = "random",
    margin: float = 0.01,
    similarity: pd.DataFrame | None = None,
) -> Verdict:
    """What a study's curves say: final performance, convergence, and what the gain is made of.

    Everything is paired over seeds (runs of one seed see the same examples in the same order), and intervals are
    Student's t over seeds, 95 % each: they say what other seeds would give on the same test images, not what other
    images would. Nothing is adjusted for the number of schemes, but the pick of a best and worst batch-norm mode is.

    Args:
        frame: one row per run and evaluation, as ``Study.frame`` gives it: ``run scheme seed step`` and the metric;
            ``batch_norm upto rest size`` where the study varies them. Runs may be missing, unfinished or diverged.
        metric: a column where higher is better.
        baseline: name of the start that the others are compared with.
        margin: smallest difference in the metric that matters. 0.01 is the size of the differences between starts that
            the paper's tables discuss; a smaller one asks for more seeds.
        similarity: comparisons of the runs' networks, as ``Store.similarity`` gives them; adds what they say.

    Returns:
        The verdict. Its starts are named by their scheme, followed by ``bn=MODE`` unless the scheme has this mode only
        or it is ``identity``, ``upto STAGE`` for partial starts, and ``rest SCHEME`` unless that is ``random``.

    Raises:
        InputError: if columns are missing, the metric is lower-is-better, the margin is not positive, or two runs share
            start, size and seed.

    Source: Section 4 of the paper for the speed-ups and their split. We differ: intervals, an equivalence test and a
    threshold from a rule, 80 % of the baseline's rise, where a crossing is timed about as precisely as anywhere.

    Example:
        >>> rows = [dict(run=f"{scheme}{seed}", scheme=scheme, seed=seed, step=step,
        ...              auc=0.9 - 0.4 * 2 ** (-step / tau) + 0.001 * (seed * step % 7))
        ...         for scheme, tau in [("random", 40), ("pretrained", 20)] for seed in range(3)
        ...         for step in range(0, 310, 10)]
        >>> verdict = conclude(pd.DataFrame(rows))
        >>> round(verdict.schemes["pretrained"].speedup.estimate, 1)
        2.0
    """
    if not margin > 0:
        raise InputError(
            f"A margin of {margin} leaves no room for an equivalence; give a positive difference, say 0.01."
        )
    contests = [Contest(grid, baseline, margin) for grid in read(frame, metric)]
    if not contests:
        return _nothing(metric, baseline, margin, frame["run"].nunique())
    main = contests[-1]
    by_size = {str(contest.grid.size or "all"): _compare_all(contest) for contest in contests}
    schemes = by_size[str(main.grid.size or "all")]
    scaling = main.share(SCALING, WHOLE)
    upto_shares = {
        name: main.share(name, WHOLE) for name, c in schemes.items() if c.start.scheme == WHOLE and c.start.upto
    }
    enough = [name for name, share in upto_shares.items() if share.estimate >= ENOUGH_OF_SPEEDUP]
    modes = {start.scheme: spread_of_modes(main, start.scheme) for start in main.grid.starts}
    leading = WHOLE if WHOLE in schemes else next(iter(schemes), WHOLE)
    return Verdict(
        metric=metric,
        baseline=baseline,
        margin=margin,
        rise=main.rise,
        schemes=schemes,
        scaling_share=scaling,
        feature_reuse_share=_rest_of(scaling),
        upto_shares=upto_shares,
        smallest_upto=enough[0] if enough else None,
        modes={scheme: spread for scheme, spread in modes.items() if spread},
        by_size=by_size if len(contests) > 1 else {},
        size_change=change_of_gap(contests[0], main, leading) if len(contests) > 1 else None,
        num_incomplete=frame["run"].nunique() - sum(contest.grid.num_complete for contest in contests),
        likeness=None if similarity is None else read_likeness(frame, similarity, leading, baseline),
    )


def _compare_all(contest: Contest) -> dict[str, Comparison]:
    return {start.name: contest.compare(start) for start in contest.rivals}


def _rest_of(share: Interval) -> Interval:
    return Interval(1 - share.estimate, 1 - share.high, 1 - share.low, share.n, share.reason)


def _nothing(metric: str, baseline: str, margin: float, num_runs: int) -> Verdict:
    unknown = Interval.undefined(0, f"no run has a value of {metric} after step 0")
    rise = Rise(np.nan, np.nan, np.nan)
    return Verdict(metric, baseline, margin, rise, {}, unknown, unknown, {}, None, {}, {}, None, num_runs)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value.to_dict() for name, value in values.items()}
