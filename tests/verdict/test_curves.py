import numpy as np
import pandas as pd
import pytest

from transfusion.verdict.curves import Curve, read, with_starts

STEPS = np.arange(0, 310, 30.0)


def saturating(tau, steps=STEPS):
    return Curve(steps, 0.5 + 0.4 * (1 - np.exp(-steps / tau)))


def one_run(**columns):
    rows = {"run": "a", "scheme": "pretrained", "seed": 0, "step": [0, 30], "auc": [0.5, 0.8]}
    return pd.DataFrame(rows | columns)


@pytest.mark.parametrize("tau", [40, 70, 150])
def test_a_crossing_is_read_off_between_its_two_evaluations(tau):
    crossing, truth = saturating(tau).crossing(0.82), tau * np.log(5)
    assert crossing.is_bounded
    assert crossing.earliest < truth < crossing.latest == crossing.earliest + 30
    assert abs(np.log(crossing.best / truth)) < 2 * crossing.doubt < np.log(crossing.latest / crossing.earliest)


def test_a_jump_may_lie_anywhere_between_two_evaluations_and_a_bend_only_in_part():
    jump = Curve(STEPS, np.where(STEPS > 100, 0.9, 0.5)).crossing(0.8)
    assert (jump.earliest, jump.latest) == (90, 120)
    assert jump.doubt == pytest.approx(0.2 * np.log(120 / 90))
    assert 0 < saturating(70).crossing(0.82).doubt < jump.doubt / 2


def test_evaluations_that_are_closer_together_leave_less_doubt():
    coarse, fine = (saturating(70, np.arange(0, 310, every)).crossing(0.82).doubt for every in (30.0, 5.0))
    assert fine < coarse / 3


def test_a_plateau_before_the_rise_does_not_bring_the_crossing_forward():
    """A block of equal heights has no centre that says anything of the rise after it."""
    late = Curve(STEPS, 0.5 + 0.4 / (1 + np.exp(-(STEPS - 200) / 4))).crossing(0.8)
    assert (late.earliest, late.latest) == (180, 210)


def test_the_peak_of_a_curve_that_overshoots_decides_and_not_its_end():
    curve = Curve(np.array([0.0, 10, 20, 30, 40]), np.array([0.5, 0.7, 0.9, 0.8, 0.75]))
    assert (curve.crossing(0.85).earliest, curve.crossing(0.85).latest) == (10, 20)


def test_noise_does_not_bring_the_crossing_forward():
    generator, steps = np.random.default_rng(0), np.arange(0, 603, 6.0)
    clean = saturating(150, steps)
    noisy = [Curve(steps, clean.values + 0.02 * generator.normal(size=steps.size)) for _ in range(200)]
    read_off = np.mean([curve.crossing(0.82).best for curve in noisy])
    first_above = np.mean([curve.steps[curve.values >= 0.82][0] for curve in noisy])
    assert read_off == pytest.approx(150 * np.log(5), rel=0.03)
    assert first_above < 0.9 * 150 * np.log(5)


def test_a_level_is_reached_just_when_an_evaluation_reached_it():
    curve = Curve(np.array([0.0, 30, 60, 90]), np.array([0.5, 0.6, 0.8, 0.7]))
    assert curve.crossing(0.8).best == pytest.approx(60)
    assert curve.crossing(0.801).latest == np.inf
    assert curve.crossing(0.801).earliest == 90


@pytest.mark.parametrize("pace", [1, 40])
def test_a_run_there_by_its_first_evaluation_is_known_to_be_there_by_then_only(pace):
    curve = Curve(STEPS, 0.5 + 0.3 * np.minimum(STEPS / pace, 1)).crossing(0.7)
    assert (curve.earliest, curve.best, curve.latest, curve.is_bounded) == (0, 30, 30, False)


def test_area_is_the_mean_height():
    assert Curve(np.array([0.0, 10, 40]), np.array([0.5, 0.7, 0.7])).area == pytest.approx((6 + 21) / 40)


@pytest.mark.parametrize(("num", "kept"), [(2, 1), (5, 1), (6, 2), (13, 3)])
def test_the_settled_level_is_that_of_the_last_fifth(num, kept):
    values = np.arange(num, dtype=float)
    assert Curve(values, values).settled == pytest.approx(values[-kept:].mean())


def test_a_start_has_its_label_whatever_else_is_in_the_frame():
    modes = pd.DataFrame({"scheme": "mean_var", "batch_norm": ["identity", "pretrained"], "upto": None})
    assert list(with_starts(modes)["start"]) == ["mean_var", "mean_var bn=pretrained"]
    assert list(with_starts(modes[1:])["start"]) == ["mean_var bn=pretrained"]


def test_a_start_that_the_frame_names_keeps_its_name():
    frame = one_run(batch_norm="identity", upto=None, size=None).assign(start="mine")
    assert [start.name for start in read(frame, "auc")[0].starts] == ["mine"]


def test_sizes_are_ordered_with_all_images_last():
    frame = pd.concat([one_run(run=str(size), size=size) for size in (None, 1000, 50)], ignore_index=True)
    assert [grid.size for grid in read(frame, "auc")] == [50, 1000, None]
