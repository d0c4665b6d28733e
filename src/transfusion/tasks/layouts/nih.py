"""NIH ChestX-ray14: ``Data_Entry_2017.csv`` with 14 findings joined by ``|``, pictures in ``images*`` folders.

The official ``train_val_list.txt`` and ``test_list.txt`` decide the test split where they are given; without them the
``train_1.txt``, ``val_1.txt`` and ``test_1.txt`` of zoogzog/chexnet decide all three.
"""

from __future__ import annotations

import re
from pathlib import Path

from transfusion.errors import TaskError
from transfusion.files import expanded
from transfusion.spec import TaskSpec
from transfusion.tasks.layouts.disk import scan
from transfusion.tasks.layouts.lists import lines_of
from transfusion.tasks.layouts.match import Row, match
from transfusion.tasks.layouts.sheet import need_column, read_table
from transfusion.tasks.listing import Label, Listing, Problem

TABLES = ("Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv")
FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)
LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
CHEXNET_LISTS = {"train_1.txt": "train", "val_1.txt": "val", "test_1.txt": "test"}  # "images_001/NAME.png 0 1 0 ..."


def find_table(root: Path) -> Path | None:
    """The official table right below ``root``."""
    return next((root / name for name in TABLES if (root / name).is_file()), None)


def read(spec: TaskSpec, root: Path) -> Listing:
    """List ChestX-ray14, with the patient of every picture from the table.

    Raises:
        TaskError: if there is no table.
    """
    path = expanded(spec.labels) if spec.labels else find_table(root)
    if path is None:
        raise TaskError(f"{root} has no {TABLES[0]}. Put it there, or give its path as task.labels.")
    table = read_table(path)
    names = [
        need_column(table, spec.image_column or "Image Index"),
        need_column(table, spec.label_column or "Finding Labels"),
        need_column(table, spec.patient_column or "Patient ID"),
    ]
    splits = official_splits(root)
    rows = [
        Row(image, findings(text) if text else None, text, splits.get(image), patient)
        for image, text, patient in table[names].itertuples(False)
    ]
    found = scan(root, spec)
    entries, problems, notes = match(rows, found, spec)
    must_be_listed = "train" in splits.values()
    # the official lists name every picture: one that they lack was renamed or added
    unsplit = [entry for entry in entries if must_be_listed and entry.split is None]
    return Listing(
        layout="nih",
        name=root.name,
        source=spec.data,
        kind="multilabel",
        classes=FINDINGS,
        entries=tuple(entry for entry in entries if entry.split or not must_be_listed),
        problems=(
            *found.problems,
            *problems,
            *(Problem("image in no official list", entry.name) for entry in unsplit),
        ),
        other_files=found.others,
        notes=(*found.notes, *notes),
        group=names[2],
    )


def findings(text: str) -> Label | None:
    """Split ``Edema|Mass``; ``No Finding`` is none of the 14, anything unknown is None.

    Examples:
        >>> findings("Edema|Mass"), findings("No Finding"), findings("Dragon")
        (('Edema', 'Mass'), (), None)
    """
    names = tuple(name for name in text.split("|") if name != "No Finding")
    return names if set(names) <= set(FINDINGS) else None


def official_splits(root: Path) -> dict[str, str]:
    """Split of every picture in the official lists; with the test's list alone, all others train.

    Raises:
        TaskError: a list cannot be read, a picture stands in two, or one of the three of zoogzog/chexnet is missing.
    """
    official = {root / name: split for name, split in LISTS.items() if _is_there(root / name)}
    chexnet = {root / name: split for name, split in CHEXNET_LISTS.items() if _is_there(root / name)}
    if not official and (missing := sorted(CHEXNET_LISTS.keys() - {path.name for path in chexnet})) and chexnet:
        names = ", ".join(path.name for path in chexnet)
        raise TaskError(f"{root} has {names} but not {', '.join(missing)}: give all three lists, or none.")
    splits: dict[str, str] = {}
    for path, split in (official or chexnet).items():
        for image in map(_image, lines_of(path)):
            if image.endswith(".png") and splits.setdefault(image, split) != split:  # anything else is a header
                raise TaskError(f"{image} is in two of the lists in {root}: a picture belongs to one split.")
    return splits


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()  # a link to nothing is to be told


def _image(line: str) -> str:
    r"""The name in ``images_001/NAME 0 1 0``, with Windows' ``\``, commas and quotes too."""
    return re.split(r"[\s,;]", line.strip("\"'"))[0].strip("\"'").replace("\\", "/").rpartition("/")[2]
