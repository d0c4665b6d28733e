"""Claims about first-layer filters: when they look like Gabors, and on what images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import ttest_ind

from transfusion.metrics import Interval
from transfusion.paper.claims.claim import Claim, Judge, together
from transfusion.paper.claims.judges import M, P, R
from transfusion.paper.evidence import Evidence, Finding, NotRunError, NotTestableError, alike, higher
from transfusion.paper.rules import Outcome, ordered
from transfusion.verdict.gabors import CHANCE
from transfusion.verdict.inference import mean_interval


def share_of(evidence: Evidence, start: str, when: str, part: str = "t1") -> pd.Series:
    """Gabor-like share of the first layer by seed.

    Raises:
        NotTestableError: its filters cannot be judged.
        NotRunError: there are no weights.
    """
    table = evidence.part(part).gabor
    if not len(table):
        raise NotTestableError("First-layer filters are too small to be judged, or their weights were not kept.")
    rows = table[(table["start"] == start) & (table["when"] == when)]
    if not len(rows):
        raise NotRunError(f"No weights of {start} {when} training.")
    shares: pd.Series = rows.set_index("seed")["share"]
    return shares


def _only_the_donor(evidence: Evidence) -> Finding:
    donor, others = share_of(evidence, P, "before"), [share_of(evidence, start, "before") for start in (M, R)]
    clear = higher(donor.to_numpy(), 0.5, "share")
    gaps = [higher((donor - other).dropna().to_numpy(), 0.0, "share") for other in others]
    none = [alike(other.to_numpy() - CHANCE, CHANCE, "share") for other in others]
    return together([_exactly(clear, donor, 0.5), *gaps, *none])


def _exactly(found: Finding, values: pd.Series, above: float) -> Finding:
    """A donor's filters are the same for every seed: no spread, and none is needed."""
    if values.nunique() > 1:
        return found
    value = float(values.iloc[0])
    outcome = Outcome.REPLICATED if value > above else Outcome.CONTRADICTED
    return Finding(outcome, Interval(value, value, value, len(values)), "share")


def no_gabors(when: str, part: str = "t1") -> Judge:
    """The strong form: no more than twice chance."""

    def judge(evidence: Evidence) -> Finding:
        return together([_below(share_of(evidence, start, when, part), 2 * CHANCE) for start in (R, M)])

    return judge


def _below(shares: pd.Series, bound: float) -> Finding:
    interval = mean_interval(shares.to_numpy(np.float64))
    # rules know "greater than" only; the number shown keeps its sign
    flipped = Interval(-interval.estimate, -interval.high, -interval.low, interval.n)
    return Finding(ordered(flipped, -bound), interval, "share")


def _along(evidence: Evidence) -> pd.DataFrame:
    """Shares of every seed that has ended along its training on natural images, in order."""
    table = evidence.part("f14").gabor
    along = table[table["when"] != "difference"].sort_values(["seed", "fraction"]) if len(table) else table
    ended = along[along["seed"].isin(along.loc[along["when"] == "after", "seed"])] if len(along) else along
    if len(ended) < 3:
        raise NotRunError("No filters along a finished training of a network on natural images.")
    return ended


def _learns_fast(evidence: Evidence) -> Finding:
    """Every seed ends above a half, and has half of that within a fifth of its training."""
    by_seed = _along(evidence).groupby("seed")
    last = by_seed["share"].last()
    # half of its own end, not of one half: a seed that learns few Gabors may still learn them quickly
    half = by_seed.apply(lambda own: own.loc[own["share"] >= own["share"].iloc[-1] / 2, "fraction"].iloc[0])
    why = f"Half of its final share at {half.mean():.0%} of the training."
    above, early = higher(last.to_numpy(), 0.5, "share"), higher(0.2 - half.to_numpy(np.float64), 0.0, "share")
    if len(last) == 1 and above.outcome is not Outcome.CONTRADICTED:
        why += " One training shows no spread."
    return _unless_short(Finding(together([above, early]).outcome, above.estimate, "share", why), evidence)


def _unless_short(found: Finding, evidence: Evidence) -> Finding:
    """That filters appear is shown by any training; that they never do, by one of the paper's length on its images."""
    if found.outcome is not Outcome.CONTRADICTED or evidence.part("f14").has_levels:
        return found
    why = f"{found.why} Less than the paper's training, or other images, cannot show that Gabors never come."
    return replace(found, outcome=Outcome.CANNOT_TELL, why=why)


LEAST_LEAD = 0.2  # in share of Gabor-like filters; the paper names none, this was fixed beforehand


def _natural_against_medical(evidence: Evidence) -> Finding:
    """Shares after as many steps of one network from random, on natural and on medical images."""
    natural, medical = evidence.part("f14"), evidence.part("t1")
    if natural.model != medical.model:
        raise NotTestableError(f"Natural images trained {natural.model} and medical ones {medical.model}.")
    steps = int(medical.frame["step"].max())
    along = _along(evidence)
    # as many steps, whatever the length of either training: filters keep changing with it
    along = along[along["step"] <= steps].groupby("seed")[["step", "share"]].last()
    theirs = share_of(evidence, R, "after").to_numpy(np.float64)
    gap = two_samples(along["share"].to_numpy(np.float64), theirs)
    why = f"After {along['step'].max():.0f} steps on natural images and {steps} on medical ones, {medical.model}."
    return _unless_short(Finding(ordered(gap, LEAST_LEAD), gap, "share", why), evidence)


def two_samples(ours: np.ndarray, theirs: np.ndarray) -> Interval:
    """Welch's 95 % interval of the difference of two means over independent seeds."""
    gap, n = float(ours.mean() - theirs.mean()), min(len(ours), len(theirs))
    if n < 2:
        return Interval(gap, np.nan, np.nan, n, "one seed shows no spread")
    found = ttest_ind(ours, theirs, equal_var=False).confidence_interval()
    if np.isnan(found.low):  # no spread on either side
        return Interval(gap, gap, gap, n)
    return Interval(gap, float(found.low), float(found.high), n)


FILTERS = (
    Claim("A10", "6.2", "At the start, only the pretrained filters have clear features (Figure 2).",
          "Gabor-like share of the first layer before training: pretrained above 0.5 and above the others.",
          _only_the_donor),
    Claim("F1", "6.2", "Filters of networks trained from random are “not Gabor-like”.",
          "Gabor-like share after training below 0.10, twice chance (strong form).", no_gabors("after")),
    Claim("F2", "6.2", "Nor is “the difference” that training made.",
          "Gabor-like share of after minus before below 0.10.", no_gabors("difference")),
)  # fmt: skip

ON_NATURAL_IMAGES = (
    Claim("F3", "E", "On natural images a network from random “quickly learns Gabors”.",
          "Final share above 0.5, half of it within 20 % of the training.", _learns_fast),
    Claim("F4", "E", "Natural images make Gabors and medical ones do not, with the same network and as many steps.",
          "Gabor-like share after as many steps from random, natural minus medical, above 0.2.",
          _natural_against_medical),
)  # fmt: skip
