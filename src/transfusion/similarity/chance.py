"""What a measure gives when rows are re-paired at random: the baseline in closed form, without a second pass.

Re-pairing turns one subspace at random against the other within the n - 1 centred dimensions. The mean square of the
cosines between them is then exactly max(r_x, r_y) / (n - 1), and their distribution is that of the Jacobi ensemble.

Source: Wachter (1980), The limiting empirical measure of multiple discriminant ratios; Johnstone (2008), Multivariate
analysis and Jacobi ensembles.
"""

from __future__ import annotations

import math

import numpy as np

_NODES = 2000


def chance_correlation(rank_x: int, rank_y: int, n: int) -> float:
    """Mean canonical correlation of n samples whose pairing is random.

    The limit law for large ranks; at rank 1 it is 6 % above the exact sqrt(2 / (pi n)).

    Args:
        rank_x: dimensions of x's subspace, after centring.
        rank_y: dimensions of y's.
        n: samples.

    Examples:
        >>> round(chance_correlation(50, 50, 1001), 3)
        0.191
    """
    if min(rank_x, rank_y) == 0:
        return math.nan
    a, b = (min(rank / (n - 1), 1.0) for rank in (rank_x, rank_y))
    centre = a + b - 2 * a * b
    radius = 2 * math.sqrt(a * b * (1 - a) * (1 - b))
    # Chebyshev's nodes: the density has square roots at both ends, where an even grid would be off
    angle = (np.arange(_NODES) + 0.5) * math.pi / _NODES
    squared = np.clip(centre + radius * np.cos(angle), 1e-300, 1 - 1e-16)  # the law divides by both ends
    density = (radius * np.sin(angle)) ** 2 / (2 * math.pi * squared * (1 - squared))
    bulk = float((np.sqrt(squared) * density).mean()) * math.pi
    always_one = max(0.0, a + b - 1)  # spaces of more than n - 1 dimensions together must share some
    return min((bulk + always_one) / min(a, b), 1.0)


def chance_square(rank_x: int, rank_y: int, n: int) -> float:
    """Mean squared canonical correlation of n samples whose pairing is random; exact.

    Examples:
        >>> chance_square(50, 20, 1001)
        0.05
    """
    return min(max(rank_x, rank_y) / (n - 1), 1.0) if min(rank_x, rank_y) else math.nan
