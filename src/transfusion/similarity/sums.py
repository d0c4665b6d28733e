"""Streaming sufficient statistics: one pass, memory that depends on width only, partial sums that merge.

Legend: K networks see the same n samples; network k has d_k features. s is a fixed shift (the mean of the first
rows), z = x - s, p = |z|^2 and delta = mean(z). One sample of all networks is the row a = (z_1, p_1, ..., z_K, p_K, 1),
and everything that any measure needs is the Gram matrix G = sum of a'a, including the debiased CKA, whose
sum_i |x_i|^2 |y_i|^2 would otherwise ask for n x n kernels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor

from transfusion.errors import InputError
from transfusion.networks.given import described, integer
from transfusion.similarity.blas import Products
from transfusion.similarity.gram import BLOCK, Rows, add_products
from transfusion.similarity.pair import EPS, Pair, View
from transfusion.similarity.reading import samples

# Float64 values of stacked rows per update.
_BLOCK_ON_GPU = 2**26
# Of the images of an update, to an image's partner: the golden section is no simple fraction.
_SHARE_AWAY = 0.382


class NotFiniteError(InputError):
    """Values of a representation that no sum can hold.

    Attributes:
        which: the place of the representation among those of the sums.
    """

    def __init__(self, which: int) -> None:
        self.which = which
        super().__init__(self.of(f"Representation {which}"))

    @staticmethod
    def of(whose: str) -> str:
        """The same of a representation that has a name."""
        return (
            f"{whose} holds NaN, infinite or huge values (beyond 1e75); similarity needs finite numbers. Look for a "
            "diverged network, or rescale."
        )


class Sums:
    """Second moments of K representations of the same samples, added up batch by batch.

    The shift bounds cancellation: the mean of the first rows lies within sqrt(n / n_first) standard deviations of the
    final mean, so at most a factor n / n_first of float64's 16 digits is lost.

    Args:
        widths: number of features of each representation.
        norms: keep what the debiased CKA needs; a tenth more time where features are few.
        rematched: also sum the products of re-matched images (each with another of its batch), from which every
            pair's baseline comes.
        device: where the sums live; that of the activations.
        eps: rounding unit of each representation, where its numbers come in a finer type than they were rounded to.
        stacked: add up by torch, many rows at a time, as a GPU does best; None decides by the device.

    Raises:
        InputError: widths are not whole numbers of 1 or more, one for each representation.

    Examples:
        >>> x = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
        >>> first, second = Sums((3, 3)), Sums((3, 3))
        >>> first.update([x[:40], x[:40]])
        >>> second.update([x[40:], x[40:]])
        >>> first.merge(second).n
        100
    """

    def __init__(
        self,
        widths: Sequence[int],
        norms: bool = True,
        rematched: bool = False,
        device: torch.device | str = "cpu",
        eps: Sequence[float] | None = None,
        stacked: bool | None = None,
    ) -> None:
        if isinstance(widths, str) or not isinstance(widths, Sequence) or not widths:
            raise InputError(f"Sums takes widths, such as Sums((64, 32)); got {described(widths)}.")
        self.widths = tuple(integer(width, "width", least=1) for width in widths)
        self.eps = list(eps) if eps else [0.0] * len(self.widths)
        if len(self.eps) != len(self.widths):
            raise InputError(f"Got {len(self.eps)} eps for {len(self.widths)} representations; give one each.")
        starts = [0]
        for width in self.widths:
            starts.append(starts[-1] + width + norms)
        self._at = [slice(a, b) for a, b in itertools.pairwise(starts)]
        self._norms = norms
        size = starts[-1] + 1
        # G up to the diagonal; above the networks' own blocks, where G would repeat itself, the re-matched products.
        self._gram = torch.zeros((size, size), dtype=torch.float64, device=device)
        self._rematched = rematched
        self._stacked = self._gram.device.type != "cpu" if stacked is None else stacked
        self._shifts: list[Tensor] = []  # from the first rows; an estimate is enough, see the class

    @property
    def n(self) -> int:
        """Number of samples seen."""
        return int(self._gram[-1, -1].item())  # the sum of 1 times 1

    def update(self, blocks: Sequence[Tensor], rows_per_image: int = 1, single: bool = False) -> None:
        """Add the same samples as every network represents them.

        Args:
            blocks: one tensor (rows, width) per network, on the device of the sums, any float or integer type.
            rows_per_image: consecutive rows that belong to one image (positions, tokens); images are what is
                re-matched for the baseline, which takes two or more at a time.
            single: multiply in float32 and add up in float64 (on the processor): twice as fast, right to seven digits
                of each product, so for well-conditioned data alone.

        Raises:
            InputError: where shapes disagree, or a value is not finite; after the latter the sums are lost.
        """
        if not isinstance(blocks, (list, tuple)):
            raise InputError(f"update takes a list of one block per representation; got {described(blocks)}.")
        rows_per_image = integer(rows_per_image, "rows_per_image", least=1)
        blocks = [samples(block, f"block {k}").to(self._gram.device) for k, block in enumerate(blocks)]
        self._check(blocks, rows_per_image)
        if not self._shifts:
            self._shifts = [self._shift(block[: self._rows_per_block()]) for block in blocks]
        # the coarsest counts
        self.eps = [max(eps, _rounding_unit(block)) for eps, block in zip(self.eps, blocks, strict=True)]
        away = partner(len(blocks[0]), rows_per_image)
        add = self._add_stacked if self._stacked else self._add
        add(blocks, away, single)
        self._check_finite()

    def merge(self, other: Sums) -> Sums:
        """Sums over the samples of both, as if one pass had seen them all.

        Raises:
            InputError: where the two do not describe the same networks.
        """
        if not isinstance(other, Sums):
            raise InputError(f"Sums merge with Sums; got {described(other)}.")
        if self._kind != other._kind:
            raise InputError(
                f"Sums over widths {self.widths} and {other.widths} do not merge; both need the same networks, and "
                "both or neither norms and a baseline."
            )
        if not self._shifts or not other._shifts:
            return deepcopy(self if self._shifts else other)
        merged = Sums(*self._kind, self._gram.device)
        merged.eps = [max(pair) for pair in zip(self.eps, other.eps, strict=True)]
        merged._shifts = self._shifts
        # about one shift: sums about different ones cannot be added
        merged._gram = (_symmetric(self._gram) + self._moved(_symmetric(other._gram), other)).tril()
        if self._rematched:
            theirs = self._moved(_with_margins(other._gram), other)
            merged._gram += (_with_margins(self._gram) + theirs).triu(1)
        return merged

    def pairs(self) -> Iterator[tuple[int, int, Pair]]:
        """Every pair of networks a < b with what the measures need; each network is whitened at most once.

        Raises:
            InputError: with fewer than two samples.
        """
        if self.n < 2:
            raise InputError(f"Got {self.n} samples; similarity needs at least 2. Give more images.")
        views = [self._view(k) for k in range(len(self.widths))]
        for a in range(len(views)):
            for b in range(a + 1, len(views)):
                null = self._pair(views, a, b, rematched=True) if self._rematched else None
                yield a, b, self._pair(views, a, b, null=null)

    @property
    def _kind(self) -> tuple[tuple[int, ...], bool, bool]:
        return self.widths, self._norms, self._rematched

    def _rows_per_block(self) -> int:
        return BLOCK if self._gram.device.type == "cpu" else max(512, _BLOCK_ON_GPU // len(self._gram))

    def _check(self, blocks: Sequence[Tensor], rows_per_image: int) -> None:
        shapes = [tuple(block.shape) for block in blocks]
        rows = len(blocks[0]) if blocks else 0
        if shapes != [(rows, width) for width in self.widths]:
            raise InputError(f"Got blocks of shape {shapes}; need equal rows and widths {self.widths}.")
        if rows == 0 or rows % rows_per_image:
            raise InputError(f"Got {rows} rows; need a positive multiple of rows_per_image={rows_per_image}.")
        if self._rematched and rows == rows_per_image:
            raise InputError("Got one image; the baseline re-matches images, so it needs two or more at a time.")

    def _check_finite(self) -> None:
        for k, at in enumerate(self._at):
            # the diagonal alone: a value that is not finite is in its own square
            if not bool(self._gram.diagonal()[at].isfinite().all()):
                raise NotFiniteError(k)

    def _shift(self, first: Tensor) -> Tensor:
        """The mean of the first rows; one that float32 can hold serves rows of both types."""
        mean = first.to(torch.float64).mean(dim=0)
        # then z = x - s is the same number whether it is found in float32 or in float64
        return mean if _rounding_unit(first) == EPS else mean.to(torch.float32).to(torch.float64)

    def _add(self, blocks: Sequence[Tensor], away: int, single: bool) -> None:
        moved = self._filler(blocks, away) if self._rematched else None
        rows = Rows(len(blocks[0]), self._filler(blocks, 0), moved)
        add_products(self._gram.numpy(), rows, self._at, single)

    def _filler(self, blocks: Sequence[Tensor], away: int) -> Callable[[slice, Products], None]:
        """Writes rows a = (z_1, p_1, ..., z_K, p_K, 1) of the samples so many rows further on."""
        shifts = [shift.numpy() for shift in self._shifts]

        def fill(rows: slice, into: Products) -> None:
            for block, at, shift in zip(blocks, self._at, shifts, strict=True):
                z = into[:, at][:, : len(shift)]
                np.subtract(_numpy(_rows(block, rows, away)), shift.astype(into.dtype, copy=False), out=z)
                if self._norms:
                    into[:, at.stop - 1] = np.einsum("ij,ij->i", z, z)
            into[:, -1] = 1

        return fill

    def _add_stacked(self, blocks: Sequence[Tensor], away: int, single: bool) -> None:
        height = min(self._rows_per_block(), len(blocks[0]))
        for start in range(0, len(blocks[0]), height):
            rows = slice(start, min(start + height, len(blocks[0])))
            stacked = self._stack(blocks, rows, 0)
            for at in [*self._at, slice(-1, None)]:
                self._gram[at, : at.stop].addmm_(stacked[:, at].T, stacked[:, : at.stop])
            if self._rematched:
                moved = self._stack(blocks, rows, away)
                for at in self._at[:-1]:
                    self._gram[at, at.stop : -1].addmm_(stacked[:, at].T, moved[:, at.stop : -1])

    def _stack(self, blocks: Sequence[Tensor], rows: slice, away: int) -> Tensor:
        stacked = self._gram.new_ones((rows.stop - rows.start, len(self._gram)))
        for block, at, shift in zip(blocks, self._at, self._shifts, strict=True):
            z = stacked[:, at][:, : len(shift)]
            torch.sub(_rows(block, rows, away), shift, out=z)
            if self._norms:
                stacked[:, at.stop - 1] = torch.einsum("ij,ij->i", z, z)
        return stacked

    def _view(self, k: int) -> View:
        at = self._at[k]
        centred, width = self._centred(k, k), self.widths[k]
        offset = self._gram[-1, at][:width] / self.n
        moment, norms = centred[:width, :width], self._norm_products(centred, k, k)
        return View(self.n, self._shifts[k] + offset, moment, norms, self.eps[k], offset).without_dead()

    def _pair(self, views: Sequence[View], a: int, b: int, rematched: bool = False, null: Pair | None = None) -> Pair:
        centred = self._centred(a, b, rematched)
        cross = centred[: self.widths[a], : self.widths[b]]
        alive = [views[k].alive for k in (a, b)]
        if not all(bool(each.all()) for each in alive):
            cross = cross * torch.outer(*alive)  # dead features take part in nothing, though their sums are kept
        # A baseline is one draw of many: float32 finds its correlations to more digits than draws agree in.
        coarse = rematched and min(self.eps[a], self.eps[b]) > EPS
        precision = torch.float32 if coarse else torch.float64
        return Pair(views[a], views[b], cross, self._norm_products(centred, a, b), null, precision)

    def _centred(self, a: int, b: int, rematched: bool = False) -> Tensor:
        """Centred second moments of (z_a, p_a) against (z_b, p_b), for a <= b."""
        at, to = self._at[a], self._at[b]
        totals = self._gram[-1]
        block = self._gram[at, to] if rematched else self._gram[to, at].T
        block = _symmetric(block.T) if a == b else block
        return torch.addr(block, totals[at], totals[to], alpha=-1 / self.n)

    def _norm_products(self, centred: Tensor, a: int, b: int) -> float:
        """Sum over samples of |x - mean|^2 |y - mean|^2, by |z - delta|^2 = p - 2 delta.z + constant."""
        if not self._norms:
            return math.nan
        totals = self._gram[-1]
        weights, squares = [], []
        for k in (a, b):
            at = self._at[k]
            delta = totals[at][:-1] / self.n
            weights.append(torch.cat([-2 * delta, delta.new_ones(1)]))
            squares.append(totals[at.stop - 1] - self.n * delta.dot(delta))
        return float((weights[0] @ centred @ weights[1] + squares[0] * squares[1] / self.n).item())

    def _moved(self, gram: Tensor, other: Sums) -> Tensor:
        """``other``'s matrix as if it had been summed about our shift: T G T' for the linear map a -> T a."""
        steps = [mine - theirs for mine, theirs in zip(self._shifts, other._shifts, strict=True)]
        return self._move_rows(self._move_rows(gram, steps).T, steps).T

    def _move_rows(self, gram: Tensor, steps: Sequence[Tensor]) -> Tensor:
        moved = gram.clone()
        for at, step in zip(self._at, steps, strict=True):
            z = slice(at.start, at.start + len(step))
            if self._norms:
                moved[at.stop - 1] += -2 * step @ gram[z] + step.dot(step) * gram[-1]
            moved[z] -= torch.outer(step, gram[-1])
        return moved


def partner(num_rows: int, rows_per_image: int) -> int:
    """How many rows away each image's partner lies: no image is its own where there are two.

    Not half of them away, where two views of one image may lie one above the other.

    Examples:
        >>> partner(num_rows=100, rows_per_image=10)
        40
    """
    return max(1, round(_SHARE_AWAY * (num_rows // rows_per_image))) * rows_per_image


def _rounding_unit(block: Tensor) -> float:
    return torch.finfo(block.dtype if block.dtype.is_floating_point else torch.float64).eps


def _rows(block: Tensor, rows: slice, away: int) -> Tensor:
    """Rows of a block, so many further on, where the first follow the last."""
    start, stop = rows.start + away, rows.stop + away
    num = len(block)
    if start >= num:
        return block[start - num : stop - num]
    return block[start:stop] if stop <= num else torch.cat([block[start:], block[: stop - num]])


def _numpy(part: Tensor) -> np.ndarray:
    return (part.float() if part.dtype == torch.bfloat16 else part).numpy()  # NumPy has no bfloat16


def _symmetric(lower: Tensor) -> Tensor:
    return lower.tril() + lower.tril(-1).T


def _with_margins(gram: Tensor) -> Tensor:
    """Re-matched products with the sums beside them, which re-matching keeps."""
    full = gram.clone()
    full[:, -1] = gram[-1]
    return full
