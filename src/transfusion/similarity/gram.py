"""Sums of products of stacked rows on the processor, in as many threads as PyTorch has.

We thread ourselves: the idle threads of a BLAS library wait by spinning, and so do PyTorch's, and two such pools on
the same cores cost several times the products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from threading import Lock
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from transfusion.similarity.blas import NUMPY, Blas, Products, add_up, faster, one_torch_thread

Floats = npt.NDArray[np.float64]
T = TypeVar("T")
# The caller checks the sums for overflow. Threads do not inherit NumPy's error state.
_silently = np.errstate(over="ignore", invalid="ignore")

# The limit on BLAS is of the whole process: two that set it and set it back at once would leave it in place.
_LIMIT = Lock()

# Rows per product: enough that adding it to the sums is cheap beside it, few enough for the processor's cache.
BLOCK = 1024
BLOCK_OF_WIDE = 2048
# Of all threads' own sums and products.
_MOST_BYTES = 2**27
# Rows that are worth a thread of their own.
LEAST_SHARE = 256
# Up to this many columns a thread takes a share of the rows, with sums of its own; above it, some of the networks.
NARROW = 1200
# Rows times squared columns from which it pays to find out which library is faster.
LEAST_TIMED = 1e9


@dataclass(frozen=True)
class Rows:
    """Rows that are made block by block as they are needed.

    Attributes:
        num: of rows.
        fill: writes the rows of a slice into an array (rows, columns) of float64 or float32.
        fill_again: the same rows of re-matched images, or None.
    """

    num: int
    fill: Callable[[slice, Products], None]
    fill_again: Callable[[slice, Products], None] | None


@dataclass(frozen=True)
class Way:
    """How products are made: in which type, by which library, in how many threads."""

    kind: np.dtype
    blas: Blas
    threads: int


def add_products(gram: Floats, rows: Rows, networks: Sequence[slice], single: bool = False) -> None:
    """Add the products of all columns with all, and of every network's columns with the re-matched ones of later ones.

    Args:
        gram: (columns, columns); up to the diagonal the products, above the networks' own blocks the re-matched ones.
            The rest is not to be read.
        rows: what to multiply.
        networks: the columns of each.
        single: multiply in float32, except a column with itself, and add up in float64.
    """
    kind = np.dtype(np.float32 if single else np.float64)
    with _LIMIT, _libraries().limit(limits=1, user_api="blas"):
        threads = torch.get_num_threads()
        with one_torch_thread():
            blas = faster(kind, len(gram)) if rows.num * len(gram) ** 2 >= LEAST_TIMED else NUMPY
            add = _add_narrow if len(gram) <= NARROW else _add_wide
            add(gram, rows, networks, Way(kind, blas, threads))


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _in_threads(work: Callable[[T], object], items: Sequence[T], threads: int) -> None:
    num = min(threads, len(items))
    if num < 2:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(num) as pool:
        for done in [pool.submit(work, item) for item in items]:
            done.result()  # raises what a thread raised


def _add_narrow(gram: Floats, rows: Rows, networks: Sequence[slice], way: Way) -> None:
    """Shares of the rows, added up in their order, so that the same threads give the same digits."""
    affordable = max(1, _MOST_BYTES // (2 * gram.nbytes))  # each thread has sums and a product
    num = min(way.threads, -(-rows.num // LEAST_SHARE), affordable)
    ends = [rows.num * i // num for i in range(num + 1)]
    shares = [np.zeros_like(gram) for _ in range(num)]
    work = [(share, slice(a, b)) for share, (a, b) in zip(shares, pairwise(ends), strict=True)]
    _in_threads(lambda item: _add_share(item[0], rows, item[1], networks, way), work, way.threads)
    for share in shares:  # not as they end: the order of additions decides the last digits
        gram += share


@_silently
def _add_share(gram: Floats, rows: Rows, which: slice, networks: Sequence[slice], way: Way) -> None:
    # Zeros: a library may leave what lies above the diagonal as it was.
    product, spare = np.zeros(gram.shape, way.kind), np.zeros(gram.shape, way.kind)
    for here, moved in _stacked(rows, which, len(gram), way.kind, BLOCK):
        _multiply_own(way.blas, here, product, spare)
        if moved is not None:
            for at in networks[:-1]:
                to = at, slice(at.stop, -1)
                _multiply(way.blas, here[:, at], moved[:, to[1]], product[to], spare[to])
        _add_own(gram, product, here)


def _add_wide(gram: Floats, rows: Rows, networks: Sequence[slice], way: Way) -> None:
    """Pairs of networks, each with its own part of the sums."""
    parts = [*networks, slice(len(gram) - 1, len(gram))]  # the last column is the 1 of every row: the sums
    pairs = [(at, to) for i, at in enumerate(parts) for to in parts[: i + 1]]
    crossed = [(at, to) for i, at in enumerate(networks) for to in networks[i + 1 :]]  # each pair of networks once
    for here, moved in _stacked(rows, slice(0, rows.num), len(gram), way.kind, BLOCK_OF_WIDE):
        tasks = [partial(_add_pair, gram, way.blas, here, here, *pair) for pair in pairs]
        if moved is not None:
            tasks += [partial(_add_pair, gram, way.blas, here, moved, *pair) for pair in crossed]
        _in_threads(lambda task: task(), tasks, way.threads)


@_silently
def _add_pair(total: Floats, blas: Blas, left: Products, right: Products, at: slice, to: slice) -> None:
    product, spare = (np.zeros((at.stop - at.start, to.stop - to.start), left.dtype) for _ in range(2))
    if left is right and at == to:
        _multiply_own(blas, left[:, at], product, spare)
        _add_own(total[at, to], product, left[:, at])
    else:
        _multiply(blas, left[:, at], right[:, to], product, spare)
        total[at, to] += product


def _multiply_own(blas: Blas, rows: Products, product: Products, spare: Products) -> None:
    add_up(lambda part, out: blas.own(rows[part], out), len(rows), product, spare)


def _multiply(blas: Blas, left: Products, right: Products, product: Products, spare: Products) -> None:
    add_up(lambda part, out: blas.cross(left[part], right[part], out), len(left), product, spare)


def _stacked(
    rows: Rows, which: slice, columns: int, kind: np.dtype, most: int
) -> Iterator[tuple[Products, Products | None]]:
    """The rows block by block, and the re-matched ones where there are any; overwritten by the next block."""
    height = min(most, which.stop - which.start)
    # allocated once for all blocks
    stacked, again = np.empty((height, columns), kind), np.empty((height, columns), kind)
    for start in range(which.start, which.stop, height):
        block = slice(start, min(start + height, which.stop))
        here, moved = (each[: block.stop - block.start] for each in (stacked, again))
        rows.fill(block, here)
        if rows.fill_again is not None:
            rows.fill_again(block, moved)
        yield here, moved if rows.fill_again is not None else None


def _add_own(total: Floats, product: Products, rows: Products) -> None:
    """Add the products of rows with themselves; float32 ones with exact squares.

    Squares have one sign, so in float32 their rounding adds up.
    """
    if product.dtype != total.dtype:
        np.fill_diagonal(product, 0)
        np.einsum("ii->i", total)[:] += np.einsum("ij,ij->j", rows, rows, dtype=np.float64)
    total += product
