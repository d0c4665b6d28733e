"""MedMNIST's layout: one ``.npz`` file with ``train_images``, ``train_labels``, ``val_images`` and so on."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from transfusion.errors import TaskError
from transfusion.spec import TaskSpec
from transfusion.tasks import labels
from transfusion.tasks.labels import Labels
from transfusion.tasks.listing import Arrays, Entry, Listing, OnFirstUse, Problem

Shapes = dict[str, tuple[int, ...]]


def read(spec: TaskSpec, path: Path) -> Listing:
    """List the rows of a MedMNIST file: images (n, h, w) or (n, h, w, 3), labels (n,), (n, 1) or (n, labels).

    Several labels per row are judged as columns of a table are, a single one as a column; RetinaMNIST, known by its
    file name, has grades.

    Raises:
        TaskError: if the file is none of the kind.
    """
    shapes, dtype = _image_headers(path)
    values = _labels(path, list(shapes))
    told = _told(path, np.concatenate(list(values.values())), spec)
    entries, problems = _entries(shapes, values, told)
    return Listing(
        layout="npz",
        name=path.stem,
        source=spec.data,
        kind=told.kind,
        classes=told.classes,
        entries=entries,
        problems=problems,
        arrays=_arrays(path, shapes, dtype),
        notes=told.notes,
    )


def _told(path: Path, values: np.ndarray, spec: TaskSpec) -> Labels:
    texts = [["" if np.isnan(value) else f"{value:g}" for value in np.atleast_1d(row)] for row in values]
    if values.ndim == 2:
        columns = {str(place): list(column) for place, column in enumerate(zip(*texts, strict=True))}
        return labels.of_flags(columns, spec)
    column = "grade" if path.stem.lower().startswith("retina") else "label"
    return labels.of_one([text for (text,) in texts], column, spec)


def _image_headers(path: Path) -> tuple[Shapes, np.dtype[Any]]:
    """Shapes and type of the images, from the headers alone: nothing is unzipped in full."""
    shapes: Shapes = {}
    dtypes = set()
    try:
        with zipfile.ZipFile(path) as archive:
            if twice := [name for name, count in Counter(archive.namelist()).items() if count > 1]:
                raise ValueError(f"{twice[0]} occurs twice")
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
                        _check_size(archive.getinfo(member.name).file_size - member.tell(), shape, dtype)
                    shapes[split] = shape
                    dtypes.add(dtype)
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise TaskError(f"{path} is not a readable .npz file: {error}. Download or write it again.") from error
    _check_headers(path, shapes, dtypes)
    return shapes, dtypes.pop()


def _check_size(num_bytes: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """A header that promises more, or less, than follows it."""
    if num_bytes != (promised := math.prod(shape) * dtype.itemsize):
        raise ValueError(f"its header promises {promised:,} bytes of images {shape}, {num_bytes:,} follow")


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
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise TaskError(f"{path} is not a readable .npz file: {error}. Download or write it again.") from error
    except (TypeError, ValueError) as error:
        raise TaskError(f"The {split} labels in {path} cannot be read: {error}. They must be numbers.") from error
    if len({values.shape[1:] for values in labels.values()}) > 1 or values.ndim not in (1, 2):
        shapes = {split: values.shape for split, values in labels.items()}
        raise TaskError(f"The labels in {path} are of shapes {shapes}; they must be (n,), (n, 1) or (n, labels).")
    return labels


def _entries(
    shapes: Shapes, values: dict[str, np.ndarray], told: Labels
) -> tuple[tuple[Entry, ...], tuple[Problem, ...]]:
    entries, problems, start, first = [], [], 0, 0
    for split, (num_images, *_) in shapes.items():
        for row in range(min(num_images, len(values[split]))):
            label, name = told.values[first + row], f"{split}-{row}"
            if label is None:
                problems.append(Problem("label that is not usable", name, str(values[split][row])))
            elif not told.dropped[first + row]:
                entries.append(Entry(name, start + row, label, split, unjudged=told.unjudged[first + row]))
        problems += _unmatched(split, num_images, len(values[split]))
        start += num_images
        first += len(values[split])
    return tuple(entries), tuple(problems)


def _unmatched(split: str, num_images: int, num_labels: int) -> Iterator[Problem]:
    for row in range(num_labels, num_images):
        yield Problem("image without label", f"{split}-{row}")
    for row in range(num_images, num_labels):
        yield Problem("label without image", f"{split}-{row}")


def _arrays(path: Path, shapes: Shapes, dtype: np.dtype[Any]) -> Arrays:
    _, height, width, *channels = next(iter(shapes.values()))
    num_channels = channels[0] if channels else 1

    def load() -> np.ndarray:
        try:
            with np.load(path, allow_pickle=False) as file:
                images = np.concatenate([file[f"{split}_images"] for split in shapes])
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise TaskError(f"The images in {path} are damaged: {error}. Download or write the file again.") from error
        return images.reshape(-1, height, width, num_channels)

    return Arrays("npz", (path,), (height, width), num_channels, dtype, OnFirstUse(load))
