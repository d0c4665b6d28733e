"""DICOM files as they are meant to be shown, made here and, where pydicom brings them, published ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transfusion.errors import BadDataError, TaskError
from transfusion.tasks import Task
from transfusion.tasks.layouts import disk
from transfusion.tasks.pictures import decode, inspect

pydicom = pytest.importorskip("pydicom", reason="reads DICOM; install the extra 'dicom'")
Loader = Callable[..., Task]
WORD = np.dtype(np.uint16)
RAMP = np.repeat(np.arange(16, dtype=np.uint16)[:, None] * 256, 16, axis=1)  # 0, 256 .. 3840, dark above


def save(path: Path, pixels: np.ndarray = RAMP, **tags: Any) -> Path:
    """Write a DICOM file without compression."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    frames = int(tags.get("NumberOfFrames", 1))
    shape = pixels.shape[1:] if frames > 1 else pixels.shape
    bits = 8 * pixels.dtype.itemsize
    dataset.Rows, dataset.Columns = shape[:2]
    dataset.SamplesPerPixel = shape[2] if len(shape) == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if len(shape) == 3 else "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, int(pixels.dtype.kind == "i")
    if len(shape) == 3:
        dataset.PlanarConfiguration = 0
    dataset.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def column(path: Path, window: tuple[int, int] | None = None) -> np.ndarray:
    """The first column as shown, in 0..1."""
    assert not inspect(path).error
    return decode(path, 16, 1, WORD, window=window)[:, 0, 0] / 65535


def share(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((values - low) / (high - low), 0, 1)


STORED = RAMP[:, 0].astype(float)
CASES: dict[str, tuple[dict[str, Any], np.ndarray]] = {
    "no window: lowest to highest": ({}, share(STORED, 0, 3840)),
    "monochrome 1 is turned": ({"PhotometricInterpretation": "MONOCHROME1"}, 1 - share(STORED, 0, 3840)),
    "presentation lut": ({"PresentationLUTShape": "INVERSE"}, 1 - share(STORED, 0, 3840)),
    "window": ({"WindowCenter": 2000, "WindowWidth": 1001}, share(STORED, 1499.5, 2499.5)),
    "exact window": (
        {"WindowCenter": 2000, "WindowWidth": 1000, "VOILUTFunction": "LINEAR_EXACT"},
        share(STORED, 1500, 2500),
    ),
    "sigmoid": (
        {"WindowCenter": 2000, "WindowWidth": 1000, "VOILUTFunction": "SIGMOID"},
        1 / (1 + np.exp(-4 * (STORED - 2000) / 1000)),
    ),
    "several windows: the first": (
        {"WindowCenter": [2000, 100], "WindowWidth": [1001, 50]},
        share(STORED, 1499.5, 2499.5),
    ),
    "window, then turned": (
        {"WindowCenter": 2000, "WindowWidth": 1001, "PhotometricInterpretation": "MONOCHROME1"},
        1 - share(STORED, 1499.5, 2499.5),
    ),
    "rescaled before the window": (
        {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 40, "WindowWidth": 101},
        share(STORED - 1024, -10.5, 89.5),
    ),
    "a slope that is no whole number": (
        {"RescaleSlope": "3.774", "RescaleIntercept": 0, "WindowCenter": 5000, "WindowWidth": 1001},
        share(3.774 * STORED, 4499.5, 5499.5),
    ),
    "padding is black": ({"PixelPaddingValue": 3840}, np.where(STORED == 3840, 0, share(STORED, 0, 3584))),
    "padding is black when turned": (
        {"PixelPaddingValue": 0, "PhotometricInterpretation": "MONOCHROME1"},
        np.where(STORED == 0, 0, 1 - share(STORED, 256, 3840)),
    ),
    "a range of padding": (
        {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 512},
        np.where(STORED <= 512, 0, share(STORED, 768, 3840)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_shown_as_meant(tmp_path: Path, case: str) -> None:
    tags, expected = CASES[case]
    assert column(save(tmp_path / "a.dcm", **tags)) == pytest.approx(expected, abs=2e-5)


def test_signed_values(tmp_path: Path) -> None:
    path = save(tmp_path / "a.dcm", (RAMP.astype(np.int16) - 2000), WindowCenter=0, WindowWidth=1001)
    assert column(path) == pytest.approx(share(STORED - 2000, -500.5, 499.5), abs=2e-5)


def test_the_users_window_wins(tmp_path: Path) -> None:
    path = save(tmp_path / "a.dcm", RescaleIntercept=-1024, RescaleSlope=1, WindowCenter=0, WindowWidth=10)
    assert column(path, (-1000, 400)) == pytest.approx(share(STORED - 1024, -1000, 400), abs=2e-5)


def lut(values: list[int], first: int = 0, bits: int = 16) -> Any:
    table = pydicom.Dataset()
    table.add_new("LUTDescriptor", "US", [len(values), first, bits])
    table.add_new("LUTData", "US", values)
    return pydicom.Sequence([table])


def test_voi_and_modality_tables(tmp_path: Path) -> None:
    pixels = (RAMP // 256).astype(np.uint16)
    table = [row * row for row in range(16)]
    voi = save(tmp_path / "voi.dcm", pixels, VOILUTSequence=lut([225 - v for v in table], bits=8))
    assert column(voi) == pytest.approx((225 - np.array(table)) / 255, abs=2e-5)
    modality = save(tmp_path / "modality.dcm", pixels, ModalityLUTSequence=lut(table))
    assert column(modality) == pytest.approx(np.array(table) / 225, abs=2e-5)


def test_colour_and_palette(tmp_path: Path) -> None:
    rgb = np.zeros((16, 16, 3), np.uint8)
    rgb[:8] = (200, 30, 40)
    assert (decode(save(tmp_path / "rgb.dcm", rgb), 16, 3, np.dtype(np.uint8))[0, 0] == (200, 30, 40)).all()
    ybr = np.full((16, 16, 3), (128, 128, 128), np.uint8)
    path = save(tmp_path / "ybr.dcm", ybr, PhotometricInterpretation="YBR_FULL")
    assert np.abs(decode(path, 16, 3, np.dtype(np.uint8))[0, 0].astype(int) - 128).max() <= 1
    palette: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, values in {"Red": [0, 200], "Green": [0, 30], "Blue": [0, 40]}.items():
        palette[f"{colour}PaletteColorLookupTableDescriptor"] = [2, 0, 8]
        palette[f"{colour}PaletteColorLookupTableData"] = bytes(values)
    path = save(tmp_path / "palette.dcm", np.ones((16, 16), np.uint8), **palette)
    assert (decode(path, 16, 3, np.dtype(np.uint8))[0, 0] == (200, 30, 40)).all()


def test_the_first_frame_with_a_note(tmp_path: Path) -> None:
    frames = np.stack([RAMP, RAMP[::-1]])
    path = save(tmp_path / "a.dcm", frames, NumberOfFrames=2)
    assert column(path) == pytest.approx(share(STORED, 0, 3840), abs=2e-5)
    assert "several frames" in inspect(path).note


@pytest.mark.parametrize("modality", ["SEG", "RTDOSE", "SR"])
def test_what_is_no_picture_is_refused_by_name(tmp_path: Path, modality: str) -> None:
    assert f"modality {modality}" in inspect(save(tmp_path / "a.dcm", Modality=modality)).error


def dicom_folders(root: Path, patients: int = 20, **tags: Any) -> Path:
    for patient in range(patients):
        for view in range(2):
            pixels = (RAMP + patient * 10 + view).astype(np.uint16)
            name = {"PatientID": f"SECRET-{patient}", **tags}
            save(root / "ab"[patient % 2] / f"{patient}-{view}.dcm", pixels, **name)
    return root


def test_patients_come_from_the_files_and_never_lie_on_disk(tmp_path: Path, load_task: Loader, cache: Path) -> None:
    task = load_task(dicom_folders(tmp_path / "set"), val_fraction=0.1)
    members = [set(split.patients or ()) for split in task.splits.values()]
    assert all(members)
    assert sum(map(len, members)) == len(set.union(*members)) == 20
    assert task.splits["train"].images.max() > 60_000  # 8 pixels a side: the edge is averaged
    assert not any(b"SECRET" in path.read_bytes() for path in cache.rglob("*") if path.is_file())


def test_one_identifier_for_all_tells_nothing(tmp_path: Path, load_task: Loader) -> None:
    task = load_task(dicom_folders(tmp_path / "set", PatientID="ANON"))
    assert task.splits["train"].patients is None
    assert any("one PatientID" in note for note in task.card["warnings"])


def test_files_without_an_identifier_among_others_are_asked_about(tmp_path: Path, load_task: Loader) -> None:
    root = dicom_folders(tmp_path / "set")
    save(root / "a" / "bare.dcm", (RAMP + 7).astype(np.uint16))
    with pytest.raises(TaskError, match=r"1 of 41 files have no PatientID \(a/bare.dcm.*patient_pattern"):
        load_task(root)


def test_files_that_are_none_are_named(tmp_path: Path, load_task: Loader) -> None:
    root = dicom_folders(tmp_path / "set")
    (root / "a" / "fake.dcm").write_bytes(b"hello")
    whole = (root / "b" / "1-0.dcm").read_bytes()
    (root / "b" / "short.dcm").write_bytes(whole[:-40])
    with pytest.raises(BadDataError) as caught:
        load_task(root)
    assert len(caught.value.problems) == 2 or "fake" in str(caught.value)
    task = load_task(root, leave_out_bad=True)
    assert {name.split(" ")[2] for name in task.card["left_out"]} == {"a/fake.dcm", "b/short.dcm"}


def test_a_table_names_dicom_files_without_suffix(tmp_path: Path, load_task: Loader) -> None:
    root = dicom_folders(tmp_path / "set")
    rows = [f"{patient}-{view},{patient % 2}" for patient in range(20) for view in range(2)]
    (root / "labels.csv").write_text("image,label\n" + "\n".join(rows))
    assert load_task(root).card["layout"] == "csv"


def test_without_the_extra_one_line_names_it(
    tmp_path: Path, load_task: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TaskError, match=r"40 DICOM files .*pip install 'weight-transfusion\[dicom\]'"):
        load_task(dicom_folders(tmp_path / "set"))


PUBLISHED = {  # of pydicom's own test files: what is wrong with them, or what the picture must be like
    "CT_small.dcm": "",
    "examples_overlay.dcm": "",
    "examples_palette.dcm": "",
    "examples_ybr_color.dcm": "several frames",
    "SC_ybr_full_422_uncompressed.dcm": "",
    "J2K_pixelrep_mismatch.dcm": "",
    "liver_1frame.dcm": "modality SEG",
    "rtdose.dcm": "modality RTDOSE",
    "badVR.dcm": "modality RTDOSE",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files(name: str) -> None:
    from pydicom.data import get_testdata_file

    found = get_testdata_file(name, download=False)
    if not found:
        pytest.skip(f"pydicom does not bring {name}")
    facts = inspect(Path(str(found)))
    if facts.error or facts.note:
        assert any(word in facts.error + facts.note for word in PUBLISHED[name].split("|"))
    if not facts.error:
        shown = decode(Path(str(found)), 32, 1, WORD)
        assert shown.max() > 10_000
        assert np.unique(shown).size > 4
