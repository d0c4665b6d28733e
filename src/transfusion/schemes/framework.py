"""What the framework itself would start from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from transfusion.networks.seeding import isolated_rng
from transfusion.schemes.reparametrized import pieces, tensor_of


def fresh_tensors(model: nn.Module, seed: int) -> dict[str, Tensor]:
    """Tensors as PyTorch, torchvision or timm would draw them now, on the CPU; global random state is put back.

    A model that carries ``transfusion_rebuild`` (those of ``transfusion.networks.models.build`` do) is built once
    more, so that its library's own initialisation counts. Its tensors are then drawn one after another, as the library
    does: the only scheme in which one draw depends on others. Otherwise every layer that has one runs its own
    ``reset_parameters``, seeded from (seed, layer name), on a copy in float32; tensors that no layer resets are not
    returned.

    Examples:
        >>> {name: tuple(tensor.shape) for name, tensor in fresh_tensors(nn.Linear(2, 3), seed=0).items()}
        {'weight': (3, 2), 'bias': (3,)}
    """
    rebuild: Callable[[], nn.Module] | None = getattr(model, "transfusion_rebuild", None)
    if rebuild is not None:
        with isolated_rng(seed):
            rebuilt = rebuild().state_dict()
        # else it was changed after it was built, and the rebuilt one is another network
        if {k: v.shape for k, v in rebuilt.items()} == {k: v.shape for k, v in model.state_dict().items()}:
            return rebuilt
    fresh: dict[str, Tensor] = {}
    # from the inside out: where an outer module resets its children's tensors, the outer rule counts
    for name, layer in reversed(list(model.named_modules())):
        fresh.update(_reset(layer, name, seed))
    return fresh


@torch.no_grad()
def _reset(layer: nn.Module, name: str, seed: int) -> dict[str, Tensor]:
    """What a layer's own reset writes, seen by letting it work on a copy full of NaN."""
    # the latter in attention
    method = "reset_parameters" if hasattr(layer, "reset_parameters") else "_reset_parameters"
    if not hasattr(layer, method):
        return {}
    blank = _blank(layer)
    with isolated_rng(seed, name):
        getattr(blank, method)()
    prefix = f"{name}." if name else ""
    # what is still NaN was not written: a reset may leave children or buffers to others
    return {prefix + key: tensor for key, tensor in _by_real_name(layer, blank) if not tensor.isnan().any()}


def _blank(layer: nn.Module) -> nn.Module:
    """A copy in float32 on the CPU, of NaN, in which every weight that is kept in pieces is a plain parameter again."""
    # torch's parametrized classes are made from the plain one, and refuse to be copied
    kind: type[nn.Module] = type(layer).__mro__[is_parametrized(layer)]
    twin, cut = kind.__new__(kind), pieces(layer)
    twin.__dict__ = dict(layer.__dict__)
    gone = {piece.name for piece in cut}
    whole = {piece.weight: tensor_of(layer, piece.name) for piece in cut if piece.kind in ("whole", "foreign")}
    plain = {key: tensor for key, tensor in layer._parameters.items() if key not in gone} | whole
    for key in whole:
        twin.__dict__.pop(key, None)  # where the old forms keep what they compute
    children = {key: child for key, child in layer._modules.items() if key != "parametrizations"}
    twin.__dict__ |= {
        "_parameters": {key: t if t is None else nn.Parameter(_nan_like(t), False) for key, t in plain.items()},
        "_buffers": {key: t if t is None else _nan_like(t) for key, t in layer._buffers.items() if key not in gone},
        "_modules": {key: child and _blank(child) for key, child in children.items()},
        "_forward_pre_hooks": OrderedDict(),  # hooks of weight norm would compute from NaN
    }
    return twin


def _nan_like(tensor: Tensor) -> Tensor:
    if tensor.is_floating_point():
        return torch.full(tensor.shape, torch.nan, dtype=torch.float32, device="cpu")
    # integers have no NaN, and resets read index tables
    blank = tensor.detach().cpu().clone()
    return blank.fill_(torch.nan) if blank.is_complex() else blank


def _by_real_name(layer: nn.Module, blank: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The tensors of ``blank`` that are no integers, under the names that they have in ``layer``."""
    for path, twin in blank.named_modules():
        real = {piece.weight: piece.name for piece in pieces(layer.get_submodule(path)) if piece.kind == "whole"}
        for key, tensor in (*twin._parameters.items(), *twin._buffers.items()):
            if tensor is not None and (tensor.is_floating_point() or tensor.is_complex()):
                yield f"{path}.{real.get(key, key)}".lstrip("."), tensor
