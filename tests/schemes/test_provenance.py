"""The table of where tensors came from."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from transfusion.errors import UnknownNameError
from transfusion.schemes import initialize


def test_rows_frame_and_print():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2))
    table = initialize(model, "mean_var", donor=model)
    frame = table.frame()
    assert list(frame["tensor"]) == list(model.state_dict())
    assert list(frame.columns) == [
        "tensor", "stage", "rule", "donor_tensor", "mean_asked", "std_asked", "mean", "std"
    ]  # fmt: skip
    assert "mean_var" in repr(table)
    assert "head" in repr(table)
    with pytest.raises(UnknownNameError, match="no tensor 'nothing'"):
        table["nothing"]


def test_asked_and_got():
    model = nn.Sequential(nn.Linear(200, 100), nn.ReLU(), nn.Linear(100, 2))
    row = initialize(model, "random")["0.weight"]
    assert row.std_asked == pytest.approx(math.sqrt(2 / 300))
    assert row.std == pytest.approx(model[0].weight.std(correction=0).item(), rel=1e-5)
    assert row.mean == pytest.approx(model[0].weight.mean().item(), abs=1e-7)
    assert row.donor_tensor is None
    row = initialize(model, "shuffled", donor={n: torch.randn(t.shape) for n, t in model.state_dict().items()})[
        "0.weight"
    ]
    assert row.donor_tensor == "0.weight"
    assert (row.mean, row.std) == pytest.approx((row.mean_asked, row.std_asked), rel=1e-4, abs=1e-6)
