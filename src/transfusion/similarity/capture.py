"""Activations of stages, as a network leaves them on its way.

A stage's output is what the last of its modules that ran gives, whichever was registered last, copied at once (a later
in-place ReLU must not change it); where it runs several times in one pass, its last output counts. Lists of modules
never run themselves: what lies in them does. A module without weights, such as one ReLU for the whole network, does not
count once a later stage has begun.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from transfusion.errors import InputError, UnknownNameError
from transfusion.networks.given import network, unwrapped, with_values
from transfusion.networks.tree import around, has_tensors, joined, tensors, wrapped
from transfusion.similarity.batches import mapped, num_images, tensors_in

_OF_SHAPES = re.compile("size|shape|dimension|channel|dtype|type|input", re.IGNORECASE)
Stages = Mapping[str, Sequence[str]]
Forward = Callable[[nn.Module, Any], Any]


@contextmanager
def captured(model: nn.Module, stages: Stages) -> Iterator[dict[str, Tensor]]:
    """Within the block, every forward pass of ``model`` leaves copies of its stages' outputs in the mapping.

    Args:
        model: any network. A compiled one runs uncompiled, as compiled code passes hooks by.
        stages: ``{stage: its modules}``; the last one that runs gives the output.

    Raises:
        UnknownNameError: where the network has none of a stage's modules.

    Examples:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True))
        >>> with captured(net, {"stem": ["0"]}) as outputs:
        ...     _ = net(torch.zeros(2, 3, 8, 8))
        >>> outputs["stem"].shape
        torch.Size([2, 4, 6, 6])
    """
    with _watched(model, stages) as (outputs, _):
        yield outputs


class _Progress:
    """How far a pass has come.

    Attributes:
        furthest: the place of the last stage of which a module with weights has run.
        num_images: how many rows an output should have, if known.
    """

    def __init__(self, num_images: int | None) -> None:
        self.furthest = -1
        self.num_images = num_images

    def begin(self, module: nn.Module, args: Any) -> None:
        self.furthest = -1  # a new pass: no stage has begun


class _Watch:
    """Keeps the output of the outermost module of a stage that ran last.

    Attributes:
        last: that module.
        outputs: where its output goes, copied, under the stage's name.
    """

    def __init__(self, stage: str, place: int, progress: _Progress, outputs: dict[str, Tensor]) -> None:
        self.stage, self.place, self.progress, self.outputs = stage, place, progress, outputs
        self.depth = 0
        self.last: nn.Module | None = None

    def enter(self, module: nn.Module, args: Any) -> None:
        self.depth += 1

    def leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self.depth -= 1
        # a shared ReLU runs after every stage; once a later stage has begun it speaks for that one
        if has_tensors(module):
            self.progress.furthest = max(self.place, self.progress.furthest)
        elif self.progress.furthest > self.place:
            return
        # depth 0: a block's own output, with its shortcut, and not that of the layers inside it
        if self.depth == 0 and (tensor := _first_tensor(output, self.progress.num_images)) is not None:
            self.last = module
            self.outputs[self.stage] = tensor.detach().clone()


@contextmanager
def _watched(
    model: nn.Module, stages: Stages, num_images: int | None = None
) -> Iterator[tuple[dict[str, Tensor], dict[str, _Watch]]]:
    progress, outputs = _Progress(num_images), dict[str, Tensor]()
    watches = {stage: _Watch(stage, place, progress, outputs) for place, stage in enumerate(stages)}
    with ExitStack() as stack:
        stack.enter_context(torch.compiler.set_stance("force_eager"))  # compiled code passes hooks by
        stack.callback(model.register_forward_pre_hook(progress.begin).remove)
        for stage, names in stages.items():
            watch = watches[stage]
            for module in dict.fromkeys(each for top in _modules(model, stage, names) for each in top.modules()):
                stack.callback(module.register_forward_pre_hook(watch.enter).remove)
                # called where the pass fails, too: what was entered is left
                stack.callback(module.register_forward_hook(watch.leave, always_call=True).remove)
        yield outputs, watches


def outputs_of(model: nn.Module, stages: Stages, batch: Any, forward: Forward | None = None) -> dict[str, Tensor]:
    """What each stage makes of a batch.

    Args:
        model: any network; it is run in evaluation mode and left as it was found.
        stages: ``{stage: its modules}``.
        batch: images, (images, ...), of any type; with ``forward``, whatever that takes.
        forward: ``forward(model, batch)`` runs the network; None calls ``model(batch)``.

    Returns:
        ``{stage: (images, channels, ...)}``; tokens and maps with channels last are turned.

    Raises:
        InputError: for a batch that the network does not take, and a stage that never ran, or whose output has not one
            row per image.
        UnknownNameError: where the network has none of a stage's modules.

    Examples:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))
        >>> outputs_of(net, {"stem": ["0"]}, torch.zeros(2, 3, 8, 8))["stem"].shape
        torch.Size([2, 4, 6, 6])
    """
    outputs, odd = outputs_or_reasons(model, stages, batch, forward)
    if odd:
        raise InputError(f"{' '.join(odd.values())} Give stages={{name: [module]}}.")
    return outputs


def outputs_or_reasons(
    model: nn.Module, stages: Stages, batch: Any, forward: Forward | None = None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """As ``outputs_of``, but stages without an output to compare are described in a sentence each, by stage."""
    weight, num = next(model.parameters(), None), num_images(batch)
    with _watched(model, stages, num) as (found, watches), _evaluation(model), torch.no_grad():
        placed = batch if weight is None else mapped(lambda each: _placed(each, weight), batch)
        _run(model, placed, forward)
    outputs: dict[str, Tensor] = {}
    odd: dict[str, str] = {}
    for stage, names in stages.items():
        output = found.get(stage)
        if output is None:
            odd[stage] = f"Stages {[stage]} gave no output: none of their modules ran and gave a tensor."
        elif output.ndim < 2 or len(output) != num:
            odd[stage] = f"Stage '{stage}' gives shape {tuple(output.shape)} for {num} images; needs one row per image."
        else:
            # the module that ran last knows best, so it is asked first (the list is read from its end)
            channels = _num_channels([*_modules(model, stage, names), *filter(None, [watches[stage].last])])
            outputs[stage] = _channels_first(output, channels)
    return outputs, odd


def runnable(model: object, call: str) -> nn.Module:
    """The network that a compiled or parallel module wraps, if hooks can watch it run.

    The copies of a parallel one would each write over what the others leave, and compiled code passes hooks by.

    Raises:
        InputError: it is no network, has tensors without values, or was scripted.
    """
    inner = unwrapped(with_values(network(model, call), call))
    if isinstance(inner, torch.jit.ScriptModule):
        raise InputError(f"{call}: a scripted network cannot be watched. Give the one that was scripted.")
    return inner


def _run(model: nn.Module, batch: Any, forward: Forward | None) -> None:
    """The boundary to a network's own code: a batch that it does not take is told in one line."""
    if forward is None and _is_one_image(model, batch):
        raise InputError(
            f"Got one image of shape {tuple(batch.shape)} where a batch belongs. Give image[None], or more."
        )
    try:
        forward(model, batch) if forward else model(batch)
    except (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError, AssertionError) as error:
        # a lack of memory and a broken device are no fault of the batch
        lacks_memory = isinstance(error, torch.OutOfMemoryError)
        if lacks_memory or (isinstance(error, RuntimeError) and not _OF_SHAPES.search(str(error))):
            raise
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors_in(batch))
        said = str(error).splitlines()[0] if str(error) else "no message"
        raise InputError(
            f"{type(model).__name__} does not take a batch of shape {shapes} ({type(error).__name__}: {said}). Give "
            "images (images, channels, height, width) as it was trained on, or forward=lambda model, batch: ..."
        ) from error


def _is_one_image(model: nn.Module, batch: Any) -> bool:
    """Whether torch would take the channels of a single image for images."""
    first = next((module for module in model.modules() if isinstance(module, _ConvNd)), None)
    if first is None or not isinstance(batch, Tensor) or batch.ndim != first.weight.ndim - 1:
        return False
    return batch.is_floating_point() and len(batch) == first.in_channels


def _placed(tensor: Tensor, weight: Tensor) -> Tensor:
    # Token ids and masks stay what they are; pictures of any type become what the weights are.
    kind = tensor.dtype if tensor.dtype in (torch.int64, torch.bool) else weight.dtype
    return tensor.to(weight.device, kind)


@contextmanager
def _evaluation(model: nn.Module) -> Iterator[None]:
    # module by module: a frozen batch norm in a network that trains must come back as it was
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _modules(model: nn.Module, stage: str, names: Sequence[str]) -> list[nn.Module]:
    """A stage's modules, by their names in the network or in what it wraps; none where it has bare tensors alone."""
    modules = dict(model.named_modules())
    prefixes = [prefix for prefix, _ in wrapped(model)]
    bare = [name.removeprefix("module.") for name in names]
    # "module." is DataParallel's
    every = [[joined(prefix, name) if name else prefix for prefix in prefixes] for name in bare]
    found = [next((modules[name] for name in candidates if name in modules), None) for candidates in every]
    known = {around_it for name, _ in tensors(model) for around_it in around(name)}
    if not any(each is not None for each in found) and not any(c in known for each in every for c in each):
        raise UnknownNameError.of(f"module of stage '{stage}' named", ", ".join(names), list(modules)[1:])
    return [each for each in found if each is not None]


def _first_tensor(output: Any, num_images: int | None) -> Tensor | None:
    """The first tensor of an output that has one row per image, else the first of all."""
    found = [tensor for tensor in tensors_in(output) if tensor.ndim]
    by_image = (tensor for tensor in found if tensor.ndim > 1 and len(tensor) == num_images)
    return next(by_image, found[0] if found else None)


def _num_channels(modules: Sequence[nn.Module]) -> int | None:
    """Channels that the last layer with weights gives, if its type says."""
    for module in (layer for last in reversed(modules) for layer in reversed(list(last.modules()))):
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
