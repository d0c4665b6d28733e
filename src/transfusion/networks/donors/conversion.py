"""Checkpoints of other code bases, under timm's names of today: by timm's own code for the family."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping

from torch import Tensor, nn


def by_timm(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor] | None:
    """Tensors renamed and reshaped as timm does it when it loads a model's published weights.

    Args:
        state: a checkpoint of whoever published the network first.
        model: a network of timm's.

    Returns:
        Tensors by name; None where the model is not timm's, its family has no such code, or that fails on them.
    """
    module = sys.modules.get(type(model).__module__)
    convert = getattr(module, "checkpoint_filter_fn", None) if module and module.__name__.startswith("timm.") else None
    if convert is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            converted = convert(dict(state), model)
    except Exception:  # it trusts that the tensors are of its family
        return None
    return {str(name): tensor for name, tensor in converted.items() if isinstance(tensor, Tensor)}
