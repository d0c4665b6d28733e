import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from transfusion.runs.machine import Machine, best_precision, describe
from transfusion.runs.run import Job, carry_out
from transfusion.runs.store import Store
from transfusion.spec import RunSpec, SchemeSpec, TaskSpec, TrainSpec

pytestmark = pytest.mark.training

TASK = TaskSpec(data="embedded:fundus", image_size=32, num_images=(24, 4, 13))
TRAIN = TrainSpec(steps=4, batch_size=8, eval_every=2, precision="float32")


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def job(folder, cache, *, model="cbr_tiny_small", devices=1, **train):
    run = RunSpec(task=TASK, model=model, scheme=SchemeSpec(name="random"), train=TRAIN.with_values(**train))
    return Job(run, folder, Machine(accelerator="cpu", threads=1, devices=devices), cache)


def test_a_run_leaves_everything_that_is_worth_keeping(tmp_path, cache):
    work = job(tmp_path, cache)
    assert carry_out(work) == "done"
    files = Store(tmp_path).run(work.run.id)
    assert files.spec() == work.run
    assert [row["step"] for row in files.curve()] == [0, 2, 4]
    assert files.result()["auc"] == files.curve()[-1]["auc"]
    assert files.machine()["precision"] == "float32"
    assert {"torch", "numpy", "transfusion"} <= set(files.machine()["versions"])
    before, after = load_file(files.before_path), load_file(files.after_path)
    assert before.keys() == after.keys()
    assert not torch.equal(before["head.weight"], after["head.weight"])
    provenance = pd.read_csv(files.provenance_path)
    assert set(provenance["tensor"]) == set(before)
    head = provenance.set_index("tensor").loc["head.weight"]
    assert head["std"] == pytest.approx(float(before["head.weight"].std(correction=0)), rel=1e-4)
    assert not files.checkpoint_path.exists()


def test_a_finished_run_is_left_alone(tmp_path, cache):
    work = job(tmp_path, cache)
    carry_out(work)
    files = Store(tmp_path).run(work.run.id)
    stamp = files.after_path.stat().st_mtime_ns
    assert carry_out(work) == "kept"
    assert files.after_path.stat().st_mtime_ns == stamp


def test_a_run_that_another_process_holds_is_busy(tmp_path, cache):
    work = job(tmp_path, cache)
    with Store(tmp_path).run(work.run.id).claim() as mine:
        assert mine
        assert carry_out(work) == "busy"


def test_two_devices_share_a_batch_and_learn_as_one_would(tmp_path, cache):
    model = "test_vit"  # no batch norm and no dropout, which would differ by device
    curves = []
    for devices in (1, 2):
        work = job(tmp_path / str(devices), cache, model=model, devices=devices)
        outcome = carry_out(work)
        files = Store(work.folder).run(work.run.id)
        assert outcome == "done", files.failure()
        curves.append(files.curve())
    for one, two in zip(*curves, strict=True):
        assert one["step"] == two["step"]
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-3)
        assert one["auc"] == pytest.approx(two["auc"], abs=0.02)


def test_precision_is_chosen_by_the_processor_and_recorded(tmp_path, cache, monkeypatch):
    assert best_precision("mps") == "float32"
    for supported, wanted in ((True, "bfloat16"), (False, "float32")):
        for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            monkeypatch.setattr(torch.cpu, probe, lambda answer=supported: answer, raising=False)
        assert best_precision("cpu") == wanted
    work = job(tmp_path, cache, precision="bfloat16")
    assert carry_out(work) == "done"
    assert Store(tmp_path).run(work.run.id).machine()["precision"] == "bfloat16"


def test_a_description_of_the_machine_is_json():
    text = json.dumps(describe(Machine(accelerator="cpu"), "float32"))
    assert json.loads(text)["accelerator"] == "cpu"


def test_a_bad_run_is_recorded_in_one_line(tmp_path, cache):
    work = job(tmp_path, cache)
    broken = Job(work.run.with_values(model="nothing"), tmp_path, work.machine, cache)
    assert carry_out(broken) == "failed"
    failure = Store(tmp_path).run(broken.run.id).failure()
    assert "no model 'nothing'" in failure["error"]
    assert failure["retry"]
    assert np.any(["UnknownNameError" in line for line in failure["traceback"]])


CLUSTERED = """
import os, sys
from pathlib import Path
from transfusion.runs.machine import Machine
from transfusion.runs.run import Job, carry_out
from transfusion.runs.store import Store
from transfusion.spec import RunSpec, SchemeSpec, TaskSpec, TrainSpec

task = TaskSpec(data="embedded:fundus", image_size=16, num_images=(8, 4, 8))
train = TrainSpec(steps=2, batch_size=4, eval_every=1, precision="bfloat16")
run = RunSpec(task=task, model="cbr_tiny_small", scheme=SchemeSpec(name="random"), train=train)
here = Path(sys.argv[1])
job = Job(run, here, Machine(accelerator="cpu", threads=1), here / "cache", trackers=("tensorboard",))
assert carry_out(job) == "done", Store(here).run(run.id).failure()
"""


@pytest.mark.parametrize(
    "variables",
    [{}, {"SLURM_NTASKS": "4", "SLURM_PROCID": "1", "SLURM_JOB_NAME": "train"}, {"LSB_JOBID": "1"}],
    ids=["srun on the path", "under SLURM", "under LSF"],
)
def test_a_cluster_around_a_run_is_none_of_its_business(tmp_path, variables):
    """Neither Lightning's hint on srun, nor what SLURM's, LSF's and MPI's variables and libraries would change."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "srun").chmod(0o755)
    (tmp_path / "lib" / "mpi4py").mkdir(parents=True)
    (tmp_path / "lib" / "mpi4py" / "__init__.py").write_text("")
    (tmp_path / "lib" / "mpi4py" / "MPI.py").write_text("raise RuntimeError('cannot load MPI library')")
    path = os.pathsep.join([str(tmp_path / "lib"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": path}
    told = subprocess.run(
        [sys.executable, "-c", CLUSTERED, tmp_path], env=environment | variables, capture_output=True, text=True
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    assert list(tmp_path.glob("trackers/tensorboard/*/events*"))
