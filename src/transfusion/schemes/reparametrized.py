"""Weights that a layer keeps in pieces: weight norm and spectral norm, in torch's old form (hooks) and its new one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm


@dataclass(frozen=True)
class Piece:
    """One tensor of a weight kept in pieces.

    Attributes:
        name: of the tensor within its layer, such as ``weight_g`` or ``parametrizations.weight.original1``.
        weight: name of the weight that it is a piece of.
        kind: ``whole`` has the weight's shape and stands for it; ``gain`` holds the norms of its rows, ``singular`` its
            first singular vector of one side; ``foreign`` belongs to a parametrization that we do not know.
        derived: computes a gain or a singular vector from the whole as it is now.
        norm: name of the parametrization.
    """

    name: str
    weight: str
    kind: Literal["whole", "gain", "singular", "foreign"]
    derived: Callable[[], Tensor] | None = None
    norm: str = ""


def pieces(layer: nn.Module) -> list[Piece]:
    """The pieces of a layer's weights; none for a plain layer.

    Examples:
        >>> [(piece.name, piece.kind) for piece in pieces(nn.utils.parametrizations.weight_norm(nn.Linear(2, 3)))]
        [('parametrizations.weight.original1', 'whole'), ('parametrizations.weight.original0', 'gain')]
    """
    return [*_by_hook(layer), *_by_parametrization(layer)]


def refresh(model: nn.Module) -> None:
    """Compute the weights that old-style hooks keep as plain attributes, which are stale once a piece is filled."""
    for layer in model.modules():
        for hook in layer._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm):
                setattr(layer, hook.name, hook.compute_weight(layer))
            elif isinstance(hook, SpectralNorm):
                # u and v are exact already
                setattr(layer, hook.name, hook.compute_weight(layer, do_power_iteration=False))


def _by_hook(layer: nn.Module) -> Iterator[Piece]:
    for hook in layer._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm):
            yield from _weight_norm(layer, hook.name, f"{hook.name}_v", f"{hook.name}_g")
        elif isinstance(hook, SpectralNorm):
            names = (f"{hook.name}_orig", f"{hook.name}_u", f"{hook.name}_v")
            yield from _spectral_norm(layer, hook.name, names, hook.dim)


def _by_parametrization(layer: nn.Module) -> Iterator[Piece]:
    steps_of = layer.parametrizations.items() if parametrize.is_parametrized(layer) else ()  # type: ignore[operator,union-attr]
    for weight, steps in steps_of:
        prefix, norm = f"parametrizations.{weight}.", "+".join(type(step).__name__ for step in steps)
        if norm == "_WeightNorm":  # private in torch: there is no public way to know it
            yield from _weight_norm(layer, weight, f"{prefix}original1", f"{prefix}original0")
        elif norm == "_SpectralNorm":
            names = (f"{prefix}original", f"{prefix}0._u", f"{prefix}0._v")
            yield from _spectral_norm(layer, weight, names, steps[0].dim)
        else:
            for key in steps._parameters:
                yield Piece(f"{prefix}{key}", weight, "foreign", norm=norm)


def _weight_norm(layer: nn.Module, weight: str, whole: str, gain: str) -> Iterator[Piece]:
    yield Piece(whole, weight, "whole")
    yield Piece(gain, weight, "gain", partial(_norms, layer, whole, gain))


def _spectral_norm(layer: nn.Module, weight: str, names: tuple[str, str, str], dim: int) -> Iterator[Piece]:
    whole, *sides = names
    yield Piece(whole, weight, "whole")
    if tensor_of(layer, whole).ndim > 1:  # the norm of a vector needs no singular vectors
        for place, side in enumerate(sides):
            yield Piece(side, weight, "singular", partial(_singular_vector, layer, whole, dim, place))


def tensor_of(layer: nn.Module, name: str) -> Tensor:
    """A parameter or buffer of a layer or of what is inside it, by its dotted name."""
    inner, _, key = name.rpartition(".")
    tensor: Tensor = getattr(layer.get_submodule(inner), key)
    return tensor.detach()


def _norms(layer: nn.Module, whole: str, gain: str) -> Tensor:
    """Norms of the weight over the axes that its gain has not."""
    directions, shape = tensor_of(layer, whole), tensor_of(layer, gain).shape
    axes = [axis for axis, size in enumerate(shape) if size == 1]
    keep = len(shape) == directions.ndim
    norms: Tensor = torch.linalg.vector_norm(directions, dim=axes if keep else None, keepdim=keep)
    return norms


def _singular_vector(layer: nn.Module, whole: str, dim: int, side: int) -> Tensor:
    """The first left (0) or right (1) singular vector of the weight as a matrix; its largest left entry is positive."""
    matrix = tensor_of(layer, whole).cpu().double().movedim(dim, 0).flatten(1)
    tall = matrix.shape[0] > matrix.shape[1]  # the smaller Gram matrix: vocabularies make sides of 50,000
    narrow = matrix.T if tall else matrix
    first = torch.linalg.eigh(narrow @ narrow.T).eigenvectors[:, -1]  # ascending: the last is the largest
    other = nn.functional.normalize(narrow.T @ first, dim=0)
    left, right = (other, first) if tall else (first, other)
    # a vector and its negative serve alike; one of them must be chosen, on every machine the same
    return (left, right)[side] * left[left.abs().argmax()].sign()
