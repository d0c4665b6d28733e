from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfusion.tasks.pictures import as_channels, decode, fit, inspect

BYTE, WORD = np.dtype(np.uint8), np.dtype(np.uint16)
RED = (200, 30, 40)


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_colour_stays(tmp_path: Path) -> None:
    path = saved(Image.new("RGB", (8, 8), RED), tmp_path / "a.png")
    assert (decode(path, 8, 3, BYTE) == RED).all()
    assert not inspect(path).is_grey


@pytest.mark.parametrize(("mode", "colour"), [("L", 90), ("LA", (90, 255)), ("RGB", (90, 90, 90)), ("1", 1)])
def test_grey_in_every_mode(tmp_path: Path, mode: str, colour: object) -> None:
    path = saved(Image.new(mode, (8, 8), colour), tmp_path / "a.png")
    value = 255 if mode == "1" else 90
    assert (decode(path, 8, 1, BYTE) == value).all()
    assert (decode(path, 8, 3, BYTE) == value).all()
    assert inspect(path).is_grey == (mode != "RGB")


def test_palette_is_looked_up_before_scaling(tmp_path: Path) -> None:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 255, 0, *RED, 0, 0, 255])
    assert (decode(saved(image, tmp_path / "a.png"), 8, 3, BYTE) == RED).all()


def test_transparent_palette_entry_is_black(tmp_path: Path) -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 255, 0, *RED])
    path = saved(image, tmp_path / "a.png", transparency=1)
    assert (decode(path, 8, 3, BYTE) == 0).all()


def test_alpha_lies_on_black(tmp_path: Path) -> None:
    half = saved(Image.new("RGBA", (8, 8), (200, 100, 50, 128)), tmp_path / "half.png")
    full = saved(Image.new("RGBA", (8, 8), (200, 100, 50, 255)), tmp_path / "full.png")
    assert np.abs(decode(half, 8, 3, BYTE).astype(int) - (100, 50, 25)).max() <= 1
    assert (decode(full, 8, 3, BYTE) == (200, 100, 50)).all()


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_is_not_inverted(tmp_path: Path, suffix: str) -> None:
    path = saved(Image.new("RGB", (16, 16), RED).convert("CMYK"), tmp_path / f"a{suffix}")
    with Image.open(path) as image:
        assert image.mode == "CMYK"
    assert np.abs(decode(path, 8, 3, BYTE).astype(int) - RED).max() <= 4


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_kept(tmp_path: Path, suffix: str) -> None:
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    path = saved(Image.fromarray(values), tmp_path / f"a{suffix}")
    assert inspect(path).is_deep
    assert inspect(path).is_grey
    assert (decode(path, 8, 1, WORD)[..., 0] == values).all()
    assert (decode(path, 8, 3, WORD)[..., 2] == values).all()


def test_sixteen_bits_are_scaled_without_overflow(tmp_path: Path) -> None:
    path = saved(Image.fromarray(np.full((16, 16), 65535, np.uint16)), tmp_path / "a.png")
    assert (decode(path, 8, 1, WORD) == 65535).all()


def test_eight_bits_beside_sixteen_span_the_same_range(tmp_path: Path) -> None:
    path = saved(Image.new("L", (8, 8), 255), tmp_path / "a.png")
    assert (decode(path, 8, 1, WORD) == 65535).all()


def test_floating_point_pictures_are_refused(tmp_path: Path) -> None:
    path = saved(Image.fromarray(np.zeros((8, 8), np.float32)), tmp_path / "a.tif")
    assert "32-bit" in inspect(path).error


def test_orientation_is_obeyed(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 255
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 6  # the camera lay on its side: rotate by 90 degrees clockwise to show
    plain = decode(saved(image, tmp_path / "plain.png"), 8, 1, BYTE)[..., 0]
    turned = decode(saved(image, tmp_path / "turned.png", exif=exif), 8, 1, BYTE)[..., 0]
    assert (turned == np.rot90(plain, -1)).all()
    assert (turned != plain).any()


def test_scaling_takes_the_centre_square() -> None:
    values = np.random.default_rng(0).integers(0, 256, (10, 30, 3)).astype(np.uint8)
    whole = np.asarray(Image.fromarray(values).resize((15, 5), Image.Resampling.BILINEAR))
    assert (fit(values, 5) == whole[:, 5:10]).all()
    assert np.abs(fit(values.astype(np.uint16), 5).astype(int) - whole[:, 5:10]).max() <= 1


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"])
@pytest.mark.parametrize("size", [5, 13])
def test_scaling_is_that_of_pillow(tmp_path: Path, interpolation: str, size: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    expected = np.asarray(Image.fromarray(values).resize((size, size), Image.Resampling[interpolation.upper()]))
    path = saved(Image.fromarray(values), tmp_path / "a.png")
    assert (decode(path, size, 3, BYTE, interpolation) == expected).all()


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"])
def test_deep_pictures_are_scaled_like_others(interpolation: str) -> None:
    values = np.add.outer(np.arange(9) * 9, np.arange(9) * 5).astype(np.uint8)[..., None] + 60
    deep = fit(values.astype(np.uint16) * 257, 13, interpolation)
    assert np.abs(deep / 257 - fit(values, 13, interpolation)).max() <= 1.5


def test_deep_values_that_overshoot_are_clipped() -> None:
    values = np.zeros((8, 8, 1), np.uint16)
    values[:, 4:] = 65535
    scaled = fit(values, 16, "bicubic")[0, :, 0].astype(int)
    assert (np.diff(scaled) >= 0).mean() > 0.9
    assert scaled[0] == 0
    assert scaled[-1] == 65535


def test_scaling_down_averages() -> None:
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None]
    assert np.abs(fit(board, 8).astype(int) - 127).max() <= 3


def test_jpeg_drafts_show_the_same_picture(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(0, 256, dtype=np.uint8), (256, 1))
    path = saved(Image.fromarray(ramp), tmp_path / "a.jpg", quality=95)
    got = decode(path, 16, 1, BYTE)[..., 0]
    assert np.abs(got.astype(int) - fit(ramp[..., None], 16)[..., 0]).max() <= 2


def test_luma_weighs_green_most() -> None:
    luma = [int(as_channels(np.eye(3, dtype=np.uint8)[[[k]]] * 255, 1)[0, 0, 0]) for k in range(3)]
    assert luma == [76, 150, 29]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_truncated_files_raise(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    path = saved(Image.fromarray(noise), tmp_path / f"a{suffix}")
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(OSError, match=r"truncated|not processed"):
        decode(path, 32, 3, BYTE)


def test_what_is_no_picture_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("hello")
    assert inspect(path).error == "not a picture"
