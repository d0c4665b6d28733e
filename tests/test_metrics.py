import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from transfusion import metrics
from transfusion.errors import InputError, UnknownNameError


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.fixture
def graded(generator):
    labels = np.arange(200) % 5
    return softmax(generator.normal(size=(200, 5)) + 2 * np.eye(5)[labels]), labels


def count_pairs(labels, scores):
    """The AUC from its definition: the share of pairs in the right order, ties by half."""
    gaps = scores[labels == 1][:, None] - scores[labels == 0][None]
    return (np.sign(gaps) + 1).mean() / 2


def test_binary_auc_is_that_of_the_positive_class(generator):
    scores = softmax(generator.normal(size=(60, 2)))
    labels = np.arange(60) % 2
    auc = metrics.evaluate("binary", scores, labels, positive=1)["auc"]
    assert auc == pytest.approx(count_pairs(labels, scores[:, 1]))
    assert metrics.evaluate("binary", scores, labels, positive=0)["auc"] == pytest.approx(auc)


def test_graded_auc_takes_the_summed_probability_of_the_positive_grades(graded):
    scores, labels = graded
    measured = metrics.evaluate("graded", scores, labels, positive=2)
    assert measured["auc"] == pytest.approx(count_pairs((labels >= 2).astype(int), scores[:, 2:].sum(axis=1)))
    assert measured["auc"] != pytest.approx(count_pairs((labels >= 2).astype(int), scores[:, 2]))
    assert {f"auc_{grade}" for grade in range(5)} < measured.keys()


def test_multiclass_auc_is_the_macro_mean_of_one_against_the_rest(graded):
    scores, labels = graded
    measured = metrics.evaluate("multiclass", scores, labels)
    assert measured["auc"] == pytest.approx(roc_auc_score(labels, scores, multi_class="ovr"))
    assert measured["auc"] == pytest.approx(np.mean([measured[f"auc_{label}"] for label in range(5)]))
    assert measured["accuracy"] == pytest.approx((scores.argmax(axis=1) == labels).mean())


def test_a_class_with_one_label_only_is_nan_left_out_and_counted(graded):
    scores, labels = graded
    kept = labels != 3
    measured = metrics.evaluate("multiclass", scores[kept], labels[kept])
    assert np.isnan(measured["auc_3"])
    assert measured["num_undefined_auc"] == 1
    assert measured["auc"] == pytest.approx(np.mean([measured[f"auc_{label}"] for label in (0, 1, 2, 4)]))
    assert metrics.evaluate("multiclass", scores, labels)["num_undefined_auc"] == 0


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only_has_no_auc_at_all(label):
    measured = metrics.evaluate("binary", [[0.2, 0.8], [0.6, 0.4]], [label, label], positive=1)
    assert np.isnan(measured["auc"])
    assert np.isnan(measured["auprc"])
    assert measured["num_undefined_auc"] == 1
    assert 0 <= measured["brier"] <= 1


def test_multilabel_ignores_what_is_unlabelled(generator):
    scores, labels = generator.random((50, 3)), (generator.random((50, 3)) < 0.4).astype(float)
    labels[:10, 1] = np.nan
    measured = metrics.evaluate("multilabel", scores, labels)
    assert measured["auc_1"] == pytest.approx(count_pairs(labels[10:, 1], scores[10:, 1]))
    scores[:10, 1] = 0.99
    assert metrics.evaluate("multilabel", scores, labels) == measured
    scores[10:20, 1] = 0.99
    assert metrics.evaluate("multilabel", scores, labels) != measured


def test_calibration_is_perfect_for_frequencies_and_bad_for_certainty_that_errs():
    labels = np.array([1] * 8 + [0] * 2)
    honest = metrics.evaluate("binary", np.tile([0.2, 0.8], (10, 1)), labels, positive=1)
    sure = metrics.evaluate("binary", np.tile([0.0, 1.0], (10, 1)), labels, positive=1)
    assert honest["ece"] == pytest.approx(0)
    assert honest["brier"] == pytest.approx(0.8 * 0.2)
    assert sure["ece"] == pytest.approx(0.2)
    assert sure["brier"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("kind", "scores", "labels", "positive", "message"),
    [
        ("binary", [[0.5, np.nan], [0.5, 0.5]], [0, 1], 1, "1 of 2 examples are NaN"),
        ("binary", [[3.0, -3.0]], [0], 1, "give probabilities"),
        ("binary", [0.5, 0.5], [0, 1], 1, "one row per example"),
        ("binary", [[0.5, 0.5]], [2], 1, "whole numbers from 0 to 1"),
        ("binary", [[0.5, 0.5]], [0, 1], 1, "one label per row"),
        ("binary", [[0.5, 0.5]], [0], None, "positive=None"),
        ("graded", [[0.5, 0.5]], [0], 2, "give 0 to 1"),
        ("multilabel", [[0.5, 0.5]], [[0, 2]], None, "0, 1 or NaN"),
        ("multilabel", [[0.5, 0.5]], [0], None, "one of each per example and label"),
    ],
)
def test_bad_input_is_named(kind, scores, labels, positive, message):
    with pytest.raises(InputError, match=message):
        metrics.evaluate(kind, scores, labels, positive)


def test_an_unknown_kind_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="multilabel"):
        metrics.evaluate("multi-label", [[0.5]], [[1]])


def test_delong_variance_agrees_with_its_definition(generator):
    labels, scores = np.arange(40) % 2, generator.normal(size=40).round(1)
    wins = (np.sign(scores[labels == 1][:, None] - scores[labels == 0][None]) + 1) / 2
    error = np.sqrt(wins.mean(axis=1).var(ddof=1) / 20 + wins.mean(axis=0).var(ddof=1) / 20)
    measured, auc = metrics.delong(labels, scores), wins.mean()
    assert measured.estimate == pytest.approx(auc)
    margin = 1.959964 * error / (auc * (1 - auc))
    ends = 1 / (1 + np.exp(-(np.log(auc / (1 - auc)) + np.array([-margin, margin]))))
    assert (measured.low, measured.high) == pytest.approx(ends)


def test_delong_interval_covers_the_true_auc(generator):
    labels, true_auc = np.arange(80) % 2, stats.norm.cdf(1 / np.sqrt(2))
    intervals = [metrics.delong(labels, generator.normal(size=80) + labels) for _ in range(1000)]
    hits = sum(i.low <= true_auc <= i.high for i in intervals)
    assert stats.binom.ppf(1e-3, 1000, 0.94) <= hits <= stats.binom.ppf(1 - 1e-3, 1000, 0.96)


def test_perfect_separation_is_wide_and_says_why():
    measured = metrics.delong([0] * 50 + [1] * 10, np.arange(60))
    assert measured.estimate == measured.high == 1
    assert measured.low == pytest.approx(0.025**0.1)
    assert measured.reason == "perfect separation: interval of 10 disjoint pairs of cases"
    assert metrics.delong([1] * 10 + [0] * 50, np.arange(60)).low == 0


def test_the_interval_at_perfect_separation_keeps_its_level(generator):
    labels = np.array([0] * 40 + [1] * 5)
    true_auc = 0.025 ** (1 / 5)  # the hardest: the lower end is just missed
    shift = np.sqrt(2) * stats.norm.ppf(true_auc - 1e-3)
    perfect = [metrics.delong(labels, generator.normal(size=45) + shift * labels).estimate == 1 for _ in range(800)]
    assert np.mean(perfect) < 0.025


@pytest.mark.parametrize(
    ("labels", "scores"), [([0, 0, 0, 1], [1, 2, 3, 2.5]), ([0, 1, 0, 1], [1.0, 1.0, 1.0, 1.0])], ids=["one", "ties"]
)
def test_variances_that_cannot_be_estimated_give_a_wide_interval(labels, scores):
    measured = metrics.delong(labels, scores)
    assert measured.reason is not None
    assert measured.high - measured.low > 0.8


def test_one_class_gives_nan_and_a_reason():
    for measured in (metrics.delong([1, 1], [0, 1]), metrics.bootstrap_auc([1, 1], [0, 1])):
        assert np.isnan([measured.estimate, measured.low, measured.high]).all()
        assert measured.to_dict()["reason"] == "one class is absent"


def test_delong_test_has_its_level_and_sees_a_real_difference(generator):
    labels = np.arange(100) % 2
    p_values = []
    for _ in range(1000):
        shared = generator.normal(size=100) + labels
        a, b = shared + generator.normal(size=(2, 100))
        p_values.append(metrics.delong_test(labels, a, b)[1])
    alarms = np.sum(np.array(p_values) < 0.05)
    assert stats.binom.ppf(1e-3, 1000, 0.04) <= alarms <= stats.binom.ppf(1 - 1e-3, 1000, 0.06)
    difference, p = metrics.delong_test(labels, labels + 0.3 * generator.normal(size=100), generator.normal(size=100))
    assert difference.low > 0
    assert p < 1e-3


def test_delong_test_of_a_model_with_itself_claims_nothing():
    difference, p = metrics.delong_test([0, 1, 0, 1], [1, 2, 3, 4], [1, 2, 3, 4])
    assert difference.estimate == 0
    assert difference.low < 0 < difference.high
    assert np.isnan(p)
    assert "variance of the difference is 0" in difference.reason


def test_bootstrap_agrees_with_delong_when_every_image_is_a_patient(generator):
    labels = np.arange(200) % 2
    scores = generator.normal(size=200) + labels
    bootstrap, delong = metrics.bootstrap_auc(labels, scores), metrics.delong(labels, scores)
    assert bootstrap.estimate == pytest.approx(delong.estimate)
    assert (bootstrap.low, bootstrap.high) == pytest.approx((delong.low, delong.high), abs=0.015)


def test_bootstrap_by_patient_sees_that_copies_are_no_new_cases(generator):
    labels = np.repeat(np.arange(40) % 2, 10)
    scores = np.repeat(generator.normal(size=40), 10) + labels
    clustered = metrics.bootstrap_auc(labels, scores, patients=np.repeat(np.arange(40), 10))
    naive = metrics.bootstrap_auc(labels, scores)
    assert clustered.n == 40
    assert clustered.high - clustered.low > 2 * (naive.high - naive.low)


def test_bootstrap_is_a_function_of_its_seed():
    labels, scores = np.arange(30) % 2, np.arange(30) * 7 % 11
    first, again, other = (metrics.bootstrap_auc(labels, scores, seed=seed, num=50) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_bootstrap_of_two_patients_is_wide():
    measured = metrics.bootstrap_auc([0, 0, 1, 1], [1, 3, 2, 4], patients=["a", "a", "b", "b"])
    assert measured.n == 2
    assert (measured.low, measured.high) == pytest.approx((0, 1), abs=0.02)
    assert "1 disjoint pairs" in measured.reason


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [([0, 1], [1.0], "one of each"), ([0, 2], [1.0, 2.0], "0 or 1"), ([0, 1], [np.nan, 1.0], "1 of 2 scores are NaN")],
)
def test_intervals_name_bad_input(labels, scores, message):
    for interval in (metrics.delong, metrics.bootstrap_auc):
        with pytest.raises(InputError, match=message):
            interval(labels, scores)


def test_patients_must_fit_and_levels_must_be_levels():
    with pytest.raises(InputError, match="one patient per example"):
        metrics.bootstrap_auc([0, 1], [1, 2], patients=["a"])
    with pytest.raises(InputError, match="0.95"):
        metrics.delong([0, 1, 0, 1], [1, 2, 3, 2], level=95)
