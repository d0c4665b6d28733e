"""The section on use: sensitivity and specificity at thresholds, and what AUC does not say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from transfusion.metrics import METRICS, Interval, confusion, rates, roc
from transfusion.report.figures.roc import RocLine
from transfusion.report.figures.roc import roc as draw_roc
from transfusion.report.glossary import plain
from transfusion.report.judged import Model
from transfusion.report.material import Material
from transfusion.report.palette import styles_of
from transfusion.report.parts import Cell, Fold, Part, Picture, Section, Table, Tile
from transfusion.report.table import schemes_of
from transfusion.report.thresholds import HALF, MANY, Judged, Point
from transfusion.verdict.effects import Ends
from transfusion.verdict.inference import mean_interval
from transfusion.verdict.numbers import SHARE, level, listed, number, span

LOW, WORSE = 0.7, 0.05  # a share that a reader is warned of, and a fall against the baseline
MOST_CLASSES = 10  # of a matrix that is shown, and of rows of single classes that are not folded
MOST_PANELS = 6
COMPARED = {"auc": ("Ranking", "AUC"), "accuracy": ("calls", "accuracy"), "brier": ("probabilities", "Brier")}
ENDS: dict[Ends, str] = {
    "higher": "better", "slightly higher": "no difference that matters", "equal": "no difference that matters",
    "slightly lower": "no difference that matters", "lower": "worse", "unknown": "not shown to differ",
}  # fmt: skip
Row = tuple[Cell | str, ...]


def section(material: Material) -> Section | None:
    """Operating points, ROC and confusion matrices; None where no predictions can be judged."""
    found = Judged.of(material)
    if found is None:
        return None
    parts: list[Part] = [*_reconciled(material, found)]
    if found.rule.kind in MANY:
        parts += _of_classes(material, found)
    else:
        parts += [_points(found), *_roc(material, found)]
    parts += _matrices(found)
    return Section("use", "If you used it: thresholds and errors", tuple(parts))


def tile(material: Material) -> Tile | None:
    """What a reader must know about thresholds first; None where no predictions can be judged."""
    found = Judged.of(material)
    if found is None or not found.pair:
        return None
    if found.rule.kind in MANY:
        return _accuracy_tile(found)
    own, *others = (found.at_half(start) for start in found.pair)
    for what in ("specificity", "sensitivity"):
        share = getattr(own, what).estimate
        other = max((getattr(one, what).estimate for one in others), default=math.nan)
        if share < LOW or share < other - WORSE:  # a high AUC says nothing of the threshold that comes with a network
            value = " against ".join(number(getattr(one, what).estimate, SHARE) for one in (own, *others))
            note = f"Positive is {found.names[0]}. Choose a threshold on validation images before use."
            return Tile(f"Caution: {what} at 0.5", value, note, "caution")
    points = [found.at_sensitivity(start) for start in found.pair]
    # with half of a pair there is nothing to compare
    known = [point.specificity for point in points if point is not None and not math.isnan(point.specificity.estimate)]
    if len(known) < len(found.pair):
        return None
    value = " against ".join(number(one.estimate, SHARE) for one in known)
    reach = f"{number(known[0].low, SHARE)} to {number(known[0].high, SHARE)}"
    where = "" if found.has_validation else ", threshold chosen on the test images"
    return Tile(f"Specificity at {number(found.sensitivity, SHARE)} sensitivity", value, f"{reach}{where}")


def _accuracy_tile(found: Judged) -> Tile:
    # accuracy means little by itself: with 95 % of one class, 0.95 is had without looking
    own, majority = _accuracy(found, found.pair[0]), _majority(found)
    if found.rule.kind == "multiclass" and own <= majority:
        note = f"{found.pair[0]}; always saying the most common class gives {level(majority)}."
        return Tile("Caution: accuracy", level(own), note, "caution")
    beside = " against ".join(level(_accuracy(found, start)) for start in found.pair)
    what = "always the most common class" if found.rule.kind == "multiclass" else "always the more common answer"
    return Tile("Accuracy", beside, f"{what}: {level(majority)}")


def _accuracy(found: Judged, start: str) -> float:
    return float(np.mean([model.recorded["accuracy"] for model in found.by_start[start]]))


def _majority(found: Judged) -> float:
    """Accuracy of always giving the most common answer of these test images."""
    model = next(iter(found.by_start.values()))[0]
    if found.rule.kind == "multilabel":
        known = model.outcomes[~np.isnan(model.outcomes).all(axis=1)]
        share = np.nanmean(known, axis=0)
        weights = (~np.isnan(known)).sum(axis=0)
        return float(np.average(np.maximum(share, 1 - share), weights=weights))
    return float(np.bincount(model.labels.astype(int)).max() / len(model.labels))


def _reconciled(material: Material, found: Judged) -> Iterator[str]:
    """Whether ranking, calls and probabilities agree on which start is better."""
    if len(found.pair) < 2:
        return
    own, other = found.pair
    better = {name: _direction(found, name) for name in COMPARED}
    effect = material.verdict.advice.effect
    if effect is not None and material.judge.name == "auc":
        better["auc"] = ENDS[effect.ends]  # one judgement of one difference
    said = []
    for name, (what, short) in COMPARED.items():
        means = [level(float(np.mean(list(_by_seed(found, start, name).values())))) for start in found.pair]
        said.append(f"{what} ({short} {means[0]} against {means[1]}): {better[name]}")
    tail = ""
    if better["auc"] != "worse" and "worse" in better.values():
        tail = (
            " It ranks better than it calls: choose its threshold on held-out images, or recalibrate it, before use. "
            "AUC does not depend on a threshold, so both can be true."
        )
    yield f"{own} against {other}. {'; '.join(said)}.{tail}"


def _direction(found: Judged, name: str) -> str:
    """Of a metric, over seeds on these test images."""
    own, other = (_by_seed(found, start, name) for start in found.pair)
    sign = 1 if METRICS[name].higher_is_better else -1
    gap = mean_interval(np.array([sign * (own[seed] - other[seed]) for seed in sorted(set(own) & set(other))]))
    return "better" if gap.low > 0 else "worse" if gap.high < 0 else ENDS["unknown"]


def _by_seed(found: Judged, start: str, name: str) -> dict[int, float]:
    return {model.seed: float(model.recorded[name]) for model in found.by_start[start] if name in model.recorded}


def _points(found: Judged) -> Table:
    stated = number(found.sensitivity, SHARE)
    columns = ["start", "sensitivity at 0.5", "specificity at 0.5"]
    columns += [f"sensitivity at the {stated} threshold"] if found.has_validation else []
    columns += [f"specificity at {stated} sensitivity", "accuracy"]
    rows = [_point_row(found, start) for start in found.by_start]
    blank = Cell("-", math.nan)
    always = Cell(level(_majority(found)), _majority(found))
    rows.append(("always the most common class", *[blank] * (len(columns) - 2), always))
    caption = f"Positive is {found.names[0]}. {_means(found)} {found.chosen_on}"
    return Table("points", caption, tuple(columns), tuple(rows), is_stacked=True)


def _means(found: Judged) -> str:
    """What the shares of a table are, with their intervals."""
    models = [model for models in found.by_start.values() for model in models]
    whom = (
        "other trainings and other patients"
        if all(model.has_patients for model in models)
        else ("other trainings and other images; patients are not known")
    )
    counts = span([len(models) for models in found.by_start.values()])
    return f"Means over n = {counts} trainings with 95 % intervals over {whom}; below them the range of the trainings."


def _point_row(found: Judged, start: str, event: int = 0) -> Row:
    half, stated = found.at_half(start, event), found.at_sensitivity(start, event)
    row: list[Cell | str] = [Cell(start, start, plain(start)), *_cells(half)]
    if stated is None:
        row += [Cell("-", math.nan)] * (2 if found.has_validation else 1)
    else:
        row += _cells(stated)[0 if found.has_validation else 1 :]
    return (*row, Cell.number(_accuracy(found, start)))


def _cells(point: Point) -> list[Cell]:
    return [_share(point.sensitivity, point.span[0]), _share(point.specificity, point.span[1])]


def _share(found: Interval, spanned: str) -> Cell:
    if math.isnan(found.estimate):
        return Cell("-", math.nan)
    ends = f"{number(found.low, SHARE)} to {number(found.high, SHARE)}"
    return Cell(f"{number(found.estimate, SHARE)} ({ends})", found.estimate, spanned if found.n > 1 else "")


def _of_classes(material: Material, found: Judged) -> Iterator[Part]:
    """Each class against all others, by name: the pair, and folded all starts and the curves."""
    stated = number(found.sensitivity, SHARE)
    columns = ["class", "start", "positive images", "sensitivity at 0.5", "specificity at 0.5"]
    columns += [f"sensitivity at the {stated} threshold"] if found.has_validation else []
    columns += [f"specificity at {stated} sensitivity"]

    def table(name: str, starts: Sequence[str], caption: str) -> Table:
        rows = [
            (event_name, *_class_row(found, start, event))
            for event, event_name in enumerate(found.names)
            for start in starts
        ]
        folded = len(rows) > 2 * MOST_CLASSES
        return Table(name, caption, tuple(columns), tuple(rows), is_folded=folded, is_stacked=True)

    yield table("points", found.pair, f"Each class against all others. {_means(found)} {found.chosen_on}")
    rest = [start for start in found.by_start if start not in found.pair]
    more: list[Part] = [table("points-others", rest, "The other starts, each class against all others")] if rest else []
    yield Fold("Other starts, and the curve of each class", (*more, *_roc(material, found)))


def _class_row(found: Judged, start: str, event: int) -> Row:
    model = found.by_start[start][0]
    first, *rest = _point_row(found, start, event)
    return (first, Cell.number(int((model.outcomes[:, event] == 1).sum()), "d"), *rest[:-1])


def _roc(material: Material, found: Judged) -> Iterator[Picture]:
    """Of the median training of the pair, or of every start for one event."""
    styles = styles_of(schemes_of(material.frame))
    starts = found.pair if found.rule.kind in MANY else tuple(found.by_start)
    # one training: a mean of curves is the curve of no network, and has no operating points
    medians = {start: median(found.by_start[start]) for start in starts}
    panels = {}
    for event in _usable(found)[:MOST_PANELS]:
        lines = [
            RocLine(start, styles[start], roc(model.outcomes[:, event], model.probabilities[:, event]),
                    _marks(found, model, event, is_marked=start in found.pair))
            for start, model in medians.items()
        ]  # fmt: skip
        panels[found.names[event]] = lines
    if not panels:
        return
    stated = number(found.sensitivity, SHARE)
    marks = {"o": "threshold 0.5", "D": f"{stated} sensitivity"}
    draw, narrow = (partial(draw_roc, panels, marks, is_narrow) for is_narrow in (False, True))
    caption = "ROC curves of each start's median training by AUC. The dotted line is guessing."
    first = panels[next(iter(panels))]
    said = [
        f"{line.name}: specificity {line.points['o'][0]:.2f}, sensitivity {line.points['o'][1]:.2f}"
        for line in first
        if line.points
    ]
    yield Picture("roc", draw, caption, f"ROC curves. At a threshold of 0.5, {'; '.join(said)}.", narrow=narrow)


def _usable(found: Judged) -> list[int]:
    """Events with cases of both kinds."""
    outcomes = next(iter(found.by_start.values()))[0].outcomes
    return [event for event in range(outcomes.shape[1]) if {0.0, 1.0} <= set(outcomes[:, event])]


def _marks(found: Judged, model: Model, event: int, *, is_marked: bool) -> dict[str, tuple[float, float]]:
    if not is_marked:
        return {}
    chosen = {"o": HALF, "D": found.threshold(model, event)}
    sides = {
        marker: rates(model.outcomes[:, event], model.probabilities[:, event], threshold)
        for marker, threshold in chosen.items()
        if threshold is not None
    }
    return {marker: (specificity.value, sensitivity.value) for marker, (sensitivity, specificity) in sides.items()}


def median(models: Sequence[Model]) -> Model:
    """The training whose AUC is the middle one; the lower of two."""
    # seeds break ties, so that it is one
    ordered = sorted(models, key=lambda model: (float(model.recorded["auc"]), model.seed))
    return ordered[(len(ordered) - 1) // 2]


def _matrices(found: Judged) -> Iterator[Part]:
    if found.rule.kind == "multilabel":
        return
    rest = [start for start in found.by_start if start not in found.pair]
    shown = _matrix(found, found.pair or tuple(found.by_start), "confusion")
    if len(found.rule.classes) > MOST_CLASSES:
        yield Fold("Confusion matrices", (shown, *([_matrix(found, rest, "confusion-others")] if rest else [])))
        return
    yield shown
    if rest:
        yield Fold(f"Confusion matrices of {listed(rest)}", (_matrix(found, rest, "confusion-others"),))


def _matrix(found: Judged, starts: Sequence[str], name: str) -> Table:
    """Counts of each class called each; the most probable class is what a network calls an image."""
    rows: list[Row] = []
    for start in starts:
        model = median(found.by_start[start])
        counts = _called(found, model)
        every = [_called(found, each) for each in found.by_start[start]]
        means = np.mean([each / np.maximum(1, each.sum(1, keepdims=True)) for each in every], axis=0)
        for truth, own, mean in zip(found.rule.classes, counts, means, strict=True):
            shares = own / max(1, own.sum())
            said = [f"{number(a, SHARE)}, mean {number(b, SHARE)}" for a, b in zip(shares, mean, strict=True)]
            cells = [Cell(f"{num:,}", float(num), note) for num, note in zip(own, said, strict=True)]
            rows.append((start, truth, *cells))
    columns = ("start", "truth", *(f"called {name}" for name in found.rule.classes))
    caption = (
        "Confusion matrix of each start's median training by AUC: test images by their most probable class. Below each "
        "count its share of the row and, beside it, the mean of that share over all trainings of the start."
    )
    return Table(name, caption, columns, tuple(rows), is_stacked=len(found.rule.classes) == 2)


def _called(found: Judged, model: Model) -> NDArray[np.int64]:
    return confusion(model.labels, model.scores.argmax(1), len(found.rule.classes))
