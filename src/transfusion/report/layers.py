"""The layers of a study's network, from what its runs left on disk: the network itself is never built."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from torch import Tensor

from transfusion.errors import StoreError
from transfusion.files import is_whole_table
from transfusion.report.material import Material
from transfusion.runs.store import RunFiles

LEAST_SIDE = 3  # pixels; a 1 x 1 convolution has no picture


def tensor_stages(files: RunFiles) -> dict[str, str]:
    """Tensor -> stage, in order of registration, as the run's provenance has it; {} before there is one."""
    if not files.provenance_path.exists():
        return {}
    if not is_whole_table(files.provenance_path):
        raise StoreError(f"{files.provenance_path} is damaged. Run the same study command again: it repairs the run.")
    rows = pd.read_csv(files.provenance_path, usecols=["tensor", "stage"], dtype=str, keep_default_na=False)
    return dict(zip(rows["tensor"], rows["stage"], strict=True))


def stage_order(material: Material) -> list[str]:
    """The network's stages from input to output; those that the grid names where no run has begun."""
    known = next(filter(None, (tensor_stages(files) for files in material.runs)), {})
    order = list(dict.fromkeys(known.values()))
    return order or [stage for stage in material.spec.upto if stage]


def first_layer(stages: Mapping[str, str], weights: Mapping[str, Tensor]) -> str | None:
    """The first convolution whose filters have a picture, by the name of its weight; None where there is none."""
    shaped = (name for name in stages if name in weights and weights[name].ndim == 4)  # in order of registration
    return next((name for name in shaped if min(weights[name].shape[2:]) >= LEAST_SIDE), None)
