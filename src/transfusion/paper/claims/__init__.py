"""The claims of the paper, by group.

A to C fundus, D chest, E CIFAR, F filters, G representations, H transfusion, I all settings together, and J, controls
that the paper lacks.
"""

from transfusion.paper.claims.chest import CHEST
from transfusion.paper.claims.cifar import CIFAR
from transfusion.paper.claims.claim import Claim
from transfusion.paper.claims.controls import CONTROLS, HE, LIBRARY, against
from transfusion.paper.claims.filters import FILTERS, ON_NATURAL_IMAGES
from transfusion.paper.claims.fundus import FUNDUS
from transfusion.paper.claims.overall import OVERALL
from transfusion.paper.claims.partial import PARTIAL
from transfusion.paper.claims.representations import REPRESENTATIONS

# the overall claims stand on three pages: each recipe's page judges them with the folders beside it
CLAIMS: dict[str, tuple[Claim, ...]] = {
    "fundus": (*FUNDUS, *FILTERS, *REPRESENTATIONS, *PARTIAL, *OVERALL, *CONTROLS),
    "chest": (*CHEST, *OVERALL, against("t5", "auc", LIBRARY)),
    "cifar": (*CIFAR, *OVERALL, against("t4", "accuracy", HE)),
    "natural": ON_NATURAL_IMAGES,
}

__all__ = ["CLAIMS", "Claim"]
