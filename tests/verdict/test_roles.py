"""Which start plays which role: baselines, heads, batch-norm modes, data sizes, metrics."""

import pandas as pd
import pytest
from judged import SPEEDUPS, STUDY
from planted import Planted

from transfusion.errors import InputError, UnknownNameError
from transfusion.metrics import Metric
from transfusion.verdict import conclude


def test_batch_norm_modes_are_named_and_ranked():
    study = Planted({"random": 1.0, "mean_var": 2.0, "good": 4.0, "bad": 0.7}, tops={}, noise=0.002, num_seeds=5)
    frame = study.frame(0)
    modes = {"good": "pretrained", "bad": "mean_var"}
    frame["batch_norm"] = frame["scheme"].map(modes).fillna("identity")
    frame["scheme"] = frame["scheme"].replace(dict.fromkeys(modes, "mean_var"))
    verdict = conclude(frame)
    assert {"mean_var", "mean_var bn=pretrained", "mean_var bn=mean_var"} == set(verdict.schemes)
    best, worst, gap = verdict.modes["mean_var"]
    assert (best, worst, gap.low > 0) == ("pretrained", "mean_var", True)
    only = frame[(frame["scheme"] == "random") | (frame["batch_norm"] == "pretrained")]
    assert set(conclude(only).schemes) == {"mean_var bn=pretrained"}


def test_the_gap_is_followed_over_sizes():
    large = Planted(SPEEDUPS, tops={}, num_seeds=5).frame(0)
    small = Planted(SPEEDUPS, tops={"random": 0.7}, num_seeds=5).frame(1).assign(size=100)
    both = pd.concat([large, small.assign(run=small["run"] + "-100")], ignore_index=True)
    verdict = conclude(both.astype({"size": "Int64"}))
    assert list(verdict.by_size) == ["100", "all"]
    assert verdict.size_change.low > 0.1
    assert verdict.schemes["pretrained"] == conclude(large).schemes["pretrained"]
    assert [one.outcome for one in verdict.about("size")] == ["higher", "larger"]
    assert set(verdict.frame()["size"]) == {"100", "all"}


def test_another_metric_and_another_baseline():
    frame = STUDY.frame(0).assign(accuracy=lambda table: table["auc"] - 0.1)
    verdict = conclude(frame, metric="accuracy", baseline="mean_var")
    assert set(verdict.schemes) == {"random", "pretrained"}
    assert verdict.schemes["random"].speedup.estimate < 1
    assert (verdict.metric, verdict.judge.title) == ("accuracy", "accuracy")


def test_an_unknown_metric_is_refused_unless_it_says_what_it_is():
    frame = STUDY.frame(0).assign(f1=lambda table: table["auc"], regret=lambda table: table["auc"])
    with pytest.raises(UnknownNameError, match="There is no metric 'f1'"):
        conclude(frame, metric="f1")
    verdict = conclude(frame, metric=Metric("f1", "F1", higher_is_better=True, margin=0.02))
    assert (verdict.metric, verdict.margin) == ("f1", 0.02)
    with pytest.raises(InputError, match="Higher is not better for 'regret'"):
        conclude(frame, metric=Metric("regret", "regret", higher_is_better=False))


def test_a_baseline_without_runs_is_named_in_one_line():
    planned = pd.DataFrame([{"run": "kaiming-0", "start": "kaiming", "state": "new"}])
    verdict = conclude(STUDY.frame(0), baseline="kaiming", runs=planned)
    assert [one.topic for one in verdict.statements] == ["runs", "decision"]
    assert all(name in str(verdict) for name in ("random", "pretrained", "mean_var", "kaiming"))
    assert verdict.to_dict()["recommendation"]["start"] is None


def test_a_baseline_with_another_head_is_meant_by_its_scheme():
    frame = Planted({"random": 1.0, "pretrained": 4.0}, {}, num_seeds=5, noise=0.002).frame(0).assign(head="kaiming")
    verdict = conclude(frame)
    assert (verdict.baseline, list(verdict.schemes)) == ("random head=kaiming", ["pretrained head=kaiming"])
    assert verdict.schemes["pretrained head=kaiming"].speedup.low > 1


@pytest.mark.parametrize("settings", [{"head": "kaiming"}, {"batch_norm": "mean_var"}], ids=str)
def test_roles_are_told_by_what_a_start_is_and_not_by_its_label(settings):
    """A rule that a whole study follows makes the same statements, of other labels."""
    planted = Planted({"random": 1.0, "pretrained": 4.0, "mean_var": 2.0}, {}, num_seeds=5, noise=0.002).frame(0)
    other = planted.assign(**settings)
    if "batch_norm" in settings:  # a random start of that mode is another one, too
        other.loc[other["scheme"] == "random", "batch_norm"] = "identity"
    usual, found = conclude(planted), conclude(other)
    assert found.scaling_share == usual.scaling_share
    assert found.scaling_share.estimate == pytest.approx(0.5, abs=0.1)
    assert [(one.topic, one.outcome) for one in found.statements] == [
        (one.topic, one.outcome) for one in usual.statements
    ]
    assert [effect.start.scheme for effect in found.pairs] == ["pretrained"]
    assert "se the pretrained weights" in " ".join(found.lines)
    assert set(found.frame()["quantity"]) == set(usual.frame()["quantity"])


def test_starts_of_two_heads_are_each_judged_with_their_own():
    """The share is of starts with the baseline's head; a partial start is set against the whole one of its own."""
    planted = Planted({"random": 1.0, "pretrained": 4.0, "mean_var": 2.0}, {}, num_seeds=5, noise=0.002)
    frame = pd.concat([
        planted.frame(0),
        Planted({"random": 1.0, "pretrained": 4.0, "mean_var": 4.0}, {}, num_seeds=5, noise=0.002)
        .frame(1)
        .assign(head="kaiming", run=lambda table: table["run"].astype(str) + "k"),
    ])  # fmt: skip
    usual, other = conclude(frame), conclude(frame, baseline="random head=kaiming")
    assert (usual.whole, usual.scaling) == ("pretrained", "mean_var")
    assert (other.whole, other.scaling) == ("pretrained head=kaiming", "mean_var head=kaiming")
    assert usual.scaling_share.estimate == pytest.approx(0.5, abs=0.1)
    assert other.scaling_share.estimate == pytest.approx(1, abs=0.1)
    assert usual.modes == {}  # two heads are no two modes of batch norm
