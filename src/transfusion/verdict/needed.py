"""How many more: trainings, or patients, that a conclusion would take."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.special import chdtri, nctdtr

from transfusion.metrics import Evidence

POWER = 0.8  # the usual convention: four of five such studies would show it
MOST = 10_000  # trainings; more are not worth naming
MOST_TIMES = 1000.0  # as many patients
SURE = 0.9  # that the spread is not above its upper limit; likewise for the lower one

PowerOf = Callable[[Evidence], float]


@dataclass(frozen=True)
class Needed:
    """A number of trainings of each start, or of patients, with what is known of it.

    Attributes:
        best: by the spread as it was seen; None where 10,000 trainings would not do.
        low: by the spread's lower limit (90 %).
        high: by its upper limit (90 %), so in nine studies out of ten as many suffice; None as ``best``.
        power: chance of the conclusion with ``best``, if the spread is as seen.
    """

    best: int | None
    low: int | None
    high: int | None
    power: float = POWER


def to_confirm(seen: Evidence) -> Needed | None:
    """Trainings that show a difference from 0 with power 0.8, if it is as large as the one seen.

    The number answers "how many more, if this is real"; it says nothing of whether it is. None without a spread.

    Examples:
        >>> seen = Evidence(estimate=0.02, spread=0.02**2, n=3, spread_df=2)
        >>> to_confirm(seen)
        Needed(best=10, low=6, high=77, power=0.8)
    """
    return _trainings(seen, power_to_confirm)


def to_show_equal(seen: Evidence, margin: float) -> Needed | None:
    """Trainings that show a difference smaller than ``margin`` with power 0.8, if there is none. None without a spread.

    Examples:
        >>> seen = Evidence(estimate=0.001, spread=0.01**2, n=3, spread_df=2)
        >>> to_show_equal(seen, margin=0.01)
        Needed(best=11, low=6, high=83, power=0.8)
    """
    return _trainings(seen, partial(power_to_show_equal, margin=margin))


def patients_to_confirm(seen: Evidence, num_patients: int) -> int | None:
    """Patients with whom the given trainings would show a difference as large as the one seen, with power 0.8.

    None where patients are not known to matter, or a thousand times as many would not do.
    """
    return _patients(seen, num_patients, power_to_confirm)


def power_to_confirm(found: Evidence, level: float = 0.95) -> float:
    """Chance that the interval leaves 0 out, if the difference is ``found.estimate``."""
    effect, limit = abs(found.estimate) / found.error, _limit(found, level)
    return float(1 - nctdtr(found.df, effect, limit))


def power_to_show_equal(found: Evidence, margin: float, level: float = 0.95) -> float:
    """Chance that two one-sided tests show a difference under ``margin``, if there is none."""
    limit = _limit(found, 2 * level - 1)
    return max(0.0, float(2 * nctdtr(found.df, -margin / found.error, -limit) - 1))


def _limit(found: Evidence, level: float) -> float:
    """Half the width of its interval in standard errors."""
    interval = found.interval(level)
    return (interval.high - interval.low) / 2 / found.error


def _trainings(seen: Evidence, power: PowerOf) -> Needed | None:
    if seen.reason or not seen.spread > 0 or not np.isfinite(seen.estimate):
        return None
    df = seen.spread_df  # chi-square limits of a variance: from three trainings they lie far apart, and that is told
    least, most = (seen.spread * df / float(chdtri(df, tail)) for tail in (1 - SURE, SURE))
    best, low, high = (_fewest(replace(seen, spread=spread), power) for spread in (seen.spread, least, most))
    return Needed(best, low, high)


def _fewest(seen: Evidence, power: PowerOf) -> int | None:
    """Fewest trainings that have the power; their spread will be known the better the more there are."""

    def planned(n: int) -> float:
        return power(replace(seen, n=n, spread_df=float(n - 1)))  # more trainings know the spread better, too

    if planned(MOST) < POWER:
        return None
    return 2 + bisect_left(range(2, MOST + 1), POWER, key=planned)


def _patients(seen: Evidence, num_patients: int, power: PowerOf) -> int | None:
    if seen.reason or not seen.shared > 0 or not seen.spread > 0:
        return None

    def with_times(times: float) -> float:
        more = replace(seen, shared=seen.shared / times, shared_df=seen.shared_df * times)
        return power(more)

    if with_times(MOST_TIMES) < POWER:
        return None
    needed = bisect_left(
        range(num_patients, int(MOST_TIMES) * num_patients), POWER, key=lambda m: with_times(m / num_patients)
    )
    return num_patients + needed
