import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted import Planted
from planted_patients import blind, study
from scipy import stats

from transfusion.errors import InputError, UnknownNameError
from transfusion.metrics import Metric, influence, weighted
from transfusion.verdict import conclude
from transfusion.verdict.curves import Curve
from transfusion.verdict.sequential import Looks
from transfusion.verdict.statement import OPENING, TITLES

SPEEDUPS = {"random": 1.0, "pretrained": 3.0, "mean_var": 2.0}
STUDY = Planted(SPEEDUPS, tops={"pretrained": 0.92})
NOTHING = Planted({"random": 1.0, "pretrained": 1.0}, tops={})


def runs_of(frame, scheme):
    return frame["scheme"] == scheme


def with_start(frame, scheme, **changes):
    """The runs of a scheme once more, as another start."""
    extra = frame[runs_of(frame, scheme)].assign(**changes)
    return pd.concat([frame, extra.assign(run=extra["run"] + str(changes))], ignore_index=True)


def covers(interval, truth):
    return interval.low <= truth <= interval.high


def outcome(verdict, topic, start=None):
    """What a verdict says on a topic, as one word."""
    (statement,) = verdict.about(topic, start)
    return statement.outcome


def band(trials, rate):
    return stats.binom.ppf(1e-3, trials, rate), stats.binom.ppf(1 - 1e-3, trials, rate)


@pytest.mark.parametrize("num_seeds", [3, 5])
def test_intervals_cover_what_was_planted(num_seeds):
    study = Planted(SPEEDUPS, tops={"pretrained": 0.92, "mean_var": 0.88}, num_seeds=num_seeds)
    verdicts = [conclude(study.frame(seed)) for seed in range(100)]
    low, high = band(100, 0.95)
    for scheme in ("pretrained", "mean_var"):
        found, final, area = [v.schemes[scheme] for v in verdicts], study.final_difference(scheme), study.area(scheme)
        assert low <= sum(covers(c.final_difference, final) for c in found) <= high
        assert low <= sum(covers(c.area, area) for c in found) <= high


def test_speedups_and_shares_cover_what_was_planted():
    study = Planted(SPEEDUPS, tops={}, every=None)
    verdicts = [conclude(study.frame(seed)) for seed in range(150)]
    low, high = band(150, 0.95)
    assert low <= sum(covers(v.schemes["pretrained"].speedup, 3.0) for v in verdicts) <= high
    assert low <= sum(covers(v.schemes["mean_var"].speedup, 2.0) for v in verdicts) <= high
    shares = [v.scaling_share for v in verdicts if not np.isnan(v.scaling_share.estimate)]
    assert len(shares) > 130
    low, high = band(len(shares), 0.95)
    assert low <= sum(covers(share, np.log(2) / np.log(3)) for share in shares) <= high


def test_without_effect_alarms_come_at_their_stated_rate():
    verdicts = [conclude(NOTHING.frame(seed)) for seed in range(150)]
    found = [v.schemes["pretrained"] for v in verdicts]
    high = band(150, 0.05)[1]
    assert sum(not covers(c.final_difference, 0) for c in found) <= high
    assert sum(not covers(c.speedup, 1) for c in found) <= high
    assert sum(not covers(c.area, 0) for c in found) <= high
    claims = sum(not np.isnan(v.scaling_share.estimate) for v in verdicts)
    assert claims == 0  # there is no mean_var
    assert sum(not covers(c.speedup, 3) for c in found) > 100  # the same count would see a real effect


def test_equivalence_at_the_margin_is_claimed_at_most_at_its_rate():
    study = Planted({"random": 1.0, "pretrained": 1.0}, tops={"pretrained": 0.91}, noise=0.003, spread=0.03)
    margin = study.final_difference("pretrained")
    claims = sum(
        conclude(study.frame(seed), margin=margin).schemes["pretrained"].equivalence_p < 0.05 for seed in range(100)
    )
    assert claims <= band(100, 0.05)[1]


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
    comparison = conclude(frame[~runs_of(frame, "random")]).schemes["pretrained"]
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


RETINA = {"random": 0.8, "pretrained": 0.8, "mean_var": 0.8}


@pytest.mark.parametrize("num_seeds", [3, 10])
def test_starts_that_are_equal_from_the_first_evaluation_on_are_judged_without_a_threshold(num_seeds):
    """As on RetinaMNIST: every start at its level at once, noise of 0.01."""
    study = Planted(dict.fromkeys(RETINA, 1.0), RETINA, num_seeds=num_seeds, floor=0.79, tau=2.0, spread=0.02)
    verdicts = [conclude(study.frame(seed)) for seed in range(60)]
    assert sum(v.advice.start is not None for v in verdicts) <= band(60, 0.1)[1]
    assert not any(verdict.scaling_share.estimate < 1 for verdict in verdicts)
    assert all(outcome(v, "pace", "pretrained") == "unknown" for v in verdicts)
    assert all((outcome(v, "final", "pretrained") == "unknown") <= (not v.main.is_equivalent) for v in verdicts)


def test_a_recommendation_without_effect_comes_at_most_at_its_stated_rate():
    verdicts = [conclude(NOTHING.frame(seed)) for seed in range(150)]
    assert sum(verdict.advice.start is not None for verdict in verdicts) <= band(150, 0.05)[1]
    real = [conclude(Planted(SPEEDUPS, tops={}, every=None).frame(seed)) for seed in range(20)]
    assert sum(verdict.advice.start == "pretrained" for verdict in real) > 15


def test_the_recommendation_is_there_as_a_plain_value():
    plain = conclude(Planted(SPEEDUPS, tops={"pretrained": 0.97}, num_seeds=5).frame(1)).to_dict()
    assert plain["recommendation"]["start"] == "pretrained"
    assert conclude(STUDY.frame(0)[:0]).to_dict()["recommendation"]["start"] is None


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


def test_a_share_that_may_be_all_claims_no_feature_reuse():
    study = Planted({"random": 1.0, "pretrained": 3.0, "mean_var": 3.0}, tops={}, num_seeds=5)
    verdicts = [conclude(study.frame(seed)) for seed in range(60)]
    claims = [verdict.scaling_share.high < 1 for verdict in verdicts]
    assert sum(claims) <= band(60, 0.025)[1]
    said = [outcome(verdict, "scaling") for verdict in verdicts]
    assert all((word in ("unknown", "all")) != claim for claim, word in zip(claims, said, strict=True))


def test_a_start_that_was_there_at_once_bounds_the_share():
    verdict = conclude(Planted({**SPEEDUPS, "pretrained": 20.0}, tops={}, num_seeds=10).frame(0))
    assert verdict.scaling_share.low == 0
    assert 0.1 < verdict.scaling_share.high < 1
    assert outcome(verdict, "scaling") == "at most"


def test_without_a_head_start_there_is_nothing_to_split():
    verdict = conclude(Planted({"random": 1.0, "pretrained": 1.0, "mean_var": 1.0}, tops={}).frame(0))
    assert verdict.about("scaling") == verdict.about("upto") == []


def test_a_baseline_without_runs_is_named_in_one_line():
    verdict = conclude(STUDY.frame(0), baseline="kaiming")
    assert [one.topic for one in verdict.statements] == ["decision"]
    assert all(name in str(verdict) for name in ("random", "pretrained", "mean_var", "kaiming"))
    assert verdict.to_dict()["recommendation"]["start"] is None


def test_the_share_of_the_baseline_itself_is_no_share():
    for baseline in ("mean_var", "pretrained"):
        verdict = conclude(STUDY.frame(0), baseline=baseline)
        assert np.isnan(verdict.scaling_share.estimate)
        assert "is itself what the others are compared with" in verdict.scaling_share.reason


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


def with_predictions(seed, num_seeds, own_images, num=(40, 80), only_the_end=False):
    """Two starts of equal AUC over patients, each good at images of its own; curves and influences by run and step."""
    generator, labels = np.random.default_rng(seed), np.repeat([1, 0], num)
    common, rows, found = generator.normal(size=len(labels)), [], {}
    for start in ("random", "pretrained"):
        own = own_images * generator.normal(size=len(labels))
        for number in range(num_seeds):
            latent = common + own + 0.5 * generator.normal(size=len(labels)) + 1.5 * labels
            scores = stats.norm.cdf(latent / 3)
            run = f"{start}{number}"
            end = influence("auc", "binary", np.c_[1 - scores, scores], labels, 1)
            parts = np.minimum(np.arange(0, 7) / 4, 1)
            heights = 0.5 + (end.value - 0.5) * parts
            found[run] = {
                30 * place: replace(weighted([end], [part]), value=height)
                for place, (part, height) in enumerate(zip(parts, heights, strict=True))
                if place == 6 or not only_the_end
            }
            rows += [
                {"run": run, "scheme": start, "seed": number, "step": 30 * place, "auc": height}
                for place, height in enumerate(heights)
            ]
    return pd.DataFrame(rows), {"auc": found}


def test_intervals_cover_other_patients_where_predictions_are_known():
    frame, influences = with_predictions(0, 10, own_images=0.7)
    bare, full = conclude(frame).main, conclude(frame, influences=influences).main
    assert full.final_difference.estimate == pytest.approx(bare.final_difference.estimate)
    assert full.final_difference.high - full.final_difference.low > 2 * (
        bare.final_difference.high - bare.final_difference.low
    )
    assert full.final_difference.parts["patients"] > 0.6
    assert sum(full.final_difference.parts.values()) == pytest.approx(1)
    assert (full.num_patients, full.num_positive, bare.num_patients) == (120, 40, None)


def test_equal_starts_that_are_good_at_different_images_are_not_called_different():
    studies = [with_predictions(seed, 10, own_images=0.7) for seed in range(60)]
    apart = [conclude(frame, influences=influences).main.is_apart for frame, influences in studies]
    blind = [conclude(frame).main.is_apart for frame, _ in studies]
    assert sum(apart) <= stats.binom.ppf(0.999, 60, 0.05)
    assert sum(blind) > 15


def test_intervals_of_pace_cover_other_patients_where_every_evaluation_is_known():
    """A difference of 0 in pace over patients is called one by trainings alone, and with more seeds the more often."""
    generator, wrong = np.random.default_rng(0), Counter()
    for _ in range(150):
        contest = study(generator, 10, (20, 100), own=0.7, speedup=1.0)
        for name, one in (("both", contest), ("trainings", blind(contest))):
            speed, (start,) = one.pace("pretrained", "random"), one.rivals
            area = one.evidence(one.grid.starts[start], one.grid.find("random"), "area").interval()
            wrong.update([f"{name} pace"] * (not speed.low <= 1 <= speed.high))
            wrong.update([f"{name} area"] * (not area.low <= 0 <= area.high))
            assert ("patients" in area.parts) == (name == "both")
    assert max(wrong["both pace"], wrong["both area"]) <= stats.binom.ppf(0.999, 150, 0.05)
    assert wrong["trainings pace"] > 15
    assert wrong["trainings area"] > 50


def test_a_crossing_moves_with_the_values_it_rests_on_and_with_the_level():
    steps, values = np.array([0, 10, 20, 40, 80, 160.0]), np.array([0.5, 0.6, 0.58, 0.7, 0.85, 0.9])
    curve, step = Curve(steps, values), 1e-6
    assert curve.crossing(0.55).pull[1] < 0  # there at once; how surely depends on the first look
    for level in (0.65, 0.8):
        found = curve.crossing(level)
        for place in range(len(values)):
            moved = Curve(steps, values + step * (np.arange(6) == place)).crossing(level)
            assert found.pull[place] == pytest.approx((np.log(moved.best) - np.log(found.best)) / step, abs=1e-3)
        raised = (np.log(curve.crossing(level + step).best) - np.log(found.best)) / step
        assert raised == pytest.approx(-found.pull.sum(), abs=1e-3)
    for what in ("final", "last", "area", "settled"):
        assert curve.weights(what) @ values == pytest.approx(getattr(curve, what))


def test_the_change_by_size_and_batch_norm_modes_cover_other_patients():
    (frame, influences), (small, others) = (with_predictions(seed, 5, own_images=0.7) for seed in (0, 1))
    small = small.assign(run="small " + small["run"], size=50)
    both = pd.concat([frame.assign(size=None), small], ignore_index=True).astype({"size": "Int64"})
    seen = influences["auc"] | {f"small {run}": found for run, found in others["auc"].items()}
    assert conclude(both, influences={"auc": seen}).size_change.parts["patients"] > 0.3
    assert not conclude(both, influences=influences).size_change.parts
    modes = frame.assign(
        batch_norm=np.where(frame["scheme"] == "pretrained", "mean_var", "identity"), scheme="mean_var"
    )
    (spread,) = conclude(modes, influences=influences, baseline="mean_var").modes.values()
    assert spread[2].parts["patients"] > 0.3


def test_where_only_the_end_is_known_speed_is_said_of_these_images():
    frame, influences = with_predictions(0, 5, own_images=0.7, only_the_end=True)
    main = conclude(frame, influences=influences).main
    assert (main.final_difference.parts.keys(), main.speedup.parts) == ({"training", "patients"}, {})
    said = conclude(frame, influences=influences).about("certainty")[0].text
    assert "Those of speed are of these test images only" in said


def test_predictions_of_another_evaluation_are_not_used():
    frame, influences = with_predictions(0, 3, own_images=0.7)
    frame["auc"] = frame["auc"].where(frame["run"] != "random0", frame["auc"] - 0.01)
    assert not conclude(frame, influences=influences).main.final_difference.parts


def test_what_the_intervals_cover_and_what_would_help_is_said():
    frame, influences = with_predictions(0, 5, own_images=0.7, num=(12, 40))
    assert "other trainings on these test images, not other patients" in conclude(frame).about("certainty")[0].text
    said = conclude(frame, influences=influences).about("certainty")[0].text
    assert "other trainings and other patients" in said
    assert "more test patients would help most" in said
    assert "Only 12 test patients are positive" in said


def test_claims_rest_on_intervals_that_hold_together():
    names = ["random", "pretrained", "mean_var", "sampling", "kaiming"]
    found = conclude(Planted(dict.fromkeys(names, 1.0), tops={}, num_seeds=5, every=None).frame(3)).schemes
    for name, effect in found.items():
        for quantity in ("final_difference", "speedup"):
            alone, together = getattr(effect, quantity), effect.claim(quantity)
            assert together.estimate == pytest.approx(alone.estimate), (name, quantity)
    widths = {
        name: np.ptp([effect.claim("speedup").low, effect.claim("speedup").high]) for name, effect in found.items()
    }
    assert widths["pretrained"] < min(widths[name] for name in names[2:])


def test_looking_again_and_again_asks_for_more_of_the_primary_claims():
    frame = Planted({"random": 1.0, "pretrained": 3.0}, tops={}, every=None).frame(0)
    once, often = (conclude(frame, looks=looks).main.claim("speedup") for looks in (None, Looks(10)))
    assert often.low < once.low < once.high < often.high


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
