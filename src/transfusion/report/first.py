"""What is seen without scrolling: the decision, one picture, three numbers, how sure, what next."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from transfusion.metrics import Interval
from transfusion.report import operating
from transfusion.report.costs import reaches
from transfusion.report.figures.headline import Gap, Headline, Line, headline
from transfusion.report.material import Material
from transfusion.report.opening import cautions, said
from transfusion.report.palette import styles_of
from transfusion.report.parts import First, Picture, Said, Tile
from transfusion.report.table import schemes_of
from transfusion.verdict import Verdict
from transfusion.verdict.effects import RISE_SHARE, Effect
from transfusion.verdict.numbers import SHARE, SIGNED, inverse, level, measured, number
from transfusion.verdict.statement import OPENING

MOST_LINES = 6  # what a reader takes in before the first scroll
LEAD = ("decision", "numbers")
SAME_RATIO = 0.05  # relative; what is drawn may differ so much from what is said


def first(material: Material) -> First:
    """Everything above the first scroll."""
    verdict = material.verdict
    topics = {topic: [said(one) for one in verdict.about(topic)] for topic in OPENING}
    rest = [one for topic in OPENING if topic not in (*LEAD, "runs") for one in topics[topic]]
    return First(
        cautions=(*topics["runs"], *cautions(material)),
        decision=" ".join(one.text for one in topics["decision"]),
        numbers=" ".join(one.text for one in topics["numbers"]),
        picture=_picture(material),
        tiles=tuple(_tiles(material)),
        certainty=tuple(Said(one.text, (one.text,)) for one in rest),
        command=_command(material),
    )


def _command(material: Material) -> str:
    """The next step for a terminal: to finish what was begun, or what the verdict says.

    The folder is given as the terminal that made the page reaches it, or by its last part, so that no path of this
    machine is on the page.
    """
    folder, here = material.store.folder.absolute(), Path.cwd()
    below = folder.relative_to(here) if folder != here and folder.is_relative_to(here) else Path(folder.name)
    study = f"transfusion study {shlex.quote(below.as_posix())}"
    # unfinished first: more seeds or steps on top of it would be advice on half of the evidence
    if any(tally.unfinished or tally.failed for tally in material.verdict.tallies.values()):
        return study
    return next((f"{study} {one.option}" for one in material.verdict.about("next") if one.option), "")


def _picture(material: Material) -> Picture | None:
    """Mean curves of the largest data size, the leading start and the baseline in front."""
    lines = tuple(_lines(material))
    if not lines:
        return None
    verdict = material.verdict
    reach = verdict.rise.level(RISE_SHARE) if verdict.rise.is_clear else math.nan
    last = max(float(line.steps[-1]) for line in lines)
    shown = Headline(material.judge.title, lines, reach, _sooner(material, last), _apart(verdict, lines))
    draw, narrow = (partial(headline, shown, is_narrow) for is_narrow in (False, True))
    return Picture("headline", draw, " ".join(_caption(material, shown)), _alt(verdict, lines), narrow=narrow)


def _caption(material: Material, shown: Headline) -> Iterator[str]:
    title, rise = shown.title, material.verdict.rise
    yield "Mean over the trainings of each start, with the range of all."
    if not math.isnan(shown.level):
        yield (
            f"Dotted: the target {title}, {level(shown.level)}. It is {number(RISE_SHARE, SHARE)} of the way from "
            f"{material.verdict.baseline}'s first evaluation ({level(rise.start)}) to its end."
        )
    if shown.sooner:
        first, second = sorted((shown.sooner.first, shown.sooner.second))
        yield f"The arrow runs from step {first:,.0f} to {second:,.0f}: geometric means of when trainings reach it."
    picked_by = material.judge.picked_by
    if picked_by in material.whole and material.whole[picked_by].notna().any():
        yield f"Curves end at the last step; the final {title} is that of the step that validation images pick."


def _lines(material: Material) -> Iterator[Line]:
    rows, judge = material.whole, material.judge
    rows, leading = rows[rows[judge.column].notna()], _pair(material.verdict)
    rows = rows[rows["upto"].isna() | rows["start"].isin(leading)]
    styles = styles_of(schemes_of(material.frame))
    starts = [str(start) for start in rows["start"].unique()]
    starts.sort(key=lambda start: start not in leading)  # the two that matter are drawn whatever the limit
    for start in starts[:MOST_LINES]:
        over_seeds = rows[rows["start"] == start].groupby("step")[judge.column].agg(["mean", "min", "max"])
        mean, low, high = (over_seeds[name].to_numpy(float) for name in ("mean", "min", "max"))
        steps = over_seeds.index.to_numpy(float)
        if len(steps) > 1:
            yield Line(start, styles[start], steps, mean, low, high, start in leading)


def _pair(verdict: Verdict) -> tuple[str, ...]:
    """The start that the decision is about, and the baseline."""
    effect = verdict.advice.effect
    return (effect.start.name, effect.against) if effect else (verdict.baseline,)


def _sooner(material: Material, last: float) -> Gap | None:
    """Between the steps that the table gives; only where their ratio is what is claimed."""
    effect = material.verdict.advice.effect
    if effect is None or effect.pace not in ("faster", "slower"):
        return None
    found, speed = reaches(material), effect.claim("speedup")
    own, other = found.get(effect.start.name), found.get(effect.against)
    if own is None or other is None or max(own.steps, other.steps) > last:
        return None
    is_faster = effect.pace == "faster"
    claimed = speed if is_faster else inverse(speed)
    seen = other.steps / own.steps if is_faster else own.steps / other.steps
    if not math.isclose(seen, claimed.low if math.isinf(claimed.high) else claimed.estimate, rel_tol=SAME_RATIO):
        return None
    return Gap(own.steps, other.steps, f"{_times(claimed)} {'sooner' if is_faster else 'later'}")


def _times(speed: Interval) -> str:
    """Short enough for a picture; a bound by the end that is known."""
    return f"≥ {short(speed.low)} times" if math.isinf(speed.high) else f"{short(speed.estimate)} times"


def _apart(verdict: Verdict, lines: tuple[Line, ...]) -> Gap | None:
    """The bracket at the last step; only of a difference that is shown, and where what is claimed is of that step."""
    effect = verdict.advice.effect
    named = {line.name: float(line.mean[-1]) for line in lines}
    if effect is None or not effect.is_apart or not set(_pair(verdict)) <= set(named):
        return None
    own, other = (named[name] for name in _pair(verdict))
    # with a validation split the claim is about another step than the last one shown
    if not np.allclose((own, other), (effect.final_mean, effect.against_mean), rtol=0, atol=5e-4):
        return None
    return Gap(own, other, f"gap {number(own - other, SIGNED)}")


def _alt(verdict: Verdict, lines: tuple[Line, ...]) -> str:
    ends = ", ".join(f"{line.name} {level(float(line.mean[-1]))}" for line in lines)
    return f"Learning curves; mean {verdict.judge.title} at the last step: {ends}."


def _tiles(material: Material) -> Iterator[Tile]:
    effect = material.verdict.advice.effect
    if effect is None or math.isnan(effect.final_difference.estimate):
        return
    yield _end(material, effect)
    if tile := _pace(material, effect):
        yield tile
    yield operating.tile(material) or _size_of_study(material)


def _end(material: Material, effect: Effect) -> Tile:
    """Where both end."""
    found = effect.claim("final_difference")
    # "likely" is by the interval that is not adjusted for other claims, so it is never called clear
    mark = "clear" if effect.ends != "unknown" else _mark(effect.final_difference.low, effect.final_difference.high, 0)
    note = f"{measured(found, SIGNED)}: {_END_WORDS[effect.ends]}"
    value = f"{level(effect.final_mean)} against {level(effect.against_mean)}"
    return Tile(f"Final {material.judge.title} against {effect.against}", value, note, mark)


_END_WORDS = {
    "higher": "higher",
    "slightly higher": "higher, by too little to matter",
    "equal": "equally good",
    "slightly lower": "lower, by too little to matter",
    "lower": "lower",
    "unknown": "which is higher is not known",
}
_PACE_WORDS = {
    "faster": "faster",
    "same": "about the same",
    "slower": "slower",
    "unknown": "which is faster is not known",
}


def _mark(low: float, high: float, neutral: float) -> str:
    """Of a claim that is not shown: likely where only the interval that stands alone leaves out "no effect"."""
    return "likely" if low > neutral or high < neutral else "open"


def _pace(material: Material, effect: Effect) -> Tile | None:
    found, speed = reaches(material), effect.claim("speedup")
    own, other = found.get(effect.start.name), found.get(effect.against)
    if own is None or other is None:
        return None
    mark = "clear" if effect.pace != "unknown" else _mark(effect.speedup.low, effect.speedup.high, 1)
    note = ": ".join(filter(None, (_fewer(speed), _PACE_WORDS[effect.pace])))
    if own.is_timed and other.is_timed:
        note += f". About {own.time} against {other.time} of training"
    title = f"Steps to {material.judge.title} {level(material.verdict.rise.level(RISE_SHARE))}"
    return Tile(title, f"{own.count} against {other.count}", note, mark)


def _fewer(speed: Interval) -> str:
    """The speed-up in as many digits as a reader can use; nothing where there is none."""
    if math.isnan(speed.estimate) or not speed.low <= speed.high:
        return ""
    if math.isinf(speed.high) or speed.low == 0:
        bound = f"at least {short(speed.low)}" if math.isinf(speed.high) else f"at most {short(speed.high)}"
        return f"{bound} times fewer"
    return f"{short(speed.estimate)} ({short(speed.low)} to {short(speed.high)}) times fewer"


def short(value: float) -> str:
    """A ratio in two digits or more.

    Examples:
        >>> short(32.13), short(4.126), short(0.456), short(250.06)
        ('32', '4.1', '0.46', '250')
    """
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}" if value < 1 else f"{value:.1f}"


def _size_of_study(material: Material) -> Tile:
    """The third tile where no predictions are on disk."""
    rows: pd.DataFrame = material.whole
    n = int(rows["run"].nunique())
    return Tile("Trainings", f"{n:,}", f"of {rows['start'].nunique()} starts, {int(rows['step'].max()):,} steps each")
