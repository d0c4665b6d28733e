"""What the measures work on: one representation's second moments (``View``), and two of them (``Pair``).

Legend: X (n, d) centred. S = X'X. W (d, r) whitens: W'SW = I, r the numerical rank. For two representations
T = Wx' (X'Y) Wy holds the cosines between the two subspaces; its singular values are the canonical correlations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from transfusion.similarity.blas import eigenvalues, inverse_factor, product

EPS = torch.finfo(torch.float64).eps
# Moments of float64 data agree with QR to 1e-9 down to this ratio of eigenvalues: benchmarks/similarity_accuracy.py.
SAFE_SPREAD = 1e-6
_LEAST_SQUARE = 1e-10
# Rounding units that noise may reach. A float32 or float64 number is a sum of many rounded terms; a half type is what
# such a sum was rounded to once, by 1 / sqrt(12) units.
_UNITS_OF_NOISE = 2.0
_UNITS_OF_NOISE_IN_HALF = 0.6


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
        jitter: largest standard deviation of a feature that is not alive, in rounding units of its mean.
    """

    n: int
    mean: Tensor
    moment: Tensor
    norms: float
    eps: float
    offset: Tensor
    jitter: float = 0.0

    @property
    def width(self) -> int:
        """Number of features d."""
        return len(self.mean)

    @cached_property
    def alive(self) -> Tensor:
        """Features that vary by more than the rounding of their mean: std > 2 noise units, see ``units_of_noise``."""
        # strictly: zeros have variance 0 and mean 0
        return self.variance > (2 * units_of_noise(self.eps) * self.mean).square()

    @property
    def variance(self) -> Tensor:
        """Variance of each feature."""
        return self.moment.diagonal() / self.n

    def without_dead(self) -> View:
        """Itself without the features that are not alive, which are left out of every measure."""
        dead = ~self.alive
        if not bool(dead.any()):
            return self
        # 0 / 0 is 0 here
        units = self.variance[dead].clamp(min=0).sqrt() / (self.eps * self.mean[dead]).abs().clamp(min=1e-300)
        return replace(self, moment=self._zeroed(~dead), jitter=float(units.max().item()))

    def _zeroed(self, alive: Tensor) -> Tensor:
        return self.moment * torch.outer(alive, alive)

    @property
    def coarseness(self) -> float:
        """Largest share of a feature's variance that is the rounding of values about as large as its mean."""
        # the variance of a rounding error uniform over one unit
        noise = (self.eps * self.mean).square()[self.alive] / 12
        return float((noise / self.variance[self.alive]).max().item()) if len(noise) else 0.0

    @property
    def doubt(self) -> str:
        """What may be wrong with small directions that were kept; empty where nothing."""
        if self.eps == EPS and 0 < self.basis.spread < SAFE_SPREAD:
            return "is ill-conditioned: beyond 1e-9 trust only the arrays, not sums over batches."
        return ""

    @cached_property
    def trace(self) -> float:
        """Total sum of squares, |X|_F^2."""
        return float(self.moment.trace().item())

    @cached_property
    def basis(self) -> Basis:
        """All directions that stand above rounding, found on the correlation matrix."""
        keep = self.alive.nonzero().squeeze(1)
        # unit diagonal first: a feature in other units must not move the rank
        scale = self.moment.diagonal()[keep].sqrt()
        unit = self._moment_of(keep) / torch.outer(scale, scale)
        weights, spread = _whiten(unit, self.noise[keep], self.eps, self._least(len(keep)))
        return Basis(self._embed(weights / scale[:, None], keep), spread if len(keep) else 0.0)

    @property
    def noise(self) -> Tensor:
        """Rounding noise of each feature's mean as a share of its variance, at most."""
        return (units_of_noise(self.eps) * self.mean).square() / self.variance

    def principal(self, variance: float) -> Basis:
        """The fewest leading principal components that hold a share ``variance`` of the total variance."""
        keep = self.alive.nonzero().squeeze(1)
        if not len(keep):
            return self.basis
        values, vectors = torch.linalg.eigh(self._moment_of(keep))
        values, vectors = values.flip(0), vectors.flip(1)
        noise = (self.noise * self.moment.diagonal())[keep]
        rank = num_leading(values, variance, rank_floor(values, vectors, noise, self._least(len(keep))))
        weights = vectors[:, :rank] / values[:rank].sqrt()
        return Basis(self._embed(weights, keep), float((values[rank - 1] / values[0]).item()))

    def _least(self, width: int) -> float:
        """Least eigenvalue as a share of the largest: the rounding of the features, and of sums over n samples."""
        return max(self.n, width) * EPS if self.eps == EPS else max(width * EPS, units_of_noise(self.eps) ** 2)

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
        return product(product(x.weights.T, self.cross), y.weights)

    def correlations_between(self, x: Basis, y: Basis) -> Tensor:
        """Canonical correlations (r,), descending, between two subspaces."""
        return singular_values(self.cosines(x, y).to(self.precision)).to(torch.float64)

    @cached_property
    def correlations(self) -> Tensor:
        """All canonical correlations (r,), descending."""
        return self.correlations_between(self.x.basis, self.y.basis)


def units_of_noise(eps: float) -> float:
    """Rounding noise relative to a number's size, at most, from the rounding unit of its type.

    Examples:
        >>> units_of_noise(EPS) == 2 * EPS
        True
    """
    return eps * (_UNITS_OF_NOISE_IN_HALF if eps >= torch.finfo(torch.float16).eps else _UNITS_OF_NOISE)


def rank_floor(values: Tensor, directions: Tensor, noise: Tensor, least: float) -> Tensor:
    """Least eigenvalue of a correlation or covariance matrix that each direction needs to count as real.

    Args:
        values: (d,) eigenvalues.
        directions: (d, d) eigenvectors in columns.
        noise: (d,) rounding noise of each feature in the matrix's units, which grows with |mean| / std.
        least: the floor as a share of the largest eigenvalue.
    """
    return torch.maximum(least * values.max(), noise @ directions.square())


def num_leading(values: Tensor, variance: float, floor: Tensor) -> int:
    """How many of descending ``values`` hold a share ``variance`` of their sum, as far as they exceed the floor.

    Examples:
        >>> num_leading(torch.tensor([8.0, 1.0, 1.0]), 0.9, torch.zeros(3))
        2
    """
    # summed from the small end: 1 - cumsum would lose what the last components add
    rest = values.clamp(min=0).flip(0).cumsum(0).flip(0)
    wanted = (rest > (1 - variance) * rest[0]).sum()
    return int(torch.minimum(wanted, (values > floor).sum()).item())


def singular_values(cosines: Tensor) -> Tensor:
    """Singular values (r,), descending, of a matrix that has none above 1 but by rounding.

    Roots of the eigenvalues of T'T take half the time, and an error of eps / rho is nothing unless rho is tiny.

    Examples:
        >>> singular_values(torch.diag(torch.tensor([0.5, 0.25], dtype=torch.float64))).tolist()
        [0.5, 0.25]
    """
    if not cosines.numel():
        return cosines.new_zeros(0)
    wide = cosines.T if cosines.shape[0] > cosines.shape[1] else cosines  # the smaller of the two Gram matrices
    squares = eigenvalues(product(wide, wide.T))
    # roots of tiny squares keep half the digits
    if cosines.dtype == torch.float64 and float(squares[0].item()) < _LEAST_SQUARE:
        squares = torch.linalg.svdvals(cosines).square().flip(0)
    return squares.flip(0).clamp(0, 1).sqrt()


def _whiten(unit: Tensor, noise: Tensor, eps: float, least: float) -> tuple[Tensor, float]:
    """W of the legend for a unit-diagonal S, and the spread of its eigenvalues."""
    if not len(unit):
        return unit, 0.0
    quick = whiten_full_rank(unit, noise, eps, least)
    if quick is not None:
        return quick
    values, vectors = torch.linalg.eigh(unit)
    kept = values > rank_floor(values, vectors, noise, least)
    weights = vectors[:, kept] / values[kept].sqrt()
    return weights, float((values[0] / values[-1]).item()) if bool(kept.all()) else 0.0


def whiten_full_rank(unit: Tensor, noise: Tensor, eps: float, least: float) -> tuple[Tensor, float] | None:
    """W = inv(L)' from S = LL', a tenth of an eigendecomposition, where it proves that nothing is to be dropped.

    1 / |inv(L)|_F^2 bounds the smallest eigenvalue from below, |S|_F the largest from above.
    """
    inverse = inverse_factor(unit)
    if inverse is None:
        return None
    smallest, largest = 1 / inverse.square().sum(), torch.linalg.matrix_norm(unit)
    floor = max(least * float(largest.item()), float(noise.max().item()))
    # The bound itself carries rounding of the order of the floor: a hundredfold distance settles it.
    if float(smallest.item()) <= 100 * floor:
        return None
    spread = float((smallest / largest).item())
    if eps == EPS and spread < SAFE_SPREAD:
        # Too low by a factor of up to d^1.5, which matters here.
        values = torch.linalg.eigvalsh(unit)
        spread = float((values[0] / values[-1]).item())
    return inverse.T, spread
