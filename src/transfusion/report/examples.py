"""The section of test images that were classified right and wrong, as the network saw them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transfusion import tasks
from transfusion.errors import TransfusionError
from transfusion.files import write_text
from transfusion.report.blocks import FIGURES
from transfusion.report.material import Material
from transfusion.report.parts import Card, Fold, Gallery, Part, Section
from transfusion.report.thresholds import Judged
from transfusion.tasks import Split, Task
from transfusion.verdict.numbers import SHARE, number

RIGHT, WRONG, WORST = 4, 4, 12
NAMES = "worst-errors.csv"
TITLE = "Right and wrong, in pictures"


@dataclass(frozen=True)
class Case:
    """One image and one question about it.

    Attributes:
        row: of the test split.
        truth, called: in words; the call is that of the leading start.
        probabilities: start -> probability that it gives to the truth, mean over its trainings.
    """

    row: int
    truth: str
    called: str
    probabilities: dict[str, float]

    @property
    def leading(self) -> float:
        """The probability that the leading start gives to the truth."""
        return next(iter(self.probabilities.values()))

    @property
    def is_right(self) -> bool:
        """Whether the leading start says what is true."""
        return self.truth == self.called


def section(material: Material) -> Section | None:
    """Four right and four wrong, and the worst errors; None where images are not shown or nothing was predicted."""
    found = Judged.of(material) if material.shows_images else None
    if found is None or not found.pair:
        return None
    labels = found.by_start[found.pair[0]][0].labels
    task = images_of(material)
    split = None if task is None else task.splits[material.spec.train.eval_split]
    # predictions are by row: pictures of another order would stand beside other people's labels
    if task is None or split is None or not np.array_equal(split.labels, labels, equal_nan=True):
        said = "Images are not shown: they are not where the study found them, or have changed since."
        return Section("examples", TITLE, (said,))
    cases = list(judged_cases(found))
    return Section("examples", TITLE, tuple(_parts(material, found, task, split, cases)))


def images_of(material: Material) -> Task | None:
    """The images of the study, by the fingerprint that its runs carry; None where these are no longer there."""
    spec = material.finished[0].spec().task
    try:
        return tasks.load(spec, material.cache, progress=True) if spec.fingerprint else None
    except TransfusionError:  # a page of old results must not need the data
        return None


def _parts(material: Material, found: Judged, task: Task, split: Split, cases: Sequence[Case]) -> Iterator[Part]:
    right, wrong = _usual([case for case in cases if case.is_right]), worst(cases)
    lead = found.pair[0]
    size = f"{task.image_size} x {task.image_size} px"
    yield (
        f"Test images at the {size} that the network saw. Below each: its class, and the probability that each start "
        f"gives to that class, mean over its trainings. Right and wrong are judged by {lead}. These are your images: "
        "remove them before you share the page with anyone who may not see them (transfusion report --no-examples)."
    )
    yield Gallery(f"Right ({sum(case.is_right for case in cases):,})", tuple(_card(case, split) for case in right))
    if not wrong:
        yield f"{lead} classifies every test image correctly."
        return
    num = sum(not case.is_right for case in cases)
    yield Gallery(f"Wrong ({num:,}), most confident first", tuple(_card(case, split) for case in wrong[:WRONG]))
    _write_names(material, split, wrong)
    if rest := wrong[WRONG:WORST]:
        where = f"{FIGURES}/{NAMES} beside the page names their files."
        cards = tuple(_card(case, split) for case in rest)
        yield Fold(f"The next {len(rest)} worst errors", (Gallery(f"Errors, most confident first. {where}", cards),))


def judged_cases(found: Judged) -> Iterator[Case]:
    """Every image that is judged, of several labels each of them."""
    first = found.by_start[found.pair[0]][0]
    if found.rule.kind == "multiclass":
        yield from _of_classes(found, first.labels.astype(int))
        return
    means = {start: _mean([model.probabilities for model in found.by_start[start]]) for start in found.pair}
    # NaN: labels that are unknown, of which no answer is right or wrong
    for row, event in np.argwhere(~np.isnan(first.outcomes)).tolist():
        outcome = first.outcomes[row, event] == 1
        given = {start: float(mean[row, event] if outcome else 1 - mean[row, event]) for start, mean in means.items()}
        names = _answers(found, event)
        called = outcome if given[found.pair[0]] >= 0.5 else not outcome
        yield Case(row, names[int(outcome)], names[int(called)], given)


def _answers(found: Judged, event: int) -> tuple[str, str]:
    """What the two answers to an event are called."""
    name, classes = found.names[event], found.rule.classes
    if found.rule.kind == "binary" and len(classes) == 2:
        return classes[1 - classes.index(name)], name
    return f"not {name}", name


def _of_classes(found: Judged, labels: NDArray[np.int64]) -> Iterator[Case]:
    means = {start: _mean([model.scores for model in found.by_start[start]]) for start in found.pair}
    called = means[found.pair[0]].argmax(1)
    for row, label in enumerate(labels):
        given = {start: float(mean[row, label]) for start, mean in means.items()}
        yield Case(row, found.rule.classes[label], found.rule.classes[called[row]], given)


def _mean(arrays: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.asarray(np.mean(arrays, axis=0), np.float64)


def _usual(cases: Sequence[Case]) -> list[Case]:
    """A few cases of as many classes as possible, each of typical confidence for its class."""
    by_truth: dict[str, list[Case]] = {}
    for case in sorted(cases, key=lambda case: case.leading):
        by_truth.setdefault(case.truth, []).append(case)
    each = -(-RIGHT // max(1, len(by_truth)))
    picked = [own[len(own) * (place + 1) // (each + 1)] for own in by_truth.values() for place in range(each)]
    return list({case.row: case for case in picked}.values())[:RIGHT]  # with several labels an image may come up twice


def worst(cases: Sequence[Case]) -> list[Case]:
    """Errors, most confident first, each image once."""
    wrong = sorted((case for case in cases if not case.is_right), key=lambda case: (case.leading, case.row))
    first: dict[int, Case] = {}
    for case in wrong:
        first.setdefault(case.row, case)
    return list(first.values())


def _card(case: Case, split: Split) -> Card:
    called = "" if case.is_right else f"called {case.called}"
    given = [f"{start} {number(value, SHARE)}" for start, value in case.probabilities.items()]
    alt = f"Test image {case.row + 1}: {case.truth}" + (f", {called}" if called else "")
    return Card(png(np.asarray(split.images[case.row])), alt, case.truth, tuple(filter(None, [called, *given])))


def png(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """An image of (height, width, channels) as a PNG file of as many pixels; 16 bits lose their lower half."""
    values = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    file = io.BytesIO()
    Image.fromarray(values[..., :3].squeeze() if values.shape[-1] != 2 else values[..., 0]).save(file, "png")
    return file.getvalue()


def _write_names(material: Material, split: Split, wrong: Sequence[Case]) -> None:
    """On disk only: names of files may be names of patients."""
    folder = material.folder or material.store.folder
    starts = list(wrong[0].probabilities)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["image", "truth", "called", *(f"probability of the truth, {start}" for start in starts)])
    for case in wrong[:WORST]:
        writer.writerow(
            [split.names[case.row], case.truth, case.called, *(f"{v:.4f}" for v in case.probabilities.values())]
        )
    write_text(folder / FIGURES / NAMES, text.getvalue())
