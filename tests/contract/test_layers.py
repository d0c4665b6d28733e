"""Imports point downwards only, and the libraries that stand alone stay alone."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import transfusion

ROOT = Path(transfusion.__file__).parent
LAYERS = (
    "__main__ cli paper study recipes export report verdict runs tasks schemes similarity "
    "filters networks metrics progress cores spec locks files terms errors"
).split()
RUNS = "display workers plan inputs comparisons run train trackers machine batches frames store".split()
ALONE = {"schemes", "similarity", "filters", "networks", "metrics"}


def layer(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Layers that a file imports anywhere, also inside functions; type-checking imports aside."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "transfusion":
            found |= {alias.name for alias in node.names if not alias.name.startswith("_")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("transfusion."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("transfusion.")}
    return found


FILES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def test_every_file_has_a_layer():
    assert {layer(path) for path in FILES} == set(LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path):
    mine = LAYERS.index(layer(path))
    assert {name for name in imported(path) if LAYERS.index(name) < mine} == set()


@pytest.mark.parametrize("path", [p for p in FILES if layer(p) in ALONE], ids=lambda path: str(path.relative_to(ROOT)))
def test_libraries_know_nothing_of_runs_studies_or_files(path):
    assert imported(path) <= ALONE | {"terms", "errors"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_over_400_lines(path):
    assert len(path.read_text().splitlines()) <= 400


def test_the_verdict_has_no_import_circle():
    """Numbers, then what to do, then words: type-checking imports and those inside functions included."""
    files = {path: ".".join(path.relative_to(ROOT.parent).with_suffix("").parts) for path in FILES}
    names = {name.removesuffix(".__init__"): path for path, name in files.items() if layer(path) == "verdict"}
    graph = {
        name: {
            other for other in modules_of(path) & names.keys() if not name.startswith(other)
        }  # its own packages aside
        for name, path in names.items()
    }
    list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert "transfusion.verdict.findings" in graph["transfusion.verdict.wording"]


def modules_of(path: Path) -> set[str]:
    """Modules that a file imports anywhere, by full name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found
