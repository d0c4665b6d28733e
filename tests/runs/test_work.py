"""Workers on a study that was planned elsewhere."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from transfusion.cli import transfusion
from transfusion.errors import StoreError
from transfusion.runs.machine import Machine
from transfusion.runs.status import StudyStatus, duration, follow
from transfusion.runs.store import Store
from transfusion.runs.team import Team
from transfusion.runs.work import work
from transfusion.spec import DonorRunSpec, RepresentationSpec, StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study

pytestmark = pytest.mark.training

FUNDUS = TaskSpec(data="embedded:fundus", image_size=16, num_images=(40, 8, 24))
NATURAL = TaskSpec(data="embedded:natural", image_size=16, num_images=(32, 8, 16))
QUICK = TrainSpec(steps=4, batch_size=8, eval_every=2, precision="float32")
ONE_THREAD = Machine(accelerator="cpu", threads=1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def study(folder, cache, **values) -> Study:
    spec = {"task": FUNDUS, "model": "cbr_tiny_small", "schemes": ("random",), "seeds": (0,), "train": QUICK, **values}
    return Study(StudySpec(**spec), folder, cache=cache)


def team(a_study, **options) -> Team:
    return Team(a_study.store, ONE_THREAD, a_study.cache, workers=0, progress=False, **options)


def curves(a_study):
    return a_study.frame().drop(columns="time_s")


def test_a_worker_carries_out_what_was_planned_donor_and_comparisons_included(tmp_path, cache):
    values = {
        "donor": DonorRunSpec(task=NATURAL, train=QUICK),
        "schemes": ("pretrained", "random"),
        "representations": RepresentationSpec(images=16),
    }
    planned, alone = study(tmp_path / "planned", cache, **values), study(tmp_path / "alone", cache, **values)
    assert len(planned.begin()) == 2
    assert planned.frame().empty
    worked = work(team(planned))
    assert (worked.ran, worked.failed, worked.unseen) == (3, {}, ())
    alone.run(workers=0, progress=False, machine=ONE_THREAD)
    assert curves(planned).equals(curves(alone))
    assert work(team(planned)).ran == 0
    again = planned.run(workers=0, progress=False, machine=ONE_THREAD)
    assert (again.ran, again.kept) == (0, 3)
    made = {path.name for path in (tmp_path / "alone" / "representations").glob("*/*") if path.suffix != ".lock"}
    assert made == {
        path.name for path in (planned.store.folder / "representations").glob("*/*") if path.suffix != ".lock"
    }


def test_a_worker_without_a_study_says_so(tmp_path, cache):
    with pytest.raises(StoreError, match="no study in"):
        work(team(study(tmp_path, cache)))


def test_a_failure_of_another_worker_is_not_tried_again_by_each(tmp_path, cache, monkeypatch):
    from transfusion.runs import run

    tried = []

    def fail(job, model):
        tried.append(job.id)
        raise RuntimeError("a cosmic ray")

    monkeypatch.setattr(run, "initial_weights", fail)
    a_study = study(tmp_path, cache, seeds=(0, 1))
    a_study.begin()
    ids = [run.id for run in a_study.runs()]
    at_once = team(a_study)
    both = [run.Job(spec, tmp_path, ONE_THREAD, cache, verify=False, failed_at=0) for spec in a_study.runs()]
    assert list(work(at_once).failed) == ids
    assert [job.carry_out() for job in both] == ["kept", "kept"]  # planned before the failure by another worker
    assert tried == ids
    work(at_once)  # one that starts later knows of it, and tries again
    assert tried == ids + ids


def test_an_impatient_worker_leaves_runs_to_those_who_hold_them(tmp_path, cache):
    a_study = study(tmp_path, cache, seeds=(0, 1))
    held, free = (a_study.store.run(run.id) for run in a_study.runs())
    a_study.begin()
    with held.claim():
        worked = work(team(a_study, patient=False))
    assert (worked.ran, held.state, free.state) == (1, "new", "done")


WORK = [sys.executable, "-m", "transfusion", "work"]


@pytest.mark.slow
def test_of_two_workers_one_is_killed_and_the_other_finishes_with_the_same_bits(tmp_path, cache):
    long = QUICK.with_values(steps=60, eval_every=10)
    values = {"seeds": (0, 1, 2), "train": long}
    alone, shared = study(tmp_path / "alone", cache, **values), study(tmp_path / "shared", cache, **values)
    alone.run(workers=0, progress=False, machine=ONE_THREAD)
    shared.begin()
    environment = {**os.environ, "TRANSFUSION_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [*WORK, str(shared.store.folder), "--accelerator", "cpu", "--workers", "1"]
    workers = [subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) for _ in range(2)]
    deadline = time.monotonic() + 120
    while not list((tmp_path / "shared").glob("runs/*/curve.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.02)
    workers[0].send_signal(signal.SIGKILL)
    assert workers[1].wait(timeout=300) == 0
    workers[0].wait()
    assert curves(alone).equals(curves(shared))
    for run in alone.runs():
        one, other = (each.store.run(run.id).after_path.read_bytes() for each in (alone, shared))
        assert one == other


def test_the_commands_ls_status_and_watch_tell_how_far_a_study_is(tmp_path, cache, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a_study = study(Path("studies/s"), cache, seeds=(0, 1))
    run = CliRunner().invoke
    assert run(transfusion, ["ls"], catch_exceptions=True).exception.args[0].startswith("There is no study in studies/")
    a_study.begin()
    first, second = (a_study.store.run(spec.id) for spec in a_study.runs())
    with first.claim():
        first.begin(a_study.runs()[0], {})
        first.append({"step": 2, "auc": 0.5, "time_s": 4.0})
        said = run(transfusion, ["status", "studies/s"]).output
        assert f"at work: random, seed 0, step 2 of 4, process {os.getpid()}" in said
        assert "0 of 2 runs done (1 at work, 1 waiting); about 12 s left" in said
    assert "cut off: random, seed 0, step 2 of 4" in run(transfusion, ["status", "studies/s"]).output
    listed = run(transfusion, ["ls"]).output.splitlines()
    assert listed[0].split() == ["study", "done", "at", "work", "failed", "left", "changed"]
    assert listed[1].split()[:6] == ["studies/s", "0", "of", "2", "0", "0"]
    a_study.run(workers=0, progress=False, machine=ONE_THREAD)
    assert StudyStatus.of(Path("studies/s")).counts == {"done": 2}
    watched = run(transfusion, ["watch", "studies/s"])
    assert watched.exit_code == 0
    assert "2 of 2 runs done" in watched.output
    assert second.state == "done"


def test_watching_ends_when_all_is_done_or_failed(tmp_path, cache, capsys):
    a_study = study(tmp_path, cache, seeds=(0, 1))
    a_study.begin()
    first, second = (a_study.store.run(spec.id) for spec in a_study.runs())
    first.fail("a former failure", "", retry=True)
    looks = []

    def look():
        looks.append(1)
        if len(looks) == 1:
            second.finish({"step": 4})
        else:
            first.fail("it failed again", "", retry=True)

    follow(Store(tmp_path), True, look)
    assert len(looks) == 2
    said = capsys.readouterr().err
    assert "run 1/2  random, seed 1" in said
    assert "run 2/2  random, seed 0  failed: it failed again" in said


def test_durations_are_rounded_for_people():
    assert [duration(s) for s in (0, 119.6, 3599, 86399)] == ["0 s", "2 min", "1 h 0 min", "1 d 0 h"]
