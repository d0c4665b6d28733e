"""Locks where a file system has none that reach other machines."""

import errno
import fcntl
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from transfusion import locks
from transfusion.errors import SpecError
from transfusion.locks import leases
from transfusion.runs.machine import Machine
from transfusion.runs.run import Job, carry_out
from transfusion.runs.sharing import joined
from transfusion.runs.store import Store
from transfusion.spec import RunSpec, SchemeSpec, TaskSpec, TrainSpec


@pytest.fixture
def leased(tmp_path, monkeypatch):
    """A folder whose locks are leases of a second."""
    monkeypatch.setattr(leases, "LEASE_S", 1.0)
    assert (
        leases.settle(tmp_path, "lease")
        == "Locks are leases (as asked for): what a dead worker held is free after 1 s."
    )
    return tmp_path


HOLD = """
import os, sys, time
from pathlib import Path
from transfusion import locks
from transfusion.locks import leases
leases.LEASE_S = 1.0
with locks.claimed(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


def other(lock):
    process = subprocess.Popen([sys.executable, "-c", HOLD, lock], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


def is_free(lock):
    with locks.claimed(lock) as mine:
        return mine


@pytest.mark.slow
def test_a_lease_keeps_others_out_while_its_holder_lives_and_no_longer(leased):
    lock = leased / "runs" / "a" / "lock"
    lock.parent.mkdir(parents=True)
    process = other(lock)
    deadline = time.monotonic() + 2.5  # more than a lease: its holder renews it
    while time.monotonic() < deadline:
        assert not is_free(lock)
        time.sleep(0.1)
    assert locks.is_held(lock)
    assert f"process {process.pid}" in locks.holder(lock)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while not is_free(lock) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert is_free(lock)
    assert not locks.is_held(lock)


def test_who_lost_a_lease_writes_no_more(leased, monkeypatch):
    task = TaskSpec(data="embedded:fundus", image_size=16, num_images=(16, 8, 16))
    train = TrainSpec(steps=4, batch_size=8, eval_every=2, precision="float32")
    run = RunSpec(task=task, model="cbr_tiny_small", scheme=SchemeSpec(name="random"), train=train)
    job = Job(run, leased, Machine(accelerator="cpu", threads=1), leased / "cache")
    files = Store(leased).run(run.id)
    real, rows = type(files).append, []

    def append(self, row):
        real(self, row)
        rows.append(row["step"])
        if row["step"] == 2:  # it slept for long: another worker has taken over
            leases.lease_path(files.lock_path).write_text("another's")

    monkeypatch.setattr(type(files), "append", append)
    assert carry_out(job) == "busy"
    assert rows == [0, 2]
    assert files.state == "started"
    assert files.failure() == {}


def test_commands_join_and_leave_by_leases_too(leased):
    for grid in (["a"], ["b"]):
        with joined(leased, grid):
            pass
    assert not [path for path in (leased / "commands").iterdir() if path.name not in ("begin", "begin.holder")]


def test_the_choice_is_one_for_all_who_work_on_a_study(leased):
    assert leases.kind_of(leased / "runs" / "a" / "lock") == "lease"
    assert leases.settle(leased, "auto").startswith("Locks are leases")
    with pytest.raises(SpecError, match=r"are lease, and --locks flock was given\. Remove .*locks\.json first"):
        leases.settle(leased, "flock")
    with pytest.raises(SpecError, match="no locks 'none'"):
        leases.settle(leased, "none")


def test_usual_folders_have_locks_and_nothing_is_said_or_written(tmp_path):
    assert leases.settle(tmp_path, "auto") == ""
    assert list(tmp_path.iterdir()) == []
    assert leases.kind_of(tmp_path / "lock") == "flock"


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_file_system_without_locks_gets_leases_and_that_is_said(tmp_path, monkeypatch, number):
    def flock(descriptor, operation):
        raise OSError(number, "Function not implemented")

    leases.why_none_of.cache_clear()
    monkeypatch.setattr(fcntl, "flock", flock)
    try:
        said = leases.settle(tmp_path, "auto")
        assert said.startswith("Locks are leases (this file system has no locks: Function not implemented):")
        assert json.loads((tmp_path / "locks.json").read_text())["kind"] == "lease"
    finally:
        leases.why_none_of.cache_clear()


@pytest.mark.parametrize(
    ("mounts", "option"),
    [
        ("srv:/x / nfs rw,nolock,vers=3 0 0", "nolock"),
        ("srv:/x / nfs4 rw,local_lock=flock 0 0", "local_lock=flock"),
        ("a@tcp:/x / lustre rw,localflock 0 0", "localflock"),
        ("a@tcp:/x / lustre rw,flock 0 0", ""),
        ("srv:/x / nfs4 rw,local_lock=none 0 0", ""),
        ("srv:/x / nfs rw,nolock 0 0\n/dev/a /data ext4 rw 0 0", ""),
        ("/dev/a / ext4 rw 0 0\nsrv:/x /data nfs rw,nolock 0 0", "nolock"),
        ("srv:/x /dat nfs rw,nolock 0 0\n/dev/a / ext4 rw 0 0", ""),
        ("", ""),
    ],
)
def test_mounts_whose_locks_stay_on_one_machine_are_known(mounts, option):
    assert leases.local_option(Path("/data/study"), mounts) == option
