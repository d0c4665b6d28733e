"""The section on convergence: how fast and how far each start learns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from transfusion.metrics import Metric
from transfusion.report import figures
from transfusion.report.intervals import intervals, upto_intervals
from transfusion.report.layers import stage_order
from transfusion.report.material import Material
from transfusion.report.palette import Style, styles_of, variants_of
from transfusion.report.parts import Cell, Chart, Fold, Part, Picture, Section, Series, Table, Trace
from transfusion.report.table import CurveTable, schemes_of
from transfusion.verdict import Verdict
from transfusion.verdict.findings import WHOLE
from transfusion.verdict.numbers import RATIO, SHARE, SIGNED, brief, span


def section(material: Material) -> Section | None:
    """Every run in one chart; means and numbers by data size and stage folded; None without a single value."""
    frame, judge = material.frame, material.judge
    if not frame[judge.column].notna().any():
        return None
    styles = styles_of(schemes_of(frame))
    chart = (chart_of_runs(material),) if len(material.whole) else ()
    parts = [
        *_convergence(material, styles),
        *_forest(material.verdict, styles),
        *_modes(material.verdict, material.whole, styles),
        _table(material),
    ]
    stages = _upto(material.verdict, stage_order(material))
    fold = Fold("Mean and spread of every start, in figures and numbers", tuple(parts))
    return Section("convergence", "Every training", (*chart, *stages, fold))


def chart_of_runs(material: Material, name: str = "curves") -> Chart:
    """Every run at the largest data size, in the colours of the whole study."""
    whole, variants, title = material.whole, variants_of(schemes_of(material.frame)), material.judge.title
    series = tuple(
        Series(str(start), str(rows["scheme"].iloc[0]), tuple(_traces(rows, material.judge)), variants[str(start)])
        for start, rows in whole.groupby("start", sort=False)
    )
    num = sum(len(each.traces) for each in series)
    caption = f"Every run on {_images(float(_sizes(whole).iloc[0]))}, n = {num}: held-out {title} at each evaluation."
    return Chart(name, caption, "optimiser steps", f"held-out {title}", series)


def _traces(rows: pd.DataFrame, judge: Metric) -> Iterator[Trace]:
    for run, curve in rows.sort_values("step").groupby("run", sort=False):
        label = f"seed {curve['seed'].iloc[0]} (run {run})"
        yield Trace(label, tuple(curve["step"].astype(float)), tuple(curve[judge.column].astype(float)))


def _convergence(material: Material, styles: Mapping[str, Style]) -> Iterator[Picture]:
    """Of each data size, the largest first: starts of the whole network, then partial ones by the scheme above."""
    frame, judge, called = material.frame, material.judge, material.verdict.called
    by_size = dict(list(frame.groupby(_sizes(frame))))
    for place, size in enumerate(sorted(by_size, reverse=True)):
        rows, suffix = by_size[size], "" if place == 0 else f"-{size:.0f}"
        whole = rows[rows["upto"].isna()]
        if len(whole):
            yield _curves(whole, judge, f"convergence{suffix}", _images(size), styles)
        for rest, part in rows[rows["upto"].notna()].groupby("rest", sort=False):
            # with its two ends: all stages pretrained, and none
            ends = rows[rows["start"].isin([called.get(scheme, scheme) for scheme in (WHOLE, str(rest))])]
            what = f"{_images(size)}, stages above the pretrained ones from {rest}"
            yield _curves(pd.concat([ends, part]), judge, f"convergence-upto-{rest}{suffix}", what, styles)


def _curves(rows: pd.DataFrame, judge: Metric, name: str, what: str, styles: Mapping[str, Style]) -> Picture:
    caption = f"Held-out {judge.title} against optimiser steps, {what}: mean over {_seeds(rows)}."
    draw = partial(figures.convergence, rows, judge, styles)
    return Picture(name, draw, caption + _unfinished(rows), f"Learning curves, {what}. {_heights(rows, judge)}")


def _seeds(rows: pd.DataFrame) -> str:
    n = rows.groupby("start")["run"].nunique()
    if n.max() == 1:
        return "n = 1 seed, so without a band"
    return f"n = {span(n)} seeds, band of one standard deviation"


def _unfinished(rows: pd.DataFrame) -> str:
    reached = rows.groupby("run")["step"].max()
    num = int((reached < reached.max()).sum())  # a mean over fewer runs jumps where one ends; that must be said
    return f" {num} of {len(reached)} runs stop short; from there on the mean is that of the others." if num else ""


def _heights(rows: pd.DataFrame, judge: Metric) -> str:
    """Mean over seeds of every start after the first quarter of the course and at its end."""
    steps = sorted(rows.loc[rows[judge.column].notna(), "step"].unique())
    if not steps:
        return "No value yet."
    # a quarter of the steps, not of the evaluations, which are dense early
    early, last = max(step for step in steps if step <= steps[0] + (steps[-1] - steps[0]) / 4), steps[-1]
    means = [rows[rows["step"] == step].groupby("start", sort=False)[judge.column].mean() for step in (early, last)]
    said = [", ".join(f"{start} {mean:.3f}" for start, mean in at.dropna().items()) for at in means]
    return f"Mean {judge.title} at step {early}: {said[0]}; at step {last}: {said[1]}."


def _forest(verdict: Verdict, styles: Mapping[str, Style]) -> Iterator[Part]:
    if not verdict.schemes:
        return
    frame, main, title = intervals(verdict), verdict.main, verdict.judge.title
    draw = partial(figures.forest, frame, verdict.judge, verdict.baseline, styles)
    caption = (
        f"Every start against {verdict.baseline}, with 95 % intervals; n seeds are at the right of each row. An arrow "
        "marks an interval that extends beyond the panel, a hollow marker an estimate without an interval. An "
        f'interval that does not contain the vertical line excludes "no effect". Mean {title} is over the whole course.'
    )
    alt = f"Estimates and intervals against {verdict.baseline}."
    if main is not None:
        end, speed = brief(main.final_difference, SIGNED), brief(main.speedup, RATIO)
        alt += f" {main.start.name}: difference in final {title} {end}, speed-up {speed}."
    yield Picture("verdict", draw, caption, alt)


def _upto(verdict: Verdict, order: Sequence[str]) -> Iterator[Picture]:
    frame = upto_intervals(verdict)
    if not len(frame):
        return
    named = [str(stage) for stage in frame["stage"].unique() if stage not in ("none", "all")]
    stages = sorted(named, key=lambda stage: order.index(stage) if stage in order else len(order))
    caption = (
        f"Pretrained weights up to a stage, the stages above initialised anew: speed-up against {verdict.baseline} "
        "(left) and share of the whole network's speed-up (right), with 95 % intervals over "
        f"n = {span(frame['n'])} seeds. The ends are none and all stages pretrained, with shares 0 and 1 by definition."
    )
    shares = [f"{name} {brief(share, SHARE)}" for name, share in verdict.upto_shares.items()]
    alt = f"Share of the full speed-up: {', '.join(shares)}."
    yield Picture("upto", partial(figures.upto, frame, stages), caption, alt)


def _modes(verdict: Verdict, whole: pd.DataFrame, styles: Mapping[str, Style]) -> Iterator[Picture]:
    """The modes of each scheme among themselves, with the baseline."""
    judge = verdict.judge
    for scheme, (best, worst, gap) in verdict.modes.items():
        own = (whole["scheme"] == scheme) & whole["upto"].isna()
        rows = whole[own | (whole["start"] == verdict.baseline)]
        said = (
            f"{best} has the highest curve and {worst} the lowest: mean {judge.title} differs by {brief(gap, SIGNED)}"
        )
        caption = f"Batch-norm modes of {scheme}, mean over {_seeds(rows)}; {said}, adjusted for the pick."
        draw = partial(figures.convergence, rows, judge, styles)
        yield Picture(
            f"batch-norm-{scheme}", draw, caption, f"Batch-norm modes of {scheme}: {said}. {_heights(rows, judge)}"
        )


def _table(material: Material) -> Table:
    summary = CurveTable.of(material.frame, material.judge)
    rows: tuple[tuple[Cell | str, ...], ...] = tuple(
        (row.name, Cell(str(row.n), row.n), *(Cell(*both) for both in zip(row.cells, row.means, strict=True)))
        for row in summary.rows
    )
    caption = f"Held-out {material.judge.title}, mean ± sd over seeds; n seeds reached the last step."
    return Table("curve-table", caption, ("start", "n", *(f"step {step}" for step in summary.steps)), rows)


def _sizes(frame: pd.DataFrame) -> pd.Series:
    """Numbers of training images, infinite for all."""
    sizes: pd.Series = frame["size"].astype(float).fillna(np.inf)
    return sizes


def _images(size: float) -> str:
    return "all training images" if np.isinf(size) else f"{size:,.0f} training images"
