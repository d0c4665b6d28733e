"""What is said of lost runs, picked evaluations, classes and pairs; and how every sentence must be."""

import numpy as np
import pytest
from judged import SPEEDUPS
from planted import Planted
from planted_verdicts import overfitted, quiet

from transfusion.errors import UnknownNameError
from transfusion.metrics import Metric
from transfusion.verdict import conclude

QUIET = quiet()


def collapsed(frame, *runs):
    """The same curves with networks that give the same outputs to all images."""
    dead = frame["run"].isin(runs)
    return frame.assign(auc=frame["auc"].mask(dead, 0.5), collapsed=dead.astype(float))


@pytest.fixture(scope="module")
def equal():
    frame = QUIET.frame(0)
    assert conclude(frame).main.is_equivalent
    return frame


def test_a_collapsed_run_comes_first_and_enters_no_mean(equal):
    verdict = conclude(collapsed(equal, "pretrained-1"))
    assert (verdict.statements[0].topic, verdict.statements[0].start) == ("runs", "pretrained")
    assert verdict.tallies["pretrained"].collapsed == 1
    assert verdict.levels["pretrained"].n == 4
    assert verdict.levels["pretrained"].mean > 0.88


def test_a_lost_run_never_gives_equivalence(equal):
    assert conclude(equal).advice.outcome in ("either", "either, pace unknown", "saves time", "slower")
    verdict = conclude(collapsed(equal, "pretrained-1"))
    assert not verdict.main.is_equivalent
    assert verdict.advice.outcome in ("undecided", "probably saves time")


def test_trainings_that_were_all_lost_are_no_first_look(equal):
    every = conclude(collapsed(equal, *(f"pretrained-{number}" for number in range(5))))
    assert (every.advice.outcome, every.tallies["pretrained"].lost) == ("undecided", 5)
    two = equal[equal["seed"] < 2]
    assert conclude(two).advice.outcome == "first look"
    assert conclude(collapsed(two, "pretrained-1")).advice.outcome == "first look"


def test_a_lost_run_of_the_baseline_moves_no_threshold(equal):
    rise = conclude(equal[equal["run"] != "random-2"]).rise
    assert conclude(collapsed(equal, "random-2")).rise == rise
    cut = equal[(equal["run"] != "random-2") | (equal["step"] <= 30)]
    assert conclude(cut).rise == rise


def test_runs_without_a_curve_are_counted(equal):
    known = equal[["run", "scheme", "seed"]].drop_duplicates("run").rename(columns={"scheme": "start"})
    runs = known.assign(state="done")
    runs.loc[runs["run"] == "pretrained-0", "state"] = "failed"
    runs.loc[runs["run"] == "pretrained-1", "state"] = "diverged"
    runs.loc[runs["run"] == "random-4", "state"] = "started"
    left = equal[~equal["run"].isin(["pretrained-0", "pretrained-1", "random-4"])]
    verdict = conclude(left, runs=runs)
    tally = verdict.tallies["pretrained"]
    assert (tally.num_runs, tally.failed, tally.diverged, tally.done) == (5, 1, 1, 3)
    assert [(one.outcome, one.start) for one in verdict.about("runs")] == [("lost", "pretrained"), ("unfinished", None)]
    assert not verdict.main.is_equivalent


def test_what_no_failure_can_hide_is_told():
    text = conclude(QUIET.frame(0)).about("certainty")[0].text
    assert "45 %" in text  # 1 - 0.05 ** (1 / 5)


def test_a_curve_that_falls_from_its_peak_is_told():
    verdict = conclude(overfitted())
    assert [(one.outcome, one.start) for one in verdict.about("overfitting")] == [("falls", "pretrained")]
    assert verdict.falls["pretrained"].step == 90
    assert verdict.advice.outcome == "stop early"
    assert conclude(QUIET.frame(0)).about("overfitting") == []


def test_a_validation_split_picks_the_end_with_the_last_step_beside_it():
    frame = overfitted()
    verdict = conclude(frame.assign(val_auc=frame["auc"]))
    main = verdict.main
    assert main.final_mean == pytest.approx(0.95, abs=0.005)
    assert (main.ends, main.last_difference.high < 0) == ("higher", True)
    assert verdict.advice.outcome == "better"
    assert ("picked", "pretrained") in {(one.outcome, one.start) for one in verdict.about("overfitting")}


def test_an_evaluation_is_picked_by_validation_and_not_by_the_test_images():
    frame = overfitted()
    verdict = conclude(frame.assign(val_auc=np.where(frame["step"] == 30, 1.0, 0.5)))
    assert verdict.main.final_mean == pytest.approx(0.65, abs=0.01)


def with_classes(num_seeds=5):
    frame = Planted(SPEEDUPS, tops={"pretrained": 0.95}, num_seeds=num_seeds, spread=0.02, noise=0.002).frame(0)
    lucky = frame["auc"] - 0.2 * (frame["scheme"] != "pretrained")
    return frame.assign(auc_0=frame["auc"], auc_1=lucky, auc_2=0.5 + 0.001 * frame["seed"])


def test_classes_are_judged_together_and_one_positive_says_nothing():
    classes = {"auc_0": ("edema", 90), "auc_1": ("hernia", 1), "auc_2": ("none", None)}
    verdict = conclude(with_classes(), classes=classes)
    said = {one.name: told for one, told in zip(verdict.classes, verdict.about("class"), strict=True)}
    assert {name: one.outcome for name, one in said.items()} == {
        "edema": "higher", "hernia": "too few", "none": "unknown"
    }  # fmt: skip
    assert said["hernia"].interval is None
    assert "90 positive" in said["edema"].text
    alone = conclude(with_classes(), classes={"auc_0": ("edema", 90)}).classes[0].difference
    together = verdict.classes[0].difference
    assert together.high - together.low > alone.high - alone.low  # adjusted for the family


def test_one_class_can_judge():
    classes = {"auc_0": ("edema", 90), "auc_1": ("hernia", 1), "auc_2": ("none", 3)}
    verdict = conclude(with_classes(), metric="auc:hernia", classes=classes)
    assert verdict.main.final_mean == pytest.approx(0.95, abs=0.02)
    assert verdict.judge.title == "AUC of hernia"


def test_any_two_starts_can_be_compared():
    frame = Planted({**SPEEDUPS, "sampling": 2.0}, tops={}).frame(0)
    usual = {(pair.start.name, pair.against) for pair in conclude(frame).pairs}
    assert usual == {("pretrained", "mean_var"), ("sampling", "mean_var")}
    verdict = conclude(frame, pairs=[("sampling", "pretrained")])
    (pair,) = verdict.pairs
    assert pair.speedup.estimate == pytest.approx(
        verdict.schemes["sampling"].speedup.estimate / verdict.schemes["pretrained"].speedup.estimate, rel=1e-6
    )
    assert pair.final_difference.estimate == pytest.approx(
        verdict.schemes["sampling"].final_difference.estimate - verdict.schemes["pretrained"].final_difference.estimate
    )
    with pytest.raises(UnknownNameError, match="There is no start 'sampled'"):
        conclude(frame, pairs=[("sampled", "random")])


def test_another_start_that_beats_both_is_named():
    frame = Planted(
        {"random": 1.0, "pretrained": 1.0, "kaiming": 1.0}, tops={"kaiming": 0.97}, num_seeds=8, spread=0.03
    ).frame(0)
    assert (conclude(frame).advice.outcome, conclude(frame).advice.start) == ("another", "kaiming")


@pytest.mark.parametrize(
    ("level", "said"), [({"random": 0.5, "pretrained": 0.5}, "nobody learned"), ({"random": 0.9999}, "too easy")]
)
def test_floor_and_ceiling_have_their_line(level, said):
    flat = Planted({"random": 1.0, "pretrained": 1.0}, {"random": 0.5, "pretrained": 0.5}, num_seeds=5, noise=0.004)
    frame = flat.frame(0)
    if said == "too easy":
        frame = frame.assign(auc=1.0)
    verdict = conclude(frame)
    assert verdict.advice.outcome == said
    assert verdict.advice.start is None
    assert verdict.about("next")


def test_only_one_learns():
    frame = Planted({"random": 1.0, "pretrained": 1.0}, tops={"random": 0.5}, num_seeds=5).frame(0)
    assert (conclude(frame).advice.outcome, conclude(frame).advice.start) == ("only it learns", "pretrained")


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_one_or_two_seeds_are_a_first_look(num_seeds):
    verdict = conclude(Planted(SPEEDUPS, tops={"pretrained": 0.97}, num_seeds=num_seeds, spread=0.001).frame(0))
    assert (verdict.advice.outcome, verdict.advice.start) == ("first look", None)


def test_the_margin_is_the_metric_s_own_unless_given():
    frame = QUIET.frame(0)
    assert conclude(frame).margin == 0.01
    assert conclude(frame.assign(auprc=frame["auc"]), metric="auprc").margin == 0.02
    assert conclude(frame, margin=0.05).margin == 0.05
    assert conclude(frame, metric=Metric("auc", "AUC", True, margin=0.1)).margin == 0.1
