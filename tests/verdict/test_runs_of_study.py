"""The verdict of a study on disk: by its own metric, margin and pairs, with what became of every run."""

import math

import pytest

from transfusion.runs.store import Store
from transfusion.spec import RunSpec, SchemeSpec, StudySpec, TaskSpec, TrainSpec
from transfusion.verdict.stored import conclude_study

CARD = {"images": {"train": 80, "test": 20}, "classes": {"test": {"well": 15, "ill": 5, "dead": 1}}}
LEVELS = {"pretrained": 0.7, "mean_var": 0.6, "random": 0.55}


def study(folder, **settings):
    """Three starts with three seeds, of 40 steps."""
    store, train = Store(folder), TrainSpec(steps=40)
    runs = [
        RunSpec(task=TaskSpec(), model="m", scheme=SchemeSpec(name=name), seed=seed, train=train)
        for name in LEVELS for seed in range(3)
    ]  # fmt: skip
    store.begin(StudySpec(seeds=(0, 1, 2), train=train, **settings), runs, None, CARD)
    for run in runs:
        files = store.run(run.id)
        files.begin(run, {})
        for step in range(0, 41, 5):
            auc = LEVELS[run.scheme.name] + 0.2 * (1 - math.exp(-step / 10)) + 0.004 * run.seed
            classes = {"auc_0": auc, "auc_1": auc, "auc_2": 1 - auc}
            files.append({"step": step, "loss": 1.0, "auc": auc, "accuracy": 1.5 - auc, **classes})
        files.finish({"auc": auc})
    return store


def run_of(store, start, seed):
    return next(files for files in store.grid() if files.spec().label == f"{start}, seed {seed}")


def concluded(store):
    return conclude_study(store, store.card())


def test_the_study_says_what_it_is_judged_by(tmp_path):
    assert concluded(study(tmp_path / "auc")).main.final_difference.estimate == pytest.approx(0.15)
    other = concluded(study(tmp_path / "other", metric="accuracy", margin=0.3, baseline="mean_var"))
    assert (other.metric, other.margin, other.baseline) == ("accuracy", 0.3, "mean_var")
    assert other.main.final_difference.estimate == pytest.approx(-0.1)
    assert other.main.is_equivalent


def test_pairs_and_classes_of_the_study(tmp_path):
    verdict = concluded(study(tmp_path / "pairs", pairs=(("random", "mean_var"),), metric="auc:dead"))
    assert [(pair.start.name, pair.against) for pair in verdict.pairs] == [("random", "mean_var")]
    assert verdict.judge.column == "auc_2"
    assert [(one.name, one.positives) for one in verdict.classes] == [("well", 15), ("ill", 5), ("dead", 1)]
    assert [one.outcome for one in verdict.about("class")][-1] == "too few"


def test_failed_diverged_and_waiting_runs_are_told_apart(tmp_path):
    store = study(tmp_path)
    for seed, retry in ((0, True), (1, False)):
        files = run_of(store, "pretrained", seed)
        files.result_path.unlink()
        files.curve_path.unlink()
        files.fail("out of memory" if retry else "the loss became nan", "", retry=retry)
    waiting = run_of(store, "random", 2)
    waiting.result_path.unlink()
    waiting.rewind(20)
    verdict = concluded(store)
    tally = verdict.tallies["pretrained"]
    assert (tally.failed, tally.diverged, tally.done) == (1, 1, 1)
    assert verdict.tallies["random"].unfinished == 1
    assert [one.topic for one in verdict.statements[:3]] == ["runs", "runs", "decision"]


def test_a_run_that_collapsed_is_told_from_its_curve(tmp_path):
    store = study(tmp_path)
    files = run_of(store, "random", 0)
    rows = [{**row, "auc": 0.5, "collapsed": 1.0} for row in files.curve()]
    files.rewind(-1)
    for row in rows:
        files.append(row)
    verdict = concluded(store)
    assert verdict.tallies["random"].collapsed == 1
    assert verdict.levels["random"].low > 0.7
