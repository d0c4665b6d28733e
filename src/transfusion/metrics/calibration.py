"""Whether probabilities mean what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfusion.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reliability:
    """Cases in bins of similar probability; row i of every field is the same bin.

    Attributes:
        predicted: mean probability, ascending, (bins,).
        observed: share of positive outcomes, (bins,).
        n: cases, (bins,).
    """

    predicted: Floats
    observed: Floats
    n: NDArray[np.int64]


def reliability(outcomes: ArrayLike, probabilities: ArrayLike, num_bins: int = 10) -> Reliability:
    """Observed share against predicted probability, in bins of equal counts: both agree where calibration is perfect.

    Args:
        outcomes: 0, 1 or NaN (unlabelled, left out), any shape.
        probabilities: 0 to 1, same shape.
        num_bins: number of bins. Equal probabilities are never parted, so that counts differ, and bins are fewer,
            where many are equal.

    Returns:
        The bins that have cases; none where nothing is labelled.

    Raises:
        InputError: shapes that do not fit.

    Source: Niculescu-Mizil and Caruana 2005, with bins of equal counts; an addition to the paper.

    Examples:
        >>> bins = reliability([0, 1, 0, 1], [0.1, 0.3, 0.7, 0.9], num_bins=2)
        >>> bins.predicted, bins.observed, bins.n
        (array([0.2, 0.8]), array([0.5, 0.5]), array([2, 2]))
    """
    truth, values = np.asarray(outcomes, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    if truth.shape != values.shape:
        raise InputError(f"Outcomes have shape {truth.shape} and probabilities {values.shape}; give one of each.")
    truth, values = truth[~np.isnan(truth)], values[~np.isnan(truth)]
    if not truth.size:
        return Reliability(truth, values, np.zeros(0, np.int64))
    # inner edges are cases themselves, and a case on an edge belongs above it
    edges = np.unique(np.quantile(values, np.arange(1, num_bins) / num_bins, method="higher"))
    places = np.searchsorted(edges, values, side="right")
    n = np.bincount(places)
    predicted, observed = (np.bincount(places, weights=each)[n > 0] / n[n > 0] for each in (values, truth))
    return Reliability(predicted, observed, n[n > 0])
