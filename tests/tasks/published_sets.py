"""Miniatures of published data sets: every file and column as their publishers have them, a few pictures of noise.

Names and headers were compared with documentation and code in public repositories (25 November 2026); each builder says
with what. Nothing in the pictures is anyone's data.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CHEXPERT = (
    "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,"
    "Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
).split(",")
VINDR = (
    "Aortic enlargement,Atelectasis,Calcification,Cardiomegaly,Clavicle fracture,Consolidation,Edema,Emphysema,"
    "Enlarged PA,ILD,Infiltration,Lung Opacity,Lung cavity,Lung cyst,Mediastinal shift,Nodule/Mass,Pleural effusion,"
    "Pleural thickening,Pneumothorax,Pulmonary fibrosis,Rib fracture,Other lesion,COPD,Lung tumor,Pneumonia,"
    "Tuberculosis"
).split(",")
MARKS = ("1.0", "0.0", "-1.0", "")
SIDE = 24


class Draw:
    """Pictures of noise in the formats of the field, no two alike."""

    def __init__(self, root: Path) -> None:
        self.root, self._rng = root, np.random.default_rng(len(str(root.name)))

    def _place(self, name: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def picture(self, name: str, colour: bool = False) -> None:
        """A JPEG or PNG of 8 bits."""
        shape = (SIDE, SIDE, 3) if colour else (SIDE, SIDE)
        Image.fromarray(self._rng.integers(0, 256, shape).astype(np.uint8)).save(self._place(name))

    def deep(self, name: str) -> None:
        """A grey PNG of 16 bits, of which 12 are used."""
        Image.fromarray(self._rng.integers(0, 4096, (SIDE, SIDE)).astype(np.uint16)).save(self._place(name))

    def dicom(self, name: str, patient: str) -> None:
        """A chest radiograph as the standard has it."""
        from pydicom.dataset import FileDataset, FileMetaDataset
        from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
            DigitalXRayImageStorageForPresentation,
            generate_uid(),
        )
        made: Any = FileDataset(name, {}, file_meta=meta, preamble=b"\0" * 128)
        made.Modality, made.PatientID, made.PhotometricInterpretation = "CR", patient, "MONOCHROME2"
        made.Rows, made.Columns, made.SamplesPerPixel, made.PixelRepresentation = SIDE, SIDE, 1, 0
        made.BitsAllocated, made.BitsStored, made.HighBit = 8, 8, 7
        made.PixelData = self._rng.integers(0, 256, (SIDE, SIDE)).astype(np.uint8).tobytes()
        made.save_as(self._place(name), enforce_file_format=True)

    def table(self, name: str, header: Sequence[str] | str, rows: Sequence[Sequence[object]]) -> None:
        """A CSV file, tab-separated where its name says so."""
        path = self._place(name)
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter="\t" if name.endswith(".tab") else ",")
        writer.writerow(header.split(",") if isinstance(header, str) else header)
        writer.writerows(rows)
        content = text.getvalue().encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)


def chexpert(root: Path) -> None:
    """CheXpert-v1.0-small; header and paths as in code that reads it (``Path,Sex,Age,Frontal/Lateral,...``)."""
    draw = Draw(root)
    marks_of = np.random.default_rng(0)
    for split, patients in (("train", range(1, 21)), ("valid", range(64541, 64547))):
        rows = []
        for patient in patients:
            for study in range(1, 2 + patient % 2):
                marks = [MARKS[k] for k in marks_of.integers(0, 4 if split == "train" else 2, 14)]
                for view, turn, side in (("view1_frontal", "Frontal", "AP"), ("view2_lateral", "Lateral", ""))[:study]:
                    place = f"{split}/patient{patient:05d}/study{study}/{view}.jpg"
                    draw.picture(place)
                    rows.append([f"CheXpert-v1.0-small/{place}", "Female", 40 + patient % 50, turn, side, *marks])
        draw.table(f"{split}.csv", ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT], rows)


def mimic_cxr_jpg(root: Path) -> None:
    """MIMIC-CXR-JPG 2.1.0 (on PhysioNet): gzipped tables, ``files/p10/p.../s.../ID.jpg``."""
    draw, splits, labels, metadata = Draw(root), [], [], []
    for k in range(30):
        subject, study, dicom = 10000032 + k // 2, 50414267 + k, f"{k:08x}-0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d"
        draw.picture(f"files/p10/p{subject}/s{study}/{dicom}.jpg")
        splits.append([dicom, study, subject, ("train", "train", "validate", "test")[min(k // 8, 3)]])
        labels.append([subject, study, *(MARKS[(k + j) % 4] for j in range(14))])
        metadata.append([dicom, subject, study, "CHEST (PA AND LAT)", "PA", 3056, 2544, 21800506, "213014.531"])
    names = (
        "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime"
    )
    draw.table("mimic-cxr-2.0.0-split.csv.gz", "dicom_id,study_id,subject_id,split", splits)
    draw.table("mimic-cxr-2.0.0-metadata.csv.gz", names, metadata)
    for labeller in ("chexpert", "negbio"):
        draw.table(f"mimic-cxr-2.0.0-{labeller}.csv.gz", ["subject_id", "study_id", *CHEXPERT], labels)
    (root / "IMAGE_FILENAMES").write_text("files/p10/p10000032/s50414267/x.jpg\n")


def vindr_cxr(root: Path) -> None:
    """VinDr-CXR 1.0.0 (on PhysioNet): ``.dicom`` files, three readers in train, consensus in test.

    Code that reads it renames the test's "Other disease" to the train's "Other diseases".
    """
    draw, train, test = Draw(root), [], []
    for k in range(24):
        split, name = ("train", "test")[k > 15], f"{k:032x}"
        draw.dicom(f"{split}/{name}.dicom", "")
        for reader in range(3 if k < 16 else 1):
            marks = ["0"] * 28
            marks[3] = "1" if k % 2 and (reader < 2 or k >= 16) else "0"  # two of three
            marks[4] = "1" if reader == 2 else "0"  # one of three
            marks[27] = "0" if "1" in marks else "1"
            (train if k < 16 else test).append([name, f"R{reader + 1}", *marks] if k < 16 else [name, *marks])
    draw.table(
        "annotations/image_labels_train.csv", ["image_id", "rad_id", *VINDR, "Other diseases", "No finding"], train
    )
    draw.table("annotations/image_labels_test.csv", ["image_id", *VINDR, "Other disease", "No finding"], test)
    boxes = ["class_name", "x_min", "y_min", "x_max", "y_max"]
    draw.table(
        "annotations/annotations_train.csv", ["image_id", "rad_id", *boxes], [[f"{1:032x}", "R1", "ILD", 1, 2, 3, 4]]
    )
    draw.table("annotations/annotations_test.csv", ["image_id", *boxes], [[f"{17:032x}", "ILD", 1, 2, 3, 4]])


def padchest(root: Path) -> None:
    """PadChest: 16-bit PNGs in numbered folders; columns as its README lists them, labels as lists of Python's."""
    draw, rows = Draw(root), []
    findings = ("['normal']", "['pneumonia', 'infiltrates']", "['cardiomegaly']", "['pneumonia', ' cardiomegaly']")
    for k in range(30):
        name = f"2168401113669640138295431665120133381357458{k:02d}_02-094-102.png"
        draw.deep(f"{k % 3}/{name}")
        person = [f"1234567{k:02d}", 839860488694292331637988235681460987 + k // 2, 1950 + k % 9, "MF"[k % 2]]
        machine = ["POSTEROANTERIOR", "PA", "Manual review of DICOM fields", "No", "CR", "ImagingDynamicsCompanyLtd"]
        pixels = ["MONOCHROME2", 0, "", 0.14, 12, 2047, 4096, 2991, 2991, 10, 5, "", "", ""]
        rows.append([k, name, k % 3, 20140915, *person, *machine, *pixels, 4765777, "sin hallazg .", "Physician",
                     findings[k % 4], "['loc right']", "[['normal']]", "[]", "['C0444532']"])  # fmt: skip
    header = (
        ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,Projection,"
        "MethodProjection,Pediatric,Modality_DICOM,Manufacturer_DICOM,PhotometricInterpretation_DICOM,"
        "PixelRepresentation_DICOM,PixelAspectRatio_DICOM,SpatialResolution_DICOM,BitsStored_DICOM,WindowCenter_DICOM,"
        "WindowWidth_DICOM,Rows_DICOM,Columns_DICOM,XRayTubeCurrent_DICOM,Exposure_DICOM,ExposureInuAs_DICOM,ExposureTime,"
        "RelativeXRayExposure_DICOM,ReportID,Report,MethodLabel,Labels,Localizations,LabelsLocalizationsBySentence,"
        "labelCUIS,LocalizationsCUIS"
    )
    draw.table("PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", header, rows)


def _ham10000(root: Path, table: str, *more: str) -> None:
    draw, rows = Draw(root), []
    for k in range(30):
        name = f"ISIC_{24306 + k:07d}"
        draw.picture(f"HAM10000_images_part_{1 + k % 2}/{name}.jpg", colour=True)
        row = [f"HAM_{k // 3:07d}", name, ("nv", "mel", "bkl")[k // 3 % 3], "histo", 40.0 + k, "male", "back"]
        rows.append([*row, *(["vidir_modern"] if more else [])])
    header = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization", *more]
    draw.table(table, header, rows)


def ham10000_kaggle(root: Path) -> None:
    """HAM10000 as Kaggle has it: ``HAM10000_metadata.csv``, and pixels of 8 x 8 in tables beside it."""
    _ham10000(root, "HAM10000_metadata.csv")
    Draw(root).table("hmnist_8_8_L.csv", "pixel0000,pixel0001,label", [[169, 171, 2], [25, 26, 2]])


def ham10000_dataverse(root: Path) -> None:
    """HAM10000 as Harvard's Dataverse has it: ``HAM10000_metadata.tab``, with the column ``dataset``."""
    _ham10000(root, "HAM10000_metadata.tab", "dataset")


def isic_2019(root: Path) -> None:
    """ISIC 2019: one-hot classes of which UNK is empty, lesions in another table."""
    draw, truth, metadata = Draw(root), [], []
    for k in range(32):
        draw.picture(f"ISIC_2019_Training_Input/ISIC_{k:07d}.jpg", colour=True)
        truth.append([f"ISIC_{k:07d}", *("1.0" if j == k // 4 % 8 else "0.0" for j in range(9))])
        metadata.append([f"ISIC_{k:07d}", "55.0", "anterior torso", "" if k > 27 else f"MSK4_{k // 2:07d}", "female"])
    draw.table("ISIC_2019_Training_GroundTruth.csv", "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK", truth)
    draw.table("ISIC_2019_Training_Metadata.csv", "image,age_approx,anatom_site_general,lesion_id,sex", metadata)


def rsna_pneumonia(root: Path) -> None:
    """RSNA's challenge of 2018: DICOM, a row per box (``patientId,x,y,width,height,Target``), three classes beside."""
    draw, boxes, classes = Draw(root), [], []
    for k in range(30):
        name = f"{k:08x}-3649-4ba7-8d2a-0b7b1a2c3d4e"
        draw.dicom(f"stage_2_train_images/{name}.dcm", name)
        box = [264.0, 152.0, 213.0, 379.0, 1] if k % 3 else ["", "", "", "", 0]
        boxes += [[name, *box]] * (1 + k % 3)
        classes += [[name, ("Normal", "Lung Opacity", "Lung Opacity")[k % 3]]] * (1 + k % 3)
    for k in range(5):
        draw.dicom(f"stage_2_test_images/{k:08x}-aaaa.dcm", f"{k:08x}-aaaa")
    draw.table("stage_2_train_labels.csv", "patientId,x,y,width,height,Target", boxes)
    draw.table("stage_2_detailed_class_info.csv", "patientId,class", classes)
    answers = [[f"{k:08x}-aaaa", "0.5 0 0 100 100"] for k in range(5)]
    draw.table("stage_2_sample_submission.csv", "patientId,PredictionString", answers)


def aptos(root: Path) -> None:
    """APTOS 2019 (Kaggle): ``train.csv`` and ``test.csv`` with ``id_code``, the test's without diagnosis."""
    draw, ids = Draw(root), [f"{k * 7919:012x}" for k in range(35)]
    for k, name in enumerate(ids):
        draw.picture(f"{'train' if k < 30 else 'test'}_images/{name}.png", colour=True)
    draw.table("train.csv", "id_code,diagnosis", [[name, k % 5] for k, name in enumerate(ids[:30])])
    draw.table("test.csv", "id_code", [[name] for name in ids[30:]])
    draw.table("sample_submission.csv", "id_code,diagnosis", [[name, 0] for name in ids[30:]])


def idrid(root: Path) -> None:
    """IDRiD, part B: the header's last name ends in a blank, and nine empty columns follow."""
    draw = Draw(root)
    for letter, split, num in (("a", "Training", 20), ("b", "Testing", 10)):
        for k in range(1, num + 1):
            draw.picture(f"1. Original Images/{letter}. {split} Set/IDRiD_{k:03d}.jpg", colour=True)
        header = ["Image name", "Retinopathy grade", "Risk of macular edema ", *[""] * 9]
        rows = [[f"IDRiD_{k:03d}", k % 5, k % 3, *[""] * 9] for k in range(1, num + 1)]
        draw.table(f"2. Groundtruths/{letter}. IDRiD_Disease Grading_{split} Labels.csv", header, rows)


def busi(root: Path) -> None:
    """BUSI: ``Dataset_BUSI_with_GT/benign/benign (1).png`` and ``benign (1)_mask.png``, some with a second mask."""
    draw = Draw(root)
    for label in ("benign", "malignant", "normal"):
        for k in range(1, 13):
            for end in ("", "_mask", *(["_mask_1"] if label == "benign" and k == 4 else [])):
                draw.picture(f"Dataset_BUSI_with_GT/{label}/{label} ({k}){end}.png", colour=True)


def breast_histopathology(root: Path) -> None:
    """IDC: patients around classes, ``8863/0/8863_idx5_x451_y1451_class0.png``."""
    draw = Draw(root)
    for patient in range(8863, 8873):
        for label in (0, 1):
            for k in range(3):
                name = f"{patient}_idx5_x{k}51_y1451_class{label}.png"
                draw.picture(f"{patient}/{label}/{name}", colour=True)


def kermany_third(root: Path) -> None:
    """Kermany's X-rays, version 3: ``chest_xray/train/PNEUMONIA/BACTERIA-1008087-0001.jpeg``."""
    draw = Draw(root)
    for split in ("train", "test"):
        for label, kinds in (("NORMAL", ("NORMAL",)), ("PNEUMONIA", ("BACTERIA", "VIRUS"))):
            for kind in kinds:
                for k in range(6):
                    number = 1003233 + 1000 * len(split) + k // 2
                    draw.picture(f"{split}/{label}/{kind}-{number}-{1 + k % 2:04d}.jpeg")


def coronahack(root: Path) -> None:
    """Coronahack (Kaggle): flat train/ and test/, a table with ``X_ray_image_name,Label,Dataset_type`` and more."""
    draw, rows = Draw(root), []
    folder = "Coronahack-Chest-XRay-Dataset/Coronahack-Chest-XRay-Dataset"
    for k in range(24):
        split, label = ("TRAIN", "TEST")[k > 15], ("Normal", "Pnemonia")[k % 2]
        name = f"IM-{k:04d}-0001.jpeg" if label == "Normal" else f"person{k}_virus_6.jpeg"
        name = "SARS-10.1148rg.242035193-g04mr34g0-Fig8a-day0.jpeg" if k == 5 else name
        draw.picture(f"{folder}/{split.lower()}/{name}")
        rows.append([k, name, label, split, "", "Virus" if k % 2 else ""])
    header = ",X_ray_image_name,Label,Dataset_type,Label_2_Virus_category,Label_1_Virus_category"
    draw.table("Chest_xray_Corona_Metadata.csv", header, rows)
    summary = ",Label,Label_1_Virus_category,Label_2_Virus_category,Image_Count"
    draw.table("Chest_xray_Corona_dataset_Summary.csv", summary, [[0, "Normal", "", "", 1576]])


def nih(root: Path) -> None:
    """ChestX-ray14: the header has commas inside brackets and one at its end; official lists; ``images_001/images``."""
    draw, rows, lists = Draw(root), [], {"train_val_list.txt": [], "test_list.txt": []}
    texts = ("No Finding", "Cardiomegaly|Emphysema", "Effusion", "Mass|Nodule|Pleural_Thickening")
    for k in range(30):
        name = f"{1 + k // 2:08d}_{k % 2:03d}.png"
        draw.picture(f"images_{1 + k % 2:03d}/images/{name}")
        rows.append([name, texts[k % 4], k % 2, 1 + k // 2, 58, "M", "PA", 2682, 2749, 0.143, 0.143, ""])
        lists["test_list.txt" if k > 19 else "train_val_list.txt"].append(name)
    header = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    )
    draw.table("Data_Entry_2017.csv", header, rows)
    for name, members in lists.items():
        (root / name).write_text("\n".join(members) + "\n")


def medmnist(root: Path) -> None:
    """MedMNIST: ``train_images`` (n, 28, 28), ``train_labels`` (n, 1), and the same of val and test, in one file."""
    draw = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 20), ("val", 8), ("test", 12)):
        arrays[f"{split}_images"] = draw.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
    root.mkdir(parents=True)
    np.savez_compressed(root / "pneumoniamnist.npz", **arrays)


SETS: dict[str, Callable[[Path], None]] = {
    builder.__name__: builder
    for builder in (
        chexpert,
        mimic_cxr_jpg,
        vindr_cxr,
        padchest,
        ham10000_kaggle,
        ham10000_dataverse,
        isic_2019,
        rsna_pneumonia,
        aptos,
        idrid,
        busi,
        breast_histopathology,
        kermany_third,
        coronahack,
        nih,
        medmnist,
    )
}
NAMES = {"chexpert": "CheXpert-v1.0-small", "kermany_third": "chest_xray"}  # folders that their archives make


def build(name: str, folder: Path) -> Path:
    """Make a set below ``folder``; returns what a user gives as ``--data``."""
    root = folder / NAMES.get(name, name)
    SETS[name](root)
    return root / "pneumoniamnist.npz" if name == "medmnist" else root
