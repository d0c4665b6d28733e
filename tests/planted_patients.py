"""Studies whose patients matter: whole curves from scores, each start good at patients of its own.

Both starts have one population curve, up to their speed; see ``curve_scores``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats
from scipy.integrate import trapezoid

from transfusion.metrics import Influence
from transfusion.verdict.contest import Contest
from transfusion.verdict.curves import Curve, Grid, Start

STEPS = np.array([0, 2, 4, 6, 9, 13, 18, 25, 35, 50, 70, 95, 130, 180, 240, 300, 360], float)
TAU, SEPARATION, OWN_NOISE, SPREAD = 60.0, 1.5, 0.5, 0.1


def influences(scores: np.ndarray, num_positive: int) -> list[Influence]:
    """Of the AUC at every evaluation, from scores (evaluations, patients), positive ones first."""
    positive, negative = scores[:, :num_positive], scores[:, num_positive:]
    won = positive[:, :, None] > negative[:, None, :]
    beaten, beating = won.mean(2), won.mean(1)
    aucs, found = beaten.mean(1), []
    num, rest = positive.shape[1], negative.shape[1]
    for value, above, below in zip(aucs, beaten, beating, strict=True):
        parts = np.zeros((2, num + rest))
        parts[0, :num] = (above - value) / num * np.sqrt(num / (num - 1))
        parts[1, num:] = (below - value) / rest * np.sqrt(rest / (rest - 1))
        found.append(Influence(float(value), parts, np.array([num - 1.0, rest - 1.0]), num))
    return found


def curve_scores(generator: np.random.Generator, common: np.ndarray, labels: np.ndarray, tau: float) -> np.ndarray:
    """Scores (evaluations, patients) of one training whose signal grows with its steps over an untrained network's."""
    grown = 1 - np.exp(-((STEPS / (tau * np.exp(SPREAD * generator.normal()))) ** 1.2))
    separation = SEPARATION * (1 + 0.05 * generator.normal())
    noise = generator.normal(size=len(labels)) * (1 - grown)[:, None]  # what an untrained network says
    own = OWN_NOISE * generator.normal(size=len(labels))
    return noise + grown[:, None] * (common + own + separation * labels)


def study(
    generator: np.random.Generator, num_seeds: int, num: tuple[int, int], own: float, speedup: float, reach: float = 1.0
) -> Contest:
    """Two starts, ``pretrained`` so many times as fast as ``random``, on the same patients.

    Args:
        generator: of all draws.
        num_seeds: trainings of each start.
        num: positive and negative patients.
        own: standard deviation of what a start sees in one patient and the other does not.
        speedup: of the population's curve.
        reach: factor on the separation of the faster start.
    """
    labels = np.repeat([1.0, 0.0], num)
    common, starts, seen = generator.normal(size=len(labels)), {}, {}
    for name, factor in (("random", 1.0), ("pretrained", speedup)):
        mine = common + own * generator.normal(size=len(labels)) + (reach - 1) * (factor != 1) * SEPARATION * labels
        runs = {}
        for seed in range(num_seeds):
            found = influences(curve_scores(generator, mine, labels, TAU / factor), num[0])
            run = f"{name}{seed}"
            seen[run] = {int(step): one for step, one in zip(STEPS, found, strict=True)}
            runs[seed] = Curve(STEPS, np.array([one.value for one in found]), run=run)
        starts[Start(name, name, "identity", None, "random", "default")] = runs
    return Contest(Grid(None, starts), "random", 0.01, influences=seen)


def blind(contest: Contest) -> Contest:
    """The same without what each patient does."""
    return Contest(contest.grid, contest.baseline, contest.margin)


def population_area(speedup: float, own: float) -> float:
    """Difference of mean heights that the populations' curves have, by the trapezoid rule."""
    heights = [_height(TAU / factor, own) for factor in (speedup, 1.0)]
    return float(trapezoid(heights[0] - heights[1], STEPS) / STEPS[-1])


def _height(tau: float, own: float, draws: int = 4000) -> np.ndarray:
    generator = np.random.default_rng(0)
    grown = 1 - np.exp(-((STEPS / (tau * np.exp(SPREAD * generator.normal(size=(draws, 1))))) ** 1.2))
    separation = SEPARATION * (1 + 0.05 * generator.normal(size=(draws, 1)))
    spread = np.sqrt((1 - grown) ** 2 + grown**2 * (1 + OWN_NOISE**2 + own**2))
    return stats.norm.cdf(grown * separation / spread / np.sqrt(2)).mean(0)


CASES: Sequence[tuple[tuple[int, int], float]] = (((20, 100), 0.0), ((20, 100), 0.7), ((60, 140), 0.7), ((12, 60), 0.7))
