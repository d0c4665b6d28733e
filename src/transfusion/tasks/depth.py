"""What range of their 16 bits pictures use: a 12-bit X-ray in a 16-bit file is no dark picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from transfusion.tasks import decoded

DEPTHS = (8, 10, 12, 14)  # bits of detectors; what uses more of the 16 is taken as it is
FULL = 65535


def range_used(path: Path, images: np.ndarray, deep: np.ndarray) -> int:
    """The highest value of the pictures that are stored with 16 bits.

    Args:
        path: of the JSON file that remembers it.
        images: (n, height, width, channels) uint16.
        deep: (n,) which of them.
    """
    tops = (int(images[row].max()) for row in np.flatnonzero(deep))
    return int(decoded.remembered(path, lambda: max(tops, default=FULL)))


def window_of(top: int) -> tuple[int, int] | None:
    """The range of the smallest usual number of bits that holds ``top``; None for all 16.

    Examples:
        >>> window_of(4021), window_of(40000)
        ((0, 4095), None)
    """
    return next(((0, 2**bits - 1) for bits in DEPTHS if top < 2**bits), None)


def spread(images: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Spread the values of a window over 16 bits; what lies beyond is black or white.

    Examples:
        >>> spread(np.array([0, 4095, 9000]), (0, 4095)).tolist()
        [0, 65535, 65535]
    """
    low, high = window
    shares = np.clip((images.astype(np.float64) - low) / (high - low), 0, 1)
    return np.rint(shares * FULL).astype(np.uint16)
