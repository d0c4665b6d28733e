"""Weight files as people publish them, read without free unpickling: the content decides, never the name."""

from __future__ import annotations

import argparse
import collections
import contextlib
import gzip
import io
import json
import pathlib
import pickle
import re
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from transfusion.errors import AbsentDonorError, DonorError, UnsafeFileError
from transfusion.networks.given import described, unwrapped

MOST_BYTES = 1 << 36  # of one weight file that is packed in another
_DEEPEST = 40
_NUM_NAMED = 8
_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".pkl", ".tar", ".th", ".model")
INDEX = (
    "model.safetensors.index.json",
    "pytorch_model.bin.index.json",
    "diffusion_pytorch_model.safetensors.index.json",
)
USUAL = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")
# put between names by torch.compile, FSDP and activation checkpointing
_BETWEEN = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_PICKLE_START = b"\x80"
_LFS_POINTER = b"version https://git-lfs"


def _inert() -> list[Any]:
    """Types that training scripts put beside their tensors, and that do nothing when they are made."""
    scalar = np._core.multiarray.scalar if hasattr(np, "_core") else np.core.multiarray.scalar  # type: ignore[attr-defined]
    old_scalar = (scalar, "numpy.core.multiarray.scalar")
    kinds = [type(np.dtype(kind)) for kind in "?bhilqBHILQefdgFDSU"]
    paths = (pathlib.PosixPath, pathlib.PurePosixPath, pathlib.PureWindowsPath)
    windows = (pathlib.PureWindowsPath, "pathlib.WindowsPath")
    plain = (argparse.Namespace, collections.Counter, set, frozenset, complex, np.dtype)
    return [*plain, scalar, old_scalar, *dict.fromkeys(kinds), *paths, windows]


def read(path: Path) -> dict[str, Tensor]:
    """All tensors in a file or folder by their path in it, such as ``state_dict.layer1.0.conv1.weight``.

    Safetensors, and what ``torch.save`` made (with ``weights_only=True``), plain or packed by gzip, zip or tar;
    shards by their ``index.json``; folders as Hugging Face lays them out, or with one weight file.

    Raises:
        DonorError: there is no such file, or it is not a whole weight file.
        UnsafeFileError: it holds more than tensors.
    """
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        what = "is a pipe, a socket or a device, not a file" if path.exists() else "does not exist"
        raise AbsentDonorError(f"The donor file {path} {what}. Give a .safetensors or .pth file.")
    if path.name.endswith(".index.json"):
        return _read_shards(path)
    try:
        with path.open("rb") as file:
            return flat(_parse(file, path), str(path))
    except OSError as error:
        raise DonorError(f"{path} cannot be read ({error.strerror or error}). Give a file that can.") from None
    except MemoryError:
        raise DonorError(f"There is not enough memory to read {path} ({_size(path)} bytes). Free some.") from None


def _read_folder(folder: Path) -> dict[str, Tensor]:
    for name in INDEX:
        if (folder / name).is_file():
            return _read_shards(folder / name)
    # a usual name wins: optimiser states and samples lie beside the weights
    found = [folder / name for name in USUAL if (folder / name).is_file()][:1]
    found = found or sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.is_file())
    if len(found) == 1:
        return read(found[0])
    listed = ", ".join(path.name for path in found[:_NUM_NAMED])
    what = f"several weight files ({listed})" if found else "no weight file"
    raise DonorError(f"The donor file {folder} is a folder with {what}. Give the file that is meant.")


def _read_shards(index: Path) -> dict[str, Tensor]:
    try:
        places: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        parts = sorted(set(places.values()))
        outside = [
            part for part in parts if Path(part).name != part or part.endswith(".index.json")
        ]  # "../" could name any file of the user's
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DonorError(f"{index} is not an index of weight files ({first_line(error)}). Download it again.") from None
    absent = [part for part in parts if not (index.parent / part).is_file()]
    if outside or absent:
        raise DonorError(f"{index} names files that are not beside it: {', '.join((outside or absent)[:_NUM_NAMED])}.")
    tensors: dict[str, Tensor] = {}
    for part in parts:
        tensors |= read(index.parent / part)
    missing = [name for name in places if name not in tensors]
    if missing:
        raise DonorError(f"{index} names tensors that its files lack: {', '.join(missing[:_NUM_NAMED])}.")
    return {name: tensors[name] for name in places}


def _parse(file: IO[bytes], path: Path, depth: int = 0) -> Any:
    start = file.read(512)
    file.seek(0)
    # a gzip of a tar at most: an archive that holds itself would never end
    if start.startswith(b"\x1f\x8b") and depth < 2:
        return _parse(_unpacked(gzip.GzipFile(fileobj=file), path), path, depth + 1)
    if start[257:262] == b"ustar" and depth < 2:
        return _parse(_of_tar(file, path), path, depth + 1)
    if start.startswith(b"PK\x03\x04") and depth < 2:
        member = _of_zip(file, path)
        return _load(file, path) if member is None else _parse(member, path, depth + 1)
    # safetensors: length of the header, then JSON
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 30:
        return _guarded(lambda: load_safetensors(file.read()), path)
    known = {_LFS_POINTER: "a Git LFS pointer, not the weights", b"\x89HDF": "HDF5 (Keras)", b"<!": "a web page"}
    said = next((what for magic, what in known.items() if start.startswith(magic)), None)
    if said:
        raise DonorError(f"{path} is {said}. Give .safetensors, or a .pth with a state dict.")
    return _load(file, path)


def _unpacked(packed: Any, path: Path) -> IO[bytes]:
    content = io.BytesIO()
    while block := _guarded(lambda: packed.read(1 << 24), path):
        # counted while unpacking: what an archive says of itself may be a lie
        if content.tell() + len(block) > MOST_BYTES:
            raise DonorError(
                f"{path} unpacks to more than {MOST_BYTES >> 30} GiB. Unpack it, and give the file inside."
            )
        content.write(block)
    content.seek(0)
    return content


def _of_zip(file: IO[bytes], path: Path) -> IO[bytes] | None:
    """The one weight file in an archive; None for an archive that ``torch.save`` made."""

    def entries() -> list[zipfile.ZipInfo]:
        with zipfile.ZipFile(file) as archive:
            return archive.infolist()

    members: list[zipfile.ZipInfo] = _guarded(entries, path)
    if any(member.filename.endswith("/data.pkl") or member.filename == "data.pkl" for member in members):
        _check_sums(file, members, path)  # torch.save writes a zip
        file.seek(0)
        return None
    name = _only_weights([member.filename for member in members], path)
    return _unpacked(zipfile.ZipFile(file).open(name), path)


def _check_sums(file: IO[bytes], members: list[zipfile.ZipInfo], path: Path) -> None:
    """Read every tensor once: ``torch.load`` compares no checksum, and would take a damaged weight for a weight."""
    # torch.save compresses nothing, and entries that overlap could be of any size together
    stored = [member for member in members if member.compress_type == zipfile.ZIP_STORED]
    if sum(member.file_size for member in stored) > file.seek(0, io.SEEK_END):
        raise DonorError(f"{path} is not a whole weight file: its parts overlap. Download or save it again.")
    archive = zipfile.ZipFile(file)
    for member in stored:
        try:
            with archive.open(member) as content:
                while content.read(1 << 24):
                    pass
        except zipfile.BadZipFile:
            raise DonorError(
                f"{path} is damaged: the checksum of {member.filename} does not fit what it holds. Download or save it "
                "again."
            ) from None


def _of_tar(file: IO[bytes], path: Path) -> IO[bytes]:
    archive: tarfile.TarFile = _guarded(lambda: tarfile.TarFile(fileobj=file), path)
    name = _only_weights([m.name for m in _guarded(archive.getmembers, path) if m.isfile()], path)
    member = archive.extractfile(name)
    assert member is not None
    return _unpacked(member, path)


def _only_weights(members: list[str], path: Path) -> str:
    found = [name for name in members if name.endswith(_SUFFIXES) and not Path(name).name.startswith(".")]
    if len(found) != 1:
        listed = ", ".join(found[:_NUM_NAMED]) or "none"
        raise DonorError(
            f"{path} ({_size(path)} bytes) is not a whole weight file: an archive with weight files {listed}. "
            "Unpack it, and give the one that is meant."
        )
    return found[0]


def _load(file: IO[bytes], path: Path) -> Any:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_inert()):
            warnings.simplefilter("ignore")  # pickle protocols of files that are refused anyway
            return torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # the restricted unpickler fails in any way on a file of another kind
        if _needs_unpickling(file, error):
            raise UnsafeFileError(
                f"{path} holds more than tensors ({_culprit(error)}), and reading it would run whatever code it "
                "contains. Load it where you trust it, and save its state_dict() as safetensors."
            ) from None
        raise DonorError(_unreadable(path, error)) from None


def _guarded(action: Callable[[], Any], path: Path) -> Any:
    """Any exception of a library on damaged content is one line about the file."""
    try:
        return action()
    except MemoryError:
        raise
    except Exception as error:  # zlib.error, struct.error, BadZipFile, RuntimeError of encrypted archives ...
        raise DonorError(_unreadable(path, error)) from None


def _needs_unpickling(file: IO[bytes], error: Exception) -> bool:
    if "TorchScript" in str(error):
        return True
    with contextlib.suppress(ValueError):
        file.seek(0)
    is_pickle = file.read(1) == _PICKLE_START
    return isinstance(error, pickle.UnpicklingError) and (is_pickle or "GLOBAL" in str(error))


def _culprit(error: Exception) -> str:
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    return named[1] if named else "a pickled program"


def _unreadable(path: Path, error: Exception) -> str:
    return (
        f"{path} ({_size(path)} bytes) is not a whole weight file ({first_line(error)}). "
        "Give .safetensors, or a .pth with a state dict."
    )


def _size(path: Path) -> int:
    return path.stat().st_size


def first_line(error: Exception) -> str:
    """An exception in a few words."""
    lines = re.split(r"(?<=\w)[.:]\s|\n", str(error).strip())
    return f"{type(error).__name__}: {lines[0].strip()}" if lines[0] else type(error).__name__


def flat(payload: Any, where: str) -> dict[str, Tensor]:
    """Tensors of nested dictionaries by their path.

    Raises:
        DonorError: there are none, or some are sparse or quantised.

    Examples:
        >>> list(flat({"epoch": 3, "net": {"a.weight": torch.zeros(1), "b": {"bias": torch.zeros(1)}}}, "file"))
        ['net.a.weight', 'net.b.bias']
    """
    found = dict(_walk(payload, "", frozenset()))
    if not found:
        raise DonorError(f"{where} holds no tensors by name. Give a file with a model's state_dict().")
    odd = [name for name, tensor in found.items() if tensor.layout != torch.strided or tensor.is_quantized]
    if odd:
        raise DonorError(
            f"{where} has sparse or quantised tensors ({', '.join(odd[:_NUM_NAMED])}). Give plain weights."
        )
    return found


def tensors_of(given: object) -> dict[str, Tensor]:
    """Tensors by name of what is given as a donor: a network, a state dict, or a checkpoint that holds one.

    Wrappers' words within names (those of ``torch.compile``, FSDP, activation checkpointing) are left out.

    Raises:
        DonorError: it is something else, or holds no tensors.

    Examples:
        >>> list(tensors_of({"epoch": 3, "net": {"_orig_mod.weight": torch.zeros(1)}}))
        ['net.weight']
        >>> tensors_of("weights.pth")
        Traceback (most recent call last):
        ...
        transfusion.errors.DonorError: A donor is a network or a state dict; got the str 'weights.pth'. ...
    """
    if isinstance(given, nn.Module):
        given = unwrapped(given).state_dict()
    if not isinstance(given, Mapping):
        advice = "Give its .state." if hasattr(given, "state") else "Give donor=network, or donor=network.state_dict()."
        if isinstance(given, (str, bytes, PathLike)):
            advice = "Read a file first: donor=transfusion.networks.donors.load('file:PATH').state."
        raise DonorError(f"A donor is a network or a state dict; got {described(given)}. {advice}")
    found = {_BETWEEN.sub("", name): tensor for name, tensor in _walk(given, "", frozenset())}
    if not found:
        one = next((f" ('{name}' is {described(value)})" for name, value in given.items()), "")
        raise DonorError(f"The donor holds no tensors by name{one}. Give a network's state_dict().")
    return found


def stripped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors without what all their names begin with, part by part.

    Examples:
        >>> list(stripped({"model.a.weight": torch.zeros(1), "model.b.weight": torch.zeros(1)}))
        ['a.weight', 'b.weight']
    """
    while (first := _shared(tensors)) is not None:
        tensors = {name.removeprefix(first): tensor for name, tensor in tensors.items()}
    return tensors


def under(tensors: dict[str, Tensor], prefix: str, where: str) -> dict[str, Tensor]:
    """Only the tensors under a prefix, and without it.

    Raises:
        DonorError: there are none; names what there is.

    Examples:
        >>> list(under({"teacher.a.weight": torch.zeros(1), "student.a.weight": torch.zeros(1)}, "teacher", "file"))
        ['a.weight']
    """
    start = f"{prefix.rstrip('.')}."
    for named in (tensors, stripped(tensors)):
        found = {name.removeprefix(start): tensor for name, tensor in named.items() if name.startswith(start)}
        if found:
            return found
    parts = list(dict.fromkeys(name.partition(".")[0] for name in stripped(tensors)))
    raise DonorError(f"{where} has nothing under '{prefix}'. It has {', '.join(parts[:_NUM_NAMED])}.")


def _walk(value: Any, path: str, above: frozenset[int]) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        if path:
            yield path, value.detach()
    elif isinstance(value, Mapping) and id(value) not in above and len(above) < _DEEPEST:  # a dict may hold itself
        for key, inner in value.items():
            yield from _walk(inner, f"{path}.{key}" if path else str(key), above | {id(value)})


def _shared(found: Mapping[str, Tensor]) -> str | None:
    """The first part of all names, where all share one and continue after it."""
    first = next(iter(found)).partition(".")
    prefix = f"{first[0]}."
    return prefix if first[2] and all(name.startswith(prefix) for name in found) else None  # a whole name is no prefix
