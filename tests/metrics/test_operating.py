"""Operating points against scikit-learn, statsmodels' closed forms and simulation."""

import numpy as np
import pytest
from scipy.integrate import trapezoid
from sklearn.metrics import recall_score, roc_auc_score

from transfusion.errors import InputError
from transfusion.metrics import confusion, rate_interval, rates, roc, threshold_at


def cases(n=200, seed=0, share=0.3):
    draw = np.random.default_rng(seed)
    outcomes = (draw.random(n) < share).astype(float)
    return outcomes, np.round(1 / (1 + np.exp(-draw.normal(1.5 * outcomes - 0.5))), 2)


@pytest.mark.parametrize("threshold", [0.0, 0.37, 0.5, 1.1])
def test_rates_are_those_of_scikit_learn(threshold):
    outcomes, scores = cases()
    sensitivity, specificity = rates(outcomes, scores, threshold)
    called = scores >= threshold
    assert sensitivity.value == pytest.approx(recall_score(outcomes, called, zero_division=0))
    assert specificity.value == pytest.approx(recall_score(outcomes, called, pos_label=0, zero_division=0))


def test_unlabelled_cases_do_not_count():
    sensitivity, specificity = rates([1, 1, 0, np.nan, np.nan], [0.9, 0.1, 0.2, 0.9, 0.1], 0.5)
    assert (sensitivity.value, specificity.value) == (0.5, 1.0)
    assert (sensitivity.num_positive, specificity.num_positive) == (2, 1)


def test_the_area_under_the_curve_is_scikit_learn_s():
    outcomes, scores = cases(seed=3)
    found = roc(outcomes, scores)
    assert trapezoid(found.sensitivity, 1 - found.specificity) == pytest.approx(roc_auc_score(outcomes, scores))
    assert (found.sensitivity[0], found.specificity[0]) == (0, 1)
    assert (found.sensitivity[-1], found.specificity[-1]) == (1, 0)


@pytest.mark.parametrize("wanted", [0.5, 0.9, 0.95, 1.0])
def test_the_threshold_is_the_highest_that_finds_enough(wanted):
    outcomes, scores = cases(seed=1)
    threshold = threshold_at(outcomes, scores, wanted)
    higher = min(scores[scores > threshold], default=2.0)
    assert rates(outcomes, scores, threshold)[0].value >= wanted - 1e-9
    assert rates(outcomes, scores, higher)[0].value < wanted


def test_a_share_that_is_met_exactly_is_met():
    assert threshold_at([1] * 20 + [0], [*np.arange(20) / 20, 0.0], 0.95) == 0.05  # 19 of 20


def test_one_network_on_independent_cases_has_wilson_s_interval():
    # Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263 gives 0.2553 to 0.3662 by Wilson's method
    found = rate_interval([rates(np.ones(263), np.r_[np.ones(81), np.zeros(182)], 0.5)[0]])
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=1.5e-3)  # t with 262 degrees, not normal


def test_all_cases_found_is_not_surely_all():
    found = rate_interval([rates(np.ones(10), np.ones(10), 0.5)[0]] * 5)
    assert (found.estimate, found.high) == pytest.approx((1.0, 1.0))
    assert found.low == pytest.approx(0.7225, abs=1e-4)  # Wilson, 10 of 10


def test_images_of_one_patient_count_less():
    draw = np.random.default_rng(0)
    called = np.repeat(draw.random(40) < 0.7, 5).astype(float)
    alone = rate_interval([rates(np.ones(200), called, 0.5)[0]])
    whose = rate_interval([rates(np.ones(200), called, 0.5, np.repeat(np.arange(40), 5))[0]])
    by_patient = rate_interval([rates(np.ones(40), called[::5], 0.5)[0]])
    assert whose.high - whose.low > 2 * (alone.high - alone.low)
    assert (whose.low, whose.high) == pytest.approx((by_patient.low, by_patient.high))


def test_no_case_of_a_kind_is_unknown_and_says_so():
    found = rate_interval([rates(np.zeros(5), np.ones(5), 0.5)[0]])
    assert np.isnan(found.estimate)
    assert found.reason == "there is no case of this kind"


def test_the_interval_covers_other_trainings_and_other_patients():
    """Patients differ in how hard they are, trainings in how strict: 95 % of intervals hold the true share."""
    draw, truth, hits = np.random.default_rng(7), 0.0, 0
    strict, hard = 0.4, 1.0
    ability = draw.normal(size=(200, 2000))
    truth = float((1.2 + hard * ability + strict * draw.normal(size=(200, 2000)) > 0).mean())
    for _ in range(400):
        patients, trainings = draw.normal(size=60), draw.normal(size=4)
        own = [rates(np.ones(60), (1.2 + hard * patients + strict * each > 0) * 1.0, 0.5)[0] for each in trainings]
        found = rate_interval(own)
        hits += found.low <= truth <= found.high
    assert 0.92 <= hits / 400 <= 0.995


def test_confusion_counts_truth_in_rows():
    assert confusion([0, 0, 2], [0, 2, 2], 3).tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: roc([1, 1], [0.1, 0.2]), "both kinds"),
        (lambda: threshold_at([0, 0], [0.1, 0.2], 0.95), "no positive case"),
        (lambda: threshold_at([0, 1], [0.1, 0.2], 0), "not possible"),
        (lambda: rates([0, 1], [0.1], 0.5), "one of each per example"),
        (lambda: rates([0, 1], [0.1, np.nan], 0.5), "NaN"),
    ],
)
def test_what_cannot_be_told_is_one_line(call, said):
    with pytest.raises(InputError, match=said):
        call()
