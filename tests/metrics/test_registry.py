import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from transfusion import metrics
from transfusion.errors import InputError, UnknownNameError
from transfusion.metrics import bootstrap


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


def test_delong_by_patient_sees_that_copies_are_no_new_cases(generator):
    labels = np.repeat(np.arange(40) % 2, 10)
    scores = np.repeat(generator.normal(size=40), 10) + labels
    patients = np.repeat(np.arange(40), 10)
    clustered, once = metrics.delong(labels, scores, patients=patients), metrics.delong(labels[::10], scores[::10])
    drawn = metrics.bootstrap_auc(labels, scores, patients=patients)
    assert clustered.n == 40
    assert (clustered.low, clustered.high) == pytest.approx((once.low, once.high), abs=0.01)
    assert (clustered.low, clustered.high) == pytest.approx((drawn.low, drawn.high), abs=0.05)


def test_few_positive_patients_and_a_high_auc_are_covered(generator):
    """The percentile bootstrap covers some 89 % here."""
    labels, patients, inside = np.repeat([1, 0], [20, 100]).repeat(2), np.arange(120).repeat(2), 0
    for _ in range(400):
        level = generator.normal(size=120)[patients] + 0.5 * generator.normal(size=240)
        found = metrics.delong(labels, level + stats.norm.ppf(0.9) * np.sqrt(2.5) * labels, patients=patients)
        inside += found.low <= 0.9 <= found.high
    assert stats.binom.ppf(1e-4, 400, 0.95) <= inside


@pytest.mark.parametrize("scores", [[1, 2, 3, 4], [4, 3, 2, 1], [1, 1, 1, 1]])
def test_delong_by_patient_is_wide_where_its_variance_says_nothing(scores):
    measured = metrics.delong([0, 0, 1, 1], scores, patients=["a", "b", "c", "d"])
    assert measured.high - measured.low > 0.8
    assert "2 disjoint pairs" in measured.reason


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


def slow_bootstrap(labels, scores, patients, num):
    """The same draws, one by one, and the AUC from its definition."""
    owners, draw = np.unique(patients, return_inverse=True)[1], np.random.default_rng(0)
    n = owners.max() + 1
    for _ in range(num):
        rows = np.concatenate([np.flatnonzero(owners == owner) for owner in draw.integers(0, n, n)])
        yield count_pairs(labels[rows], scores[rows])


def test_all_draws_at_once_are_the_draws_one_by_one(generator, monkeypatch):
    labels, scores, patients = np.arange(36) % 2, generator.normal(size=36).round(1), np.arange(36) // 3
    ends = np.quantile(list(slow_bootstrap(labels, scores, patients, 40)), (0.025, 0.975))
    for most_cells in (1, 300, 2**18):  # a draw at a time, a few, all
        monkeypatch.setattr(bootstrap, "MOST_CELLS", most_cells)
        measured = metrics.bootstrap_auc(labels, scores, patients, num=40)
        assert (measured.low, measured.high) == pytest.approx(tuple(ends))


def test_draws_of_one_class_are_left_out_and_counted():
    labels, scores = np.array([0] * 9 + [1] * 2), np.r_[np.arange(9), 4.5, 7.5]
    measured = metrics.bootstrap_auc(labels, scores, num=500)
    num = int(measured.reason.split(" ")[0])
    assert stats.binom.ppf(1e-4, 500, (9 / 11) ** 11) <= num <= stats.binom.ppf(1 - 1e-4, 500, (9 / 11) ** 11)
    assert metrics.bootstrap_auc(np.arange(60) % 2, np.arange(60) % 7, num=500).reason is None


def test_one_event_is_judged_as_by_itself(generator):
    labels, scores = np.arange(60) % 2, generator.random(60)
    columns = labels[:, None], scores[:, None]
    assert metrics.auc_interval(*columns) == metrics.delong(labels, scores)
    patients = np.arange(60) // 4
    assert metrics.auc_interval(*columns, patients) == metrics.delong(labels, scores, patients=patients)
    assert metrics.auc_interval(*columns) != metrics.auc_interval(*columns, patients)


def test_the_interval_of_a_mean_keeps_that_events_share_their_cases(generator):
    outcomes, scores = np.arange(80)[:, None] % 2, generator.normal(size=(80, 1)) + np.arange(80)[:, None] % 2
    single = metrics.bootstrap_auc(outcomes[:, 0], scores[:, 0])
    same = metrics.auc_interval(outcomes.repeat(3, 1), scores.repeat(3, 1))
    assert (same.estimate, same.low, same.high) == pytest.approx((single.estimate, single.low, single.high))
    apart = metrics.auc_interval(outcomes.repeat(3, 1), generator.normal(size=(80, 3)) + outcomes)
    assert apart.high - apart.low < 0.8 * (same.high - same.low)


def test_the_mean_leaves_out_what_has_one_outcome_and_what_is_unlabelled(generator):
    outcomes, scores = (generator.random((50, 3)) < 0.5).astype(float), generator.random((50, 3))
    outcomes[:10] = np.nan
    outcomes[10:, 2] = 1
    measured = metrics.auc_interval(outcomes, scores)
    assert measured.n == 40
    assert measured.estimate == pytest.approx(np.mean([count_pairs(outcomes[10:, k], scores[10:, k]) for k in (0, 1)]))
    assert metrics.auc_interval(outcomes, scores, np.arange(50) // 5).n == 8
    outcomes[:, :2] = 0
    assert metrics.auc_interval(outcomes, scores).reason == "no class has cases of both kinds"
    assert metrics.auc_interval(outcomes * np.nan, scores).reason == "no case is labelled"


def test_a_class_that_draws_cannot_judge_makes_the_mean_wide(generator):
    outcomes = np.stack([np.arange(60) % 2, np.arange(60) < 3], axis=1)
    scores = np.stack([generator.random(60) + 0.5 * outcomes[:, 0], outcomes[:, 1]], axis=1)
    measured = metrics.auc_interval(outcomes, scores)
    alone = metrics.delong(outcomes[:, 1], scores[:, 1])
    assert measured.reason.startswith("1 of 2 classes are separated perfectly")
    assert measured.low < (alone.low + 1) / 2
    sure = metrics.auc_interval(outcomes[:, [0, 0]], scores[:, [0, 0]])
    assert sure.reason is None
    assert sure.high - sure.low < measured.high - measured.low


@pytest.mark.parametrize(
    ("outcomes", "scores", "patients", "message"),
    [
        ([[0], [2]], [[0.5], [0.5]], None, "0, 1 or NaN"),
        ([0, 1], [0.5, 0.5], None, "one of each per example and event"),
        ([[0], [1]], [[0.5], [np.nan]], None, "1 of 2 probabilities are NaN"),
        ([[0], [1]], [[0.5], [0.5]], ["a"], "one patient per example"),
    ],
)
def test_intervals_of_a_mean_name_bad_input(outcomes, scores, patients, message):
    with pytest.raises(InputError, match=message):
        metrics.auc_interval(outcomes, scores, patients)


def test_events_are_what_evaluate_judges(graded):
    scores, labels = graded
    outcomes, probabilities = metrics.events("graded", scores, labels, positive=2)
    assert roc_auc_score(outcomes, probabilities) == metrics.evaluate("graded", scores, labels, positive=2)["auc"]
    assert metrics.events("multiclass", scores, labels)[0].shape == (200, 5)


def test_reliability_of_honest_and_of_boastful_probabilities(generator):
    truth = generator.random(4000)
    outcomes = generator.random(4000) < truth
    honest, boastful = metrics.reliability(outcomes, truth), metrics.reliability(outcomes, (truth > 0.5) * 0.98 + 0.01)
    assert list(honest.n) == [400] * 10
    assert np.abs(honest.observed - honest.predicted).max() < 4.5 * 0.5 / np.sqrt(400)
    assert list(boastful.predicted) == pytest.approx([0.01, 0.99])
    assert list(boastful.observed) == pytest.approx([0.25, 0.75], abs=0.05)
    assert boastful.n.sum() == 4000


def test_reliability_parts_no_equal_probabilities_and_leaves_out_the_unlabelled():
    bins = metrics.reliability([1, 1, 0, 0, np.nan], [1.0, 1.0, 1.0, 0.2, 0.2], num_bins=4)
    assert (list(bins.predicted), list(bins.n)) == ([0.2, 1.0], [1, 3])
    assert list(bins.observed) == pytest.approx([0, 2 / 3])
    assert not len(metrics.reliability([np.nan], [0.5]).n)
    with pytest.raises(InputError, match="one of each"):
        metrics.reliability([0, 1], [0.5])
