"""What people give as filters and weights, as float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from transfusion.errors import InputError

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
        InputError: for values that are not finite.
    """
    values = array.detach().cpu().double().numpy() if isinstance(array, Tensor) else np.array(array, dtype=np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"'{name}' holds NaN or infinite weights; look for a diverged run.")
    return values
