"""MedMNIST's layout: one ``.npz`` file with ``train_images``, ``train_labels``, ``val_images`` and so on."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from transfusion.errors import TaskError
from transfusion.spec import TaskSpec
from transfusion.tasks.layouts.disk import natural_order
from transfusion.tasks.listing import Arrays, Entry, Label, Listing, OnFirstUse, Problem
from transfusion.terms import Kind

FIRST_REFERABLE_GRADE = 2
Shapes = dict[str, tuple[int, ...]]


def read(spec: TaskSpec, path: Path) -> Listing:
    """List the rows of a MedMNIST file: images (n, h, w) or (n, h, w, 3), labels (n,), (n, 1) or (n, labels).

    Several labels per row are ``multilabel``. Of the single ones, two values are ``binary``, more are
    ``multiclass``; RetinaMNIST, known by its file name, is ``graded``.

    Raises:
        TaskError: if the file is none of the kind.
    """
    shapes, dtype = _image_headers(path)
    labels = _labels(path, list(shapes))
    entries, problems = _entries(shapes, labels)
    classes = tuple(sorted({name for values in labels.values() for name in _names(values)}, key=natural_order))
    kind = _kind(path, next(iter(labels.values())), len(classes))
    return Listing(
        layout="npz",
        name=path.stem,
        source=spec.data,
        kind=kind,
        classes=classes,
        entries=entries,
        positive=FIRST_REFERABLE_GRADE if kind == "graded" else None,
        problems=problems,
        arrays=_arrays(path, shapes, dtype),
    )


def _image_headers(path: Path) -> tuple[Shapes, np.dtype[Any]]:
    """Shapes and type of the images, from the headers alone: nothing is unzipped in full."""
    shapes: Shapes = {}
    dtypes = set()
    try:
        with zipfile.ZipFile(path) as archive:
            for split in ("train", "val", "test"):
                if f"{split}_images.npy" in archive.namelist():
                    with archive.open(f"{split}_images.npy") as member:
                        version = np.lib.format.read_magic(member)
                        header = (
                            np.lib.format.read_array_header_1_0
                            if version == (1, 0)
                            else np.lib.format.read_array_header_2_0
                        )
                        shape, _, dtype = header(member)
                    shapes[split] = shape
                    dtypes.add(dtype)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise TaskError(f"{path} is not a readable .npz file: {error}. Download or write it again.") from error
    _check_headers(path, shapes, dtypes)
    return shapes, dtypes.pop()


def _check_headers(path: Path, shapes: Shapes, dtypes: set[np.dtype[Any]]) -> None:
    needed = "It needs train_images and train_labels (and the same for val and test), as MedMNIST has them."
    if "train" not in shapes:
        raise TaskError(f"{path} has no array 'train_images'. {needed}")
    if dtypes - {np.dtype(np.uint8), np.dtype(np.uint16)} or len(dtypes) > 1:
        found = ", ".join(sorted(str(dtype) for dtype in dtypes))
        raise TaskError(f"The images in {path} are {found}; they must be uint8 or uint16.")
    if any(len(shape) not in (3, 4) or shape[3:] not in ((), (1,), (3,)) for shape in shapes.values()):
        raise TaskError(f"The images in {path} are of shapes {shapes}; they must be (n, h, w) or (n, h, w, 3).")
    if len({shape[1:] for shape in shapes.values()}) > 1:
        raise TaskError(f"The splits in {path} differ in image shape: {shapes}. They must be alike.")


def _labels(path: Path, splits: Sequence[str]) -> dict[str, np.ndarray]:
    labels = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for split in splits:
                values = np.asarray(arrays[f"{split}_labels"], dtype=np.float64)
                labels[split] = values[:, 0] if values.shape[1:] == (1,) else values
    except KeyError as error:
        raise TaskError(f"{path} has no array '{split}_labels' beside '{split}_images'.") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise TaskError(f"The {split} labels in {path} cannot be read: {error}. They must be numbers.") from error
    if len({values.shape[1:] for values in labels.values()}) > 1 or values.ndim not in (1, 2):
        shapes = {split: values.shape for split, values in labels.items()}
        raise TaskError(f"The labels in {path} are of shapes {shapes}; they must be (n,), (n, 1) or (n, labels).")
    return labels


def _names(values: np.ndarray) -> Sequence[str]:
    if values.ndim == 2:
        return [str(column) for column in range(values.shape[1])]
    return [f"{value:g}" for value in np.unique(values[np.isfinite(values)])]


def _kind(path: Path, values: np.ndarray, num_classes: int) -> Kind:
    if values.ndim == 2:
        return "multilabel"
    if path.stem.lower().startswith("retina"):
        return "graded"
    return "binary" if num_classes == 2 else "multiclass"


def _entries(shapes: Shapes, labels: dict[str, np.ndarray]) -> tuple[tuple[Entry, ...], tuple[Problem, ...]]:
    entries, problems, start = [], [], 0
    for split, (num_images, *_) in shapes.items():
        values = labels[split]
        for row, value in enumerate(values[:num_images]):
            name = f"{split}-{row}"
            label = _label(value)
            if label is None:
                problems.append(Problem("label that is not usable", name, str(value)))
            else:
                entries.append(Entry(name, start + row, label, split))
        problems += _unmatched(split, num_images, len(values))
        start += num_images
    return tuple(entries), tuple(problems)


def _label(value: np.ndarray) -> Label | None:
    if value.ndim == 0:
        return f"{value:g}" if float(value).is_integer() else None
    if np.isin(value, (0, 1)).all():
        return tuple(str(column) for column in np.flatnonzero(value))
    return None


def _unmatched(split: str, num_images: int, num_labels: int) -> Iterator[Problem]:
    for row in range(num_labels, num_images):
        yield Problem("image without label", f"{split}-{row}")
    for row in range(num_images, num_labels):
        yield Problem("label without image", f"{split}-{row}")


def _arrays(path: Path, shapes: Shapes, dtype: np.dtype[Any]) -> Arrays:
    _, height, width, *channels = next(iter(shapes.values()))
    num_channels = channels[0] if channels else 1

    def load() -> np.ndarray:
        with np.load(path, allow_pickle=False) as file:
            images = np.concatenate([file[f"{split}_images"] for split in shapes])
        return images.reshape(-1, height, width, num_channels)

    return Arrays("npz", (path,), (height, width), num_channels, dtype, OnFirstUse(load))
