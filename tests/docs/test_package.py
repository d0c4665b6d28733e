"""What is published holds what it needs: the sdist every test, the wheel every module and the page's parts."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = "from setuptools import build_meta; print(build_meta.build_{kind}({folder!r}))"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of what is under version control, or would be: setuptools writes beside its sources."""
    copy = tmp_path_factory.mktemp("package") / "transfusion"
    skipped = shutil.ignore_patterns(".*", "site", "build", "dist", "studies", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT, copy, ignore=skipped)
    shutil.copy(ROOT / ".pre-commit-config.yaml", copy)
    return copy


def built(kind, tree, folder):
    code = BUILD.format(kind=kind, folder=str(folder))
    done = subprocess.run([sys.executable, "-c", code], cwd=tree, capture_output=True, text=True, check=True)
    return folder / done.stdout.splitlines()[-1]


def sources(tree, *folders):
    return {path.relative_to(tree).as_posix() for folder in folders for path in (tree / folder).rglob("*.py")}


@pytest.mark.slow
def test_the_sdist_holds_every_test_and_what_builds_it(tree, tmp_path):
    with tarfile.open(built("sdist", tree, tmp_path)) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"Makefile", "constraints.txt", "conftest.py", "CHANGELOG.md", "LICENSE", "docs/index.md", "zensical.toml"}
    assert sources(tree, "src", "tests", "benchmarks") | needed <= held


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_the_parts_of_the_page(tree, tmp_path):
    wheel = built("wheel", tree, tmp_path)
    assert wheel.name.startswith("weight_transfusion-")
    held = set(zipfile.ZipFile(wheel).namelist())
    parts = {path.relative_to(tree).as_posix() for path in (tree / "src/transfusion").rglob("*.j*")}
    needed = {name.removeprefix("src/") for name in sources(tree, "src") | parts} | {"transfusion/py.typed"}
    assert needed <= held
    assert not {name for name in held if name.startswith(("tests", "benchmarks"))}
