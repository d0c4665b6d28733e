"""What a study says of a start, and where: no quantity, statement, figure or section can be forgotten half way."""

import ast
import dataclasses
import re
from pathlib import Path
from typing import get_args

import pytest
from planted import Planted

from transfusion import conclude
from transfusion.metrics import METRICS
from transfusion.report import page
from transfusion.report.figures.intervals import quantities
from transfusion.verdict.effects import QUANTITIES, Effect
from transfusion.verdict.statement import OPENING, TITLES, Topic

REPORT = Path(page.__file__).parent
TESTED_BY = {"equivalence"}  # intervals of an effect that a test looks at, and no quantity of its own


def figures():
    """Name of every function of ``report.figures`` that draws."""
    for path in (REPORT / "figures").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and ast.unparse(node.returns or ast.Constant("")) == "Figure":
                yield path.stem, node.name


def test_every_interval_of_an_effect_is_a_quantity():
    known = {field.name for field in dataclasses.fields(Effect) if field.type == "Interval"}
    assert known - TESTED_BY == set(QUANTITIES)


@pytest.mark.parametrize("name", QUANTITIES)
def test_a_quantity_stands_in_every_table(name):
    verdict = conclude(Planted({"random": 1.0, "pretrained": 2.0}, tops={}).frame(0))
    assert set(verdict.frame().query("quantity == @name")["start"]) == set(verdict.schemes)
    assert all(effect.to_dict()[name] == getattr(effect, name).to_dict() for effect in verdict.schemes.values())


def test_figures_draw_quantities_that_there_are():
    assert all(set(quantities(metric)) <= set(QUANTITIES) for metric in METRICS.values())


def test_every_topic_has_a_title():
    assert set(get_args(Topic)) == set(TITLES)
    assert set(OPENING) <= set(TITLES)


@pytest.mark.parametrize(("module", "name"), [pair for pair in figures() if not pair[1].startswith("_")])
def test_every_figure_is_on_a_page(module, name):
    pages = [path.read_text() for path in REPORT.glob("*.py")] + [(REPORT / "figures" / "canvas.py").read_text()]
    drawn = rf"(?:figures|{module})\.{name}\b|import .*\b{name}\b"
    assert module == "canvas" or any(re.search(drawn, text) for text in pages)


def test_every_section_is_on_the_page():
    found = {path.stem for path in REPORT.glob("*.py") if re.search(r"^def section\(", path.read_text(), re.MULTILINE)}
    assert {section.__module__.rpartition(".")[2] for section in page.SECTIONS} == found
