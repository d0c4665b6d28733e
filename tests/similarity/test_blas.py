"""Two libraries, one answer; and which of them is taken."""

import numpy as np
import pytest
import torch

from transfusion.similarity import blas

KINDS = pytest.mark.parametrize("kind", [np.dtype("f4"), np.dtype("f8")], ids=str)
LIBRARIES = pytest.mark.parametrize("library", [blas.NUMPY, blas.TORCH], ids=lambda one: one.name)


def _rows(kind, num=600, columns=13, seed=0):
    return np.random.default_rng(seed).normal(size=(num, columns)).astype(kind)


@KINDS
@LIBRARIES
@pytest.mark.parametrize("columns", [1, 3, 13])
def test_own_products_up_to_the_diagonal(library, kind, columns):
    rows, out = _rows(kind, columns=columns), np.zeros((columns, columns), kind)
    library.own(rows, out)
    assert np.allclose(np.tril(out), np.tril(rows.astype("f8").T @ rows.astype("f8")), rtol=1e-4, atol=1e-4)


@KINDS
@LIBRARIES
def test_products_of_two_into_a_part_of_an_array(library, kind):
    left, right = _rows(kind), _rows(kind, seed=1)
    out = np.full((20, 20), 7, kind)
    library.cross(left[:, 2:6], right[:, 1:13], out[4:8, 8:])
    assert np.allclose(out[4:8, 8:], left[:, 2:6].T @ right[:, 1:13], atol=1e-4)
    assert (out[:4] == 7).all()


@KINDS
@pytest.mark.parametrize("num", [1, blas.CHAIN, blas.CHAIN + 1, 1000])
def test_chains_add_up_to_the_whole(kind, num):
    rows, seen = _rows(kind, num), []
    out, spare = (np.zeros((13, 13), kind) for _ in range(2))

    def multiply(part, into):
        seen.append(len(rows[part]))
        blas.NUMPY.own(rows[part], into)

    blas.add_up(multiply, num, out, spare)
    assert np.allclose(out, rows.astype("f8").T @ rows.astype("f8"), rtol=1e-5, atol=1e-3)
    assert sum(seen) == num
    assert max(seen) <= (blas.CHAIN if kind == np.float32 else num)


@pytest.mark.parametrize("quick", [blas.NUMPY, blas.TORCH], ids=lambda one: one.name)
def test_the_faster_one_is_taken_and_asked_once(monkeypatch, quick):
    asked = []

    def seconds(library, rows, out):
        asked.append(library.name)
        return 1.0 if library is quick else 2.0

    blas.timed.cache_clear()
    monkeypatch.setattr(blas, "seconds", seconds)
    assert blas.faster(np.dtype("f8"), 100) is blas.faster(np.dtype("f8"), 128) is quick
    assert sorted(asked) == ["NumPy"] * 3 + ["PyTorch"] * 3
    blas.timed.cache_clear()


def test_float32_that_may_be_bfloat16_is_not_taken(monkeypatch):
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    monkeypatch.setattr(blas, "timed", lambda kind, columns: blas.TORCH)
    assert blas.faster(np.dtype("f4"), 100) is blas.NUMPY
    assert blas.faster(np.dtype("f8"), 100) is blas.TORCH
