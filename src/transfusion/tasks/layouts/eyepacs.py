"""EyePACS as Kaggle lays it out: ``trainLabels.csv`` (``image,level``) beside ``train/<patient>_left.jpeg``.

Grades 0..4 of diabetic retinopathy; a case is referable from grade 2 on.
"""

from __future__ import annotations

from pathlib import Path

from transfusion.errors import TaskError
from transfusion.files import expanded
from transfusion.spec import TaskSpec
from transfusion.tasks.layouts.disk import scan
from transfusion.tasks.layouts.match import Row, match
from transfusion.tasks.layouts.sheet import need_column, read_table
from transfusion.tasks.layouts.table import with_folder_splits
from transfusion.tasks.listing import Listing

TABLE = "trainLabels.csv"
GRADES = ("0", "1", "2", "3", "4")
FIRST_REFERABLE = 2


def find_table(root: Path) -> Path | None:
    """The label table right below ``root``, or beside a ``train`` folder that was given instead."""
    candidates = [root / TABLE] if root.name != "train" else [root / TABLE, root.parent / TABLE]
    return next((path for path in candidates if path.is_file()), None)


def read(spec: TaskSpec, root: Path) -> Listing:
    """List EyePACS; a ``test`` folder without labels is not used.

    Raises:
        TaskError: if there is no label table.
    """
    path = expanded(spec.labels) if spec.labels else find_table(root)
    if path is None:
        raise TaskError(f"{root} has no {TABLE}. Put it there, or give its path as task.labels.")
    table = read_table(path)
    image = need_column(table, spec.image_column or "image")
    level = need_column(table, spec.label_column or "level")
    grades = {grade: grade for grade in GRADES}  # anything else is a problem, not a class
    rows = [Row(name, grades.get(text), text) for name, text in table[[image, level]].itertuples(index=False)]
    found = scan(root, spec)
    entries, problems, notes = match(rows, found, spec)
    return Listing(
        layout="eyepacs",
        name=root.name,
        source=spec.data,
        kind="graded",
        classes=GRADES,
        entries=with_folder_splits(entries, found, spec, None),
        positive=FIRST_REFERABLE,
        problems=(*found.problems, *problems),
        other_files=found.others,
        notes=(*found.notes, *notes),
    )
