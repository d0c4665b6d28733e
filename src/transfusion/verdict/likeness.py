"""What training made of the representations: where a start changes, and from where on all starts look alike.

"Alike" needs a yardstick: two trained networks of the baseline that differ by their seed only. Trained networks of two
starts look alike at a stage if they are at most ``MARGIN`` less similar than those. Chance differs by stage, so
similarities are ranked and judged by their share of the way from chance to identity, see ``above_chance``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from transfusion.metrics import Interval
from transfusion.verdict.curves import with_starts
from transfusion.verdict.inference import mean_interval

# of the way from chance to identity; 16 instead of all positions of a map change a similarity by as much at most (see
# transfusion.compare)
MARGIN = 0.05
LEAST_ROOM = 0.05  # between chance and 1; in less than that a similarity says nothing

_ByPair = dict[tuple[str, str], dict[frozenset[int], float]]


def above_chance(frame: pd.DataFrame) -> pd.Series:
    """Share of the way from chance to identity: (value - baseline) / (1 - baseline); NaN where chance is near 1."""
    room = 1 - frame["baseline"]
    # else noise over almost nothing
    share: pd.Series = ((frame["value"] - frame["baseline"]) / room).where(room > LEAST_ROOM)
    return share


@dataclass(frozen=True)
class Change:
    """How alike networks before and after training are.

    Attributes:
        value: the similarity, over seeds.
        share: of the way from chance to identity, over seeds.
        chance: similarity that random pairing of images gives, mean over the same comparisons.
    """

    value: Interval
    share: Interval
    chance: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**self.value.to_dict(), "chance": self.chance, "share": self.share.to_dict()}


@dataclass(frozen=True)
class Gap:
    """How much less alike trained networks of two starts are than the yardstick, all of different seeds.

    Attributes:
        value: similarity minus that of the yardstick, over seeds.
        share: the same for the share of the way from chance to identity, by which it is judged.
        chance: similarity that random pairing of images gives, mean over the comparisons of the two starts.
        claim: of ``value``, adjusted for all pairs of starts and for the page; claims rest on it.
        is_above_chance: whether the two starts are more alike than chance, as tested.
        is_alike: whether they are, and at most ``MARGIN`` less alike than the yardstick, as tested.
        is_less_alike: whether they are less alike than the yardstick, as tested for all pairs together.
    """

    value: Interval
    share: Interval
    chance: float
    claim: Interval
    is_above_chance: bool
    is_alike: bool
    is_less_alike: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        judged = {"above_chance": self.is_above_chance, "alike": self.is_alike, "less_alike": self.is_less_alike}
        return {**self.value.to_dict(), "chance": self.chance, "share": self.share.to_dict(), **judged}


@dataclass(frozen=True)
class Likeness:
    """What a study says about representations, by stage from input to output.

    Attributes:
        measure: the similarity measure, such as ``cca``.
        main: the start whose change is spoken of.
        baseline: the start whose seeds are the yardstick.
        stages: names, in the order of the network.
        change: start -> stage -> similarity of its networks before and after training, over seeds.
        chance: stage -> similarity that random pairing of images gives, mean over all comparisons there.
        between_seeds: stage -> similarity of the baseline's trained networks of different seeds.
        between_untrained: stage -> the same before training: what networks share that have learned nothing.
        gaps: stage -> pair of starts -> how much less alike their trained networks are than ``between_seeds``.
        alike_from: the first stage from which on every pair of starts looks alike, or None.
    """

    measure: str
    main: str
    baseline: str
    stages: tuple[str, ...]
    change: dict[str, dict[str, Change]]
    chance: dict[str, float]
    between_seeds: dict[str, Interval]
    between_untrained: dict[str, Interval]
    gaps: dict[str, dict[tuple[str, str], Gap]]
    alike_from: str | None

    @property
    def full(self) -> tuple[str, ...]:
        """Stages where chance alone gives nearly 1, because the images are too few: no conclusion is possible there."""
        return tuple(stage for stage in self.stages if _is_full(self.chance[stage]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "measure": self.measure,
            "stages": list(self.stages),
            "change": {start: _plain(by_stage) for start, by_stage in self.change.items()},
            "chance": self.chance,
            "between_seeds": _plain(self.between_seeds),
            "between_untrained": _plain(self.between_untrained),
            "gaps": {
                stage: {" and ".join(pair): gap.to_dict() for pair, gap in pairs.items()}
                for stage, pairs in self.gaps.items()
            },
            "alike_from": self.alike_from,
        }


def read_likeness(
    curves: pd.DataFrame, similarity: pd.DataFrame, main: str, baseline: str, alpha: float = 0.05
) -> Likeness | None:
    """What the comparisons of a study's networks say; None without any.

    "Alike from a stage on" takes every pair there and at all later stages, each tested at ``alpha``, so it is wrong as
    seldom as one of them (intersection-union). "Less alike" picks the least alike pair, and allows for the pick.

    Args:
        curves: the frame of the study's curves, which says what start and seed a run is of.
        similarity: as ``Store.similarity`` gives it.
        main: name of the start whose change is spoken of.
        baseline: name of the start whose seeds are the yardstick.
        alpha: chance of any false claim.
    """
    if similarity.empty:
        return None
    table = named(curves, similarity)
    table = table[table["measure"] == table["measure"].iloc[0]]
    order = tuple(dict.fromkeys(table["stage"]))
    by_stage = {stage: _Stage(table[table["stage"] == stage], baseline) for stage in order}
    gaps = {stage: found.gaps(alpha) for stage, found in by_stage.items()}
    starts = list(dict.fromkeys(table["a_start"]))
    return Likeness(
        measure=str(table["measure"].iloc[0]),
        main=main,
        baseline=baseline,
        stages=order,
        change={start: {stage: found.change(start) for stage, found in by_stage.items()} for start in starts},
        chance={stage: found.chance for stage, found in by_stage.items()},
        between_seeds={stage: found.between_seeds() for stage, found in by_stage.items()},
        between_untrained={stage: found.between_untrained() for stage, found in by_stage.items()},
        gaps=gaps,
        alike_from=_first_alike(by_stage, gaps),
    )


def named(curves: pd.DataFrame, similarity: pd.DataFrame) -> pd.DataFrame:
    """The comparisons with ``start scheme seed when`` of both sides, as ``a_start`` ... ``b_when``.

    ``when`` is before, during or after training. Comparisons of runs without a curve are left out.
    """
    names = with_starts(curves).groupby("run", sort=False)
    runs = names.agg(start=("start", "first"), scheme=("scheme", "first"), seed=("seed", "first"), end=("step", "max"))
    table: pd.DataFrame = similarity[similarity["a_run"].isin(runs.index) & similarity["b_run"].isin(runs.index)]
    table = table.iloc[np.argsort(runs.index.get_indexer(pd.Index(table["a_run"])), kind="stable")]
    for side in ("a", "b"):
        own, step = runs.loc[table[f"{side}_run"]], table[f"{side}_step"].to_numpy()
        when = np.where(step == 0, "before", np.where(step >= own["end"].to_numpy(), "after", "during"))
        told = {f"{side}_{column}": own[column].to_numpy() for column in ("start", "scheme", "seed")}
        table = table.assign(**told, **{f"{side}_when": when})
    return table


class _Stage:
    """The comparisons at one stage.

    Attributes:
        apart: ``value baseline share`` of comparisons -> pair of starts -> pair of seeds -> mean over trained networks
            that have neither in common; both ways of giving the seeds to two starts are averaged.
    """

    def __init__(self, rows: pd.DataFrame, baseline: str) -> None:
        self.rows, self.baseline = rows.assign(share=above_chance(rows)), baseline
        self.apart = {column: self._apart(column, "seeds") for column in ("value", "baseline", "share")}

    def _apart(self, column: str, kind: str) -> _ByPair:
        rows = self.rows
        order = {start: place for place, start in enumerate(dict.fromkeys([*rows["a_start"], *rows["b_start"]]))}
        found: dict[tuple[str, str], dict[frozenset[int], list[float]]] = {}
        chosen = rows[(rows["kind"] == kind) & (rows["a_seed"] != rows["b_seed"])]
        for a, b, *seeds, value in chosen[["a_start", "b_start", "a_seed", "b_seed", column]].to_numpy():
            pair = (a, b) if order[a] <= order[b] else (b, a)  # similarity has no direction
            found.setdefault(pair, {}).setdefault(frozenset(seeds), []).append(float(value))
        return {
            pair: {seeds: float(np.mean(values)) for seeds, values in by_seeds.items()}
            for pair, by_seeds in found.items()
        }

    @property
    def chance(self) -> float:
        """Similarity that random pairing of images gives, mean over all comparisons."""
        return float(self.rows["baseline"].mean())

    def change(self, start: str) -> Change:
        """Similarity of before and after, over seeds."""
        rows = self.rows[(self.rows["a_run"] == self.rows["b_run"]) & (self.rows["a_start"] == start)]
        rows = rows[(rows["kind"] == "grid") & (rows["a_when"] == "before") & (rows["b_when"] == "after")]
        value, share = (mean_interval(rows[column].to_numpy(np.float64)) for column in ("value", "share"))
        return Change(_possible(value), share, float(rows["baseline"].mean()))

    def between_seeds(self) -> Interval:
        """Similarity of the baseline's trained networks of different seeds."""
        own = (self.baseline, self.baseline)
        return _possible(self._jackknife(self._seeds(own), partial(self._mean, "value", own)))

    def between_untrained(self) -> Interval:
        """Similarity of the baseline's networks of different seeds before training."""
        own = self._apart("value", "untrained").get((self.baseline, self.baseline), {})
        seeds = sorted(set().union(*own))
        return _possible(self._jackknife(seeds, partial(_mean_within, own)))

    def gaps(self, alpha: float) -> dict[tuple[str, str], Gap]:
        """Pair of starts -> how much less alike than two seeds of the baseline."""
        own, known = (self.baseline, self.baseline), self.apart["value"]
        pairs = [pair for pair in known if pair[0] != pair[1] and own in known]
        return {pair: self._gap(pair, own, alpha, len(pairs)) for pair in pairs}

    def _gap(self, pair: tuple[str, str], own: tuple[str, str], alpha: float, num: int) -> Gap:
        def less(column: str, seeds: Sequence[int]) -> float:
            return self._mean(column, pair, seeds) - self._mean(column, own, seeds)

        seeds = self._seeds(pair)
        value, share = (self._jackknife(seeds, partial(less, column)) for column in ("value", "share"))
        one_sided, together = 1 - 2 * alpha, 1 - alpha / num
        is_above = self._jackknife(seeds, partial(self._mean, "share", pair), one_sided).low > 0
        is_near = self._jackknife(seeds, partial(less, "share"), one_sided).low > -MARGIN
        return Gap(
            value,
            share,
            self._mean("baseline", pair, seeds),
            self._jackknife(seeds, partial(less, "value"), together),
            bool(is_above),
            bool(is_above and is_near),
            bool(self._jackknife(seeds, partial(less, "share"), together).high < 0),
        )

    def _seeds(self, pair: tuple[str, str]) -> list[int]:
        return sorted(set().union(*self.apart["value"].get(pair, ())))

    def _mean(self, column: str, pair: tuple[str, str], seeds: Sequence[int]) -> float:
        return _mean_within(self.apart[column][pair], seeds)

    def _jackknife(
        self, seeds: Sequence[int], statistic: Callable[[Sequence[int]], float], level: float = 0.95
    ) -> Interval:
        """Student's t on pseudo-values: pairs of seeds share seeds, so they are no independent observations."""
        n = len(seeds)
        if n < 2:
            return Interval.undefined(n, "it takes two seeds")
        whole = statistic(seeds)
        if n == 2 and math.isfinite(whole):  # leaving one seed out leaves no pair
            return Interval(whole, math.nan, math.nan, n, "two seeds make one pair, which shows no spread")
        left_out = [statistic([other for other in seeds if other != seed]) for seed in seeds]
        if not np.isfinite([whole, *left_out]).all():
            return Interval.undefined(n, "not every pair of seeds has a value")
        return mean_interval(n * whole - (n - 1) * np.array(left_out), level)


def _mean_within(by_seeds: Mapping[frozenset[int], float], seeds: Sequence[int]) -> float:
    """Mean over the pairs that some seeds make."""
    values = [value for both, value in by_seeds.items() if both <= set(seeds)]
    return float(np.mean(values)) if values else math.nan


def _first_alike(by_stage: dict[str, _Stage], gaps: dict[str, dict[tuple[str, str], Gap]]) -> str | None:
    found = None
    # from the output back: "from a stage on" means it and all later ones
    for stage in reversed([stage for stage, own in by_stage.items() if gaps[stage] and not _is_full(own.chance)]):
        if not all(gap.is_alike for gap in gaps[stage].values()):
            break
        found = stage
    return found


def _is_full(chance: float) -> bool:
    return chance > 1 - LEAST_ROOM


def _possible(value: Interval) -> Interval:
    """An interval of a similarity, without the part above 1 or, unless it is itself negative, below 0."""
    low = max(value.low, 0.0) if value.estimate >= 0 else value.low
    return replace(value, low=low, high=min(value.high, 1.0))


def _plain(values: Mapping[str, Interval | Change]) -> dict[str, Any]:
    return {name: value.to_dict() for name, value in values.items()}
