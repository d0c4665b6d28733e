"""Sums of products of stacked rows on the processor, in as many threads as PyTorch has.

Our threads and not the BLAS library's: its own wait for work by spinning, and so do PyTorch's, and two such pools on
the same cores cost several times the products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

Floats = npt.NDArray[np.float64]
T = TypeVar("T")
# Overflow is told by who looks at the sums. Threads do not inherit NumPy's error state.
_silently = np.errstate(over="ignore", invalid="ignore")

# Rows per product: enough that adding it to the sums is cheap beside it, few enough for the processor's cache.
BLOCK = 2048
# Up to this many columns a thread takes a share of the rows, with sums of its own; above it, some of the networks.
_NARROW = 1200


@dataclass(frozen=True)
class Rows:
    """Rows that are made block by block as they are needed.

    Attributes:
        num: of rows.
        fill: writes the rows of a slice into an array (rows, columns).
        fill_again: the same rows of re-matched images, or None.
    """

    num: int
    fill: Callable[[slice, Floats], None]
    fill_again: Callable[[slice, Floats], None] | None


def add_products(gram: Floats, repaired: Floats | None, rows: Rows, networks: Sequence[slice]) -> None:
    """Add the products of all columns with all to ``gram``, and of re-matched rows to ``repaired``.

    Args:
        gram: (columns, columns); the lower triangle is kept up to date, what lies above it is not to be read.
        repaired: (columns, columns); kept above the diagonal blocks of the networks.
        rows: what to multiply.
        networks: the columns of each.
    """
    with _libraries().limit(limits=1, user_api="blas"):
        add = _add_narrow if len(gram) <= _NARROW else _add_wide
        add(gram, repaired, rows, networks)


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _in_threads(work: Callable[[T], object], items: Sequence[T]) -> None:
    num = min(torch.get_num_threads(), len(items))
    if num < 2:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(num) as pool:
        for done in [pool.submit(work, item) for item in items]:
            done.result()


def _blocks(rows: slice) -> Iterator[slice]:
    yield from (slice(at, min(at + BLOCK, rows.stop)) for at in range(rows.start, rows.stop, BLOCK))


def _add_narrow(gram: Floats, repaired: Floats | None, rows: Rows, networks: Sequence[slice]) -> None:
    """Shares of the rows, added up in their order, so that the same threads give the same digits."""
    num = min(torch.get_num_threads(), -(-rows.num // BLOCK))
    ends = [rows.num * i // num for i in range(num + 1)]
    shares = [_Share(np.zeros_like(gram), repaired if repaired is None else np.zeros_like(gram)) for _ in range(num)]
    work = [(share, slice(a, b)) for share, (a, b) in zip(shares, pairwise(ends), strict=True)]
    _in_threads(lambda item: item[0].add(rows, item[1], networks), work)
    for share in shares:
        gram += share.gram
        if repaired is not None and share.repaired is not None:
            repaired += share.repaired


@dataclass(frozen=True, eq=False)
class _Share:
    """One thread's sums."""

    gram: Floats
    repaired: Floats | None

    @_silently
    def add(self, rows: Rows, which: slice, networks: Sequence[slice]) -> None:
        stacked, again, product = (np.empty((side, len(self.gram))) for side in (BLOCK, BLOCK, len(self.gram)))
        for block in _blocks(which):
            here = stacked[: block.stop - block.start]
            rows.fill(block, here)
            # NumPy does a matrix times its own transpose by a symmetric update, at half the cost.
            np.add(self.gram, np.matmul(here.T, here, out=product), out=self.gram)
            if self.repaired is not None and rows.fill_again is not None:
                moved = again[: len(here)]
                rows.fill_again(block, moved)
                for at in networks[:-1]:
                    self.repaired[at, at.stop :] += here[:, at].T @ moved[:, at.stop :]


def _add_wide(gram: Floats, repaired: Floats | None, rows: Rows, networks: Sequence[slice]) -> None:
    """Pairs of networks, each with its own part of the sums."""
    last = slice(len(gram) - 1, len(gram))
    parts = [*networks, last]
    pairs = [(at, to) for i, at in enumerate(parts) for to in parts[: i + 1]]
    crossed = [(at, to) for i, at in enumerate(networks) for to in networks[i + 1 :]]
    stacked, again = np.empty((BLOCK, len(gram))), np.empty((BLOCK, len(gram)) if repaired is not None else (0, 0))
    for block in _blocks(slice(0, rows.num)):
        here = stacked[: block.stop - block.start]
        rows.fill(block, here)
        tasks = [partial(_add_pair, gram, here, here, *pair) for pair in pairs]
        if repaired is not None and rows.fill_again is not None:
            moved = again[: len(here)]
            rows.fill_again(block, moved)
            tasks += [partial(_add_pair, repaired, here, moved, *pair) for pair in crossed]
        _in_threads(lambda task: task(), tasks)


@_silently
def _add_pair(total: Floats, left: Floats, right: Floats, at: slice, to: slice) -> None:
    total[at, to] += left[:, at].T @ right[:, to]
