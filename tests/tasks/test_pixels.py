"""Ways of storing a picture: read as what it shows, or refused by name; never read as something else."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from transfusion.errors import BadDataError
from transfusion.tasks import Task
from transfusion.tasks.pictures import decode, inspect

Loader = Callable[..., Task]
WORD = np.dtype(np.uint16)
RAMP = np.repeat(np.arange(16)[:, None] * 17, 16, axis=1)  # 0, 17 .. 255: dark above


def tiff(pixels: np.ndarray, white_is_zero: bool = False, planar: bool = False, bits: int | None = None) -> bytes:
    """A little-endian TIFF of one strip per plane, without compression."""
    height, width = pixels.shape[:2]
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    depth = bits or 8 * pixels.dtype.itemsize
    planes = [pixels[..., k] for k in range(samples)] if planar else [pixels]
    data = [np.ascontiguousarray(plane).tobytes() for plane in planes]
    first = 8 + sum(map(len, data))
    extra = first + 2 + 12 * 10 + 4
    offsets = [8 + sum(map(len, data[:k])) for k in range(len(data))]
    long_fields = struct.pack(f"<{samples}H", *[depth] * samples) if samples > 1 else b""
    strips = struct.pack(f"<{len(data)}I", *offsets) + struct.pack(f"<{len(data)}I", *map(len, data))
    where_strips = extra + len(long_fields)

    def tag(number: int, kind: int, count: int, value: int) -> bytes:
        return struct.pack("<HHII", number, kind, count, value)

    several = len(data) > 1
    tags = [
        tag(256, 3, 1, width),
        tag(257, 3, 1, height),
        tag(258, 3, samples, extra if samples > 1 else depth),
        tag(259, 3, 1, 1),
        tag(262, 3, 1, 2 if samples > 1 else int(not white_is_zero)),
        tag(273, 4, len(data), where_strips if several else offsets[0]),
        tag(277, 3, 1, samples),
        tag(278, 3, 1, height),
        tag(279, 4, len(data), where_strips + 4 * len(data) if several else len(data[0])),
        tag(284, 3, 1, 2 if planar else 1),
    ]
    head = b"II*\0" + struct.pack("<I", first)
    return head + b"".join(data) + struct.pack("<H", len(tags)) + b"".join(tags) + bytes(4) + long_fields + strips


def pillow(image: Image.Image, suffix: str, **options: Any) -> Callable[[Path], Path]:
    def save(root: Path) -> Path:
        image.save(root / f"a{suffix}", **options)
        return root / f"a{suffix}"

    return save


def raw(content: bytes, suffix: str) -> Callable[[Path], Path]:
    def save(root: Path) -> Path:
        (root / f"a{suffix}").write_bytes(content)
        return root / f"a{suffix}"

    return save


GREY = Image.fromarray(RAMP.astype(np.uint8))
DEEP = (RAMP * 257).astype(np.uint16)
COLOUR = np.stack([RAMP, RAMP, RAMP], axis=-1)
FULL_ALPHA = Image.merge("LA", (GREY, Image.new("L", GREY.size, 255)))
SHOWN = {
    "png": pillow(GREY, ".png"),
    "bmp": pillow(GREY, ".bmp"),
    "tga": pillow(GREY, ".tga"),
    "pgm": pillow(GREY, ".pgm"),
    "gif": pillow(GREY, ".gif"),
    "lossless webp": pillow(GREY.convert("RGB"), ".webp", lossless=True),
    "lossless jpeg 2000": pillow(GREY, ".jp2"),
    "16-bit jpeg 2000": pillow(Image.fromarray(DEEP), ".j2k"),
    "palette": pillow(GREY.convert("P"), ".png"),
    "opaque alpha": pillow(FULL_ALPHA, ".png"),
    "opaque colour alpha": pillow(FULL_ALPHA.convert("RGBA"), ".png"),
    "16-bit png": pillow(Image.fromarray(DEEP), ".png"),
    "8-bit tiff": raw(tiff(RAMP.astype(np.uint8)), ".tif"),
    "8-bit tiff, white is zero": raw(tiff((255 - RAMP).astype(np.uint8), True), ".tif"),
    "16-bit tiff": raw(tiff(DEEP), ".tif"),
    "16-bit tiff, white is zero": raw(tiff(65535 - DEEP, True), ".tif"),
    "colour tiff": raw(tiff(COLOUR.astype(np.uint8)), ".tif"),
    "colour tiff in planes": raw(tiff(COLOUR.astype(np.uint8), planar=True), ".tif"),
    "deep colour tiff": raw(tiff((COLOUR * 257).astype(np.uint16)), ".tif"),
    "png with the suffix of jpeg": pillow(GREY, ".jpg", format="PNG"),
    "several pages": pillow(GREY, ".tif", save_all=True, append_images=[Image.new("L", GREY.size, 9)]),
}


@pytest.mark.parametrize("how", SHOWN)
def test_every_way_shows_the_same(tmp_path: Path, how: str) -> None:
    path = SHOWN[how](tmp_path)
    assert not inspect(path).error
    values = decode(path, 16, 1, WORD)[..., 0]
    assert np.abs(values.astype(int) - DEEP).max() <= 257


HAS_AVIF = "avif" in features.modules and features.check("avif")  # older ones warn of the name


@pytest.mark.skipif(not HAS_AVIF, reason="this Pillow was built without AVIF")
def test_avif(tmp_path: Path) -> None:
    GREY.convert("RGB").resize((64, 64)).save(tmp_path / "a.avif", quality=95)
    assert decode(tmp_path / "a.avif", 16, 1, WORD)[..., 0].mean() == pytest.approx(DEEP.mean(), rel=0.03)


JPEG_HEAD = b"\xff\xd8\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0"
REFUSED = {
    "12-bit jpeg": (raw(JPEG_HEAD + b"\xff\xc1\x00\x0b\x0c\x00\x10\x00\x10\x01\x01\x11\x00", ".jpg"), "a 12-bit JPEG"),
    "lossless jpeg": (raw(JPEG_HEAD + b"\xff\xc3\x00\x0b\x10\x00\x10\x00\x10\x01\x01\x11\x00", ".jpg"), "JPEG"),
    "deep colour in planes": (raw(tiff((COLOUR * 257).astype(np.uint16), planar=True), ".tif"), "separate planes"),
    "float tiff": (pillow(Image.fromarray(RAMP.astype(np.float32)), ".tif"), "32-bit"),
    "32-bit tiff": (pillow(Image.fromarray(RAMP.astype(np.int32)), ".tif"), "32-bit"),
    "odd tiff": (raw(tiff(DEEP, bits=9), ".tif"), "TIFF"),
    "text": (raw(b"hello", ".png"), "not a picture"),
    "empty": (raw(b"", ".jpg"), "empty"),
    "html": (raw(b"<html>404 Not Found</html>", ".jpg"), "a web page"),
    "a page": (raw(b"<!DOCTYPE html>", ".png"), "a web page"),
    "a pointer": (raw(b"version https://git-lfs.github.com/spec/v1", ".png"), "Git LFS"),
}


@pytest.mark.parametrize("how", REFUSED)
def test_what_is_not_read_is_named(tmp_path: Path, how: str) -> None:
    save, word = REFUSED[how]
    assert word in inspect(save(tmp_path)).error


SECOND = {"save_all": True, "append_images": [Image.new("L", GREY.size, 9)]}
PARTIAL = {
    "pages of a tiff": (pillow(GREY, ".tif", **SECOND), "several frames"),
    "frames of a gif": (pillow(GREY, ".gif", **SECOND), "several frames"),
    "frames of a webp": (pillow(GREY, ".webp", **SECOND), "several frames"),
    "frames of a png": (pillow(GREY, ".png", **SECOND), "several frames"),
    "deep colour tiff": (raw(tiff((COLOUR * 257).astype(np.uint16)), ".tif"), "upper 8"),
    "one page": (pillow(GREY, ".tif"), ""),
    "deep grey": (pillow(Image.fromarray(DEEP), ".png"), ""),
    "colour": (pillow(GREY.convert("RGB"), ".png"), ""),
}


@pytest.mark.parametrize("how", PARTIAL)
def test_what_a_file_holds_and_is_not_used_is_told(tmp_path: Path, how: str) -> None:
    save, word = PARTIAL[how]
    note = inspect(save(tmp_path)).note
    assert word in note
    assert bool(word) == bool(note)


def deep_folders(root: Path, top: int, num: int = 20) -> Path:
    draw = np.random.default_rng(0)
    for label in "ab":
        (root / label).mkdir(parents=True)
        for row in range(num):
            values = draw.integers(top // 2, top, (8, 8)).astype(np.uint16)
            values[0, 0] = top
            Image.fromarray(values).save(root / label / f"x{row}.png")
    return root


@pytest.mark.parametrize(
    ("top", "highest"),
    [(200, 255), (1000, 1023), (4095, 4095), (4021, 4095), (16000, 16383), (16384, None), (65535, None)],
)
def test_the_range_that_deep_pictures_use(tmp_path: Path, load_task: Loader, top: int, highest: int | None) -> None:
    task = load_task(deep_folders(tmp_path / "set", top))
    expected = round(top / highest * 65535) if highest else top
    assert max(int(split.images.max()) for split in task.splits.values() if len(split)) == expected
    assert any(f"up to {top} of 65535" in note for note in task.card["warnings"]) == (highest is not None)


def test_the_users_window(tmp_path: Path, load_task: Loader) -> None:
    root = deep_folders(tmp_path / "set", 4000)
    plain, window = load_task(root), load_task(root, window=(1000, 3000))
    assert plain.fingerprint != window.fingerprint
    values = window.splits["train"].images
    assert values.max() == 65535
    narrow = load_task(root, window=(3000, 5000)).splits["train"].images
    assert narrow.min() == 0


def test_light_pictures_beside_12_bits_stay(tmp_path: Path, load_task: Loader) -> None:
    root = deep_folders(tmp_path / "set", 4000)
    Image.new("L", (8, 8), 255).save(root / "a" / "plain.png")
    splits = load_task(root).splits.values()
    values = {name: image.max() for split in splits for name, image in zip(split.names, split.images, strict=True)}
    assert values["a/plain.png"] == 65535
    assert values["a/x0.png"] == round(4000 / 4095 * 65535)


@pytest.mark.slow
def test_big_pictures_have_a_switch(tmp_path: Path, load_task: Loader) -> None:
    root = deep_folders(tmp_path / "set", 65535)
    Image.new("1", (14_000, 13_000)).save(root / "a" / "slide.png")
    with pytest.raises(BadDataError, match=r"slide.png \(14000 x 13000 pixels; --set task.max_megapixels=182 reads it"):
        load_task(root)
    limit = Image.MAX_IMAGE_PIXELS
    assert "a/slide.png" in str([s.names for s in load_task(root, max_megapixels=182).splits.values()])
    assert limit == Image.MAX_IMAGE_PIXELS  # Pillow's own limit is everyone's
