"""The documentation is true: its commands, settings, files and code; and the site builds without a warning."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from transfusion.cli import transfusion
from transfusion.cli.options import with_options
from transfusion.errors import TransfusionError
from transfusion.schemes import SCHEMES
from transfusion.spec import StudySpec

ROOT = Path(__file__).parents[2]
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
ELSEWHERE = {"--strict", "--help"}  # options of other programs that pages speak of, and one that every command has


def fenced(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def spans(text):
    """Inline code."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def commands_of(text):
    """Every command of the program: lines of shell blocks, and inline code."""
    lines = [line for block in fenced(text, "sh") for line in block.replace("\\\n", " ").splitlines()]
    found = [line.strip() for line in [*lines, *spans(text)]]
    return [line for line in found if re.match(r"transfusion(\s|$)", line)]


def check_command(line):
    """Parse a command as the program would, settings included, and run nothing."""
    _, *words = shlex.split(line, comments=True)
    if not words:
        return
    name, *arguments = words
    assert name in transfusion.commands, f"there is no command {name}"
    command = transfusion.commands[name]
    if arguments:
        given = command.make_context(name, arguments).params
        if name == "study":
            check_study(given)


def check_study(given):
    settings, fields = given["settings"], StudySpec.model_fields
    options = {key: value for key, value in given.items() if key in {*fields, *PLACED, "representations"}}
    spec = with_options(StudySpec(), options, settings)
    needing = [name for name in spec.schemes if isinstance(name, str) and SCHEMES[name].needs_donor]
    assert given["source"] or not given["data"] or spec.donor or not needing, f"{needing} need a donor"


PLACED = ("data", "image_size", "channels", "steps", "batch_size", "lr", "eval_every")
COMMANDS = [(page, line) for page, text in PAGES.items() for line in commands_of(text)]


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_every_command_parses(page, line):
    check_command(line)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("transfusion study --data x --donr y", "No such option"),
        ("transfusion stduy", "no command stduy"),
        ("transfusion study --seeds many", "not a valid integer"),
        ("transfusion study --set train.lrate=1", "lrate"),
        ("transfusion study --data x --model resnet18", "need a donor"),
    ],
)
def test_a_command_that_is_wrong_is_found(line, why):
    with pytest.raises((click.ClickException, TransfusionError, AssertionError)) as caught:
        check_command(line)
    said = caught.value.format_message() if isinstance(caught.value, click.ClickException) else str(caught.value)
    assert why in said


def test_the_pages_show_commands():
    assert len({page for page, _ in COMMANDS}) >= 5


@pytest.mark.parametrize("page", PAGES)
class TestPage:
    def test_every_option_exists(self, page):
        known = {
            option
            for command in transfusion.commands.values()
            for each in command.params
            for option in (*each.opts, *each.secondary_opts)
        }
        assert set(OPTION.findall(PAGES[page])) <= known | ELSEWHERE

    def test_every_setting_in_inline_code_exists(self, page):
        for span in spans(PAGES[page]):
            words = shlex.split(span) if span.startswith("--set ") else []
            for setting in words[1::2]:
                with_options(StudySpec(), {"representations": True}, [setting])
            for group, key in re.findall(r"^(task|train|representations)\.(?!csv\b)(\w+)(?:=|$)", span):
                fields = StudySpec.model_validate({"representations": {}}).model_dump()[group]
                assert key in fields, span

    def test_every_file_of_the_repository_that_it_names_is_there(self, page):
        named = re.findall(r"`((?:src|tests|docs|benchmarks)/[^`]*)`", PAGES[page])
        assert [name for name in named if not (ROOT / name).exists()] == []

    def test_every_link_leads_somewhere(self, page):
        named = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGES[page])
        assert [name for name in named if not (ROOT / "docs" / name).exists()] == []

    def test_every_class_in_its_code_can_be_made(self, page):
        for code in fenced(PAGES[page], "python"):
            compile(code, page, "exec")
            if "class " in code:
                exec(code, {})


def test_the_menu_has_every_page():
    menu = re.findall(r'"([\w-]+\.md)"', (ROOT / "zensical.toml").read_text())
    assert sorted(menu) == sorted(PAGES)


def test_the_paper_page_counts_what_there_is():
    from transfusion.paper.claims import CLAIMS
    from transfusion.paper.grids import PAPER

    rows = re.findall(r"^\| `(\w+)` \|.*\| (\d+) \|$", PAGES["paper.md"], flags=re.MULTILINE)
    assert {name: int(count) for name, count in rows} == {name: len(CLAIMS[name]) for name in PAPER}


def test_the_data_page_names_every_layout():
    from transfusion.tasks.layouts import READERS

    assert [name for name in [*READERS, "embedded"] if f"`{name}`" not in PAGES["own-data.md"]] == []


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    missing = [name for name in ("zensical", "mkdocstrings", "mkdocs_click") if find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: pip install '.[docs]'")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    (tmp_path / "src").symlink_to(ROOT / "src")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    built = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "--schemes" in (tmp_path / "site" / "cli" / "index.html").read_text()
    assert "transfusion.initialize" in (tmp_path / "site" / "api" / "index.html").read_text()
