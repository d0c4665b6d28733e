"""What goes in: types, layouts, refusals; and when the exact route is taken."""

import numpy as np
import pandas as pd
import pytest
import reference
import torch

from transfusion.errors import InputError
from transfusion.similarity import MEASURES, Sums, arrays, cca, gram, linear_cka, procrustes
from transfusion.similarity.blas import NUMPY, Blas


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
        pd.DataFrame,
        lambda x: np.ma.masked_array(x, mask=False),
    ],
    ids=["fortran", "reversed", "big-endian", "strided", "tensor", "with gradient", "lists", "frame", "nothing masked"],
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
        (np.array([["a"]] * 6), "x is of type <U1; an array or a tensor of real numbers"),
        (torch.ones((6, 2), dtype=torch.bool), r"x is of type torch\.bool"),
        (np.full((6, 2), np.nan), "holds NaN, infinite or huge values"),
        (np.full((6, 2), np.inf), "holds NaN, infinite or huge values"),
        (np.ma.masked_greater(np.arange(12.0).reshape(6, 2), 9), "x has 2 masked values"),
        (
            pd.DataFrame({"a": range(6), "b": "text"}),
            "x is of type object; an array or a tensor of real numbers",
        ),
        (
            pd.DataFrame({"a": [1, None] * 3}, dtype="Float64"),
            "holds NaN, infinite or huge values|needs real numbers, none missing",
        ),
        (
            np.arange(12.0).reshape(6, 2) * [1, 1e-160],
            "Feature 1 of x varies by less than 1e-120",
        ),
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

    monkeypatch.setattr(arrays, "LEAST_WORK", 1e6)
    monkeypatch.setattr(Sums, "update", watched)
    return seen


def _white(n=100_000, d=64):
    draw = np.random.default_rng(0)
    x, y = (draw.standard_normal((n, d), dtype=np.float32) for _ in range(2))
    y[:, : d // 2] += x[:, : d // 2]
    return x, y


@pytest.mark.parametrize(("kind", "offset"), [("float32", 0), ("float32", 1000), ("float16", 0)])
@pytest.mark.slow
def test_many_well_conditioned_rows_are_multiplied_in_float32(singles, kind, offset):
    x, y = ((each + offset).astype(kind) for each in _white())
    found, expected = cca(x, y), reference.canonical_correlations(x, y)
    assert singles == [True, True]
    assert found.value == pytest.approx(expected.mean(), abs=1e-8)
    assert found.coefficients == pytest.approx(expected, abs=1e-7)
    cca(x.astype(np.float64), y.astype(np.float64))
    cca(x[:8000], y[:8000])
    linear_cka(x, y, debiased=True)
    assert not any(singles[2:])


def _one_after_another(left, right, out):
    out[:] = 0
    for a, b in zip(left, right, strict=True):
        out += np.outer(a, b)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("alike", [0.0, 1.0])
def test_the_bound_holds_on_a_machine_that_adds_one_after_another(singles, monkeypatch, squared, alike):
    slowest = Blas("the slowest", lambda rows, out: _one_after_another(rows, rows, out), _one_after_another)
    monkeypatch.setattr(gram, "LEAST_TIMED", 0)
    monkeypatch.setattr(gram, "faster", lambda kind, columns: slowest if kind == np.float32 else NUMPY)
    x, y = _white()
    y = x + np.float32(0.1) * y if alike else y
    single, double = (cca(x.astype(kind), y.astype(kind), squared=squared) for kind in ("f4", "f8"))
    assert singles == [True, True, False]
    assert single.value == pytest.approx(double.value, abs=1e-8)


@pytest.mark.parametrize("name", sorted(set(MEASURES) - {"cca", "cca_squared"}))
def test_measures_that_can_jump_never_take_it(singles, name):
    """They depend on single canonical vectors or on a cut, whose error has no bound that holds on every machine."""
    x, y = _white()
    single, double = (arrays.similarity(MEASURES[name], x.astype(kind), y.astype(kind)) for kind in ("f4", "f8"))
    assert not any(singles)
    assert single.value == pytest.approx(double.value, abs=1e-12)


def test_frames_whose_labels_differ_are_refused():
    x, y = (pd.DataFrame(each) for each in reference.related())
    with pytest.raises(InputError, match="frames with different index labels"):
        cca(x.sample(frac=1, random_state=0), y)
    assert float(cca(x, y.to_numpy())) == float(cca(x, y))


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e-100, 1e100, 1e200])
@pytest.mark.parametrize("name", MEASURES)
def test_any_scale_gives_the_same_answer(name, scale):
    x, y = reference.related()
    expected, found = (arrays.similarity(MEASURES[name], k * x, y / k) for k in (1, scale))
    assert found.value == pytest.approx(expected.value, abs=1e-9)
    assert found.ranks == expected.ranks


def _one_direction(seed, kind="f8", n=50_000):
    draw = np.random.default_rng(seed)
    z = draw.normal(size=n)
    return z.astype(kind), (z + 0.1 * draw.normal(size=n)).astype(kind)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kind", ["f8", "f4"])
def test_multiples_of_one_feature_have_rank_one(seed, kind):
    z, w = _one_direction(seed, kind)
    y = np.stack([w, np.random.default_rng(100 + seed).normal(size=len(w)).astype(kind)], axis=1)
    answer = cca(np.stack([z, 3 * z], axis=1).astype("f8"), y)
    assert answer.ranks == (1, 2)
    assert answer.value == pytest.approx(reference.canonical_correlations(z[:, None], y).max(), abs=1e-6)


@pytest.mark.parametrize("kind", ["f8", "f4", "f2"])
@pytest.mark.parametrize("shift", [0, 3])
@pytest.mark.parametrize("n", [300, 50_000])
def test_two_class_probabilities_have_rank_one(kind, shift, n):
    probabilities = [
        torch.softmax(
            torch.from_numpy(np.stack([2 * z + shift, -2 * z], axis=1)).float()
            if kind != "f8"
            else torch.from_numpy(np.stack([2 * z + shift, -2 * z], axis=1)),
            dim=1,
        )
        .numpy()
        .astype(kind)
        for z in _one_direction(0, n=n)
    ]
    answer = cca(*(each.astype("f8") for each in probabilities))
    assert answer.ranks == (1, 1)
    truth = np.corrcoef(*(each[:, 0].astype("f8") for each in probabilities))[0, 1]
    assert answer.value == pytest.approx(truth, abs=1e-3 if kind == "f2" else 1e-6)


@pytest.mark.parametrize("offset", [0, 1e3, 1e6])
@pytest.mark.parametrize("seed", range(4))
def test_an_offset_is_no_direction(offset, seed):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(2000, 33)) @ draw.normal(size=(33, 64))
    x = x / x.std(axis=0) + offset * draw.choice([-1, 1], size=64)
    answer = cca(x, draw.normal(size=(2000, 8)))
    assert answer.ranks == (33, 8)


def test_directions_at_the_rounding_of_float32_are_told():
    z, w = _one_direction(0, "f4")
    x = np.stack([z, 3 * z], axis=1).astype("f8") * np.pi
    assert any("If its numbers ever were float32" in warning for warning in cca(x, w[:, None]).warnings)
    well = reference.conditioned(600, 8, 1e5)
    assert cca(well, reference.related()[1]).warnings == ()


@pytest.mark.parametrize("container", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("spread", [0.05, 0.03, 0.02])
def test_bfloat16_features_beside_a_mean(container, spread):
    x, y = reference.related(2000)
    x = torch.from_numpy(1 + spread * x / x.std(axis=0)).bfloat16()
    answer = cca(x.to(container), torch.from_numpy(y))
    assert answer.ranks == (8, 6)
    assert answer.value == pytest.approx(reference.canonical_correlations(x.double(), y).mean(), abs=1e-9)
    assert any("Rounding to bfloat16 makes up to" in warning for warning in answer.warnings) == (spread < 0.025)


def test_bfloat16_features_that_hold_nothing_beside_their_mean():
    x, y = reference.related(2000)
    x = torch.from_numpy(1 + 0.004 * x / x.std(axis=0)).bfloat16()
    answer = cca(x, torch.from_numpy(y))
    assert np.isnan(answer.value)
    assert answer.warnings[0] == (
        "No value: x is constant to within the rounding of bfloat16 (subtract the mean before converting)."
    )


def test_whole_numbers_have_no_rounding():
    draw = np.random.default_rng(0)
    x = 1000 + draw.integers(0, 3, size=(2000, 4)).astype(np.float64)
    assert cca(x, x).ranks == (4, 4)


def test_images_of_many_rows_are_never_matched_with_themselves(singles):
    x, y = _white(40_000)
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


@pytest.mark.slow
def test_ill_conditioned_rows_are_not(singles):
    x, y = _white()
    x[:, 1] = x[:, 0] + 1e-3 * x[:, 1]
    assert cca(x, y).value == pytest.approx(reference.canonical_correlations(x, y).mean(), abs=1e-9)
    assert singles == [True, False]  # tried on the first rows alone


@pytest.mark.parametrize("late", ["collinear", "huge", "far away"])
@pytest.mark.slow
def test_rows_unlike_the_first_are_summed_again_in_float64(singles, late):
    x, y = _white()
    if late == "collinear":
        x[2048:, 1:32] = x[2048:, :1] + 1e-3 * x[2048:, 1:32]
    elif late == "huge":
        x[2048:] *= 1e25
    else:
        x[2048:] += 50
    assert cca(x, y).value == pytest.approx(reference.canonical_correlations(x, y).mean(), abs=1e-9)
    assert singles == [True, True, False]
