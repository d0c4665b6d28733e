"""What every measure of the registry owes, and that everything which lists measures lists them all."""

import itertools
import math
import re
from typing import get_args

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from transfusion import cli, similarity, terms
from transfusion.similarity import MEASURES, Sums, judge
from transfusion.similarity.arrays import similarity as similarity_of

N, WIDTH_X, WIDTH_Y = 600, 8, 6


def _related(seed=0):
    draw = np.random.default_rng(seed)
    shared = draw.normal(size=(N, 5))
    sides = (shared @ draw.normal(size=(5, width)) + draw.normal(size=(N, width)) for width in (WIDTH_X, WIDTH_Y))
    return tuple(sides)


def _from_sums(measure, *parts):
    sums = Sums((WIDTH_X, WIDTH_Y))
    for x, y in parts:
        sums.update([torch.from_numpy(x), torch.from_numpy(y)])
    ((_, _, pair),) = sums.pairs()
    return judge(measure, pair)


@pytest.mark.parametrize("name", MEASURES)
class TestMeasure:
    def test_identical_representations_score_one(self, name):
        x, _ = _related()
        assert similarity_of(MEASURES[name], x, x).value == pytest.approx(1, abs=1e-9)

    def test_unrelated_ones_score_their_baseline_and_related_ones_more(self, name):
        x, y = _related()
        _, other = _related(seed=1)
        unrelated, related = (similarity_of(MEASURES[name], x, each) for each in (other, y))
        assert unrelated.value == pytest.approx(unrelated.baseline, abs=0.05)
        assert related.value > related.baseline + 0.2

    def test_swapping_the_two_swaps_both_directions(self, name):
        x, y = _related()
        there, back = similarity_of(MEASURES[name], x, y), similarity_of(MEASURES[name], y, x)
        assert (there.value, there.reverse) == pytest.approx((back.reverse, back.value), abs=1e-10)
        assert there.ranks == back.ranks[::-1]

    def test_overall_scale_and_offset_do_not_matter(self, name):
        x, y = _related()
        moved = similarity_of(MEASURES[name], -3e4 * x + 7, y)
        assert moved.value == pytest.approx(similarity_of(MEASURES[name], x, y).value, abs=1e-9)

    def test_the_pairing_matters_and_the_order_does_not(self, name):
        x, y = _related()
        order = np.random.default_rng(0).permutation(N)
        value = similarity_of(MEASURES[name], x, y).value
        assert similarity_of(MEASURES[name], x[order], y[order]).value == pytest.approx(value, abs=1e-9)
        assert similarity_of(MEASURES[name], x[order], y).value < value - 0.1

    def test_batches_add_up_to_the_arrays(self, name):
        x, y = _related()
        parts = [(x[a:b], y[a:b]) for a, b in itertools.pairwise((0, 7, 200, N))]
        assert _from_sums(MEASURES[name], *parts).value == pytest.approx(
            similarity_of(MEASURES[name], x, y).value, abs=1e-9
        )

    def test_the_container_does_not_matter(self, name):
        x, y = (each.astype(np.float32) for each in _related())
        expected = similarity_of(MEASURES[name], x, y)
        for found in (similarity_of(MEASURES[name], *pair) for pair in ((x.astype("f8"), y), (torch.tensor(x), y))):
            assert found.value == pytest.approx(expected.value, abs=1e-9)
            assert found.ranks == expected.ranks

    def test_a_dead_feature_is_left_out_and_told(self, name):
        x, y = _related()
        found = similarity_of(MEASURES[name], np.column_stack([x, np.full(N, 0.1)]), y)
        assert found.value == pytest.approx(similarity_of(MEASURES[name], x, y).value, abs=1e-9)
        assert "1 of 9 features of x are constant and left out." in found.warnings

    def test_no_value_comes_with_its_reason(self, name):
        _, y = _related()
        found = similarity_of(MEASURES[name], np.ones((N, 2)), y)
        assert math.isnan(found.value)
        assert "No value: x is constant." in found.warnings


FUNCTIONS = {
    **{name: (getattr(similarity, name), {}) for name in ("cca", "svcca", "pwcca", "linear_cka", "procrustes")},
    "cca_squared": (similarity.cca, {"squared": True}),
    "debiased_cka": (similarity.linear_cka, {"debiased": True}),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_gives_what_the_measure_of_its_name_gives(name):
    function, options = FUNCTIONS[name]
    x, y = _related()
    assert function(x, y, **options).value == similarity_of(MEASURES[name], x, y).value


def test_the_vocabulary_and_the_help_name_every_measure():
    assert get_args(terms.Measure) == tuple(MEASURES)
    said = CliRunner().invoke(cli.transfusion, ["compare", "--help"]).output
    assert all(re.search(rf"\b{name}\b", said) for name in MEASURES)
