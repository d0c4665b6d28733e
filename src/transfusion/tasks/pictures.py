"""Picture files to arrays: every way of storing a picture, read as what it shows.

Alpha is composited on black, the background of X-rays and fundus photographs. Orientation tags are obeyed.
16-bit grey keeps its depth, and its values as stored; next to it, 8-bit values are spread over the 16-bit range
(times 257). Of a file with several frames the first counts. The centre square is scaled, with antialiasing.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from transfusion.terms import Interpolation

GREY_MODES = frozenset({"1", "L", "L;16", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"})
SPREAD = 257  # 255 * 257 = 65535


class Facts(NamedTuple):
    """What is known of a file without decoding it.

    ``error`` is empty for a file that can be decoded as far as is known.
    """

    digest: str
    mode: str = ""
    width: int = 0
    height: int = 0
    error: str = ""

    @property
    def is_grey(self) -> bool:
        """Stored as grey."""
        return self.mode in GREY_MODES

    @property
    def is_deep(self) -> bool:
        """Stored with 16 bits per pixel."""
        return self.mode.startswith("I") or self.mode.endswith(";16")


def hash_file(path: Path) -> Facts:
    """Hash a file that is no picture."""
    with path.open("rb") as file:
        digest = hashlib.blake2b(digest_size=16)
        while block := file.read(1 << 20):
            digest.update(block)
    return Facts(digest.hexdigest())


def inspect(path: Path) -> Facts:
    """Hash a picture file and read its header."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return Facts("", error=f"cannot be opened: {error.strerror}")
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    try:
        with Image.open(io.BytesIO(content)) as image:
            width, height = image.size
            return Facts(digest, image.mode, width, height, _unsupported(image))
    except Exception as error:
        return Facts(digest, error=reason(error))


def _unsupported(image: Image.Image) -> str:
    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        return "32-bit pixels, whose range is unknown; save as 16-bit"
    return ""


def reason(error: Exception) -> str:
    """Why a picture cannot be read, in a few words."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    if "truncated" in str(error) or "bytes not processed" in str(error):
        return "truncated"
    return str(error) or type(error).__name__


def decode(
    path: Path, image_size: int, channels: int, dtype: np.dtype[Any], interpolation: Interpolation = "bilinear"
) -> np.ndarray:
    """Read a picture file.

    Args:
        path: the file.
        image_size: side in pixels of the square that comes back.
        channels: 1 (luma, ITU-R 601) or 3.
        dtype: uint8, or uint16 for the full 16-bit range.
        interpolation: how it is scaled; see ``fit``.

    Returns:
        Array of shape (image_size, image_size, channels).

    Raises:
        Exception: whatever Pillow raises on files that are damaged.
    """
    with Image.open(path) as image:
        # a JPEG decodes at 1/2, 1/4 or 1/8 for a fraction of the time; twice the size leaves the scaling its due
        image.draft(None, (2 * image_size, 2 * image_size))
        upright = ImageOps.exif_transpose(image)
        return fit(_to_array(upright, channels, dtype), image_size, interpolation)


def _to_array(image: Image.Image, channels: int, dtype: np.dtype[Any]) -> np.ndarray:
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.uint16)
    else:
        values = np.asarray(_flat(image).convert("L" if channels == 1 else "RGB"))
        values = values.astype(np.uint16) * SPREAD if dtype == np.uint16 else values
    return as_channels(values if values.ndim == 3 else values[..., None], channels)


def _flat(image: Image.Image) -> Image.Image:
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        opaque = image.convert("RGBA")
        black = Image.new("RGBA", opaque.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, opaque).convert("RGB")
    return image


def as_channels(values: np.ndarray, channels: int) -> np.ndarray:
    """Turn (h, w, 1 or 3) into (h, w, ``channels``): grey is repeated, colour becomes luma."""
    if values.shape[-1] == channels:
        return values
    if channels == 3:
        return np.repeat(values, 3, axis=-1)
    luma: np.ndarray = np.rint(values @ np.array([0.299, 0.587, 0.114]))
    return luma[..., None].astype(values.dtype)


def fit(values: np.ndarray, image_size: int, interpolation: Interpolation = "bilinear") -> np.ndarray:
    """Scale the centre square of (h, w, c) to (image_size, image_size, c), keeping the type.

    Pixels are those of ``PIL.Image.resize``, which antialiases; 16-bit values that overshoot are clipped, as it does
    for 8 bits.
    """
    height, width, channels = values.shape
    if height == width == image_size:
        return values
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    size, filter_ = (image_size, image_size), Image.Resampling[interpolation.upper()]
    if values.dtype == np.uint8:
        image = Image.fromarray(values if channels == 3 else values[..., 0])
        return np.asarray(image.resize(size, filter_, box)).reshape(image_size, image_size, channels)
    planes = [Image.fromarray(values[..., c].astype(np.float32)) for c in range(channels)]
    scaled = np.stack([np.asarray(plane.resize(size, filter_, box)) for plane in planes], axis=-1)
    rounded: np.ndarray = np.rint(scaled).clip(0, np.iinfo(values.dtype).max)
    return rounded.astype(values.dtype)
