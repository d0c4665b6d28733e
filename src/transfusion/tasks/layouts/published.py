"""Chest X-ray sets whose labels lie in several tables, as their publishers lay them out.

MIMIC-CXR-JPG has labels per study and splits per image; VinDr-CXR has one row per radiologist; RSNA's pneumonia
challenge has a second table of finer classes beside its labels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from transfusion.errors import TaskError
from transfusion.spec import TaskSpec
from transfusion.tasks.layouts.disk import scan
from transfusion.tasks.layouts.sheet import is_table, read_table
from transfusion.tasks.layouts.table import Sheets, listing_of
from transfusion.tasks.listing import Listing
from transfusion.tasks.names import listed

RSNA = "stage_2_train_labels.csv"
Tables = dict[str, Path]
FINDINGS = {"kind": "multilabel"}  # even where every picture of a part happens to have one


def find(root: Path) -> Callable[[TaskSpec, Path, Tables], Listing] | None:
    """The reader of the set that lies at ``root``, by the names of its tables."""
    names = tables(root)
    if RSNA in names:
        return _rsna
    if {"image_labels_train.csv", "image_labels_test.csv"} <= set(names):
        return _vindr
    if _mimic_table(names, "split") and _mimic_table(names, "chexpert"):
        return _mimic
    return None


def tables(root: Path) -> Tables:
    """Name -> path of every table at ``root`` or below ``annotations``."""
    places = [root, root / "annotations"]
    return {path.name: path for place in places if place.is_dir() for path in place.iterdir() if is_table(path)}


def read(spec: TaskSpec, root: Path) -> Listing:
    """List one of these sets.

    Raises:
        TaskError: if none lies there.
    """
    reader = find(root)
    if reader is None:
        raise TaskError(f"{root} holds no tables of MIMIC-CXR-JPG, VinDr-CXR or RSNA's pneumonia challenge.")
    return reader(spec, root, tables(root))


def _rsna(spec: TaskSpec, root: Path, names: Tables) -> Listing:
    frame = read_table(names[RSNA])
    sheets = Sheets((names[RSNA],), frame, ["train"] * len(frame))
    return _listing(sheets, spec, root, {"image_column": "patientId", "label_column": "Target"})


def _vindr(spec: TaskSpec, root: Path, names: Tables) -> Listing:
    """Of several radiologists the majority counts; the test's labels are a consensus already.

    The two tables spell a finding differently: "Other diseases" is "Other disease" in the test's.
    """
    frames = {split: read_table(names[f"image_labels_{split}.csv"]) for split in ("train", "test")}
    findings = [str(column) for column in frames["train"] if column not in ("image_id", "rad_id")]
    singular = {name.removesuffix("s"): name for name in findings}
    frames["test"] = frames["test"].rename(columns=lambda name: singular.get(name.removesuffix("s"), name))
    absent = [name for name in findings if name not in frames["test"]]
    if absent:
        raise TaskError(f"{names['image_labels_test.csv']} has no column {listed(absent)}, which the train table has.")
    votes = {split: _votes(frame, findings) for split, frame in frames.items()}
    rows = [split for split, frame in votes.items() for _ in range(len(frame))]
    note = "Of several radiologists' labels of a picture the majority counts."
    paths = tuple(names[f"image_labels_{split}.csv"] for split in frames)
    sheets = Sheets(paths, pd.concat(votes.values(), ignore_index=True), list(rows), (note,))
    return _listing(sheets, spec, root, {"image_column": "image_id", "label_column": ",".join(findings), **FINDINGS})


def _votes(frame: pd.DataFrame, findings: list[str]) -> pd.DataFrame:
    shares = (
        frame.assign(**{name: pd.to_numeric(frame[name]) for name in findings}).groupby("image_id")[findings].mean()
    )
    told: pd.DataFrame = (shares > 0.5).astype(int).astype(str).reset_index()
    return told


def _mimic_table(names: Tables, part: str) -> Path | None:
    return next(
        (path for name, path in names.items() if name.startswith("mimic-cxr-") and f"-{part}.csv" in name), None
    )


def _mimic(spec: TaskSpec, root: Path, names: Tables) -> Listing:
    parts = {part: path for part in ("split", "chexpert") if (path := _mimic_table(names, part))}
    labels = read_table(parts["chexpert"])
    keys = ["subject_id", "study_id"]
    frame = read_table(parts["split"]).merge(labels, on=keys, how="inner")
    sheets = Sheets((parts["chexpert"],), frame, [None] * len(frame))
    settings = {"image_column": "dicom_id", "patient_column": "subject_id", "split_column": "split"} | FINDINGS
    findings = [str(column) for column in labels if column not in keys]
    return _listing(sheets, spec, root, {**settings, "label_column": ",".join(findings)})


def _listing(sheets: Sheets, spec: TaskSpec, root: Path, usual: dict[str, str]) -> Listing:
    """Read with the publisher's columns where the user names no others."""
    own = {name: value for name, value in usual.items() if getattr(spec, name) is None}
    return listing_of(sheets, scan(root, spec), spec.with_values(**own))
