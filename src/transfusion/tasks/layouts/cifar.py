"""CIFAR-10 and CIFAR-100 as torchvision unpacks them: ``cifar-10-batches-py``, ``cifar-100-python``.

The batches are pickles. They are read by an unpickler that knows NumPy arrays and nothing else.
"""

from __future__ import annotations

import codecs
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from transfusion.errors import TaskError, UnsafeFileError
from transfusion.spec import TaskSpec
from transfusion.tasks.listing import Arrays, Entry, Listing, OnFirstUse


class Edition(NamedTuple):
    """File names and keys of one of the two data sets."""

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: bytes
    meta: str
    names: bytes


EDITIONS = {
    "cifar10": Edition(
        "cifar-10-batches-py",
        tuple(f"data_batch_{i}" for i in range(1, 6)),
        ("test_batch",),
        b"labels",
        "batches.meta",
        b"label_names",
    ),
    "cifar100": Edition("cifar-100-python", ("train",), ("test",), b"fine_labels", "meta", b"fine_label_names"),
}
_RECONSTRUCT = np.empty(0).__reduce__()[0]
# all that the published batches ask for; NumPy 2 renamed its core, old files keep the old name
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,  # how Python 2 strings come in pickles of Python 3
}


class ArrayUnpickler(pickle.Unpickler):
    """Reads builtin containers and NumPy arrays; anything else is refused before it runs."""

    def find_class(self, module: str, name: str) -> Any:
        """Look up one of the allowed names.

        Raises:
            UnsafeFileError: for every other.
        """
        if (module, name) not in _ALLOWED:
            raise UnsafeFileError(f"it asks for {module}.{name}; a CIFAR batch needs NumPy arrays only")
        return _ALLOWED[module, name]


def find(root: Path) -> tuple[str, Path] | None:
    """The data set and its folder, at ``root`` or right below."""
    for name, edition in EDITIONS.items():
        for folder in (root, root / edition.folder):
            if all((folder / file).is_file() for file in (*edition.train, *edition.test, edition.meta)):
                return name, folder
    return None


def read(spec: TaskSpec, root: Path) -> Listing:
    """List CIFAR; the fine labels of CIFAR-100.

    Raises:
        TaskError: if the batches are missing or damaged.
        UnsafeFileError: if one is not what its publishers made.
    """
    found = find(root)
    if found is None:
        folders = " or ".join(edition.folder for edition in EDITIONS.values())
        raise TaskError(f"{root} holds no complete {folders}. Unpack the python version of CIFAR there.")
    name, folder = found
    edition = EDITIONS[name]
    classes = _classes(folder / edition.meta, edition)
    batches = {"train": edition.train, "test": edition.test}
    entries: list[Entry] = []
    for split, files in batches.items():
        labels = [label for file in files for label in _labels(folder / file, edition, len(classes))]
        start = len(entries)
        entries += (Entry(f"{split}-{row}", start + row, classes[label], split) for row, label in enumerate(labels))
    paths = tuple(folder / file for files in batches.values() for file in files)
    # 180 MB, not needed where the cache has them
    pixels = OnFirstUse(lambda: np.concatenate([_pixels(path) for path in paths]))
    return Listing(
        layout="cifar",
        name=name,
        source=spec.data,
        kind="multiclass",
        classes=classes,
        entries=tuple(entries),
        arrays=Arrays(name, paths, (32, 32), 3, np.dtype(np.uint8), pixels),
    )


def unpickle(path: Path) -> dict[bytes, Any]:
    """Read one batch.

    Raises:
        TaskError: if it is damaged.
        UnsafeFileError: if it holds more than arrays.
    """
    try:
        with path.open("rb") as file:
            batch: object = ArrayUnpickler(file, encoding="bytes").load()
    except UnsafeFileError as error:
        raise UnsafeFileError(f"{path} is refused: {error}. Download CIFAR again.") from None
    except Exception as error:  # a damaged pickle raises almost anything
        raise TaskError(f"{path} is damaged: {error}. Download CIFAR again.") from error
    if not isinstance(batch, dict):
        raise TaskError(
            f"{path} is damaged: it holds {type(batch).__name__}, not arrays by name. Download CIFAR again."
        )
    return batch


def _classes(path: Path, edition: Edition) -> tuple[str, ...]:
    """The names of the classes.

    Raises:
        TaskError: if the file is not what its publishers made.
    """
    names = unpickle(path).get(edition.names)
    if (
        not isinstance(names, list)
        or len(names) < 2
        or not all(isinstance(name, bytes) and name.isascii() for name in names)
    ):
        raise TaskError(f"{path} is damaged: it needs the names of two classes or more. Download CIFAR again.")
    return tuple(name.decode() for name in names)


def _labels(path: Path, edition: Edition, num_classes: int) -> list[int]:
    """The labels of one batch, as many as it has pictures.

    Raises:
        TaskError: if the batch is not what its publishers made.
    """
    batch = unpickle(path)
    labels, data = batch.get(edition.labels), batch.get(b"data")
    if (
        not isinstance(data, np.ndarray)
        or not isinstance(labels, list)
        or data.dtype != np.uint8
        or data.shape != (len(labels), 3 * 32 * 32)
        or not all(isinstance(label, int) and 0 <= label < num_classes for label in labels)
    ):
        raise TaskError(
            f"{path} is damaged: it needs bytes of shape (n, 3072) and n labels in 0..{num_classes - 1}. "
            "Download CIFAR again."
        )
    return list(labels)


def _pixels(path: Path) -> np.ndarray:
    planes: np.ndarray = unpickle(path)[b"data"].reshape(-1, 3, 32, 32)
    images: np.ndarray = planes.transpose(0, 2, 3, 1)
    return images
