"""From two arrays to what the measures work on."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from transfusion.errors import InputError
from transfusion.similarity.exact import exact_pair
from transfusion.similarity.measures import Measure
from transfusion.similarity.pair import EPS, Pair, View
from transfusion.similarity.result import SAFE_SPREAD, Similarity, judge
from transfusion.similarity.sums import Sums

Array = npt.NDArray[np.generic] | Tensor


def similarity(measure: Measure, x: Array, y: Array, rows_per_image: int = 1) -> Similarity:
    """Judge two arrays by a measure, taking the exact route where float64 data need it.

    Args:
        measure: one of ``MEASURES``.
        x: (samples, features_x).
        y: (samples, features_y), the same samples.
        rows_per_image: consecutive rows that belong to one image, and so stay together in the baseline.

    Raises:
        InputError: where the arrays cannot be compared.
    """
    first, second = _samples(x, "x"), _samples(y, "y")
    _check(first, second, rows_per_image)
    second = second.to(first.device)
    shift = rows_per_image if measure.chance is None or rows_per_image > 1 else 0
    pair = _pair(measure, first, second)
    if shift:
        null = _pair(measure, first, second, shift * (len(first) // shift // 2))
        pair = Pair(pair.x, pair.y, pair.cross, pair.norms, null)
    return judge(measure, pair)


def _pair(measure: Measure, x: Tensor, y: Tensor, shift: int = 0) -> Pair:
    """Moments of x with y, or with y moved on by ``shift`` rows, which re-matches images."""
    sums = Sums((x.shape[1], y.shape[1]), norms=measure.norms, device=x.device)
    sums.update([x[: len(x) - shift], y[shift:]])
    if shift:
        sums.update([x[len(x) - shift :], y[:shift]])
    ((_, _, pair),) = sums.pairs()
    if measure.whitens and (_needs_exact(pair.x) or _needs_exact(pair.y)):
        return exact_pair(x.to(torch.float64), y.to(torch.float64).roll(-shift, 0))
    return pair


def _needs_exact(view: View) -> bool:
    return view.eps == EPS and bool(view.alive.any()) and view.basis.spread < SAFE_SPREAD


def _samples(array: Array, name: str) -> Tensor:
    tensor = array.detach() if isinstance(array, Tensor) else _from_numpy(np.asarray(array), name)
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise InputError(f"{name} is of type {tensor.dtype}; similarity needs real numbers. Convert it.")
    if tensor.ndim != 2 or not tensor.shape[1]:
        raise InputError(
            f"{name} has shape {tuple(tensor.shape)}; similarity needs (samples, features). Flatten a map of shape "
            "(images, channels, height, width) by x.movedim(1, -1).reshape(-1, channels) and give rows_per_image."
        )
    # Apple's GPUs have no float64.
    return tensor.cpu() if tensor.device.type == "mps" else tensor


def _from_numpy(array: npt.NDArray[np.generic], name: str) -> Tensor:
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} is of type {array.dtype}; similarity needs real numbers. Convert it.")
    if array.dtype.itemsize > 8 or array.dtype.kind == "u":
        array = array.astype(np.float64)
    native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    with warnings.catch_warnings():
        # A read-only memory map is fine: nothing here writes into it.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(native)


def _check(x: Tensor, y: Tensor, rows_per_image: int) -> None:
    if len(x) != len(y):
        raise InputError(f"x has {len(x)} samples and y has {len(y)}; both need the same samples in the same order.")
    if len(x) < 2:
        raise InputError(f"Got {len(x)} samples; similarity needs at least 2. Give more images.")
    if rows_per_image < 1 or len(x) % rows_per_image:
        raise InputError(f"{len(x)} rows are no multiple of rows_per_image={rows_per_image}; give whole images.")
