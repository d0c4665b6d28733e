"""A study on a real SLURM of two nodes: one worker killed, one task requeued, and the bits of one process."""

import os
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import slurm_box

from transfusion import Slurm, Study
from transfusion.runs.machine import Machine
from transfusion.runs.status import StudyStatus
from transfusion.spec import StudySpec, TaskSpec, TrainSpec

pytestmark = pytest.mark.training

ONE_THREAD = Machine(accelerator="cpu", threads=1)


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


def study(folder, cache):
    task = TaskSpec(data="embedded:fundus", image_size=32, num_images=(200, 40, 100))
    train = TrainSpec(steps=300, batch_size=16, eval_every=50, precision="float32")
    spec = StudySpec(task=task, model="cbr_tiny_small", schemes=("random", "kaiming"), seeds=(0, 1, 2), train=train)
    return Study(spec, folder, cache=cache)


@pytest.mark.slow
def test_a_worker_killed_and_a_task_requeued_leave_the_bits_of_one_process(tmp_path, nodes):
    alone, shared = (study(tmp_path / name, tmp_path / "cache") for name in ("alone", "shared"))
    alone.run(workers=0, progress=False, machine=ONE_THREAD)
    violence = Violence(shared.store.folder)
    outcome = _run(shared, violence)
    assert violence.done == ["killed", "requeued"]
    assert (outcome.ran, outcome.failed) == (6, {})
    columns = [column for column in alone.frame() if column != "time_s"]
    assert alone.frame()[columns].equals(shared.frame()[columns])
    for run in alone.runs():
        one, other = (each.store.run(run.id) for each in (alone, shared))
        assert one.after_path.read_bytes() == other.after_path.read_bytes()
        assert one.predictions_path.read_bytes() == other.predictions_path.read_bytes()


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
