"""The public measures: right answers on easy and hard data, and what they ignore and do not ignore."""

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transfusion.errors import InputError
from transfusion.similarity import cca, linear_cka, procrustes, pwcca, svcca

MEASURES = {
    "cca": (cca, lambda x, y: reference.canonical_correlations(x, y).mean()),
    "cca_squared": (
        lambda x, y: cca(x, y, squared=True),
        lambda x, y: (reference.canonical_correlations(x, y) ** 2).mean(),
    ),
    "pwcca": (pwcca, reference.pwcca),
    "linear_cka": (linear_cka, reference.linear_cka),
    "debiased_cka": (lambda x, y: linear_cka(x, y, debiased=True), reference.debiased_cka),
    "procrustes": (procrustes, reference.procrustes),
}
every_measure = pytest.mark.parametrize(("measure", "expected"), MEASURES.values(), ids=MEASURES)


@every_measure
@pytest.mark.parametrize("width_x", [1, 6, 20])
def test_agrees_with_the_definition(measure, expected, width_x):
    x, y = reference.related(width_x=width_x)
    assert float(measure(x, y)) == pytest.approx(expected(x, y), abs=1e-9)


@every_measure
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_agrees_on_what_other_types_hold(measure, expected, dtype):
    x, y = (torch.from_numpy(each).to(dtype) for each in reference.related())
    assert float(measure(x, y)) == pytest.approx(expected(x.double(), y.double()), abs=1e-9)


@every_measure
def test_identical_representations_score_one_and_never_more(measure, expected):
    x, _ = reference.related()
    assert 1 - 1e-12 < float(measure(x, x)) <= 1


@every_measure
def test_huge_means_cost_no_accuracy(measure, expected):
    x, y = reference.related()
    assert float(measure(x + 1e5, y - 1e5)) == pytest.approx(expected(x, y), abs=1e-9)


@every_measure
def test_constant_features_are_left_out_and_said_so(measure, expected):
    x, y = reference.related()
    dead = np.hstack([x, np.full((len(x), 1), np.pi * 1e4), np.zeros((len(x), 1))]).astype(np.float32)
    answer = measure(dead, y)
    assert float(answer) == pytest.approx(expected(x.astype(np.float32), y), abs=1e-9)
    assert any("2 of 10 features of x are constant" in warning for warning in answer.warnings)


def test_what_only_rounding_moves_counts_as_constant():
    x, y = (each.astype(np.float32) for each in reference.related())
    jitter = np.float32(1e6) + np.random.default_rng(0).choice([0, 0.0625], len(x)).astype(np.float32)
    assert len(np.unique(jitter)) == 2
    answer = cca(np.column_stack([x, jitter]), y)
    assert answer.ranks == (8, 6)
    assert float(answer) == pytest.approx(float(cca(x, y)), abs=1e-9)


@every_measure
def test_a_constant_representation_has_no_value_and_says_why(measure, expected):
    _, y = reference.related()
    answer = measure(np.full((len(y), 3), 0.1, dtype=np.float32), y)
    assert np.isnan(float(answer))
    assert "No value: x is constant." in answer.warnings


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dependent_features_lower_the_rank_and_nothing_else(dtype):
    x, y = (each.astype(dtype) for each in reference.related())
    doubled = np.hstack([x, 2 * x[:, :3], -x[:, :1]])
    answer = cca(doubled, y)
    assert answer.ranks == (8, 6)
    assert float(answer) == pytest.approx(float(cca(x, y)), abs=1e-9)
    assert any("x has rank 8 with 12 varying features" in warning for warning in answer.warnings)


def test_sums_of_features_with_large_means_are_seen_to_depend():
    x, y = reference.related()
    offset = (x + 1000).astype(np.float32)
    dependent = np.hstack([offset, (offset[:, :1] + offset[:, 1:2]).astype(np.float32)])
    assert cca(dependent, y).ranks[0] == 8


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("condition", [1e6, 1e8])
@pytest.mark.parametrize("measure", ["cca", "pwcca"])
def test_ill_conditioned_float64(condition, rotated, measure):
    x = reference.conditioned(800, 10, condition, rotated=rotated)
    y = x @ np.random.default_rng(1).normal(size=(10, 6)) + reference.related(800)[1]
    ours, expected = MEASURES[measure]
    assert float(ours(x, y)) == pytest.approx(expected(x, y), abs=1e-8)


def test_ill_conditioned_float32_within_what_it_can_hold():
    x = reference.conditioned(800, 10, 1e6).astype(np.float32)
    _, y = reference.related(800)
    assert float(cca(x, y)) == pytest.approx(reference.canonical_correlations(x, y).mean(), abs=1e-5)


def test_fewer_samples_than_features_saturates_and_says_so():
    x, y = reference.related(n=20, width_x=30, width_y=25)
    answer = cca(x, y)
    assert answer.ranks == (19, 19)
    assert float(answer) == pytest.approx(1)
    assert answer.baseline == pytest.approx(1)
    assert any("Saturated: 19 coefficients" in warning for warning in answer.warnings)
    assert any("fewer than 5 x 19" in warning for warning in answer.warnings)


def test_enough_samples_give_no_warning():
    assert cca(*reference.related()).warnings == ()


def test_svcca_keeps_the_stated_share_of_variance():
    x = reference.conditioned(500, 6, 10.0)
    _, y = reference.related(500)
    variances = np.linalg.svd(reference.centred(x), compute_uv=False) ** 2
    kept = int((np.cumsum(variances) / variances.sum() < 0.9).sum()) + 1
    left = np.linalg.svd(reference.centred(x), full_matrices=False)[0][:, :kept]
    answer = svcca(x, y, variance=0.9)
    assert answer.ranks[0] == kept
    right = np.linalg.svd(reference.centred(y), full_matrices=False)[0][:, : answer.ranks[1]]
    assert float(answer) == pytest.approx(np.linalg.svd(left.T @ right, compute_uv=False).mean(), abs=1e-9)


def test_svcca_of_all_variance_is_cca():
    x, y = reference.related()
    assert float(svcca(x, y, variance=1.0)) == pytest.approx(float(cca(x, y)), abs=1e-9)


def test_svcca_of_ill_conditioned_float64():
    x = reference.conditioned(800, 10, 1e8)
    y = x @ np.random.default_rng(1).normal(size=(10, 6)) + reference.related(800)[1]
    left = np.linalg.svd(reference.centred(x), full_matrices=False)[0]
    expected = np.linalg.svd(left.T @ reference.basis(y), compute_uv=False).mean()
    assert float(svcca(x, y, variance=1.0)) == pytest.approx(expected, abs=1e-7)


def test_pwcca_gives_both_directions():
    x, y = reference.related()
    answer = pwcca(x, y)
    assert answer.reverse == pytest.approx(reference.pwcca(y, x), abs=1e-9)
    assert abs(answer.value - answer.reverse) > 1e-3


def test_debiased_cka_is_unbiased_where_plain_cka_is_not():
    draw = np.random.default_rng(0)
    pairs = [(draw.normal(size=(30, 20)), draw.normal(size=(30, 20))) for _ in range(40)]
    plain = np.mean([float(linear_cka(x, y)) for x, y in pairs])
    debiased = np.mean([float(linear_cka(x, y, debiased=True)) for x, y in pairs])
    assert plain > 0.35
    assert abs(debiased) < 0.03


def _invertible(width, seed):
    draw = np.random.default_rng(seed)
    return np.linalg.qr(draw.normal(size=(width, width)))[0] * draw.uniform(0.2, 5, width)


def _rotation(width, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]


IGNORES_LINEAR_MAPS = {"cca", "cca_squared"}


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), width=st.integers(2, 12))
def test_cca_ignores_any_invertible_map_of_either_side(seed, width):
    x, y = reference.related(width_x=width, seed=seed)
    moved = float(cca(x @ _invertible(width, seed) + 3, y @ _invertible(6, seed + 1)))
    assert moved == pytest.approx(float(cca(x, y)), abs=1e-9)


@pytest.mark.parametrize("name", sorted(set(MEASURES) - IGNORES_LINEAR_MAPS))
def test_the_others_do_not_ignore_an_invertible_map(name):
    measure, _ = MEASURES[name]
    x, y = reference.related()
    stretched = x * np.geomspace(1, 30, x.shape[1])
    assert abs(float(measure(stretched, y)) - float(measure(x, y))) > 0.01


@pytest.mark.parametrize("name", sorted(set(MEASURES) - {"pwcca"}))
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-3, 1e3))
def test_all_but_pwcca_ignore_rotation_scale_and_offset(name, seed, scale):
    measure, _ = MEASURES[name]
    x, y = reference.related(seed=seed)
    moved = float(measure(scale * x @ _rotation(8, seed) - 7, y))
    assert moved == pytest.approx(float(measure(x, y)), abs=1e-8)


def test_pwcca_does_not_ignore_rotation_but_scale():
    x, y = reference.related()
    assert abs(pwcca(x @ _rotation(8, 0), y).value - pwcca(x, y).value) > 1e-3
    assert pwcca(20 * x + 1, y).value == pytest.approx(pwcca(x, y).value, abs=1e-9)


@every_measure
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_samples_does_not_matter_but_their_pairing_does(measure, expected, seed):
    x, y = reference.related(seed=seed)
    order = np.random.default_rng(seed).permutation(len(x))
    value = float(measure(x, y))
    assert float(measure(x[order], y[order])) == pytest.approx(value, abs=1e-9)
    assert float(measure(x[order], y)) < value - 0.01


@pytest.mark.parametrize("name", sorted(set(MEASURES) - {"pwcca"}))
def test_symmetric(name):
    measure, _ = MEASURES[name]
    x, y = reference.related()
    answer = measure(x, y)
    assert float(measure(y, x)) == pytest.approx(answer.value, abs=1e-12)
    assert answer.reverse == answer.value


@every_measure
@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 40), width_x=st.integers(1, 30), width_y=st.integers(1, 30), seed=st.integers(0, 999))
def test_never_above_one_and_never_nan_without_a_reason(measure, expected, n, width_x, width_y, seed):
    x, y = reference.related(n, width_x, width_y, seed)
    answer = measure(x, np.maximum(y, 0))
    assert np.isnan(answer.value) or -1 <= answer.value <= 1
    assert not np.isnan(answer.value) or any("No value" in warning for warning in answer.warnings)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@every_measure
def test_the_same_on_a_gpu(measure, expected):
    x, y = (torch.from_numpy(each).cuda() for each in reference.related())
    assert float(measure(x, y)) == pytest.approx(expected(x.cpu(), y.cpu()), abs=1e-9)


def test_svcca_refuses_a_share_outside_its_range():
    x, y = reference.related()
    with pytest.raises(InputError, match=r"variance=1\.5; the share of variance to keep lies in \(0, 1\]"):
        svcca(x, y, variance=1.5)


def test_few_samples_are_no_fault_of_the_unbiased_estimate():
    x, y = reference.related(n=20)
    assert any("fewer than 5 x 8" in warning for warning in linear_cka(x, y).warnings)
    assert not linear_cka(x, y, debiased=True).warnings


@pytest.mark.parametrize("measured", [linear_cka, procrustes])
@pytest.mark.parametrize("scale", [1e-70, 1e70])
def test_extreme_scales(measured, scale):
    x, y = reference.related()
    assert float(measured(scale * x, scale * y)) == pytest.approx(float(measured(x, y)), abs=1e-12)
    assert measured(scale * x, scale * y).baseline == pytest.approx(measured(x, y).baseline, abs=1e-12)


@pytest.mark.parametrize("measured", [cca, linear_cka, procrustes, pwcca, svcca])
def test_rounding_of_a_large_mean_is_left_out_of_every_measure(measured):
    draw = np.random.default_rng(0)
    x = 1e-3 * draw.normal(size=(500, 9))
    x[:, 8] = 1e5 + 3e-3 * draw.normal(size=500)
    x, y = x.astype(np.float32), draw.normal(size=(500, 4))
    expected = measured(x[:, :8], y)
    found = measured(x, y)
    assert float(found) == pytest.approx(float(expected), abs=1e-9)
    assert found.ranks[0] == expected.ranks[0]
    assert any("1 of 9 features of x are constant" in warning for warning in found.warnings)
