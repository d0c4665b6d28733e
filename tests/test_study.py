import json

import numpy as np
import pytest
from safetensors.torch import load_file

from transfusion.errors import SpecError, StoreError, TaskError, UnknownNameError
from transfusion.runs.frames import similarity
from transfusion.runs.machine import Machine
from transfusion.spec import DonorRunSpec, RepresentationSpec, SchemeSpec, StudySpec, TaskSpec, TrainSpec, schema
from transfusion.study import Study

pytestmark = pytest.mark.training

FUNDUS = TaskSpec(data="embedded:fundus", image_size=16, num_images=(40, 8, 24))
NATURAL = TaskSpec(data="embedded:natural", image_size=16, num_images=(32, 8, 16))
ONE_THREAD = Machine(accelerator="cpu", threads=1)
QUICK = TrainSpec(steps=4, batch_size=8, eval_every=2, precision="float32")


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def study(folder, cache, **values) -> Study:
    spec = {"task": FUNDUS, "model": "cbr_tiny_small", "schemes": ("random",), "seeds": (0,), "train": QUICK, **values}
    return Study(StudySpec(**spec), folder, cache=cache)


def go(a_study):
    return a_study.run(workers=0, progress=False, machine=ONE_THREAD)


def test_a_study_with_its_own_donor_from_start_to_verdict(tmp_path, cache):
    a_study = study(
        tmp_path / "s",
        cache,
        donor=DonorRunSpec(task=NATURAL, train=QUICK),
        schemes=("pretrained", "mean_var", "random"),
        seeds=(0, 1),
    )
    outcome = go(a_study)
    assert (outcome.ran, outcome.kept, outcome.failed) == (7, 0, {})
    frame = a_study.frame()
    assert len(frame) == 6 * 3
    assert list(frame.columns[:12]) == "run start scheme batch_norm upto rest head size seed step loss auc".split()
    assert frame.groupby("scheme")["seed"].nunique().to_dict() == {"pretrained": 2, "mean_var": 2, "random": 2}
    assert "pretrained" in a_study.verdict().to_dict()["schemes"]
    donor = next(iter((tmp_path / "s" / "donors").glob("*.safetensors")))
    before = a_study.store.run(a_study.runs()[0].id).before_path
    donor_weights, start = load_file(donor), load_file(before)
    assert all(np.array_equal(start[name], donor_weights[name]) for name in start if not name.startswith("head"))


def test_the_same_study_again_runs_nothing_and_a_larger_grid_only_what_is_new(tmp_path, cache):
    assert go(study(tmp_path, cache)).ran == 1
    again = go(study(tmp_path, cache))
    assert (again.ran, again.kept) == (0, 1)
    more = go(study(tmp_path, cache, seeds=(0, 1), sizes=(None, 16)))
    assert (more.ran, more.kept) == (3, 1)
    changed = go(study(tmp_path, cache, train=QUICK.with_values(lr=1e-2)))
    assert (changed.ran, changed.kept) == (1, 0)


def test_a_run_asked_for_twice_is_one_run(tmp_path, cache):
    runs = study(tmp_path, cache, seeds=(0,), sizes=(40, None, 1.0)).runs()
    assert len(runs) == 1


def test_sizes_are_nested_counts_and_shares(tmp_path, cache):
    runs = study(tmp_path, cache, sizes=(0.5, 20, 1.0, None)).runs()
    assert [run.size for run in runs] == [20, None]


def test_side_by_side_gives_the_same_curves_as_one_by_one(tmp_path, cache):
    alone, beside = study(tmp_path / "a", cache, seeds=(0, 1)), study(tmp_path / "b", cache, seeds=(0, 1))

    alone.run(workers=0, progress=False, machine=ONE_THREAD)
    beside.run(workers=2, progress=False, machine=ONE_THREAD)
    columns = ["run", "step", "loss", "auc"]
    assert alone.frame()[columns].equals(beside.frame()[columns])


def test_any_executor_of_concurrent_futures_will_do(tmp_path, cache):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as executor:
        outcome = study(tmp_path, cache, seeds=(0, 1)).run(executor, progress=False, machine=ONE_THREAD)
    assert (outcome.ran, outcome.failed) == (2, {})


def test_a_failing_run_is_recorded_and_the_others_go_on(tmp_path, cache, monkeypatch):
    from transfusion.runs import run

    real = run.initial_weights

    def fail_for_seed_0(job, model):
        if job.run.seed == 0:
            raise RuntimeError("a cosmic ray")
        return real(job, model)

    monkeypatch.setattr(run, "initial_weights", fail_for_seed_0)
    a_study = study(tmp_path, cache, seeds=(0, 1))
    outcome = go(a_study)
    assert list(outcome.failed.values()) == ["a cosmic ray"]
    assert set(a_study.frame()["seed"]) == {1}
    failure = json.loads(a_study.store.run(a_study.runs()[0].id).failure_path.read_text())
    assert "fail_for_seed_0" in "\n".join(failure["traceback"])
    monkeypatch.undo()
    mended = go(study(tmp_path, cache, seeds=(0, 1)))
    assert (mended.ran, mended.kept, mended.failed) == (1, 1, {})


def test_a_diverged_run_is_recorded_and_not_tried_again(tmp_path, cache):
    wild = QUICK.with_values(lr=999.0, optimizer="sgd", steps=40, eval_every=10)
    first = go(study(tmp_path, cache, model="squeezenet1_1", task=FUNDUS.with_values(image_size=32), train=wild))
    assert [message.split(".")[0][:8] for message in first.failed.values()] in (["The loss"], ["The netw"])
    again = go(study(tmp_path, cache, model="squeezenet1_1", task=FUNDUS.with_values(image_size=32), train=wild))
    assert (again.ran, len(again.failed)) == (0, 1)


def test_without_its_own_donor_a_study_runs_what_needs_none(tmp_path, cache):
    wild = QUICK.with_values(lr=999.0, optimizer="sgd", steps=40, eval_every=10)
    donor = DonorRunSpec(task=NATURAL.with_values(image_size=32), train=wild)
    a_study = study(
        tmp_path,
        cache,
        model="squeezenet1_1",
        task=FUNDUS.with_values(image_size=32),
        donor=donor,
        schemes=("mean_var", "random"),
    )
    outcome = go(a_study)
    assert list(outcome.failed) == [a_study.plan().donor_run.id]
    assert outcome.ran == 1 + 1
    assert set(a_study.frame()["scheme"]) == {"random"}


@pytest.mark.parametrize(("lr", "told"), [(1e-3, False), (1.0, True)])
def test_the_scale_of_a_donor_that_the_study_trains_is_told_once(lr, told, tmp_path, cache):
    donor = DonorRunSpec(task=NATURAL, train=QUICK.with_values(lr=lr))
    a_study = study(tmp_path, cache, donor=donor, schemes=("mean_var", "random"))
    for _ in range(2):
        go(a_study)
        assert sum("He's scale" in note for note in a_study.store.card()["notes"]) == told


def test_studies_side_by_side_train_their_donor_once(tmp_path, cache):
    donor = DonorRunSpec(task=NATURAL, train=QUICK)
    first = study(tmp_path / "first", cache, donor=donor, schemes=("pretrained", "random"))
    assert (go(first).ran, go(study(tmp_path / "first", cache, donor=donor, schemes=("pretrained",))).ran) == (3, 0)
    second = study(tmp_path / "second", cache, task=NATURAL, donor=donor, schemes=("pretrained", "random"))
    outcome = go(second)
    assert (outcome.ran, outcome.kept, outcome.failed) == (2, 1, {})
    mine, theirs = (each.store.run(first.plan().donor_run.id) for each in (second, first))
    assert (mine.state, mine.damage()) == ("done", [])
    assert mine.after_path.read_bytes() == theirs.after_path.read_bytes()


def test_a_damaged_donor_of_a_study_beside_is_trained_anew(tmp_path, cache):
    donor = DonorRunSpec(task=NATURAL, train=QUICK)
    first = study(tmp_path / "first", cache, donor=donor, schemes=("pretrained",))
    go(first)
    weights = first.store.run(first.plan().donor_run.id).after_path
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert go(study(tmp_path / "second", cache, donor=donor, schemes=("pretrained",))).ran == 2


def test_a_run_of_one_study_is_the_donor_of_another(tmp_path, cache):
    first = study(tmp_path / "first", cache, task=NATURAL)
    go(first)
    donor = first.runs()[0].id
    second = study(tmp_path / "second", cache, donor=f"run:{donor[:8]}", schemes=("pretrained", "shuffled"))
    assert go(second).failed == {}
    provenance = second.store.run(second.runs()[0].id).provenance_path.read_text()
    assert "block1.0.weight,block1,pretrained" in provenance


def test_data_that_change_under_a_study_are_noticed(tmp_path, cache):
    a_study = study(tmp_path, cache)
    other = a_study.spec.task.with_values(fingerprint="0" * 12)
    with pytest.raises(TaskError, match="is not what this spec was made for"):
        study(tmp_path, cache, task=other).runs()


def test_load_takes_a_folder_a_file_or_a_recipe(tmp_path, cache):
    a_study = study(tmp_path / "s", cache)
    go(a_study)
    assert Study.load(tmp_path / "s").spec == a_study.spec
    assert Study.load(tmp_path / "s").frame().equals(a_study.frame())
    (tmp_path / "x.yaml").write_text("model: cbr_tiny_small\ntrain: {steps: 3}\n")
    assert Study.load(tmp_path / "x.yaml").spec.train.steps == 3
    assert Study.load("near").spec.name == "near"
    with pytest.raises(UnknownNameError, match="no recipe 'naer'. Did you mean 'near'"):
        Study.load("naer")
    with pytest.raises(StoreError, match="no file or folder gone/x.yaml"):
        Study.load("gone/x.yaml")


def test_a_full_scheme_may_stand_among_the_names(tmp_path, cache):
    donor = DonorRunSpec(task=NATURAL, train=QUICK)
    odd = SchemeSpec(name="random", batch_norm="mean_var")
    runs = study(tmp_path, cache, donor=donor, schemes=(odd, "random")).runs()
    assert [run.donor is None for run in runs] == [False, True]


def test_a_study_whose_ids_were_hashed_otherwise_is_reported_by_its_folder_names(tmp_path, cache, monkeypatch):
    a_study = study(tmp_path, cache, seeds=(0, 1), representations=RepresentationSpec(images=8))
    go(a_study)
    ids = [files.id for files in a_study.store.grid()]
    before = a_study.frame(), similarity(a_study.store)
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    later = Study.load(tmp_path)
    assert later.store.grid()[0].spec().id not in ids
    assert later.frame().equals(before[0])
    assert len(before[1])
    assert similarity(later.store).equals(before[1])
    assert later.report().exists()


class Verdict:
    def __init__(self, is_decided):
        self.is_decided = is_decided


def test_seeds_are_added_until_it_is_decided(tmp_path, cache, monkeypatch):
    seen = []

    def verdict(self):
        seen.append(len(self.spec.seeds))
        return Verdict(len(self.spec.seeds) >= 3)

    monkeypatch.setattr(Study, "verdict", verdict)
    a_study = study(tmp_path, cache, until="decided", seeds=(4,))
    outcome = go(a_study)
    assert seen == [1, 2, 3]
    assert (outcome.ran, outcome.kept, outcome.failed) == (3, 0, {})
    assert Study.load(tmp_path).spec.seeds == (4, 5, 6)
    again = go(Study.load(tmp_path))
    assert (again.ran, again.kept) == (0, 3)


def test_seeds_are_added_as_long_as_there_may_be_more_and_time(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(Study, "verdict", lambda _: Verdict(False))
    assert go(study(tmp_path / "most", cache, until="decided", max_seeds=3, seeds=(0, 1))).ran == 3
    late = study(tmp_path / "late", cache, until="decided", max_seeds=3)
    assert late.run(workers=0, progress=False, machine=ONE_THREAD, budget_s=0).ran == 1
    assert go(study(tmp_path / "fixed", cache)).ran == 1


def test_a_plan_of_looks_asks_for_more_than_one_look_would(tmp_path, cache):
    a_study = study(tmp_path, cache, schemes=("random", "kaiming"), seeds=(0, 1, 2))
    go(a_study)
    once = a_study.verdict()
    Study(a_study.spec.with_values(until="decided"), tmp_path, cache=cache).store.begin(
        a_study.spec.with_values(until="decided"), a_study.runs(), None, a_study.store.card()
    )
    often = Study.load(tmp_path).verdict()
    assert often.looks.last == 20
    assert often.main.equivalence_level == often.looks.level(3) < once.main.equivalence_level
    wide, narrow = often.main.claim("final_difference"), once.main.claim("final_difference")
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("place", ["", "studies/mine"])
def test_a_study_is_never_kept_among_its_own_data(tmp_path, place):
    """Its figures would be pictures of the data at the next command."""
    data = tmp_path / "data"
    data.mkdir()
    inside = Study(StudySpec(task=TaskSpec(data=str(data)), model="cbr_tiny_small"), data / place)
    with pytest.raises(SpecError, match="among the data.*--out"):
        inside.plan()
    assert not list(data.iterdir())
