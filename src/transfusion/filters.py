"""First-layer filters: pictures of them, how far training moved them, and how Gabor-like they are.

Legend of the Gabor fit, for pixel coordinates x (right) and y (down) in a filter's picture:
u = (x - x0) cos t + (y - y0) sin t, v = -(x - x0) sin t + (y - y0) cos t,
g = exp(-u^2 / (2 su^2) - v^2 / (2 sv^2)) (a cos(2 pi f u) + b sin(2 pi f u)) + c.
a, b and c (amplitude, phase, offset) are linear and solved exactly inside (variable projection); the six others,
theta = (x0, y0, t, f, su, sv), are searched.

Source: the paper's Section 6 and Figure 8, which judge by eye; the score is ours. Variable projection: Golub and
Pereyra (1973).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from transfusion.errors import InputError

Array = npt.NDArray[np.generic] | Tensor
Floats = npt.NDArray[np.float64]

# One start per orientation: the other parameters find their way from the best cell, orientation may not.
_NUM_STARTS = 8
_NUM_STEPS = 20
_NUM_NULL = 200
_BLOCK_PIXELS = 2048
_LEAST_SIDE = 3


@dataclass(frozen=True, eq=False)
class GaborScore:
    """The best Gabor for each of N filters, and how often chance does as well.

    Attributes:
        r2: (N,) share of the spatial variance of the filter's main colour that the Gabor explains; NaN for a filter
            without spatial variation.
        p_value: (N,) share of random filters that fit at least as well: the given ones with their pixels shuffled.
        threshold: R2 that 5 % of such random filters exceed.
        orientation_deg: (N,) direction across the stripes, anticlockwise from horizontal, in [0, 180).
        frequency: (N,) cycles per pixel, in (0, 0.5].
        sigma: (N, 2) width of the envelope across and along the stripes, pixels.
        centre: (N, 2) of the envelope, pixels from the left and from the top.
        colour_share: (N,) share of the filter's spatial variance that lies in its main colour.
    """

    r2: Floats
    p_value: Floats
    threshold: float
    orientation_deg: Floats
    frequency: Floats
    sigma: Floats
    centre: Floats
    colour_share: Floats

    @property
    def share(self) -> float:
        """Share of filters above the threshold: 0.05 is chance."""
        return float((self.r2 > self.threshold).mean())

    def __float__(self) -> float:
        return self.share


def gabor_score(filters: Array) -> GaborScore:
    """How Gabor-like is each first-layer filter?

    Each filter is reduced to the spatial pattern of its main colour (first singular vector), to which a 2-D Gabor is
    fitted by least squares from several starts, all filters at once. Not for filters below about 5 x 5: there a
    Gabor fits anything, which the threshold then says. Blobs count as Gabors of low frequency.

    Args:
        filters: (N, channels, height, width) or (N, height, width), such as a first convolution's weight.

    Returns:
        Fit and chance per filter. "Gabor-like" means R2 above ``threshold``.

    Raises:
        InputError: for another shape, sides below 3, or values that are not finite.

    Example:
        >>> y, x = np.mgrid[-3:4, -3:4]
        >>> stripes = np.exp(-(x**2 + y**2) / 8) * np.cos(2 * np.pi * 0.25 * x)
        >>> score = gabor_score(stripes[None])
        >>> bool(score.r2[0] > 0.999), round(float(score.frequency[0]), 2)
        (True, 0.25)
    """
    weights = _filters(filters)
    patterns, colour_share = _main_colour(weights)
    with _one_thread():
        theta, r2 = _fit(patterns)
        null = _null(patterns)
    p_value = (1 + (null[None, :] >= r2[:, None].numpy()).sum(axis=1)) / (1 + len(null))
    flat = ~torch.isfinite(r2).numpy()
    theta[flat] = math.nan
    x0, y0, turn, frequency, across, along = theta.numpy().T
    return GaborScore(
        r2=r2.numpy(),
        p_value=np.where(flat, math.nan, p_value),
        threshold=float(np.quantile(null, 0.95)) if len(null) else math.nan,
        orientation_deg=np.degrees(-turn) % 180,
        frequency=frequency,
        sigma=np.stack([across, along], axis=1),
        centre=np.stack([x0, y0], axis=1),
        colour_share=colour_share.numpy(),
    )


def relative_change(before: Array, after: Array) -> Floats:
    """How far each filter moved: |after - before| / |before|.

    Args:
        before: (N, ...) weights of one layer.
        after: the same layer later.

    Returns:
        (N,) ratios, 0 for an untouched filter; infinite where a zero filter moved.

    Raises:
        InputError: for different shapes or values that are not finite.

    Example:
        >>> relative_change(np.ones((2, 3)), 1.5 * np.ones((2, 3))).tolist()
        [0.5, 0.5]
    """
    first, second = _floats(before, "before"), _floats(after, "after")
    if first.shape != second.shape:
        raise InputError(f"Got filters of shape {first.shape} before and {second.shape} after; give the same layer.")
    moved, size = (np.linalg.norm(each.reshape(len(each), -1), axis=1) for each in (second - first, first))
    still = moved == 0
    with np.errstate(divide="ignore"):
        return np.where(still, 0.0, moved / np.where(still, 1.0, size))


def pictures(before: Array, after: Array) -> dict[str, Floats]:
    """First-layer filters before, after and their difference, on one common scale.

    Args:
        before: (N, channels, height, width); other than 1 or 3 channels are averaged.
        after: the same layer later.

    Returns:
        ``before``, ``after`` and ``difference``, each (N, height, width, 1 or 3) in [0, 1]; 0.5 is a weight of 0, and
        the largest weight of all three touches 0 or 1.

    Raises:
        InputError: for different or other shapes, or values that are not finite.

    Example:
        >>> shown = pictures(np.zeros((1, 3, 5, 5)), np.ones((1, 3, 5, 5)))
        >>> float(shown["before"].max()), float(shown["difference"].max())
        (0.5, 1.0)
    """
    first, second = (_shown_channels(_filters(each).numpy()) for each in (before, after))
    if first.shape != second.shape:
        raise InputError(f"Got filters of shape {first.shape} before and {second.shape} after; give the same layer.")
    weights = {"before": first, "after": second, "difference": second - first}
    scale = max(float(np.abs(each).max()) for each in weights.values()) or 1.0
    return {name: np.moveaxis(0.5 + each / scale / 2, 1, 3) for name, each in weights.items()}


def weight_histograms(weights: Mapping[str, Sequence[Array]], bins: int = 100) -> tuple[Floats, dict[str, Floats]]:
    """Distributions of several sets of weights over the same bins.

    Args:
        weights: ``{name: tensors}``, for example one stage under every scheme.
        bins: number of equal bins between the smallest and the largest weight of all.

    Returns:
        Edges (bins + 1,) and, per name, the density in each bin (integrates to 1).

    Raises:
        InputError: where there is no weight, or one is not finite.

    Example:
        >>> edges, density = weight_histograms({"a": [np.zeros(3), np.ones(1)]}, bins=2)
        >>> density["a"].tolist()
        [1.5, 0.5]
    """
    flat = {
        name: np.concatenate([np.zeros(0), *(_floats(t, name).ravel() for t in each)]) for name, each in weights.items()
    }
    if not flat or not all(each.size for each in flat.values()):
        raise InputError(f"No weights to count in {list(flat) or 'an empty mapping'}; give tensors per name.")
    low, high = min(each.min() for each in flat.values()), max(each.max() for each in flat.values())
    edges = np.histogram_bin_edges([low, high], bins=bins)
    return edges, {name: np.histogram(each, edges, density=True)[0] for name, each in flat.items()}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Many small operations: threads that wait for each other make them eight times slower on two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _filters(filters: Array) -> Tensor:
    weights = torch.from_numpy(_floats(filters, "filters"))
    weights = weights[:, None] if weights.ndim == 3 else weights
    if weights.ndim != 4 or 0 in weights.shape or min(weights.shape[2:]) < _LEAST_SIDE:
        raise InputError(
            f"Got filters of shape {tuple(weights.shape)}; needs (filters, channels, height, width) with sides of at "
            f"least {_LEAST_SIDE} pixels, such as the weight of a first convolution."
        )
    return weights


def _floats(array: Array, name: str) -> Floats:
    values = array.detach().cpu().double().numpy() if isinstance(array, Tensor) else np.array(array, dtype=np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"'{name}' holds NaN or infinite weights; look for a diverged run.")
    return values


def _main_colour(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Spatial pattern (N, height, width) of each filter's main colour, and its share of the spatial variance."""
    centred = (weights - weights.mean(dim=(2, 3), keepdim=True)).flatten(2)
    # What the rounding of the mean leaves of a flat filter is no pattern.
    flat = centred.norm(dim=(1, 2)) <= 1e-12 * weights.flatten(1).norm(dim=1)
    centred[flat] = 0
    _, sizes, patterns = torch.linalg.svd(centred, full_matrices=False)
    share = sizes[:, 0].square() / sizes.square().sum(dim=1)
    return (sizes[:, :1] * patterns[:, 0]).reshape(len(weights), *weights.shape[2:]), share


def _shown_channels(weights: Floats) -> Floats:
    return weights if weights.shape[1] in (1, 3) else weights.mean(axis=1, keepdims=True)


def _null(patterns: Tensor) -> Floats:
    """R2 of the filters with their pixels shuffled, sorted.

    Gaussian pixels would be too easy a null: trained filters have heavy tails, and one large pixel is fitted well.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = patterns[torch.randint(len(patterns), (_NUM_NULL,), generator=generator)].flatten(1)
    order = torch.rand(drawn.shape, generator=generator).argsort(dim=1)
    _, r2 = _fit(drawn.gather(1, order).reshape(-1, *patterns.shape[1:]))
    return np.sort(r2[r2.isfinite()].numpy())


def _fit(patterns: Tensor) -> tuple[Tensor, Tensor]:
    """Best theta (N, 6) and R2 (N,) of each pattern, in blocks that stay in the processor's cache."""
    count = max(1, _BLOCK_PIXELS // patterns[0].numel())
    theta, r2 = zip(*(_fit_block(patterns[i : i + count]) for i in range(0, len(patterns), count)), strict=True)
    return torch.cat(theta), torch.cat(r2)


def _fit_block(patterns: Tensor) -> tuple[Tensor, Tensor]:
    """Best theta (N, 6) and R2 (N,) of each pattern: a coarse grid, then Levenberg-Marquardt from its best cells."""
    height, width = patterns.shape[1:]
    flat = patterns.flatten(1) - patterns.mean(dim=(1, 2))[:, None]
    size = flat.norm(dim=1, keepdim=True)
    targets = flat / torch.where(size > 0, size, 1)
    repeated = targets.repeat_interleave(_NUM_STARTS, dim=0)
    theta = _refined(_best_starts(targets, height, width).flatten(0, 1), repeated, height, width)
    left = _residual(theta, repeated, height, width).square().sum(dim=1).reshape(-1, _NUM_STARTS)
    best = left.argmin(dim=1)
    chosen = torch.arange(len(best))
    r2 = torch.where(size[:, 0] > 0, 1 - left[chosen, best], math.nan)
    return theta.reshape(-1, _NUM_STARTS, 6)[chosen, best], r2


def _bounds(height: int, width: int) -> tuple[Tensor, Tensor]:
    side = float(max(height, width))
    least = torch.tensor([0, 0, -math.inf, 0.5 / side, 0.8, 0.8], dtype=torch.float64)
    most = torch.tensor([width - 1, height - 1, math.inf, 0.5, side, side], dtype=torch.float64)
    return least, most


@lru_cache(maxsize=16)
def _grid(height: int, width: int) -> Tensor:
    """Candidate starts (M, 6): orientations (slowest), centres, frequencies and envelopes over their range."""
    side = max(height, width)
    return torch.tensor(
        [
            (x * (width - 1), y * (height - 1), turn * math.pi / _NUM_STARTS, frequency, spread * side, spread * side)
            for turn in range(_NUM_STARTS)
            for x, y in itertools.product((0.25, 0.5, 0.75), repeat=2)
            for frequency in np.geomspace(0.7 / side, 0.45, 5)
            for spread in (0.15, 0.25, 0.5)
        ],
        dtype=torch.float64,
    )


def _best_starts(targets: Tensor, height: int, width: int) -> Tensor:
    """The grid's best fit of each target for every orientation, (N, starts, 6)."""
    grid = _grid(height, width)
    even, odd = _waves(grid, height, width)
    explained = (targets @ even.T).square() + (targets @ odd.T).square()
    per_turn = len(grid) // _NUM_STARTS
    best = explained.reshape(len(targets), _NUM_STARTS, per_turn).argmax(dim=2)
    return grid[best + per_turn * torch.arange(_NUM_STARTS)]


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


def _refined(theta: Tensor, targets: Tensor, height: int, width: int) -> Tensor:
    """Levenberg-Marquardt on all problems at once, each with its own damping, within the bounds."""
    least, most = _bounds(height, width)
    theta = theta.clamp(least, most)
    residual = _residual(theta, targets, height, width)
    damping = theta.new_full((len(theta), 1), 1e-2)
    for _ in range(_NUM_STEPS):
        slope = _slope(theta, residual, targets, height, width)
        normal = slope.transpose(1, 2) @ slope
        ridge = torch.diag_embed(damping * normal.diagonal(dim1=1, dim2=2) + 1e-12)
        step = torch.linalg.solve(normal + ridge, slope.transpose(1, 2) @ residual[:, :, None]).squeeze(2)
        tried = (theta - step).clamp(least, most)
        left = _residual(tried, targets, height, width)
        better = left.square().sum(1, keepdim=True) < residual.square().sum(1, keepdim=True)
        theta, residual = torch.where(better, tried, theta), torch.where(better, left, residual)
        damping = torch.where(better, damping / 3, damping * 4).clamp(1e-9, 1e6)
    return theta


def _slope(theta: Tensor, residual: Tensor, targets: Tensor, height: int, width: int) -> Tensor:
    """Forward differences of the residual, (M, pixels, 6)."""
    step = 1e-6
    moved = [_residual(theta + step * unit, targets, height, width) for unit in torch.eye(6, dtype=theta.dtype)]
    return (torch.stack(moved, dim=2) - residual[:, :, None]) / step
