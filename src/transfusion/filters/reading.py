"""What people give as filters and weights, as float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from transfusion.errors import InputError
from transfusion.networks.given import dense, described, numbers

Array = npt.NDArray[np.generic] | Tensor
Floats = npt.NDArray[np.float64]

LEAST_SIDE = 3


def read_filters(filters: Array) -> Tensor:
    """(N, channels, height, width) in float64, from that or (N, height, width).

    Raises:
        InputError: for another shape, sides below 3, or values that are not finite.

    Examples:
        >>> tuple(read_filters(np.ones((8, 5, 5))).shape)
        (8, 1, 5, 5)
    """
    weights = torch.from_numpy(read_floats(filters, "filters"))
    weights = weights[:, None] if weights.ndim == 3 else weights
    if weights.ndim != 4 or 0 in weights.shape or min(weights.shape[2:]) < LEAST_SIDE:
        raise InputError(
            f"Got filters of shape {tuple(weights.shape)}; needs (filters, channels, height, width) with sides of at "
            f"least {LEAST_SIDE} pixels, such as the weight of a first convolution."
        )
    return weights


def read_floats(array: Array, name: str) -> Floats:
    """A float64 copy.

    Raises:
        InputError: for what is no array of dense real numbers, and for values that are not finite.
    """
    if isinstance(array, nn.Module):
        first = next((f"{n}.weight".lstrip(".") for n, m in array.named_modules() if isinstance(m, _ConvNd)), "weight")
        raise InputError(f"'{name}' is {described(array)}; its weights are needed: model.{first}.")
    if isinstance(array, Tensor):
        values = dense(array, f"'{name}'").cpu().double().numpy()
    else:
        values = numbers(array, f"'{name}'").astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"'{name}' holds NaN or infinite weights; look for a diverged run.")
    return values
