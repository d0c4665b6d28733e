"""Registries whose names stand in settings and help: neither can forget one."""

from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from transfusion import cli, tasks, terms
from transfusion.errors import TransfusionError, UnknownNameError
from transfusion.runs import trackers
from transfusion.spec import TaskSpec
from transfusion.tasks import layouts
from transfusion.tasks.layouts import READERS

ROOT = Path(__file__).parents[2]


def test_trackers():
    assert get_args(terms.Tracker) == tuple(trackers.KINDS)
    shown = CliRunner().invoke(cli.transfusion, ["study", "--help"]).output.partition("--trackers")[2]
    assert all(name in shown for name in trackers.KINDS)


@pytest.mark.parametrize("name", trackers.KINDS)
class TestTracker:
    def test_it_is_opened_described_and_ended(self, name):
        kind = trackers.KINDS[name]
        assert all(callable(each) for each in (kind.open, kind.describe, kind.id_of, kind.end))

    def test_a_near_name_is_suggested(self, name):
        with pytest.raises(UnknownNameError, match=f"There is no tracker '{name}x'. Did you mean '{name}'"):
            trackers.check([f"{name}x"])


def test_every_module_that_reads_a_layout_is_among_the_readers():
    paths = [path for path in Path(layouts.__file__).parent.glob("*.py") if path.stem != "__init__"]
    reading = {path.stem for path in paths if "\ndef read(spec: TaskSpec" in path.read_text(encoding="utf-8")}
    assert reading == {reader.__module__.rpartition(".")[2] for reader in READERS.values()} | {"embedded"}


def test_layouts_stand_on_the_page_of_own_data():
    page = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in READERS), "every layout stands on the page of own data"


@pytest.mark.parametrize("name", READERS)
def test_a_layout_refuses_what_is_not_there_in_one_line(name, tmp_path):
    spec = TaskSpec(data=str(tmp_path / "nothing"), layout=name)
    with pytest.raises(TransfusionError) as error:
        tasks.load(spec)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [*READERS, "embedded"])
def test_a_near_name_of_a_layout_is_suggested(name):
    with pytest.raises(UnknownNameError, match=f"There is no layout '{name}x'. Did you mean '{name}'"):
        tasks.check(TaskSpec(layout=f"{name}x"))
