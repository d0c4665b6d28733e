"""Reading what people have: arrays, tensors, lists and frames, in a form and at a scale that can be summed."""

from __future__ import annotations

import math
import warnings

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from transfusion.errors import InputError
from transfusion.networks.given import dense, numbers

Array = npt.NDArray[np.generic] | Tensor
# Powers of two between which fourth powers of float64 numbers can be summed.
_MODERATE = 200
_MOST_SCALING = 1000
# Features that vary by less than this share of the largest number have no square beside its.
_LEAST_BESIDE = 1e-120
_COARSER = {
    torch.float64: (torch.bfloat16, torch.float16, torch.float32),
    torch.float32: (torch.bfloat16, torch.float16),
}
_FIRST_ROWS = 256


def samples(array: Array, name: str) -> Tensor:
    """A (samples, features) tensor of real numbers from what was given.

    Raises:
        InputError: for other shapes and types, and for masked values.

    Examples:
        >>> samples([[1, 2], [3, 4]], "x").shape
        torch.Size([2, 2])
    """
    tensor = dense(array, name) if isinstance(array, Tensor) else _from_numpy(numbers(array, name))
    if tensor.ndim != 2 or not tensor.shape[1]:
        raise InputError(
            f"{name} has shape {tuple(tensor.shape)}; similarity needs (samples, features). {_reshaped(tensor, name)}"
        )
    # Apple's GPUs have no float64.
    return tensor.cpu() if tensor.device.type == "mps" else tensor


def check_same_rows(x: Array, y: Array) -> None:
    """Refuse two frames whose rows are labelled differently: their samples are paired by position.

    Raises:
        InputError: where the labels differ.
    """
    first, second = (getattr(each, "index", None) if hasattr(each, "iloc") else None for each in (x, y))
    if first is not None and second is not None and len(first) == len(second) and not first.equals(second):
        raise InputError(
            "x and y are frames with different index labels, but samples are paired by position. Align them by "
            "y.loc[x.index], or give x.to_numpy() and y.to_numpy() where the order is the same."
        )


def moderate(x: Tensor, name: str, whitens: bool) -> Tensor:
    """X at a scale at which float64 holds fourth powers; by a power of two, so that no digit changes.

    Args:
        x: (samples, features).
        name: of x, for messages.
        whitens: whether features are set to unit variance, which must not have been lost beside larger ones.

    Raises:
        InputError: where one scale does not serve all features.
    """
    if x.dtype != torch.float64:
        return x
    least, most = x.amin(dim=0), x.amax(dim=0)
    size = float(torch.maximum(-least, most).max().item())
    if not math.isfinite(size) or size == 0:
        return x
    # most - least could overflow
    if whitens and bool((tiny := (most > least) & (most / size - least / size < _LEAST_BESIDE)).any()):
        at = int(tiny.nonzero()[0].item())
        raise InputError(
            f"Feature {at} of {name} varies by less than {_LEAST_BESIDE:g} of its largest number, {size:.0e}: "
            "their squares do not fit into float64 together. Rescale the features, or leave it out."
        )
    power = math.frexp(size)[1]
    return x if abs(power) <= _MODERATE else x * 2.0 ** max(-_MOST_SCALING, min(-power, _MOST_SCALING))


def rounding_unit(x: Tensor) -> float:
    """Rounding unit of the coarsest type that holds every number of x: numbers keep the rounding of a type they left.

    Whole numbers are exact in any type, so they say nothing.

    Examples:
        >>> rounding_unit(torch.tensor([[0.5], [0.1]]).double()) == torch.finfo(torch.float32).eps
        True
    """
    kind = x.dtype
    if not kind.is_floating_point:
        return torch.finfo(torch.float64).eps
    for coarse in _COARSER.get(kind, ()):
        # a few rows first: most arrays are refuted by them, and the whole is large
        if all(_holds(coarse, rows) for rows in (x[:_FIRST_ROWS], x)) and not bool((x == x.round()).all()):
            return torch.finfo(coarse).eps
    return torch.finfo(kind).eps


def _holds(coarse: torch.dtype, x: Tensor) -> bool:
    return bool((x.to(coarse) == x).all())


def _reshaped(tensor: Tensor, name: str) -> str:
    """How to make samples and features of an array of another shape."""
    if tensor.ndim > 2:
        channels, rows = ("channels", "height * width") if tensor.ndim > 3 else ("features", "length")
        return (
            f"Where axis 1 is the channels, flatten by {name}.movedim(1, -1).reshape(-1, {channels}) and give "
            f"rows_per_image={rows}; of a NumPy array by np.moveaxis({name}, 1, -1)."
        )
    if tensor.ndim == 1 and len(tensor):
        return f"Where it is one feature of many samples, give {name}.reshape(-1, 1)."
    return "Give at least two samples of one feature or more."


def _from_numpy(array: npt.NDArray[np.generic]) -> Tensor:
    if array.dtype.itemsize > 8 or array.dtype.kind == "u":  # float128; and PyTorch computes little in unsigned types
        array = array.astype(np.float64)
    # PyTorch knows neither foreign byte orders nor steps backwards.
    backwards = any(step < 0 for step in array.strides)
    native = np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C" if backwards else "K")
    with warnings.catch_warnings():
        # A read-only memory map is fine: nothing here writes into it.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(native)
