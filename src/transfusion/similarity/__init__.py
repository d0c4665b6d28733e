"""How alike are two representations of the same samples? Arrays in, numbers out.

How to choose: ``cca`` ignores every invertible linear map of the features and is the paper's measure; ``svcca`` and
``pwcca`` discount directions of little variance; ``linear_cka`` and ``procrustes`` ignore rotations only, so they see
which directions are large. Use ``linear_cka(debiased=True)`` where samples are few. Every answer carries the value that
random pairing would give: a score means something only above it.

Streaming: ``Sums`` adds up K representations batch by batch and ``judge`` applies a measure of ``MEASURES`` to a pair.

Source: Raghu et al. (2017), arXiv:1706.05806; Morcos et al. (2018), arXiv:1806.05759; Kornblith et al. (2019),
arXiv:1905.00414; Song et al. (2012) for the debiased estimate.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from numbers import Real

from transfusion.errors import InputError
from transfusion.networks.given import flag
from transfusion.similarity.arrays import similarity
from transfusion.similarity.measures import MEASURES, SVCCA_VARIANCE, measure, svcca_score
from transfusion.similarity.pair import Pair
from transfusion.similarity.reading import Array
from transfusion.similarity.result import Similarity, judge
from transfusion.similarity.sums import Sums

__all__ = [
    "MEASURES",
    "Pair",
    "Similarity",
    "Sums",
    "cca",
    "judge",
    "linear_cka",
    "measure",
    "procrustes",
    "pwcca",
    "svcca",
]


def cca(x: Array, y: Array, squared: bool = False, rows_per_image: int = 1) -> Similarity:
    """Mean canonical correlation: how much of the span of x's features is in the span of y's.

    Unchanged by any invertible linear map of either. Not for n below about 5 d, where it is mostly noise.

    Right to 1e-9 on well-conditioned data; of float32 and half arrays that are large as well to 1e-8, as they are
    multiplied in float32. Give float64 arrays to have all digits.

    Args:
        x: (samples, features_x) numpy array, tensor or frame of any float or integer type. What rounding to its type
            leaves of dependent features is no rank; nor is it where the numbers were float32 or bfloat16 before.
        y: (samples, features_y), the same samples in the same order.
        squared: average the squares instead: the share of variance explained, R^2_CCA.
        rows_per_image: consecutive rows that belong to one image, such as the positions of a convolutional map.

    Returns:
        A value in [0, 1]; 1 for equal spans. Average over min(rank_x, rank_y) correlations.

    Raises:
        InputError: for what is no array of dense real numbers, for arrays of other shapes, of different length, with
            values that are masked or not finite, and for frames whose index labels differ.

    Source: the paper's Section 6; where n < d or features depend on each other it leaves open what to do, and we count
        numerical ranks.

    Examples:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(1000, 4))
        >>> round(cca(x, x @ np.triu(np.ones((4, 4)))).value, 6)
        1.0
    """
    return similarity(measure("cca_squared" if flag(squared, "squared") else "cca"), x, y, rows_per_image)


def svcca(x: Array, y: Array, variance: float = SVCCA_VARIANCE, rows_per_image: int = 1) -> Similarity:
    """Mean canonical correlation between the principal components that hold a share of the variance.

    Args:
        x: (samples, features_x), as for ``cca``.
        y: (samples, features_y).
        variance: share of the total variance (squared singular values) to keep, in (0, 1].
        rows_per_image: as for ``cca``.

    Returns:
        A value in [0, 1]; ``ranks`` are the numbers of components kept.

    Raises:
        InputError: as ``cca``, and for a share outside (0, 1].

    Source: Raghu et al. (2017). Some code cuts on the sum of singular values instead, which keeps more.

    Examples:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(1000, 4)) * [9, 9, 0.1, 0.1]
        >>> svcca(x, x).ranks
        (2, 2)
    """
    if not isinstance(variance, Real) or not 0 < variance <= 1:
        raise InputError(f"Got variance={variance!r}; the share of variance to keep lies in (0, 1], such as 0.99.")
    score = partial(svcca_score, variance=variance)
    return similarity(replace(measure("svcca"), score=score), x, y, rows_per_image)


def pwcca(x: Array, y: Array, rows_per_image: int = 1) -> Similarity:
    """Canonical correlations weighted by the share of x's features that each canonical vector explains.

    Asymmetric: ``value`` weighs by x, ``reverse`` by y.

    Args:
        x: (samples, features_x), as for ``cca``.
        y: (samples, features_y).
        rows_per_image: as for ``cca``.

    Returns:
        A value in [0, 1].

    Raises:
        InputError: as ``cca``.

    Source: Morcos et al. (2018), equation 3.

    Examples:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(1000, 4))
        >>> round(pwcca(x, -2 * x).value, 6)
        1.0
    """
    return similarity(measure("pwcca"), x, y, rows_per_image)


def linear_cka(x: Array, y: Array, debiased: bool = False, rows_per_image: int = 1) -> Similarity:
    """Centred kernel alignment of linear kernels: do the same samples lie close to each other in both?

    Unchanged by rotation and overall scale of either, not by other linear maps. Dominated by the directions of most
    variance.

    Args:
        x: (samples, features_x), as for ``cca``.
        y: (samples, features_y).
        debiased: estimate without the upward bias that few samples cause; may be slightly negative.
        rows_per_image: as for ``cca``.

    Returns:
        A value in [0, 1]; in [-1, 1] if debiased.

    Raises:
        InputError: as ``cca``.

    Source: Kornblith et al. (2019), equation 4; Song et al. (2012), equation 5, here without an n x n matrix.

    Examples:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(1000, 4))
        >>> round(linear_cka(x, 3 * x[:, ::-1]).value, 6)
        1.0
    """
    return similarity(measure("debiased_cka" if flag(debiased, "debiased") else "linear_cka"), x, y, rows_per_image)


def procrustes(x: Array, y: Array, rows_per_image: int = 1) -> Similarity:
    """How well a rotation and one scale turn x into y: nuclear norm of X'Y over |X| |Y|.

    Its arc cosine is a metric (angular Procrustes distance); 2 - 2 value is the squared distance of unit-norm
    representations.

    Args:
        x: (samples, features_x), as for ``cca``.
        y: (samples, features_y); the narrower one is padded with zeros.
        rows_per_image: as for ``cca``.

    Returns:
        A value in [0, 1].

    Raises:
        InputError: as ``cca``.

    Source: Williams et al. (2021), arXiv:2110.14739; Ding et al. (2021), arXiv:2108.01661.

    Examples:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(1000, 4))
        >>> round(procrustes(x, 3 * x[:, ::-1]).value, 6)
        1.0
    """
    return similarity(measure("procrustes"), x, y, rows_per_image)
