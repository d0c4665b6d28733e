"""Whether training made first-layer filters Gabor-like, over seeds: shares in, estimates and words out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from transfusion.metrics import Interval
from transfusion.verdict.inference import mean_interval
from transfusion.verdict.numbers import trainings
from transfusion.verdict.statement import Statement

CHANCE = 0.05  # of filters of noise that pass all the same: the level at which each is tested
MOMENTS = ("before", "after", "difference")


@dataclass(frozen=True)
class GaborShares:
    """Shares of Gabor-like filters of one start, over seeds.

    Attributes:
        start: its label.
        before: share before training.
        after: share after it.
        difference: share of the differences, after minus before, that are Gabor-like themselves.
        change: after less before, paired over seeds.
    """

    start: str
    before: Interval
    after: Interval
    difference: Interval
    change: Interval

    @property
    def outcome(self) -> str:
        """``more`` or ``fewer`` after training than before, ``unchanged`` to the digit, or ``unknown``."""
        if self.change.low > 0 or self.change.high < 0:
            return "more" if self.change.estimate > 0 else "fewer"
        return "unchanged" if self.change.estimate == 0 else "unknown"

    @property
    def statement(self) -> Statement:
        """Over all seeds."""
        if np.isnan(self.after.estimate):
            text = f"{self.start}: whether its first-layer filters are Gabor-like is not known."
            return Statement("filters", "unknown", text, self.start, interval=self.change)
        trend = {
            "more": f"more than the {percent(self.before)} before",
            "fewer": f"fewer than the {percent(self.before)} before",
            "unchanged": "as before",
            "unknown": f"not known whether more than the {percent(self.before)} before",
        }[self.outcome]
        text = (
            f"{self.start}: after training, {share_words(self.after)} of the first-layer filters are Gabor-like, "
            f"{trend}. Of what training added, {share_words(self.difference)} is. Chance gives {100 * CHANCE:.0f} %; "
            f"{trainings(self.after.n)}."
        )
        return Statement("filters", self.outcome, text, self.start, interval=self.change)


def gabor_shares(start: str, shares: Mapping[str, Sequence[float]]) -> GaborShares:
    """Shares over seeds with Student's t intervals.

    Args:
        start: label of a start.
        shares: ``before``, ``after`` and ``difference`` -> the share in [0, 1] of Gabor-like filters of every seed, in
            one order of seeds; NaN where a seed has none.

    Returns:
        Intervals whose n is the number of seeds; no ends for one seed, or for seeds that agree exactly.

    Examples:
        >>> found = gabor_shares("random", {"before": [0.05, 0.06], "after": [0.4, 0.5], "difference": [0.6, 0.7]})
        >>> round(found.change.estimate, 3), found.after.n
        (0.395, 2)
    """
    values = {moment: np.asarray(shares[moment], dtype=np.float64) for moment in MOMENTS}
    change = values["after"] - values["before"]
    before, after, difference = (_within(_over_seeds(values[moment])) for moment in MOMENTS)
    return GaborShares(start, before, after, difference, _over_seeds(change))


def share_words(share: Interval) -> str:
    """A share with its interval, where it has one: ``40 % (31 to 49)``."""
    if np.isnan(share.estimate):
        return "an unknown share"
    reach = "" if np.isnan(share.low) else f" ({100 * share.low:.0f} to {100 * share.high:.0f})"
    return f"{percent(share)}{reach}"


def percent(share: Interval) -> str:
    """A share without its interval."""
    return f"{100 * share.estimate:.0f} %"


def _over_seeds(values: np.ndarray) -> Interval:
    return mean_interval(values[np.isfinite(values)])  # NaN: a seed whose filters are all flat


def _within(share: Interval) -> Interval:
    low, high = np.clip([share.low, share.high], 0, 1)
    return replace(share, low=float(low), high=float(high))
