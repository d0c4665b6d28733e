"""Intervals that cover other patients, from the predictions at every evaluation."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from planted_patients import blind, study
from planted_verdicts import with_predictions
from scipy import stats

from transfusion.verdict import conclude
from transfusion.verdict.curves import Curve


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


@pytest.mark.slow
def test_equal_starts_that_are_good_at_different_images_are_not_called_different():
    studies = [with_predictions(seed, 10, own_images=0.7) for seed in range(60)]
    apart = [conclude(frame, influences=influences).main.is_apart for frame, influences in studies]
    blind = [conclude(frame).main.is_apart for frame, _ in studies]
    assert sum(apart) <= stats.binom.ppf(0.999, 60, 0.05)
    assert sum(blind) > 15


@pytest.mark.slow
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


@pytest.mark.parametrize("seed", range(4))
def test_how_sure_and_what_next_agree_on_what_would_help(seed):
    frame, influences = with_predictions(seed, 5, own_images=0.2)
    verdict = conclude(frame, influences=influences)
    sure, ahead = (verdict.about(topic)[0].text for topic in ("certainty", "next"))
    assert verdict.main.ends == "unknown"
    assert ("more trainings would help most" in sure) == ("trainings each" in ahead)
    assert not ahead.removeprefix("Next: ").startswith("Or")
