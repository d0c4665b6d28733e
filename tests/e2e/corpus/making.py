"""What every family of bad inputs makes: a few pictures, a file, the words of a command."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

Make = Callable[[Path], "list[str]"]
QUICK = ["--model", "cbr_tiny_small", "--image-size", "16", "--steps", "1", "--schemes", "random", "--workers", "0"]


def study(data: Path | str, *more: str) -> list[str]:
    return ["study", "--data", os.fspath(data), *QUICK, "--seeds", "1", *more]


def setting(*more: str) -> Make:
    return lambda here: study(pictures(here / "pets"), *more)


def pictures(root: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 12) -> Path:
    draw = np.random.default_rng(0)
    for name in classes:
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.fromarray(draw.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(root / name / f"{name}{i}.png")
    return root


def grey(root: Path, names: list[str]) -> Path:
    """Grey pictures of these names."""
    draw = np.random.default_rng(0)
    root.mkdir(parents=True)
    for name in names:
        Image.fromarray(draw.integers(0, 255, (16, 16), dtype=np.uint8)).save(root / name)
    return root


def of_file(name: str, content: bytes) -> Make:
    def make(here: Path) -> list[str]:
        (here / name).write_bytes(content)
        return study(here / name)

    return make
