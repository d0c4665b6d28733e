"""The measures: each is a formula on a ``Pair``, and what chance would give.

Legend: T as in ``pair``; T = U diag(rho) V'; r = min(rank_x, rank_y).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from transfusion.errors import InputError, UnknownNameError
from transfusion.similarity.chance import chance_correlation, chance_square
from transfusion.similarity.pair import Basis, Pair, View

SVCCA_VARIANCE = 0.99


@dataclass(frozen=True, eq=False)
class Score:
    """A measure's numbers before they are explained.

    Attributes:
        value: the measure, x against y.
        reverse: y against x.
        coefficients: (r,) what the value is an average of, descending; empty where there is no such thing.
        ranks: dimensions of x and y that were compared.
    """

    value: float
    reverse: float
    coefficients: Tensor
    ranks: tuple[int, int]


@dataclass(frozen=True)
class Measure:
    """A named measure.

    Attributes:
        score: from a pair to its numbers.
        chance: from a pair and its score to the value expected under random pairing; None where only re-matched
            sums can give.
        whitens: whether it divides by small eigenvalues, and so gains from the exact route.
        single: whether products in float32 change it by a sum of many small errors, and so by next to nothing; what
            depends on single canonical vectors, or on where a spectrum is cut, can jump.
        norms: whether it needs sums that were taken with ``norms``.
        unbiased: whether few samples do not raise it.
    """

    score: Callable[[Pair], Score]
    chance: Callable[[Pair, Score], float] | None
    whitens: bool = False
    single: bool = False
    norms: bool = False
    unbiased: bool = False


def cca_score(pair: Pair) -> Score:
    """Mean canonical correlation, sum(rho) / r."""
    rho = pair.correlations
    return _symmetric_score(_mean(rho), rho, pair.x.basis, pair.y.basis)


def cca_squared_score(pair: Pair) -> Score:
    """Mean squared canonical correlation, |T|_F^2 / r."""
    rho = pair.correlations
    return _symmetric_score(_mean(rho.square()), rho, pair.x.basis, pair.y.basis)


def svcca_score(pair: Pair, variance: float = SVCCA_VARIANCE) -> Score:
    """Mean canonical correlation between the leading principal components."""
    x, y = pair.x.principal(variance), pair.y.principal(variance)
    rho = pair.correlations_between(x, y)
    return _symmetric_score(_mean(rho), rho, x, y)


def pwcca_score(pair: Pair) -> Score:
    """Canonical correlations weighted by how much of the features each canonical vector h_i explains.

    With h_i orthonormal, alpha_i = sum_j |<h_i, x_j>| and the value is sum(alpha rho) / sum(alpha).
    """
    x, y = pair.x.basis, pair.y.basis
    left, rho, right = torch.linalg.svd(pair.cosines(x, y), full_matrices=False)
    rho = rho.clamp(max=1)  # rounding leaves 1 + 1e-16
    value = _projection_weighted(pair.x, x, left, rho)
    return Score(value, _projection_weighted(pair.y, y, right.T, rho), rho, (x.rank, y.rank))


def linear_cka_score(pair: Pair) -> Score:
    """|X'Y|_F^2 / (|X'X|_F |Y'Y|_F)."""
    if not _both_vary(pair):
        return _unranked(pair, math.nan)
    shares = (pair.cross / _scale(pair)).square().sum()
    value = shares / (_spread(pair.x) * _spread(pair.y))  # in shares of the traces: plain fourth powers can overflow
    return _unranked(pair, min(float(value.item()), 1.0))


def debiased_cka_score(pair: Pair) -> Score:
    """CKA from unbiased estimates of the three HSICs, zero on average for independent data.

    With linear kernels of centred data all of HSIC_1 is in the sums:
    |X'Y|_F^2 - n/(n-2) sum_i |x_i|^2 |y_i|^2 + |X|_F^2 |Y|_F^2 / ((n-1)(n-2)), up to a factor that cancels.
    """
    n, x, y = pair.n, pair.x, pair.y
    if n < 4 or not _both_vary(pair):
        return _unranked(pair, math.nan)

    def hsic(cross: Tensor, norms: float, traces: float) -> float:
        return float(cross.square().sum().item()) - n / (n - 2) * norms + traces / ((n - 1) * (n - 2))

    if math.isnan(pair.norms):
        raise InputError("These sums were taken with norms=False; the debiased CKA needs norms=True. Sum again.")
    own = hsic(x.moment, x.norms, x.trace**2) * hsic(y.moment, y.norms, y.trace**2)
    if own <= 0:  # an unbiased estimate of a positive number can be negative
        return _unranked(pair, math.nan)
    value = hsic(pair.cross, pair.norms, x.trace * y.trace) / math.sqrt(own)
    return _unranked(pair, max(-1.0, min(value, 1.0)))


def procrustes_score(pair: Pair) -> Score:
    """Nuclear norm of X'Y over |X|_F |Y|_F: 1 minus half the squared distance after the best rotation."""
    if not _both_vary(pair):
        return _unranked(pair, math.nan)
    shares = torch.linalg.svdvals(pair.cross / _scale(pair))
    value = min(float(shares.sum().item()), 1.0)
    return Score(value, value, shares, _alive(pair))


def _chance_mean(pair: Pair, score: Score) -> float:
    return chance_correlation(*score.ranks, pair.n)


def _chance_mean_square(pair: Pair, score: Score) -> float:
    return chance_square(*score.ranks, pair.n)


def _chance_cka(pair: Pair, score: Score) -> float:
    """E|X'PY|_F^2 = |X|_F^2 |Y|_F^2 / (n - 1) over all permutations P; exact."""
    if not _both_vary(pair):
        return math.nan
    return min(float((1 / (pair.n - 1) / (_spread(pair.x) * _spread(pair.y))).item()), 1.0)


def _chance_debiased(pair: Pair, score: Score) -> float:
    """The estimator is unbiased, so random pairing gives zero on average; exact."""
    return 0.0 if math.isfinite(score.value) else math.nan


MEASURES = {
    "cca": Measure(cca_score, _chance_mean, whitens=True, single=True),
    "cca_squared": Measure(cca_squared_score, _chance_mean_square, whitens=True, single=True),
    "svcca": Measure(svcca_score, _chance_mean, whitens=True),  # not single: rounding could move the cut by a component
    "pwcca": Measure(pwcca_score, _chance_mean, whitens=True),  # not single: canonical vectors of equal rho turn freely
    "linear_cka": Measure(linear_cka_score, _chance_cka),
    "debiased_cka": Measure(debiased_cka_score, _chance_debiased, norms=True, unbiased=True),
    "procrustes": Measure(procrustes_score, None),  # no closed form is known
}


def measure(name: str) -> Measure:
    """The measure of that name.

    Raises:
        UnknownNameError: listing the known ones.

    Examples:
        >>> measure("debiased_cka").unbiased
        True
    """
    if not isinstance(name, str) or name not in MEASURES:
        raise UnknownNameError.of("measure", name, MEASURES)
    return MEASURES[name]


def _mean(values: Tensor) -> float:
    return float(values.mean().item()) if len(values) else math.nan


def _scale(pair: Pair) -> float:
    """|X|_F |Y|_F, of numbers whose fourth powers float64 may not hold."""
    return math.sqrt(pair.x.trace) * math.sqrt(pair.y.trace)


def _spread(view: View) -> Tensor:
    """|X'X|_F / |X|_F^2, from 1 / sqrt(d) to 1."""
    spread: Tensor = torch.linalg.matrix_norm(view.moment / view.trace)
    return spread


def _projection_weighted(view: View, basis: Basis, directions: Tensor, rho: Tensor) -> float:
    # moment @ weights are the inner products <h, x_j>; a constant feature has none
    weights = (view.moment[view.alive] @ basis.weights @ directions).abs().sum(dim=0)
    return min(float((weights @ rho / weights.sum()).item()), 1.0) if len(rho) else math.nan


def _symmetric_score(value: float, rho: Tensor, x: Basis, y: Basis) -> Score:
    return Score(value, value, rho, (x.rank, y.rank))


def _unranked(pair: Pair, value: float) -> Score:
    return Score(value, value, pair.cross.new_zeros(0), _alive(pair))


def _alive(pair: Pair) -> tuple[int, int]:
    return int(pair.x.alive.sum().item()), int(pair.y.alive.sum().item())


def _both_vary(pair: Pair) -> bool:
    return bool(pair.x.alive.any()) and bool(pair.y.alive.any())
