"""What training made of the representations: where a start changes, and from where on all starts look alike.

"Alike" needs a yardstick: two trained networks of the baseline that differ by their seed only. Trained networks of two
starts look alike at a stage if they are at most ``MARGIN`` less similar than those.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from transfusion.metrics import Interval
from transfusion.verdict.curves import start_names
from transfusion.verdict.inference import mean_interval
from transfusion.verdict.words import measure_name

MARGIN = 0.05  # of similarity; what 16 instead of all positions of a map change at most (see transfusion.compare)
LEAST_ROOM = 0.05  # between chance and 1; in less than that a similarity says nothing
ONE_SIDED = 0.9  # the lower end of this two-sided interval is that of a one-sided 95 % one


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
        gaps: stage -> pair of starts -> similarity of their trained networks of different seeds minus
            ``between_seeds``.
        alike_from: the first stage from which on every pair of starts looks alike, or None.
    """

    measure: str
    main: str
    baseline: str
    stages: tuple[str, ...]
    change: dict[str, dict[str, Interval]]
    chance: dict[str, float]
    between_seeds: dict[str, Interval]
    gaps: dict[str, dict[tuple[str, str], Interval]]
    alike_from: str | None

    @property
    def full(self) -> tuple[str, ...]:
        """Stages where chance alone gives nearly 1, for want of images: nothing can be said of them."""
        return tuple(stage for stage in self.stages if _is_full(self.chance[stage]))

    @property
    def lines(self) -> list[str]:
        """One sentence per conclusion."""
        return [line for line in (self._change_line(), self._alike_line(), self._full_line()) if line]

    @property
    def rules(self) -> list[str]:
        """How it was judged, in words."""
        return [
            f"Trained networks of two starts look alike at a stage if their {self._shown} is at most {MARGIN:g} below "
            f"that of {self.baseline}'s trained networks of different seeds: one-sided t test at 5 % on jackknife "
            "pseudo-values over seeds, for every pair of starts, there and at every later stage. A stage where chance "
            f"gives more than {1 - LEAST_ROOM:g} shows neither change nor likeness, and is passed over."
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "measure": self.measure,
            "stages": list(self.stages),
            "change": {start: _plain(by_stage) for start, by_stage in self.change.items()},
            "chance": self.chance,
            "between_seeds": _plain(self.between_seeds),
            "gaps": {
                stage: {" and ".join(pair): gap.to_dict() for pair, gap in pairs.items()}
                for stage, pairs in self.gaps.items()
            },
            "alike_from": self.alike_from,
        }

    def _full_line(self) -> str | None:
        if not self.full:
            return None
        return (
            f"Nothing can be said of {', '.join(self.full)}: chance alone gives a {self._shown} near 1 there, for want "
            "of images (--set representations.images=N)."
        )

    @property
    def _shown(self) -> str:
        return measure_name(self.measure)

    def _change_line(self) -> str | None:
        known = {stage: v for stage, v in self.change.get(self.main, {}).items() if v.n and stage not in self.full}
        if len(known) < 2:
            return None
        least, most = (pick(known, key=lambda stage: known[stage].estimate) for pick in (max, min))
        return (
            f"Training changes {self.main} least at {least}: {self._shown} of before and after "
            f"{self._value(known, least)}; most at {most}: {self._value(known, most)}."
        )

    def _value(self, values: dict[str, Interval], stage: str) -> str:
        return f"{values[stage].estimate:.2f} {_interval(values[stage])}, where chance gives {self.chance[stage]:.2f}"

    def _alike_line(self) -> str | None:
        yardstick = f"two trainings of {self.baseline} with different seeds"
        known = {
            stage: {pair: gap for pair, gap in pairs.items() if not math.isnan(gap.estimate)}
            for stage, pairs in self.gaps.items()
            if stage not in self.full
        }
        if not known:
            return "Whether the starts end alike is open: at every stage chance alone gives a similarity near 1."
        if not any(known.values()):
            n = max((value.n for by_stage in self.change.values() for value in by_stage.values()), default=0)
            return f"Whether the starts end alike is open: the yardstick is {yardstick}, and n = {n}."
        if self.alike_from is not None:
            pair, gap = _least_alike(known[self.alike_from])
            return (
                f"From {self.alike_from} on, trained networks of all starts look as alike as {yardstick}; the least "
                f"alike there are {' and '.join(pair)}, by {gap.estimate:+.2f} in {self._shown} {_interval(gap)}."
            )
        last = [stage for stage in self.stages if known.get(stage)][-1]
        pair, gap = _least_alike(known[last])
        found = f"{gap.estimate:+.2f} in {self._shown} {_interval(gap)}"
        if gap.high < 0:
            what = f"{' and '.join(pair)} are less alike than {yardstick} by {found}"
        else:
            what = f"whether {' and '.join(pair)} are as alike as {yardstick} is open: {found}"
        return f"At no stage do all starts look alike beyond doubt: at {last}, {what}."


def _least_alike(gaps: dict[tuple[str, str], Interval]) -> tuple[tuple[str, str], Interval]:
    return min(gaps.items(), key=lambda item: item[1].estimate)


def read_likeness(curves: pd.DataFrame, similarity: pd.DataFrame, main: str, baseline: str) -> Likeness | None:
    """What the comparisons of a study's networks say; None without any.

    Args:
        curves: the frame of the study's curves, which says what start and seed a run is of.
        similarity: as ``Store.similarity`` gives it.
        main: name of the start whose change is spoken of.
        baseline: name of the start whose seeds are the yardstick.
    """
    if similarity.empty:
        return None
    table = named(curves, similarity)
    table = table[table["measure"] == table["measure"].iloc[0]]
    order = tuple(dict.fromkeys(table["stage"]))
    by_stage = {stage: _Stage(table[table["stage"] == stage], baseline) for stage in order}
    gaps = {stage: found.gaps() for stage, found in by_stage.items()}
    starts = list(dict.fromkeys(table["a_start"]))
    return Likeness(
        measure=str(table["measure"].iloc[0]),
        main=main,
        baseline=baseline,
        stages=order,
        change={start: {stage: found.change(start) for stage, found in by_stage.items()} for start in starts},
        chance={stage: found.chance for stage, found in by_stage.items()},
        between_seeds={stage: found.between_seeds() for stage, found in by_stage.items()},
        gaps=gaps,
        alike_from=_first_alike(by_stage, gaps),
    )


def named(curves: pd.DataFrame, similarity: pd.DataFrame) -> pd.DataFrame:
    """The comparisons with ``start scheme seed when`` of both sides, as ``a_start`` ... ``b_when``.

    ``when`` is before, during or after training. Comparisons of runs without a curve are left out.
    """
    names = curves.assign(start=start_names(curves)).groupby("run", sort=False)
    runs = names.agg(start=("start", "first"), scheme=("scheme", "first"), seed=("seed", "first"), end=("step", "max"))
    table: pd.DataFrame = similarity[similarity["a_run"].isin(runs.index) & similarity["b_run"].isin(runs.index)]
    table = table.iloc[np.argsort(runs.index.get_indexer(table["a_run"]), kind="stable")]
    for side in ("a", "b"):
        own, step = runs.loc[table[f"{side}_run"]], table[f"{side}_step"].to_numpy()
        when = np.where(step == 0, "before", np.where(step >= own["end"].to_numpy(), "after", "during"))
        told = {f"{side}_{column}": own[column].to_numpy() for column in ("start", "scheme", "seed")}
        table = table.assign(**told, **{f"{side}_when": when})
    return table


class _Stage:
    """The comparisons at one stage.

    Attributes:
        apart: pair of starts -> pair of seeds -> similarity of trained networks that have neither in common; both ways
            of giving the seeds to two starts are averaged.
    """

    def __init__(self, rows: pd.DataFrame, baseline: str) -> None:
        self.rows, self.baseline = rows, baseline
        order = {start: place for place, start in enumerate(dict.fromkeys([*rows["a_start"], *rows["b_start"]]))}
        found: dict[tuple[str, str], dict[frozenset[int], list[float]]] = {}
        chosen = rows[(rows["kind"] == "seeds") & (rows["a_seed"] != rows["b_seed"])]
        for a, b, *seeds, value in chosen[["a_start", "b_start", "a_seed", "b_seed", "value"]].to_numpy():
            pair = (a, b) if order[a] <= order[b] else (b, a)
            found.setdefault(pair, {}).setdefault(frozenset(seeds), []).append(float(value))
        self.apart = {
            pair: {seeds: float(np.mean(values)) for seeds, values in by_seeds.items()}
            for pair, by_seeds in found.items()
        }

    @property
    def chance(self) -> float:
        """Similarity that random pairing of images gives, mean over all comparisons."""
        return float(self.rows["baseline"].mean())

    def change(self, start: str) -> Interval:
        """Similarity of before and after, over seeds."""
        rows = self.rows[(self.rows["a_run"] == self.rows["b_run"]) & (self.rows["a_start"] == start)]
        rows = rows[(rows["kind"] == "grid") & (rows["a_when"] == "before") & (rows["b_when"] == "after")]
        return _possible(mean_interval(rows["value"].to_numpy(np.float64)))

    def between_seeds(self) -> Interval:
        """Similarity of the baseline's trained networks of different seeds."""
        own = (self.baseline, self.baseline)
        return _possible(self._jackknife(self._seeds(own), partial(self._mean, own)))

    def gaps(self, level: float = 0.95) -> dict[tuple[str, str], Interval]:
        """Pair of starts -> how much less alike than two seeds of the baseline."""
        own = (self.baseline, self.baseline)
        pairs = [pair for pair in self.apart if pair[0] != pair[1] and own in self.apart]
        return {pair: self._jackknife(self._seeds(pair), partial(self._gap, pair, own), level) for pair in pairs}

    def all_alike(self) -> bool:
        """Whether every pair of starts looks alike, by the one-sided test."""
        gaps = self.gaps(ONE_SIDED)
        return bool(gaps) and all(gap.low > -MARGIN for gap in gaps.values())

    def _gap(self, pair: tuple[str, str], own: tuple[str, str], seeds: Sequence[int]) -> float:
        return self._mean(pair, seeds) - self._mean(own, seeds)

    def _seeds(self, pair: tuple[str, str]) -> list[int]:
        return sorted(set().union(*self.apart.get(pair, ())))

    def _mean(self, pair: tuple[str, str], seeds: Sequence[int]) -> float:
        values = [value for both, value in self.apart[pair].items() if both <= set(seeds)]
        return float(np.mean(values)) if values else math.nan

    def _jackknife(
        self, seeds: Sequence[int], statistic: Callable[[Sequence[int]], float], level: float = 0.95
    ) -> Interval:
        """Student's t on pseudo-values: pairs of seeds share seeds, so they are no independent observations."""
        n = len(seeds)
        if n < 2:
            return Interval.undefined(n, "it takes two seeds")
        whole = statistic(seeds)
        if n == 2 and math.isfinite(whole):
            return Interval(whole, math.nan, math.nan, n, "two seeds make one pair, which shows no spread")
        left_out = [statistic([other for other in seeds if other != seed]) for seed in seeds]
        if not np.isfinite([whole, *left_out]).all():
            return Interval.undefined(n, "not all pairs of seeds are compared yet")
        return mean_interval(n * whole - (n - 1) * np.array(left_out), level)


def _first_alike(by_stage: dict[str, _Stage], gaps: dict[str, dict[tuple[str, str], Interval]]) -> str | None:
    found = None
    for stage in reversed([stage for stage, own in by_stage.items() if gaps[stage] and not _is_full(own.chance)]):
        if not by_stage[stage].all_alike():
            break
        found = stage
    return found


def _is_full(chance: float) -> bool:
    return chance > 1 - LEAST_ROOM


def _possible(value: Interval) -> Interval:
    """An interval of a similarity, without the part above 1 or, unless it is itself negative, below 0."""
    low = max(value.low, 0.0) if value.estimate >= 0 else value.low
    return replace(value, low=low, high=min(value.high, 1.0))


def _interval(value: Interval) -> str:
    seeds = f"n = {value.n} seed{'s' if value.n != 1 else ''}"
    if math.isnan(value.low):
        return f"(no interval, {value.reason}; {seeds})"
    return f"(95 % interval {value.low:.2f} to {value.high:.2f}; {seeds})"


def _plain(values: dict[str, Interval]) -> dict[str, Any]:
    return {name: value.to_dict() for name, value in values.items()}
