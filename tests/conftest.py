"""What every test may lean on: real data where it is at hand, small synthetic data everywhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real samples, from TRANSFUSION_TEST_DATA; skips where it is absent."""
    default = Path(__file__).parents[1] / ".." / "shared" / "data"
    folder = Path(os.environ.get("TRANSFUSION_TEST_DATA", default)).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: set TRANSFUSION_TEST_DATA")
    return folder
