"""An estimate with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Interval:
    """An estimate, how surely it is known, and on how many observations it rests.

    Attributes:
        estimate: the best single number, NaN where there is none.
        low: lower end of the interval, -inf or 0 where the data set no bound.
        high: upper end, inf where the data set no bound.
        n: independent observations used (examples, patients or seeds, as the maker says).
        reason: why the estimate is missing or the interval is not the usual one; None otherwise.
        parts: source of uncertainty (``training``, ``patients``) -> its share of the variance; empty where only one
            source is counted.
    """

    estimate: float
    low: float
    high: float
    n: int
    reason: str | None = None
    parts: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def undefined(cls, n: int, reason: str) -> Interval:
        """The interval that says nothing, and why."""
        return cls(np.nan, np.nan, np.nan, n, reason)

    @property
    def is_known(self) -> bool:
        """Whether there is an estimate with two ends, which may be infinite."""
        return bool(self.low <= self.estimate <= self.high)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; ``reason`` and ``parts`` only where there are any."""
        values: dict[str, Any] = {"estimate": self.estimate, "low": self.low, "high": self.high, "n": self.n}
        values |= {"reason": self.reason} if self.reason else {}
        return values | ({"parts": dict(self.parts)} if self.parts else {})
