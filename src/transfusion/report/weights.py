"""The section on weights: first-layer filters, how far they moved, how Gabor-like they are, and distributions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from transfusion.errors import StoreError
from transfusion.filters import Floats, GaborScore, gabor_score, pictures, relative_change, weight_histograms
from transfusion.progress import track
from transfusion.report import figures
from transfusion.report.figures.weights import MOST_FILTERS
from transfusion.report.layers import LEAST_SIDE, first_layer, tensor_stages
from transfusion.report.material import Material
from transfusion.report.opening import name_of, said
from transfusion.report.palette import Style, styles_of
from transfusion.report.parts import Cell, Listing, Part, Picture, Section, Table
from transfusion.report.table import schemes_of
from transfusion.runs.comparisons import are_finite
from transfusion.runs.run import donor_key
from transfusion.runs.store import RunFiles, Store, read_tensors, write_tensors
from transfusion.verdict.gabors import MOMENTS, GaborShares, gabor_shares, share_words

TITLE = "Weights and filters"
ROWS_PER_PICTURE = 4  # starts
MOST_FIT_SIDE = 11  # pixels of a filter; the fit of 64 such takes some four seconds of one core
MOST_WEIGHTS = 200_000  # per stage and start, in histograms
ENDS = ("before", "after")
Row: TypeAlias = tuple[Cell | str, ...]
Densities: TypeAlias = dict[str, Floats]


@dataclass(frozen=True)
class Trained:
    """The weights of one finished run, before and after."""

    start: str
    files: RunFiles

    @cached_property
    def before(self) -> dict[str, Tensor]:
        """At step 0."""
        return read_tensors(self.files.before_path)

    @cached_property
    def after(self) -> dict[str, Tensor]:
        """At the end."""
        return read_tensors(self.files.after_path)

    @cached_property
    def is_finite(self) -> bool:
        """Whether there is anything to show: a run that diverged holds NaN or infinite values."""
        return are_finite(self.before) and are_finite(self.after)

    @cached_property
    def stages(self) -> dict[str, str]:
        """Tensor -> stage, in order of registration."""
        return tensor_stages(self.files)

    @cached_property
    def first(self) -> str | None:
        """The first convolution's weight."""
        return first_layer(self.stages, self.before)


def section(material: Material) -> Section | None:
    """Filters and weights of every start before and after training; None without a finished run.

    Pictures are of one seed, Gabor fits of all.
    """
    every = _finished(material)
    found = _of_one_seed(every)
    trained = [run for run in found if run.is_finite]
    left_out = (*_left_out(material), *_diverged([run for run in every if not run.is_finite]))
    if not trained:
        return Section("weights", TITLE, left_out) if left_out else None
    styles = styles_of(schemes_of(material.frame))
    seed = trained[0].files.spec().seed
    parts: list[Part] = [*left_out]
    if all(run.first for run in trained):
        parts += _filters(trained, seed)
        layers = [_layers(run) for run in every if run.is_finite and run.first]
        parts += _table(material.store, layers, _donor(material, str(trained[0].first)))
    parts += _histograms(trained, styles, seed)
    return Section("weights", TITLE, tuple(parts), is_folded=True) if parts else None


def _finished(material: Material) -> list[Trained]:
    """Every finished run with all images whose weights were kept."""
    frame = material.frame
    whole = frame[frame["run"].isin(material.whole["run"])].drop_duplicates("run")
    done = {files.id: files for files in material.finished if files.has_weights}
    rows = whole[whole["run"].isin(list(done))]
    return [Trained(str(start), done[run]) for start, run in zip(rows["start"], rows["run"], strict=True)]


def _of_one_seed(every: Sequence[Trained]) -> list[Trained]:
    """Those of the first seed that has finished runs of most starts."""
    by_seed: dict[int, list[Trained]] = {}
    for run in sorted(every, key=lambda run: run.files.spec().seed):
        by_seed.setdefault(run.files.spec().seed, []).append(run)
    return max(by_seed.values(), key=lambda runs: len({run.start for run in runs}), default=[])


def _left_out(material: Material) -> tuple[str, ...]:
    """Which finished runs with all images have no weights to show, in a sentence; empty where all have."""
    whole = set(material.whole["run"])
    without = [files for files in material.finished if files.id in whole and not files.has_weights]
    names = "; ".join(name_of(files) for files in without)
    return (f"Left out, as their weights were not kept: {names}.",) if without else ()


def _diverged(trained: Sequence[Trained]) -> tuple[str, ...]:
    """Which of some runs have weights that cannot be shown, in a sentence; empty for none."""
    names = "; ".join(name_of(run.files) for run in trained)
    return (f"Left out, as their weights hold NaN or infinite values: {names}.",) if trained else ()


def _donor(material: Material, name: str) -> Tensor | None:
    """The donor's own first layer, where the study kept one under the same name."""
    for files in material.runs:
        spec = files.spec()
        if spec.donor is not None and (kept := material.store.donor_path(donor_key(spec))).exists():
            return read_tensors(kept).get(name)
    return None


def _filters(trained: Sequence[Trained], seed: int) -> Iterator[Picture]:
    """Four starts per picture, so that none grows taller than a screen or two."""
    for number, place in enumerate(range(0, len(trained), ROWS_PER_PICTURE), 1):
        some = trained[place : place + ROWS_PER_PICTURE]
        layers = {run.start: (run.before[str(run.first)], run.after[str(run.first)]) for run in some}
        count = len(next(iter(layers.values()))[0])
        shown = f"the first {MOST_FILTERS} of {count}" if count > MOST_FILTERS else f"all {count}"
        changes = [f"{start} {np.median(relative_change(*pair)):.1%}" for start, pair in layers.items()]
        moved = f"Median change of a filter relative to its size: {', '.join(changes)}."
        caption = (
            f"First-layer filters ({some[0].first}) before and after training, and their difference; {shown} filters, "
            f"n = 1 run per start, of seed {seed}. Before and after share one scale, and the difference has its own: "
            f"its largest value touches black or white however small it is. Mid-grey is a weight of 0. {moved}"
        )
        name = "filters" if len(trained) <= ROWS_PER_PICTURE else f"filters-{number}"
        draw = partial(_draw_filters, layers)
        yield Picture(name, draw, caption, f"First-layer filters. {moved}", is_photo=True)


def _draw_filters(layers: Mapping[str, tuple[Tensor, Tensor]]) -> Figure:
    return figures.filters({start: pictures(*pair) for start, pair in layers.items()})


@dataclass(frozen=True)
class Layers:
    """The first layer of one run.

    Attributes:
        start: label of its start.
        tensors: ``before``, ``after`` and their ``difference``.
    """

    start: str
    tensors: dict[str, Tensor]


def _layers(run: Trained) -> Layers:
    before, after = (weights[str(run.first)] for weights in (run.before, run.after))
    return Layers(run.start, {"before": before, "after": after, "difference": after.double() - before.double()})


def _table(store: Store, layers: Sequence[Layers], donor: Tensor | None) -> Iterator[Table | Listing]:
    """Change and Gabor fits of every start over all seeds, the donor's own, and what it comes to in words."""
    every = [tensor for own in layers for tensor in own.tensors.values()]
    if donor is not None and (donor.ndim != 4 or min(donor.shape[2:]) < LEAST_SIDE):
        donor = None  # of another network, whose tensor of that name is no convolution with a picture
    scores = scores_of(store, every if donor is None else [*every, donor])
    caption = (
        "First-layer filters over all seeds: means, with 95 % intervals of the mean in brackets where n > 1. "
        "Change is that of a filter relative to its size. Gabor-like are filters that a Gabor fits better than it fits "
        "95 % of filters with the same amplitude spectrum and random phases: 5 % is chance. 'Difference' is after "
        "minus before: what training added. R² is the median filter's, averaged over runs; by chance, that of the "
        "random-phase filters."
    )
    if not scores:
        caption += f" Fits are left out for filters over {MOST_FIT_SIDE} pixels wide, where they take minutes."
    starts = list(dict.fromkeys(own.start for own in layers))
    grouped = {start: [own.tensors for own in layers if own.start == start] for start in starts}
    rows = [_row(start, own, scores) for start, own in grouped.items()]
    if donor is not None:
        rows.append(_row_of_donor(donor, scores))
    fits = ("Gabor-like before", "Gabor-like after", "of the difference", "R² before", "R² after", "R² by chance")
    yield Table("filter-table", caption, ("start", "filters", "n", "median change", *fits), tuple(rows))
    if scores:
        found = (_shares(start, own, scores).statement for start, own in grouped.items())
        yield Listing(tuple(said(statement) for statement in found))


def scores_of(store: Store, layers: Sequence[Tensor]) -> dict[str, GaborScore]:
    """Gabor fits by a hash of their layer: starts that share a layer, such as the donor's, share the fit."""
    distinct = {key_of_layer(layer): layer for layer in layers if max(layer.shape[2:]) <= MOST_FIT_SIDE}
    fits = ((1, (key, _fitted(store.gabor_path(key), layer))) for key, layer in distinct.items())
    return dict(track(fits, "Fitting Gabors to filters", len(distinct), show=True))


def _fitted(kept: Path, layer: Tensor) -> GaborScore:
    """The fit of a layer: as kept, or made now and kept where the folder can be written to."""
    with suppress(StoreError):  # not kept yet, or damaged: it can be made again
        return GaborScore(**{name: values.numpy() for name, values in read_tensors(kept).items()})
    score = gabor_score(layer)
    with suppress(StoreError, OSError):  # a study on a read-only disk can be reported, too
        write_tensors(kept, {field.name: torch.as_tensor(getattr(score, field.name)) for field in fields(score)})
    return score


def key_of_layer(layer: Tensor) -> str:
    """The key of a layer in ``scores_of``."""
    return hashlib.blake2b(layer.contiguous().double().numpy().tobytes(), digest_size=16).hexdigest()


def _row(start: str, layers: Sequence[Mapping[str, Tensor]], scores: Mapping[str, GaborScore]) -> Row:
    """One start over its seeds."""
    count = len(layers[0]["before"])
    changes = [np.median(relative_change(own["before"], own["after"])) for own in layers]
    cells = (Cell(str(count), count), Cell(str(len(layers)), len(layers)), Cell.number(float(np.mean(changes)), ".1%"))
    if not scores:
        return (start, *cells, *_unknown(6))
    found = _shares(start, layers, scores)
    shares = [Cell(share_words(share), share.estimate) for share in (found.before, found.after, found.difference)]
    fits = {moment: [scores[key_of_layer(own[moment])] for own in layers] for moment in ("before", "after")}
    r2 = [_median([fit.r2 for fit in fits[moment]]) for moment in ("before", "after")]
    return (start, *cells, *shares, *r2, _median([fit.chance for fit in fits["after"]]))


def _row_of_donor(donor: Tensor, scores: Mapping[str, GaborScore]) -> Row:
    """The donor has no afterwards."""
    cells = (Cell(str(len(donor)), len(donor)), Cell("1", 1), *_unknown(1))
    score = scores.get(key_of_layer(donor))
    if score is None:
        return ("the donor itself", *cells, *_unknown(6))
    share = Cell(f"{100 * score.share:.0f} %", score.share)
    r2, chance = _median([score.r2]), _median([score.chance])
    return ("the donor itself", *cells, share, *_unknown(2), r2, *_unknown(1), chance)


def _unknown(num: int) -> list[Cell]:
    return [Cell.number(np.nan)] * num


def _median(values: Sequence[Floats]) -> Cell:
    """Mean over runs of the median over filters; a flat filter has none."""
    medians = [np.median(each[np.isfinite(each)]) for each in values if np.isfinite(each).any()]
    return Cell.number(float(np.mean(medians)) if medians else np.nan, ".2f")


def _shares(start: str, layers: Sequence[Mapping[str, Tensor]], scores: Mapping[str, GaborScore]) -> GaborShares:
    shares = {moment: [scores[key_of_layer(own[moment])].share for own in layers] for moment in MOMENTS}
    return gabor_shares(start, shares)


def _histograms(trained: Sequence[Trained], styles: Mapping[str, Style], seed: int) -> Iterator[Picture]:
    """Before and after training, over the same bins."""
    drawn = {(run.start, moment): _drawn(run, moment) for run in trained for moment in ENDS}
    counted = {stage: _counted(drawn, stage) for stage in next(iter(drawn.values()))}
    if not counted:
        return
    own = {run.start: styles[run.start] for run in trained}
    for moment in ENDS:
        stages = {stage: (edges, densities[moment]) for stage, (edges, densities) in counted.items()}
        caption = (
            f"Distributions of the weights of convolutions and linear layers {moment} training, stage by stage, "
            f"n = 1 run per start, of seed {seed}. Density on a logarithmic axis, over the same bins before and after; "
            f"of a stage with more than {MOST_WEIGHTS:,} weights, that many drawn at random."
        )
        spreads = [f"{start} {np.concatenate(list(drawn[start, moment].values())).std():.3f}" for start in own]
        alt = f"Distributions of weights {moment} training. Standard deviation over all stages: {', '.join(spreads)}."
        yield Picture(f"weights-{moment}", partial(figures.histograms, stages, own), caption, alt)


def _drawn(run: Trained, moment: str) -> dict[str, Floats]:
    """Stage -> its weights (tensors of two or more dimensions), or a random draw from them."""
    weights: dict[str, Tensor] = getattr(run, moment)
    by_stage: dict[str, list[Tensor]] = {}
    for name, stage in run.stages.items():
        if name in weights and weights[name].ndim > 1:
            by_stage.setdefault(stage, []).append(weights[name].flatten())
    draw = np.random.default_rng(0)  # fixed, so that a page made again is the same page
    flat = {stage: torch.cat(tensors).double().numpy() for stage, tensors in by_stage.items()}
    return {
        stage: values if len(values) <= MOST_WEIGHTS else values[draw.integers(len(values), size=MOST_WEIGHTS)]
        for stage, values in flat.items()
    }


def _counted(drawn: Mapping[tuple[str, str], Mapping[str, Floats]], stage: str) -> tuple[Floats, dict[str, Densities]]:
    """Edges of the bins of a stage, and moment -> start -> densities."""
    flat = {f"{moment} {start}": [weights[stage]] for (start, moment), weights in drawn.items()}
    edges, densities = weight_histograms(flat)
    split = {m: {start: densities[f"{m} {start}"] for start, other in drawn if other == m} for m in ENDS}
    return edges, split
