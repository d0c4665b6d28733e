"""How the modules of a network lie within each other, and what a wrapper hides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy

# what compiled, parallel and checkpointed modules call the network within them
WRAPPED = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


def around(name: str) -> Iterator[str]:
    """The name itself, then the modules around it, innermost first; the whole network is ''.

    Examples:
        >>> list(around("layer1.0.conv1"))
        ['layer1.0.conv1', 'layer1.0', 'layer1', '']
    """
    while name:
        yield name
        name = name.rpartition(".")[0]
    yield ""


def joined(prefix: str, key: str) -> str:
    """The name of a child.

    Examples:
        >>> joined("layer1", "0"), joined("", "fc")
        ('layer1.0', 'fc')
    """
    return f"{prefix}.{key}" if prefix else key


def tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every parameter and buffer, tied ones under each of their names.

    Examples:
        >>> [name for name, _ in tensors(nn.BatchNorm1d(2))]
        ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked']
    """
    yield from model.named_parameters(remove_duplicate=False)  # tied ones too: a state dict has both names
    yield from model.named_buffers(remove_duplicate=False)


def num_elements(model: nn.Module) -> dict[str, int]:
    """Name of every module -> how many parameters it holds, all that lies in it included; lazy ones count 0.

    Examples:
        >>> num_elements(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))
        {'': 9, '0': 9, '1': 0}
    """
    sizes = dict.fromkeys(dict(model.named_modules(remove_duplicate=False)), 0)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        for owner in list(around(name))[1:]:
            sizes[owner] += 0 if is_lazy(parameter) else parameter.numel()
    return sizes


def wrapped(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The network and what it wraps, outermost first: compiled, parallel and other modules with a single child.

    Examples:
        >>> [name for name, _ in wrapped(nn.DataParallel(nn.Sequential(nn.Linear(2, 2), nn.ReLU())))]
        ['', 'module']
    """
    chain = [("", model)]
    while not chain[-1][1]._parameters and not chain[-1][1]._buffers and len(chain[-1][1]._modules) == 1:
        name, module = chain[-1]
        key, child = next(iter(module._modules.items()))
        if child is None or not child._modules:
            break
        chain.append((joined(name, key), child))
    return chain


def transparent(model: nn.Module) -> list[nn.Module]:
    """A network's compiled and parallel wrappers, outermost first, and what they wrap.

    Examples:
        >>> [type(each).__name__ for each in transparent(nn.DataParallel(nn.Linear(2, 2)))]
        ['DataParallel', 'Linear']
    """
    chain = [model]
    while not (chain[-1]._parameters or chain[-1]._buffers) and len(chain[-1]._modules) == 1:
        ((key, child),) = chain[-1]._modules.items()
        if key not in WRAPPED or child is None:
            break
        chain.append(child)
    return chain


def told(model: nn.Module, attribute: str) -> tuple[str, Any] | None:
    """Name of the innermost wrapped module that has an attribute, and its value; None where none has it."""
    # innermost first: a compiled module hands on the attributes of what it wraps, whose names lack its prefix
    for name, module in reversed(wrapped(model)):
        if (value := getattr(module, attribute, None)) is not None:
            return name, value
    return None


def has_parameters(module: nn.Module | None) -> bool:
    """Whether a module holds a parameter, its children included."""
    return module is not None and any(True for _ in module.parameters())


def has_tensors(module: nn.Module | None) -> bool:
    """Whether a module holds a parameter or a buffer, its children included."""
    return module is not None and any(True for _ in tensors(module))


def is_layer(module: nn.Module) -> bool:
    """Whether a module is not made of others: a linear layer, however parametrised, or one without such children.

    Examples:
        >>> is_layer(nn.Linear(2, 2)), is_layer(nn.Sequential(nn.Linear(2, 2)))
        (True, False)
    """
    return isinstance(module, (nn.Linear, _ConvNd)) or not any(map(has_parameters, module.children()))


def is_norm(module: nn.Module) -> bool:
    """Whether a layer normalises, by the name of its class.

    Examples:
        >>> is_norm(nn.GroupNorm(1, 2)), is_norm(nn.Linear(2, 2))
        (True, False)
    """
    return "norm" in type(module).__name__.lower() and is_layer(module)


def says(key: str, words: re.Pattern[str]) -> bool:
    """Whether one of the words of an attribute's name is among some; numbers are left out.

    Examples:
        >>> [says(key, re.compile("heads?|aux")) for key in ("_conv_head2", "AuxLogits", "ahead")]
        [True, True, False]
    """
    found = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", key)
    return any(words.fullmatch(word.lower()) for word in found)
