"""The reliability diagram and what is said of it."""

import numpy as np
import pandas as pd
import pytest

from transfusion.metrics import Interval
from transfusion.report import figures, single_models
from transfusion.report.judged import Model, Rule
from transfusion.report.palette import style_of


def model(start, seed, probabilities, outcomes):
    columns = np.asarray(outcomes, dtype=float)[:, None], np.asarray(probabilities, dtype=float)[:, None]
    return Model(start, seed, pd.Series(dtype=float), Interval(0.5, 0, 1, 4), *columns)


@pytest.fixture
def bins():
    """Two networks: one honest, one that is sure and wrong half of the time; two seeds of each."""
    honest, sure = ([0.25] * 4 + [0.75] * 4, [1, 0, 0, 0, 1, 1, 1, 0]), ([1.0] * 4, [1, 0, 1, 0])
    models = [model(start, seed, *pair) for seed in (0, 1) for start, pair in (("a$", honest), ("b", sure))]
    return single_models.pooled(models, {"a$": "pretrained", "b": "random"})


def test_bins_are_pooled_over_seeds(bins):
    assert list(bins["start"]) == ["a$", "a$", "b"]
    assert list(bins["predicted"]) == [0.25, 0.75, 1.0]
    assert list(bins["observed"]) == [0.25, 0.75, 0.5]
    assert list(bins["n"]) == [8, 8, 8]


def test_the_figure_shows_shares_and_their_distance_from_the_diagonal(bins):
    figure = figures.calibration(bins)
    shares, gaps = figure.axes
    diagonal, honest, sure = shares.get_lines()
    assert np.allclose(np.diff(diagonal.get_xy1()), np.diff(diagonal.get_xy2()))
    assert list(honest.get_ydata()) == [0.25, 0.75]
    assert list(sure.get_ydata()) == [0.5]
    assert [list(line.get_ydata()) for line in gaps.get_lines()[1:]] == [[0, 0], [-0.5]]
    assert honest.get_color() == style_of("pretrained").colour
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["a$ (8)", "b (8)"]
    assert not any(text.get_parse_math() for text in figure.legends[0].get_texts())


def test_the_alternative_text_has_the_numbers(bins):
    said = single_models.distances(bins)
    assert "a$ 0.000" in said
    assert "b 0.500, 0.500 too high on the whole" in said
    low = bins.assign(observed=bins["observed"].where(bins["start"] == "a$", 1.0), predicted=0.25)
    assert "too low on the whole" in single_models.distances(low)


def test_no_predictions_have_no_bins():
    assert not len(single_models.pooled([], {}))


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        (Rule("binary", 1, ("well", "ill")), "ill"),
        (Rule("graded", 1, ("none", "mild", "grave")), "mild or above"),
        (Rule("multiclass", None, ("a", "b", "c")), "each class, pooled over classes"),
        (Rule("multilabel", None, ("a", "b", "c")), "each label, pooled over labels"),
    ],
)
def test_what_the_probability_is_of(rule, what):
    assert rule.what == what
