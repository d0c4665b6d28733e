import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfusion.errors import SpecError
from transfusion.runs.plan import starts
from transfusion.spec import RepresentationSpec, RunSpec, SchemeSpec, StudySpec, TaskSpec, TrainSpec, schema

RUN = RunSpec(task=TaskSpec(), model="resnet18")


def test_a_run_id_is_stable_across_processes_and_releases():
    assert RUN.id == "c218028c850e"  # if this must change, every finished run of every user is made again
    assert RUN.id == RunSpec.parse(json.loads(RUN.to_json())).id


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"size": 100},
        {"model": "resnet34"},
        {"donor": "file:a.pth"},
        {"scheme": SchemeSpec(name="random").model_dump()},
        {"train": TrainSpec(lr=1e-3).model_dump()},
        {"task": TaskSpec(image_size=32).model_dump()},
    ],
)
def test_any_changed_setting_is_a_new_run(change):
    assert RUN.with_values(**change).id != RUN.id


def test_every_setting_has_an_entry_in_the_schema_and_the_default_it_came_with():
    """A new setting needs an entry with its default; a default that changes must keep the old entry."""
    run = {key: value for key, value in schema.flat(RUN.model_dump(mode="json")) if key not in ("model", "task.data")}
    assert run == {**schema.RUN, "donor": None}
    assert dict(schema.flat(RepresentationSpec().model_dump(mode="json"))) == schema.REPRESENTATIONS


class Later(TrainSpec):
    """The training settings of a later release: one more, and one with another default."""

    ema: float | None = None
    eval_every: int | None = 20


class LaterRun(RunSpec):
    train: Later = Later()


def test_a_new_setting_with_a_default_makes_no_new_runs(monkeypatch):
    monkeypatch.setitem(schema.RUN, "train.ema", None)
    assert LaterRun(task=TaskSpec(), model="resnet18", train=Later(eval_every=None)).id == RUN.id
    assert LaterRun(task=TaskSpec(), model="resnet18", train=Later(eval_every=None, ema=0.9)).id != RUN.id


def test_a_new_default_is_a_new_run_and_the_old_value_is_the_old_run(monkeypatch):
    monkeypatch.setitem(schema.RUN, "train.ema", None)
    assert LaterRun(task=TaskSpec(), model="resnet18").id != RUN.id
    earlier = LaterRun.parse(json.loads(RUN.to_json()))
    assert earlier.train.ema is None
    assert earlier.id == RUN.id


def test_a_setting_without_an_entry_is_always_part_of_the_id():
    assert LaterRun(task=TaskSpec(), model="resnet18", train=Later(eval_every=None)).id != RUN.id


@pytest.mark.parametrize("name", ["", ".", "..", "../..", "/tmp/x", "a/b", "a\\b", "a\0b"])
def test_a_study_cannot_be_named_out_of_its_folder(name):
    with pytest.raises(SpecError, match="name"):
        StudySpec.parse({"name": name})


def test_moving_data_or_donor_is_not_a_new_run_once_their_content_is_known():
    here = RunSpec(task=TaskSpec(data="a", fingerprint="f"), model="m", donor="file:a", donor_fingerprint="d")
    there = RunSpec(task=TaskSpec(data="b", fingerprint="f"), model="m", donor="file:b", donor_fingerprint="d")
    other = there.with_values(donor_fingerprint="e")
    assert here.id == there.id != other.id


@given(
    lr=st.floats(1e-8, 100),
    steps=st.integers(1, 10**9),
    seeds=st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=4, unique=True),
    sizes=st.lists(st.none() | st.integers(1, 10**6) | st.floats(0.01, 1.0), min_size=1, max_size=3),
)
def test_a_study_spec_survives_json_and_yaml(tmp_path_factory, lr, steps, seeds, sizes):
    spec = StudySpec(train=TrainSpec(lr=lr, steps=steps), seeds=tuple(seeds), sizes=tuple(sizes))
    path = tmp_path_factory.mktemp("spec") / "study.json"
    path.write_text(spec.to_json())
    assert StudySpec.read(path) == spec


def test_the_grid_lists_each_distinct_start_once():
    spec = StudySpec(
        schemes=("pretrained", "mean_var", "random"),
        batch_norms=("identity", "pretrained"),
        upto=(None, "layer1"),
        rest=("random", "mean_var"),
    )
    assert [(s.name, s.batch_norm, s.upto, s.rest) for s in starts(spec)] == [
        ("pretrained", "pretrained", None, "random"),
        ("pretrained", "identity", "layer1", "random"),
        ("pretrained", "identity", "layer1", "mean_var"),
        ("mean_var", "identity", None, "random"),
        ("mean_var", "pretrained", None, "random"),
        ("random", "identity", None, "random"),
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stepz": 3}, "there is no setting 'stepz'"),
        ({"train": {"lr": 0}}, r"train.lr: input should be greater than 0 \(got 0\)"),
        ({"train": {"steps": "many"}}, "train.steps: .*valid integer"),
        ({"sizes": [1.5]}, "a size of 1.5 is neither a count"),
        ({"schemes": []}, "schemes: .*at least 1"),
        ({"train": {"optimizer": "adagrad"}}, "train.optimizer: .*'adam', 'adamw' or 'sgd'"),
    ],
)
def test_a_bad_setting_is_named_in_one_line(values, message):
    with pytest.raises(SpecError, match=message) as caught:
        StudySpec.parse(values)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_spec_is_refused(tmp_path):
    path = tmp_path / "study.yaml"
    with pytest.raises(SpecError, match="Cannot read"):
        StudySpec.read(path)
    path.write_text("train: [1")
    with pytest.raises(SpecError, match="not valid YAML"):
        StudySpec.read(path)
    path.write_text("just words")
    with pytest.raises(SpecError, match="it needs keys such as"):
        StudySpec.read(path)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"scheme": SchemeSpec(name="random")}, "random, seed 0"),
        ({"scheme": SchemeSpec(name="pretrained", batch_norm="pretrained")}, "pretrained, seed 0"),
        ({"scheme": SchemeSpec(name="random", head="random")}, "random head=random, seed 0"),
        ({"scheme": SchemeSpec(upto="layer1", rest="mean_var")}, "pretrained upto layer1 rest mean_var, seed 0"),
        (
            {"scheme": SchemeSpec(name="mean_var", batch_norm="mean_var"), "size": 9},
            "mean_var bn=mean_var, 9 images, seed 0",
        ),
    ],
)
def test_runs_are_named_by_start_and_seed(changes, name):
    assert RunSpec(task=TaskSpec(), model="resnet18", **changes).label == name


def test_epochs_are_those_of_the_runs_own_size():
    train = TrainSpec(epochs=10, eval_epochs=0.5, batch_size=50, schedule="step", milestones=(5, 0.75))
    runs = [train.of_size(num) for num in (1000, 100)]
    assert [(run.steps, run.eval_every, run.milestones) for run in runs] == [
        (200, 10, (0.5, 0.75)),
        (20, 1, (0.5, 0.75)),
    ]
    assert all(run.epochs is None for run in runs)
    assert TrainSpec(steps=7).of_size(1000) == TrainSpec(steps=7)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"milestones": [60]}, "a milestone of 60 is not within the whole run, which is 1 without train.epochs"),
        ({"epochs": 50, "milestones": [60]}, "a milestone of 60 is not within 50 epochs"),
        ({"eval_epochs": 1}, "eval_epochs needs train.epochs"),
    ],
)
def test_epochs_that_do_not_fit_are_refused(values, message):
    with pytest.raises(SpecError, match=message):
        TrainSpec.parse(values)


@pytest.mark.parametrize("steps", [1, 2, 3, 19, 60, 100, 1000, 4999])
def test_evaluations_are_dense_at_first_and_even_later(steps):
    found = np.array(TrainSpec(steps=steps).evaluations)
    gaps = np.diff(found)
    assert (found[0], found[-1]) == (0, steps)
    assert (gaps > 0).all()
    assert gaps.max() <= max(2, 1.5 * steps / 20 + 1)
    assert len(found) <= 40
    early = (found[1:-1] >= 8) & (found[1:-1] >= steps / 200) & (found[1:-1] <= steps / 5)
    assert (gaps[1:][early] <= 0.3 * found[1:-1][early] + 1).all()


def test_evaluations_are_even_where_asked_for_and_part_of_the_id():
    assert TrainSpec(steps=7, eval_every=3).evaluations == (0, 3, 6, 7)
    assert TrainSpec(steps=6, eval_every=3).evaluations == (0, 3, 6)
    run = RunSpec(task=TaskSpec(), model="resnet18")
    assert run.id != run.with_values(train={"eval_every": 50}).id


def test_a_seed_is_one_training_and_given_once():
    with pytest.raises(SpecError, match="a seed occurs twice"):
        StudySpec.parse({"seeds": [3, 5, 3]})
