# ruff: noqa: F811 - a fixture of another file
"""A study of a folder whose name is not UTF-8, with a class called ``<script>``: from the command to its page."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.e2e.test_browser import browser, find, show  # noqa: F401

pytestmark = pytest.mark.browser

FOLDER = os.fsdecode(b'Bilder-M\xe9lanome & <b>"x"</b>'.replace(b"/", b"_"))
CLASSES = ("<script>", "</td><img src=x onerror=document.title='pwned'>".replace("/", "_"), os.fsdecode(b"n\xe6vus"))
COMMAND = [sys.executable, "-c", "from transfusion.cli import main; main()"]
TINY = "--model cbr_tiny_small --schemes random,kaiming --seeds 2 --steps 2 --image-size 16 --workers 0".split()


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[bytes]]:
    """The folder that a user stands in, and what the command printed there."""
    here = tmp_path_factory.mktemp("here")
    draw = np.random.default_rng(0)
    try:
        for name in CLASSES:
            (here / FOLDER / name).mkdir(parents=True)
            for k in range(8):
                picture = Image.fromarray(draw.integers(0, 256, (16, 16, 3)).astype(np.uint8))
                with (here / FOLDER / name / f"'{k}' $x^2$.png").open("wb") as file:
                    picture.save(file, "PNG")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    env = {**os.environ, "TRANSFUSION_CACHE": str(here / "cache")}
    command = [*COMMAND, "study", "--data", FOLDER, *TINY]
    return here, subprocess.run(command, cwd=here, env=env, capture_output=True, check=False)


@pytest.fixture
def page(studied: tuple[Path, Any]) -> Iterator[Path]:
    (found,) = (studied[0] / "studies").rglob("report.html")
    return found


@pytest.mark.slow
def test_the_command_ends_well_and_what_it_prints_can_be_read(studied: tuple[Path, Any]) -> None:
    here, ended = studied
    assert ended.returncode == 0, ended.stderr.decode()
    said = (ended.stdout + ended.stderr).decode("utf-8")
    assert "Traceback" not in said
    assert [path.name for path in (here / "studies").iterdir()] == [FOLDER]


@pytest.mark.slow
def test_the_page_shows_the_names_as_text_and_runs_none_of_them(
    studied: tuple[Path, Any], page: Path, browser: Any
) -> None:
    content = page.read_bytes().decode("utf-8")
    assert "&lt;script&gt;" in content
    show(browser, page.as_uri())
    assert browser.get_log("browser") == []
    assert browser.title != "pwned"
    assert "M?lanome" in browser.title + find(browser, "main")[0].text
    text = browser.execute_script("return document.body.textContent")
    for name in ("<script>", "n?vus", "onerror=document.title"):
        assert name in text, name
    assert browser.execute_script("return document.querySelectorAll('main img[src=x]').length") == 0


@pytest.mark.slow
def test_the_other_commands_find_the_study_by_its_name(studied: tuple[Path, Any]) -> None:
    here, _ = studied
    command = [*COMMAND, "report", os.path.join("studies", FOLDER)]  # noqa: PTH118
    ended = subprocess.run(command, cwd=here, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    assert b"Traceback" not in ended.stderr
