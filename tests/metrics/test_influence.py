import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from transfusion.errors import InputError, UnknownNameError
from transfusion.metrics import delong_test, evaluate, influence
from transfusion.metrics.readers import contrast


def cases(num=60, seed=0, outputs=2):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, outputs, num)
    logits = generator.normal(size=(num, outputs)) + 1.2 * np.eye(outputs)[labels]
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return scores, labels


@pytest.mark.parametrize("metric", ["auc", "auprc", "accuracy", "auc_2"])
@pytest.mark.parametrize("kind", ["multiclass", "graded", "multilabel"])
def test_the_value_is_the_one_that_evaluate_gives(metric, kind):
    scores, labels = cases(outputs=3)
    truth = np.eye(3)[labels] if kind == "multilabel" else labels
    if kind == "multilabel":
        truth[5:9, 1] = np.nan
    found = influence(metric, kind, scores, truth, 1)
    assert found.value == pytest.approx(evaluate(kind, scores, truth, 1)[metric])


def test_delong_on_published_ratings():
    """109 CT images rated from 1 to 5 (Hanley and McNeil 1982); error and limits are those that Stata prints."""
    counts = np.array([[33, 6, 6, 11, 2], [3, 2, 2, 11, 33]])
    labels, ratings = np.repeat([0, 1], counts.sum(1)), np.concatenate([np.repeat(range(1, 6), row) for row in counts])
    positive = ratings / 6
    found = influence("auc", "binary", np.c_[1 - positive, positive], labels, 1)
    error = np.sqrt(found.variance)
    limits = found.value + error * stats.norm.ppf([0.025, 0.975])
    assert (found.value, error) == pytest.approx((0.8932, 0.0307), abs=5e-5)
    assert limits == pytest.approx([0.83295, 0.95339], abs=5e-6)


def test_two_models_differ_with_the_variance_of_delong():
    (a, labels), (b, _) = cases(), cases(seed=1)
    b[:, 1] = 0.5 * b[:, 1] + 0.4 * labels
    b[:, 0] = 1 - b[:, 1]
    found = contrast(*(influence("auc", "binary", scores, labels, 1) for scores in (a, b)))
    interval, _ = delong_test(labels, a[:, 1], b[:, 1])
    assert found.value == pytest.approx(interval.estimate)
    assert np.sqrt(found.variance) == pytest.approx((interval.high - interval.low) / 2 / 1.959964, rel=1e-6)


@pytest.mark.parametrize(("metric", "measure"), [("auc", roc_auc_score), ("auprc", average_precision_score)])
def test_influence_is_the_derivative_with_respect_to_a_patients_weight(metric, measure):
    scores, labels = cases(40)
    scores[:, 1] = np.round(scores[:, 1], 1)  # ties
    owners, step = np.arange(40) // 2, 1e-6
    found = influence(metric, "binary", np.c_[1 - scores[:, 1], scores[:, 1]], labels, 1, owners)
    positives, negatives = (len(np.unique(owners[labels == value])) for value in (1, 0))
    scale = np.sqrt([positives / (positives - 1), negatives / (negatives - 1)])
    for patient in (0, 7, 19):
        weights = 1 + step * (owners == patient)
        slope = (measure(labels, scores[:, 1], sample_weight=weights) - found.value) / step
        assert (found.by_patient[:, patient] / scale).sum() == pytest.approx(slope, abs=1e-4)


@pytest.mark.parametrize("metric", ["auc", "auprc", "accuracy"])
def test_the_variance_is_that_over_new_patients_who_have_several_images(metric):
    generator, values, variances = np.random.default_rng(3), [], []
    for _ in range(400):
        owners = np.repeat(np.arange(40), 3)
        labels = np.repeat(generator.integers(0, 2, 40), 3)
        latent = np.repeat(generator.normal(size=40), 3) + 0.3 * generator.normal(size=120) + 1.2 * labels - 0.6
        probability = 1 / (1 + np.exp(-latent))
        found = influence(metric, "binary", np.c_[1 - probability, probability], labels, 1, owners)
        values.append(found.value)
        variances.append(found.variance)
    assert np.mean(variances) == pytest.approx(np.var(values), rel=0.2)


def test_what_does_not_exist_is_nan_and_what_is_unknown_an_error():
    scores, labels = cases()
    assert np.isnan(influence("auc", "binary", scores, np.zeros_like(labels), 1).value)
    with pytest.raises(UnknownNameError, match="accuracy, auc_<index>, auc, auprc|auc"):
        influence("loss", "binary", scores, labels, 1)
    with pytest.raises(InputError, match="no class 7"):
        influence("auc_7", "binary", scores, labels, 1)
    with pytest.raises(InputError, match="one patient per example"):
        influence("auc", "binary", scores, labels, 1, patients=[1, 2])
