"""Claims about chest X-rays, by disease."""

from __future__ import annotations

from transfusion.paper.claims import printed
from transfusion.paper.claims.claim import Claim, Judge, all_of, attempt
from transfusion.paper.claims.judges import BETTER, OTHERS, M, P, R, counted, ends_alike, is_faster, widest
from transfusion.paper.evidence import Evidence, Finding, higher


def _disease(name: str, a: str, b: str, family: int) -> Judge:
    def judge(evidence: Evidence) -> Finding:
        # Bonferroni over the diseases among which the paper picked those that it calls significant
        return higher(evidence.arms("t5", f"auc:{name}").gap(a, b), 0.0, "auc", 1 - 0.05 / family)

    return judge


def _many_within(evidence: Evidence) -> Finding:
    evidence.part("t5")  # without runs the claim is not run, rather than fourteen diseases that cannot be judged
    pairs = [(P, M), (P, R), (M, R)]
    judges = {name: [ends_alike("t5", f"auc:{name}", pair) for pair in pairs] for name in OTHERS}
    return counted([widest([attempt(judge, evidence) for judge in each]) for each in judges.values()])


CHEST = (
    Claim(
        "D1",
        "5.1",
        "Pneumonia: Mean Var “actually outperforms” transfer.",
        "Final AUC of mean_var minus pretrained above 0.",
        _disease("Pneumonia", M, P, 1),
        printed.order("T5", "Pneumonia", M, P),
    ),
    Claim(
        "D2",
        "D.1",
        "Mean Var gains on Cardiomegaly and Consolidation.",
        "Final AUC of mean_var minus pretrained above 0, both.",
        all_of(_disease("Cardiomegaly", M, P, 1), _disease("Consolidation", M, P, 1)),
        printed.all_printed(printed.order("T5", "Cardiomegaly", M, P), printed.order("T5", "Consolidation", M, P)),
    ),
    Claim(
        "D3",
        "D.1",
        "“A large group of other diseases” lies “within 0.5% or less”.",
        "At least half of the other diseases within 0.005, every pair.",
        _many_within,
        printed.many_within,
    ),
    Claim(
        "D4",
        "D.1",
        "Nodule, Hernia and Emphysema are “significantly better” with transfer.",
        "Final AUC of pretrained above mean_var and random, each of three (Bonferroni over 14).",
        all_of(*(_disease(name, P, other, 14) for name in BETTER for other in (M, R))),
        printed.all_printed(*(printed.order("T5", name, P, other) for name in BETTER for other in (M, R))),
    ),
    Claim(
        "D5",
        "5.1",
        "Transfer is fastest, then Mean Var, then random.",
        "Ratios of steps on the mean AUC above 1, every pair.",
        all_of(*(is_faster("t5", "auc", *pair) for pair in ((R, P), (R, M), (M, P)))),
    ),
    Claim(
        "D6",
        "5.1",
        "“For most diseases all three perform comparably”.",
        "Final mean AUC of pretrained and random within 0.005.",
        ends_alike("t5", "auc", (P, R)),
        printed.macro_mean,
    ),
)
