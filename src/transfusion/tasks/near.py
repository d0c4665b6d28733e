"""Pictures that look the same without being the same file: perceptual hashes, compared across splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from transfusion.progress import track
from transfusion.tasks import decoded
from transfusion.tasks.splits import SPLITS

SIDE = 16  # 256 bits
NEAR = 15  # bits that may differ; unrelated pictures differ in about 128, one saved anew or resized in a few
BANDS = NEAR + 1  # of two hashes that differ in NEAR bits, one band at least is the same
FLAT = 2.0  # standard deviation in 0..255 below which a picture shows nothing that could be compared


def hashes(path: Path, images: np.ndarray, progress: bool = False) -> list[str]:
    """A perceptual hash of every picture as hexadecimal digits, empty for flat ones; kept at ``path``.

    Args:
        path: of the JSON file that remembers them.
        images: (n, height, width, channels), uint8 or uint16.
        progress: show a bar.
    """

    def make() -> list[str]:
        steps = ((1, found) for found in decoded.in_threads(_hash, images))
        return list(track(steps, "Comparing pictures", len(images), progress))

    return [str(found) for found in decoded.remembered(path, make)]


def _hash(pixels: np.ndarray) -> str:
    import imagehash

    values = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    if values.std() < FLAT:
        return ""
    return str(imagehash.phash(Image.fromarray(values.squeeze()), hash_size=SIDE))


def notes(found: Sequence[str], digests: Sequence[str], splits: np.ndarray) -> list[str]:
    """How many pictures of a split look like one of another, as sentences.

    Args:
        found: n hashes.
        digests: n hashes of the files; identical ones are reported elsewhere.
        splits: (n,) names.
    """
    told = []
    for first, second in combinations(SPLITS, 2):
        pairs = dict(_pairs(np.flatnonzero(splits == first), np.flatnonzero(splits == second), found, digests))
        if pairs:
            told.append(
                f"{len(pairs)} pictures of the {second} split look nearly the same as one of the {first} split."
            )
    return told


def _pairs(
    first: np.ndarray, second: np.ndarray, found: Sequence[str], digests: Sequence[str]
) -> Iterator[tuple[int, int]]:
    """Rows of the second split, each with one of the first that looks the same."""
    bands: dict[tuple[int, str], list[int]] = defaultdict(list)
    # by bands, as pairs of all with all are 10^10 for 100,000 pictures
    for row in first:
        for band in _bands(found[row]):
            bands[band].append(int(row))
    for row in second:
        near = {other for band in _bands(found[row]) for other in bands.get(band, ())}
        for other in near:
            if digests[row] != digests[other] and (int(found[row], 16) ^ int(found[other], 16)).bit_count() <= NEAR:
                yield int(row), other
                break


def _bands(found: str) -> list[tuple[int, str]]:
    width = len(found) // BANDS
    return [(band, found[band * width : (band + 1) * width]) for band in range(BANDS) if found]
