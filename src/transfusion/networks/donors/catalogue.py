"""What torchvision and timm publish, by name: which weights there are, and what is known of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from transfusion.errors import AbsentDonorError, DonorError
from transfusion.networks.donors.containers import first_line

T = TypeVar("T")
HUB = ("hf-hub:", "hf_hub:")


def torchvision_weights(name: str, weights_name: str = "DEFAULT") -> Any:
    """The member of torchvision's enumeration of weights that is meant; ``DEFAULT`` is their best.

    Raises:
        DonorError: torchvision has no such model or weights.
    """
    import torchvision

    if name not in torchvision.models.list_models():
        raise DonorError(f"torchvision has no model '{name}'. See torchvision.models.list_models().")
    weights = torchvision.models.get_model_weights(name)
    try:
        return weights[weights_name]
    except KeyError:
        known = ", ".join(member.name for member in weights) or "none"
        raise DonorError(f"torchvision has no weights '{weights_name}' for {name}. Known: {known}.") from None


def timm_config(name: str) -> dict[str, Any]:
    """Timm's ``pretrained_cfg`` for a name; that of a model on the hub is read from its ``config.json`` there.

    Raises:
        DonorError: timm has no such model or weights, or the hub cannot be reached.
    """
    import timm

    if name.startswith(HUB):
        config, architecture, _ = fetched(
            lambda: timm.models.load_model_config_from_hf(name.partition(":")[2]), f"timm:{name}"
        )
        return {**config, "architecture": architecture}
    try:
        found = timm.get_pretrained_cfg(name)
    except RuntimeError:
        raise DonorError(f"timm has no pretrained weights for '{name}'. See timm.list_pretrained().") from None
    if found is None and not timm.is_model(name):
        raise DonorError(f"timm has no model '{name}'. See timm.list_models(pretrained=True).")
    return {"architecture": name} if found is None else vars(found)


def fetched(action: Callable[[], T], source: str) -> T:
    """What an action that may need the network gives; its failure is one line."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # the hub's client reports every retry
    try:
        return action()
    except Exception as error:  # as many kinds as there are layers between here and the server
        raise AbsentDonorError(
            f"The weights of '{source}' could not be fetched ({first_line(error)}). "
            "Go online once, or give file:PATH to a copy."
        ) from error
    finally:
        logging.disable(before)
