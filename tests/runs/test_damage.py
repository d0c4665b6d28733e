"""Whatever file of a run or a study is damaged: it is found, named, and made again with the same bits."""

import contextlib
import json
import shutil

import pytest
import torch

from transfusion.errors import StoreError, TransfusionError
from transfusion.runs import comparisons
from transfusion.runs.checkpoints import Checkpoints
from transfusion.runs.curve import Curve
from transfusion.runs.machine import Machine
from transfusion.runs.run import Job, carry_out
from transfusion.runs.store import Store, read_tensors, write_tensors
from transfusion.spec import RepresentationSpec, RunSpec, SchemeSpec, StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study

pytestmark = pytest.mark.training

TASK = TaskSpec(data="embedded:fundus", image_size=16, num_images=(16, 12, 12))
TRAIN = TrainSpec(steps=6, batch_size=4, eval_every=2, precision="float32")
CPU = Machine(accelerator="cpu", threads=1, checkpoint_s=0.0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES = {
    "flipped bit": flipped,
    "cut tail": lambda content: content[: len(content) * 2 // 3],
    "zeroed block": lambda content: content[:10] + bytes(max(0, len(content) // 2 - 10)) + content[len(content) // 2 :],
    "empty": lambda content: b"",
}


def timeless(files):
    return [{key: value for key, value in row.items() if key != "time_s"} for row in files.curve()]


def outcome_of(files):
    weights = {path.name: path.read_bytes() for path in files.folder.rglob("*.safetensors")}
    return timeless(files), weights, files.provenance_path.read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache):
    """A finished study of one run, with snapshots and comparisons, and what must come out of every repair."""
    folder = tmp_path_factory.mktemp("finished") / "study"
    study = the_study(folder, cache)
    study.run(workers=0, progress=False, machine=CPU)
    return folder, outcome_of(study.store.grid()[0])


def the_study(folder, cache):
    spec = StudySpec(
        task=TASK,
        model="cbr_tiny_small",
        schemes=("random",),
        seeds=(0,),
        train=TRAIN,
        representations=RepresentationSpec(images=6, positions=2, measures=("cca",)),
    )
    return Study(spec, folder, cache=cache)


KEPT = (
    "study.json",
    "grid.json",
    "data.json",
    "spec.json",
    "machine.json",
    "provenance.csv",
    "before.safetensors",
    "curve.jsonl",
    "00000003.safetensors",
    "predictions.safetensors",
    "picked.safetensors",
    "picked_weights.safetensors",
    "after.safetensors",
    "result.json",
    "grid-*.csv",
    "activations-*.safetensors",
)


@pytest.mark.parametrize(
    "how", [pytest.param(how, marks=[] if how == "flipped bit" else pytest.mark.torture) for how in DAMAGES]
)
@pytest.mark.parametrize("name", KEPT)
def test_a_damaged_file_of_a_finished_study_is_made_again_with_the_same_bits(finished, cache, tmp_path, name, how):
    folder, expected = finished
    shutil.copytree(folder, tmp_path / "study")
    path = next((tmp_path / "study").rglob(name))
    whole = path.read_bytes()
    path.write_bytes(DAMAGES[how](whole))
    assert path.read_bytes() != whole
    again = the_study(tmp_path / "study", cache)
    result = again.run(workers=0, progress=False, machine=CPU)
    assert (result.failed, result.unseen) == ({}, [])
    files = again.store.grid()[0]
    assert outcome_of(files) == expected
    assert (again.store.spec(), files.spec().label) == (again.spec, "random, seed 0")
    assert files.damage() == comparisons.missing(again.store) == []
    if path.suffix != ".json" and "-" not in name:
        assert result.repaired[files.id] == [path.relative_to(files.folder).as_posix()]


@pytest.mark.torture  # a page takes long
@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", KEPT)
def test_a_report_of_a_damaged_study_names_the_file_or_does_without_it(finished, tmp_path, name, how):
    shutil.copytree(finished[0], tmp_path / "study")
    path = next((tmp_path / "study").rglob(name))
    path.write_bytes(DAMAGES[how](path.read_bytes()))
    said = page_or_refusal(tmp_path / "study")
    assert "Remove the folder" not in said
    assert said.startswith("<!") or ("gain" in said and str(path) in said)


def page_or_refusal(folder):
    try:
        return Study.load(folder).report().read_text()
    except TransfusionError as error:
        return str(error)


def job(folder, cache):
    run = RunSpec(task=TASK, model="cbr_tiny_small", scheme=SchemeSpec(name="random"), train=TRAIN)
    return Job(run, folder, CPU, cache, snapshots=True)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, cache):
    """A run that was stopped in the middle, with two checkpoints, and what it would have come to."""
    from transfusion.runs import train

    folder = tmp_path_factory.mktemp("stopped")
    whole = job(folder / "whole", cache)
    assert carry_out(whole) == "done"
    torn = job(folder / "torn", cache)
    real = train.Trainer.train_step

    def stop(self):
        if self.step == 4:
            raise KeyboardInterrupt
        real(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.Trainer, "train_step", stop)
        with pytest.raises(KeyboardInterrupt):
            carry_out(torn)
    assert {"checkpoint.pt", "checkpoint.previous.pt"} <= {path.name for path in torn.files.folder.iterdir()}
    return torn.folder, outcome_of(whole.files)


UNFINISHED = (
    "spec.json",
    "machine.json",
    "provenance.csv",
    "before.safetensors",
    "curve.jsonl",
    "00000001.safetensors",
    "picked.safetensors",
    "picked_weights.safetensors",
)


@pytest.mark.parametrize(
    "how", [pytest.param(how, marks=[] if how == "zeroed block" else pytest.mark.torture) for how in DAMAGES]
)
@pytest.mark.parametrize("name", [*UNFINISHED, "checkpoint.pt", "checkpoint.previous.pt", "checkpoint*.pt"])
def test_a_run_resumes_to_the_same_bits_whatever_is_damaged(stopped, cache, tmp_path, name, how):
    shutil.copytree(stopped[0], tmp_path / "torn")
    for path in (tmp_path / "torn").rglob(name):
        path.write_bytes(DAMAGES[how](path.read_bytes()))
    work = job(tmp_path / "torn", cache)
    assert carry_out(work) == "done", work.files.failure()
    assert outcome_of(work.files) == stopped[1]
    assert work.files.damage() == []


@pytest.mark.parametrize("name", ["machine.json", "curve.jsonl", "checkpoint.pt", "before.safetensors"])
def test_a_run_resumes_to_the_same_bits_whatever_is_missing(stopped, cache, tmp_path, name):
    shutil.copytree(stopped[0], tmp_path / "torn")
    next((tmp_path / "torn").rglob(name)).unlink()
    work = job(tmp_path / "torn", cache)
    assert carry_out(work) == "done", work.files.failure()
    assert outcome_of(work.files) == stopped[1]


def test_a_bad_checkpoint_costs_the_steps_since_the_one_before(tmp_path):
    kept = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        kept.save({"step": step}, num_rows=step, machine={"threads": 1})
    assert kept.load(num_rows=3, last_step=9)["state"]["step"] == 3
    assert kept.load(num_rows=2, last_step=9)["state"]["step"] == 2  # the curve lost a row
    assert kept.load(num_rows=3, last_step=2)["state"]["step"] == 2  # a step beyond the end
    kept.latest.write_bytes(flipped(kept.latest.read_bytes()))
    assert kept.load(num_rows=3, last_step=9)["state"]["step"] == 2
    kept.previous.write_bytes(b"")
    assert kept.load(num_rows=3, last_step=9) is None


ROWS = [{"step": step, "auc": 0.5 + step / 100, "loss": 0.7} for step in range(0, 50, 10)]


@pytest.fixture
def curve(tmp_path):
    curve = Curve(tmp_path / "curve.jsonl")
    for row in ROWS:
        curve.append(row)
    return curve


def test_every_flipped_bit_of_a_curve_is_noticed(curve):
    content = curve.path.read_bytes()
    for place in range(len(content)):
        curve.path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        rows, damage = curve.whole()
        assert rows == ROWS[: len(rows)]
        assert (
            damage or len(rows) == len(ROWS) - (place == len(content) - 1) or b'"check"' not in curve.path.read_bytes()
        )


@pytest.mark.parametrize("lost", [0, 2, 3])
def test_a_hole_in_a_curve_is_noticed_and_what_is_before_it_kept(curve, lost):
    lines = curve.path.read_text().splitlines(keepends=True)
    curve.path.write_text("".join(lines[:lost] + lines[lost + 1 :]))
    with pytest.raises(StoreError, match=f"damaged .line {lost + 1}.*repairs the run"):
        curve.rows()
    assert curve.whole()[0] == ROWS[:lost]


def test_every_flipped_bit_of_a_tensor_is_noticed(tmp_path):
    path = tmp_path / "w.safetensors"
    write_tensors(path, {"w": torch.arange(6.0)})
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with contextlib.suppress(StoreError):
            assert torch.equal(read_tensors(path)["w"], torch.arange(6.0))


def test_a_record_that_was_edited_says_how_to_keep_the_edit(tmp_path, cache, finished):
    shutil.copytree(finished[0], tmp_path / "study")
    path = tmp_path / "study" / "data.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps({**card, "layout": "mine"}))
    with pytest.raises(StoreError, match="edited .then remove its line 'checksum'.*repeats no finished run"):
        Store(tmp_path / "study").card()
    del card["checksum"]
    path.write_text(json.dumps({**card, "layout": "mine"}))
    assert Store(tmp_path / "study").card()["layout"] == "mine"
