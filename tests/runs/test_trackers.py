import csv
import importlib.util
import subprocess
import sys

import pytest
from lightning_fabric.loggers.csv_logs import CSVLogger

from transfusion.errors import SpecError, UnknownNameError
from transfusion.runs import trackers
from transfusion.runs.machine import Machine
from transfusion.runs.run import Job, carry_out
from transfusion.runs.store import Store
from transfusion.runs.trackers import check, following
from transfusion.spec import RunSpec, SchemeSpec, TaskSpec, TrainSpec

pytestmark = pytest.mark.training

RUN = RunSpec(
    task=TaskSpec(data="embedded:fundus", image_size=32, num_images=(24, 4, 13)),
    model="cbr_tiny_small",
    scheme=SchemeSpec(name="random"),
    train=TrainSpec(steps=4, batch_size=8, eval_every=2, precision="float32"),
)
ROWS = [{"step": step, "auc": 0.5 + step / 100, "train_loss": None if step == 0 else 1.0} for step in (0, 2, 4)]

needs = {
    name: pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not installed")
    for name, package in {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}.items()
}


def begun(folder):
    store = Store(folder / "retina")
    store.run(RUN.id).begin(RUN, {})
    return store


def go_on(store, names, rows):
    """Evaluate at some steps, as a run does: the curve on disk first, then the trackers."""
    with following(names, store, RUN) as tell:
        store.run(RUN.id).rewind(rows[0]["step"] - 1)
        for row in rows:
            store.run(RUN.id).append(row)
            tell(row)


def csv_rows(store):
    (path,) = store.trackers_path.glob("csv/*/metrics.csv")
    return list(csv.DictReader(path.read_text().splitlines()))


def scalars(store, tag="auc"):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = store.trackers_path.glob("tensorboard/*")
    found = EventAccumulator(str(folder))
    found.Reload()
    return [(event.step, pytest.approx(event.value)) for event in found.Scalars(tag)]


def test_csv_holds_the_curve_and_nothing_else(tmp_path):
    store = begun(tmp_path)
    go_on(store, ["csv"], ROWS)
    rows = csv_rows(store)
    assert [(int(row["step"]), float(row["auc"])) for row in rows] == [(row["step"], row["auc"]) for row in ROWS]
    assert [row["train_loss"] for row in rows] == ["", "1.0", "1.0"]
    assert [path.name for path in store.trackers_path.iterdir()] == ["csv"]


@needs["tensorboard"]
def test_tensorboard_holds_the_curve(tmp_path):
    store = begun(tmp_path)
    go_on(store, ["tensorboard"], ROWS)
    assert scalars(store) == [(row["step"], row["auc"]) for row in ROWS]
    assert len(scalars(store, "train_loss")) == 2


@needs["tensorboard"]
def test_a_resumed_run_tells_nothing_twice(tmp_path):
    store, names = begun(tmp_path), ["csv", "tensorboard"]
    go_on(store, names, ROWS[:2])
    go_on(store, names, ROWS[1:])  # the checkpoint was older than the last evaluation
    assert [int(row["step"]) for row in csv_rows(store)] == [0, 2, 4]
    assert [step for step, _ in scalars(store)] == [0, 2, 4]


def test_a_tracker_that_is_asked_for_later_gets_the_whole_curve(tmp_path):
    store = begun(tmp_path)
    go_on(store, [], ROWS[:2])
    assert not store.trackers_path.exists()
    go_on(store, ["csv"], ROWS[2:])
    assert [int(row["step"]) for row in csv_rows(store)] == [0, 2, 4]


def test_a_whole_run_is_followed_and_keeps_its_id(tmp_path):
    ids = []
    for names in ((), ("csv",)):
        job = Job(
            RUN, tmp_path / str(len(names)), Machine(accelerator="cpu", threads=1), tmp_path / "cache", False, names
        )
        assert carry_out(job) == "done"
        ids.append(job.run.id)
    curve = Store(job.folder).run(RUN.id).curve()
    assert [int(row["step"]) for row in csv_rows(Store(job.folder))] == [row["step"] for row in curve] == [0, 2, 4]
    assert ids[0] == ids[1]
    assert not Store(tmp_path / "0").trackers_path.exists()


def test_an_error_of_a_tracker_is_an_error_of_the_run(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("the service is down")

    monkeypatch.setattr(CSVLogger, "log_metrics", fail)
    job = Job(RUN, tmp_path / "s", Machine(accelerator="cpu", threads=1), tmp_path / "cache", False, ("csv",))
    assert carry_out(job) == "failed"
    failure = Store(job.folder).run(RUN.id).failure()
    assert (failure["error"], failure["retry"]) == ("the service is down", True)


def test_unknown_trackers_list_the_known_ones():
    with pytest.raises(UnknownNameError, match="no tracker 'tensorbord'. Did you mean 'tensorboard'"):
        check(["csv", "tensorbord"])


def test_a_missing_package_is_named_before_anything_is_trained(tmp_path, monkeypatch):
    from transfusion.study import Study

    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(SpecError, match="wandb needs wandb and pytorch-lightning: pip install wandb pytorch-lightning"):
        Study.load("near", tmp_path / "s").run(trackers=["csv", "wandb"])
    assert not (tmp_path / "s").exists()
    check(["csv"])


def test_the_command_line_says_what_to_install_and_exits_with_2(tmp_path):
    hide = "import sys; sys.modules.update(wandb=None); sys.argv = ['transfusion', *sys.argv[1:]];"
    go = [sys.executable, "-c", f"{hide} from transfusion.cli import main; main()", "study", "--trackers", "mlflov"]
    done = subprocess.run([*go, "--out", str(tmp_path / "s")], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("transfusion: There is no tracker 'mlflov'. Did you mean 'mlflow'?")
    assert not (tmp_path / "s").exists()


@needs["wandb"]
def test_wandb_offline_follows_a_run_once(tmp_path, monkeypatch):
    import wandb

    told, log = [], wandb.Run.log

    def spy(run, values, *rest, **named):
        told.append((run.id, values["trainer/global_step"], values["auc"]))
        return log(run, values, *rest, **named)

    monkeypatch.setattr(wandb.Run, "log", spy)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    store = begun(tmp_path)
    go_on(store, ["wandb"], ROWS[:2])
    go_on(store, ["wandb"], ROWS[1:])
    assert told == [(RUN.id, row["step"], row["auc"]) for row in ROWS]
    assert wandb.run is None
    files = list(store.trackers_path.glob(f"wandb/offline-run-*-{RUN.id}/*.wandb"))
    assert len(files) == 2
    assert all(path.stat().st_size > 0 for path in files)


@needs["mlflow"]
@pytest.mark.filterwarnings("ignore:::mlflow", "ignore:::sqlalchemy", "ignore:::alembic")
def test_mlflow_follows_a_run_once(tmp_path, monkeypatch):
    import mlflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = begun(tmp_path)
    go_on(store, ["mlflow"], ROWS[:2])
    go_on(store, ["mlflow"], ROWS[1:])
    client = mlflow.MlflowClient(f"sqlite:///{store.trackers_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("retina").experiment_id])
    assert [metric.step for metric in client.get_metric_history(run.info.run_id, "auc")] == [0, 2, 4]
    assert run.info.run_name == "random, seed 0"
    assert run.data.params["model"] == "cbr_tiny_small"
    assert run.info.status == "FINISHED"
