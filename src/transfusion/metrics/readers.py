"""Means over trainings on one set of patients, judged for other trainings *and* other patients.

Trainings are to networks what readers are to radiology: a difference between two starts that was seen with every seed
may still be one between these test images only, whatever the number of seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from transfusion.errors import InputError
from transfusion.metrics.influence import Influence, weighted
from transfusion.metrics.interval import Interval

Floats = NDArray[np.float64]

ENOUGH_TO_AGREE = 3  # trainings that agree exactly


@dataclass(frozen=True)
class Evidence:
    """An estimate and the two parts of its variance, for any level of confidence.

    Attributes:
        estimate: a mean over trainings.
        spread: variance of a single training's value; NaN where there is none to judge by.
        n: trainings.
        spread_df: degrees of freedom of the spread.
        shared: variance of the estimate that all trainings share, through the patients, so that no number of trainings
            reduces it; NaN where it is not known, and not counted then.
        shared_df: degrees of freedom of that.
        reason: why there is no interval, or one without a width from trainings; None otherwise.
    """

    estimate: float
    spread: float
    n: int
    spread_df: float
    shared: float = float("nan")
    shared_df: float = float("inf")
    reason: str | None = None

    @property
    def trainings(self) -> float:
        """Variance of the estimate through other trainings."""
        return self.spread / self.n if self.n else float("nan")

    @property
    def error(self) -> float:
        """Standard error over trainings and, where known, what they share."""
        return float(np.sqrt(self.trainings + np.nan_to_num(self.shared)))

    @property
    def df(self) -> float:
        """Degrees of freedom of the squared error, by Satterthwaite; NaN where there is none."""
        if not self.error > 0:  # first: one training has no spread and no degrees of freedom to divide by
            return float("nan")
        uncertain = self.trainings**2 / self.spread_df + np.nan_to_num(self.shared) ** 2 / self.shared_df
        return float(self.error**4 / uncertain)

    @property
    def sides(self) -> tuple[tuple[float, float], ...]:
        """Standard errors above 0 with their degrees of freedom: over both sources, and over trainings alone.

        What is claimed holds by each of them. With few trainings Satterthwaite's degrees of freedom come out too high
        where patients add little: a second source of variance would then make an interval narrower.
        """
        if not self.error > 0:
            return ()
        alone = float(np.sqrt(self.trainings))
        return ((self.error, self.df), *([(alone, self.spread_df)] if alone > 0 else []))

    def interval(self, level: float = 0.95) -> Interval:
        """The wider of the t intervals by ``sides``, with the parts of its variance; NaN without an error."""
        widths = [float(stdtrit(df, (1 + level) / 2)) * error for error, df in self.sides]
        margin = max(widths, default=self.error)
        part = self.shared_part
        parts = {} if np.isnan(part) else {"training": 1 - part, "patients": part}
        return Interval(self.estimate, self.estimate - margin, self.estimate + margin, self.n, self.reason, parts)

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided, of "it is ``null``"; NaN without an error."""
        if not self.error > 0:
            return np.nan if np.isnan(self.error) else float(self.estimate == null)
        return max(float(2 * stdtr(df, -abs(self.estimate - null) / error)) for error, df in self.sides)

    def equivalence_p(self, margin: float) -> float:
        """Of "it is ``margin`` or more away from 0": the larger of two one-sided p-values; NaN without an error.

        Source: Schuirmann 1987.
        """
        if not self.error > 0:
            return np.nan if np.isnan(self.error) else float(abs(self.estimate) >= margin)
        return max(float(stdtr(df, (abs(self.estimate) - margin) / error)) for error, df in self.sides)

    @property
    def shared_part(self) -> float:
        """How much of its variance trainings share, 0 to 1; NaN where one of the two is not known.

        Near 1 more trainings hardly help and more patients do; near 0 the other way round.
        """
        return self.shared / (self.trainings + self.shared) if self.error > 0 else float("nan")


def evidence(values: Floats, influences: Sequence[Influence] | None = None) -> Evidence:
    """The mean of a metric, or of a paired difference (see ``contrast``), over trainings judged on the same patients.

    The variance is that of Obuchowski and Rockette with trainings as readers: s^2 / n of the values, which holds the
    trainings and what is peculiar to a training on these patients, and the covariance over patients of two different
    trainings, which no number of trainings reduces. Degrees of freedom by Satterthwaite: those of the first term as
    in Hillis (2007), and those of the second from the number of patients, so that few patients are few. An interval is
    never narrower than Student's t over trainings alone, which differs from the published method where trainings are
    few and patients matter little: there it covers 92 % instead of 95 % (three trainings, a tenth of the variance from
    patients; see benchmarks/results/verdict_coverage.md). Three or more
    trainings that agree exactly have no spread, and a reason that says so: independent trainings do so only where the
    metric cannot separate them.

    Args:
        values: one per training, (n,).
        influences: of each on the same patients, n of them; None where predictions are not known: the evidence is then
            about these patients only.

    Raises:
        InputError: if the influences do not fit the values or each other.

    Source: Obuchowski and Rockette 1995; Hillis 2007, Statistics in Medicine 26.

    Examples:
        >>> found = evidence(np.array([0.02, 0.03, 0.01]))
        >>> round(found.estimate, 3), round(found.df, 9), round(found.interval().low, 4)
        (0.02, 2.0, -0.0048)
    """
    n = len(values)
    patients, df = _patients(influences, n) if influences else (np.nan, np.inf)
    estimate = float(values.mean()) if n else np.nan
    if n < 2 or np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):  # equal up to rounding
        spread = 0.0 if n >= ENOUGH_TO_AGREE else np.nan
        return Evidence(estimate, spread, n, n - 1.0, patients, df, _no_spread(n))
    return Evidence(estimate, float(values.var(ddof=1)), n, n - 1, patients, df)


def contrast(a: Influence, b: Influence) -> Influence:
    """Of a metric of ``a`` minus that of ``b`` on the same patients.

    Raises:
        InputError: if the numbers of patients differ.
    """
    return weighted([a, b], [1, -1])


def _patients(influences: Sequence[Influence], n: int) -> tuple[float, float]:
    """Mean covariance over patients of two different trainings, and its degrees of freedom; NaN for one training."""
    shapes = {each.by_patient.shape for each in influences}
    if len(influences) != n or len(shapes) > 1:
        raise InputError(f"{len(influences)} influences of shapes {sorted(shapes)} do not fit {n} values.")
    if n < 2:
        return influences[0].variance, float(influences[0].df.min())
    parts = np.stack([each.by_patient for each in influences])
    by_part = np.array([shared_covariance(part, part) for part in parts.swapaxes(0, 1)])
    shared, df = shared_covariance(parts.sum(1), parts.sum(1)), influences[0].df
    usable = (by_part > 0) & (df > 0)
    uncertain = float((by_part[usable] ** 2 / df[usable]).sum())
    # an estimate of a covariance can be negative; below 0 it would make intervals narrower than trainings alone
    return max(shared, 0.0), float(by_part[usable].sum() ** 2 / uncertain) if uncertain > 0 else np.inf


def shared_covariance(a: Floats, b: Floats) -> float:
    """Mean product over pairs of different trainings, summed over patients: what trainings have in common.

    Args:
        a: influences of each training, (trainings, patients).
        b: of another quantity, for the same trainings and patients.

    Examples:
        >>> shared_covariance(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[2.0, 0.0], [2.0, 0.0]]))
        2.0
    """
    n = len(a)
    # all pairs less those of a training with itself
    return float((a.sum(0) @ b.sum(0) - (a * b).sum()) / (n * (n - 1)))


def _no_spread(n: int) -> str:
    if n == 0:
        return "no seed has both runs complete"
    return "one seed shows no spread" if n == 1 else f"all {n} seeds agree exactly, so there is no spread to judge by"
