"""When to stop adding trainings: looking again and again, and still seldom wrong.

Looked at after every training at 5 %, two equal starts are called different far more often than in 5 % of studies. Here
the 5 % are spent over the looks (Lan and DeMets), so that all of them together cost no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr

Floats = NDArray[np.float64]

NUM_NODES = 801
FIRST_LOOK = 3  # trainings of each start
FOR_FEW = 0.8  # of alpha: t tests with few trainings leave their limits up to 1.2 times as often as z tests do


def spent(share: float, alpha: float) -> float:
    """Part of ``alpha`` that may be used up by the time that ``share`` of the trainings are done: ln(1 + (e - 1) t).

    Much may be spent early, since a training costs more than a look.

    Source: Lan and DeMets 1983, Biometrika 70; the function is the one close to Pocock's constant limits.

    Examples:
        >>> round(spent(0.5, 0.05), 4), round(spent(1, 0.05), 4)
        (0.031, 0.05)
    """
    return alpha * float(np.log1p((np.e - 1) * min(share, 1.0)))


def limits(shares: Sequence[float], costs: Sequence[float]) -> Floats:
    """Limits of abs(z) at each look, two-sided, such that look i first exceeds its own with probability costs[i].

    Args:
        shares: of the information at each look, increasing, (looks,).
        costs: probability to be spent at each look under no effect, (looks,).

    Source: Armitage, McPherson and Rowe 1969: the density of those that continued is integrated from look to look.

    Examples:
        >>> import numpy as np
        >>> limits([1.0], [0.05]).round(3)
        array([1.96])
    """
    found: list[float] = []
    nodes, mass, before = np.zeros(1), np.ones(1), 0.0
    for share, cost in zip(shares, costs, strict=True):
        step, root = np.sqrt(share - before), np.sqrt(share)
        # 12: no z is larger
        found.append(float(brentq(_excess, 0.0, 12.0, args=(nodes, mass, step, root, cost), xtol=1e-8)))
        inner, lengths = _nodes(found[-1] * root)
        density = np.exp(-0.5 * ((inner[:, None] - nodes) / step) ** 2) / (step * np.sqrt(2 * np.pi))
        nodes, mass, before = inner, lengths * (density @ mass), share
    return np.array(found)


def _excess(limit: float, nodes: Floats, mass: Floats, step: float, root: float, cost: float) -> float:
    """Chance to leave (-limit, limit) at this look, less what it may cost."""
    edge = limit * root
    return float(mass @ (ndtr((-edge - nodes) / step) + ndtr((nodes - edge) / step))) - cost


def _nodes(edge: float) -> tuple[Floats, Floats]:
    """Simpson's rule on (-edge, edge)."""
    nodes = np.linspace(-edge, edge, NUM_NODES)
    weights = np.full(NUM_NODES, 2.0)
    weights[1::2], weights[0], weights[-1] = 4.0, 1.0, 1.0
    return nodes, weights * (nodes[1] - nodes[0]) / 3


@dataclass(frozen=True)
class Looks:
    """A plan to look after every training of each start, from the third to the last.

    Attributes:
        last: trainings of each start after which no more are added.
        alpha: chance of a false decision over all looks, with no effect.
        first: trainings at the first look.
    """

    last: int
    alpha: float = 0.05
    first: int = FIRST_LOOK

    @cached_property
    def levels(self) -> dict[int, float]:
        """Trainings -> two-sided level of a single test at that look: how small p must be to decide.

        Examples:
            >>> levels = Looks(last=10).levels
            >>> [n for n in levels], bool(max(levels.values()) < 0.05)
            ([3, 4, 5, 6, 7, 8, 9, 10], True)
        """
        numbers = range(min(self.first, self.last), self.last + 1)
        # information grows with the number of trainings
        totals = [spent(n / self.last, FOR_FEW * self.alpha) for n in numbers]
        bounds = limits([n / self.last for n in numbers], np.diff([0.0, *totals]).tolist())
        return dict(zip(numbers, (2 * ndtr(-bounds)).tolist(), strict=True))

    def level(self, num: int) -> float:
        """Of a single test after ``num`` trainings; 0, no decision, before the first look, and the last one's after."""
        if num < min(self.first, self.last):
            return 0.0
        return self.levels[min(num, self.last)]
