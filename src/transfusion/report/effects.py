"""The section on starts: each against the baseline, one row each, and every finding as a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from transfusion.metrics import Interval
from transfusion.report.costs import reaches
from transfusion.report.glossary import plain
from transfusion.report.material import Material
from transfusion.report.opening import said
from transfusion.report.parts import Bar, Cell, Fold, Listing, Part, Said, Section, Table
from transfusion.verdict.effects import RISE_SHARE, Effect
from transfusion.verdict.numbers import RATIO, SIGNED, brief, mean_and_sd
from transfusion.verdict.numbers import level as level_of
from transfusion.verdict.statement import OPENING, TITLES

MOST_SENTENCES = 3  # the table says the rest
SHOWN = ("cost", "scaling", "upto", "overfitting", "course")  # what the table does not say
REACH = 2.5  # half-widths beyond the outermost estimate; longer bars are cut


def section(material: Material) -> Section | None:
    """Every start in one table; None while there is nothing to compare."""
    if not material.verdict.levels:
        return None
    groups = list(_groups(material))
    fold = (Fold(f"Every finding as a sentence ({sum(len(g.items) for g in groups)})", tuple(groups)),)
    return Section("starts", "Every start", (_table(material), *_sentences(material), *(fold if groups else ())))


def _sentences(material: Material) -> Iterator[Part]:
    shown = [said(one) for topic in SHOWN for one in material.verdict.about(topic)]
    if shown:
        yield Listing(tuple(shown[:MOST_SENTENCES]))


def _groups(material: Material) -> Iterator[Listing]:
    groups: dict[str, list[Said]] = {}
    for statement in material.verdict.told:
        if statement.topic not in OPENING:
            groups.setdefault(TITLES[statement.topic], []).append(said(statement))
    yield from (Listing(tuple(items), title) for title, items in groups.items())


def _table(material: Material) -> Table:
    verdict, title = material.verdict, material.judge.title
    effects, reach = verdict.schemes, reaches(material)
    # by the adjusted intervals: a bar must not show an effect that the sentences call not known
    ends = _bars([each.claim("final_difference") for each in effects.values()], is_ratio=False)
    paces = _bars([each.claim("speedup") for each in effects.values()], is_ratio=True)
    columns = ["start", f"final {title}", f"difference to {verdict.baseline}", "times sooner"]
    columns += [f"steps to {title} {level_of(verdict.rise.level(RISE_SHARE))}"] if reach else []
    rows = []
    for name, level in verdict.levels.items():
        effect = effects.get(name)
        place = list(effects).index(name) if effect else -1
        row = [
            Cell(name, name, plain(name)),
            Cell(mean_and_sd(level.mean, level.std), level.mean, f"n = {level.n}"),
            *_against(effect, ends[place] if effect else None, paces[place] if effect else None),
        ]
        if reach:
            found = reach.get(name)
            row.append(Cell(found.count, found.steps, found.time) if found else Cell("-", math.nan))
        rows.append(tuple(row))
    caption = (
        f"Every start against {verdict.baseline}, paired over seeds: mean ± standard deviation, and the 95 % intervals "
        'that claims rest on, adjusted for their number. A bar that does not reach the grey line excludes "no effect"; '
        "an arrow points beyond the axis."
    )
    return Table("starts", caption, tuple(columns), tuple(rows), is_stacked=True)


def _against(effect: Effect | None, end: Bar | None, pace: Bar | None) -> tuple[Cell, Cell]:
    if effect is None:
        return Cell("baseline", 0.0), Cell("baseline", 1.0)
    difference, speed = effect.claim("final_difference"), effect.claim("speedup")
    return (
        Cell(brief(difference, SIGNED), difference.estimate, bar=end),
        Cell(brief(speed, RATIO), speed.estimate, bar=pace),
    )


def _bars(intervals: Sequence[Interval], *, is_ratio: bool) -> list[Bar | None]:
    """Bars on one axis, which holds the neutral line and every estimate, and cuts intervals that are much longer."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.array([[each.low, each.estimate, each.high] for each in intervals]).reshape(-1, 3)
        ends = np.log(ends) if is_ratio else ends  # twice as fast and half as fast are as far from no effect
    middle = ends[:, 1][np.isfinite(ends[:, 1])]
    if not len(middle):
        return [None] * len(intervals)
    widths = (ends[:, 2] - ends[:, 0])[np.isfinite(ends[:, 2] - ends[:, 0])]
    # the median width: one interval without end must not shrink all others to dots
    room = max(REACH * float(np.median(widths)) / 2 if len(widths) else 0.0, 0.15 * float(np.ptp([0.0, *middle])), 1e-6)
    left, right = min(0.0, middle.min()) - room, max(0.0, middle.max()) + room
    return [_bar(row, left, right) for row in ends]


def _bar(ends: np.ndarray, left: float, right: float) -> Bar | None:
    low, middle, high = ends
    if not np.isfinite(middle):
        return None
    low, high = (middle if np.isnan(end) else end for end in (low, high))
    places = [float((np.clip(value, left, right) - left) / (right - left)) for value in (low, middle, high, 0.0)]
    return Bar(places[0], places[1], places[2], places[3], (bool(low < left), bool(high > right)))
