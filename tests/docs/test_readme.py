"""README and CONTRIBUTING are true: the tree, the commands, the code."""

import re
from pathlib import Path

import pytest

from transfusion.cli import transfusion

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SOURCE = ROOT / "src" / "transfusion"


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_tree_lists_every_source_file_once_and_nothing_else():
    tree = next(block for block in blocks("text", CONTRIBUTING) if block.startswith("src/transfusion/"))
    listed = re.findall(r"^  (\S+)", tree.split("tests/")[0], flags=re.MULTILINE)
    here = {path.name + "/" * path.is_dir() for path in SOURCE.iterdir() if not path.name.startswith(("_", "py.typed"))}
    assert sorted(listed) == sorted(here)


def test_it_is_read_in_a_few_minutes():
    assert len(README.splitlines()) <= 120


def test_every_option_that_the_readme_names_exists():
    known = {"--help", "--version", "--torch-backend"}  # the last one is uv's
    for command in transfusion.commands.values():
        known |= {option for parameter in command.params for option in parameter.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README))
    assert named <= known


def test_every_make_target_that_the_readme_names_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("sh")), flags=re.MULTILINE):
        assert f"\n{target}:" in makefile


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("code", blocks("python"))
def test_the_code_runs(code):
    exec(compile(code, "README.md", "exec"), {})
