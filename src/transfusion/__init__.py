"""What do pretrained weights buy on your images, and why: a controlled experiment on your own task.

Names are imported on first use, so that ``import transfusion`` and ``transfusion --help`` stay quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transfusion.schemes import initialize
    from transfusion.stages import stages
    from transfusion.study import Study

__version__ = "0.1.0"

_HOME = {
    "Study": "study",
    "initialize": "schemes",
    "stages": "stages",
}

__all__ = ["Study", "__version__", "initialize", "stages"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'transfusion' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"transfusion.{_HOME[name]}"), name)
    globals()[name] = value  # a submodule of the same name (stages) must not shadow the function
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
