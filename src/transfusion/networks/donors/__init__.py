"""Pretrained weights: found, read safely, and made to fit a model."""

from __future__ import annotations

import hashlib
import pickle
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from transfusion.errors import DonorError, DonorMismatchError, UnsafeFileError
from transfusion.networks.donors import formats
from transfusion.networks.donors.formats import InputFormat
from transfusion.networks.seeding import isolated_rng
from transfusion.networks.structure import head

_KINDS = "torchvision:NAME, timm:NAME, file:PATH, run:ID"
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.", "model.")
# auxiliary classifiers of torchvision's Inception and GoogLeNet, which our models are built without
_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")
# torchvision's published DenseNet files have "norm.1" for what its code calls "norm1"
_OLD_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.([12]\..+)")
_POSITIONS = re.compile(r"(?:.*\.)?pos_embed(?:ding)?")
_NUM_NAMED = 6
_PICKLE_START = b"\x80"


@dataclass(frozen=True)
class Donor:
    """Pretrained weights in memory.

    Attributes:
        source: where they came from; of published weights, which of a model's.
        state: tensors by name, on the CPU.
        fingerprint: hash of names, shapes, types and values; the same weights have the same one wherever they lie.
        format: how its images were brought to it in training, where its publisher says so.
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
            without it); ``timm:NAME`` or ``timm:NAME.TAG`` (hub weights, through timm's own cache); ``file:PATH``
            (safetensors, or a ``.pth`` that holds a state dict); ``run:ID`` of the same study.
        model_name: stands in for a NAME left out, as in ``torchvision:``.
        runs: gives the weight file of a run's ID.

    Raises:
        DonorError: there is no such donor, or it cannot be downloaded or read.
        UnsafeFileError: the file holds more than tensors.

    Example:
        >>> load("nowhere:resnet50")
        Traceback (most recent call last):
        ...
        transfusion.errors.DonorError: There is no donor 'nowhere:resnet50'. Give one of torchvision:NAME, ...
    """
    kind, _, name = donor.partition(":")
    if kind in ("torchvision", "timm"):
        name = name or (model_name or "").rpartition(":")[2]
    if kind == "run" and name and runs is None:
        raise DonorError(f"'{donor}' is a run, and runs are known inside a study only. Give file:PATH to its weights.")
    readers: dict[str, Callable[[str], dict[str, Tensor]]] = {
        "torchvision": _from_torchvision,
        "timm": _from_timm,
        "file": lambda path: _from_file(Path(path).expanduser()),
        "run": lambda run_id: _from_file(runs(run_id)) if runs else {},
    }
    if kind not in readers or not name:
        raise DonorError(f"There is no donor '{donor}'. Give one of {_KINDS}.")
    published = _format(kind, name)
    source = published.source if published else donor
    state = {key: tensor.detach().cpu() for key, tensor in readers[kind](name).items()}
    notes = (f"The donor {donor} is {source}.",) if source != donor else ()
    return Donor(source, state, fingerprint(state), published, notes)


def _format(kind: str, name: str) -> InputFormat | None:
    if kind == "torchvision":
        return formats.of_torchvision(*name.split("/", 1))
    return formats.of_timm(name) if kind == "timm" else None


def stem_channels(state: Mapping[str, Tensor], model: nn.Module) -> int | None:
    """The number of image channels that a donor's first convolution takes; None where it has none.

    Example:
        >>> stem_channels(nn.Conv2d(1, 4, 3).state_dict(), nn.Conv2d(3, 4, 3))
        1
    """
    first = _first_convolution(model)
    return int(state[first].shape[1]) if first in state else None


def _first_convolution(model: nn.Module) -> str:
    name = next((name for name, module in model.named_modules() if isinstance(module, _ConvNd)), None)
    return "" if name is None else f"{name}.weight".lstrip(".")


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """Hash of names, shapes, types and values, whatever their order: 16 hexadecimal digits.

    Example:
        >>> fingerprint({"w": torch.zeros(2)}) == fingerprint({"w": torch.zeros(2)})
        True
        >>> fingerprint({"w": torch.zeros(2)}) == fingerprint({"v": torch.zeros(2)})
        False
    """
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def adapt(donor_state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Make a donor's tensors fit a model, whose head may differ.

    - a one-channel model takes the sum of an RGB donor's first kernel over the colours, so that a grey image gives
      the same response as its three equal channels gave;
    - positional embeddings of another image size are resampled (bicubic), class tokens kept;
    - auxiliary classifiers that the model lacks are dropped; ``num_batches_tracked`` that a donor lacks is 0.

    Args:
        donor_state: tensors by name, such as ``Donor.state``.
        model: where they are to go; it is not changed.

    Returns:
        Tensors under the model's names and in its shapes. The head's are there only if they fit.

    Raises:
        DonorMismatchError: names tensors that are missing, unexpected or misshapen outside the head. A grey
            donor for an RGB model is refused: how to spread it over the colours is not given.

    Example:
        >>> model, donor = nn.Sequential(nn.Conv2d(1, 4, 3)), nn.Sequential(nn.Conv2d(3, 4, 3))
        >>> adapt(donor.state_dict(), model)["0.weight"].shape
        torch.Size([4, 1, 3, 3])
    """
    wanted = {name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
    given = {_renamed(name, wanted): tensor for name, tensor in donor_state.items()}
    given = {name: t for name, t in given.items() if name in wanted or not name.startswith(_AUXILIARY)}
    fitted = {name: _fitted(name, given[name], wanted[name], model) for name in given if name in wanted}
    fitted |= {
        n: torch.zeros_like(t) for n, t in wanted.items() if n not in given and n.endswith("num_batches_tracked")
    }
    in_head = tuple(f"{name}." for name in head(model))
    misfits = {
        "missing": [name for name in wanted if name not in fitted],
        "unexpected": [name for name in given if name not in wanted],
        "misshapen": [name for name, tensor in fitted.items() if tensor.shape != wanted[name].shape],
    }
    _refuse(misfits, in_head, given, wanted)
    return {name: tensor for name, tensor in fitted.items() if tensor.shape == wanted[name].shape}


def _refuse(
    misfits: dict[str, list[str]], in_head: tuple[str, ...], given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> None:
    body = {what: [name for name in names if not name.startswith(in_head)] for what, names in misfits.items()}
    if not any(body.values()):
        return
    shapes = [f"{n} {tuple(given[n].shape)} for {tuple(wanted[n].shape)}" for n in body["misshapen"]]
    said = [f"{what}: {_listed(shapes if what == 'misshapen' else names)}" for what, names in body.items() if names]
    raise DonorMismatchError(
        f"The donor does not fit the model ({'; '.join(said)}). Only the head may differ: give the donor's own model, "
        "or a donor of this model."
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
    return ", ".join(names[:_NUM_NAMED]) + more


def _renamed(name: str, wanted: Mapping[str, Tensor]) -> str:
    match = _OLD_DENSENET.fullmatch(name)
    joined = f"{match[1]}{match[2]}" if match else name
    return joined if joined in wanted else name


def _fitted(name: str, tensor: Tensor, wanted: Tensor, model: nn.Module) -> Tensor:
    if tensor.shape == wanted.shape:
        return tensor
    if name == _first_convolution(model) and wanted.shape[1] == 1 and tensor.shape[1:2] == (3,):
        return tensor.sum(dim=1, keepdim=True)
    if _POSITIONS.fullmatch(name) and tensor.ndim == wanted.ndim == 3 and tensor.shape[2] == wanted.shape[2]:
        return _resampled(tensor, wanted.shape[1])
    return tensor


def _resampled(positions: Tensor, num_tokens: int) -> Tensor:
    """Positions of a square grid (1, class tokens + side^2, features), resampled to another number of tokens."""
    old, new = int(positions.shape[1] ** 0.5), int(num_tokens**0.5)
    num_class_tokens = positions.shape[1] - old**2
    if num_class_tokens != num_tokens - new**2:
        return positions
    tokens, grid = positions[:, :num_class_tokens], positions[:, num_class_tokens:]
    square = grid.float().reshape(1, old, old, -1).permute(0, 3, 1, 2)
    resized = nn.functional.interpolate(square, (new, new), mode="bicubic", antialias=True)
    return torch.cat([tokens, resized.flatten(2).mT.to(tokens.dtype)], dim=1)


def _from_torchvision(name: str) -> dict[str, Tensor]:
    import torchvision

    model_name, _, weights_name = name.partition("/")
    chosen = formats.torchvision_weights(model_name, weights_name or "DEFAULT")
    build = partial(torchvision.models.get_model, model_name, weights=chosen, progress=sys.stderr.isatty())
    return _downloaded(build, f"torchvision:{name}")


def _from_timm(name: str) -> dict[str, Tensor]:
    import timm

    if not name.startswith(("hf-hub:", "hf_hub:")) and not timm.is_model_pretrained(name):
        why = "has no pretrained weights for" if timm.is_model(name) else "has no model"
        raise DonorError(f"timm {why} '{name}'. See timm.list_models(pretrained=True).")
    return _downloaded(partial(timm.create_model, name, pretrained=True), f"timm:{name}")


def _downloaded(build: Callable[[], nn.Module], source: str) -> dict[str, Tensor]:
    """The state of a model built with its weights. Its library renames and checks them, and looks in its cache."""
    try:
        with isolated_rng(0):
            return build().state_dict()
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
        raise DonorError(
            f"The weights of '{source}' could not be fetched ({_first_line(error)}). "
            "Go online once, or give file:PATH to a copy."
        ) from error


def _from_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DonorError(f"The donor file {path} {what}. Give a .safetensors or .pth file.")
    payload = _read_safetensors(path) if path.suffix == ".safetensors" else _read_checkpoint(path)
    return _unwrapped(payload, path)


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise DonorError(_unreadable(path, error)) from None


def _read_checkpoint(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pickle protocols of files that are refused anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the restricted unpickler fails in any way on a file of another kind
        if _needs_unpickling(path, error):
            raise UnsafeFileError(
                f"{path} holds more than tensors ({_culprit(error)}), and reading it would run whatever code it "
                "contains. Load it where you trust it, and save its state_dict() as safetensors."
            ) from None
        raise DonorError(_unreadable(path, error)) from None


def _needs_unpickling(path: Path, error: Exception) -> bool:
    if "TorchScript" in str(error):
        return True
    with path.open("rb") as file:
        is_pickle = file.read(1) == _PICKLE_START
    return isinstance(error, pickle.UnpicklingError) and (is_pickle or "GLOBAL" in str(error))


def _culprit(error: Exception) -> str:
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    return named[1] if named else "a pickled program"


def _unreadable(path: Path, error: Exception) -> str:
    return (
        f"{path} ({path.stat().st_size} bytes) is not a whole weight file ({_first_line(error)}). "
        "Give .safetensors, or a .pth with a state dict."
    )


def _first_line(error: Exception) -> str:
    lines = re.split(r"(?<=\w)[.:]\s|\n", str(error).strip())
    return f"{type(error).__name__}: {lines[0].strip()}" if lines[0] else type(error).__name__


def _unwrapped(payload: Any, path: Path) -> dict[str, Tensor]:
    """The state dict inside what training scripts, DataParallel and torch.compile put around it."""
    while isinstance(payload, Mapping):
        inner = next((payload[key] for key in _WRAPPERS if isinstance(payload.get(key), Mapping)), None)
        if inner is None:
            break
        payload = inner
    items = payload.items() if isinstance(payload, Mapping) else ()
    state = {str(key): value for key, value in items if isinstance(value, Tensor)}
    if not state:
        raise DonorError(f"{path} holds no tensors by name. Give a file with a model's state_dict().")
    while prefix := _shared_prefix(state):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _shared_prefix(names: Iterable[str]) -> str | None:
    return next((prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in names)), None)
