"""Products of blocks of rows by the faster of the BLAS libraries present, and what a measure needs of LAPACK.

Which of NumPy's and PyTorch's library is faster depends on the processor: PyTorch's MKL is 1.5 to 2 times NumPy's
OpenBLAS on some with AVX-512, and half as fast on others. So it is found once per process and size, by timing. The two
agree to rounding, not to the bit: one process gives the same digits whenever it is asked, another process perhaps
others in the last two. Whoever writes a result writes it once, so nothing that is resumed mixes the two.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import lapack

# Float64, or float32 where that will do.
Products = npt.NDArray[np.floating]

# Rows that are added up in float32 before float32 sums of them are added: no order of summation within them can lose
# more than a chain of so many additions does.
CHAIN = 256
_PANELS = 4
_TIMED_ROWS = 512
_MOST_TIMED_COLUMNS = 512
_TRIALS = 3


@dataclass(frozen=True)
class Blas:
    """A library.

    Attributes:
        name: of who brings it.
        own: writes R'R, up to the diagonal at least, of rows R into an array.
        cross: writes L'R of two blocks of rows into an array.
    """

    name: str
    own: Callable[[Products, Products], None]
    cross: Callable[[Products, Products, Products], None]


def _numpy_own(rows: Products, out: Products) -> None:
    # NumPy does a matrix times its own transpose by a symmetric update, at half the cost.
    np.matmul(rows.T, rows, out=out)


def _numpy_cross(left: Products, right: Products, out: Products) -> None:
    np.matmul(left.T, right, out=out)


def _torch_own(rows: Products, out: Products) -> None:
    """PyTorch has no symmetric update: four panels up to the diagonal are 5/8 of a product."""
    ends = [len(out) * i // _PANELS for i in range(_PANELS + 1)]
    for start, stop in itertools.pairwise(ends):
        _torch_cross(rows[:, start:stop], rows[:, :stop], out[start:stop, :stop])


def _torch_cross(left: Products, right: Products, out: Products) -> None:
    torch.mm(torch.from_numpy(left).T, torch.from_numpy(right), out=torch.from_numpy(out))


NUMPY = Blas("NumPy", _numpy_own, _numpy_cross)
TORCH = Blas("PyTorch", _torch_own, _torch_cross)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """PyTorch multiplies in the calling thread: it is called from several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def faster(kind: np.dtype, columns: int) -> Blas:
    """The library that multiplies blocks of so many columns in less time in one thread; timed once per size.

    Args:
        kind: float64 or float32.
        columns: of the blocks.
    """
    # PyTorch can be told to multiply float32 in bfloat16; that is not our bargain.
    if kind == np.float32 and torch.get_float32_matmul_precision() != "highest":
        return NUMPY
    return timed(kind.char, min(2 ** math.ceil(math.log2(columns)), _MOST_TIMED_COLUMNS))


@cache
def timed(kind: str, columns: int) -> Blas:
    """The faster library by a race, which is run once; see ``faster``."""
    rows = np.random.default_rng(0).normal(size=(_TIMED_ROWS, columns)).astype(kind)
    out = np.zeros((columns, columns), kind)
    # in turn: clocks drift
    rounds = [{blas.name: seconds(blas, rows, out) for blas in (NUMPY, TORCH)} for _ in range(_TRIALS)]
    least = {name: min(times[name] for times in rounds) for name in rounds[0]}  # others only ever add time
    return TORCH if least[TORCH.name] < least[NUMPY.name] else NUMPY


def seconds(blas: Blas, rows: Products, out: Products) -> float:
    """Time of one product of rows with themselves."""
    start = time.perf_counter()
    blas.own(rows, out)
    return time.perf_counter() - start


def add_up(multiply: Callable[[slice, Products], None], num: int, out: Products, spare: Products) -> None:
    """The products of ``num`` rows in ``out``; float32 ones in chains.

    Args:
        multiply: writes the products of a slice of the rows into an array.
        num: of rows.
        out: where the products go.
        spare: of the same shape; for float32.
    """
    step = num if out.dtype == np.float64 else CHAIN  # the error bound of `arrays` counts on chains
    multiply(slice(0, step), out)
    for start in range(step, num, step):
        multiply(slice(start, start + step), spare)
        out += spare


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """``left @ right``; by NumPy's library on the processor: half of the time of MKL on AMD's Zen 4."""
    if left.device.type == "cpu":
        return torch.from_numpy(left.numpy() @ right.numpy())
    return left @ right


def eigenvalues(matrix: torch.Tensor) -> torch.Tensor:
    """Eigenvalues (d,), ascending, of a symmetric (d, d); by NumPy's library on the processor, see ``product``."""
    if matrix.device.type == "cpu":
        return torch.from_numpy(np.linalg.eigvalsh(matrix.numpy()))
    values: torch.Tensor = torch.linalg.eigvalsh(matrix)
    return values


def inverse_factor(matrix: torch.Tensor) -> torch.Tensor | None:
    """inv(L) of S = LL', by SciPy's LAPACK on the processor: it inverts a triangle, where PyTorch solves for the whole.

    Args:
        matrix: S, symmetric (d, d).

    Returns:
        (d, d), lower triangular; None where S is not positive definite.
    """
    if matrix.device.type == "cpu":
        # row by row, S and L' are what LAPACK takes for S and an upper L', column by column
        upper, failed = lapack.dpotrf(matrix.numpy().T, lower=0)
        if failed:
            return None
        inverse, _ = lapack.dtrtri(upper, lower=0)
        return torch.from_numpy(inverse.T)
    # _ex: reports failure instead of raising, which costs a wait on a GPU
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if int(failed.item()):
        return None
    eye = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    solution: torch.Tensor = torch.linalg.solve_triangular(factor, eye, upper=False)
    return solution
