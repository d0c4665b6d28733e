"""What every test may lean on: real data where it is at hand, small synthetic data everywhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

if TYPE_CHECKING:
    from transfusion.tasks import Task

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real samples, from TRANSFUSION_TEST_DATA; skips where it is absent."""
    default = Path(__file__).parents[1] / ".." / "shared" / "data"
    folder = Path(os.environ.get("TRANSFUSION_TEST_DATA", default)).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: set TRANSFUSION_TEST_DATA")
    return folder


@pytest.fixture(scope="session", autouse=True)
def no_pdf() -> Iterator[None]:
    """No figure is saved as PDF, except with ``every_format``: two thirds of a page's time go into fonts of PDFs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transfusion.report.figures.canvas.FORMATS", ("svg", "png"))
        yield


@pytest.fixture
def every_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are saved as they are for users: as SVG, PDF and PNG."""
    monkeypatch.setattr("transfusion.report.figures.canvas.FORMATS", ("svg", "pdf", "png"))


@pytest.fixture
def make_task() -> Callable[..., Task]:
    """Makes small tasks in memory: sixteen-pixel images, of which class k is brighter than class k - 1."""
    return brightness_task


def brightness_task(kind: str = "binary", num_outputs: int = 2, num: int = 48) -> Task:
    """See ``make_task``."""
    from transfusion.tasks import Split, Task

    draw = np.random.default_rng(0)
    labels = np.arange(num) % num_outputs
    images = draw.integers(0, 60, (num, 16, 16, 3)) + (labels * 180 // num_outputs)[:, None, None, None]
    if kind == "multilabel":
        labels = np.eye(num_outputs, dtype=np.float32)[labels]
    split = Split(images.astype(np.uint8), labels, None, tuple(str(i) for i in range(num)))
    return Task(
        name="toy",
        kind=kind,
        classes=tuple(f"class {k}" for k in range(num_outputs)),
        channels=3,
        image_size=16,
        positive={"binary": 1, "graded": 2}.get(kind),
        splits={"train": split, "val": split, "test": split},
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        fingerprint="toy",
        card={},
    )
