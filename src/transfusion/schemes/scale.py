"""The scale of a donor's weights against He's, which is that of a freshly drawn ReLU network in ordinary units."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn

from transfusion.errors import InputError
from transfusion.networks.donors.containers import tensors_of
from transfusion.networks.given import described, network, unwrapped
from transfusion.schemes.slots import Slot, slots

FIRST_LAYER = "first layer"
FAR = 10.0  # times above or below He's


def scales(model: nn.Module, donor: Mapping[str, Tensor] | nn.Module) -> dict[str, float]:
    """How many times larger than He's a donor's weights are, for its first layer and for every stage.

    A network of ReLUs without normalisation computes the same function in any units: its first layer times 100 and its
    last over 100, for instance. So a scale far from 1 says nothing of what was learned, but ``mean_var``, ``sampling``
    and ``shuffled`` hand it on, and Glorot and He draws do not have it. Where a normalisation follows a weight, its
    scale only sets how fast it turns under an optimiser.

    Args:
        model: any network.
        donor: a network, or tensors, under the model's names and in its shapes; the head's are not read.

    Returns:
        ``{"first layer": ..., stage: ...}``, in order: root mean square of a weight over sqrt(2 / fan_in), averaged
        geometrically over the weights of a stage, so that one odd layer among many does not stand for all of them.
        Weights that are all zero are left out, and so are those under weight or spectral norm, whose scale is
        another tensor's.

    Raises:
        InputError: ``model`` is no network.
        DonorError: ``donor`` is no network or tensors by name.

    Examples:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 2))
        >>> _ = nn.init.constant_(model[0].weight, 20 * math.sqrt(2 / 27))
        >>> {name: round(scale) for name, scale in scales(model, model.state_dict()).items()}
        {'first layer': 20, '0': 20}
    """
    state = tensors_of(donor)
    weights = [slot for slot in slots(unwrapped(network(model, "scales(model, donor)"))) if _counts(slot)]
    given = [(slot, state[slot.name]) for slot in weights if slot.name in state]
    measured = [(slot.stage, scale) for slot, tensor in given if (scale := _against_he(slot, tensor)) > 0]
    first = {FIRST_LAYER: measured[0][1]} if measured else {}
    by_stage: dict[str, list[float]] = {}
    for stage, scale in measured:
        by_stage.setdefault(stage, []).append(scale)
    return first | {stage: _geometric_mean(found) for stage, found in by_stage.items()}


def far_from_he(scales: Mapping[str, float]) -> dict[str, float]:
    """The parts more than 10 times above or below He's scale.

    Raises:
        InputError: these are no scales by name.

    Examples:
        >>> far_from_he({"first layer": 46.0, "layer1": 0.8, "layer2": 0.05})
        {'first layer': 46.0, 'layer2': 0.05}
    """
    if not isinstance(scales, Mapping):
        raise InputError(f"far_from_he takes what scales(model, donor) returns; got {described(scales)}.")
    return {name: scale for name, scale in scales.items() if not 1 / FAR <= scale <= FAR}


def _counts(slot: Slot) -> bool:
    in_pieces = slot.name.rpartition(".")[2] != slot.key  # under weight or spectral norm the tensor's name is longer
    return slot.role == "weight" and not (slot.is_head or slot.tied_to or in_pieces)


def _against_he(slot: Slot, tensor: Tensor) -> float:
    rms = tensor.detach().double().square().mean().sqrt().item()  # about 0, not the mean: a shift is scale too
    return rms / math.sqrt(2 / max(slot.fans[0], 1))


def _geometric_mean(values: list[float]) -> float:
    return math.exp(math.fsum(map(math.log, values)) / len(values))  # a product of many scales could overflow
