"""Workers that SLURM starts, with an sbatch and a squeue that only write down what they are asked."""

import os
import threading
import time

import pytest
from click.testing import CliRunner

from transfusion.cli import transfusion
from transfusion.errors import ClusterError, SpecError
from transfusion.runs import fleet, slurm
from transfusion.runs.machine import Machine
from transfusion.runs.plan import Plan
from transfusion.runs.slurm import Slurm, Workers
from transfusion.runs.team import Team
from transfusion.runs.work import work
from transfusion.spec import StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study

ONE_THREAD = Machine(accelerator="cpu", threads=1)
SBATCH = """#!/bin/sh
echo "$*" >> {folder}/calls
if [ -e {folder}/refuse ]; then echo "sbatch: error: invalid partition specified: gpu" >&2; exit 1; fi
touch {folder}/queue
echo "42;box"
"""
SQUEUE = """#!/bin/sh
if [ -e {folder}/down ]; then echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1; fi
if [ -e {folder}/queue ]; then echo RUNNING; exit 0; fi
if [ -e {folder}/forgotten ]; then echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1; fi
"""


@pytest.fixture
def box(tmp_path, monkeypatch):
    """The folder of a SLURM that knows one job, 42, as long as its file ``queue`` is there."""
    folder = tmp_path / "box"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("squeue", SQUEUE)):
        (folder / name).write_text(text.format(folder=folder))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "QUEUE_S", 0.0)
    monkeypatch.setattr("transfusion.runs.status.WATCH_S", 0.02)
    monkeypatch.setattr(fleet, "WATCH_S", 0.02)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def study(folder, cache):
    task = TaskSpec(data="embedded:fundus", image_size=16, num_images=(40, 8, 24))
    train = TrainSpec(steps=4, batch_size=8, eval_every=2, precision="float32")
    spec = StudySpec(task=task, model="cbr_tiny_small", schemes=("random",), seeds=(0, 1), train=train)
    return Study(spec, folder, cache=cache)


def workers(tmp_path, cluster=None):
    return Workers(cluster or Slurm(), tmp_path / "study", [], tmp_path / "cache")


def test_a_study_is_planned_submitted_and_watched_until_workers_have_done_it(tmp_path, cache, box, capsys):
    a_study = study(tmp_path / "study", cache)

    def be_a_worker():
        while not (box / "queue").exists():
            time.sleep(0.02)
        work(Team(a_study.store, ONE_THREAD, cache, workers=0, progress=False, patient=False))

    worker = threading.Thread(target=be_a_worker)
    worker.start()
    outcome = a_study.run(cluster=Slurm(8), machine=ONE_THREAD)
    worker.join()
    assert (outcome.ran, outcome.failed) == (2, {})
    script = tmp_path / "study" / "slurm" / "worker.sh"
    assert (box / "calls").read_text() == f"--parsable {script}\n"
    assert "#SBATCH --array=1-2\n" in script.read_text()  # no more workers than runs
    said = capsys.readouterr().err
    assert "as job 42" in said
    assert "scancel 42" in said
    assert "run 2/2" in said


def test_the_script_says_everything_and_is_good_bash(tmp_path, box):
    cluster = Slurm(
        3, {"partition": "gpu", "time": "4:00:00", "comment": "two words", "exclusive": True}, "module load x"
    )
    mine = workers(tmp_path, cluster)
    mine.submit(9)
    text = mine.script_path.read_text()
    for line in (
        "#SBATCH --array=1-3",
        "#SBATCH --requeue",
        "#SBATCH --partition=gpu",
        "#SBATCH --time=4:00:00",
        '#SBATCH --comment="two words"',
        "#SBATCH --exclusive",
        f"#SBATCH --output={tmp_path}/study/slurm/%A_%a.log",
        "module load x",
        f"export TRANSFUSION_CACHE={tmp_path / 'cache'}",
    ):
        assert line in text.splitlines()
    assert f"-m transfusion work {tmp_path / 'study'} --no-wait &" in text
    assert os.system(f"bash -n {mine.script_path}") == 0
    assert "{" not in text.replace("${", "").replace("() {", "")


@pytest.mark.parametrize(
    ("code", "restarts", "requeued"),
    [("exit 0", 0, False), ("exit 2", 0, False), ("kill -9 $$", 0, True), ("kill -9 $$", 3, False)],
)
def test_a_worker_that_something_killed_is_requeued_but_not_for_ever(tmp_path, box, code, restarts, requeued):
    mine = workers(tmp_path)
    mine.submit(1)
    (box / "scontrol").write_text(f'#!/bin/sh\necho "$*" >> {box}/scontrolled\n')
    (box / "scontrol").chmod(0o755)
    lines = [
        f"bash -c '{code}' &" if "-m transfusion" in line else line for line in mine.script_path.read_text().split("\n")
    ]
    (box / "edited.sh").write_text("\n".join(lines))
    variables = f"SLURM_ARRAY_JOB_ID=42 SLURM_ARRAY_TASK_ID=1 SLURM_RESTART_COUNT={restarts}"
    os.system(f"{variables} bash {box}/edited.sh 2>/dev/null")
    assert (box / "scontrolled").exists() == requeued
    assert not requeued or (box / "scontrolled").read_text() == "requeue 42_1\n"


def test_all_jobs_dead_is_said_with_their_last_words_and_the_same_command_submits_anew(
    tmp_path, cache, box, monkeypatch
):
    a_study = study(tmp_path / "study", cache)
    real = Workers.submit

    def submit_and_die(self, num):
        real(self, num)
        (self.folder / "42_1.log").write_text("Starting\nslurmstepd: error: Detected 1 oom_kill event.\n\n")
        (box / "queue").unlink()

    monkeypatch.setattr(Workers, "submit", submit_and_die)
    with pytest.raises(
        ClusterError, match=r"All jobs of 42 have ended and 2 runs .*Last words: .*oom_kill event\. The same"
    ):
        a_study.run(cluster=Slurm(2), progress=False)
    (box / "forgotten").touch()
    with pytest.raises(ClusterError, match="All jobs"):
        study(tmp_path / "study", cache).run(cluster=Slurm(2), progress=False)
    assert len((box / "calls").read_text().splitlines()) == 2


def test_jobs_that_an_earlier_command_submitted_are_watched_and_not_doubled(tmp_path, box):
    workers(tmp_path).submit(1)
    again = workers(tmp_path)
    assert again.job == "42"
    again.look(1)
    (box / "down").touch()  # no news is no death
    for _ in range(5):
        again.look(1)
    (box / "down").unlink()
    (box / "queue").unlink()
    for _ in range(slurm.PATIENCE):
        again.look(1)
    assert len((box / "calls").read_text().splitlines()) == 2  # they ended before the study: this command's own follow


def test_ctrl_c_stops_watching_alone_and_says_how_to_end_the_job(tmp_path, cache, box, monkeypatch, capsys):
    def interrupt(self, unfinished):
        raise KeyboardInterrupt

    monkeypatch.setattr(Workers, "look", interrupt)
    with pytest.raises(KeyboardInterrupt):
        study(tmp_path / "study", cache).run(cluster=Slurm(2))
    assert (box / "queue").exists()
    assert "Job 42 continues; scancel 42 ends it." in capsys.readouterr().err


def test_what_sbatch_refuses_is_one_line(tmp_path, cache, box):
    (box / "refuse").touch()
    with pytest.raises(
        ClusterError, match=r"sbatch refuses .*worker.sh: sbatch: error: invalid partition specified: gpu"
    ):
        study(tmp_path / "study", cache).run(cluster=Slurm(1, {"partition": "gpu"}), progress=False)


def test_without_slurm_it_is_said_what_to_do(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="sbatch cannot be called here .*transfusion work DIR"):
        study(tmp_path / "study", cache).run(cluster=Slurm(), progress=False)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (["array=1-3"], "--array is set in the worker's script"),
        (["-p=gpu"], "no option of sbatch"),
        (["=4"], "no option of sbatch"),
        (["time=1\n#SBATCH --wrap=x"], "no option of sbatch"),
    ],
)
def test_settings_that_are_none_are_refused(settings, why):
    with pytest.raises(SpecError, match=why):
        Slurm.of(1, settings)


def test_the_command_takes_a_cluster_and_refuses_half_of_one(monkeypatch):
    seen = {}

    def run(self, **options):
        seen.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Study, "run", run)
    monkeypatch.setattr(Study, "plan", lambda self: Plan([]))
    arguments = [
        "study",
        "--cluster",
        "slurm",
        "--jobs",
        "8",
        "--cluster-set",
        "gpus=1",
        "--cluster-set",
        "setup=module load x",
    ]
    stopped = CliRunner().invoke(transfusion, arguments, standalone_mode=False)
    assert stopped.return_value == 130
    assert "Stopped watching" in stopped.output
    assert seen["cluster"] == Slurm(8, {"gpus": "1"}, "module load x")
    half = CliRunner().invoke(transfusion, ["study", "--jobs", "8"], standalone_mode=False)
    assert isinstance(half.exception, SpecError)
    assert "--cluster slurm" in str(half.exception)
