"""Every metric goes through one class of checks; what an evaluation measures is a metric with a name."""

import math

import numpy as np
import pandas as pd
import pytest

from transfusion import conclude, metrics
from transfusion.errors import InputError, UnknownNameError
from transfusion.metrics import METRICS, metric_of
from transfusion.runs.train import JUDGED

BESIDE = {"step", "train_loss", "time_s"}  # of a curve, which measure nothing on images


def measured():
    draw = np.random.default_rng(0)
    scores = draw.dirichlet(np.ones(3), 40)
    return metrics.evaluate("multiclass", scores, draw.integers(0, 3, 40))


def curves(metric):
    rows = [
        {"run": f"{start}{seed}", "scheme": start, "seed": seed, "step": step, metric: 0.5 + 0.001 * step + 0.01 * seed}
        for start in ("pretrained", "random") for seed in range(3) for step in range(0, 101, 10)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize("name", METRICS)
class TestMetric:
    def test_it_is_named(self, name):
        metric = metric_of(name)
        assert (metric.name, metric.column) == (name, name)
        assert metric.title
        assert metric.margin > 0

    def test_an_evaluation_measures_it(self, name):
        assert name in {*measured(), "loss"}

    def test_its_best_is_where_better_values_lie(self, name):
        metric = metric_of(name)
        if metric.higher_is_better is not None:
            assert (metric.limit > 0) == metric.higher_is_better
        if not math.isnan(metric.chance):
            assert metric.chance < metric.limit

    def test_it_judges_just_when_higher_is_better_on_every_split(self, name):
        for column in (name, f"val_{name}", f"test_{name}", f"train_{name}"):
            if metric_of(name).higher_is_better:
                assert conclude(curves(column), metric=column).judge.title == METRICS[name].title
            else:
                with pytest.raises(InputError, match=f"Higher is not better for '{column}'"):
                    conclude(curves(column), metric=column)

    def test_a_validation_split_records_it_if_it_judges_or_is_the_loss(self, name):
        assert (name in JUDGED) == (bool(metric_of(name).higher_is_better) or name == "loss")


def test_everything_that_is_measured_is_a_metric():
    for name in measured():
        assert metric_of(name).title


@pytest.mark.parametrize("name", ["rmse", "nll", "time_s", "auc:9", "auc:none"])
def test_what_is_not_known_is_not_guessed(name):
    with pytest.raises(UnknownNameError, match="There is no"):
        metric_of(name, ("well", "ill"))


def test_a_class_is_called_by_its_name_or_number():
    by_name, by_number = metric_of("auc:ill", ("well", "ill")), metric_of("auc:1", ("well", "ill"))
    assert by_name.column == by_number.column == "auc_1"
    assert by_name.title == by_number.title == "AUC of ill"
