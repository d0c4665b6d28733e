"""The section on the networks' representations."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from transfusion.report.figures import stages as figures
from transfusion.report.layers import stage_order
from transfusion.report.material import Material
from transfusion.report.parts import Cell, Part, Picture, Section, Table
from transfusion.runs import comparisons as representations
from transfusion.runs.maps import network_name
from transfusion.runs.tensors import read_tensors
from transfusion.similarity.cautions import unpacked
from transfusion.spec import RepresentationSpec


def section(material: Material) -> Section | None:
    """Heatmaps, change by stage, dynamics and activations; None where the study did not ask for them."""
    if material.similarity.empty:
        return None
    parts = [*_how(material), *_alike(material), *_dynamics(material), *_activations(material), *_table(material)]
    return Section("representations", "What the networks learned", tuple(parts))


def _main(material: Material) -> pd.DataFrame:
    """The comparisons by the first measure, of which figures and verdict speak."""
    # one measure: several on one figure would be read as replications of each other
    table = material.similarity
    rows: pd.DataFrame = table[table["measure"] == table["measure"].iloc[0]]
    return rows


def _how(material: Material) -> Iterator[Part]:
    settings = material.spec.representations or RepresentationSpec()
    images = int(_main(material)["images"].max())
    positions = "at all positions" if settings.positions is None else f"at most {settings.positions} positions"
    yield (
        f"The networks were compared on the same {images} held-out images, {positions} of each in every stage (a "
        "position is a pixel of a map or a token of a transformer). A "
        "similarity of 1 says that two sets of channels span the same patterns; what random pairing of the images "
        "would give is shown as chance, and only what lies above it means anything."
    )
    if absent := [stage for stage in stage_order(material) if stage not in set(_main(material)["stage"])]:
        yield (
            f"Left out: {', '.join(absent)}. These stages did not run on the images, or gave no row for each, so they "
            "cannot be compared."
        )
    told = _main(material)["cautions"].map(unpacked)
    saturated = told.map(lambda cautions: any(one.code == "saturated" for one in cautions)).astype(bool)
    if saturated.any():
        stages = ", ".join(dict.fromkeys(_main(material).loc[saturated, "stage"]))
        yield (
            f"At {stages} there are fewer samples than the channels of both networks together, so part of the "
            "similarity, or all of it, is 1 whatever they hold: compare it with chance, or use more images "
            "(--set representations.images=N)."
        )


def _alike(material: Material) -> Iterator[Part]:
    """What training changes, and how alike the networks of two starts are."""
    table, baseline = _main(material), material.verdict.baseline
    grid = table[table["kind"] == "grid"]
    if grid.empty:
        return
    n = grid["a_seed"].nunique()
    yield _change(grid, n)
    apart = figures.apart_of(table)
    if apart.empty:
        yield (
            f"Whether two starts end alike cannot be determined from n = {n} seed{'s' if n > 1 else ''}: it takes "
            "pairs of different seeds, as starts of one seed share random numbers and look alike whatever they "
            "learned. Add seeds (--seeds 2 or more)."
        )
        return
    yield Picture(
        "representations-likeness",
        partial(figures.likeness_lines, table, baseline),
        "Similarity of trained networks of different seeds, by stage: every two starts, and, as yardsticks, "
        f"{baseline} with itself, trained and untrained: mean and sd over pairs of networks (their number in "
        "brackets).",
        "After training: " + _said(apart.groupby(["pair", "stage"], sort=False)["value"].mean()),
    )
    yield _heatmaps(table, apart, n)


def _change(grid: pd.DataFrame, n: int) -> Picture:
    over = "n = 1 seed" if n == 1 else f"mean and sd over n = {n} seeds"
    own = grid[(grid["a_run"] == grid["b_run"])].groupby(["a_start", "stage"], sort=False)["value"].mean()
    return Picture(
        "representations-change",
        partial(figures.change_lines, grid),
        f"Similarity of each start before and after training, by stage: {over}.",
        "Before against after training: " + _said(own),
    )


def _heatmaps(table: pd.DataFrame, apart: pd.DataFrame, n: int) -> Picture:
    # a pair counts once, whichever of its networks comes first
    pairs = {frozenset(both) for both in zip(apart["a_seed"], apart["b_seed"], strict=True)}
    num = f"n = {len(pairs)} pair{'s' if len(pairs) > 1 else ''} of different seeds"
    shown = figures.shown_stages(table[table["kind"] == "grid"])
    return Picture(
        "representations-heatmaps",
        partial(figures.heatmaps, table[table["kind"] != "dynamics"]),
        "Similarity of networks of different seeds, before training (upper left) and after it (lower right), at "
        f"{len(shown)} stages: mean over {num}; the diagonal is a start with itself. In the other two quarters, before "
        f"against after of one run: mean over n = {n} seeds. Networks of one seed share random numbers, so no other "
        "pair of them is shown.",
        f"Heatmaps of pairs of networks at {', '.join(shown)}; the numbers are in the table below.",
    )


def _said(means: pd.Series) -> str:
    """Numbers by group and stage as a sentence."""
    return "; ".join(
        f"{name} " + ", ".join(f"{value:.2f} at {stage}" for stage, value in group.droplevel(0).items())
        for name, group in means.groupby(level=0, sort=False)
    )


def _dynamics(material: Material) -> Iterator[Part]:
    table = _main(material)
    table = table[table["kind"] == "dynamics"]
    if not (table["a_when"] == "during").any():
        return
    steps = sorted(table["a_step"].unique())
    yield Picture(
        "representations-dynamics",
        partial(figures.dynamics, table),
        "How soon each stage reaches its final representation: similarity of the network at a step with the same "
        f"network after training, mean over seeds (n = {table['a_seed'].nunique()}); weights were kept at {len(steps)} "
        "steps.",
        "At step 0: " + _said(table[table["a_step"] == 0].groupby(["a_start", "stage"], sort=False)["value"].mean()),
    )


def _activations(material: Material) -> Iterator[Part]:
    if not material.shows_images:  # the pictures of this figure are the user's images, too
        return
    for unit in representations.units(material.store):
        path = material.store.representation_path(unit.id, "safetensors")
        if unit.kind != "activations" or not path.exists():
            continue
        tensors = {name: tensor.numpy() for name, tensor in read_tensors(path).items()}
        runs = material.whole.drop_duplicates("run")
        names = dict(zip(runs["run"], runs["start"], strict=True))
        maps = _by_start(unit, names, tensors)
        settings = material.spec.representations
        stage = (settings and settings.stage) or next(iter(dict.fromkeys(material.similarity["stage"])))
        if set(tensors) == {"pictures"}:
            yield (
                f"The activations of {stage} cannot be shown as pictures: it gives tokens or vectors, not maps. "
                "Another stage may give maps (--set representations.stage=NAME)."
            )
        if maps:
            yield Picture(
                "representations-activations",
                partial(figures.activations, tensors["pictures"], maps),
                f"Two held-out images of different labels and their activations at {stage} before and after training, "
                "by start (n = 1 seed, the first): the channels that vary most after training, and the same ones "
                "before it, each map from its darkest to its brightest.",
                f"Grey maps of a few channels of {stage} for {', '.join(maps)}, the same before and after training.",
                is_photo=True,
            )


def _by_start(
    unit: representations.Unit, names: dict[str, str], tensors: dict[str, NDArray[Any]]
) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Start -> maps before and after training, (2, channels, height, width) each."""
    steps: dict[str, list[int]] = {}
    for run, step in unit.weights:
        steps.setdefault(run, []).append(step)
    return {
        names[run]: (tensors[ends[0]], tensors[ends[1]])
        for run, (first, *_, last) in steps.items()
        for ends in [[network_name(run, step) for step in (first, last)]]
        if set(ends) <= set(tensors) and run in names
    }


def _table(material: Material) -> Iterator[Part]:
    """Every two starts of different seeds, before and after training, and each start's change, for every measure."""
    every = material.similarity
    apart = every["kind"].isin(("seeds", "untrained")) & (every["a_seed"] != every["b_seed"])
    table = every[apart | ((every["kind"] == "grid") & (every["a_run"] == every["b_run"]))]
    keys = ["stage", "a_start", "a_when", "b_start", "b_when", "kind"]
    rows: list[tuple[Cell | str, ...]] = []
    for key, group in table.groupby(keys, sort=False):
        stage, a, a_when, b, b_when, kind = (str(part) for part in key)
        by_measure = group.groupby("measure", sort=False)
        other = " (another seed)" if kind != "grid" else ""
        cells = [Cell.number(float(value), ".3f") for value in by_measure["value"].mean()]
        chances = [Cell.number(float(value), ".3f") for value in by_measure["baseline"].mean()]
        n = int(by_measure.size().iloc[0])
        both = [cell for pair in zip(cells, chances, strict=True) for cell in pair]
        rows.append((stage, f"{a}, {a_when}", f"{b}, {b_when}{other}", *both, Cell.number(n, "d")))
    measures = list(dict.fromkeys(table["measure"]))
    yield Table(
        "representations-table",
        "Similarity of networks of different seeds, and of one network before and after training: mean over n pairs of "
        "networks, and what chance gives.",
        ("stage", "network", "against", *(label for name in measures for label in (name, f"{name} by chance")), "n"),
        tuple(rows),
        is_folded=True,
    )
