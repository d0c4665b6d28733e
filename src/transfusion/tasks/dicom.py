"""DICOM files as they are meant to be shown: rescaled, windowed, light on dark. Needs the extra ``dicom``.

The order is the standard's (PS3.3, C.11): stored values, modality LUT or slope and intercept, then VOI LUT or window,
then the polarity. Padding is black. Of several frames or windows the first counts. Pixels are read by pydicom and,
where they are compressed, by GDCM.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pydicom import Dataset

PREAMBLE = 128
NO_PICTURES = frozenset(
    (
        "SEG",
        "RTDOSE",
        "RTSTRUCT",
        "RTPLAN",
        "RTIMAGE",
        "SR",
        "PR",
        "KO",
        "DOC",
        "REG",
        "RWV",
        "ECG",
        "AU",
        "PLAN",
        "FID",
    )
)
NEEDED = ("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsStored")
FULL = 65535


def is_dicom(content: bytes, suffix: str = "") -> bool:
    """Whether these are the first bytes of a DICOM file; one without the usual preamble is known by its suffix."""
    return content[PREAMBLE : PREAMBLE + 4] == b"DICM" or suffix.lower() in (".dcm", ".dicom", ".dic", ".ima")


def header(content: bytes) -> dict[str, Any]:
    """What the header says: ``mode``, ``width``, ``height``, ``error``, ``note``, and a hash of the patient.

    The identifier of the patient is never kept in clear.
    """
    dataset = _dataset(content)
    modality = str(dataset.get("Modality", ""))
    if modality in NO_PICTURES:
        return {"error": f"a DICOM file of modality {modality} is not a picture"}
    if "PixelData" not in dataset:
        return {"error": f"a DICOM file without pixels (modality {modality or 'not given'})"}
    missing = [name for name in NEEDED if name not in dataset]
    if missing:
        return {"error": f"a DICOM file without {', '.join(missing)}"}
    # palettes are colour
    grey = int(dataset.SamplesPerPixel) == 1 and dataset.PhotometricInterpretation != "PALETTE COLOR"
    patient = str(dataset.get("PatientID", "")).strip()
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    return {
        "mode": "DICOM;16" if grey else "RGB",
        "width": int(dataset.Columns),
        "height": int(dataset.Rows),
        # enough to distinguish people
        "patient": hashlib.blake2b(patient.encode(), digest_size=8).hexdigest() if patient else "",
        "note": "several frames, of which the first is read" if frames > 1 else "",
    }


def pixels(content: bytes, window: tuple[int, int] | None = None) -> np.ndarray:
    """The picture as it is meant to be shown.

    Args:
        content: of the file.
        window: lowest and highest value shown, after rescaling; None takes the file's own window or LUT, or all values.

    Returns:
        (height, width, 1) uint16, or (height, width, 3) uint8 for colour.

    Raises:
        Exception: whatever pydicom raises on files that are damaged.
    """
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    dataset = _dataset(content)
    stored = pixel_array(dataset, index=0)  # one frame: a volume would take all memory
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)
    if stored.ndim == 3:
        depth = (
            8 * stored.dtype.itemsize if dataset.PhotometricInterpretation == "PALETTE COLOR" else dataset.BitsStored
        )
        return stored if depth == 8 else (stored >> max(int(depth) - 8, 0)).astype(np.uint8)
    shown = _windowed(_rescaled(stored, dataset), dataset, _padding(stored, dataset), window)
    if _is_inverse(dataset):
        shown = 1 - shown
    shown[_padding(stored, dataset)] = 0  # after the inversion, which would make it white
    deep: np.ndarray = np.rint(shown * FULL).astype(np.uint16)
    return deep[..., None]


def _dataset(content: bytes) -> Dataset:
    from pydicom import dcmread

    return dcmread(io.BytesIO(content))


def _group(dataset: Dataset, sequence: str) -> Dataset:
    """Where an attribute stands: the file itself, or in enhanced files the first frame's groups, then all frames'."""
    for groups in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        for frame in list(dataset.get(groups, []))[:1]:
            if frame.get(sequence):
                found: Dataset = frame[sequence][0]
                return found
    return dataset


def _padding(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = dataset.get("PixelPaddingRangeLimit", value)
    low, high = sorted((int(value), int(limit)))  # the standard allows either order
    return (stored >= low) & (stored <= high)


def _rescaled(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Stored values in the units of the modality, as float64."""
    from pydicom.pixels.processing import apply_modality_lut

    if "ModalityLUTSequence" in dataset:
        return apply_modality_lut(stored, dataset).astype(np.float64)
    source = _group(dataset, "PixelValueTransformationSequence")
    slope, intercept = source.get("RescaleSlope"), source.get("RescaleIntercept")
    return stored * float(1 if slope is None else slope) + float(intercept or 0)


def _windowed(values: np.ndarray, dataset: Dataset, padding: np.ndarray, window: tuple[int, int] | None) -> np.ndarray:
    """Values as shares of what is shown, in 0..1."""
    from pydicom.pixels.processing import apply_voi

    source = _group(dataset, "FrameVOILUTSequence")
    if window is None and "VOILUTSequence" in dataset:
        top = 2 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
        looked_up: np.ndarray = np.clip(apply_voi(values.astype(np.int64), dataset, index=0) / top, 0, 1)
        return looked_up
    if window is None and source.get("WindowCenter") is not None and source.get("WindowWidth") is not None:
        return _by_window(values, source)
    known = values[~padding] if (~padding).any() else values  # padding lies far outside and would squeeze the rest
    low, high = window or (float(known.min()), float(known.max()))
    return _shares(values, low, high)


def _by_window(values: np.ndarray, source: Dataset) -> np.ndarray:
    """The three functions of PS3.3, C.11.2.1.2 and C.11.2.1.3."""
    center, width = (
        float(np.atleast_1d(np.asarray(source[name].value, float))[0]) for name in ("WindowCenter", "WindowWidth")
    )
    function = source.get("VOILUTFunction", "LINEAR")
    if function == "SIGMOID":
        sigmoid: np.ndarray = 1 / (1 + np.exp(-4 * (values - center) / width))
        return sigmoid
    if function == "LINEAR" and width > 1:
        center, width = center - 0.5, width - 1
    return _shares(values, center - width / 2, center + width / 2)


def _shares(values: np.ndarray, low: float, high: float) -> np.ndarray:
    shares: np.ndarray = np.clip((values - low) / max(high - low, np.finfo(np.float64).tiny), 0, 1)
    return shares


def _is_inverse(dataset: Dataset) -> bool:
    """Whether low values are light."""
    kind, shape = str(dataset.PhotometricInterpretation), str(dataset.get("PresentationLUTShape", ""))
    return kind == "MONOCHROME1" or (kind == "MONOCHROME2" and shape == "INVERSE")
