"""Slow, plain references: float64, whole arrays, straight from the definitions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def centred(x: npt.ArrayLike) -> Floats:
    values = np.asarray(x, dtype=np.float64)
    return values - values.mean(axis=0)


def basis(x: npt.ArrayLike) -> Floats:
    """Orthonormal basis of the centred columns, by QR (Bjorck and Golub 1973) or, if dependent, SVD."""
    values = centred(x)
    lengths = np.linalg.norm(values, axis=0)
    alive = lengths > 1e-12 * np.linalg.norm(np.asarray(x, dtype=np.float64), axis=0)
    scaled = values[:, alive] / lengths[alive]
    left, sizes, _ = np.linalg.svd(scaled, full_matrices=False)
    rank = int((sizes > 1e-10 * sizes[0]).sum()) if sizes.size else 0
    return np.linalg.qr(scaled)[0] if rank == scaled.shape[1] else left[:, :rank]


def canonical_correlations(x: npt.ArrayLike, y: npt.ArrayLike) -> Floats:
    return np.linalg.svd(basis(x).T @ basis(y), compute_uv=False)


def pwcca(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Morcos et al. (2018), equation 3, with canonical vectors in sample space."""
    qx = basis(x)
    left, rho, _ = np.linalg.svd(qx.T @ basis(y), full_matrices=False)
    weights = np.abs((qx @ left).T @ centred(x)).sum(axis=1)
    return float(weights @ rho / weights.sum())


def linear_cka(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    a, b = centred(x), centred(y)
    return float(np.linalg.norm(a.T @ b) ** 2 / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)))


def debiased_cka(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Song et al. (2012), equation 5, with the n x n kernels written out."""
    k, m = (values @ values.T for values in (np.asarray(x, np.float64), np.asarray(y, np.float64)))
    return _hsic(k, m) / np.sqrt(_hsic(k, k) * _hsic(m, m))


def _hsic(k: Floats, m: Floats) -> float:
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    total = np.trace(k @ m) + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ m).sum()
    return float(total / (n * (n - 3)))


def procrustes(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    a, b = centred(x), centred(y)
    nuclear = np.linalg.svd(a.T @ b, compute_uv=False).sum()
    return float(nuclear / (np.linalg.norm(a) * np.linalg.norm(b)))


def related(n: int = 600, width_x: int = 8, width_y: int = 6, seed: int = 0) -> tuple[Floats, Floats]:
    """Two well-conditioned representations that share some of what they hold."""
    draw = np.random.default_rng(seed)
    shared = draw.normal(size=(n, 5))
    x = shared @ draw.normal(size=(5, width_x)) + draw.normal(size=(n, width_x))
    return x, shared @ draw.normal(size=(5, width_y)) + draw.normal(size=(n, width_y))


def conditioned(n: int, width: int, condition: float, seed: int = 0, rotated: bool = True) -> Floats:
    """Random data whose singular values fall geometrically, along the features or in directions across them."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, width)) * np.geomspace(1, 1 / condition, width)
    return x @ np.linalg.qr(draw.normal(size=(width, width)))[0] if rotated else x
