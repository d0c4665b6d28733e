"""A study on a Dask cluster of processes: one is killed in the middle, and the bits are those of one process."""

import os
import signal
import threading
import time

import pytest
from shared import ONE_THREAD, assert_same_bits, study

from transfusion.errors import ClusterError
from transfusion.runs.status import StudyStatus

pytestmark = pytest.mark.training

distributed = pytest.importorskip("distributed", reason="no distributed: pip install 'weight-transfusion[cluster]'")


@pytest.fixture
def client(tmp_path):
    with (
        distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, dashboard_address=None, local_directory=str(tmp_path / "dask")
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


class Killing:
    """``Team.carry_out``'s display, which kills the process of a run that is under way, once."""

    def __init__(self, folder):
        self.folder, self.killed = folder, None

    def __call__(self):
        at_work = [run for run in StudyStatus.of(self.folder).runs if run.state == "at work" and run.step > 0]
        if at_work and self.killed is None:
            self.killed = int(at_work[0].remark.split()[1])
            os.kill(self.killed, signal.SIGKILL)


@pytest.mark.slow
def test_of_three_workers_one_is_killed_and_the_bits_are_those_of_one_process(tmp_path, client, monkeypatch):
    from transfusion.runs.display import Display

    monkeypatch.chdir(tmp_path)  # the workers are elsewhere: relative paths must reach them as absolute ones
    alone, shared = study("alone", "cache", steps=120), study("shared", "cache", steps=120)
    alone.run(workers=0, progress=False, machine=ONE_THREAD)
    kill, real = Killing(shared.store.folder), Display.refresh
    monkeypatch.setattr(Display, "refresh", lambda self: (kill(), real(self))[1])
    outcome = shared.run(client.get_executor(), progress=False)
    assert kill.killed
    assert (outcome.ran, outcome.failed) == (6, {})
    assert_same_bits(alone, shared)
    assert {files.machine()["threads"] for files in shared.store.grid()} == {1}  # chosen there: Dask's own setting


@pytest.mark.slow
def test_a_run_held_elsewhere_is_tried_again_and_a_cluster_that_ends_is_one_line(tmp_path, client):
    a_study = study(tmp_path / "s", tmp_path / "cache", steps=20, seeds=(0,))
    held = a_study.store.run(a_study.begin()[0].id)
    with held.claim():
        began = time.monotonic()
        release = threading.Timer(4.0, client.close)
        release.start()
        with pytest.raises(ClusterError, match="broke, or was shut down"):
            a_study.run(client.get_executor(), progress=False)
        assert time.monotonic() - began < 60
    assert a_study.run(workers=0, progress=False, machine=ONE_THREAD).failed == {}
