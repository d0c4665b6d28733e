"""Claims over all settings (abstract and discussion): they need the runs of several recipes."""

from __future__ import annotations

from transfusion.paper.claims.chest import CHEST
from transfusion.paper.claims.cifar import CIFAR
from transfusion.paper.claims.claim import Claim, Judge, all_of
from transfusion.paper.claims.filters import no_gabors
from transfusion.paper.claims.fundus import FUNDUS
from transfusion.paper.claims.judges import M, R, is_faster, smallest_is_faster
from transfusion.paper.claims.representations import like_two_random

_JUDGES = {claim.id: claim.test for claim in (*FUNDUS, *CHEST, *CIFAR)}
DRAMATIC = 1.5  # times as fast: what "dramatically" is read as, fixed beforehand


def _all(*ids: str) -> Judge:
    return all_of(*(_JUDGES[each] for each in ids))


def _mean_var_speeds(than: float) -> Judge:
    # of CIFAR the smallest size, where alone the paper sees a difference in speed
    medical = (is_faster(part, "auc", R, M, than) for part in ("t1", "t5"))
    return all_of(*medical, smallest_is_faster(R, M, than))


OVERALL = (
    Claim("I1", "Abstract", "“Transfer has almost negligible effects on performance” in all settings.",
          "A1, D6 and E1, all three.", _all("A1", "D6", "E1")),
    Claim("I2", "Abstract", "Transfer “significantly helps convergence speed” in all settings.",
          "A3, D5 and E3, all three.", _all("A3", "D5", "E3")),
    Claim("I3", "Abstract", "Mean and variance alone speed convergence up “dramatically” in all settings.",
          "Speed-ups of mean_var on fundus, chest and CIFAR with 10 % above 1.5.", _mean_var_speeds(DRAMATIC)),
    Claim("I4", "6.2", "“Models trained from random do not learn Gabor filters on medical images.”",
          "F1 and F2 on both medical data sets.",
          all_of(*(no_gabors(when, part) for part in ("t1", "t5") for when in ("after", "difference")))),
    Claim("I5", "6.3", "Pretrained networks are “surprisingly similar to random at higher layers”.",
          "G4 and G5.", all_of(like_two_random("before"), like_two_random("after"))),
)  # fmt: skip
