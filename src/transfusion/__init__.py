"""What do pretrained weights buy on your images, and why: a controlled experiment on your own task.

Names are imported on first use, so that ``import transfusion`` and ``transfusion --help`` stay quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transfusion.filters import gabor_score
    from transfusion.networks.structure import stages
    from transfusion.runs.slurm import Slurm
    from transfusion.schemes import initialize
    from transfusion.similarity import cca, linear_cka, procrustes, pwcca, svcca
    from transfusion.similarity.networks import compare
    from transfusion.study import Study
    from transfusion.verdict import conclude

__version__ = "0.1.0"

_HOME = {
    "Slurm": "runs.slurm",
    "Study": "study",
    "cca": "similarity",
    "compare": "similarity.networks",
    "conclude": "verdict",
    "gabor_score": "filters",
    "initialize": "schemes",
    "linear_cka": "similarity",
    "procrustes": "similarity",
    "pwcca": "similarity",
    "stages": "networks.structure",
    "svcca": "similarity",
}

__all__ = [
    "Slurm",
    "Study",
    "__version__",
    "cca",
    "compare",
    "conclude",
    "gabor_score",
    "initialize",
    "linear_cka",
    "procrustes",
    "pwcca",
    "stages",
    "svcca",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'transfusion' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"transfusion.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
