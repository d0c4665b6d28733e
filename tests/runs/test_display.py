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


def test_the_bar_moves_between_evaluations(tmp_path: Path) -> None:
    run = RunSpec(task=TaskSpec(), model="cbr_tiny_small", train=TrainSpec(steps=100, eval_every=50))
    job = Job(run, tmp_path, Machine())
    job.files.begin(run, {"precision": "float32"})
    job.files.append({"step": 0, "auc": 0.5})
    display = Display([job], enabled=True)
    assert display._steps() == 0
    job.files.note_step(7)
    assert display._steps() == 7
    job.files.append({"step": 50, "auc": 0.6})
    assert display._steps() == 50
    job.files.rewind(0)
    assert display._steps() == 0
