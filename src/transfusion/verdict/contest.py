"""The runs of one data size, any of their starts set against another."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np

from transfusion.metrics import Evidence, Influence, Interval, contrast, evidence, weighted
from transfusion.verdict.curves import Curve, Grid, Quantity, Start
from transfusion.verdict.effects import EQUIVALENCE_LEVEL, RISE_SHARE, RISE_SHARES, Effect, Rise, Runs, Timing
from transfusion.verdict.inference import (
    Crossing,
    Floats,
    over_thresholds,
    ratio_interval,
    ratio_p,
    share_of_speedup,
)

SAME = 1e-3  # two numbers of one metric, one from predictions kept in float32
FAR_APART = 0.5  # shares of one speed-up at different thresholds
CLOSE = 2.0  # standard deviations over patients
SPLIT_SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)  # thresholds that a share of the speed-up is taken over

Seen: TypeAlias = Mapping[Hashable, Mapping[int, Influence]]  # run -> step -> influence of each patient


@dataclass(frozen=True)
class Contest:
    """The runs of one data size and the baseline among them.

    Attributes:
        lost: start -> how many of its runs failed, diverged or collapsed.
        influences: run -> step -> influence of each patient on its metric there; intervals cover other patients where
            every evaluation that a quantity rests on has one.
    """

    grid: Grid
    baseline: str
    margin: float
    lost: Mapping[str, int] = field(default_factory=dict)
    influences: Seen = field(default_factory=dict)

    @cached_property
    def rise(self) -> Rise:
        """The baseline's, from its complete runs, so that one that was lost moves no threshold."""
        return Rise.of(self._risen)

    @property
    def _risen(self) -> Runs:
        # unfinished studies have a threshold, too
        return self.grid.complete(self.baseline) or self.grid.find(self.baseline)

    @property
    def rivals(self) -> list[Start]:
        """Every start but the baseline."""
        return [start for start in self.grid.starts if start.name != self.baseline]

    def compare(self, start: Start, against: str | None = None) -> Effect:
        """One start against another, the baseline if not given."""
        other = self.baseline if against is None else against
        runs, others = self.grid.starts[start], self.grid.find(other)
        found = self.evidence(runs, others)
        some = None if np.isnan(found.shared) else next(iter(next(iter(self.influences.values())).values()))
        finals = np.array([curve.final for curve in self.grid.complete(start.name).values()])
        against_finals = [curve.final for curve in self.grid.complete(other).values()]
        speedup_at = {share: self._speedup(runs, others, share) for share in RISE_SHARES}
        return Effect(
            start=start,
            against=other,
            final_mean=float(finals.mean()) if len(finals) else np.nan,
            final_std=float(finals.std(ddof=1)) if len(finals) > 1 else np.nan,
            final_n=len(finals),
            against_mean=float(np.mean(against_finals)) if against_finals else np.nan,
            evidence=found,
            final_difference=found.interval(),
            last_difference=self.evidence(runs, others, "last").interval(),
            speedup=speedup_at[RISE_SHARE],
            area=self.evidence(runs, others, "area").interval(),
            speedup_at=speedup_at,
            timing=self._timing(runs, others),
            equivalence=found.interval(1 - 2 * EQUIVALENCE_LEVEL),
            equivalence_p=found.equivalence_p(self.margin),
            margin=self.margin,
            num_lost=self.lost.get(start.name, 0) + self.lost.get(other, 0),
            num_patients=some.by_patient.shape[1] if some else None,
            num_positive=some.num_positive if some else None,
        )

    def differences(self, what: Quantity, runs: Runs, other: Runs | None = None) -> dict[int, float]:
        """Seed -> a quantity of ``runs`` minus that of ``other``, where both are complete."""
        pairs = self._complete_pairs(runs, self.grid.find(self.baseline) if other is None else other)
        return {seed: getattr(own, what) - getattr(base, what) for seed, (own, base) in pairs.items()}

    def evidence(self, runs: Runs, others: Runs, what: Quantity = "final") -> Evidence:
        """Of ``differences``, over other patients too where the predictions that it rests on are known."""
        return judged(self.differences(what, runs, others), self.contrasts(what, runs, others))

    def contrasts(self, what: Quantity, runs: Runs, others: Runs) -> dict[int, Influence | None]:
        """Seed -> how far each patient moves the difference; None where that is not known."""
        pairs = self._complete_pairs(runs, others)
        return {
            seed: difference(*(self.influence(curve, curve.weights(what)) for curve in pair))
            for seed, pair in pairs.items()
        }

    def influence(self, curve: Curve, weights: Floats) -> Influence | None:
        """How far each patient moves a weighted sum of a curve's values.

        None where the predictions of one of them are not known, or are not those that its value comes from.
        """
        seen = self.influences.get(curve.run, {})
        places: list[int] = np.flatnonzero(weights).tolist() or [len(weights) - 1]
        found = [seen.get(int(curve.steps[place])) for place in places]
        known = [
            one
            for one, place in zip(found, places, strict=True)
            # else predictions of another evaluation lie there
            if one is not None and abs(one.value - curve.values[place]) < SAME
        ]
        if len(known) < len(places) or len({one.by_patient.shape for one in known}) > 1:
            return None
        return weighted(known, [float(weights[place]) for place in places])

    def _complete_pairs(self, runs: Runs, others: Runs) -> dict[int, tuple[Curve, Curve]]:
        pairs = {seed: (runs[seed], others[seed]) for seed in shared(runs, others)}
        return {seed: pair for seed, pair in pairs.items() if all(c.is_complete(self.grid.budget) for c in pair)}

    def share(self, part: str, whole: str, level: float = 0.95) -> Interval:
        """Log speed-up of ``part`` over log speed-up of ``whole``, both against the baseline.

        Over all thresholds at which every run is timed; not known where one of them gives another share. Where fewer
        than two are timed so, it is what the usual one bounds.
        """
        groups = {name: self.grid.find(name) for name in (self.baseline, part, whole)}
        seeds = shared(*groups.values())
        if len(groups) < 3:  # a name that stands twice
            return Interval.undefined(len(seeds), f"{self.baseline} is itself what the others are compared with")
        if not seeds:
            return Interval.undefined(0, f"no seed has runs of {self.baseline}, {part} and {whole}")
        if not self.rise.is_clear:
            return Interval.undefined(len(seeds), self._no_rise())
        at = {
            share: {name: self._crossings(runs, seeds, share) for name, runs in groups.items()}
            for share in SPLIT_SHARES
        }
        timed = {
            share: found for share, found in at.items() if all(c.is_bounded for runs in found.values() for c in runs)
        }
        if len(timed) < 2:
            return share_of_speedup(at[RISE_SHARE], level)
        alone = 1 - (1 - level) / len(timed)  # Bonferroni: one threshold that disagrees is enough to be undefined
        return agreed(
            share_of_speedup(_averaged(timed), level), {t: share_of_speedup(found, alone) for t, found in timed.items()}
        )

    def _timing(self, runs: Runs, others: Runs) -> Timing:
        seeds = shared(runs, others)
        looks = [float(curve.steps[curve.steps > 0][0]) for curve in runs.values()]
        own, against = (self._crossings(group, seeds) for group in (runs, others))
        return Timing.of(own, against, min(looks, default=np.nan), self.grid.budget)

    def pace(self, start: str, against: str, level: float = 0.95) -> Interval:
        """The interval of the speed-up of a start against another, at any level."""
        return self._speedup(self.grid.find(start), self.grid.find(against), RISE_SHARE, level)

    def pace_p(self, start: str, against: str) -> float:
        """Two-sided p-value of "no faster and no slower"; NaN where it cannot be determined."""
        if not self.rise.is_clear:
            return float("nan")
        return ratio_p(self.crossings(against, start), self.crossings(start, against))

    def crossings(self, start: str, other: str) -> list[Crossing]:
        """Of the threshold, by a start's runs of the seeds that it shares with another."""
        runs = self.grid.find(start)
        return self._crossings(runs, shared(runs, self.grid.find(other)))

    def _speedup(self, runs: Runs, others: Runs, share: float, level: float = 0.95) -> Interval:
        seeds = shared(runs, others)
        if seeds and not self.rise.is_clear:
            return Interval.undefined(len(seeds), self._no_rise())
        return ratio_interval(self._crossings(others, seeds, share), self._crossings(runs, seeds, share), level)

    def _no_rise(self) -> str:
        return f"{self.baseline} does not rise beyond the noise of its evaluations, so there is nothing to time"

    def _crossings(self, runs: Runs, seeds: list[int], share: float = RISE_SHARE) -> list[Crossing]:
        return [self._crossing(runs[seed], share) for seed in seeds]

    def _crossing(self, curve: Curve, share: float) -> Crossing:
        key = curve.run, share
        if key not in self._timed:  # each run is compared with several starts, at the same thresholds
            found = curve.crossing(self.rise.level(share))
            found = found if found.latest < np.inf else self._never(curve, found, share)
            self._timed[key] = replace(found, patients=self._patients(curve, found, share))
        return self._timed[key]

    def _never(self, curve: Curve, found: Crossing, share: float) -> Crossing:
        """A run that never got there; on other patients it may have, from where it came close enough to them."""
        top = self.influence(curve, np.eye(1, len(curve.values), int(curve.values.argmax()))[0])
        apart = difference(self._level_moved(share), top)
        if apart is None:
            return found
        # 2 standard deviations: what most other sets of patients could have moved the two apart
        close = curve.crossing(self.rise.level(share) - CLOSE * np.sqrt(apart.variance))
        return found if close.latest == np.inf else replace(found, earliest=close.earliest)

    @cached_property
    def _timed(self) -> dict[tuple[Hashable, float], Crossing]:
        return {}

    def _patients(self, curve: Curve, found: Crossing, share: float) -> Influence | None:
        """How far each patient moves a crossing: through the run's own curve, and through the level."""
        if found.pull is None:
            return None
        own, level = self.influence(curve, found.pull), self._level_moved(share)
        return None if own is None or level is None else weighted([own, level], [1, -float(found.pull.sum())])

    def _level_moved(self, share: float) -> Influence | None:
        """How far each patient moves the threshold at a share of the baseline's rise."""
        start, final = self._rise_moved
        return None if start is None or final is None else weighted([start, final], [1 - share, share])

    @cached_property
    def _rise_moved(self) -> tuple[Influence | None, Influence | None]:
        curves = list(self._risen.values())
        first = [self.influence(curve, np.eye(1, len(curve.values))[0]) for curve in curves]
        return _mean(first), _mean([self.influence(curve, curve.weights("settled")) for curve in curves])


def judged(values: Mapping[int, float], influences: Mapping[int, Influence | None]) -> Evidence:
    """Evidence of values by seed, over other patients too where every influence is known and of the same patients."""
    known = [one for seed in values if (one := influences.get(seed)) is not None]
    shapes = {one.by_patient.shape for one in known}
    is_known = len(known) == len(values) and len(shapes) == 1
    return evidence(np.array(list(values.values())), known if is_known else None)


def difference(a: Influence | None, b: Influence | None) -> Influence | None:
    """Of one minus the other; None where one is not known, or they are not of the same patients."""
    if a is None or b is None or a.by_patient.shape != b.by_patient.shape:
        return None
    return contrast(a, b)


def agreed(pooled: Interval, alone: Mapping[float, Interval]) -> Interval:
    """A share over several thresholds; undefined where they disagree.

    That is, where the interval of one of them leaves the common share out, or their shares lie far apart: with three
    trainings their intervals are too wide to tell.
    """
    known = {share: found for share, found in alone.items() if not np.isnan(found.low)}
    if np.isnan(pooled.low) or not known:
        return pooled
    estimates = [found.estimate for found in known.values()]
    is_apart = any(not found.low <= pooled.estimate <= found.high for found in known.values())
    if not is_apart and np.ptp(estimates) <= FAR_APART:
        return pooled
    said = " and ".join(f"{known[at].estimate:.0%} at {at:.0%}" for at in (min(known), max(known)))
    return Interval.undefined(pooled.n, f"it depends on the threshold, {said} of the rise")


def _averaged(timed: Mapping[float, Mapping[str, Sequence[Crossing]]]) -> dict[str, list[Crossing]]:
    """Group -> crossings by seed, each over all thresholds."""
    groups = next(iter(timed.values()))
    return {
        name: [over_thresholds(each) for each in zip(*(found[name] for found in timed.values()), strict=True)]
        for name in groups
    }


def _mean(found: Sequence[Influence | None]) -> Influence | None:
    known = [one for one in found if one is not None]
    if not known or len(known) < len(found) or len({one.by_patient.shape for one in known}) > 1:
        return None
    return weighted(known, [1 / len(known)] * len(known))


def shared(*groups: Iterable[int]) -> list[int]:
    """The seeds that are in every group, in order.

    Examples:
        >>> shared([0, 1, 2], [2, 1])
        [1, 2]
    """
    # pairing takes the seed's draws out of the difference
    return sorted(set.intersection(*(set(group) for group in groups)))
