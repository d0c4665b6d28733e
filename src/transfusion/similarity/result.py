"""What a measure answers: a number, what stands behind it, what chance would give, and warnings."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Real

import numpy as np
import numpy.typing as npt
import torch

from transfusion.similarity.cautions import Caution
from transfusion.similarity.measures import Measure, Score
from transfusion.similarity.pair import Pair, View

_TYPES = {
    torch.finfo(kind).eps: str(kind).removeprefix("torch.")
    for kind in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
}
# Share of a feature's variance that is rounding, from which it is told.
_MOST_COARSE = 0.01
# Rounding units of the mean: what float64 sums leave of a constant is less, one step of the type in few samples more.
_LEAST_JITTER = 0.01


@dataclass(frozen=True, eq=False)
class Similarity:
    """How alike two representations are.

    Attributes:
        value: the measure, x against y; NaN only with a warning that says why. At most 1.
        reverse: y against x; differs from ``value`` for PWCCA only.
        coefficients: canonical correlations (CCA family) or normalised singular values (Procrustes), descending;
            empty for CKA.
        ranks: dimensions of x and y that took part.
        n: samples.
        baseline: ``value`` expected of the same two with images paired at random.
        warnings: what makes the value less than it seems.

    It compares, hashes, rounds and formats as its ``value`` does; NaN is neither above nor below anything.

    Examples:
        >>> found = Similarity(0.5, 0.5, np.array([0.5]), (1, 1), 10, 0.3, ())
        >>> float(found), found < 0.7, f"{found:.2f}"
        (0.5, True, '0.50')
    """

    value: float
    reverse: float
    coefficients: npt.NDArray[np.float64]
    ranks: tuple[int, int]
    n: int
    baseline: float
    warnings: tuple[Caution, ...]

    def __float__(self) -> float:
        return self.value

    def __lt__(self, other: object) -> bool:
        return self._compared(operator.lt, other)

    def __le__(self, other: object) -> bool:
        return self._compared(operator.le, other)

    def __gt__(self, other: object) -> bool:
        return self._compared(operator.gt, other)

    def __ge__(self, other: object) -> bool:
        return self._compared(operator.ge, other)

    def __eq__(self, other: object) -> bool:
        return self._compared(operator.eq, other)

    def __hash__(self) -> int:
        return hash(self.value)

    def __round__(self, digits: int | None = None) -> float:
        return round(self.value, digits)

    def __format__(self, spec: str) -> str:
        return format(self.value, spec) if spec else repr(self)

    def _compared(self, how: Callable[[float, float], bool], other: object) -> bool:
        if isinstance(other, (Similarity, Real)):
            return how(self.value, float(other))
        unknown: bool = NotImplemented  # Python then asks the other side, and says itself what does not compare
        return unknown


def judge(measure: Measure, pair: Pair) -> Similarity:
    """A measure's answer on a pair. The baseline is from re-matched images where summed, else in closed form."""
    score = measure.score(pair)
    return Similarity(
        value=score.value,
        reverse=score.reverse,
        coefficients=score.coefficients.cpu().numpy(),
        ranks=score.ranks,
        n=pair.n,
        baseline=_baseline(measure, pair, score),
        warnings=tuple(_warnings(measure, pair, score)),
    )


def _baseline(measure: Measure, pair: Pair, score: Score) -> float:
    if pair.null is not None:
        return measure.score(pair.null).value
    return measure.chance(pair, score) if measure.chance is not None else math.nan


def _warnings(measure: Measure, pair: Pair, score: Score) -> Iterator[Caution]:
    yield from _of_view("x", pair.x, measure.whitens)
    yield from _of_view("y", pair.y, measure.whitens)
    widest = max(score.ranks)
    if pair.n < 5 * widest and not measure.unbiased:
        yield Caution("few samples", (pair.n, widest))
    always_one = sum(score.ranks) - (pair.n - 1)  # n centred samples span n - 1 dimensions
    if measure.whitens and always_one > 0:
        yield Caution("saturated", (always_one,))
    if math.isnan(score.value) and min(score.ranks):  # without any rank "constant" has said why
        needs = "values whose squares float64 can hold"
        if measure.unbiased:
            needs = "at least 4 samples and variation between them"
        yield Caution("no value", (needs, pair.n))


def _of_view(name: str, view: View, whitens: bool) -> Iterator[Caution]:
    dead = view.width - int(view.alive.sum().item())
    how = _how_constant(view)
    if dead == view.width:
        yield Caution("constant", (how,), name)
    elif dead:
        yield Caution("dead features", (dead, view.width, how), name)
    if whitens and view.basis.rank < view.width - dead:
        yield Caution("rank", (view.basis.rank, view.width - dead), name)
    if whitens and view.doubt:
        yield Caution("doubt", (view.doubt,), name)
    if view.coarseness > _MOST_COARSE:
        yield Caution("rounding", (_TYPES[view.eps], round(100 * view.coarseness)), name)


def _how_constant(view: View) -> str:
    """What to do about features that do vary, but by no more than their type can hold beside their mean."""
    if view.jitter < _LEAST_JITTER:
        return ""
    return f" to within the rounding of {_TYPES[view.eps]} (subtract the mean before converting)"
