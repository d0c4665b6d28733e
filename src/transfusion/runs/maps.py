"""Maps that a stage makes of two images, by every start before and after training, small enough to be drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from transfusion.errors import InputError, UnknownNameError
from transfusion.networks.structure import stages
from transfusion.similarity.capture import outputs_of
from transfusion.spec import RepresentationSpec

if TYPE_CHECKING:
    from transfusion.runs.comparisons import Probe

Weights = tuple[str, int]  # run and step
NUM_CHANNELS = 8  # of a stage, shown as pictures
LONGEST_SIDE = 64  # pixels of such a picture


def network_name(run: str, step: int) -> str:
    """The name of a network where keys are words: in a comparison, and among tensors in a file.

    Examples:
        >>> network_name("0a1b", 40)
        '0a1b 40'
    """
    return f"{run} {step}"


def activations(
    networks: Mapping[Weights, nn.Module], images: Probe, settings: RepresentationSpec
) -> dict[str, Tensor]:
    """Two pictures (2, height, width, channels) and, by ``network_name``, maps (2, channels, height, width) of a stage.

    A start shows the same channels before and after training. One without both networks is left out, and so are the
    pictures if that leaves none.
    """
    by_run: dict[str, list[Weights]] = defaultdict(list)
    for weights in networks:
        by_run[weights[0]].append(weights)
    couples = [both for both in by_run.values() if len(both) == 2]  # before and after; a diverged end has no pair
    if not couples:
        return {}
    two = images.two()
    shown = {"pictures": torch.from_numpy(np.array(images.pictures[images.data.rows[two]]))}
    inputs = images.inputs(two)
    for both in couples:
        before, after = (maps_of(networks[weights], inputs, settings) for weights in both)
        if after.ndim == 4:
            # those of the trained network for both pictures, so that what changed is a channel and not the choice
            channels = strongest(after)
            pairs = zip(both, (before, after), strict=True)
            shown |= {network_name(*weights): small(maps[:, channels]) for weights, maps in pairs}
    return shown


def maps_of(network: nn.Module, inputs: Tensor, settings: RepresentationSpec) -> Tensor:
    """What the stage makes of the inputs, (images, channels, ...), float32."""
    stage = shown_stage(settings, network)
    maps = outputs_of(network, {stage: stages(network)[stage]}, inputs)[stage].float().cpu()
    if not maps.isfinite().all():
        raise InputError(f"Stage '{stage}' gives NaN or infinite values, which cannot be shown; look at the weights.")
    return maps


def shown_stage(settings: RepresentationSpec, model: nn.Module) -> str:
    """The stage whose activations are shown."""
    known = stages(model)
    stage = settings.stage or next(iter(known))
    if stage not in known:
        raise UnknownNameError.of("stage", stage, known)
    return stage


def strongest(maps: Tensor) -> Tensor:
    """Places of the channels that vary most over both images.

    Examples:
        >>> strongest(torch.tensor([[[[0.0, 1.0]], [[0.0, 9.0]]]])).tolist()
        [1, 0]
    """
    variance = maps.double().transpose(0, 1).flatten(1).var(dim=1)  # float32 drops digits where the mean is large
    return variance.topk(min(NUM_CHANNELS, len(variance))).indices


def small(maps: Tensor) -> Tensor:
    """Maps small enough to be drawn, each from 0, its darkest, to 1, its brightest: float16 ends at 65,504."""
    height, width = (min(side, LONGEST_SIDE) for side in maps.shape[2:])
    pooled = nn.functional.adaptive_avg_pool2d(maps.double(), (height, width))
    low, high = pooled.amin((2, 3), keepdim=True), pooled.amax((2, 3), keepdim=True)
    return ((pooled - low) / torch.where(high > low, high - low, 1)).half()
