"""Least-squares fits of a two-dimensional Gabor to many small pictures at once.

Legend, for pixel coordinates x (right) and y (down): u = (x - x0) cos t + (y - y0) sin t,
v = -(x - x0) sin t + (y - y0) cos t, g = exp(-u^2 / (2 su^2) - v^2 / (2 sv^2)) (a cos(2 pi f u) + b sin(2 pi f u)) + c.
a, b and c (amplitude, phase, offset) are linear and solved exactly inside (variable projection); the six others,
theta = (x0, y0, t, f, su, sv), are searched.

Source: variable projection is Golub and Pereyra's (1973).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

# Orientations of the grid; the fit is refined from the best of them, the other parameters find their way.
_NUM_TURNS = 8
_NUM_STARTS = 3
_FIRST_STEPS, _LAST_STEPS = 6, 14  # of all starts, then of the best one
_BLOCK_PIXELS = 2048


def fit(patterns: Tensor) -> tuple[Tensor, Tensor]:
    """Fit a Gabor to each pattern.

    Args:
        patterns: (N, height, width) in float64.

    Returns:
        Best theta (N, 6), see the legend, and R2 (N,), NaN for a flat pattern.
    """
    count = max(1, _BLOCK_PIXELS // patterns[0].numel())  # patterns of a block: larger ones fall out of the cache
    with _one_thread(), torch.device("cpu"):  # whatever torch.set_default_device says
        blocks = [_fit_block(patterns[i : i + count]) for i in range(0, len(patterns), count)]
    theta, r2 = zip(*blocks, strict=True)
    return torch.cat(theta), torch.cat(r2)


def _fit_block(patterns: Tensor) -> tuple[Tensor, Tensor]:
    """Best theta (N, 6) and R2 (N,) of each pattern: a coarse grid, then Levenberg-Marquardt from its best cells."""
    height, width = patterns.shape[1:]
    flat = patterns.flatten(1) - patterns.mean(dim=(1, 2))[:, None]
    size = flat.norm(dim=1, keepdim=True)
    targets = flat / torch.where(size > 0, size, 1)
    starts = _best_starts(targets, height, width)  # several: the fit has as many valleys as the pattern has stripes
    theta, left = _refined(
        starts.flatten(0, 1), targets.repeat_interleave(_NUM_STARTS, dim=0), height, width, _FIRST_STEPS
    )
    best = left.reshape(-1, _NUM_STARTS).argmin(dim=1)
    theta = theta.reshape(-1, _NUM_STARTS, 6)[torch.arange(len(best)), best]
    theta, left = _refined(theta, targets, height, width, _LAST_STEPS)
    return theta, torch.where(size[:, 0] > 0, 1 - left, math.nan)


def _bounds(height: int, width: int) -> tuple[Tensor, Tensor]:
    side = float(max(height, width))
    # at least half a period within the picture, and an envelope of a pixel: less is no wave
    least = torch.tensor([0, 0, -math.inf, 0.5 / side, 0.8, 0.8], dtype=torch.float64)
    most = torch.tensor([width - 1, height - 1, math.inf, 0.5, side, side], dtype=torch.float64)
    return least, most


@lru_cache(maxsize=16)
def _grid(height: int, width: int) -> Tensor:
    """Candidate starts (M, 6): orientations (slowest), centres, frequencies and envelopes over their range."""
    side = max(height, width)
    return torch.tensor(
        [
            (x * (width - 1), y * (height - 1), turn * math.pi / _NUM_TURNS, frequency, spread * side, spread * side)
            for turn in range(_NUM_TURNS)
            for x, y in itertools.product((0.25, 0.5, 0.75), repeat=2)
            for frequency in np.geomspace(0.7 / side, 0.45, 5)
            for spread in (0.15, 0.25, 0.5)
        ],
        dtype=torch.float64,
    )


def _best_starts(targets: Tensor, height: int, width: int) -> Tensor:
    """The grid's best fits of each target, one of each of the best orientations: (N, starts, 6)."""
    grid = _grid(height, width)
    even, odd = _waves(grid, height, width)
    explained = (targets @ even.T).square() + (targets @ odd.T).square()
    per_turn = len(grid) // _NUM_TURNS
    most, best = explained.reshape(len(targets), _NUM_TURNS, per_turn).max(dim=2)
    turns = most.topk(_NUM_STARTS, dim=1).indices
    return grid[best.gather(1, turns) + per_turn * turns]


def _waves(theta: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Orthonormal basis of the Gabors that share theta, free of offset: two (M, pixels)."""
    x0, y0, turn, frequency, across, along = theta.T[:, :, None]
    y, x = (
        axis.reshape(1, -1).double()
        for axis in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    )
    u = (x - x0) * turn.cos() + (y - y0) * turn.sin()
    v = (y - y0) * turn.cos() - (x - x0) * turn.sin()
    envelope = torch.exp(-(u / across).square() / 2 - (v / along).square() / 2)
    even, odd = envelope * torch.cos(2 * math.pi * frequency * u), envelope * torch.sin(2 * math.pi * frequency * u)
    even = torch.nn.functional.normalize(even - even.mean(dim=1, keepdim=True))
    odd = odd - odd.mean(dim=1, keepdim=True)
    odd = odd - (odd * even).sum(dim=1, keepdim=True) * even
    return even, torch.nn.functional.normalize(odd)


def _residual(theta: Tensor, targets: Tensor, height: int, width: int) -> Tensor:
    """What the best Gabor with theta leaves of each target, (M, pixels)."""
    for wave in _waves(theta, height, width):
        targets = targets - (targets * wave).sum(dim=1, keepdim=True) * wave
    return targets


def _refined(theta: Tensor, targets: Tensor, height: int, width: int, num_steps: int) -> tuple[Tensor, Tensor]:
    """Levenberg-Marquardt on all problems at once, each with its own damping, within the bounds.

    Returns theta (M, 6) and the squares (M,) that it leaves.
    """
    least, most = _bounds(height, width)
    theta = theta.clamp(least, most)
    residual = _residual(theta, targets, height, width)
    damping = theta.new_full((len(theta), 1), 1e-2)
    for _ in range(num_steps):
        slope = _slope(theta, residual, targets, height, width)
        normal = slope.transpose(1, 2) @ slope
        ridge = torch.diag_embed(damping * normal.diagonal(dim1=1, dim2=2) + 1e-12)  # 1e-12: a parameter without effect
        step = torch.linalg.solve(normal + ridge, slope.transpose(1, 2) @ residual[:, :, None]).squeeze(2)
        tried = (theta - step).clamp(least, most)
        left = _residual(tried, targets, height, width)
        better = left.square().sum(1, keepdim=True) < residual.square().sum(1, keepdim=True)
        # each problem by itself
        theta, residual = torch.where(better, tried, theta), torch.where(better, left, residual)
        damping = torch.where(better, damping / 3, damping * 4).clamp(1e-9, 1e6)
    return theta, residual.square().sum(dim=1)


def _slope(theta: Tensor, residual: Tensor, targets: Tensor, height: int, width: int) -> Tensor:
    """Forward differences of the residual, (M, pixels, 6)."""
    step = 1e-6
    moved = [_residual(theta + step * unit, targets, height, width) for unit in torch.eye(6, dtype=theta.dtype)]
    return (torch.stack(moved, dim=2) - residual[:, :, None]) / step


@contextmanager
def _one_thread() -> Iterator[None]:
    """Many small operations: threads that wait for each other make them eight times slower on two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
