"""Picture files to arrays: every way of storing a picture, read as what it shows.

Alpha is composited on black, the background of X-rays and fundus photographs. Orientation tags are obeyed.
16-bit grey keeps its depth, and its values as stored; next to it, 8-bit values are spread over the 16-bit range
(times 257). Of a file with several frames the first counts. The centre square is scaled, with antialiasing.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from transfusion.files import is_passing
from transfusion.tasks import dicom
from transfusion.tasks.listing import Member
from transfusion.terms import Interpolation

GREY_MODES = frozenset({"DICOM;16", "1", "L", "L;16", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"})
BITS, POLARITY, PLANES = 258, 262, 284  # tags of TIFF
SPREAD = 257  # 255 * 257 = 65535


class Facts(NamedTuple):
    """What is known of a file without decoding it.

    ``error`` is empty for a file that can be decoded as far as is known. ``patient`` is a hash of the identifier that a
    DICOM file gives.
    """

    digest: str
    mode: str = ""
    width: int = 0
    height: int = 0
    error: str = ""
    patient: str = ""
    note: str = ""

    @property
    def is_grey(self) -> bool:
        """Stored as grey."""
        return self.mode in GREY_MODES

    @property
    def is_deep(self) -> bool:
        """Stored with 16 bits per pixel."""
        return self.mode.startswith("I") or self.mode.endswith(";16")

    @property
    def is_windowed(self) -> bool:
        """Read through a window of the file's own, so that all bits are used."""
        return self.mode == "DICOM;16"


def hash_file(path: Path | Member) -> Facts:
    """Hash a file that is no picture."""
    with path.open("rb") as file:
        digest = hashlib.blake2b(digest_size=16)
        while block := file.read(1 << 20):
            digest.update(block)
    return Facts(digest.hexdigest())


def hash_pixels(pixels: np.ndarray) -> str:
    """Hash a picture by its pixels and their type."""
    content = np.ascontiguousarray(pixels)
    return hashlib.blake2b(content.tobytes(), digest_size=16, person=content.dtype.name.encode()[:16]).hexdigest()


@contextlib.contextmanager
def _any_size() -> Iterator[None]:
    """Lift Pillow's limit on the size of pictures, which is a global, while files of the user's own are read."""
    with _LIMIT.lock:
        if not _LIMIT.depth:
            _LIMIT.pixels, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        _LIMIT.depth += 1
    try:
        yield
    finally:
        with _LIMIT.lock:
            _LIMIT.depth -= 1
            if not _LIMIT.depth:
                Image.MAX_IMAGE_PIXELS = _LIMIT.pixels


class _Limit:
    """How many threads read, and what the limit is when none does."""

    def __init__(self) -> None:
        self.lock, self.depth, self.pixels = threading.Lock(), 0, Image.MAX_IMAGE_PIXELS


_LIMIT = _Limit()


def inspect(path: Path | Member) -> Facts:
    """Hash a picture file and read its header.

    Raises:
        OSError, MemoryError: for what is no fault of the file.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        return Facts("", error="a pipe, a device or a folder, not a file")
    content = path.read_bytes()  # once, for the hash and for the header
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    try:
        if dicom.is_dicom(content, path.suffix):
            return Facts(digest, **dicom.header(content))
        with _any_size(), Image.open(io.BytesIO(content)) as image:
            width, height = image.size
            return Facts(digest, image.mode, width, height, _unsupported(image), note=_partial(image, content))
    except Exception as error:
        if is_passing(error):
            raise
        return Facts(digest, error=_odd_sort(content) or reason(error))


def _unsupported(image: Image.Image) -> str:
    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):  # PNG's mode I is 16 bits in Pillow
        return "32-bit or signed pixels, whose range is unknown; save as 16-bit"
    tags = getattr(image, "tag_v2", {})
    if tags.get(PLANES) == 2 and max(np.atleast_1d(tags.get(BITS, 8))) > 8:  # Pillow would take the lower bytes
        return "colours of 16 bits in separate planes; save them interleaved"
    return ""


def _partial(image: Image.Image, content: bytes) -> str:
    """What a file holds that is not used."""
    if getattr(image, "n_frames", 1) > 1:
        return "several frames, of which the first is used"
    bits = content[24] if image.format == "PNG" else max(np.atleast_1d(getattr(image, "tag_v2", {}).get(BITS, 8)))
    return "16 bits a colour, of which the upper 8 are used" if bits == 16 and image.mode[:3] == "RGB" else ""


def _odd_sort(content: bytes) -> str:
    """What it is that Pillow does not read: no picture, or frames of 12 bits or lossless ones, as DICOM has them."""
    known = {
        b"version https://git-lfs": "a Git LFS pointer; fetch the picture",
        b"<!": "a web page",
        b"<html": "a web page",
    }
    start = content[:32].lower()
    if not content or any(start.startswith(magic) for magic in known):
        return next((what for magic, what in known.items() if start.startswith(magic)), "empty")
    if content.startswith((b"II*\0", b"MM\0*")):
        return "a sort of TIFF that Pillow does not read; save as PNG"
    frame = re.search(rb"\xff([\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf])..(.)", content, re.DOTALL)
    if not content.startswith(b"\xff\xd8") or not frame:
        return ""
    bits, lossless = frame.group(2)[0], frame.group(1)[0] & 3 == 3
    sort = f"a {bits}-bit JPEG" if bits != 8 else "a lossless JPEG" if lossless else ""
    return f"{sort}, which Pillow does not read; save as 16-bit PNG" if sort else ""


def reason(error: Exception) -> str:
    """Why a picture cannot be read, in a few words."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    if type(error).__name__ == "InvalidDicomError":
        return "not a DICOM file"
    if "truncated" in str(error) or "bytes not processed" in str(error):
        return "truncated"
    return str(error) or type(error).__name__


def decode(
    path: Path | Member,
    image_size: int,
    channels: int,
    dtype: np.dtype[Any],
    interpolation: Interpolation = "bilinear",
    window: tuple[int, int] | None = None,
) -> np.ndarray:
    """Read a picture file, and scale its centre square; see ``read`` and ``fit``."""
    return fit(read(path, image_size, channels, dtype, window), image_size, interpolation)


def read(
    path: Path | Member, image_size: int, channels: int, dtype: np.dtype[Any], window: tuple[int, int] | None = None
) -> np.ndarray:
    """Read a picture file as a whole.

    Args:
        path: the file, or one inside another.
        image_size: final side in pixels; a JPEG may be decoded at no less than twice that.
        channels: 1 (luma, ITU-R 601) or 3.
        dtype: uint8, or uint16 for the full 16-bit range.
        window: of DICOM files; see ``dicom.pixels``.

    Returns:
        Array of shape (height, width, channels).

    Raises:
        Exception: whatever Pillow raises on files that are damaged.
    """
    with path.open("rb") as file:
        if dicom.is_dicom(file.read(dicom.PREAMBLE + 4), path.suffix):
            values = dicom.pixels(path.read_bytes(), window)
            values = values.astype(np.uint16) * SPREAD if values.dtype != dtype else values
            return as_channels(values, channels)
        file.seek(0)
        with _any_size(), Image.open(file) as image:
            # a JPEG decodes at 1/2, 1/4 or 1/8 for a fraction of the time; twice the size leaves the scaling its due
            image.draft(None, (2 * image_size, 2 * image_size))
            values = _to_array(ImageOps.exif_transpose(image), channels, dtype)
            return _light_on_dark(values, image)


def _to_array(image: Image.Image, channels: int, dtype: np.dtype[Any]) -> np.ndarray:
    if image.mode.startswith("I"):  # convert() would clip 16 bits to 8
        values = np.asarray(image).astype(np.uint16)
    else:
        values = np.asarray(_flat(image).convert("L" if channels == 1 else "RGB"))
        values = values.astype(np.uint16) * SPREAD if dtype == np.uint16 else values
    return as_channels(values if values.ndim == 3 else values[..., None], channels)


def _light_on_dark(values: np.ndarray, image: Image.Image) -> np.ndarray:
    """Turn a deep TIFF around whose 0 is white; Pillow does so for 8 bits and fewer."""
    tags = getattr(image, "tag_v2", {})
    if not image.mode.startswith("I") or tags.get(POLARITY) != 0:
        return values
    highest = 2 ** int(np.atleast_1d(tags.get(BITS, 16))[0]) - 1
    turned: np.ndarray = (highest - values).astype(values.dtype)
    return turned


def _flat(image: Image.Image) -> Image.Image:
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        opaque = image.convert("RGBA")
        black = Image.new("RGBA", opaque.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, opaque).convert("RGB")
    return image


def as_channels(values: np.ndarray, channels: int) -> np.ndarray:
    """Turn (h, w, 1 or 3) into (h, w, ``channels``): grey is repeated, colour becomes luma.

    Examples:
        >>> as_channels(np.full((2, 2, 1), 7, np.uint8), 3).shape
        (2, 2, 3)
    """
    if values.shape[-1] == channels:
        return values
    if channels == 3:
        return np.repeat(values, 3, axis=-1)
    luma: np.ndarray = np.rint(values @ np.array([0.299, 0.587, 0.114]))  # ITU-R 601, as Pillow's convert("L")
    return luma[..., None].astype(values.dtype)


def fit(values: np.ndarray, image_size: int, interpolation: Interpolation = "bilinear") -> np.ndarray:
    """Scale the centre square of (h, w, c) to (image_size, image_size, c), keeping the type.

    Pixels are those of ``PIL.Image.resize``, which antialiases; 16-bit values that overshoot are clipped, as it does
    for 8 bits.

    Examples:
        >>> fit(np.zeros((40, 60, 3), np.uint8), 16).shape
        (16, 16, 3)
    """
    height, width, channels = values.shape
    if height == width == image_size:
        return values
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2  # not rounded: half a pixel would shift the picture
    box = (left, top, left + side, top + side)
    size, filter_ = (image_size, image_size), Image.Resampling[interpolation.upper()]
    if values.dtype == np.uint8:
        image = Image.fromarray(values if channels == 3 else values[..., 0])
        return np.asarray(image.resize(size, filter_, box)).reshape(image_size, image_size, channels)
    # Pillow resizes no 16-bit colour
    planes = [Image.fromarray(values[..., c].astype(np.float32)) for c in range(channels)]
    scaled = np.stack([np.asarray(plane.resize(size, filter_, box)) for plane in planes], axis=-1)
    rounded: np.ndarray = np.rint(scaled).clip(0, np.iinfo(values.dtype).max)
    return rounded.astype(values.dtype)
