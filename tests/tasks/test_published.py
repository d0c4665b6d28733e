"""Miniatures of published sets, from their documentation: read from the folder as it is, with no setting at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from transfusion.tasks import Task

Loader = Callable[..., Task]
Tree = Callable[..., Path]
CHEXPERT = (
    "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,"
    "Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
VINDR = (
    "Aortic enlargement,Atelectasis,Calcification,Cardiomegaly,Clavicle fracture,Consolidation,Edema,Emphysema,"
    "Enlarged PA,ILD,Infiltration,Lung Opacity,Lung cavity,Lung cyst,Mediastinal shift,Nodule/Mass,Pleural effusion,"
    "Pleural thickening,Pneumothorax,Pulmonary fibrosis,Rib fracture,Other lesion,COPD,Lung tumor,Pneumonia,"
    "Tuberculosis,Other diseases,No finding"
)
MARKS = ("1.0", "0.0", "-1.0", "")


def sizes(task: Task) -> tuple[int, ...]:
    return tuple(len(split) for split in task.splits.values())


def text(header: str, rows: list[str]) -> str:
    return "\n".join([header, *rows]) + "\n"


def test_chexpert(tree: Tree, load_task: Loader) -> None:
    tables, names = {}, []
    for split, patients in (("train", range(1, 21)), ("valid", range(64541, 64547))):
        rows = []
        for patient in patients:
            place = f"{split}/patient{patient:05d}/study1/view1_frontal.png"
            names.append(place)
            marks = ",".join(MARKS[(patient + k) % (4 if split == "train" else 2)] for k in range(14))
            rows.append(f"CheXpert-v1.0-small/{place},Female,{patient % 60},Frontal,AP,{marks}")
        tables[f"{split}.csv"] = text(f"Path,Sex,Age,Frontal/Lateral,AP/PA,{CHEXPERT}", rows)
    task = load_task(tree(names, tables))
    assert (task.kind, task.classes[0], task.num_outputs) == ("multilabel", "No Finding", 14)
    assert (sizes(task)[1], sum(sizes(task))) == (6, 26)
    assert len(set(task.splits["val"].patients or ())) == 6
    assert any("-1" in note for note in task.card["warnings"])


def test_mimic_cxr_jpg(tree: Tree, load_task: Loader) -> None:
    names, splits, labels = [], [], []
    for k in range(30):
        subject, study, dicom = 10000000 + k // 2, 50000000 + k, f"{k:08x}-0a-0b"
        names.append(f"files/p10/p{subject}/s{study}/{dicom}.png")
        splits.append(f"{dicom},{study},{subject},{('train', 'train', 'validate', 'test')[min(k // 8, 3)]}")
        labels.append(f"{subject},{study}," + ",".join(MARKS[(k + j) % 4] for j in range(14)))
    prefix = "mimic-cxr-2.0.0-"
    tables = {
        f"{prefix}split.csv": text("dicom_id,study_id,subject_id,split", splits),
        f"{prefix}chexpert.csv": text(f"subject_id,study_id,{CHEXPERT}", labels),
        f"{prefix}negbio.csv": text(f"subject_id,study_id,{CHEXPERT}", labels),
        f"{prefix}metadata.csv": text("dicom_id,subject_id,study_id,ViewPosition", ["x,1,2,AP"]),
    }
    task = load_task(tree(names, tables))
    assert (task.kind, task.num_outputs, sizes(task)) == ("multilabel", 14, (16, 8, 6))
    assert len(set(task.splits["train"].patients or ())) == 8


def test_vindr_cxr_takes_the_majority(tree: Tree, load_task: Loader) -> None:
    names, train, test = [], [], []
    for k in range(24):
        names.append(f"{'train' if k < 16 else 'test'}/{k:032x}.png")
        for reader in range(3 if k < 16 else 1):
            marks = ["0"] * 28
            marks[3] = "1" if k % 2 and (reader < 2 or k >= 16) else "0"  # two of three
            marks[4] = "1" if reader == 2 else "0"  # one of three
            row = ",".join(marks)
            (train if k < 16 else test).append(f"{k:032x},R{reader},{row}" if k < 16 else f"{k:032x},{row}")
    tables = {
        "annotations/image_labels_train.csv": text(f"image_id,rad_id,{VINDR}", train),
        "annotations/image_labels_test.csv": text(f"image_id,{VINDR}", test),
        "annotations/annotations_train.csv": text("image_id,rad_id,class_name,x_min", ["x,R1,ILD,3"]),
        "annotations/annotations_test.csv": text("image_id,class_name,x_min", ["x,ILD,3"]),
    }
    task = load_task(tree(names, tables))
    assert (task.num_outputs, sizes(task)) == (28, (16, 0, 8))
    assert task.card["classes"]["train"]["Cardiomegaly"] == 8
    assert task.card["classes"]["train"]["Clavicle fracture"] == 0


def test_padchest(tree: Tree, load_task: Loader) -> None:
    names = [f"{k % 3}/{k:05d}_a.png" for k in range(30)]
    findings = ("['normal']", "['pneumonia', 'infiltrates']", "['cardiomegaly']", "['pneumonia']")
    rows = [
        f'{k},{k:05d}_a.png,{k % 3},20140101,S{k},P{k // 2},1950.0,M,PA,"{findings[k % 4]}","[\'right\']"'
        for k in range(30)
    ]
    header = ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,Projection,Labels,Loc"
    task = load_task(tree(names, {"PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv": text(header, rows)}))
    assert (task.kind, task.classes) == ("multilabel", ("cardiomegaly", "infiltrates", "normal", "pneumonia"))
    assert len({p for split in task.splits.values() for p in split.patients or ()}) == 15


def test_ham10000(tree: Tree, load_task: Loader) -> None:
    names = [f"HAM10000_images_part_{1 + k % 2}/ISIC_{24306 + k:07d}.png" for k in range(30)]
    rows = [
        f"HAM_{k // 3:07d},ISIC_{24306 + k:07d},{('nv', 'mel')[k // 3 % 2]},histo,{k}.0,male,back" for k in range(30)
    ]
    tables = {
        "HAM10000_metadata.csv": text("lesion_id,image_id,dx,dx_type,age,sex,localization", rows),
        "hmnist_8_8_L.csv": text("pixel0000,pixel0001,label", ["169,171,2", "25,26,2"]),
    }
    task = load_task(tree(names, tables))
    assert (task.classes, task.card["patients"]["train"]) == (("mel", "nv"), 8)


def test_isic_2019_joins_its_metadata(tree: Tree, load_task: Loader) -> None:
    names = [f"ISIC_2019_Training_Input/ISIC_{k:07d}.png" for k in range(32)]
    truth = [f"ISIC_{k:07d}," + ",".join("1.0" if j == k // 4 % 4 else "0.0" for j in range(4)) for k in range(32)]
    metadata = [f"ISIC_{k:07d},55.0,back,{'' if k > 27 else f'MSK_{k // 2}'},male" for k in range(32)]
    tables = {
        "ISIC_2019_Training_GroundTruth.csv": text("image,MEL,NV,BCC,AK", truth),
        "ISIC_2019_Training_Metadata.csv": text("image,age_approx,anatom_site_general,lesion_id,sex", metadata),
    }
    root = tree(names, tables)
    task = load_task(root)
    assert (task.kind, task.classes) == ("multiclass", ("MEL", "NV", "BCC", "AK"))
    assert sum(task.card["patients"][name] for name in ("train", "test")) == 14 + 4


def test_rsna_pneumonia(tree: Tree, load_task: Loader) -> None:
    ids = [f"{k:08x}-aaaa" for k in range(30)]
    boxes = [f"{name},{'1.0' if k % 3 else ''},,,,{int(k % 3 > 0)}" for k, name in enumerate(ids)]
    rows = [box for k, box in enumerate(boxes) for _ in range(1 + k % 3)]
    tables = {
        "stage_2_train_labels.csv": text("patientId,x,y,width,height,Target", rows),
        "stage_2_detailed_class_info.csv": text("patientId,class", [f"{name},Normal" for name in ids]),
        "stage_2_sample_submission.csv": text("patientId,PredictionString", ["z,0.5 0 0 100 100"]),
    }
    names = [f"stage_2_train_images/{name}.png" for name in ids] + [f"stage_2_test_images/t{k}.png" for k in range(5)]
    task = load_task(tree(names, tables))
    assert (task.kind, sum(sizes(task))) == ("binary", 30)


def test_aptos(tree: Tree, load_task: Loader) -> None:
    ids = [f"{k:012x}" for k in range(30)]
    tables = {
        "train.csv": text("id_code,diagnosis", [f"{name},{k % 5}" for k, name in enumerate(ids[:25])]),
        "test.csv": text("id_code", ids[25:]),
        "sample_submission.csv": text("id_code,diagnosis", [f"{name},0" for name in ids[25:]]),
    }
    names = [f"{'train' if k < 25 else 'test'}_images/{name}.png" for k, name in enumerate(ids)]
    task = load_task(tree(names, tables))
    assert (task.kind, task.positive, sum(sizes(task))) == ("graded", 2, 25)


def test_idrid(tree: Tree, load_task: Loader) -> None:
    names, tables = [], {}
    for letter, split, num in (("a", "Training", 20), ("b", "Testing", 10)):
        names += [f"1. Original Images/{letter}. {split} Set/IDRiD_{k:03d}.png" for k in range(1, num + 1)]
        rows = [f"IDRiD_{k:03d},{k % 5},{k % 3},,,," for k in range(1, num + 1)]
        table = f"2. Groundtruths/{letter}. IDRiD_Disease Grading_{split} Labels.csv"
        tables[table] = text("Image name,Retinopathy grade,Risk of macular edema ,,,,", rows)
    task = load_task(tree(names, tables))
    assert (task.kind, task.num_outputs, sizes(task)) == ("graded", 5, (20, 0, 10))
    assert all("Testing" in name for name in task.splits["test"].names)


def test_busi(tree: Tree, load_task: Loader) -> None:
    stems = [f"{label}/{label} ({k})" for label in ("benign", "malignant", "normal") for k in range(1, 13)]
    names = [f"{stem}{end}.png" for stem in stems for end in ("", "_mask")] + ["benign/benign (3)_mask_1.png"]
    task = load_task(tree([f"Dataset_BUSI_with_GT/{name}" for name in names]))
    assert (task.num_outputs, sum(sizes(task))) == (3, 36)
    assert any("37 files are masks" in note for note in task.card["warnings"])


def test_breast_histopathology(tree: Tree, load_task: Loader) -> None:
    names = [
        f"{p}/{c}/{p}_idx5_x{k}51_y{k}01_class{c}.png" for p in range(8863, 8873) for c in (0, 1) for k in range(3)
    ]
    task = load_task(tree(names))
    assert (task.classes, task.card["patients"]["train"]) == (("0", "1"), 8)


@pytest.mark.parametrize("root", ["", "CellData/chest_xray/"])
def test_kermany_third_edition(tree: Tree, load_task: Loader, root: str) -> None:
    names = [
        f"{root}{split}/{folder}/{kind}-{1000 * len(split) + k // 2:07d}-{k:04d}.png"
        for split in ("train", "test")
        for folder, kinds in (("NORMAL", ("NORMAL",)), ("PNEUMONIA", ("BACTERIA", "VIRUS")))
        for kind in kinds
        for k in range(6)
    ]
    task = load_task(tree(names))
    assert (task.classes, sizes(task)) == (("NORMAL", "PNEUMONIA"), (18, 0, 18))
    assert task.splits["train"].patients is not None


def test_coronahack(tree: Tree, load_task: Loader) -> None:
    folder, rows, names = "Coronahack-Chest-XRay-Dataset/Coronahack-Chest-XRay-Dataset", [], []
    for k in range(24):
        split, label = ("TRAIN", "TEST")[k > 15], ("Normal", "Pnemonia")[k % 2]
        usual = f"IM-{k:04d}-0001.png" if label == "Normal" else f"person{k}_virus_6.png"
        name = f"SARS-10.1148rg.{k}.png" if k == 5 else usual
        names.append(f"{folder}/{split.lower()}/{name}")
        rows.append(f"{k},{name},{label},{split},,{'Virus' if k % 2 else ''}")
    header = ",X_ray_image_name,Label,Dataset_type,Label_2_Virus_category,Label_1_Virus_category"
    tables = {
        "Chest_xray_Corona_Metadata.csv": text(header, rows),
        "Chest_xray_Corona_dataset_Summary.csv": text(",Label,Label_1_Virus_category,Image_Count", ["0,Normal,,1576"]),
    }
    task = load_task(tree(names, tables))
    assert (task.classes, sizes(task)) == (("Normal", "Pnemonia"), (16, 0, 8))
