"""The notebook of the documentation runs from top to bottom, and is kept without outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

PATH = Path(__file__).parents[2] / "docs" / "libraries.ipynb"


def test_it_is_kept_without_outputs():
    assert not any(cell.get("outputs") for cell in nbformat.read(PATH, as_version=4).cells)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the client's event loop
def test_it_runs(tmp_path):
    notebook = nbformat.read(PATH, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    last = notebook.cells[-1].outputs[0]
    assert "auc" in str(last).lower()
