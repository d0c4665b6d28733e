"""The section on data size: what more training images change."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pandas as pd

from transfusion.metrics import Metric
from transfusion.report import figures
from transfusion.report.material import Material
from transfusion.report.palette import styles_of
from transfusion.report.parts import Cell, Picture, Section, Table
from transfusion.report.table import finals, schemes_of
from transfusion.verdict import Verdict
from transfusion.verdict.numbers import SIGNED, brief, mean_sd, span


def section(material: Material) -> Section | None:
    """Performance and gap to the baseline against the number of training images; None for a single size."""
    verdict = material.verdict
    if not verdict.by_size:
        return None
    frame = material.frame
    judge = verdict.judge
    ended = finals(frame, judge)
    images = _images(material, frame)
    ended = ended.assign(images=ended["size"].astype(float).fillna(images["all"]))  # a size of None is all of them
    gaps = _gaps(verdict, images)
    draw = partial(figures.sizes, ended, gaps, judge, verdict.baseline, styles_of(schemes_of(frame)))
    picture = Picture("sizes", draw, _caption(ended, gaps, verdict), _alt(verdict))
    return Section("sizes", "Data size", (picture, _table(ended, judge)))


def _images(material: Material, frame: pd.DataFrame) -> dict[str, float]:
    """Name of a size, as a verdict has it, -> number of training images, infinite where it is not recorded."""
    named = {str(size): float(size) for size in frame["size"].dropna().unique()}
    whole = material.card.get("images", {}).get("train")
    # without a card nobody knows; a number made up for it would look measured on the axis
    return {**named, "all": float(whole) if whole else math.inf}


def _gaps(verdict: Verdict, images: dict[str, float]) -> pd.DataFrame:
    rows = [
        {"start": name, "scheme": c.start.scheme, "images": images[size], **c.final_difference.to_dict()}
        for size, schemes in verdict.by_size.items()
        for name, c in schemes.items()
    ]
    frame: pd.DataFrame = pd.DataFrame(rows, columns=["start", "scheme", "images", "estimate", "low", "high", "n"])
    return frame


def _caption(ended: pd.DataFrame, gaps: pd.DataFrame, verdict: Verdict) -> str:
    n = ended.groupby(["start", "images"])["run"].nunique()
    return (
        f"Held-out {verdict.judge.title} at the end against the number of training images. Left: mean ± standard "
        f"deviation, n = {span(n)} seeds per start and size. Right: difference to {verdict.baseline} with 95 % "
        f"intervals, paired over n = {span(gaps['n'])} seeds. Points are shifted sideways so that bars do not hide "
        "each other."
    )


def _alt(verdict: Verdict) -> str:
    main = verdict.main
    if main is None:
        return "Nothing to compare."
    name = main.start.name
    said = [
        f"{size} images {brief(schemes[name].final_difference, SIGNED)}"
        for size, schemes in verdict.by_size.items()
        if name in schemes
    ]
    return f"Difference in final {verdict.judge.title} of {name} to {verdict.baseline}: {', '.join(said)}."


def _table(ended: pd.DataFrame, judge: Metric) -> Table:
    """One row per size, one column per start, as the paper's tables 2 and 4."""
    starts = list(schemes_of(ended))
    by_cell = {key: rows[judge.column] for key, rows in ended.groupby(["images", "start"])}
    none = pd.Series(dtype=float)
    rows = tuple(
        (
            Cell("all (count not recorded)" if math.isinf(images) else f"{images:,.0f}", float(images)),
            *(_cell(by_cell.get((images, start), none)) for start in starts),
        )
        for images in np.sort(ended["images"].unique())
    )
    caption = f"Final held-out {judge.title} by number of training images: mean ± sd (n seeds)."
    return Table("size-table", caption, ("training images", *starts), rows)


def _cell(values: pd.Series) -> Cell:
    return Cell(f"{mean_sd(values)} ({len(values)})", float(values.mean()))
