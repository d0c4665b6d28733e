"""One module per layout: each reads a spec and answers with a listing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from transfusion.errors import SpecError, TaskError, UnknownNameError
from transfusion.files import expanded, odd_sort
from transfusion.spec import TaskSpec
from transfusion.tasks.layouts import cifar, embedded, eyepacs, folder, imagefolder, nih, npz, parquet, published, table
from transfusion.tasks.layouts.disk import files_below, instead, subfolders
from transfusion.tasks.layouts.sheet import is_table
from transfusion.tasks.listing import Listing

# by the name that `task.layout` has; which of them `auto` takes is up to `detect`
READERS: dict[str, Callable[[TaskSpec, Path], Listing]] = {
    "folder": folder.read,
    "csv": table.read,
    "npz": npz.read,
    "imagefolder": imagefolder.read,
    "parquet": parquet.read,
    "nih": nih.read,
    "eyepacs": eyepacs.read,
    "cifar": cifar.read,
    "published": published.read,
}
OF_FILE = {".npz": "npz", ".parquet": "parquet"} | dict.fromkeys((".jsonl", ".xlsx"), "csv")
OF_TABLES = ("labels", "image_column", "label_column", "patient_column", "split_column")
IDLE = {
    "folder": OF_TABLES[1:],
    "csv": ("label_pattern",),
    "imagefolder": ("labels", "label_pattern"),
    "parquet": ("labels", "label_pattern"),
    "published": ("labels", "label_pattern"),
    "nih": ("split_column", "label_pattern"),  # patients and splits are the publisher's
    "eyepacs": ("patient_column", "split_column", "label_pattern"),
    "npz": (*OF_TABLES, "label_pattern", "patient_pattern"),
    "cifar": (*OF_TABLES, "label_pattern", "patient_pattern"),
    "embedded": (*OF_TABLES, "label_pattern", "patient_pattern"),
}
KNOWN = (
    "class folders (train/NORMAL/a.png or NORMAL/a.png), an .npz file with train_images and train_labels, a table "
    "(.csv, .xlsx) beside its pictures, Hugging Face's image folders and Parquet files, ChestX-ray14 "
    "(Data_Entry_2017.csv), EyePACS (trainLabels.csv), CIFAR's python folders, or embedded:NAME"
)


def read(spec: TaskSpec) -> Listing:
    """List the data that ``spec`` names.

    Raises:
        UnknownNameError: if there is no layout of that name.
        TaskError: if there are no data, or they are laid out in no known way.
    """
    if spec.layout not in (known := ("auto", "embedded", *READERS)):
        raise UnknownNameError.of("layout", spec.layout, known)
    if not spec.data.strip():
        raise TaskError(f"No data are given. Give the path of {KNOWN}.")
    if spec.layout == "embedded" or spec.data.startswith("embedded:"):
        _refuse_idle("embedded", spec)
        return embedded.read(spec)
    root = expanded(spec.data)
    if sort := odd_sort(root):
        raise TaskError(f"{root} is {sort}, neither a file nor a folder. Give the path of {KNOWN}.")
    if not root.exists():
        raise TaskError(f"{root} does not exist. Give the path of {KNOWN}.")
    layout = detect(root, spec) if spec.layout == "auto" else spec.layout
    _refuse_idle(layout, spec)
    return READERS[layout](spec, root)


def _refuse_idle(layout: str, spec: TaskSpec) -> None:
    """A setting that this layout never reads was meant for something.

    Raises:
        SpecError: if there is one.
    """
    idle = [name for name in IDLE.get(layout, ()) if getattr(spec, name) not in (None, "none")]
    if idle:
        raise SpecError(
            f"task.{idle[0]} '{getattr(spec, idle[0])}' does not apply to the layout '{layout}', which is that of "
            f"{spec.data}. Leave it out, or say which layout is meant (task.layout)."
        )


def detect(root: Path, spec: TaskSpec) -> str:
    """Tell which layout lies at ``root``.

    A CSV file whose rows name pictures wins over class folders, which may be mere parts of one set of pictures
    (``images_001``) or patients.

    Raises:
        TaskError: if it is none of the known ones.
    """
    if root.is_file():
        if is_table(root):
            return "csv"
        if root.suffix.lower() not in OF_FILE:
            raise TaskError(f"{root} is a file of an unknown kind. Give the path of {KNOWN}.")
        return OF_FILE[root.suffix.lower()]
    # from the most particular to the most general: each layout would also pass for a later one
    if nih.find_table(root):
        return "nih"
    if eyepacs.find_table(root):
        return "eyepacs"
    if cifar.find(root):
        return "cifar"
    if spec.labels:  # a table that the user names wins over what the folder looks like
        return "csv"
    if published.find(root):
        return "published"
    if imagefolder.find(root):
        return "imagefolder"
    if table.names_pictures(root, spec):
        return "csv"
    if parquet.find(root):
        return "parquet"
    if subfolders(root):
        return "folder"
    others = Counter(path.suffix.lower() or path.name for path in files_below(root))
    raise TaskError(f"{root} holds no data set of a known layout{instead(others)}. Give the path of {KNOWN}.")
