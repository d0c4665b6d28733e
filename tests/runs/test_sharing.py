import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from transfusion import locks
from transfusion.errors import StoreError
from transfusion.files import write_text
from transfusion.locks import claimed, held, holder
from transfusion.runs.sharing import joined

pytestmark = pytest.mark.training

HOLD = """
import sys, time
from pathlib import Path
from transfusion.runs.sharing import joined
with joined(Path(sys.argv[1]), sys.argv[2].split(",")):
    print("holds", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another command at work on the grid a, b."""
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path, "a,b"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        yield process
        process.kill()


def test_a_command_with_another_grid_is_told_who_holds_the_study(tmp_path, other):
    with pytest.raises(StoreError, match=rf"in use by process {other.pid} .*another grid.*--out"):
        joined(tmp_path, ["a", "c"]).__enter__()


def test_a_command_with_the_same_grid_shares_it(tmp_path, other):
    with joined(tmp_path, ["a", "b"]):
        pass


def test_a_stopped_holder_is_said_to_be_stopped(tmp_path, other):
    os.kill(other.pid, signal.SIGSTOP)
    deadline = time.monotonic() + 10
    lock = next((tmp_path / "commands").glob("*.lock"))
    while "kill -CONT" not in holder(lock) and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(StoreError, match=f"it is stopped: resume it with kill -CONT {other.pid}"):
        joined(tmp_path, ["c"]).__enter__()


def test_a_command_that_was_killed_holds_nothing_and_leaves_nothing(tmp_path, other):
    other.kill()
    other.wait()
    write_text(tmp_path / "kept", "whole")
    litter = tmp_path / f".curve.{socket.gethostname()}.{other.pid}~"
    litter.write_text("half")
    with joined(tmp_path, ["c"]):
        assert not litter.exists()
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {"kept", "begin", "begin.holder"}


def test_one_that_ended_leaves_room_for_another_grid(tmp_path):
    for grid in (["a"], ["b"]):
        with joined(tmp_path, grid):
            pass


def test_waiting_for_a_lock_says_for_whom_at_once(tmp_path, capsys):
    lock = tmp_path / "x.lock"
    code = "import sys, time; from pathlib import Path; from transfusion.locks import held\n"
    code += "with held(Path(sys.argv[1]), 'does it'): print('holds', flush=True); time.sleep(1)"
    with subprocess.Popen([sys.executable, "-c", code, lock], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with claimed(lock) as mine:
            assert not mine
        with held(lock, "decodes the images"):
            pass
    said = " ".join(capsys.readouterr().err.split())
    assert f"Waiting for process {process.pid} (" in said
    assert "which decodes the images." in said


def test_a_holder_on_another_host_is_named_with_it(tmp_path):
    lock = tmp_path / "x.lock"
    (tmp_path / "x.lock.holder").write_text(json.dumps({"pid": 7, "host": "far", "since": 0, "command": "transfusion"}))
    assert holder(lock).startswith("process 7 on far (transfusion, since ")
    assert holder(tmp_path / "y.lock") == f"the process that holds {tmp_path / 'y.lock'}"


IDLE = """
import sys, time
from pathlib import Path
from transfusion.locks import held
with held(Path(sys.argv[1]), "sleeps"):
    print("holds", flush=True)
    deadline = time.monotonic() + float(sys.argv[2])
    while time.monotonic() < deadline:
        time.sleep(1) if sys.argv[3] == "hangs" else sum(range(10_000))
"""


@pytest.mark.parametrize("how", ["hangs", "works"])
def test_a_holder_that_lives_and_does_nothing_is_named_and_one_that_works_is_not(tmp_path, capsys, monkeypatch, how):
    monkeypatch.setattr(locks, "PATIENCE_S", 2.0)
    lock = tmp_path / "a.lock"
    command = [sys.executable, "-c", IDLE, str(lock), "9", how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        with held(lock, "makes the same"):
            pass
    said = capsys.readouterr().err
    assert f"Waiting for process {process.pid}" in said
    told = f"Still waiting for process {process.pid}" in " ".join(said.split())
    assert told == (how == "hangs")
    assert said.count("Still waiting") == told


def test_when_the_last_step_was_kept_is_said(tmp_path, other):
    curve = tmp_path / "runs" / "a" / "curve.jsonl"
    write_text(curve, "{}\n")
    os.utime(curve, (0, 3600 * 5))
    with pytest.raises(StoreError, match=r"another grid; its last step was kept at \d\d:00:00\. Wait"):
        joined(tmp_path, ["c"]).__enter__()
