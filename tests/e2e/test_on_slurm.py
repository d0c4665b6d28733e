"""A study on a real SLURM of two nodes: one worker killed, one task requeued, and the bits of one process."""

import os
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import slurm_box
from shared import ONE_THREAD, assert_same_bits, study

from transfusion import Slurm
from transfusion.runs.machine import Machine
from transfusion.runs.status import StudyStatus

pytestmark = pytest.mark.training


@pytest.fixture
def nodes(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with ExitStack() as stack:
        try:
            conf = stack.enter_context(slurm_box.running())
        except slurm_box.MissingError as missing:
            pytest.skip(str(missing))
        monkeypatch.setenv("SLURM_CONF", str(conf))
        yield


@pytest.mark.slow
def test_a_worker_killed_and_a_task_requeued_leave_the_bits_of_one_process(tmp_path, nodes):
    alone, shared = (study(tmp_path / name, tmp_path / "cache") for name in ("alone", "shared"))
    alone.run(workers=0, progress=False, machine=ONE_THREAD)
    violence = Violence(shared.store.folder)
    outcome = _run(shared, violence)
    assert violence.done == ["killed", "requeued"]
    assert (outcome.ran, outcome.failed) == (6, {})
    assert_same_bits(alone, shared)


def _run(shared, violence):
    """Run the study, and do violence to its workers whenever somebody looks at the queue."""
    from transfusion.runs.slurm import Workers

    real = Workers.look
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Workers, "look", lambda self, left: (violence(self.job), real(self, left))[1])
        return shared.run(cluster=Slurm(2, {"time": "30"}), machine=Machine(accelerator="cpu"))


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Violence:
    """Kills the worker of one run that is under way, and has SLURM requeue the task of another."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.done = folder, []
        self.began = time.monotonic()

    def __call__(self, job: str) -> None:
        if len(self.done) == 2:
            return
        at_work = [run for run in StudyStatus.of(self.folder).runs if run.state == "at work" and run.step > 0]
        if at_work and not self.done:
            os.kill(_parent(int(at_work[0].remark.split()[1])), signal.SIGKILL)
            self.done.append("killed")
        elif at_work and self.done == ["killed"]:
            tasks = subprocess.run(["squeue", "-h", "-t", "R", "-o", "%i"], capture_output=True, text=True, check=True)
            subprocess.run(["scontrol", "requeue", tasks.stdout.split()[0]], check=True)
            self.done.append("requeued")
