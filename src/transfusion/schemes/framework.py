"""What the framework itself would start from."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from transfusion.networks.seeding import isolated_rng


def fresh_tensors(model: nn.Module, seed: int) -> dict[str, Tensor]:
    """Tensors as PyTorch, torchvision or timm would draw them now, on the CPU; global random state is put back.

    A model that carries ``transfusion_rebuild`` (those of ``transfusion.networks.models.build`` do) is built once
    more, so that its library's own initialisation counts. Its tensors are then drawn one after another, as the library
    does: the only scheme in which one draw depends on others. Otherwise every layer that has one runs its own
    ``reset_parameters``, seeded from (seed, layer name); tensors that no layer resets are not returned.
    """
    rebuild: Callable[[], nn.Module] | None = getattr(model, "transfusion_rebuild", None)
    if rebuild is not None:
        with isolated_rng(seed):
            rebuilt = rebuild().state_dict()
        if {k: v.shape for k, v in rebuilt.items()} == {k: v.shape for k, v in model.state_dict().items()}:
            return rebuilt
    fresh: dict[str, Tensor] = {}
    for name, layer in reversed(list(model.named_modules())):
        fresh.update(_reset(layer, name, seed))
    return fresh


@torch.no_grad()
def _reset(layer: nn.Module, name: str, seed: int) -> dict[str, Tensor]:
    """What a layer's own reset writes, seen by filling a copy with NaN first."""
    method = "reset_parameters" if hasattr(layer, "reset_parameters") else "_reset_parameters"
    if not hasattr(layer, method):
        return {}
    blank = copy.deepcopy(layer).cpu()
    floats = {key: tensor for key, tensor in blank.state_dict().items() if tensor.is_floating_point()}
    for tensor in floats.values():
        tensor.fill_(torch.nan)
    with isolated_rng(seed, name):
        getattr(blank, method)()
    prefix = f"{name}." if name else ""
    return {prefix + key: tensor for key, tensor in floats.items() if not tensor.isnan().any()}
