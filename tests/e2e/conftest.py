import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def pets(tmp_path, monkeypatch):
    """In a folder of its own with a cache of its own: thirty pictures each of cats and dogs, in ``pets/``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFUSION_CACHE", str(tmp_path / "cache"))
    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(30):
            picture = Image.fromarray(draw.integers(0, 255, (20, 20, 3), dtype=np.uint8))
            picture.save(tmp_path / "pets" / name / f"{name}{i}.png")
    return tmp_path
