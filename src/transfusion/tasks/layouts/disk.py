"""Finding pictures on disk, each once, and what to pass over."""

from __future__ import annotations

import fnmatch
import importlib.util
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from transfusion.errors import TaskError
from transfusion.spec import TaskSpec
from transfusion.tasks.listing import Problem
from transfusion.tasks.names import listed, shown
from transfusion.tasks.split_names import SplitNames

PICTURE_SUFFIXES = frozenset(
    ".apng .avif .bmp .dib .gif .j2c .j2k .jfif .jp2 .jpc .jpe .jpeg .jpf .jpg .jpx .pbm .pcx .pgm .png .pnm "  # noqa: SIM905
    ".ppm .tga .tif .tiff .webp".split()
)
DICOM_SUFFIXES = frozenset((".dcm", ".dicom", ".dic", ".ima"))
OTHER_SUFFIXES = frozenset(
    ".bib .cfg .csv .db .doc .docx .gz .html .ini .ipynb .json .jsonl .lock .log .md .md5 .npy .npz .parquet .pdf "  # noqa: SIM905
    ".pkl .pth .py .r .rar .rst .sh .sha256 .sql .tab .tar .tsv .txt .url .xls .xlsx .xml .yaml .yml .zip".split()
)
FOREIGN = {
    ".nii": "NIfTI volumes",
    ".gz": "NIfTI volumes",  # of .nii.gz; other archives are recognised by their full name
    ".mha": "MetaImage volumes",
    ".mhd": "MetaImage volumes",
    ".nrrd": "NRRD volumes",
    ".svs": "whole slides",
    ".ndpi": "whole slides",
    ".mrxs": "whole slides",
    ".heic": "HEIC photographs",
    ".heif": "HEIC photographs",
    ".dng": "raw photographs",
    ".avi": "videos",
    ".mp4": "videos",
    ".mov": "videos",
    ".mat": "MATLAB arrays",
}
# named only where they lie among pictures, or in a folder of their own beside folders of pictures
LONE = {
    **dict.fromkeys((".npy", ".npz", ".h5", ".hdf5", ".pt", ".pkl"), "arrays"),
    **dict.fromkeys((".fits", ".fit", ".raw", ".bin", ".exr", ".jxl", ".psd", ".svg", ".eps"), "pictures"),
    **dict.fromkeys((".czi", ".nd2", ".lif", ".vsi", ".scn", ".bif"), "microscope files"),
    **dict.fromkeys((".cr2", ".nef", ".arw", ".orf"), "raw photographs"),
    **dict.fromkeys((".wmv", ".mkv", ".webm", ".m4v"), "videos"),
    **dict.fromkeys((".crdownload", ".part", ".download", ".tmp"), "unfinished downloads"),
    **dict.fromkeys((".bak", ".old", ".orig", ".swp"), "backups"),
    **dict.fromkeys((".zip", ".tar", ".7z", ".rar"), "archives, not unpacked"),
}
NO_CONTENT = frozenset(".bak .crdownload .download .old .orig .part .swp .tmp".split())  # noqa: SIM905  whole or not
ARCHIVES = frozenset((".zip", ".tar", ".tgz", ".7z", ".rar"))
MAGIC = (
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|BM....\0\0\0\0|II\*\0|MM\0\*|RIFF....WEBP|"
    rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51|....ftypavi[fs]|P[1-6]\s"
)
MASK = re.compile(
    r"[ _.-]+(?:mask|masks|seg|segmentation|gt|groundtruth|ground_truth|annotation|annotated|superpixels|overlay|"
    r"label|contour|roi)(?:[ _.-]*\d+)?$",
    re.IGNORECASE,
)
MASK_FOLDER = re.compile(r"masks?|segmentations?|annotations?|ground[ _-]?truths?|superpixels|contours", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """What lies below a folder.

    Attributes:
        root: the folder.
        pictures: every picture once, in the order of the names.
        others: how many other files of which suffix.
        problems: files that look as if they were meant and are not read.
        notes: what was passed over on purpose.
    """

    root: Path
    pictures: list[Path]
    others: dict[str, int]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    _places: dict[Path, PurePosixPath] = field(default_factory=dict)

    def place(self, path: Path) -> PurePosixPath:
        """The path of a picture below the folder."""
        if path not in self._places:
            self._places[path] = PurePosixPath(path.relative_to(self.root).as_posix())
        return self._places[path]


def is_clutter(name: str) -> bool:
    """Hidden files, and what file managers and archives leave behind."""
    return name.startswith(".") or name.lower() in {"thumbs.db", "desktop.ini", "__macosx"}


def files_below(root: Path) -> list[Path]:
    """Every file below ``root`` that is not clutter, once, in the order of the names.

    Links are followed after the folders themselves, and only to what has not been seen: a link that leads back
    up, or to a folder beside it, adds nothing.
    """
    return [Path(path) for path in sorted(_walk(str(root)), key=lambda path: path.split("/"))]


def _walk(root: str) -> Iterator[str]:
    # os.walk and strings: pathlib takes several times as long on 100,000 files
    seen, pending, file_links = set[str](), [root], []
    while pending:
        start = pending.pop(0)
        real_start = os.path.realpath(start)
        # a link to a folder above
        if real_start in seen or (start != root and _is_within(os.path.realpath(root), real_start)):
            continue
        for folder, subfolders, names in os.walk(start):
            seen.add(os.path.realpath(folder))
            kept = [name for name in subfolders if not is_clutter(name)]
            links = {name for name in kept if os.path.islink(f"{folder}/{name}")}  # noqa: PTH114
            pending += [f"{folder}/{name}" for name in sorted(links)]
            subfolders[:] = [name for name in kept if name not in links]
            paths = [f"{folder}/{name}" for name in names if not is_clutter(name)]
            file_links += [path for path in paths if os.path.islink(path)]  # noqa: PTH114
            yield from (path for path in paths if not os.path.islink(path))  # noqa: PTH114
    yield from _new_targets(file_links, seen)


def _is_within(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(outer.rstrip(os.sep) + os.sep)


def _new_targets(links: Sequence[str], walked: set[str]) -> Iterator[str]:
    """Links to files that do not lie in a folder that was walked anyway."""
    for link in links:
        target = Path(os.path.realpath(link))
        if str(target.parent) not in walked or is_clutter(target.name) or not target.exists():
            yield link


def scan(root: Path, spec: TaskSpec) -> Found:
    """Find the pictures below ``root``, by suffix or, where that says nothing, by their first bytes.

    Raises:
        TaskError: if there are DICOM files and the package that reads them is not installed.
    """
    pictures, others, foreign, left, lone, packed = [], Counter[str](), defaultdict(list), Counter[str](), [], []
    for path in files_below(root):
        suffix = path.suffix.lower()
        pattern = _pattern_for(path, root, spec.leave_out)
        if pattern:
            left[pattern] += 1
        elif suffix in PICTURE_SUFFIXES or (suffix not in OTHER_SUFFIXES | NO_CONTENT and _is_picture(path)):
            pictures.append(path)
        else:
            others[suffix or path.name] += 1
            packed += [path] * (suffix in ARCHIVES)
            if suffix in FOREIGN and (suffix != ".gz" or path.name.lower().endswith(".nii.gz")):
                foreign[path.parent, FOREIGN[suffix]].append(path)
            elif suffix in LONE and path.parent != root:
                lone.append(path)
    _need_dicom(root, pictures)
    kept, masks = _without_masks(pictures)
    notes = [f"{count} files were left out by task.leave_out '{pattern}'." for pattern, count in left.items()]
    if masks:
        example = shown(masks[0].relative_to(root).as_posix())
        notes.append(f"{len(masks)} files are masks of other pictures ({example}, ...) and were not used as pictures.")
    if packed:
        names = listed(path.relative_to(root).as_posix() for path in packed)
        notes.append(f"Archives are not opened: {names}. Unpack what belongs to the data.")
    for path in _unaccompanied(root, lone, pictures):
        foreign[path.parent, LONE[path.suffix.lower()]].append(path)
    return Found(root, kept, dict(others), tuple(_foreign_problems(root, foreign)), tuple(notes))


def _unaccompanied(root: Path, lone: Sequence[Path], pictures: Sequence[Path]) -> list[Path]:
    """Files that may stand for pictures: in a class folder, and not of the name of a picture there."""
    stems = {(path.parent, path.stem) for path in pictures}
    holding = {folder for folder, _ in stems}
    beside = {folder.parent for folder in holding if folder != root}
    above = {parent for folder in holding for parent in folder.parents}

    def is_meant(path: Path) -> bool:
        if (path.parent, path.stem) in stems or path.parent in above:
            return False
        if path.parent in holding:
            return not LONE[path.suffix.lower()].startswith("archives")
        return path.parent.parent in beside

    return [path for path in lone if is_meant(path)]


def _pattern_for(path: Path, root: Path, patterns: Sequence[str]) -> str | None:
    if not patterns:
        return None
    place = path.relative_to(root).as_posix()
    return next((pattern for pattern in patterns if fnmatch.fnmatch(place, pattern)), None)


def _is_picture(path: Path) -> bool:
    if path.suffix.lower() in DICOM_SUFFIXES:
        return True
    if not path.is_file():  # opening a pipe waits for whoever writes into it
        return False
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError:
        return False
    return bool(re.match(MAGIC, head, re.DOTALL)) or head[128:] == b"DICM"


def is_dicom(path: Path) -> bool:
    """Whether a file that ``scan`` found is DICOM: by its suffix, or for one without a usual suffix, its start."""
    suffix = path.suffix.lower()
    if suffix in DICOM_SUFFIXES or suffix in PICTURE_SUFFIXES:
        return suffix in DICOM_SUFFIXES
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _need_dicom(root: Path, pictures: Sequence[Path]) -> None:
    if importlib.util.find_spec("pydicom"):
        return
    found = [path for path in pictures if is_dicom(path)]
    if found:
        raise TaskError(
            f"{root} has {len(found)} DICOM files ({shown(found[0].name)}, ...), which need the extra: "
            "pip install 'weight-transfusion[dicom]'. Or convert them to PNG."
        )


def _foreign_problems(root: Path, foreign: dict[tuple[Path, str], list[Path]]) -> Iterator[Problem]:
    for (folder, sort), paths in foreign.items():
        where = shown(paths[0].relative_to(root).as_posix()) if len(paths) == 1 else _folder_name(root, folder)
        yield Problem("file that is not read", where, f"{len(paths)} {sort}; convert them to PNG")


def _folder_name(root: Path, folder: Path) -> str:
    return "./" if folder == root else f"{shown(folder.relative_to(root).as_posix())}/"


def _without_masks(pictures: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Take out masks: ``a_mask.png`` beside ``a.png``, and ``masks/a.png`` beside ``images/a.png``."""
    named = {path: (path.parent, path.stem.lower()) for path in pictures}
    stems = set(named.values())
    plain: dict[Path, set[str]] = defaultdict(set)  # stems of pictures in and right below a folder
    for folder, stem in stems:
        if not MASK_FOLDER.fullmatch(folder.name):
            plain[folder.parent].add(stem)
            plain[folder].add(stem)

    def is_mask(path: Path) -> bool:
        folder, stem = named[path]
        bare = MASK.sub("", stem)
        if bare != stem and (folder, bare) in stems:
            return True
        return bool(MASK_FOLDER.fullmatch(folder.name)) and bare in plain[folder.parent]

    masks = [path for path in pictures if is_mask(path)]
    gone = set(masks)
    return [path for path in pictures if path not in gone], masks


def inner_folders(places: Sequence[PurePosixPath], spec: TaskSpec) -> list[tuple[str, ...]]:
    """The folders of every picture without those that name a split or are the same for all."""
    names = SplitNames(spec)
    inner = [
        tuple(part for part in place.parts[:-1] if names.of(part) not in ("train", "val", "test")) for place in places
    ]
    deep = [parts for parts in inner if parts]
    # what all have in common says nothing, but the last level stays: it may be the only class there is
    while deep and len({parts[0] for parts in deep}) == 1 and all(len(parts) > 1 for parts in deep):
        deep = [parts[1:] for parts in deep]
        inner = [parts[1:] for parts in inner]
    return inner


def instead(others: Mapping[str, int]) -> str:
    """What lies there where pictures were expected, for a message."""
    most = sorted(others.items(), key=lambda pair: -pair[1])
    told = [
        f"{count} {suffix} ({sort})" if (sort := {**LONE, **FOREIGN}.get(suffix)) else f"{count} {suffix}"
        for suffix, count in most
    ]
    return f", but {listed(told)}" if told else ""


def subfolders(root: Path) -> list[Path]:
    """The folders right below ``root`` that are not clutter, in the order of the names."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not is_clutter(path.name))


def by_folder(sort: str, paths: Iterable[Path], root: Path, detail: str = "") -> Iterator[Problem]:
    """The same problem of many pictures, reported once for each folder that has more than three of them."""
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        folders[path.parent].append(path)
    for folder, members in folders.items():
        if len(members) > 3:
            yield Problem(sort, _folder_name(root, folder), f"{len(members)} pictures{detail and ', ' + detail}")
        else:
            yield from (Problem(sort, shown(path.relative_to(root).as_posix()), detail) for path in members)
