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
def test_a_crossing_between_evaluations_is_read_off_the_curve(tau):
    crossing = saturating(tau).crossing(0.82)
    assert crossing.is_exact
    assert crossing.best == pytest.approx(tau * np.log(5), rel=0.02)


def test_a_chord_would_be_worse():
    curve, truth = saturating(70), 70 * np.log(5)
    chord = np.interp(0.82, curve.values, curve.steps)
    assert abs(curve.crossing(0.82).best - truth) < abs(chord - truth) / 2


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
    assert curve.crossing(0.8).best == 60
    assert curve.crossing(0.801).latest == np.inf
    assert curve.crossing(0.801).earliest == 90


def test_a_run_settled_by_its_first_evaluation_is_known_to_be_there_by_then_only():
    settled = Curve(STEPS, np.where(STEPS > 0, 0.8, 0.5)).crossing(0.75)
    assert (settled.earliest, settled.latest) == (0, 30)
    climbing = Curve(STEPS, 0.5 + 0.3 * np.minimum(STEPS / 40, 1)).crossing(0.7)
    assert climbing.is_exact
    assert climbing.best == pytest.approx(40 * 2 / 3, rel=0.1)


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
