"""Products in threads: the same sums however the work is shared."""

import numpy as np
import pytest
import torch

from transfusion.similarity import gram
from transfusion.similarity.blas import NUMPY, TORCH


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def _rows(num):
    draw = np.random.default_rng(0)
    here, again = (draw.normal(size=(num, 7)) for _ in range(2))

    def filler(values):
        def fill(rows, into):
            into[:] = values[rows]

        return fill

    return here, again, gram.Rows(num, filler(here), filler(again))


@pytest.fixture(params=[NUMPY, TORCH], ids=lambda one: one.name)
def library(request, monkeypatch):
    monkeypatch.setattr(gram, "LEAST_TIMED", 0)
    monkeypatch.setattr(gram, "faster", lambda kind, columns: request.param)


@pytest.mark.parametrize("narrow", [True, False])
@pytest.mark.parametrize("num", [1, 40, 101])
def test_sums_of_products(monkeypatch, library, threads, narrow, num):
    monkeypatch.setattr(gram, "BLOCK", 16)
    monkeypatch.setattr(gram, "BLOCK_OF_WIDE", 16)
    monkeypatch.setattr(gram, "LEAST_SHARE", 4)
    monkeypatch.setattr(gram, "NARROW", 7 if narrow else 6)
    here, again, rows = _rows(num)
    total, networks = np.zeros((7, 7)), [slice(0, 2), slice(2, 5), slice(5, 6)]
    gram.add_products(total, rows, networks)
    assert np.allclose(np.tril(total), np.tril(here.T @ here))
    for i, at in enumerate(networks):
        for to in networks[i + 1 :]:
            assert np.allclose(total[at, to], here[:, at].T @ again[:, to])


def test_the_same_threads_give_the_same_digits(monkeypatch, library, threads):
    monkeypatch.setattr(gram, "BLOCK", 16)
    monkeypatch.setattr(gram, "BLOCK_OF_WIDE", 16)
    monkeypatch.setattr(gram, "LEAST_SHARE", 4)
    _, _, rows = _rows(500)
    totals = [np.zeros((7, 7)) for _ in range(5)]
    for total in totals:
        gram.add_products(total, rows, [slice(0, 6)])
    assert all(np.array_equal(total, totals[0]) for total in totals)


def test_a_failure_in_a_thread_is_not_lost(monkeypatch, threads):
    monkeypatch.setattr(gram, "BLOCK", 16)
    monkeypatch.setattr(gram, "BLOCK_OF_WIDE", 16)
    monkeypatch.setattr(gram, "LEAST_SHARE", 4)

    def fill(rows, into):
        raise ValueError("cannot be filled")

    with pytest.raises(ValueError, match="cannot be filled"):
        gram.add_products(np.zeros((7, 7)), gram.Rows(100, fill, None), [slice(0, 6)])


@pytest.mark.parametrize("narrow", [True, False])
def test_sums_of_single_products(monkeypatch, library, threads, narrow):
    monkeypatch.setattr(gram, "BLOCK", 16)
    monkeypatch.setattr(gram, "BLOCK_OF_WIDE", 16)
    monkeypatch.setattr(gram, "LEAST_SHARE", 4)
    monkeypatch.setattr(gram, "NARROW", 7 if narrow else 6)
    here, again, rows = _rows(101)
    total = np.zeros((7, 7))
    gram.add_products(total, rows, [slice(0, 2), slice(2, 6)], single=True)
    exact = here.T @ here
    assert np.allclose(np.tril(total), np.tril(exact), atol=1e-4)
    assert not np.allclose(np.tril(total), np.tril(exact), rtol=0, atol=1e-9)
    assert np.allclose(total[:2, 2:6], here[:, :2].T @ again[:, 2:6], atol=1e-4)
    squares = np.square(here.astype(np.float32).astype(np.float64)).sum(axis=0)
    assert np.diag(total) == pytest.approx(squares, rel=1e-13)


def test_pytorch_gets_its_threads_back(library, threads):
    _, _, rows = _rows(101)
    gram.add_products(np.zeros((7, 7)), rows, [slice(0, 6)])
    assert torch.get_num_threads() == threads
