"""Activations of stages, as a network leaves them on its way.

A stage's output is what its last module gives, copied at once (a later in-place ReLU must not change it); where the
module runs several times in one pass, its last output counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from transfusion.errors import InputError, UnknownNameError

Stages = Mapping[str, Sequence[str]]


@contextmanager
def captured(model: nn.Module, stages: Stages) -> Iterator[dict[str, Tensor]]:
    """Within the block, every forward pass of ``model`` leaves copies of its stages' outputs in the mapping.

    Args:
        model: any network.
        stages: ``{stage: its modules}``; the last one that is a module gives the output.

    Raises:
        UnknownNameError: where the network has none of a stage's modules.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True))
        >>> with captured(net, {"stem": ["0"]}) as outputs:
        ...     _ = net(torch.zeros(2, 3, 8, 8))
        >>> outputs["stem"].shape
        torch.Size([2, 4, 6, 6])
    """
    outputs: dict[str, Tensor] = {}

    def keep(stage: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            outputs[stage] = _first_tensor(output, stage).detach().clone()

        return hook

    with ExitStack() as hooks:
        for stage, names in stages.items():
            hooks.callback(_last_module(model, stage, names).register_forward_hook(keep(stage)).remove)
        yield outputs


def outputs_of(model: nn.Module, stages: Stages, images: Tensor) -> dict[str, Tensor]:
    """What each stage makes of a batch.

    Args:
        model: any network; it is run in evaluation mode and left as it was found.
        stages: ``{stage: its modules}``.
        images: (images, ...), of any type.

    Returns:
        ``{stage: (images, channels, ...)}``; tokens and maps with channels last are turned.

    Raises:
        InputError: for a stage that never ran, or whose output has not one row per image.
        UnknownNameError: where the network has none of a stage's modules.
    """
    weight = next(model.parameters(), images)
    # Token ids stay what they are; pictures of any type become what the weights are.
    kind = images.dtype if images.dtype == torch.int64 else weight.dtype
    with captured(model, stages) as outputs, _evaluation(model), torch.no_grad():
        model(images.to(weight.device, kind))
    missing = [stage for stage in stages if stage not in outputs]
    if missing:
        raise InputError(f"Stages {missing} gave no output: their modules never ran. Give stages={{name: [module]}}.")
    return {
        stage: _channels_first(_check_batch(outputs[stage], stage, len(images)), _num_channels(model, stage, names))
        for stage, names in stages.items()
    }


@contextmanager
def _evaluation(model: nn.Module) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _check_batch(output: Tensor, stage: str, num_images: int) -> Tensor:
    if output.ndim < 2 or len(output) != num_images:
        raise InputError(
            f"Stage '{stage}' gives shape {tuple(output.shape)} for {num_images} images; needs one row per image. "
            "Give stages={name: [module]} with modules that keep images apart."
        )
    return output


def _last_module(model: nn.Module, stage: str, names: Sequence[str]) -> nn.Module:
    modules = dict(model.named_modules())
    found: list[nn.Module] = [modules[name] for name in names if name in modules]
    if not found:
        raise UnknownNameError.of(f"module of stage '{stage}' named", ", ".join(names), list(modules)[1:])
    return found[-1]


def _first_tensor(output: Any, stage: str) -> Tensor:
    if isinstance(output, Tensor):
        return output
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, (tuple, list)) else ()
    for part in parts:
        if isinstance(part, Tensor):
            return part
    raise InputError(f"Stage '{stage}' gives a {type(output).__name__} without a tensor; name another module for it.")


def _num_channels(model: nn.Module, stage: str, names: Sequence[str]) -> int | None:
    """Channels that a stage's last layer with weights gives, where its type tells."""
    for module in reversed(list(_last_module(model, stage, names).modules())):
        for attribute in ("out_channels", "out_features", "num_features"):
            if isinstance(found := getattr(module, attribute, None), int):
                return found
        if isinstance(module, nn.LayerNorm):
            return int(module.normalized_shape[-1])
    return None


def _channels_first(output: Tensor, channels: int | None = None) -> Tensor:
    """(images, channels, ...): tokens come as (images, tokens, channels), Swin's maps with channels last.

    Args:
        output: of a stage, (images, ...).
        channels: how many there should be. Without it, or where both ends have that length or neither, three
            dimensions are taken for tokens, and four for channels-last where only their first two sides agree.
    """
    if output.ndim < 3:
        return output
    first, last = output.shape[1] == channels, output.shape[-1] == channels
    if first == last:
        last = output.ndim == 3 or (output.ndim == 4 and output.shape[1] == output.shape[2] != output.shape[3])
    return output.movedim(-1, 1) if last else output
