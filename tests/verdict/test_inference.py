import numpy as np
import pytest
from scipy import stats

from transfusion.metrics import evidence
from transfusion.verdict.inference import (
    Crossing,
    mean_interval,
    ratio_interval,
    ratio_p,
    share_interval,
    share_of_speedup,
)

MANY = 2000


def at(*steps, doubt=0.0):
    return [Crossing(step / 1.1, step, 1.1 * step, doubt) for step in steps]


def never(budget):
    return Crossing(budget, budget, np.inf)


def by(first):
    return Crossing(0.0, first, first)


def plausible(hits, rate, trials=MANY):
    return stats.binom.ppf(1e-4, trials, rate) <= hits <= stats.binom.ppf(1 - 1e-4, trials, rate)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_mean_interval_covers_at_its_level(n):
    draws = np.random.default_rng(n).normal(0.3, 1.0, size=(MANY, n))
    hits = sum(i.low <= 0.3 <= i.high for i in map(mean_interval, draws))
    assert plausible(hits, 0.95)


def test_a_percentile_bootstrap_of_three_seeds_does_not():
    generator = np.random.default_rng(0)
    draws = generator.normal(0.3, 1.0, size=(MANY, 3))
    means = np.stack([draws[:, generator.integers(0, 3, 3)].mean(axis=1) for _ in range(400)])
    low, high = np.quantile(means, (0.025, 0.975), axis=0)
    assert np.mean((low <= 0.3) & (high >= 0.3)) < 0.85


def test_one_seed_and_two_that_agree_have_no_interval_and_three_one_of_no_width():
    for values, reason in (([0.1], "one seed"), ([0.1, 0.1], "all 2 seeds agree")):
        measured = mean_interval(np.array(values))
        assert measured.estimate == pytest.approx(0.1)
        assert np.isnan([measured.low, measured.high]).all()
        assert reason in measured.reason
    three = mean_interval(np.array([0.1, 0.1, 0.1]))
    assert three.low == three.estimate == three.high == pytest.approx(0.1)
    assert "all 3 seeds agree" in three.reason
    assert mean_interval(np.array([])).n == 0


def test_two_seeds_are_wide():
    measured = mean_interval(np.array([0.0, 0.02]))
    assert measured.high - measured.low == pytest.approx(2 * 12.7062 * 0.01, rel=1e-4)


def test_exact_ratios_are_a_t_interval_of_logs():
    measured = ratio_interval(at(100, 200, 300), at(50, 90, 160))
    logs = mean_interval(np.log([2, 200 / 90, 300 / 160]))
    assert (measured.estimate, measured.low, measured.high) == pytest.approx(
        tuple(np.exp([logs.estimate, logs.low, logs.high]))
    )
    assert measured.reason is None


def test_what_the_gaps_between_evaluations_leave_open_is_not_averaged_out():
    """Seeds so alike that the gap is most of it: more of them do not narrow the interval below the gap's width."""
    runs = 100 * np.exp(0.001 * np.sin(np.arange(50)))
    exact, gaps = (ratio_interval(at(*runs, doubt=doubt), at(*runs / 2 + 0.01)) for doubt in (0.0, 0.1))
    assert np.log(exact.high / exact.low) < 0.001
    assert np.log(gaps.high / gaps.low) == pytest.approx(2 * stats.t.isf(0.025, 49) * 0.1, rel=0.01)
    assert exact.estimate == gaps.estimate


def test_p_agrees_with_the_interval_also_where_an_end_is_open():
    exact = at(100, 200, 300), at(50, 90, 160)
    logs = np.log([2, 200 / 90, 300 / 160])
    assert ratio_p(*exact) == pytest.approx(stats.ttest_1samp(logs, 0).pvalue)
    assert ratio_p([never(300)] * 3, at(100, 110, 120)) < 0.05
    assert ratio_p(at(100, 110, 120), [never(300)] * 3) < 0.05
    assert ratio_p(at(100, 110, 400), [never(300)] * 3) > 0.05
    assert ratio_p([by(30)] * 3, [by(30)] * 3) == 1
    assert np.isnan(ratio_p(at(100), at(50)))


def test_a_baseline_that_never_gets_there_leaves_the_upper_end_open():
    exact = ratio_interval(at(100, 200, 300), at(50, 90, 160))
    measured = ratio_interval([*at(100, 200), never(300)], at(50, 90, 160))
    assert measured.high == np.inf
    assert measured.low == pytest.approx(exact.low)
    assert measured.reason == "1 of 3 baseline runs never got there"


def test_a_scheme_that_never_gets_there_leaves_the_lower_end_open():
    measured = ratio_interval(at(100, 250), [*at(150), never(300)])
    assert measured.low == 0
    assert 0 < measured.high < np.inf


def test_a_scheme_there_at_once_leaves_the_upper_end_open():
    measured = ratio_interval(at(100, 200, 250), [by(30), by(30), by(30)])
    assert (measured.high, measured.estimate > 4, measured.low > 1) == (np.inf, True, True)


@pytest.mark.parametrize("runs", [[by(30)] * 3, [never(300)] * 3])
def test_bounds_on_both_sides_say_nothing(runs):
    measured = ratio_interval(runs, runs)
    assert np.isnan(measured.estimate)
    assert (measured.low, measured.high) == (0, np.inf)


def test_censoring_does_not_invert_a_ratio():
    """A run that is merely slower than the budget must never look faster."""
    assert ratio_interval([never(300)] * 3, at(100, 110, 120)).low > 1
    assert ratio_interval(at(100, 110, 120), [never(300)] * 3).high < 1


@pytest.mark.parametrize("n", [3, 10])
def test_share_interval_covers_at_its_level(n):
    generator, hits, unbounded = np.random.default_rng(n), 0, 0
    for _ in range(MANY):
        baseline = generator.normal(0, 0.05, n)
        whole = 1.0 + baseline + generator.normal(0, 0.05, n)
        part = 0.6 + baseline + generator.normal(0, 0.05, n)
        share = share_interval(part, whole)
        unbounded += np.isnan(share.estimate)
        hits += share.low <= 0.6 <= share.high
    assert unbounded < 0.01 * MANY
    assert plausible(hits, 0.95, MANY - unbounded)


def test_share_is_undefined_where_the_whole_is_not_above_zero_beyond_doubt():
    part = np.array([0.3, 0.5, 0.4])
    for whole in (np.array([0.5, -0.2, 0.3]), np.array([-1.0, -1.1, -0.9]), np.array([0.5, 0.5])):
        share = share_interval(part[: len(whole)], whole)
        assert np.isnan(share.estimate)
        assert share.reason
    assert share_interval(part, np.array([1.0, 1.1, 0.9])).reason is None


@pytest.mark.parametrize("n", [3, 10])
def test_equivalence_is_claimed_wrongly_at_its_stated_rate(n):
    draws = np.random.default_rng(n).normal(0.01, 0.004, size=(MANY, n))
    claims = sum(evidence(values).equivalence_p(0.01) < 0.05 for values in draws)
    assert plausible(claims, 0.05)


def test_equivalence_needs_a_spread_or_three_that_agree():
    assert np.isnan(evidence(np.array([0.001])).equivalence_p(0.01))
    assert np.isnan(evidence(np.array([0.0, 0.0])).equivalence_p(0.01))
    assert evidence(np.array([0.0, 0.0, 0.0])).equivalence_p(0.01) == 0
    assert evidence(np.array([0.01, 0.01, 0.01])).equivalence_p(0.01) == 1
    assert evidence(np.array([0.001, -0.001, 0.0])).equivalence_p(0.01) < 0.05


def share(baseline, part, whole):
    return share_of_speedup({"random": baseline, "mean_var": part, "pretrained": whole})


BASE, PART, WHOLE = at(100, 110, 120), at(50, 57, 61), at(24, 27, 31)


def test_a_share_of_exact_steps_is_that_of_their_logs():
    measured, logs = share(BASE, PART, WHOLE), [np.log([c.best for c in runs]) for runs in (BASE, PART, WHOLE)]
    assert measured == share_interval(logs[0] - logs[1], logs[0] - logs[2])
    assert measured.reason is None


def test_a_whole_that_was_there_at_once_bounds_the_share_from_above():
    exact, measured = share(BASE, PART, at(30, 30, 30)), share(BASE, PART, [by(30)] * 3)
    assert (measured.low, measured.high) == (0, exact.high)
    assert measured.estimate == exact.estimate
    assert measured.reason == "bounded only: 3 of 3 pretrained runs were there by their first evaluation"
    assert exact.reason is None


def test_a_baseline_that_never_gets_there_bounds_the_share_from_below():
    exact, measured = share(at(100, 110, 120), PART, WHOLE), share([*at(100, 110), never(120)], PART, WHOLE)
    assert (measured.low, measured.high) == (exact.low, 1)


def test_a_part_that_never_gets_there_has_no_least_share():
    measured = share(BASE, [*at(50, 57), never(300)], WHOLE)
    assert measured.low == -np.inf
    assert measured.high < np.inf
    assert share(BASE, [*at(50, 57), by(20)], WHOLE).high == np.inf


def test_bounds_on_two_groups_or_on_the_wrong_side_leave_a_share_undefined():
    for groups in ((BASE, [never(300)] * 3, [by(30)] * 3), ([by(90)] * 3, PART, WHOLE), (BASE, PART, [never(300)] * 3)):
        measured = share(*groups)
        assert np.isnan([measured.estimate, measured.low, measured.high]).all()
        assert measured.reason


def test_a_bounded_share_covers_the_truth():
    generator, hits = np.random.default_rng(0), 0
    for _ in range(MANY):
        logs = np.log([100, 50, 10])[:, None] + generator.normal(0, 0.1, (3, 3))
        baseline, part = (at(*np.exp(row)) for row in logs[:2])
        measured = share(baseline, part, [by(30)] * 3)
        hits += measured.low <= np.log(2) / np.log(10) <= measured.high
    assert hits >= stats.binom.ppf(1e-4, MANY, 0.95)


def test_an_end_beyond_every_number_is_open_and_no_warning():
    soon, late = (Crossing(step - 1, step, step + 1) for step in (10, 100))
    found = ratio_interval([soon, soon], [soon, late], level=0.99999)
    assert (found.low, found.high) == (0, np.inf)
    assert np.isnan(found.estimate)
