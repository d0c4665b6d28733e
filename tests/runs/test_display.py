from __future__ import annotations

from pathlib import Path

import pytest

from transfusion.runs.display import Display
from transfusion.runs.machine import Machine
from transfusion.runs.run import Job
from transfusion.spec import RunSpec, TaskSpec, TrainSpec


@pytest.mark.parametrize("enabled", [True, False])
def test_without_a_terminal_nothing_but_ended_runs_is_said(enabled: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with Display([], enabled=enabled):
        pass
    assert capsys.readouterr().err == ""


def test_the_bar_moves_between_evaluations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # to rich, a terminal
    run = RunSpec(task=TaskSpec(), model="cbr_tiny_small", train=TrainSpec(steps=100, eval_every=50))
    job = Job(run, tmp_path, Machine())
    job.files.begin(run, {"precision": "float32"})
    job.files.append({"step": 0, "auc": 0.5})
    assert steps_shown(Display([job], enabled=True)) == 0
    with Display([job], enabled=True) as display:
        job.files.note_step(7)
    assert steps_shown(display) == 7
    job.files.append({"step": 50, "auc": 0.6})
    assert steps_shown(Display([job], enabled=True)) == 50
    job.files.rewind(0)
    assert steps_shown(Display([job], enabled=True)) == 0


def steps_shown(display: Display) -> float:
    return display.bar.tasks[0].completed
