"""The disc of a fundus photograph: found, centred and scaled to fill the square. Needs OpenCV (extra ``fundus``)."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from transfusion.errors import SpecError

DARK = 1 / 20  # of full scale; the margin of a photograph is black but for noise and compression
BLUR = 1 / 64  # of the shorter side: single bright pixels in the margin do not count


class NoDiscError(ValueError):
    """A picture is dark all over."""


def check() -> None:
    """See that OpenCV is there.

    Raises:
        SpecError: saying how to get it.
    """
    if importlib.util.find_spec("cv2") is None:
        raise SpecError(
            "task.crop=circle needs OpenCV: pip install 'weight-transfusion[fundus]', or leave task.crop out."
        )


def square(values: np.ndarray) -> np.ndarray:
    """The square around the disc, whose diameter is the square's side; what lies outside the picture is black.

    The disc is the least circle around the largest bright region. Where camera or crop cut it off, circle and
    square reach beyond the picture, so that an eye has the same scale however much of its margin was cut.

    Args:
        values: (height, width, channels), uint8 or uint16.

    Returns:
        (side, side, channels) of the same type.

    Raises:
        NoDiscError: nothing in it is bright.

    Source:
        Voets, Møllersen, Bongo, PLOS ONE 14(6), 2019: largest contour, enclosing circle, scaled to one diameter.
        Their thresholds are not those used here.

    Examples:
        >>> picture = np.zeros((40, 60, 3), np.uint8)
        >>> picture[10:30, 30:50] = 200
        >>> square(picture).shape[0] in range(26, 32)  # a square of 20 pixels has a circle of 28
        True
    """
    (x, y), radius = _circle(values)
    side = max(1, round(2 * radius))
    left, top = round(x - radius), round(y - radius)
    shown = np.zeros((side, side, values.shape[-1]), values.dtype)
    height, width = values.shape[:2]
    rows, columns = (slice(max(0, start), min(end, start + side)) for start, end in ((top, height), (left, width)))
    shown[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = values[rows, columns]
    return shown


def _circle(values: np.ndarray) -> tuple[tuple[float, float], float]:
    """Centre (x, y) and radius of the least circle around the largest bright region, in pixels."""
    import cv2  # an extra, and it takes a while

    full = np.iinfo(values.dtype).max
    light = (values.max(axis=-1) / full).astype(np.float32)
    width = 2 * int(min(light.shape) * BLUR / 2) + 1  # odd, so that the blur has a centre
    bright = (cv2.blur(light, (width, width)) > DARK).astype(np.uint8)
    found: Any = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    if not found:
        raise NoDiscError("it is dark all over")
    # of the largest region: flashes and labels in the margin are small
    (x, y), radius = cv2.minEnclosingCircle(max(found, key=cv2.contourArea))
    return (x + 0.5, y + 0.5), radius + 0.5  # from the centres of pixels to their edges
