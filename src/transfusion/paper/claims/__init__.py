"""The claims of the paper, by group: A to C fundus, D chest, E CIFAR, F filters, G representations, H transfusion."""

from transfusion.paper.claims.chest import CHEST
from transfusion.paper.claims.cifar import CIFAR
from transfusion.paper.claims.claim import Claim
from transfusion.paper.claims.fundus import FUNDUS
from transfusion.paper.claims.networks import NETWORKS, ON_NATURAL_IMAGES

CLAIMS: dict[str, tuple[Claim, ...]] = {
    "fundus": (*FUNDUS, *NETWORKS),
    "chest": CHEST,
    "cifar": CIFAR,
    "natural": ON_NATURAL_IMAGES,
}

__all__ = ["CLAIMS", "Claim"]
