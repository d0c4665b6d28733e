"""Weights and other tensors on disk, with a fingerprint by which damage is noticed."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from transfusion.errors import StoreError
from transfusion.files import reading, write_atomically
from transfusion.networks.donors import fingerprint

FINGERPRINT = "fingerprint"  # of the tensors, in the header of their file


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write safetensors atomically, with their fingerprint; tensors may share memory or be strided."""
    # safetensors refuses tensors that share memory, as tied weights do, and strided ones
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    metadata = {FINGERPRINT: fingerprint(plain)}
    write_atomically(path, lambda temporary: _save(plain, temporary, metadata))


def _save(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:  # it has no other kind, also for a full disk
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(str(error)) from error


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read safetensors; a fingerprint in them must fit.

    Raises:
        StoreError: if they are damaged or not there.
    """
    remedy = "Run the same study command again: it repairs the run."
    with reading(str(path), remedy, StoreError), _utf8(path) as name:
        with safe_open(name, framework="pt") as file:
            noted = (file.metadata() or {}).get(FINGERPRINT)
        tensors = load_file(name)
    if noted not in (None, fingerprint(tensors)):  # None: files of other programs carry none
        raise StoreError(f"{path} is damaged: its tensors are not those that were written. {remedy}")
    return tensors


@contextlib.contextmanager
def _utf8(path: Path) -> Iterator[str]:
    """A name of a file that safetensors opens: it takes no bytes that are not UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with path.open("rb") as file:
            yield f"/dev/fd/{file.fileno()}"  # a name of ASCII for the same file
    else:
        yield str(path)


def write_weights(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write weights for others: safetensors, or what ``torch.save`` makes where the name ends in .pth or .pt."""
    if path.suffix in (".pth", ".pt"):
        write_atomically(path, lambda temporary: save_pickled(tensors, temporary))
    elif path.suffix == ".safetensors":
        write_tensors(path, tensors)
    else:
        raise StoreError(f"Weights cannot be written to {path}: name it .safetensors, .pth or .pt.")


def save_pickled(values: Any, path: Path) -> None:
    """``torch.save``; what cannot be written is an OSError, as it is of any other file."""
    # given a path, torch writes by C++ and reports a full disk as a RuntimeError
    with path.open("wb") as file:
        try:
            torch.save(values, file)
        except RuntimeError as error:  # of the archive that cannot be ended, after what could not be written to it
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise


def is_whole(path: Path) -> bool:
    """Whether the tensors of a file are those that were written."""
    try:
        read_tensors(path)
    except StoreError:
        return False
    return True
