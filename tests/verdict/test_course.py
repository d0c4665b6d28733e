"""Trainings that are too short or too long are told with the option that changes it; so are the seconds saved."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from transfusion.verdict import conclude
from transfusion.verdict.statement import Statement
from transfusion.verdict.wording import course

STEPS = np.arange(0, 101, 5)


def frame(heights, seeds=4, noise=0.001, step_s=0.3):
    """Curves of ``start -> height at each step``, with one second of times."""
    rng = np.random.default_rng(0)
    rows = [
        {"run": f"{start}-{seed}", "scheme": start, "seed": seed, "step": step, "auc": auc, "time_s": step * step_s}
        for start, height in heights.items()
        for seed in range(seeds)
        for step, auc in zip(STEPS, (height(STEPS) + rng.normal(0, noise, len(STEPS))).clip(0, 1), strict=True)
    ]
    return pd.DataFrame(rows)


def saturating(tau, top=0.9):
    return lambda steps: top - (top - 0.5) * np.exp(-steps / tau)


def linear(steps):
    return 0.5 + 0.004 * steps


def told(verdict) -> Statement | None:
    found = verdict.about("course")
    assert len(found) <= 1
    return found[0] if found else None


def test_curves_that_still_rise_are_told_and_those_that_do_not_are_not():
    rising = told(conclude(frame({"random": linear, "pretrained": saturating(4)})))
    assert (rising.outcome, rising.start, rising.option) == ("rising", "random", "--steps 200")
    assert rising.interval.low < 0.08 < rising.interval.high
    assert rising.estimate == pytest.approx(0.004 * 20, abs=0.002)
    assert "--steps 200" in rising.text
    assert told(conclude(frame({"random": saturating(20), "pretrained": saturating(8)}))) is None


def test_a_rise_that_noise_could_be_or_that_does_not_matter_is_none():
    slow = {"random": lambda steps: 0.5 + 0.2 * (steps > 0) + 0.0002 * steps, "pretrained": saturating(4)}
    assert told(conclude(frame(slow))) is None
    assert told(conclude(frame({"random": linear, "pretrained": saturating(4)}, noise=0.2))) is None
    assert told(conclude(frame({"random": linear, "pretrained": saturating(4)}, seeds=2))) is None


def test_curves_that_are_flat_since_a_fifth_are_told_where_they_begin_to_be():
    flat = told(conclude(frame({"random": saturating(4), "pretrained": saturating(2)})))
    # 0.4 exp(-15 / 4) is 0.0094, below the margin of 0.01, and 0.4 exp(-10 / 4) is not
    assert (flat.outcome, flat.option) == ("flat", "--steps 15")
    assert told(conclude(frame({"random": saturating(20), "pretrained": saturating(2)}))) is None


def test_one_start_that_rises_later_needs_the_steps_of_all():
    late = {"random": saturating(3), "pretrained": saturating(2), "mean_var": linear}
    assert told(conclude(frame(late))).outcome == "rising"


def test_of_a_training_in_epochs_the_epochs_are_changed():
    verdict = replace(conclude(frame({"random": linear, "pretrained": saturating(4)})), epochs=12.5)
    assert told(verdict).option == "--set train.epochs=25"
    assert verdict.about("next")[0].option == "--set train.epochs=25"


def test_the_seconds_saved_are_those_of_the_steps():
    data = frame({"random": saturating(30), "pretrained": saturating(10)}, step_s=0.5)
    verdict = conclude(data)
    (cost,) = verdict.about("cost")
    speedup = verdict.main.claim("speedup")
    base = cost.estimate / (1 - 1 / speedup.estimate)
    crossing = -30 * np.log(1 - 0.8 * (verdict.rise.final - verdict.rise.start) / 0.4)
    assert base == pytest.approx(0.5 * crossing, rel=0.1)
    assert cost.outcome == "saved"
    assert cost.interval.low < cost.estimate < cost.interval.high < base
    assert course.seconds(base) in cost.text
    busy = data.assign(time_s=data["time_s"] * np.where(data["run"] == "random-0", 5, 1))
    assert conclude(busy).about("cost")[0].estimate == pytest.approx(cost.estimate)
    assert "2.5 s" in conclude(busy).about("cost")[0].text


def test_a_bound_of_the_speed_is_a_bound_of_the_cost():
    verdict = conclude(frame({"random": saturating(20), "pretrained": saturating(0.5)}))
    (cost,) = verdict.about("cost")
    assert "after at most" in cost.text
    assert verdict.main.claim("speedup").high == np.inf
    assert verdict.about("next")[0].option == "--eval-every 1"


@pytest.mark.parametrize("without", ["time_s", None])
def test_without_times_or_a_pace_there_is_no_cost(without):
    data = frame({"random": saturating(30), "pretrained": saturating(10 if without else 30)})
    assert conclude(data.drop(columns=[without] if without else [])).about("cost") == []
