import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from transfusion import cores
from transfusion.runs import executors, queue, workers
from transfusion.runs.machine import Machine
from transfusion.runs.run import Job
from transfusion.runs.store import Store
from transfusion.runs.workers import Crew, Inline, StarvedError, carry_out_all
from transfusion.spec import RunSpec, TaskSpec

pytestmark = pytest.mark.training

CPU = Machine(accelerator="cpu")


@pytest.fixture
def jobs(tmp_path):
    return [Job(RunSpec(task=TaskSpec(), model="m", seed=seed), tmp_path, CPU) for seed in range(3)]


class Scripted(Inline):
    """An executor that answers from a script: an outcome, or the death of its process."""

    def __init__(self, script):
        self.script = script

    def submit(self, fn, /, *args, **kwargs):
        answer = self.script(args[0].run.seed)
        if answer == "dies":
            future = Future()
            future.set_exception(BrokenProcessPool())
            return future
        return super().submit(lambda: answer)


def outcome_of(jobs, monkeypatch, script):
    monkeypatch.setattr(Crew, "executor", lambda self: _entered(Scripted(script)))
    monkeypatch.setattr(queue, "BUSY_S", 0.01)
    monkeypatch.setattr(workers, "POLL_S", 0.01)
    monkeypatch.setattr(executors, "POLL_S", 0.01)
    return [ended[0].run.seed for ended in carry_out_all(jobs, Crew(1, CPU)) if ended]


class _entered:  # noqa: N801 - reads as a verb
    def __init__(self, executor):
        self.executor = executor

    def __enter__(self):
        return self.executor

    def __exit__(self, *_):
        return None


def test_every_job_is_carried_out_in_order(jobs, monkeypatch):
    assert outcome_of(jobs, monkeypatch, lambda seed: "done") == [0, 1, 2]


def test_one_job_follows_another_without_a_pause(jobs, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("nothing to wait for"))
    assert outcome_of(jobs, monkeypatch, lambda seed: "done") == [0, 1, 2]


def test_a_run_that_another_process_holds_is_tried_again_later(jobs, monkeypatch):
    asked = []

    def script(seed):
        asked.append(seed)
        return "busy" if asked.count(1) < 3 and seed == 1 else "done"

    assert sorted(outcome_of(jobs, monkeypatch, script)) == [0, 1, 2]
    assert asked.count(1) == 3


def test_a_run_whose_process_dies_twice_is_given_up_and_the_others_go_on(jobs, monkeypatch):
    asked = []

    def script(seed):
        asked.append(seed)
        return "dies" if seed == 1 else "done"

    assert sorted(outcome_of(jobs, monkeypatch, script)) == [0, 1, 2]
    assert asked.count(1) == workers.MAX_DEATHS
    failure = Store(jobs[1].folder).run(jobs[1].run.id).failure()
    assert "process of this run died" in failure["error"]
    assert failure["retry"]
    assert not Store(jobs[0].folder).run(jobs[0].run.id).failure()


def test_a_run_whose_process_dies_once_is_tried_again(jobs, monkeypatch):
    asked = []

    def script(seed):
        asked.append(seed)
        return "dies" if asked.count(1) == 1 and seed == 1 else "done"

    assert sorted(outcome_of(jobs, monkeypatch, script)) == [0, 1, 2]
    assert not Store(jobs[1].folder).run(jobs[1].run.id).failure()


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), OSError(24, "Too many open files")])
def test_an_executor_whose_thread_ends_does_not_keep_anybody_waiting(jobs, monkeypatch, capsys, error):
    """It starts a second thread when it first sends a process anything."""
    start, main = threading.Thread.start, threading.current_thread()

    def limited(self):
        if threading.current_thread() is not main:
            raise error
        start(self)

    monkeypatch.setattr(threading.Thread, "start", limited)
    before = threading.excepthook
    with pytest.raises(StarvedError, match="--workers 0"):
        list(carry_out_all(jobs, Crew(2, CPU)))
    assert threading.excepthook is before
    assert "Traceback" not in capsys.readouterr().err
    assert {job.files.state for job in jobs} == {"new"}


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), BlockingIOError(11, "unavailable")])
def test_processes_that_cannot_start_are_one_line(jobs, monkeypatch, error):
    def refuse(*_):
        raise error

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(StarvedError, match="ulimit -u.*--workers 0"):
        list(carry_out_all(jobs, Crew(2, CPU)))


def test_cores_are_divided_among_the_runs(monkeypatch):
    monkeypatch.setattr(cores, "available", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert [(crew.workers, crew.machine.threads) for crew in (Crew.fit(CPU, None, n) for n in (1, 3, 9))] == [
        (1, 8),
        (3, 2),
        (8, 1),
    ]
    assert Crew.fit(CPU, 2, 9).machine.threads == 4
    assert Crew.fit(CPU, 0, 9).workers == 0
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert [Crew.fit(CPU, None, n).machine.threads for n in (1, 2, 3)] == [3, 3, 2]
    assert Crew.fit(Machine(accelerator="cpu", threads=6), None, 1).machine.threads == 6


def test_inline_reports_errors_as_futures_do():
    def fail():
        raise ValueError("no")

    assert isinstance(Inline().submit(fail).exception(), ValueError)
    assert Inline().submit(len, "abc").result() == 3


def test_workers_end_with_their_parent_however_it_ends(tmp_path):
    """A parent killed with -9 leaves nobody behind."""
    code = (
        "import time\n"
        "from transfusion.runs.machine import Machine\n"
        "from transfusion.runs.workers import Crew\n"
        "if __name__ == '__main__':\n"
        "    with Crew(1, Machine(accelerator='cpu', threads=1)).executor() as pool:\n"
        "        import os\n"
        "        print(pool.submit(os.getpid).result(), flush=True)\n"
        "        time.sleep(60)\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _alive(child):
        time.sleep(0.1)
    assert not _alive(child)


def _alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]
    except FileNotFoundError:
        return False
