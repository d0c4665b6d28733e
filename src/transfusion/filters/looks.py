"""What filters and weights look like before and after training, as arrays to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor, nn

from transfusion.errors import InputError
from transfusion.filters.reading import Array, Floats, read_filters, read_floats
from transfusion.networks.given import described, integer


def relative_change(before: Array, after: Array) -> Floats:
    """How far each filter moved: |after - before| / |before|.

    Args:
        before: (N, ...) weights of one layer.
        after: the same layer later.

    Returns:
        (N,) ratios, 0 for an untouched filter; infinite where a zero filter moved.

    Raises:
        InputError: for no arrays, different shapes or values that are not finite.

    Examples:
        >>> relative_change(np.ones((2, 3)), 1.5 * np.ones((2, 3))).tolist()
        [0.5, 0.5]
    """
    first, second = read_floats(before, "before"), read_floats(after, "after")
    if first.shape != second.shape:
        raise InputError(f"Got filters of shape {first.shape} before and {second.shape} after; give the same layer.")
    if not first.ndim:
        raise InputError("Got a single number for filters; give the weight of a layer.")
    moved, size = (np.linalg.norm(each.reshape(len(each), -1), axis=1) for each in (second - first, first))
    still = moved == 0
    with np.errstate(divide="ignore"):
        return np.where(still, 0.0, moved / np.where(still, 1.0, size))


def pictures(before: Array, after: Array) -> dict[str, Floats]:
    """First-layer filters before and after on one scale, and their difference on a scale of its own.

    Args:
        before: (N, channels, height, width); other than 1 or 3 channels are averaged.
        after: the same layer later.

    Returns:
        ``before``, ``after`` and ``difference``, each (N, height, width, 1 or 3) in [0, 1]; 0.5 is a weight of 0. The
        largest weight of before and after touches 0 or 1, and so does the largest of the difference, which would be
        all grey on their scale where training moved little.

    Raises:
        InputError: for different or other shapes, or values that are not finite.

    Examples:
        >>> shown = pictures(np.ones((1, 3, 5, 5)), 1.01 * np.ones((1, 3, 5, 5)))
        >>> round(float(shown["before"].max()), 3), float(shown["difference"].max())
        (0.995, 1.0)
    """
    first, second = (_shown_channels(read_filters(each).numpy()) for each in (before, after))
    if first.shape != second.shape:
        raise InputError(f"Got filters of shape {first.shape} before and {second.shape} after; give the same layer.")
    scale = max(_largest(first), _largest(second))
    shown = {"before": _drawn(first, scale), "after": _drawn(second, scale)}
    return shown | {"difference": _drawn(second - first, _largest(second - first))}


def weight_histograms(
    weights: Mapping[str, Array | Sequence[Array]], bins: int = 100
) -> tuple[Floats, dict[str, Floats]]:
    """Distributions of several sets of weights over the same bins.

    Args:
        weights: ``{name: tensor or list of tensors}``, for example one stage under every scheme.
        bins: number of equal bins between the smallest and the largest weight of all.

    Returns:
        Edges (bins + 1,) and, per name, the density in each bin (integrates to 1).

    Raises:
        InputError: where there is no weight, one is not finite, or ``weights`` are no tensors by name.

    Examples:
        >>> edges, density = weight_histograms({"a": [np.zeros(3), np.ones(1)]}, bins=2)
        >>> density["a"].tolist()
        [1.5, 0.5]
    """
    if not isinstance(weights, Mapping):
        raise InputError(f"weight_histograms takes {{name: [tensor, ...]}}; got {described(weights)}.")
    bins = integer(bins, "bins", least=1)
    weights = {
        name: [each] if isinstance(each, (nn.Module, Tensor, np.ndarray)) else each for name, each in weights.items()
    }
    if odd := [name for name, each in weights.items() if not isinstance(each, (list, tuple))]:
        raise InputError(f"'{odd[0]}' is {described(weights[odd[0]])}; give a list of tensors for each name.")
    flat = {
        name: np.concatenate([np.zeros(0), *(read_floats(one, name).ravel() for one in each)])
        for name, each in weights.items()
    }
    if not flat or not all(each.size for each in flat.values()):
        raise InputError(f"No weights to count in {list(flat) or 'an empty mapping'}; give tensors per name.")
    low, high = min(each.min() for each in flat.values()), max(each.max() for each in flat.values())
    edges = np.histogram_bin_edges([low, high], bins=bins)
    return edges, {name: np.histogram(each, edges, density=True)[0] for name, each in flat.items()}


def _shown_channels(weights: Floats) -> Floats:
    return weights if weights.shape[1] in (1, 3) else weights.mean(axis=1, keepdims=True)


def _largest(weights: Floats) -> float:
    return float(np.abs(weights).max())


def _drawn(weights: Floats, scale: float) -> Floats:
    return np.moveaxis(0.5 + weights / (scale or 1.0) / 2, 1, 3)  # a scale of 0: nothing moved, and all is grey
