"""A donor and a model that it fits."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from transfusion.networks.models import build


@pytest.fixture(scope="module")
def resnet() -> dict[str, torch.Tensor]:
    """A donor: ResNet-18 of 1000 classes."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return torchvision.models.resnet18().state_dict()


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return build("resnet18", 3)
