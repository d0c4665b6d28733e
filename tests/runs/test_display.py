from __future__ import annotations

import pytest

from transfusion.runs.display import Display


@pytest.mark.parametrize("enabled", [True, False])
def test_without_a_terminal_nothing_but_ended_runs_is_said(enabled: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with Display([], enabled=enabled):
        pass
    assert capsys.readouterr().err == ""
