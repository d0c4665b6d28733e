"""Killed at random moments and at every file-system call, a run ends with the bits of one that was never killed."""

import importlib
import itertools
import multiprocessing
import os
import random
import shutil
import signal
import time

import pytest
import small
from safetensors.torch import load_file

from transfusion.runs.machine import Machine
from transfusion.runs.run import Job, carry_out
from transfusion.runs.store import Store
from transfusion.spec import RunSpec, SchemeSpec, TaskSpec, TrainSpec

pytestmark = pytest.mark.training

TASK = TaskSpec(data="embedded:fundus", image_size=32, num_images=(96, 8, 64))
KILLS = 8


def job(folder, cache, model):
    run = RunSpec(
        task=TASK,
        model=model,
        scheme=SchemeSpec(name="kaiming"),
        train=TrainSpec(steps=60, batch_size=8, eval_every=7, augment="fundus", schedule="cosine", precision="float32"),
    )
    return Job(run, folder, Machine(accelerator="cpu", threads=1, checkpoint_s=0.0), cache)


def in_a_process(context, work):
    process = context.Process(target=carry_out, args=(work,))
    process.start()
    return process


@pytest.mark.slow
@pytest.mark.parametrize("model", ["cbr_tiny_small", "squeezenet1_1"])  # batch norm; dropout
def test_a_run_killed_many_times_ends_with_the_same_bits(tmp_path, model):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["transfusion.runs.run"])
    whole, torn = (job(tmp_path / name, tmp_path / "cache", model) for name in ("whole", "torn"))
    assert carry_out(whole) == "done"
    began = time.monotonic()
    assert carry_out(job(tmp_path / "again", tmp_path / "cache", model)) == "done"
    duration = time.monotonic() - began
    draw, kills = random.Random(0), 0
    files = Store(torn.folder).run(torn.run.id)
    while files.state != "done":
        process = in_a_process(context, torn)
        if kills < KILLS:
            progressed = files.checkpoint_path.stat().st_mtime_ns if files.checkpoint_path.exists() else 0
            wait_for_progress(files, progressed, process)
            process.join(timeout=draw.uniform(0, 0.2) * duration)
            kills += process.is_alive()
            process.kill()
        process.join()
    reference = Store(whole.folder).run(whole.run.id)
    assert kills >= KILLS // 2
    assert timeless(files.curve()) == timeless(reference.curve())
    for path in (files.after_path, files.predictions_path, files.picked_path, files.picked_weights_path):
        assert path.read_bytes() == (reference.folder / path.name).read_bytes()
    assert set(load_file(files.after_path)) == set(load_file(files.before_path))


def wait_for_progress(files, since, process):
    """Until a checkpoint newer than ``since`` is there: every life gets somewhere."""
    while process.is_alive():
        if files.checkpoint_path.exists() and files.checkpoint_path.stat().st_mtime_ns > since:
            return
        time.sleep(0.005)


def timeless(curve):
    return [{key: value for key, value in row.items() if key != "time_s"} for row in curve]


def changes_something(call, *args, **named):
    """Opening a file to read it does not: killed there, a study is where the call before it left it."""
    mode = named.get("mode", args[1] if len(args) > 1 else "r")
    return call != "io.open" or set(mode) & set("wax+")


def die_at(call, number, late, data, folder):
    """Carry out the small study in this process, which is killed at the n-th call, before or after it happens."""
    module, name = call.split(".")
    module = importlib.import_module(module)
    real, left = getattr(module, name), itertools.count(number, -1)

    def lethal(*args, **named):
        last = changes_something(call, *args, **named) and next(left) == 1
        if last and not late:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return real(*args, **named)
        finally:  # also where the call itself failed, as that of a folder that is there
            if last:
                os.kill(os.getpid(), signal.SIGKILL)

    setattr(module, name, lethal)
    small.carry_out(data, folder)


def killed_at(call, number, late, data, folder):
    """Whether a process that carries out the study came as far as this call."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["transfusion.runs.run", "transfusion.study"])
    process = context.Process(target=die_at, args=(call, number, late, data, folder))
    process.start()
    process.join()
    return process.exitcode == -signal.SIGKILL


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small.pictures(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(scope="module")
def small_bits(tmp_path_factory, data):
    return small.bits(small.carry_out(data, tmp_path_factory.mktemp("whole"))[0])


def check_bits(data, folder, expected):
    study, outcome = small.carry_out(data, folder)
    assert outcome.failed == {}
    assert small.bits(study) == expected
    assert not small.litter(folder)


@pytest.mark.parametrize(("call", "number", "late"), [("os.replace", 4, True), ("os.fsync", 9, False)])
def test_killed_at_a_file_system_call_a_study_ends_with_the_same_bits(data, tmp_path, small_bits, call, number, late):
    assert killed_at(call, number, late, data, tmp_path)
    check_bits(data, tmp_path, small_bits)


@pytest.mark.torture
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", small.CALLS)
def test_killed_at_every_file_system_call_a_study_ends_with_the_same_bits(
    data, tmp_path, small_bits, record_property, call, late
):
    for number in itertools.count(1):
        folder = tmp_path / f"{number}"
        if not killed_at(call, number, late, data, folder):
            break
        check_bits(data, folder, small_bits)
        shutil.rmtree(folder)  # several hundred of them would fill a disk
    record_property("kills", number - 1)
    assert number > 1
