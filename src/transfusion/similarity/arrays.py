"""From two arrays to what the measures work on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from transfusion.errors import InputError
from transfusion.networks.given import integer
from transfusion.similarity.blas import CHAIN
from transfusion.similarity.exact import exact_pair
from transfusion.similarity.gram import BLOCK
from transfusion.similarity.measures import Measure
from transfusion.similarity.pair import EPS, SAFE_SPREAD, Pair, View
from transfusion.similarity.reading import Array, check_same_rows, moderate, rounding_unit, samples
from transfusion.similarity.result import Similarity, judge
from transfusion.similarity.sums import NotFiniteError, Sums, partner

_SINGLE_ENOUGH = (torch.float32, torch.float16, torch.bfloat16)
# Rows times squared columns from which float32 products save time.
LEAST_WORK = 1e9
# Error up to which they are worth it; and variances whose squares they hold.
MOST_ERROR = 1e-8
_VARIANCES = (1e-20, 1e20)


def similarity(measure: Measure, x: Array, y: Array, rows_per_image: int = 1) -> Similarity:
    """Judge two arrays by a measure, taking the exact route where float64 data need it.

    Args:
        measure: one of ``MEASURES``.
        x: (samples, features_x).
        y: (samples, features_y), the same samples.
        rows_per_image: consecutive rows that belong to one image, and so stay together in the baseline.

    Raises:
        InputError: where the arrays cannot be compared.

    Examples:
        >>> from transfusion.similarity.measures import measure
        >>> x = torch.eye(8, 2, dtype=torch.float64)
        >>> round(similarity(measure("cca"), x, 3 * x).value, 6)
        1.0
    """
    check_same_rows(x, y)
    first, second = samples(x, "x"), samples(y, "y")
    rows_per_image = integer(rows_per_image, "rows_per_image", least=1)
    _check(first, second, rows_per_image)
    # before the sums: fourth powers of 1e80 do not fit into float64
    first, second = (moderate(each, name, measure.whitens) for each, name in ((first, "x"), (second, "y")))
    second = second.to(first.device)
    # the closed forms take rows for independent; the positions of one image are not
    rematched = measure.chance is None or rows_per_image > 1
    eps = [rounding_unit(each) for each in (first, second)]
    new = partial(Sums, (first.shape[1], second.shape[1]), measure.norms, rematched, first.device, eps)
    try:
        pair = _pair(new, first, second, rows_per_image, measure.single)
    except NotFiniteError as error:
        raise InputError(error.of(("x", "y")[error.which])) from None
    if measure.whitens and (_needs_exact(pair.x) or _needs_exact(pair.y)):
        away = partner(len(first), rows_per_image) if rematched else 0
        pair = _exact(first, second, (pair.x.eps, pair.y.eps), away)
    return judge(measure, pair)


def _pair(new: Callable[[], Sums], x: Tensor, y: Tensor, rows_per_image: int, try_single: bool) -> Pair:
    """Moments of both; from float32 products where the first rows, then all, show that these cost less than 1e-8."""
    first = _num_first(x, y, rows_per_image) if try_single else len(x)
    single, sums = first < len(x), new()
    for rows in (slice(0, first), slice(first, len(x))) if single else (slice(0, first),):
        sums.update([x[rows], y[rows]], rows_per_image, single)
        pair = _only(sums)
        # where samples come in order, the first rows show less than all
        if single and not _well_conditioned(pair, len(x)):
            return _pair(new, x, y, rows_per_image, try_single=False)
    return pair


def _num_first(x: Tensor, y: Tensor, rows_per_image: int) -> int:
    """How many rows to try float32 on first: all in float64, where it is out of the question or saves nothing."""
    width = max(x.shape[1], y.shape[1])
    # whole images; 4 rows a feature show its rank
    first = max(2, -(-max(BLOCK, 4 * width) // rows_per_image)) * rows_per_image
    coarse = x.device.type == "cpu" and all(each.dtype in _SINGLE_ENOUGH for each in (x, y))
    hopeless = max(_least_error(len(x), each.shape[1]) for each in (x, y)) >= MOST_ERROR
    if hopeless or not coarse or len(x) < 4 * first or len(x) * width**2 < LEAST_WORK:
        return len(x)
    return first


def _well_conditioned(pair: Pair, n: int) -> bool:
    """Whether float32 products would change the mean correlation of n such samples by less than 1e-8."""
    return max(error_in_single(view, n) for view in (pair.x, pair.y)) < MOST_ERROR


def error_in_single(view: View, n: int) -> float:
    """Four standard deviations of it: 4 u sqrt(k / 6 + (k / 3)^2) mean(1 / l) (1 + max(z)^2) / sqrt(n d).

    Here u = 2^-24, l are the eigenvalues of the correlation matrix, and z is how many standard deviations a feature's
    mean lies from the shift about which it is summed.

    Rounding is taken as random. A sum of k products of unit variance and mean m, in any order, then errs by at most
    what one chain of additions does: u^2 (k^2 / 6 + m^2 k^3 / 9) in variance, where k = CHAIN and m is at most 1; n / k
    such sums are added up, and the mean of d correlations averages the errors of d directions. No constant was
    measured; benchmarks/similarity_accuracy.py shows what is seen beside it.
    """
    least, most = _VARIANCES
    within = view.alive & (view.variance > least) & (view.variance < most)
    if not bool(within.all()) or view.basis.rank < view.width:  # a dropped direction has no bound on its error
        return math.inf
    inverse = view.basis.weights.square().sum(dim=1) @ view.moment.diagonal()
    drift = 1 + float((view.offset.square() / view.variance).max().item())
    return _least_error(n, view.width) * drift * float(inverse.item()) / view.width


def _least_error(n: int, width: int) -> float:
    """The same of features that are uncorrelated and centred."""
    return 4 * 2**-24 * math.sqrt(CHAIN / 6 + (CHAIN / 3) ** 2) / math.sqrt(n * width)


def _only(sums: Sums) -> Pair:
    ((_, _, pair),) = sums.pairs()
    return pair


def _exact(x: Tensor, y: Tensor, eps: tuple[float, float], away: int) -> Pair:
    x, y = x.to(torch.float64), y.to(torch.float64)
    # two factorisations: the re-matched rows span another space than the rows as they are
    pair = exact_pair(x, y, eps)
    return replace(pair, null=exact_pair(x, y.roll(-away, 0), eps)) if away else pair


def _needs_exact(view: View) -> bool:
    # of coarser types the moments in float64 hold all that their digits do
    return view.eps == EPS and bool(view.alive.any()) and view.basis.spread < SAFE_SPREAD


def _check(x: Tensor, y: Tensor, rows_per_image: int) -> None:
    if len(x) != len(y):
        raise InputError(f"x has {len(x)} samples and y has {len(y)}; both need the same samples in the same order.")
    if len(x) < 2:
        raise InputError(f"Got {len(x)} samples; similarity needs at least 2. Give more images.")
    if len(x) % rows_per_image:
        raise InputError(f"{len(x)} rows are no multiple of rows_per_image={rows_per_image}; give whole images.")
    if rows_per_image == len(x):
        raise InputError(f"rows_per_image={rows_per_image} makes one image of all rows; a baseline needs two or more.")
