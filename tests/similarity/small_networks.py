"""Networks and images small enough for any test of similarity."""

import torch
from torch import nn


def images_of(num=40, size=8, seed=0):
    return torch.randn((num, 3, size, size), generator=torch.Generator().manual_seed(seed))


def small_net(seed=0, stride=1):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=stride), nn.ReLU(inplace=True), nn.Conv2d(4, 6, 3))


STAGES = {"first": ["0"], "last": ["1", "2"]}


class Silent(nn.Module):
    """Has a module that never runs."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

    def forward(self, images):
        return self.used(images)
