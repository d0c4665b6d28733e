"""What a verdict holds: numbers, decision, plain values; and what it makes of odd frames."""

import json

import numpy as np
import pandas as pd
import pytest
from judged import NOTHING, SPEEDUPS, STUDY, outcome, runs_of
from planted import Planted

from transfusion.errors import InputError
from transfusion.verdict import conclude
from transfusion.verdict.statement import OPENING, TITLES


def with_start(frame, scheme, **changes):
    """The runs of a scheme once more, as another start."""
    extra = frame[runs_of(frame, scheme)].assign(**changes)
    return pd.concat([frame, extra.assign(run=extra["run"] + str(changes))], ignore_index=True)


def test_to_dict_has_the_promised_form_and_plain_values():
    plain = conclude(STUDY.frame(0)).to_dict()
    assert set(plain["schemes"]) == {"pretrained", "mean_var"}
    for scheme in plain["schemes"].values():
        for measure in ("final_difference", "speedup", "area"):
            assert {"estimate", "low", "high", "n"} <= set(scheme[measure])
    assert {"estimate", "low", "high", "n"} <= set(plain["scaling_share"])
    assert json.loads(json.dumps(plain)) == plain


def test_statements_are_data():
    verdict = conclude(STUDY.frame(0))
    assert [text for text in str(verdict).splitlines() if text.startswith("  - ")] == [
        f"  - {one.text}" for one in verdict.statements if one.topic not in OPENING
    ]
    final, pace = verdict.about("final", "pretrained")[0], verdict.about("pace", "pretrained")[0]
    effect = verdict.schemes["pretrained"]
    assert (final.outcome, final.against, final.n) == ("higher", "random", 3)
    assert final.interval == effect.claim("final_difference")
    assert final.estimate == effect.final_difference.estimate
    assert (pace.outcome, pace.interval) == ("faster", effect.speedup)
    assert {one.topic for one in verdict.statements} <= set(TITLES)


def test_what_is_read_first_comes_first():
    topics = [one.topic for one in conclude(STUDY.frame(0)).statements]
    places = [topics.index(topic) for topic in ("decision", "numbers", "certainty", "final", "pace", "scaling")]
    assert places == sorted(places)
    assert places[0] == 0


def test_the_frame_has_one_row_per_size_start_and_quantity():
    verdict = conclude(STUDY.frame(0))
    frame = verdict.frame()
    assert not frame.duplicated(["size", "start", "against", "quantity"]).any()
    own = frame[(frame["start"] == "pretrained") & (frame["against"] == "random")].set_index("quantity")
    assert set(own.index) == {"final_difference", "last_difference", "speedup", "area"}
    speed = verdict.schemes["pretrained"].speedup
    assert own.loc["speedup", ["estimate", "low", "high", "n"]].tolist() == [
        speed.estimate, speed.low, speed.high, speed.n
    ]  # fmt: skip
    assert frame[frame["quantity"] == "final"]["start"].tolist() == ["random", "pretrained", "mean_var"]


def test_speed_is_the_reason_when_ends_do_not_differ():
    verdict = conclude(Planted(SPEEDUPS, tops={"pretrained": 0.899}, num_seeds=10, noise=0.001, spread=0.01).frame(1))
    assert (verdict.advice.outcome, verdict.advice.start) == ("saves time", "pretrained")


def test_a_higher_end_is_the_first_reason():
    verdict = conclude(Planted(SPEEDUPS, tops={"pretrained": 0.97}, num_seeds=5).frame(1))
    assert (verdict.advice.outcome, verdict.advice.start) == ("better", "pretrained")
    worse = conclude(Planted(SPEEDUPS, tops={"pretrained": 0.8}, num_seeds=5).frame(1))
    assert (worse.advice.outcome, worse.advice.start) == ("worse", "random")


def test_a_study_that_cannot_tell_says_how_many_trainings_could_show_equality():
    verdict = conclude(NOTHING.frame(0))
    assert (verdict.advice.outcome, outcome(verdict, "final")) == ("undecided", "unknown")
    main = verdict.schemes["pretrained"]
    for needed in (main.to_confirm, main.to_show_equal):
        assert f"{needed.best:,} trainings each ({needed.low:,} to " in verdict.about("next")[0].text


def test_equality_is_said_only_when_the_equivalence_test_says_so():
    quiet = Planted({"random": 1.0, "pretrained": 1.0}, tops={}, num_seeds=5, noise=0.001, spread=0.01, budget=720)
    assert outcome(conclude(quiet.frame(0)), "final") in ("equal", "slightly higher", "slightly lower")
    assert outcome(conclude(quiet.frame(0), margin=1e-5), "final") in ("unknown", "higher", "lower")


def test_a_threshold_is_a_function_of_the_baseline_alone():
    frame = STUDY.frame(0)
    changed = frame.assign(auc=frame["auc"].where(runs_of(frame, "random"), 0.6))
    assert conclude(changed).rise == conclude(frame).rise
    baseline_changed = frame.assign(auc=frame["auc"].where(~runs_of(frame, "random"), frame["auc"] - 0.05))
    assert conclude(baseline_changed).rise != conclude(frame).rise


def test_the_threshold_is_eighty_percent_of_the_baselines_rise():
    frame = Planted(SPEEDUPS, tops={}, noise=0.0, spread=0.0, budget=720).frame(0)
    plain = conclude(frame).to_dict()
    assert plain["threshold"]["level"] == pytest.approx(0.5 + 0.8 * 0.4, abs=1e-3)
    assert plain["schemes"]["pretrained"]["speedup"]["estimate"] == pytest.approx(3.0, rel=0.03)
    assert "all 3 seeds agree" in plain["schemes"]["pretrained"]["speedup"]["reason"]


def test_order_of_rows_does_not_matter():
    frame = STUDY.frame(0)
    shuffled = conclude(frame.sample(frac=1, random_state=0)).to_dict()["schemes"]
    straight = conclude(frame).to_dict()["schemes"]
    assert {name: shuffled[name] for name in straight} == straight


def test_a_diverged_run_is_left_out_of_finals_and_counted():
    frame = STUDY.frame(0)
    dead = (frame["run"] == "pretrained-1") & (frame["step"] > 120)
    verdict = conclude(frame.assign(auc=frame["auc"].mask(dead)))
    assert verdict.schemes["pretrained"].final_difference.n == 2
    assert verdict.schemes["pretrained"].speedup.n == 3
    assert verdict.num_incomplete == 1
    assert verdict.statements[0].topic == "runs"
    assert conclude(frame[~dead]).to_dict() == verdict.to_dict()
    assert conclude(frame).num_incomplete == 0


def test_a_run_that_never_gets_there_is_censored_not_dropped():
    frame = STUDY.frame(0)
    stuck = frame.assign(auc=frame["auc"].mask(runs_of(frame, "pretrained"), 0.55 + frame["seed"] * 0.01))
    speedup = conclude(stuck).schemes["pretrained"].speedup
    assert speedup.n == 3
    assert speedup.low == 0
    assert speedup.high < 1
    assert "3 of 3 own runs never got there" in speedup.reason


def test_everything_there_at_once_is_no_speedup_of_one():
    """The real RetinaMNIST study: all starts at their level from the first evaluation on."""
    flat = Planted({"random": 1.0, "pretrained": 1.0}, tops={"random": 0.8, "pretrained": 0.8}, tau=1.0)
    speedup = conclude(flat.frame(0)).schemes["pretrained"].speedup
    assert np.isnan(speedup.estimate)
    assert (speedup.low, speedup.high) == (0, np.inf)


def test_a_baseline_that_learns_nothing_has_no_threshold():
    noise = Planted({"random": 1.0, "pretrained": 3.0}, tops={"random": 0.5})
    verdict = conclude(noise.frame(0))
    assert "does not rise beyond the noise" in verdict.schemes["pretrained"].speedup.reason
    assert verdict.schemes["pretrained"].final_difference.low > 0.3


def test_one_seed_gives_estimates_without_intervals():
    frame = STUDY.frame(0)
    comparison = conclude(frame[frame["seed"] == 0]).schemes["pretrained"]
    for interval in (comparison.final_difference, comparison.speedup, comparison.area):
        assert np.isfinite(interval.estimate)
        assert np.isnan(interval.low)
        assert "one seed" in interval.reason


def test_seeds_without_partner_are_not_used():
    frame = STUDY.frame(0)
    lonely = (frame["scheme"] == "random") & (frame["seed"] == 2)
    assert conclude(frame[~lonely]).schemes["pretrained"].final_difference.n == 2
    random = frame[runs_of(frame, "random")]
    apart = random.assign(seed=random["seed"] + 10)
    comparison = conclude(pd.concat([frame[~runs_of(frame, "random")], apart])).schemes["pretrained"]
    assert comparison.speedup.n == comparison.final_difference.n == 0
    assert comparison.final_difference.reason


def test_frames_with_little_in_them():
    frame = STUDY.frame(0)
    for little in (frame[:0], frame[frame["step"] == 0], frame.assign(auc=np.nan), frame[runs_of(frame, "random")]):
        verdict = conclude(little)
        assert verdict.advice.outcome == "nothing"
        assert verdict.to_dict()["schemes"] == {}


def test_columns_that_a_study_does_not_vary_may_be_absent():
    frame = STUDY.frame(0)
    bare = conclude(frame[["run", "scheme", "seed", "step", "auc"]])
    assert bare.to_dict() == conclude(frame).to_dict()


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({"drop": "seed"}, {}, "lacks seed"),
        ({"drop": "auc"}, {}, "lacks auc"),
        ({}, {"metric": "loss"}, "Higher is not better for 'loss'"),
        ({}, {"margin": 0.0}, "positive difference"),
    ],
)
def test_bad_input_is_named(changes, arguments, message):
    frame = STUDY.frame(0)
    with pytest.raises(InputError, match=message):
        conclude(frame.drop(columns=list(changes.values())), **arguments)


def test_two_runs_of_one_kind_are_refused():
    with pytest.raises(InputError, match="Two runs share the start 'pretrained', size all and seed 0"):
        conclude(with_start(STUDY.frame(0), "pretrained", loss=2.0))


def test_the_recommendation_is_there_as_a_plain_value():
    plain = conclude(Planted(SPEEDUPS, tops={"pretrained": 0.97}, num_seeds=5).frame(1)).to_dict()
    assert plain["recommendation"]["start"] == "pretrained"
    assert conclude(STUDY.frame(0)[:0]).to_dict()["recommendation"]["start"] is None


def test_a_slow_start_is_called_slow():
    verdict = conclude(Planted({"random": 1.0, "pretrained": 0.6}, tops={}, num_seeds=5).frame(0))
    assert outcome(verdict, "pace") == "slower"
    assert verdict.advice.start == "random"


def test_a_study_with_as_many_seeds_as_should_do_names_no_smaller_number():
    study = Planted(
        {"random": 1.0, "pretrained": 1.0}, tops={"pretrained": 0.908}, num_seeds=10, noise=0.006, spread=0.02
    )
    verdicts = [conclude(study.frame(seed)) for seed in range(30)]
    undecided = [v for v in verdicts if v.main.to_show_equal.best <= 10 and v.advice.outcome == "undecided"]
    assert undecided
    assert not any("differ by less than" in v.about("next")[0].text for v in undecided)
