"""Miniatures of published sets are read from the folder as it is, with no setting at all, and understood."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tasks.published_sets import SETS, build
from transfusion.errors import TaskError
from transfusion.tasks import Task

pytest.importorskip("pydicom", reason="two of the sets are DICOM; install the extra 'dicom'")
Loader = Callable[..., Task]

# kind, outputs, images per split, patients (or lesions) per split
EXPECTED = {
    "chexpert": ("multilabel", 14, (32, 12, 8), (16, 6, 4)),
    "mimic_cxr_jpg": ("multilabel", 14, (16, 8, 6), (8, 4, 3)),
    "vindr_cxr": ("multilabel", 28, (16, 0, 8), None),
    "padchest": ("multilabel", 4, (24, 0, 6), (12, 0, 3)),
    "ham10000_kaggle": ("multiclass", 3, (24, 0, 6), (8, 0, 2)),
    "ham10000_dataverse": ("multiclass", 3, (24, 0, 6), (8, 0, 2)),
    "isic_2019": ("multiclass", 9, (26, 0, 6), (15, 0, 3)),
    "rsna_pneumonia": ("binary", 2, (24, 0, 6), (24, 0, 6)),
    "aptos": ("graded", 5, (24, 0, 6), None),
    "idrid": ("graded", 5, (20, 0, 10), None),
    "busi": ("multiclass", 3, (29, 0, 7), None),
    "breast_histopathology": ("binary", 2, (48, 0, 12), (8, 0, 2)),
    "kermany_third": ("binary", 2, (18, 0, 18), (3, 0, 3)),
    "coronahack": ("binary", 2, (16, 0, 8), None),
    "nih": ("multilabel", 14, (20, 0, 10), (10, 0, 5)),
    "medmnist": ("binary", 2, (20, 8, 12), None),
}


@pytest.mark.parametrize("name", SETS)
def test_read_as_published(name: str, tmp_path: Path, load_task: Loader) -> None:
    task = load_task(build(name, tmp_path))
    patients = tuple(0 if not split.patients else len(set(split.patients)) for split in task.splits.values())
    found = (task.kind, task.num_outputs, tuple(map(len, task.splits.values())), patients if any(patients) else None)
    assert found == EXPECTED[name]


def test_chexpert_keeps_patients_apart_and_says_what_doubt_is(tmp_path: Path, load_task: Loader) -> None:
    """Every file is called view1_frontal.jpg, and combinations of labels are no classes: patients are the folders."""
    task = load_task(build("chexpert", tmp_path))
    groups = [set(split.patients or ()) for split in task.splits.values()]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert "patient00001" in groups[0] | groups[2]
    assert sum("-1" in note for note in task.card["warnings"]) == 1


def test_vindr_takes_the_majority(tmp_path: Path, load_task: Loader) -> None:
    counts = load_task(build("vindr_cxr", tmp_path)).card["classes"]["train"]
    assert (counts["Cardiomegaly"], counts["Clavicle fracture"], counts["Other diseases"]) == (8, 0, 0)


def test_vindr_with_another_column_is_one_line(tmp_path: Path, load_task: Loader) -> None:
    root = build("vindr_cxr", tmp_path)
    path = root / "annotations/image_labels_test.csv"
    path.write_text(path.read_text().replace("Cardiomegaly", "Heart"))
    with pytest.raises(TaskError, match="has no column Cardiomegaly, which the train table has"):
        load_task(root)


def test_padchest_classes_are_those_in_the_lists(tmp_path: Path, load_task: Loader) -> None:
    task = load_task(build("padchest", tmp_path))
    assert task.classes == ("cardiomegaly", "infiltrates", "normal", "pneumonia")
    assert any("from 0 to 4095" in note for note in task.card["warnings"])


def test_isic_lesions_come_from_the_other_table(tmp_path: Path, load_task: Loader) -> None:
    task = load_task(build("isic_2019", tmp_path))
    assert task.classes == ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
    assert sum(task.card["patients"][name] for name in ("train", "test")) == 14 + 4


def test_idrid_keeps_the_publishers_test(tmp_path: Path, load_task: Loader) -> None:
    assert all("Testing" in name for name in load_task(build("idrid", tmp_path)).splits["test"].names)


def test_busi_masks_are_no_pictures(tmp_path: Path, load_task: Loader) -> None:
    assert any("37 files are masks" in note for note in load_task(build("busi", tmp_path)).card["warnings"])


def test_kermany_inside_the_folders_of_its_archive(tmp_path: Path, load_task: Loader) -> None:
    outer = tmp_path / "CellData"
    build("kermany_third", outer)
    assert tuple(map(len, load_task(outer).splits.values())) == (18, 0, 18)
