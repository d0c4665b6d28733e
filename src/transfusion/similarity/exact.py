"""The exact route for ill-conditioned float64 arrays: QR of the data instead of their second moments.

A second moment squares the condition number, so directions below 1e-8 of the largest drown in rounding. The triangular
factor R of the centred [X Y] does not: its columns are an isometric copy of X and Y in d_x + d_y dimensions, on which
Bjorck and Golub's method is exact. R is built block by block (TSQR), so memory depends on width only.

Source: Bjorck and Golub (1973), Numerical methods for computing angles between linear subspaces.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from transfusion.similarity.pair import EPS, Basis, Pair, View, num_leading, rank_floor, units_of_noise

_LEAST_ROWS = 1024
# Size of the directions that rounding to float32 may leave of what depends on other features.
_ROUNDING_OF_SINGLE = 16 * torch.finfo(torch.float32).eps


@dataclass(frozen=True, eq=False)
class ExactView(View):
    """A view whose bases are orthonormal coordinates within R.

    Attributes:
        moment: (d, m) R', so that ``moment @ basis.weights`` are the inner products of features and directions, as
            for any view.
    """

    @property
    def variance(self) -> Tensor:
        """Variance of each feature."""
        return self.moment.square().sum(dim=1) / self.n

    @cached_property
    def basis(self) -> Basis:
        """All directions that stand above rounding, from the singular values of the unit-length features."""
        keep = self.alive
        if not bool(keep.any()):
            return Basis(self.moment.T[:, :0], 0.0)
        unit = torch.nn.functional.normalize(self.moment[keep], dim=1)  # else rank would depend on units
        left, lengths, right = torch.linalg.svd(unit.T, full_matrices=False)
        values = lengths.square()
        floor = rank_floor(values, right.T, self.noise[keep], self._least(len(unit)))
        kept = values[values > floor]
        return Basis(left[:, values > floor], float((kept[-1] / kept[0]).item()))

    def principal(self, variance: float) -> Basis:
        """The fewest leading principal components that hold a share ``variance`` of the total variance."""
        keep = self.alive
        if not bool(keep.any()):
            return self.basis
        features = self.moment[keep]
        left, lengths, right = torch.linalg.svd(features.T, full_matrices=False)
        values, noise = lengths.square(), self.noise[keep] * features.square().sum(dim=1)
        rank = num_leading(values, variance, rank_floor(values, right.T, noise, self._least(len(features))))
        return Basis(left[:, :rank], float((values[rank - 1] / values[0]).item()))

    @property
    def doubt(self) -> str:
        """What may be wrong with small directions that were kept; empty where nothing."""
        size = math.sqrt(self.basis.spread)
        if self.eps == EPS and 0 < size < _ROUNDING_OF_SINGLE:
            return (
                f"has directions {size:.0e} times its largest. If its numbers ever were float32, that is their "
                "rounding and no rank: give float32 arrays."
            )
        return ""

    def _zeroed(self, alive: Tensor) -> Tensor:
        return self.moment * alive[:, None]

    def _least(self, width: int) -> float:
        """Least squared singular value as a share of the largest: the rounding of the features and of the QR."""
        of_sums = (max(self.n, width) * EPS) ** 2
        return of_sums if self.eps == EPS else max(of_sums, units_of_noise(self.eps) ** 2)


def exact_pair(x: Tensor, y: Tensor, eps: tuple[float, float] = (EPS, EPS)) -> Pair:
    """Compress two float64 arrays (n, d_x) and (n, d_y) without loss, for the measures of the CCA family.

    Args:
        x: (n, d_x).
        y: (n, d_y).
        eps: rounding units of the types that the two came in.
    """
    mean = torch.cat([x.mean(dim=0), y.mean(dim=0)])
    # Centred twice: the rounding of a mean is a constant in every row, which QR takes for a direction of its own.
    rest = sum((block.sum(dim=0) for block in _centred(x, y, mean)), torch.zeros_like(mean)) / len(x)
    factor = mean.new_zeros((0, len(mean)))
    for block in _centred(x, y, mean):
        # Q is never needed: R has all inner products
        factor = torch.linalg.qr(torch.cat([factor, block - rest]), mode="r").R
    width = x.shape[1]
    about = torch.zeros_like(mean)
    first = ExactView(len(x), mean[:width], factor[:, :width].T, math.nan, eps[0], about[:width])
    second = ExactView(len(x), mean[width:], factor[:, width:].T, math.nan, eps[1], about[width:])
    return Pair(
        first.without_dead(),
        second.without_dead(),
        torch.eye(len(factor), dtype=factor.dtype, device=factor.device),  # both sides are coordinates within R already
        math.nan,
    )


def _centred(x: Tensor, y: Tensor, mean: Tensor) -> Iterator[Tensor]:
    step = max(4 * len(mean), _LEAST_ROWS)  # rows: taller blocks gain nothing, flatter ones factorise R over and over
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        yield torch.cat([x[rows], y[rows]], dim=1) - mean
