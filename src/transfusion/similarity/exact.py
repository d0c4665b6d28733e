"""The exact route for ill-conditioned float64 arrays: QR of the data instead of their second moments.

A second moment squares the condition number, so directions below 1e-8 of the largest drown in rounding. The triangular
factor R of the centred [X Y] does not: its columns are an isometric copy of X and Y in d_x + d_y dimensions, on which
Bjorck and Golub's method is exact. R is built block by block (TSQR), so memory depends on width only.

Source: Bjorck and Golub (1973), Numerical methods for computing angles between linear subspaces.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from transfusion.similarity.pair import EPS, Basis, Pair, View, num_leading, rank_floor

_LEAST_ROWS = 1024


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
        unit = torch.nn.functional.normalize(self.moment[keep], dim=1)
        left, lengths, right = torch.linalg.svd(unit.T, full_matrices=False)
        values = lengths.square()
        floor = rank_floor(values, right.T, self.noise[keep], self._least(len(unit)))
        return Basis(left[:, values > floor], 1.0)

    def principal(self, variance: float) -> Basis:
        """The fewest leading principal components that hold a share ``variance`` of the total variance."""
        keep = self.alive
        if not bool(keep.any()):
            return self.basis
        left, lengths, _ = torch.linalg.svd(self.moment[keep].T, full_matrices=False)
        rank = num_leading(lengths.square(), variance, self._least(int(keep.sum().item())))
        return Basis(left[:, :rank], 1.0)

    def _least(self, width: int) -> float:
        """Least squared singular value as a share of the largest: what the type of the features carries."""
        return (width * EPS) ** 2 if self.eps == EPS else (2 * self.eps) ** 2


def exact_pair(x: Tensor, y: Tensor, eps: tuple[float, float] = (EPS, EPS)) -> Pair:
    """Compress two float64 arrays (n, d_x) and (n, d_y) without loss, for the measures of the CCA family.

    Args:
        x: (n, d_x).
        y: (n, d_y).
        eps: rounding units of the types that the two came in.
    """
    mean = torch.cat([x.mean(dim=0), y.mean(dim=0)])
    factor = mean.new_zeros((0, len(mean)))
    step = max(4 * len(mean), _LEAST_ROWS)
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        centred = torch.cat([x[rows], y[rows]], dim=1) - mean
        factor = torch.linalg.qr(torch.cat([factor, centred]), mode="r").R
    width = x.shape[1]
    about = torch.zeros_like(mean)
    first = ExactView(len(x), mean[:width], factor[:, :width].T, math.nan, eps[0], about[:width])
    second = ExactView(len(x), mean[width:], factor[:, width:].T, math.nan, eps[1], about[width:])
    return Pair(first, second, torch.eye(len(factor)).to(factor), math.nan)
