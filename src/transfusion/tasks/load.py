"""From a spec to a task: list, look, cut, decode, and report everything that is wrong at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from transfusion.errors import BadDataError, TaskError
from transfusion.files import is_passing, reading
from transfusion.spec import Normalization, TaskSpec
from transfusion.tasks import decoded, depth, disc, layouts, near, patients, pictures, seen
from transfusion.tasks.card import data_card
from transfusion.tasks.checks import contradictions, usable
from transfusion.tasks.listing import Arrays, Entry, Listing, Member, Problem
from transfusion.tasks.pictures import Facts
from transfusion.tasks.splits import SPLITS, complete, together
from transfusion.tasks.task import Split, Task
from transfusion.terms import Crop, Interpolation

DEFAULT_SIZE = 224  # what most published weights were trained on
IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), source="imagenet")
SHOWN_PROBLEMS = 10


@dataclass(frozen=True, eq=False)
class Stock:
    """The pictures of a task in the order of its splits, and how they are stored."""

    entries: tuple[Entry, ...]
    facts: tuple[Facts, ...]
    labels: np.ndarray
    splits: np.ndarray
    image_size: int
    channels: int
    dtype: np.dtype[Any]
    interpolation: Interpolation
    window: tuple[int, int] | None = None
    crop: Crop = "square"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of all images together."""
        return len(self.entries), self.image_size, self.image_size, self.channels

    @property
    def content(self) -> list[object]:
        """What decides the pixels."""
        pixels: list[object] = [self.shape, self.dtype.name, self.interpolation, self.window]
        return [[fact.digest for fact in self.facts], *pixels, *([self.crop] if self.crop != "square" else [])]


def outside(data: str) -> AbstractContextManager[None]:
    """The boundary to a user's data: whatever reading them raises becomes one line."""
    return reading(data, "Restore the file, or write it again.", TaskError)


def load(spec: TaskSpec, cache: str | Path | None = None, progress: bool = False) -> Task:
    """Make images and labels ready to train on; quick when they have been seen before.

    Args:
        spec: which data, and how to read them. If it carries a fingerprint, the data must still have it.
        cache: folder for decoded images; default ``TRANSFUSION_CACHE`` or the user's cache folder.
        progress: show a bar on terminals where it takes more than two seconds.

    Returns:
        The task.

    Raises:
        BadDataError: listing every file and label that cannot be used, unless ``spec.leave_out_bad``.
        TaskError: if the data are in no known layout, too few, or not those of ``spec.fingerprint``.
        SpecError: if settings contradict each other or the data.

    Examples:
        >>> from transfusion.spec import Normalization, TaskSpec
        >>> task = load(TaskSpec(data="embedded:fundus", image_size=32, num_images=(40, 10, 10)))
        >>> task.kind, task.splits["train"].images.shape
        ('graded', (40, 32, 32, 3))
    """
    folder = decoded.folder(cache)
    listing = check(spec)
    memo = decoded.FactsMemo(folder, spec.data, pictures.inspect, pictures.hash_file)
    # some files show only on decoding that they are damaged: they are remembered, and the splits cut without them
    while True:
        facts = _look(memo, folder, listing, progress, spec.max_megapixels)
        known = patients.from_headers(listing, facts, spec)
        known, clashes, bad = _clashes(known, facts, spec)
        problems = [*known.problems, *_unreadable(known.entries, facts), *clashes]
        stock = _stock(spec, known, facts, problems, bad)
        try:
            images, notes = _spread(folder, stock, _images(folder, listing.arrays, stock, progress), progress)
            break
        except decoded.IncompleteError as error:
            memo.condemn({_path(stock.entries[row]): why for row, why in error.errors.items()})
    _refuse(spec, known, problems)
    if known.layout != "embedded":  # those are drawn one by one
        found = near.hashes(folder / f"near-{decoded.key_of(stock.content)}.json", images, progress)
        digests = [fact.digest for fact in stock.facts]
        notes += near.notes(found, digests, stock.splits)
        notes += seen.notes(folder, digests, seen.reading_of(spec.data, digests, stock.labels, stock.splits))
    told = replace(known, notes=(*known.notes, *_header_notes(facts), *notes))
    return _task(spec, told, stock, images, folder, problems)


def check(spec: TaskSpec) -> Listing:
    """Find the pictures and labels, and refuse what names and folders alone show to be wrong; no picture is opened.

    Raises:
        BadDataError, TaskError, SpecError: as ``load``.
    """
    if spec.crop == "circle":
        disc.check()
    with outside(spec.data):
        listing = usable(layouts.read(spec), spec)
    _refuse(spec, listing, listing.problems)
    return listing


def _look(memo: decoded.FactsMemo, folder: Path, listing: Listing, progress: bool, max_megapixels: int) -> list[Facts]:
    arrays = listing.arrays
    if arrays is None:
        return [_sized(fact, max_megapixels) for fact in memo.of([_path(entry) for entry in listing.entries], progress)]
    digest = decoded.key_of(arrays.identity, [memo.of_file(path).digest for path in arrays.files])
    mode = ("L" if arrays.channels == 1 else "RGB") + (";16" if arrays.dtype == np.uint16 else "")
    rows = [int(str(entry.source)) for entry in listing.entries]
    # drawn pictures need no hash of pixels: their place decides them
    contents = _row_hashes(folder, arrays, digest, rows) if arrays.files else [f"{digest}:{row}" for row in rows]
    return [Facts(content, mode, *arrays.size[::-1]) for content in contents]


def _row_hashes(folder: Path, arrays: Arrays, digest: str, rows: Sequence[int]) -> list[str]:
    """Hashes of pictures among arrays, remembered: identical ones are reported as identical files are."""

    def make() -> list[str]:
        found: list[str] = []
        for start in range(0, len(rows), decoded.CHUNK):
            found += map(pictures.hash_pixels, _read_rows(arrays, rows[start : start + decoded.CHUNK]))
        return found

    found = decoded.remembered(folder / f"rows-{decoded.key_of(digest, list(rows))}.json", make)
    return [str(content) for content in found]


def _read_rows(arrays: Arrays, rows: Sequence[int]) -> Sequence[np.ndarray]:
    with outside(str(arrays.files[0]) if arrays.files else arrays.identity):
        return arrays.read(rows)


def _clashes(listing: Listing, facts: Sequence[Facts], spec: TaskSpec) -> tuple[Listing, list[Problem], set[int]]:
    """Equal pictures with different labels. Among arrays, which nobody can correct, they are kept and noted."""
    problems, rows = contradictions(listing, facts)
    if listing.arrays is None or spec.leave_out_bad or not problems:
        return listing, problems, rows
    note = f"{len(rows)} pictures have different labels for the same content ({problems[0]}); they are kept."
    return replace(listing, notes=(*listing.notes, note)), [], set()


def _sized(fact: Facts, max_megapixels: int) -> Facts:
    """A picture that takes more memory than was bargained for is not read; the memo never holds this."""
    needed = math.ceil(fact.width * fact.height / 1e6)
    if fact.error or needed <= max_megapixels:
        return fact
    why = f"{fact.width} x {fact.height} pixels; --set task.max_megapixels={needed} reads it"
    return fact._replace(error=why)


def _header_notes(facts: Sequence[Facts]) -> list[str]:
    counts = Counter(fact.note for fact in facts if fact.note)
    return [f"{count} files have {note}." for note, count in counts.items()]


def _path(entry: Entry) -> Path | Member:
    assert not isinstance(entry.source, int)
    return entry.source


def _unreadable(entries: Sequence[Entry], facts: Sequence[Facts]) -> list[Problem]:
    pairs = zip(entries, facts, strict=True)
    return [Problem("unreadable file", entry.name, fact.error) for entry, fact in pairs if fact.error]


def _stock(
    spec: TaskSpec, listing: Listing, facts: Sequence[Facts], problems: Sequence[Problem], bad: set[int]
) -> Stock:
    """Cut the readable pictures into splits and put them in order."""
    pairs = enumerate(zip(listing.entries, facts, strict=True))
    good = [pair for row, pair in pairs if not pair[1].error and row not in bad]
    if not good:
        _refuse(spec, listing, problems)
        raise TaskError(f"{listing.source} has no picture that can be read. {problems[0]}.")
    labels = _labels([entry for entry, _ in good], listing)
    try:
        splits = _cut(spec, listing, good, labels)
    except TaskError:
        _refuse(spec, listing, problems)
        raise
    # splits side by side, so that each is one slice of the memory map
    order = sorted(range(len(good)), key=lambda row: SPLITS.index(splits[row]))
    return Stock(
        entries=tuple(good[row][0] for row in order),
        facts=tuple(good[row][1] for row in order),
        labels=labels[order],
        splits=splits[order],
        image_size=spec.image_size or (min(listing.arrays.size) if listing.arrays else DEFAULT_SIZE),
        channels=spec.channels or (1 if all(fact.is_grey for _, fact in good) else 3),
        # one deep picture decides for all
        dtype=np.dtype(np.uint16 if any(fact.is_deep for _, fact in good) else np.uint8),
        interpolation=spec.interpolation or "bilinear",
        window=spec.window,
        crop=spec.crop,
    )


def _labels(entries: Sequence[Entry], listing: Listing) -> np.ndarray:
    index = {name: place for place, name in enumerate(listing.classes)}
    if listing.kind != "multilabel":
        return np.array([index[str(entry.label)] for entry in entries], dtype=np.int64)
    labels = np.zeros((len(entries), len(index)), dtype=np.float32)
    for row, entry in enumerate(entries):
        labels[row, [index[name] for name in entry.label]] = 1
        labels[row, [index[name] for name in entry.unjudged]] = np.nan
    return labels


def _cut(spec: TaskSpec, listing: Listing, good: Sequence[tuple[Entry, Facts]], labels: np.ndarray) -> np.ndarray:
    units = together([entry.patient for entry, _ in good], [fact.digest for _, fact in good])
    fractions = {"val": spec.val_fraction, "test": spec.test_fraction}
    if listing.layout == "embedded":  # a split of 0 pictures was asked for, not left out
        fractions = dict.fromkeys(fractions, 0.0)
    return complete([entry.split for entry, _ in good], labels, units, fractions, spec.split_seed)


def _images(folder: Path, arrays: Arrays | None, stock: Stock, progress: bool) -> np.ndarray:
    def scaled(pixels: np.ndarray) -> np.ndarray:
        shown = disc.square(pixels) if stock.crop == "circle" else pixels
        return pictures.fit(shown, stock.image_size, stock.interpolation)

    def from_file(row: int) -> np.ndarray | str:
        path = _path(stock.entries[row])
        try:
            return scaled(pictures.read(path, stock.image_size, stock.channels, stock.dtype))
        except disc.NoDiscError as error:
            raise TaskError(f"{path}: {error}, so it has no disc. Leave it out (task.leave_out).") from error
        except Exception as error:  # damaged files make Pillow raise almost anything
            if is_passing(error):
                raise decoded.passing_trouble({path: error}) from error
            return pictures.reason(error)

    def read(rows: range) -> list[np.ndarray | str]:
        if arrays is None:
            return [from_file(row) for row in rows]
        whole = _read_rows(arrays, [int(str(stock.entries[row].source)) for row in rows])
        shown = (pictures.as_channels(pixels, stock.channels) for pixels in whole)
        return [scaled(pixels) for pixels in shown]

    path = folder / f"images-{decoded.key_of(stock.content)}.npy"  # by content: studies share it
    return decoded.images(path, stock.shape, stock.dtype, read, progress)


def _spread(folder: Path, stock: Stock, images: np.ndarray, progress: bool) -> tuple[np.ndarray, list[str]]:
    """Spread the range that deep pictures use, or the user's window, over all 16 bits."""
    deep = np.array([fact.is_deep and not fact.is_windowed for fact in stock.facts])
    if not deep.any():
        return images, []
    key = decoded.key_of(stock.content)
    top = depth.range_used(folder / f"range-{key}.json", images, deep)
    window = stock.window or depth.window_of(top)
    if window is None:
        return images, []

    def read(rows: range) -> list[np.ndarray | str]:
        return [depth.spread(images[row], window) if deep[row] else images[row] for row in rows]

    path = folder / f"images-{decoded.key_of(stock.content, window)}.npy"
    how = "as task.window says" if stock.window else "the smallest usual depth; task.window changes that"
    note = f"16-bit pictures have values up to {top} of 65535, and are rescaled from {window[0]} to {window[1]}: {how}."
    return decoded.images(path, stock.shape, stock.dtype, read, progress), [note]


def _refuse(spec: TaskSpec, listing: Listing, problems: Sequence[Problem]) -> None:
    if not problems or spec.leave_out_bad:
        return
    sorts = ", ".join(f"{sort}: {count}" for sort, count in Counter(problem.sort for problem in problems).items())
    shown = "; ".join(str(problem) for problem in problems[:SHOWN_PROBLEMS])
    more = f"; and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
    raise BadDataError(
        f"{listing.source} has {len(problems)} problems ({sorts}): {shown}{more}. "
        "Correct them, or leave them out with task.leave_out_bad (--set task.leave_out_bad=true).",
        map(str, problems),
    )


def _task(
    spec: TaskSpec, listing: Listing, stock: Stock, images: np.ndarray, folder: Path, problems: Sequence[Problem]
) -> Task:
    splits = {name: _split(name, stock, images) for name in SPLITS}
    normalization = _normalization(spec, stock, splits, folder)
    return Task(
        name=listing.name,
        kind=listing.kind,
        classes=listing.classes,
        channels=stock.channels,
        image_size=stock.image_size,
        positive=listing.positive,
        splits=splits,
        mean=normalization.mean,
        std=normalization.std,
        fingerprint=_fingerprint(spec, listing, stock, normalization),
        card=data_card(listing, stock.facts, splits, [str(problem) for problem in problems])
        | {"normalization": _told(normalization, stock.interpolation)},
    )


def _split(name: str, stock: Stock, images: np.ndarray) -> Split:
    rows = np.flatnonzero(stock.splits == name)
    here = slice(rows[0], rows[-1] + 1) if len(rows) else slice(0)
    entries = stock.entries[here]
    known = bool(stock.entries[0].patient)
    return Split(
        images=images[here],
        labels=stock.labels[here],
        patients=tuple(str(entry.patient) for entry in entries) if known else None,
        names=tuple(entry.name for entry in entries),
    )


def _fingerprint(spec: TaskSpec, listing: Listing, stock: Stock, normalization: Normalization) -> str:
    settings = [listing.kind, listing.classes, listing.positive, normalization.mean, normalization.std]
    found = decoded.key_of(stock.content, stock.labels.tolist(), stock.splits.tolist(), settings)
    if spec.fingerprint not in (None, found):
        raise TaskError(
            f"{spec.data} is not what this spec was made for: its fingerprint is {found}, the spec's "
            f"{spec.fingerprint}. Restore the images, labels and settings, or start a new study."
        )
    return found


def _normalization(spec: TaskSpec, stock: Stock, splits: Mapping[str, Split], folder: Path) -> Normalization:
    if isinstance(spec.normalize, Normalization):
        return spec.normalize.for_channels(stock.channels)
    if spec.normalize == "imagenet":
        return IMAGENET.for_channels(stock.channels)
    key = decoded.key_of(stock.content, stock.splits.tolist())
    images = next(split.images for split in splits.values() if len(split))  # the training images, if any
    mean, std = decoded.moments(folder / f"moments-{key}.json", images)
    return Normalization(mean=mean, std=std, source="task")


def _told(normalization: Normalization, interpolation: Interpolation) -> dict[str, Any]:
    values = normalization.model_dump(mode="json")
    return {"mean": values["mean"], "std": values["std"], "interpolation": interpolation, "from": values["source"]}
