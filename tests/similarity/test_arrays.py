"""What goes in: types, layouts, refusals; and when the exact route is taken."""

import numpy as np
import pytest
import reference
import torch

from transfusion import similarity
from transfusion.errors import InputError
from transfusion.similarity import Sums, arrays, cca, linear_cka, procrustes


@pytest.mark.parametrize(
    "convert",
    [
        np.asfortranarray,
        lambda x: x[::-1],
        lambda x: x.astype(">f8"),
        lambda x: np.repeat(x, 2, axis=0)[::2],
        torch.from_numpy,
        lambda x: torch.from_numpy(x).requires_grad_(),
        lambda x: x.tolist(),
    ],
    ids=["fortran", "reversed", "big-endian", "strided", "tensor", "with gradient", "lists"],
)
def test_any_layout_gives_the_same_answer(convert):
    x, y = reference.related()
    assert float(cca(convert(x), convert(y))) == pytest.approx(float(cca(x, y)), abs=1e-12)


def test_integers_and_read_only_arrays():
    x, y = reference.related()
    counts = np.round(10 * x).astype(np.uint8)
    counts.setflags(write=False)
    assert float(cca(counts, y)) == pytest.approx(reference.canonical_correlations(counts, y).mean(), abs=1e-9)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((4, 2, 3, 3)), r"x has shape \(4, 2, 3, 3\); similarity needs \(samples, features\)"),
        (np.zeros((5, 0)), r"x has shape \(5, 0\)"),
        (np.ones((5, 2)), "x has 5 samples and y has 6"),
        (np.ones((6, 2), dtype=complex), "x is of type complex128"),
        (np.array([["a"]] * 6), "x is of type <U1; similarity needs real numbers"),
        (torch.ones((6, 2), dtype=torch.bool), r"x is of type torch\.bool"),
        (np.full((6, 2), np.nan), "holds NaN, infinite or huge values"),
        (np.arange(12.0).reshape(6, 2) * 1e200, "holds NaN, infinite or huge values"),
    ],
)
def test_refusals(x, message):
    with pytest.raises(InputError, match=message):
        cca(x, np.arange(12.0).reshape(6, 2))


def test_one_sample_is_refused():
    with pytest.raises(InputError, match="Got 1 samples; similarity needs at least 2"):
        cca(np.ones((1, 2)), np.ones((1, 2)))


def test_rows_must_be_whole_images():
    x, y = reference.related(n=10)
    with pytest.raises(InputError, match="10 rows are no multiple of rows_per_image=3"):
        cca(x, y, rows_per_image=3)


def test_baseline_permutes_images_and_never_positions():
    draw = np.random.default_rng(0)
    place = np.tile(draw.normal(size=(9, 4)), (201, 1))
    x, y = (place + 0.1 * draw.normal(size=place.shape) for _ in range(2))
    by_image, by_row = (linear_cka(x, y, rows_per_image=rows).baseline for rows in (9, 1))
    assert by_image == pytest.approx(float(linear_cka(x, y)), abs=0.01)
    assert by_row < 0.01


def test_procrustes_has_a_baseline_too():
    x, y = reference.related()
    draw = np.random.default_rng(0)
    shuffled = np.mean([reference.procrustes(x, y[draw.permutation(len(y))]) for _ in range(20)])
    assert procrustes(x, y).baseline == pytest.approx(shuffled, rel=0.3)


def test_exact_route_is_only_taken_where_float64_needs_it(monkeypatch):
    taken = []
    original = arrays.exact_pair
    monkeypatch.setattr(arrays, "exact_pair", lambda *args: taken.append(1) or original(*args))
    _, y = reference.related()
    cca(reference.conditioned(600, 8, 100.0), y)
    cca(reference.conditioned(600, 8, 1e6).astype(np.float32), y)
    linear_cka(reference.conditioned(600, 8, 1e6), y)
    assert not taken
    cca(reference.conditioned(600, 8, 1e6), y)
    assert taken


@pytest.fixture
def singles(monkeypatch):
    """Whether each update of the sums multiplied in float32."""
    seen = []
    update = Sums.update

    def watched(self, blocks, rows_per_image=1, single=False):
        seen.append(single)
        update(self, blocks, rows_per_image, single)

    monkeypatch.setattr(arrays, "_LEAST_WORK", 1e6)
    monkeypatch.setattr(Sums, "update", watched)
    return seen


def _white(n=40_000, d=64):
    draw = np.random.default_rng(0)
    x, y = (draw.standard_normal((n, d), dtype=np.float32) for _ in range(2))
    y[:, : d // 2] += x[:, : d // 2]
    return x, y


@pytest.mark.parametrize(("kind", "offset"), [("float32", 0), ("float32", 1000), ("float16", 0)])
def test_many_well_conditioned_rows_are_multiplied_in_float32(singles, kind, offset):
    x, y = ((each + offset).astype(kind) for each in _white())
    found, expected = cca(x, y), reference.canonical_correlations(x, y)
    assert singles == [False, True]
    assert found.value == pytest.approx(expected.mean(), abs=1e-8)
    assert found.coefficients == pytest.approx(expected, abs=1e-7)
    cca(x.astype(np.float64), y.astype(np.float64))
    cca(x[:8000], y[:8000])
    linear_cka(x, y, debiased=True)
    assert not any(singles[2:])


@pytest.mark.parametrize("name", ["svcca", "pwcca"])
def test_measures_that_whiten_share_it(singles, name):
    x, y = _white()
    single, double = (getattr(similarity, name)(x.astype(kind), y.astype(kind)) for kind in ("f4", "f8"))
    assert singles == [False, True, False]
    assert single.value == pytest.approx(double.value, abs=1e-8)


def test_images_of_many_rows_are_never_matched_with_themselves(singles):
    x, y = _white()
    x[:] = y = np.repeat(np.random.default_rng(0).normal(size=(4, 64)), 10_000, axis=0) + 0.1 * x
    assert cca(x, y, rows_per_image=10_000).baseline < 0.5


def test_one_image_is_refused():
    x, y = reference.related(n=10)
    with pytest.raises(InputError, match="rows_per_image=10 makes one image of all rows"):
        cca(x, y, rows_per_image=10)


def test_two_views_of_the_images_one_above_the_other():
    x, y = reference.related(n=500)
    twice = [np.concatenate([each, each]) for each in (x, y)]
    assert procrustes(*twice).baseline < 0.3 < float(procrustes(*twice))


def test_a_float32_partner_keeps_its_rank_on_the_exact_route():
    x = reference.conditioned(800, 10, 1e8)
    y = np.random.default_rng(3).normal(size=(800, 6)).astype(np.float32)
    y = np.column_stack([y, y[:, 0] + y[:, 1]])
    assert cca(x, y).ranks == (10, 6)


def test_ill_conditioned_rows_are_not(singles):
    x, y = _white()
    x[:, 1] = x[:, 0] + 1e-3 * x[:, 1]
    assert cca(x, y).value == pytest.approx(reference.canonical_correlations(x, y).mean(), abs=1e-9)
    assert not any(singles)


@pytest.mark.parametrize("late", ["collinear", "huge", "far away"])
def test_rows_unlike_the_first_are_summed_again_in_float64(singles, late):
    x, y = _white()
    if late == "collinear":
        x[2048:, 1:32] = x[2048:, :1] + 1e-3 * x[2048:, 1:32]
    elif late == "huge":
        x[2048:] *= 1e25
    else:
        x[2048:] += 50
    assert cca(x, y).value == pytest.approx(reference.canonical_correlations(x, y).mean(), abs=1e-9)
    assert singles == [False, True, False]
