"""What people give at the doors of the libraries: checked once, and refused in one line that shows the right call."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from numbers import Real
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from transfusion.errors import InputError
from transfusion.networks.tree import tensors, transparent

_LONGEST = 60
_TO_PLAIN = {
    "on the meta device": "Give a tensor with values.",
    "nested": "Give one tensor for each length.",
    "sparse": "Give {}.to_dense().",
    "quantised": "Give {}.dequantize().",
}


def network(given: object, call: str) -> nn.Module:
    """What was given, if it is a network.

    Args:
        given: by the user.
        call: how the function is called, for the message.

    Raises:
        InputError: it is something else.

    Examples:
        >>> network("resnet18", "stages(model)")
        Traceback (most recent call last):
        ...
        transfusion.errors.InputError: stages(model) takes a network (torch.nn.Module); got the str 'resnet18'. ...
    """
    if isinstance(given, nn.Module):
        return given
    advice = "Give the network itself."
    if isinstance(given, type):
        advice = f"Make one first: {given.__name__}(...)."
    elif isinstance(given, (str, PathLike)) or is_state(given):
        advice = "Build the network and load its weights first: model.load_state_dict(...)."
    raise InputError(f"{call} takes a network (torch.nn.Module); got {described(given)}. {advice}")


def unwrapped(model: nn.Module) -> nn.Module:
    """What compiled and parallel modules wrap, whose tensors have no prefix in their names.

    Raises:
        InputError: a wrapper says what the head or the stages are, in names of its own.

    Examples:
        >>> layer = nn.Linear(2, 2)
        >>> unwrapped(nn.DataParallel(layer)) is layer
        True
    """
    *wrappers, inner = transparent(model)
    for wrapper in wrappers:
        for attribute in ("transfusion_head", "transfusion_stages"):
            if attribute in vars(wrapper):
                raise InputError(
                    f"{attribute} is set on {type(wrapper).__name__}, which wraps the network. Set it on the network, "
                    "with names that begin there."
                )
    return inner


def with_values(model: nn.Module, call: str) -> nn.Module:
    """A network that can run: none of its tensors is lazy or on the meta device.

    Raises:
        InputError: one is; names it.
    """
    for name, tensor in tensors(model):
        if what := without_values(tensor):
            raise InputError(f"{call}: '{name}' {what}")
    return model


def without_values(tensor: Tensor) -> str:
    """Why a tensor has no values yet, and what to do; empty where it has.

    Examples:
        >>> without_values(nn.Linear(2, 2).weight), without_values(nn.Linear(2, 2, device="meta").weight)[:22]
        ('', 'is on the meta device ')
    """
    if is_lazy(tensor):
        return "is lazy and has no shape yet: run one batch through the model first."
    if tensor.is_meta:
        return "is on the meta device and has no values: call model.to_empty(device='cpu') and load weights first."
    return ""


def dense(tensor: Tensor, name: str) -> Tensor:
    """A tensor of plain real numbers, detached; a view, not a copy.

    Raises:
        InputError: it is sparse, nested, quantised, complex, boolean or without values.

    Examples:
        >>> dense(torch.eye(2).to_sparse(), "x")
        Traceback (most recent call last):
        ...
        transfusion.errors.InputError: x is sparse; plain numbers are needed. Give x.to_dense().
    """
    if what := odd_storage(tensor):
        raise InputError(f"{name} is {what}; plain numbers are needed. {_TO_PLAIN[what].format(name)}")
    if tensor.is_complex() or tensor.dtype == torch.bool or (tensor.is_floating_point() and tensor.element_size() == 1):
        raise InputError(
            f"{name} is of type {tensor.dtype}; real numbers are needed. Convert it, as by {name}.float()."
        )
    return tensor.detach()


def odd_storage(tensor: Tensor) -> str:
    """How a tensor keeps its numbers, where that is not one after another; empty where it is.

    Examples:
        >>> odd_storage(torch.eye(2)), odd_storage(torch.eye(2).to_sparse())
        ('', 'sparse')
    """
    found = {
        "on the meta device": tensor.is_meta,
        "nested": tensor.is_nested,
        "sparse": tensor.layout != torch.strided,
        "quantised": tensor.is_quantized,
    }
    return next((what for what, is_so in found.items() if is_so), "")


def numbers(array: Any, name: str) -> np.ndarray:
    """A NumPy array of real numbers from an array, a frame or lists; not a copy where it is one already.

    Raises:
        InputError: it is no array, holds other things than real numbers, or has masked values.

    Examples:
        >>> numbers([[1, 2], [3, 4]], "x").shape
        (2, 2)
    """
    if isinstance(array, nn.Module):  # some have a length, and NumPy would make an array of layers
        raise InputError(f"{name} is {described(array)}; an array or a tensor of real numbers is needed.")
    if isinstance(array, np.ma.MaskedArray) and (masked := int(np.ma.getmaskarray(array).sum())):
        raise InputError(f"{name} has {masked} masked values; all are needed. Leave these samples out.")
    try:
        found = np.asarray(array)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors of a GPU in a list
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{name} cannot be read as one array ({said}). Give an array or a tensor.") from None
    if found.dtype.kind not in "fiu":
        what = f"of type {found.dtype}" if found.ndim else described(array)
        raise InputError(
            f"{name} is {what}; an array or a tensor of real numbers is needed, none missing. Convert it, such as by "
            "astype('float64')."
        )
    return found


def integer(given: Any, name: str, least: int | None = None) -> int:
    """A whole number, of Python's, NumPy's or torch's.

    Raises:
        InputError: it is something else, or below ``least``.

    Examples:
        >>> integer(np.int64(3), "seed")
        3
        >>> integer(1.5, "seed")
        Traceback (most recent call last):
        ...
        transfusion.errors.InputError: Got seed=1.5; it is a whole number, such as seed=1.
    """
    try:
        found = None if isinstance(given, (bool, np.bool_)) else operator.index(given)
    except (TypeError, RuntimeError):  # the latter of tensors
        found = None
    if found is None or (least is not None and found < least):
        what = "a whole number" if least is None else f"a whole number of {least} or more"
        shown = repr(given) if isinstance(given, (str, Real, type(None))) else described(given)
        raise InputError(f"Got {name}={shown}; it is {what}, such as {name}={max(1, least or 1)}.")
    return found


def flag(given: Any, name: str) -> bool:
    """True or False.

    Raises:
        InputError: it is something else, whose truth may not be what was meant.

    Examples:
        >>> flag(True, "squared")
        True
    """
    if not isinstance(given, (bool, np.bool_)):
        raise InputError(f"Got {name}={_short(repr(given))}; it is True or False.")
    return bool(given)


def described(given: object) -> str:
    """What something is, in a few words.

    Examples:
        >>> [described(each) for each in (None, "x.pth", nn.Linear(2, 2), nn.Linear(2, 2).state_dict(), nn.Linear)]
        ['None', "the str 'x.pth'", 'a network (Linear)', 'a state dict', 'the class Linear']
    """
    if given is None:
        return "None"
    if isinstance(given, type):
        return f"the class {given.__name__}"
    if isinstance(given, nn.Module):
        return f"a network ({type(given).__name__})"
    if isinstance(given, (str, bytes, PathLike, bool, int, float)):
        return f"the {type(given).__name__} {_short(repr(given))}"
    if isinstance(given, (Tensor, np.ndarray)):
        return (
            f"an array of shape {tuple(given.shape)}" if not getattr(given, "is_nested", False) else "a nested tensor"
        )
    if is_state(given):
        return "a state dict"
    return f"a {type(given).__name__}"


def is_state(given: object) -> bool:
    """Whether something is tensors by name, one or more."""
    return isinstance(given, Mapping) and bool(given) and all(isinstance(each, Tensor) for each in given.values())


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
