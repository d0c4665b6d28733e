"""Controls that the paper lacks: questions to ask beside its claims, judged like them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from transfusion.paper.claims.claim import Claim, Judge, together
from transfusion.paper.claims.judges import M, P, R
from transfusion.paper.claims.representations import jackknife
from transfusion.paper.evidence import Arms, Evidence, Finding, NotRunError, faster
from transfusion.paper.rules import ordered

HE, LIBRARY = "kaiming", "default"  # other random starts than Glorot's
RATES = ("j3_low", "j3_high")  # parts with a third and three times the learning rate


def _not_glorot_alone(part: str, metric: str, control: str) -> Judge:
    """The starts that are faster than Glorot's are faster than another random start, too."""

    def judge(evidence: Evidence) -> Finding:
        arms = evidence.arms(part, metric)
        found = together([faster(arms.log_speed(control, start)) for start in (P, M)])
        own = faster(arms.log_speed(R, control))
        assert own.estimate is not None
        why = (
            f"{control} itself is {own.estimate.estimate:.2f} times as fast as random: {own.outcome} that it is faster."
        )
        return Finding(found.outcome, found.estimate, found.unit, why)

    return judge


def _with_another_head(evidence: Evidence) -> Finding:
    suffix = " head=random"  # the label of a start names a head that is not the framework's
    return _order(replace(evidence.arms("j2", "auc"), baseline=R + suffix), suffix)


def _at_other_rates(evidence: Evidence) -> Finding:
    missing = [part for part in RATES if part not in evidence.parts]
    if missing:
        raise NotRunError(f"Parts {', '.join(missing)} were not run: --only J3.")
    return together([_order(evidence.arms(part, "auc")) for part in ("t1", *RATES)])


def _order(arms: Arms, suffix: str = "") -> Finding:
    """Pretrained before mean_var before random."""
    p, m, r = (start + suffix for start in (P, M, R))
    return together([faster(arms.log_speed(*pair)) for pair in ((r, p), (r, m), (m, p))])


def _shared_draws(evidence: Evidence) -> Finding:
    """How much sharper a contrast is because starts of one seed share their random numbers."""
    arms = evidence.arms("t1", "auc")
    ours, theirs = ({seed: one.final for seed, one in arms.grid.complete(start).items()} for start in (M, R))
    both = sorted(ours.keys() & theirs.keys())  # these two draw the very same normals, scaled: the strongest case

    def ratio(seeds: set[int]) -> float:
        a, b = (np.array([values[seed] for seed in sorted(seeds)]) for values in (ours, theirs))
        unpaired = float(np.hypot(a.std(ddof=1), b.std(ddof=1)))
        return float((a - b).std(ddof=1)) / unpaired if unpaired else np.nan

    if len(both) < 4:
        raise NotRunError("It takes four seeds of mean_var and random to say how alike those of one seed are.")
    gain = jackknife(both, lambda seeds: 1 - ratio(seeds))
    return Finding(ordered(gain), gain, "share")


def _scale_of_the_stem(evidence: Evidence) -> Finding:
    arms = evidence.arms("j5", "auc")
    return together([faster(arms.log_speed(f"{M} upto stem", M))])


def against(part: str, metric: str, control: str) -> Claim:
    """J1 of a recipe: its speeds against another random start than Glorot's."""
    whose = "He normal" if control == HE else "the library's own random start"
    return Claim(
        "J1", "-", f"Is it Glorot that is slow, or random? The same speeds against {whose}.",
        f"Ratios of steps of {control} to pretrained and to mean_var above 1.",
        _not_glorot_alone(part, metric, control),
    )  # fmt: skip


CONTROLS = (
    against("t1", "auc", HE),
    Claim("J2", "-", "Is it the head? The same order of speeds with Glorot's head in all starts.",
          "Ratios of steps above 1 with head=random, every pair.", _with_another_head),
    Claim("J3", "-", "Is it the learning rate? The same order at a third and at three times the rate.",
          "Ratios of steps above 1 at all three rates, every pair.", _at_other_rates),
    Claim("J4", "-", "Do starts of one seed share their luck? Paired contrasts are sharper if they do.",
          "1 - sd of the paired final difference of mean_var and random over that of unpaired ones, above 0.",
          _shared_draws),
    Claim("J5", "-", "Which scale? All stages' scales are faster than the stem's alone.",
          "Steps with mean_var up to the stem over those with all of it above 1.", _scale_of_the_stem),
)  # fmt: skip
