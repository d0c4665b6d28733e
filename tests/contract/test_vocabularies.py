"""Registries whose names stand in settings and help: neither can forget one."""

from typing import get_args

import pytest
from click.testing import CliRunner

from transfusion import cli, terms
from transfusion.errors import UnknownNameError
from transfusion.runs import trackers


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
