"""Pretrained weights: found, read safely, and made to fit a model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from transfusion.errors import DonorError
from transfusion.networks.donors import containers, downloads, formats
from transfusion.networks.donors.fitting import Fit, adapt, fit, stem_channels
from transfusion.networks.donors.formats import InputFormat
from transfusion.networks.given import described, is_state, odd_storage

__all__ = ["Donor", "Fit", "InputFormat", "adapt", "file_of", "fingerprint", "fit", "load", "stem_channels"]

_KINDS = "torchvision:NAME, timm:NAME, file:PATH, run:ID"


@dataclass(frozen=True)
class Donor:
    """Pretrained weights in memory.

    Attributes:
        source: where they came from; of published weights, which of a model's.
        state: tensors by name, on the CPU; see ``fit`` for those that a model takes.
        fingerprint: hash of names, shapes, types and values; the same weights have the same one wherever they lie.
        format: how images were brought to it in training, where its publisher says so.
        notes: what the user should know about what was taken, in sentences.
    """

    source: str
    state: dict[str, Tensor]
    fingerprint: str
    format: InputFormat | None = None
    notes: tuple[str, ...] = ()


def load(donor: str, model_name: str | None = None, runs: Callable[[str], Path] | None = None) -> Donor:
    """Find and read a donor's weights.

    Nothing from outside is unpickled freely: safetensors are read as such, anything else with ``weights_only=True``.

    Args:
        donor: ``torchvision:NAME`` or ``torchvision:NAME/WEIGHTS`` (such as ``IMAGENET1K_V1``; the default weights
            without it); ``timm:NAME``, ``timm:NAME.TAG`` or ``timm:hf-hub:ORGANISATION/NAME``; ``file:PATH`` (any
            weight file or folder; ``file:PATH#PREFIX`` takes the tensors under a prefix); ``run:ID`` of the same study.
        model_name: stands in for a NAME left out, as in ``torchvision:``.
        runs: gives the weight file of a run's ID.

    Raises:
        DonorError: there is no such donor, or it cannot be downloaded or read.
        UnsafeFileError: the file holds more than tensors.

    Examples:
        >>> load("nowhere:resnet50")
        Traceback (most recent call last):
        ...
        transfusion.errors.DonorError: There is no donor 'nowhere:resnet50'. Give one of torchvision:NAME, ...
    """
    if not isinstance(donor, str):
        path = f" A file is load('file:{donor}')." if isinstance(donor, os.PathLike) else ""
        raise DonorError(f"A donor's name is one of {_KINDS}; got {described(donor)}.{path}")
    kind, _, name = donor.partition(":")
    if kind in ("torchvision", "timm"):
        name = name or (model_name or "").removeprefix("torchvision:").removeprefix("timm:")
    if kind == "run" and name and runs is None:
        raise DonorError(f"'{donor}' is a run, and runs are known inside a study only. Give file:PATH to its weights.")
    readers: dict[str, Callable[[str], dict[str, Tensor]]] = {
        "torchvision": downloads.from_torchvision,
        "timm": downloads.from_timm,
        "file": _from_file,
        "run": lambda run_id: containers.read(runs(run_id)) if runs else {},
    }
    if kind not in readers or not name:
        raise DonorError(f"There is no donor '{donor}'. Give one of {_KINDS}.")
    # asked before the weights: a name that is wrong costs no download
    told = _format(kind, name)
    source = told.source if told and kind != "file" else donor
    # wrappers such as "module." say nothing, and would give the same weights two fingerprints
    found = containers.stripped(readers[kind](name))
    try:
        state = {key: tensor.cpu() for key, tensor in found.items()}
        mark = fingerprint(state)
    except (RuntimeError, UnicodeError) as error:  # tensors without values, names that are no text
        raise DonorError(
            f"{donor} cannot be used ({containers.first_line(error)}). Save its state_dict() anew."
        ) from None
    notes = (f"The donor {donor} is {source}.",) if source != donor else ()
    return Donor(source, state, mark, told, notes)


def _format(kind: str, name: str) -> InputFormat | None:
    if kind == "torchvision":
        return formats.of_torchvision(*name.split("/", 1))
    if kind == "timm":
        return formats.of_timm(name)
    path = file_of(name)[0]
    if kind != "file" or not (path.is_dir() or path.name in (*containers.USUAL, *containers.INDEX)):
        return None
    return formats.of_folder(path if path.is_dir() else path.parent)


def file_of(name: str) -> tuple[Path, str]:
    """The path and the prefix in ``PATH`` or ``PATH#PREFIX``; a file whose own name has a # is meant first.

    Examples:
        >>> file_of("/no/such.pth#teacher.backbone")[1]
        'teacher.backbone'
    """
    path = Path(os.path.expanduser(name))  # noqa: PTH111  pathlib's own raises where there is no such user
    if "#" not in name or path.exists():
        return path, ""
    start, _, prefix = name.rpartition("#")
    return Path(os.path.expanduser(start)), prefix  # noqa: PTH111


def _from_file(name: str) -> dict[str, Tensor]:
    path, prefix = file_of(name)
    state = containers.read(path)
    return containers.under(state, prefix, str(path)) if prefix else state


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """Hash of names, shapes, types and values, whatever their order: 16 hexadecimal digits.

    Raises:
        DonorError: these are no tensors, or tensors without plain values.

    Examples:
        >>> fingerprint({"w": torch.zeros(2)}) == fingerprint({"w": torch.zeros(2)})
        True
        >>> fingerprint({"w": torch.zeros(2)}) == fingerprint({"v": torch.zeros(2)})
        False
    """
    # of no tensors, too: a comparison of which no network is left has such a one
    if not (state == {} or is_state(state)) or any(odd_storage(tensor) for tensor in state.values()):
        raise DonorError(
            f"A fingerprint is of tensors with values, by name; got {described(state)}. Give .state_dict()."
        )
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(state):  # whoever wrote the file may have had another order
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
