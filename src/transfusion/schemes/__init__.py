"""Initialisation schemes for any ``torch.nn.Module``: what a network starts from, and where each tensor came from.

How to choose: see ``transfusion.schemes.rules``. The module stands alone; it knows nothing of runs, studies or files.
"""

from transfusion.schemes.filling import initialize, reads_donor
from transfusion.schemes.provenance import Origin, Provenance
from transfusion.schemes.rules import BATCH_NORMS, HEADS, SCHEMES, Draw, Scheme
from transfusion.schemes.scale import FAR, far_from_he, scales
from transfusion.schemes.slots import Slot, fans

__all__ = [
    "BATCH_NORMS",
    "FAR",
    "HEADS",
    "SCHEMES",
    "Draw",
    "Origin",
    "Provenance",
    "Scheme",
    "Slot",
    "fans",
    "far_from_he",
    "initialize",
    "reads_donor",
    "scales",
]
