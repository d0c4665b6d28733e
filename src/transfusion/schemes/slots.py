"""The tensors of a network and what each of them is: weight, bias, norm, token, batch norm ..."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from transfusion.errors import InputError
from transfusion.networks.given import without_values
from transfusion.networks.structure import head, stage_of
from transfusion.schemes.reparametrized import Piece, pieces

Role = Literal["weight", "bias", "norm", "token", "gain", "singular", "foreign", "batch_norm", "constant", "buffer"]

BATCH_NORM_KEYS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_NORM = re.compile(r"(Layer|Group|Instance|RMS|Rms)Norm")
_TOKEN = re.compile(r"token|embed|pos_|_pos|pos$|position|relative|rel_|_rel$|table|latent|prompt|queries")
_QUANTISING = re.compile("torchao|bitsandbytes|quantiz")
_WITH_WEIGHTS = (nn.Linear, nn.Bilinear, nn.RNNBase, nn.RNNCellBase, _ConvNd)  # matrices even where one axis is 1


@dataclass(frozen=True)
class Slot:
    """One tensor to fill.

    Attributes:
        name: its name in the state dict.
        key: its name within the layer, such as ``weight``; of a weight kept in pieces, the weight's.
        tensor: the tensor itself, on any device.
        role: what it is for; see ``role_of``.
        stage: the stage that owns it.
        is_head: whether it belongs to the layer that makes the outputs.
        fans: (fan_in, fan_out) of a ``weight``.
        tied_to: name under which the same tensor came before.
        padding: row of an embedding that no scheme redraws: it stands for "nothing".
        derived: computes a ``gain`` or a ``singular`` vector from the layer's weight as it is now.
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
    derived: Callable[[], Tensor] | None = None


def slots(model: nn.Module) -> list[Slot]:
    """All tensors of the state dict, in order of registration.

    Raises:
        InputError: a tensor has no values yet (lazy or on the meta device), or is sparse or quantised.

    Examples:
        >>> [(slot.name, slot.role, slot.fans) for slot in slots(nn.Sequential(nn.Linear(2, 3)))]
        [('0.weight', 'weight', (2, 3)), ('0.bias', 'bias', (1, 1))]
    """
    stage, heads = stage_of(model), head(model)
    first: dict[Hashable, str] = {}
    found = []
    for name, layer, key, tensor, piece in _named(model):
        role = role_of(layer, key, tensor, piece)
        tied_to = first.setdefault(_memory(tensor), name)  # the first name owns the tensor
        found.append(
            Slot(
                name=name,
                key=key,
                tensor=tensor,
                role=role,
                stage=stage[name],
                is_head=any(name.startswith(f"{h}.") for h in heads),  # the dot: "fc" is not "fc2"
                fans=fans(layer, tuple(tensor.shape)) if role == "weight" else (1, 1),
                tied_to=None if tied_to == name else tied_to,
                padding=getattr(layer, "padding_idx", None) if key == "weight" else None,
                derived=piece.derived if piece else None,
            )
        )
    return found


def role_of(layer: nn.Module, key: str, tensor: Tensor, piece: Piece | None = None) -> Role:
    """What a tensor is for, from the type of its layer, its name there and its shape.

    - ``gain``, ``singular``, ``foreign``: pieces of a weight, see ``transfusion.schemes.reparametrized``;
    - ``batch_norm``: the tensors of a layer with running statistics, so called;
    - ``buffer``: any other buffer or integer tensor (index tables, masks);
    - ``norm`` and ``bias``: of a layer, group, instance or RMS norm, over however many axes;
    - ``token``: embeddings, class tokens, positional embeddings, relative position tables;
    - ``bias``: anything else named so;
    - ``weight``: any other tensor with two axes or more: convolution, linear, attention, recurrent;
    - ``constant``: what is left: scales with one axis (LayerScale, GRN, temperatures, PReLU slopes), complex numbers.

    Examples:
        >>> norm = nn.LayerNorm(4)
        >>> role_of(norm, "weight", norm.weight), role_of(norm, "bias", norm.bias)
        ('norm', 'bias')
    """
    if piece and piece.kind != "whole":
        return piece.kind
    keeps_statistics = isinstance(layer, _BatchNorm) or any(
        getattr(layer, statistic, None) is not None for statistic in ("running_mean", "running_var")
    )
    if keeps_statistics and key in BATCH_NORM_KEYS:
        return "batch_norm"
    if not isinstance(tensor, nn.Parameter) or not (tensor.is_floating_point() or tensor.is_complex()):
        return "buffer"
    if any(_NORM.search(base.__name__) for base in type(layer).__mro__) and key in ("weight", "bias"):
        return "norm" if key == "weight" else "bias"
    if tensor.is_complex() or "complex" in key:
        return "constant"
    # before "bias": relative_position_bias_table is a table
    if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)) or _TOKEN.search(key):
        return "token"
    if "bias" in key:
        return "bias"
    is_matrix = isinstance(layer, _WITH_WEIGHTS) and tensor.ndim >= 2 and key.startswith("weight")
    # axes of length 1 are for broadcasting: a LayerScale of shape (d, 1, 1) is no matrix
    return "weight" if is_matrix or sum(size > 1 for size in tensor.shape) >= 2 else "constant"


def fans(layer: nn.Module, shape: tuple[int, ...]) -> tuple[int, int]:
    """Number of inputs that feed one output, and of outputs that one input feeds (strides not counted).

    Agrees with ``torch.nn.init`` except that it counts a grouped convolution's fan_out within the group, and
    does not take a transposed convolution's inputs for its outputs.

    Args:
        layer: the layer that owns the weight.
        shape: (out, in / groups, *kernel); of a transposed convolution (in, out / groups, *kernel).

    Returns:
        (fan_in, fan_out), receptive field counted.

    Examples:
        >>> fans(nn.Conv2d(32, 32, 3, groups=32), (32, 1, 3, 3))
        (9, 9)
    """
    groups = layer.groups if isinstance(layer, _ConvNd) else 1
    across, within = shape[0] // groups, shape[1]
    field = math.prod(shape[2:])
    if isinstance(layer, _ConvTransposeNd):
        return across * field, within * field
    return within * field, across * field


def _named(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, Tensor, Piece | None]]:
    """(name, layer, name within the layer, tensor, piece of a weight) of all that the state dict holds."""
    modules = dict(model.named_modules(remove_duplicate=False))  # a module used twice has two names in the state dict
    cut = {
        f"{path}.{piece.name}".lstrip("."): (layer, piece) for path, layer in modules.items() for piece in pieces(layer)
    }
    for path, module in modules.items():
        if hasattr(module, "_packed_params") or hasattr(module, "_all_weight_values"):
            raise _quantised(path, type(module))
        kept = {k: b for k, b in module._buffers.items() if k not in module._non_persistent_buffers_set}
        for key, tensor in (*module._parameters.items(), *kept.items()):
            if tensor is None:
                continue
            name = f"{path}.{key}".lstrip(".")
            _require_values(name, tensor)
            layer, piece = cut.get(name, (module, None))
            yield name, layer, piece.weight if piece else key, tensor, piece


def _memory(tensor: Tensor) -> Hashable:
    """Equal for tensors that share all their memory, whether or not they are one object."""
    # empty ones all lie at 0
    return (tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.numel() else id(tensor)


def _require_values(name: str, tensor: Tensor) -> None:
    if what := without_values(tensor):
        raise InputError(f"'{name}' {what}")
    if is_quantised(tensor) or (isinstance(tensor, nn.Parameter) and _is_low_bit(name, tensor)):
        raise _quantised(name, type(tensor))
    if tensor.layout != torch.strided:
        raise InputError(f"'{name}' is sparse ({tensor.layout}): give the model with dense tensors (to_dense()).")


def is_quantised(tensor: Tensor) -> bool:
    """Whether a tensor's numbers stand for others: quantised, of eight-bit floats, or of a quantising library.

    Examples:
        >>> is_quantised(torch.zeros(2)), is_quantised(torch.zeros(2, dtype=torch.float8_e4m3fn))
        (False, True)
    """
    return (
        tensor.is_quantized
        or (tensor.is_floating_point() and tensor.element_size() == 1)
        or bool(_QUANTISING.search(type(tensor).__module__))
    )


def _is_low_bit(name: str, tensor: Tensor) -> bool:
    """Whether a weight is stored in eight bits or fewer; other integer parameters are index tables."""
    return name.rpartition(".")[2] == "weight" and tensor.dtype in (torch.int8, torch.uint8)


def _quantised(name: str, kind: type) -> InputError:
    return InputError(
        f"'{name}' is quantised ({kind.__module__}.{kind.__name__}), and no scheme draws such weights: give the model "
        "before it was quantised."
    )
