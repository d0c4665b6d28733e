"""The tensors of a network and what each of them is: weight, bias, norm, token, batch norm ..."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import ParametrizationList

from transfusion.errors import InputError
from transfusion.networks.structure import head, stage_of

Role = Literal["weight", "bias", "norm", "token", "gain", "batch_norm", "constant", "buffer"]

BATCH_NORM_KEYS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_NORM = re.compile(r"(Layer|Group|Instance|RMS|Rms)Norm")
_TOKEN = re.compile(r"token|embed|pos_|_pos|pos$|position|relative|rel_|table")
_DIRECTIONS = {"weight_g": "weight_v", "original0": "original1"}


@dataclass(frozen=True)
class Slot:
    """One tensor to fill.

    Attributes:
        name: its name in the state dict.
        key: its name within the layer, such as ``weight``; that of the parametrized tensor for a parametrization.
        tensor: the tensor itself, on any device.
        role: what it is for; see ``role_of``.
        stage: the stage that owns it.
        is_head: whether it belongs to the layer that makes the outputs.
        fans: (fan_in, fan_out) of a ``weight``.
        tied_to: name under which the same tensor came before.
        padding: row of an embedding that stays zero.
        direction: of a weight-norm ``gain``, the tensor whose norms it holds.
    """

    name: str
    key: str
    tensor: Tensor
    role: Role
    stage: str
    is_head: bool
    fans: tuple[int, int] = (1, 1)
    tied_to: str | None = None
    padding: int | None = None
    direction: Tensor | None = None


def slots(model: nn.Module) -> list[Slot]:
    """All tensors of the state dict, in order of registration.

    Raises:
        InputError: a tensor has no values yet (lazy or on the meta device).
    """
    stage, heads = stage_of(model), head(model)
    first: dict[int, str] = {}
    found = []
    for name, layer, key, tensor in _named(model):
        _require_values(name, tensor)
        role = role_of(layer, key, tensor)
        tied_to = first.setdefault(id(tensor), name)
        found.append(
            Slot(
                name=name,
                key=key,
                tensor=tensor,
                role=role,
                stage=stage[name],
                is_head=any(name.startswith(f"{h}.") for h in heads),
                fans=fans(layer, tuple(tensor.shape)) if role == "weight" else (1, 1),
                tied_to=None if tied_to == name else tied_to,
                padding=getattr(layer, "padding_idx", None),
                direction=_direction(model, name) if role == "gain" else None,
            )
        )
    return found


def role_of(layer: nn.Module, key: str, tensor: Tensor) -> Role:
    """What a tensor is for, from the type of its layer, its name there and its shape.

    - ``batch_norm``: the five tensors of a layer with running statistics;
    - ``buffer``: any other buffer or integer tensor (index tables, masks);
    - ``bias``: named so, with one axis; ``norm``: weight of a layer, group, instance or RMS norm;
    - ``token``: embeddings, class tokens, positional embeddings, relative position tables;
    - ``weight``: any other tensor with two axes or more: convolution, linear, attention, recurrent;
    - ``gain``: the norms of a weight-normalised layer;
    - ``constant``: what is left, with one axis at most: LayerScale, temperatures, PReLU slopes.
    """
    keeps_statistics = isinstance(layer, _BatchNorm) or getattr(layer, "running_mean", None) is not None
    if keeps_statistics and key in BATCH_NORM_KEYS:
        return "batch_norm"
    if not tensor.is_floating_point() or not isinstance(tensor, nn.Parameter):
        return "buffer"
    num_axes = sum(size > 1 for size in tensor.shape)
    if "bias" in key and num_axes < 2:
        return "bias"
    if key == "weight" and any(_NORM.search(base.__name__) for base in type(layer).__mro__):
        return "norm"
    if key in _DIRECTIONS:
        return "gain"
    if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)) or _TOKEN.search(key):
        return "token"
    is_weight = tensor.ndim >= 2 and (key.startswith("weight") or num_axes >= 2)
    return "weight" if is_weight else "constant"


def fans(layer: nn.Module, shape: tuple[int, ...]) -> tuple[int, int]:
    """Number of inputs that feed one output, and of outputs that one input feeds (strides not counted).

    Agrees with ``torch.nn.init`` except that it counts a grouped convolution's fan_out within the group, and
    does not take a transposed convolution's inputs for its outputs.

    Args:
        layer: the layer that owns the weight.
        shape: (out, in / groups, *kernel); of a transposed convolution (in, out / groups, *kernel).

    Returns:
        (fan_in, fan_out), receptive field counted.

    Example:
        >>> fans(nn.Conv2d(32, 32, 3, groups=32), (32, 1, 3, 3))
        (9, 9)
    """
    groups = layer.groups if isinstance(layer, _ConvNd) else 1
    across, within = shape[0] // groups, shape[1]
    field = math.prod(shape[2:])
    if isinstance(layer, _ConvTransposeNd):
        return across * field, within * field
    return within * field, across * field


def _named(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, Tensor]]:
    """(name, layer, name within the layer, tensor) of all that the state dict holds."""
    modules = dict(model.named_modules(remove_duplicate=False))
    for path, module in modules.items():
        prefix = f"{path}." if path else ""
        kept = {k: b for k, b in module._buffers.items() if k not in module._non_persistent_buffers_set}
        for key, tensor in (*module._parameters.items(), *kept.items()):
            if tensor is None:
                continue
            if isinstance(module, ParametrizationList) and key not in _parts_of_weight_norm(module):
                owner, _, own_key = f".{path}".rpartition(".parametrizations.")
                yield prefix + key, modules[owner[1:]], own_key, tensor
            else:
                yield prefix + key, module, key, tensor


def _parts_of_weight_norm(module: ParametrizationList) -> tuple[str, ...]:
    return ("original0",) if any(type(step).__name__ == "_WeightNorm" for step in module) else ()


def _direction(model: nn.Module, name: str) -> Tensor:
    layer, _, key = name.rpartition(".")
    direction: Tensor = getattr(model.get_submodule(layer), _DIRECTIONS[key])
    return direction


def _require_values(name: str, tensor: Tensor) -> None:
    if is_lazy(tensor):
        raise InputError(f"'{name}' is lazy and has no shape yet: run one batch through the model first.")
    if tensor.device == torch.device("meta"):
        raise InputError(f"'{name}' is on the meta device and has no values: call model.to_empty(device='cpu') first.")
