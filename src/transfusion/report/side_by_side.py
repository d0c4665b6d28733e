"""Several studies on one page: the verdict of each, and every start of each in one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from transfusion.files import write_text
from transfusion.report import opening
from transfusion.report.convergence import chart_of_runs
from transfusion.report.material import Material
from transfusion.report.method import settings_of
from transfusion.report.page import render
from transfusion.report.parts import Cell, Listing, Page, Said, Section, Table
from transfusion.runs.store import Store
from transfusion.verdict.effects import Effect
from transfusion.verdict.numbers import RATIO, SIGNED, mean_and_sd
from transfusion.verdict.statement import OPENING

Named = dict[str, Material]


def write_side_by_side(stores: Sequence[Store], out: Path) -> Path:
    """Write one page of several studies, each finished or not.

    Every verdict is that of one study by itself: studies usually differ in more than one setting, so nothing is tested
    across them.

    Args:
        stores: two or more studies.
        out: the file to write; figures go to ``figures/`` beside it.

    Returns:
        Path of the page.

    Raises:
        StoreError: if a folder holds no study, or the page cannot be written.
    """
    studies = _named([Material(store) for store in stores])
    curves = [_curves(place, *study) for place, study in enumerate(studies.items(), start=1)]
    page = Page(
        " · ".join(studies),
        f"{len(studies)} studies side by side, each judged by itself.",
        [Listing(tuple(_said(material)), name) for name, material in studies.items()],
        [Section("comparison", "Every start of every study", (_table(studies),)), *curves, _differences(studies)],
        notes=[
            f"{name}: {note}"
            for name, material in studies.items()
            for note in (*opening.cautions(material), *opening.notes(material))
        ],
    )
    write_text(out, render(page, out.parent))
    return out


def _named(materials: list[Material]) -> Named:
    """Studies by their names, with their folders where names are shared, and numbered where these are shared too."""
    names = [material.spec.name for material in materials]
    full = [f"{material.spec.name} in {material.store.folder.absolute().name}" for material in materials]
    longer = [name if full.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(full, 1)]
    return {
        name if names.count(name) == 1 else long: material
        for name, long, material in zip(names, longer, materials, strict=True)
    }


def _said(material: Material) -> Iterator[Said]:
    """What is read first, and the end and speed of every start."""
    for statement in material.verdict.told:
        if statement.topic in (*OPENING, "final", "pace"):
            yield opening.said(statement)


def _table(studies: Named) -> Table:
    titles = " or ".join(dict.fromkeys(material.judge.title for material in studies.values()))
    columns = ("study", "start", "n seeds", f"final {titles}", "difference", "speed-up", "mean difference")
    rows = [(name, *_row(c)) for name, material in studies.items() for c in material.verdict.schemes.values()]
    baselines = ", ".join(dict.fromkeys(material.verdict.baseline for material in studies.values()))
    caption = (
        f"Every start against {baselines}: final {titles}, its difference, speed-up and difference averaged over the "
        "whole training, with 95 % intervals over n seeds"
    )
    return Table("comparison", caption, columns, tuple(rows))


def _row(effect: Effect) -> tuple[Cell | str, ...]:
    return (
        effect.start.name,
        Cell.number(effect.final_n, "d"),
        Cell(mean_and_sd(effect.final_mean, effect.final_std), effect.final_mean),
        Cell.interval(effect.final_difference, SIGNED),
        Cell.interval(effect.speedup, RATIO),
        Cell.interval(effect.area, SIGNED),
    )


def _curves(place: int, name: str, material: Material) -> Section:
    charts = () if material.frame.empty else (chart_of_runs(material, f"runs-{place}"),)
    return Section(f"study-{place}", name, (opening.summary(material), *charts))


def _differences(studies: Named) -> Section:
    """Settings that are not the same in all studies."""
    settings = [settings_of(material.spec) for material in studies.values()]
    keys = dict.fromkeys(key for values in settings for key in values)
    rows = [(key, *(values.get(key, "-") for values in settings)) for key in keys]
    differing = tuple(tuple(map(opening.without_paths, row)) for row in rows if len(set(row[1:])) > 1)
    caption = f"Settings in which the studies differ (n = {len(differing)} of {len(rows)})"
    folders = tuple(f"{name}: {material.store.folder.absolute().name}" for name, material in studies.items())
    parts = (Table("differences", caption, ("setting", *studies), differing), Listing(folders, "Folders"))
    return Section("how", "How they differ", parts)
