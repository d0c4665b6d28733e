from __future__ import annotations

import pytest

from transfusion import progress


@pytest.mark.parametrize("show", [True, False])
def test_results_pass_through_in_silence_without_a_terminal(show: bool, capsys: pytest.CaptureFixture[str]) -> None:
    steps = [(2, "a"), (3, "b")]
    assert list(progress.track(steps, "Working", 5, show)) == ["a", "b"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_terminal_sees_nothing_before_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], term: str
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", term)
    list(progress.track([(1, None)], "Working", 1, True))
    assert capsys.readouterr().err == ""


def test_a_terminal_sees_a_bar_once_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "PATIENCE_S", -1.0)
    list(progress.track([(1, None)], "Working", 1, True))
    assert "Working" in capsys.readouterr().err
