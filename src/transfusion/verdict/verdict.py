"""The verdict of a study: a pure function of its tidy frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from transfusion.errors import InputError, UnknownNameError
from transfusion.metrics import Interval, Metric, judging
from transfusion.verdict import wording
from transfusion.verdict.adjust import PRIMARY, family, primary
from transfusion.verdict.contest import Contest, Seen
from transfusion.verdict.course import Cost, Course
from transfusion.verdict.curves import Grid, Start, read, with_starts
from transfusion.verdict.decision import Decision, decide
from transfusion.verdict.details import (
    Level,
    change_of_gap,
    class_effects,
    falls_of,
    spread_of_modes,
)
from transfusion.verdict.effects import ENOUGH_OF_SPEEDUP, QUANTITIES, RISE_SHARE, Effect, Rise
from transfusion.verdict.findings import PLAIN, SCALING, WHOLE, Findings
from transfusion.verdict.given import check_values, known_start, with_runs
from transfusion.verdict.html import html
from transfusion.verdict.likeness import read_likeness
from transfusion.verdict.sequential import Looks
from transfusion.verdict.statement import OPENING, TITLES, Statement
from transfusion.verdict.tally import count

COLUMNS = [
    "size", "start", "against", "scheme", "upto", "rest", "quantity", "estimate", "low", "high", "n", "adjusted_low",
    "adjusted_high", "reason",
]  # fmt: skip

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Verdict(Findings):
    """A study's conclusions: numbers, and what they come to in words; ``print`` it for the words."""

    @cached_property
    def advice(self) -> Decision:
        """What to do."""
        return decide(self)

    @cached_property
    def statements(self) -> tuple[Statement, ...]:
        """Every conclusion: what failed, the decision, its numbers, how sure, what next; then the details."""
        return tuple(wording.statements(self, self.advice))

    @cached_property
    def told(self) -> tuple[Statement, ...]:
        """The statements as they are read: many that say of one thing that it is not known are one."""
        return tuple(wording.told(self, self.statements))

    def about(self, topic: str, start: str | None = None) -> list[Statement]:
        """The statements on a topic, of one start if given."""
        return [one for one in self.statements if one.topic == topic and start in (None, one.start)]

    @property
    def lines(self) -> list[str]:
        """The words of every statement."""
        return [statement.text for statement in self.statements]

    @property
    def rules(self) -> list[str]:
        """How it was judged, in words; the same for every study."""
        return wording.rules(self)

    def __str__(self) -> str:
        """What is read first, a line each; then the rest as lists under their titles."""
        first = [one.text for one in self.told if one.topic in OPENING]
        groups: dict[str, list[str]] = {}
        for one in self.told:
            if one.topic not in OPENING:
                groups.setdefault(TITLES[one.topic], []).append(f"  - {one.text}")
        return "\n".join([*first, *(line for title, said in groups.items() for line in ("", title, *said))])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return html(self, self.statements)

    def frame(self) -> pd.DataFrame:
        """Every number of the verdict: one row per size, start and quantity.

        Returns:
            Columns ``size`` (training images, ``all`` for all), ``start``, ``against`` (what it is compared with),
            ``scheme upto rest``, ``quantity``, ``estimate low high n``, ``adjusted_low adjusted_high`` (the interval
            that claims rest on; the same where nothing is adjusted) and ``reason``. Quantities: ``final``,
            ``final_difference``, ``last_difference``, ``speedup``, ``area``, ``scaling_share`` and ``upto_share``.
        """
        sizes = self.by_size or {"all": self.schemes}
        effects = [(size, effect) for size, of_size in sizes.items() for effect in of_size.values()]
        effects += [(self.largest, effect) for effect in self.pairs]
        rows = [row for size, effect in effects for row in _of_effect(size, effect)]
        rows += [_row(self.largest, level.start, None, "final", level.interval) for level in self.levels.values()]
        rows += list(self._share_rows())
        frame: pd.DataFrame = pd.DataFrame(rows, columns=COLUMNS)
        return frame

    @property
    def largest(self) -> str:
        """The data size that the verdict rests on: ``all``, or a number of training images."""
        return list(self.by_size)[-1] if self.by_size else "all"

    def _share_rows(self) -> Iterator[dict[str, Any]]:
        if {self.whole, self.scaling} <= set(self.schemes):
            start = self.schemes[self.scaling].start
            yield _row(self.largest, start, self.whole, "scaling_share", self.scaling_share)
        for name, share in self.upto_shares.items():
            yield _row(self.largest, self.schemes[name].start, self.whole, "upto_share", share)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, every interval as estimate, low, high and n, and a reason where there is something to say.

        Open ends are inf or 0, missing numbers NaN.
        """
        return {
            "metric": self.metric,
            "baseline": self.baseline,
            "margin": self.margin,
            "threshold": {"level": self.rise.level(RISE_SHARE), "start": self.rise.start, "final": self.rise.final},
            "runs": _plain(self.tallies),
            "schemes": _plain(self.schemes),
            "pairs": {f"{pair.start.name} against {pair.against}": pair.to_dict() for pair in self.pairs},
            "scaling_share": self.scaling_share.to_dict(),
            "feature_reuse_share": self.feature_reuse_share.to_dict(),
            "plain_shares": _plain(self.plain_shares),
            "upto": {"smallest": self.smallest_upto, "shares": _plain(self.upto_shares)},
            "batch_norm": {
                scheme: {"best": best, "worst": worst, "area_difference": gap.to_dict()}
                for scheme, (best, worst, gap) in self.modes.items()
            },
            "classes": {one.name: one.to_dict() for one in self.classes},
            "sizes": {size: _plain(schemes) for size, schemes in self.by_size.items()},
            "size_change": self.size_change.to_dict() if self.size_change else None,
            "num_incomplete": self.num_incomplete,
            "representations": self.likeness.to_dict() if self.likeness else None,
            "recommendation": self.advice.to_dict(),
            "statements": [statement.to_dict() for statement in self.statements],
            "rules": self.rules,
        }


def conclude(
    frame: pd.DataFrame,
    metric: str | Metric = "auc",
    baseline: str = "random",
    margin: float | None = None,
    similarity: pd.DataFrame | None = None,
    *,
    pairs: Pairs | None = None,
    runs: pd.DataFrame | None = None,
    classes: Mapping[str, tuple[str, int | None]] | None = None,
    influences: Mapping[str, Seen] | None = None,
    looks: Looks | None = None,
) -> Verdict:
    """What a study's curves say: final performance, convergence, and what the gain is made of.

    Everything is paired over seeds (runs of one seed see the same examples in the same order), and intervals are
    Student's t over seeds, 95 % each; claims rest on wider ones, see ``adjust``. With ``influences`` they cover other
    patients too, those of pace and of curves where there are influences at every evaluation. Of a bare frame
    everything is said of these test images only.

    Args:
        frame: one row per run and evaluation, as ``Study.frame`` gives it: ``start seed step`` and the metric; ``size``
            where that varies, and ``scheme batch_norm upto rest`` instead of ``start`` where those are known. Runs may
            be missing, unfinished or diverged. With ``val_auc`` (or else ``val_METRIC``), on a validation split, the
            end of a run is the evaluation that is highest there, the one whose weights a study keeps.
        metric: a column where higher is better, by its name in ``metrics.METRICS``, ``auc:CLASS``, or as a ``Metric``
            of one's own.
        baseline: name of the start that the others are compared with.
        margin: smallest difference in the metric that matters; the metric's own if not given (0.01 of AUC).
        similarity: comparisons of the runs' networks, as ``runs.frames.similarity`` gives them; adds what they say.
        pairs: starts to compare with each other as well; if not given, pretrained and sampling with mean_var, and
            partial starts with the whole one, as far as they are there.
        runs: one row per run, also of those without a curve: ``run start state``; see ``runs.frames.runs_of``.
        classes: column of a class's AUC -> its name and the number of its positive test images; adds the differences
            class by class.
        influences: column -> run -> step -> influence of each patient at that evaluation, see ``metrics.influence``.
        looks: the plan, where trainings are added until they decide: the primary claims then allow for every look.

    Returns:
        The verdict. Its starts are named by their labels, see ``SchemeSpec.label``.

    Raises:
        InputError: if columns are missing, higher values of the metric are not better, the margin is not positive, two
            runs share start, size and seed, an evaluation stands in two rows, values lie outside what the metric can
            be, or no run has one at its last evaluation.
        UnknownNameError: if there is no such metric, or the baseline or a pair names a start that is not there.

    Source: Section 4 of the paper for the speed-ups and their split. We differ: intervals, an equivalence test and a
    threshold from a rule, 80 % of the baseline's rise, where a crossing is timed about as precisely as anywhere.

    Examples:
        >>> rows = [dict(run=f"{scheme}{seed}", scheme=scheme, seed=seed, step=step,
        ...              auc=0.9 - 0.4 * 2 ** (-step / tau) + 0.001 * (seed * step % 7))
        ...         for scheme, tau in [("random", 40), ("pretrained", 20)] for seed in range(3)
        ...         for step in range(0, 310, 10)]
        >>> verdict = conclude(pd.DataFrame(rows))
        >>> round(verdict.schemes["pretrained"].speedup.estimate, 1), verdict.advice.outcome
        (2.0, 'saves time')
    """
    judge = judging(metric, [name for name, _ in (classes or {}).values()])
    margin = judge.margin if margin is None else margin
    if not margin > 0:
        raise InputError(
            f"A margin of {margin} leaves no room for an equivalence; give a positive difference, say 0.01."
        )
    frame = with_runs(frame)
    check_values(frame, judge, ended=runs is None)
    grids = read(frame, judge.column, judge.picked_by)
    tallies = count(with_starts(frame), grids, runs)
    if not grids:
        return Verdict(judge, baseline, margin, Rise(np.nan, np.nan, np.nan), tallies=tallies)
    baseline = known_start(_called(baseline, grids[-1]), frame, runs)
    lost = {name: tally.lost for name, tally in tallies.items()}
    by_column = influences or {}
    contests = [Contest(grid, baseline, margin, lost, by_column.get(judge.column, {})) for grid in grids]
    main = contests[-1]
    every = _compare_all(main)
    head = main.grid.head(baseline)
    called = {start.scheme: main.grid.named(start.scheme, head) for start in main.grid.starts}
    whole = called.get(WHOLE, WHOLE)
    leading = whole if whole in every else next(iter(every), whole)
    schemes, each = _adjusted(main, every, leading, looks, len(_topics(contests, every, classes, similarity)))
    scaling = main.share(called.get(SCALING, SCALING), whole)
    upto_shares = _upto_shares(main, schemes, whole)
    enough = [name for name, share in upto_shares.items() if share.low >= ENOUGH_OF_SPEEDUP]
    modes = {start.scheme: spread_of_modes(main, start.scheme, head, each) for start in main.grid.starts}
    smaller = {str(one.grid.size): family(one, _compare_all(one), each / len(contests)) for one in contests[:-1]}
    return Verdict(
        judge,
        baseline,
        margin,
        main.rise,
        levels={start.name: Level.of(start, main) for start in main.grid.starts},
        schemes=schemes,
        pairs=tuple(family(main, _compare_pairs(main, pairs), each).values()),
        challenge=_challenge(main, leading, each),
        scaling_share=scaling,
        feature_reuse_share=_rest_of(scaling),
        plain_shares={called[one]: main.share(called[one], whole) for one in PLAIN if called.get(one) in schemes},
        upto_shares=upto_shares,
        smallest_upto=enough[0] if enough else None,
        modes={scheme: spread for scheme, spread in modes.items() if spread},
        by_size={**smaller, str(main.grid.size or "all"): schemes} if smaller else {},
        size_change=change_of_gap(contests[0], main, leading, each / len(contests)) if smaller else None,
        tallies=tallies,
        falls=falls_of(main, each),
        classes=class_effects(frame, schemes[leading].start, baseline, classes or {}, by_column, each)
        if schemes
        else (),
        course=Course.of(main.grid, margin),
        cost=Cost.of(frame, main.crossings(baseline, leading), main.rise.level(RISE_SHARE)) if schemes else None,
        likeness=None if similarity is None else read_likeness(frame, similarity, leading, baseline, each),
        called=called,
        looks=looks,
    )


def _adjusted(
    main: Contest, every: Mapping[str, Effect], leading: str, looks: Looks | None, num_topics: int
) -> tuple[dict[str, Effect], float]:
    """The effects with their claims adjusted, and the chance of a false claim that is left to each topic."""
    first, rest = primary(main, every[leading], looks) if every else (None, PRIMARY)
    each = rest / max(1, num_topics)
    others = family(main, {name: effect for name, effect in every.items() if name != leading}, each)
    return {name: first if name == leading and first else others[name] for name in every}, each


def _upto_shares(main: Contest, schemes: Mapping[str, Effect], whole: str) -> dict[str, Interval]:
    """Partial start -> share of the whole network's speed-up; together they hold at 95 % (Bonferroni)."""
    head = main.grid.head(main.baseline)  # of another head a start differs in two things
    partial = [
        name
        for name, effect in schemes.items()
        if (effect.start.scheme, effect.start.head) == (WHOLE, head) and effect.start.upto
    ]
    return {name: main.share(name, whole, 1 - PRIMARY / len(partial)) for name in partial}


def _called(name: str, grid: Grid) -> str:
    """The label of the start that is meant by its scheme, where all heads of a study follow another rule."""
    heads = [start.head for start in grid.starts if (start.scheme, start.upto) == (name, None)]
    return name if grid.find(name) or len(set(heads)) != 1 else grid.named(name, heads[0])


def _topics(
    contests: Sequence[Contest], effects: Mapping[str, Effect], classes: Any, similarity: pd.DataFrame | None
) -> list[str]:
    """What claims are made of besides the primary ones."""
    starts = contests[-1].grid.starts
    redrawn = Counter((start.scheme, start.head) for start in starts if start.upto is None)
    asked = {
        "others": len(effects) > 1,
        "pairs": len(effects) > 1,
        "best": len(effects) > 1,
        "modes": max(redrawn.values(), default=0) > 1,
        "sizes": len(contests) > 1,
        "classes": bool(classes),
        "falls": True,
        "alike": similarity is not None,
    }
    return [topic for topic, is_asked in asked.items() if is_asked]


def _compare_all(contest: Contest) -> dict[str, Effect]:
    return {start.name: contest.compare(start) for start in contest.rivals}


def _compare_pairs(contest: Contest, pairs: Pairs | None) -> dict[str, Effect]:
    """Effects of starts against each other."""
    starts = {start.name: start for start in contest.grid.starts}
    wanted = list(_usual_pairs(contest.grid, contest.baseline) if pairs is None else pairs)
    missing = next((name for pair in wanted for name in pair if name not in starts), None)
    if missing is not None:
        raise UnknownNameError.of("start", missing, starts)
    return {f"{own} against {other}": contest.compare(starts[own], other) for own, other in dict.fromkeys(wanted)}


def _usual_pairs(grid: Grid, baseline: str) -> Iterator[tuple[str, str]]:
    names, head = [start.name for start in grid.starts], grid.head(baseline)
    usual = [(grid.named(own, head), grid.named(SCALING, head)) for own in (WHOLE, "sampling")]
    usual += [(one.name, grid.named(WHOLE, one.head)) for one in grid.starts if one.scheme == WHOLE and one.upto]
    yield from (pair for pair in usual if set(pair) <= set(names) and baseline not in pair)


def _challenge(contest: Contest, leading: str, alpha: float) -> Effect | None:
    """The start that ends highest against the leading one, adjusted for the pick; None if that or the baseline does."""
    ends = {
        start: np.mean([curve.final for curve in runs.values()])
        for start in contest.grid.starts
        if (runs := contest.grid.complete(start.name))
    }
    best = max(ends, key=lambda start: ends[start], default=None)
    if best is None or best.name in (leading, contest.baseline):
        return None
    others = {start.name: contest.compare(start, leading) for start in contest.grid.starts if start.name != leading}
    return family(contest, others, alpha)[best.name]


def _rest_of(share: Interval) -> Interval:
    """Of 1 - share."""
    return Interval(1 - share.estimate, 1 - share.high, 1 - share.low, share.n, share.reason)


def _of_effect(size: str, effect: Effect) -> Iterator[dict[str, Any]]:
    for quantity in QUANTITIES:
        claim = effect.claim(quantity)
        row = _row(size, effect.start, effect.against, quantity, getattr(effect, quantity))
        yield {**row, "adjusted_low": claim.low, "adjusted_high": claim.high}


def _row(size: str, start: Start, against: str | None, quantity: str, found: Interval) -> dict[str, Any]:
    whose = {"size": size, "start": start.name, "against": against, "scheme": start.scheme, "upto": start.upto}
    values = {name: getattr(found, name) for name in ("estimate", "low", "high", "n", "reason")}
    adjusted = {"adjusted_low": found.low, "adjusted_high": found.high}
    return {**whose, "rest": start.rest, "quantity": quantity, **values, **adjusted}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.to_dict() for name, value in values.items()}
