"""What the measures work on: one representation's second moments (``View``), and two of them (``Pair``).

Legend: X (n, d) centred. S = X'X. W (d, r) whitens: W'SW = I, r the numerical rank. For two representations
T = Wx' (X'Y) Wy holds the cosines between the two subspaces; its singular values are the canonical correlations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

EPS = torch.finfo(torch.float64).eps
# Moments of float64 data agree with QR to 1e-9 down to this ratio of eigenvalues: benchmarks/similarity_accuracy.py.
SAFE_SPREAD = 1e-6
_LEAST_SQUARE = 1e-10


@dataclass(frozen=True, eq=False)
class Basis:
    """Directions that whiten a representation.

    Attributes:
        weights: (d, r) as in the legend; or, for data compressed by the exact route, an orthonormal basis of them.
        spread: smallest kept over largest eigenvalue of the correlation matrix, at least; 0 where any was dropped.
    """

    weights: Tensor
    spread: float

    @property
    def rank(self) -> int:
        """Number of directions."""
        return self.weights.shape[1]


@dataclass(frozen=True, eq=False)
class View:
    """One representation of n samples.

    Attributes:
        n: samples.
        mean: (d,) mean of each feature.
        moment: (d, d) centred second moments S, a sum over samples.
        norms: sum over samples of |x - mean|^4.
        eps: rounding unit of the type that the features came in.
        offset: (d,) mean less the shift about which the sums were made.
    """

    n: int
    mean: Tensor
    moment: Tensor
    norms: float
    eps: float
    offset: Tensor

    @property
    def width(self) -> int:
        """Number of features d."""
        return len(self.mean)

    @cached_property
    def alive(self) -> Tensor:
        """Features that vary by more than the rounding of their mean: variance > (4 eps |mean|)^2."""
        return self.variance > (4 * self.eps * self.mean).square()

    @property
    def variance(self) -> Tensor:
        """Variance of each feature."""
        return self.moment.diagonal() / self.n

    @cached_property
    def trace(self) -> float:
        """Total sum of squares, |X|_F^2."""
        return float(self.moment.trace().item())

    @cached_property
    def basis(self) -> Basis:
        """All directions that stand above rounding, found on the correlation matrix."""
        keep = self.alive.nonzero().squeeze(1)
        scale = self.moment.diagonal()[keep].sqrt()
        unit = self._moment_of(keep) / torch.outer(scale, scale)
        weights, spread = _whiten(unit, self.noise[keep], self.eps)
        return Basis(self._embed(weights / scale[:, None], keep), spread if len(keep) else 0.0)

    @property
    def noise(self) -> Tensor:
        """Rounding noise of each feature as a share of its variance, with a margin of two rounding units."""
        return (2 * self.eps * self.mean).square() / self.variance

    def principal(self, variance: float) -> Basis:
        """The fewest leading principal components that hold a share ``variance`` of the total variance."""
        keep = self.alive.nonzero().squeeze(1)
        if not len(keep):
            return self.basis
        values, vectors = torch.linalg.eigh(self._moment_of(keep))
        values, vectors = values.flip(0), vectors.flip(1)
        rank = num_leading(values, variance, _least(len(keep), self.eps))
        weights = vectors[:, :rank] / values[:rank].sqrt()
        return Basis(self._embed(weights, keep), float((values[rank - 1] / values[0]).item()))

    def _moment_of(self, keep: Tensor) -> Tensor:
        return self.moment if len(keep) == self.width else self.moment[keep][:, keep]

    def _embed(self, weights: Tensor, keep: Tensor) -> Tensor:
        if len(keep) == self.width:
            return weights
        full = weights.new_zeros((self.width, weights.shape[1]))
        full[keep] = weights
        return full


@dataclass(frozen=True, eq=False)
class Pair:
    """Two representations of the same samples.

    Attributes:
        x, y: each by itself.
        cross: (d_x, d_y) centred X'Y.
        norms: sum over samples of |x - mean|^2 |y - mean|^2.
        null: the same two with images re-matched at random, where that was summed.
        precision: type in which correlations need be found.
    """

    x: View
    y: View
    cross: Tensor
    norms: float
    null: Pair | None = None
    precision: torch.dtype = torch.float64

    @property
    def n(self) -> int:
        """Number of samples."""
        return self.x.n

    def cosines(self, x: Basis, y: Basis) -> Tensor:
        """T of the legend, (rank_x, rank_y)."""
        return x.weights.T @ self.cross @ y.weights

    def correlations_between(self, x: Basis, y: Basis) -> Tensor:
        """Canonical correlations (r,), descending, between two subspaces."""
        return _singular_values(self.cosines(x, y).to(self.precision)).to(torch.float64)

    @cached_property
    def correlations(self) -> Tensor:
        """All canonical correlations (r,), descending."""
        return self.correlations_between(self.x.basis, self.y.basis)


def rank_floor(values: Tensor, directions: Tensor, noise: Tensor, least: float) -> Tensor:
    """Least eigenvalue of a correlation matrix that each direction needs to count as real.

    Args:
        values: (d,) eigenvalues.
        directions: (d, d) eigenvectors in columns.
        noise: (d,) rounding noise of each unit-variance feature, which grows with |mean| / std.
        least: the floor as a share of the largest eigenvalue.
    """
    return torch.maximum(least * values.max(), noise @ directions.square())


def num_leading(values: Tensor, variance: float, least: float) -> int:
    """How many of descending ``values`` hold a share ``variance`` of their sum, none below ``least`` of the first."""
    rest = values.clamp(min=0).flip(0).cumsum(0).flip(0)
    wanted = (rest > (1 - variance) * rest[0]).sum()
    return int(torch.minimum(wanted, (values > least * values[0]).sum()).item())


def _singular_values(cosines: Tensor) -> Tensor:
    """Singular values (r,), descending, of a matrix that has none above 1 but by rounding.

    Roots of the eigenvalues of T'T take half the time, and an error of eps / rho is nothing unless rho is tiny.
    """
    if not cosines.numel():
        return cosines.new_zeros(0)
    wide = cosines.T if cosines.shape[0] > cosines.shape[1] else cosines
    squares: Tensor = torch.linalg.eigvalsh(wide @ wide.T)
    if cosines.dtype == torch.float64 and float(squares[0].item()) < _LEAST_SQUARE:
        squares = torch.linalg.svdvals(cosines).square().flip(0)
    return squares.flip(0).clamp(0, 1).sqrt()


def _least(width: int, eps: float) -> float:
    return max(width * EPS, (2 * eps) ** 2)


def _whiten(unit: Tensor, noise: Tensor, eps: float) -> tuple[Tensor, float]:
    """W of the legend for a unit-diagonal S, and the spread of its eigenvalues."""
    if not len(unit):
        return unit, 0.0
    quick = _whiten_full_rank(unit, noise, eps)
    if quick is not None:
        return quick
    values, vectors = torch.linalg.eigh(unit)
    kept = values > rank_floor(values, vectors, noise, _least(len(unit), eps))
    weights = vectors[:, kept] / values[kept].sqrt()
    return weights, float((values[0] / values[-1]).item()) if bool(kept.all()) else 0.0


def _whiten_full_rank(unit: Tensor, noise: Tensor, eps: float) -> tuple[Tensor, float] | None:
    """W = inv(L)' from S = LL', a tenth of an eigendecomposition, where it proves that nothing is to be dropped.

    1 / |inv(L)|_F^2 bounds the smallest eigenvalue from below, |S|_F the largest from above.
    """
    factor, failed = torch.linalg.cholesky_ex(unit)
    if int(failed.item()):
        return None
    inverse = torch.linalg.solve_triangular(factor, torch.eye(len(unit)).to(unit), upper=False)
    smallest, largest = 1 / inverse.square().sum(), torch.linalg.matrix_norm(unit)
    floor = max(_least(len(unit), eps) * float(largest.item()), float(noise.max().item()))
    # The bound itself carries rounding of the order of the floor: a hundredfold distance settles it.
    if float(smallest.item()) <= 100 * floor:
        return None
    spread = float((smallest / largest).item())
    if eps == EPS and spread < SAFE_SPREAD:
        # Too low by a factor of up to d^1.5, which matters here.
        values = torch.linalg.eigvalsh(unit)
        spread = float((values[0] / values[-1]).item())
    return inverse.T, spread
