"""What the gain is made of: scale and features, partial starts; and what a margin is for."""

import numpy as np
import pandas as pd
import pytest
from judged import SPEEDUPS, STUDY, band, covers, outcome
from planted import Planted

from transfusion.verdict import conclude


def test_the_smallest_stage_with_enough_of_the_speedup_is_found():
    study = Planted({"random": 1.0, "pretrained": 4.0, "low": 1.5, "high": 4.0, "top": 4.1}, tops={}, noise=0.002)
    frame = study.frame(0)
    stages = {"low": "layer1", "high": "layer3", "top": "layer4"}
    frame["upto"] = frame["scheme"].map(stages).astype(object)
    frame["scheme"] = frame["scheme"].where(frame["upto"].isna(), "pretrained")
    verdict = conclude(frame)
    assert verdict.upto_shares["pretrained upto layer1"].estimate < 0.5
    assert list(verdict.upto_shares) == [f"pretrained upto {stage}" for stage in stages.values()]
    (statement,) = verdict.about("upto")
    assert statement.outcome in ("enough", "unknown")
    assert (statement.outcome == "enough") == (verdict.smallest_upto is not None)
    assert verdict.smallest_upto != "pretrained upto layer1"


@pytest.mark.parametrize(
    ("speedups", "said"),
    [
        ({"pretrained": 4.0, "mean_var": 2.0}, "known"),
        ({"pretrained": 1.8, "mean_var": 3.5}, "all"),
        ({"pretrained": 3.0, "mean_var": 0.7}, "none"),
    ],
)
def test_shares_beyond_nothing_and_the_whole_are_said_in_words(speedups, said):
    study = Planted({"random": 1.0, **speedups}, tops={}, num_seeds=10, noise=0.003, spread=0.05)
    assert outcome(conclude(study.frame(0)), "scaling") == said


@pytest.mark.slow
def test_a_share_that_may_be_all_claims_no_feature_reuse():
    study = Planted({"random": 1.0, "pretrained": 3.0, "mean_var": 3.0}, tops={}, num_seeds=5)
    verdicts = [conclude(study.frame(seed)) for seed in range(60)]
    claims = [verdict.scaling_share.high < 1 for verdict in verdicts]
    assert sum(claims) <= band(60, 0.025)[1]
    said = [outcome(verdict, "scaling") for verdict in verdicts]
    # not each claim is told: none where the two starts are not known to differ in pace
    assert all(claim or word in ("unknown", "all") for claim, word in zip(claims, said, strict=True))


def test_a_start_that_was_there_at_once_bounds_the_share():
    verdict = conclude(Planted({**SPEEDUPS, "pretrained": 20.0}, tops={}, num_seeds=10).frame(0))
    assert verdict.scaling_share.low == 0
    assert 0.1 < verdict.scaling_share.high < 1
    assert outcome(verdict, "scaling") == "at most"


@pytest.mark.parametrize(("speedup", "said"), [(0.7, "none"), (1.0, "at most")])
def test_no_share_of_a_start_that_was_there_at_once_is_given_with_an_interval_of_no_width(speedup, said):
    speedups = {"random": 1.0, "pretrained": 30.0, "mean_var": speedup}
    verdict = conclude(Planted(speedups, tops={}, num_seeds=5, noise=0.003).frame(1))
    assert verdict.scaling_share.low < 0
    assert outcome(verdict, "scaling") == said


def test_without_a_head_start_there_is_nothing_to_split():
    verdict = conclude(Planted({"random": 1.0, "pretrained": 1.0, "mean_var": 1.0}, tops={}).frame(0))
    assert verdict.about("scaling") == verdict.about("upto") == []


def test_the_share_of_the_baseline_itself_is_no_share():
    for baseline in ("mean_var", "pretrained"):
        verdict = conclude(STUDY.frame(0), baseline=baseline)
        assert np.isnan(verdict.scaling_share.estimate)
        assert "is itself what the others are compared with" in verdict.scaling_share.reason


def test_a_share_that_depends_on_the_threshold_is_not_known():
    """Scale alone is as fast as pretrained up to AUC 0.7, and as slow as random from there on."""
    planted = Planted({"random": 1.0, "pretrained": 4.0, "mean_var": 1.0}, {}, num_seeds=3, noise=0.001, every=None)
    frame = planted.frame(0)
    part = frame["scheme"] == "mean_var"
    quick = planted.values("pretrained", 3, np.random.default_rng(1), 0.001).ravel()
    late = np.maximum(frame.loc[part, "auc"].to_numpy(), 0.7)
    frame.loc[part, "auc"] = np.where(quick < 0.7, quick, late)
    verdict = conclude(frame)
    assert "it depends on the threshold" in verdict.scaling_share.reason
    assert outcome(verdict, "scaling") == "unknown"
    assert "it depends on the threshold" in verdict.about("scaling")[0].text
    steady = conclude(Planted(SPEEDUPS, tops={}, num_seeds=5, noise=0.003, every=None).frame(0)).scaling_share
    assert covers(steady, np.log(2) / np.log(3))


def both_at_once(wobble, **taus):
    """Starts with AUC from 0.5 to 0.9998, linear in the steps given; ``wobble`` differs by seed and start."""
    rows = [
        {"run": f"{start}{seed}", "start": start, "scheme": start.split()[0], "seed": seed, "step": step,
         "upto": start.split()[-1] if "upto" in start else None,
         "auc": 0.5 + 0.4998 * min(1, step / tau) + wobble * ((3 * seed + 2 * len(start)) % 5) * (step > 0)}
        for start, tau in taus.items() for seed in range(3) for step in range(0, 301, 10)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize("wobble", [0.0, -1e-5])
def test_a_difference_under_the_margin_does_not_outweigh_pace(wobble):
    """Pretrained at its level at once, random after 100 steps, both at .9998: "start from random" before."""
    frame = both_at_once(wobble, pretrained=5, random=100)
    lower = 0.0003 * ((frame["start"] == "pretrained") & (frame["step"] > 0))
    verdict = conclude(frame.assign(auc=frame["auc"] - lower))
    assert outcome(verdict, "final") == "slightly lower"
    assert (verdict.advice.outcome, verdict.advice.start) == ("saves time", "pretrained")


def test_two_identical_starts_that_were_there_at_once_are_not_told_apart():
    """Both there by the first look: "no partial start" before."""
    frame = both_at_once(0.0, **{"pretrained": 5, "pretrained upto layer2": 5, "random": 100})
    verdict = conclude(frame)
    assert [one.outcome for one in verdict.about("upto")] == ["unknown"]
    assert verdict.smallest_upto is None
    (pair,) = verdict.pairs
    assert (pair.against, pair.ends, pair.pace) == ("pretrained", "equal", "unknown")


def test_no_share_is_told_of_a_difference_in_pace_that_is_not_known():
    """Of pretrained and mean_var; and none above nothing of a start that is not shown to be faster itself."""
    seen = set()
    for num_seeds, noise in ((3, 0.02), (5, 0.003)):
        study = Planted({"random": 1.0, "pretrained": 5.0, "mean_var": 1.8, "kaiming": 2.0}, {}, num_seeds, noise=noise)
        for seed in range(4):
            verdict = conclude(study.frame(seed))
            pair = next(one for one in verdict.pairs if one.against == "mean_var")
            for statement in verdict.about("scaling"):
                seen.add(statement.outcome)
                assert statement.outcome in ("unknown", "none") or pair.pace != "unknown"
                assert (
                    statement.outcome != "known"
                    or verdict.schemes["mean_var"].pace == "faster"
                    or (verdict.scaling_share.low <= 0)
                )
                assert "kaiming" in statement.text or not verdict.plain_shares["kaiming"].is_known
    assert "unknown" in seen
    assert seen & {"known", "at most"}
