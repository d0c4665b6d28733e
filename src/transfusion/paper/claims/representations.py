"""Claims about representations: those of networks before, along and after training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy.special import stdtrit
from scipy.stats import kendalltau

from transfusion.metrics import Interval
from transfusion.paper.claims.claim import Claim, Judge, together
from transfusion.paper.claims.judges import M, P, R
from transfusion.paper.evidence import Evidence, Finding, NotRunError, NotTestableError, alike, higher
from transfusion.paper.published import STARTS
from transfusion.paper.rules import SAME_LIKENESS, ordered, same
from transfusion.verdict.likeness import above_chance, named

WAY = "way"  # unit: share of the way from chance to identity


class _Likeness:
    """Similarities of a recipe's networks as shares of the way from chance to identity."""

    def __init__(self, evidence: Evidence) -> None:
        found = evidence.part("t1")
        if not len(found.similarity):
            raise NotRunError("The networks were not compared (representations).")
        table = named(found.frame, found.similarity)
        first = table["measure"].iloc[0]  # CCA, as in the paper; others would make one claim several
        self.table = table[table["measure"] == first].assign(way=above_chance(table))
        self.blocks = [stage for stage in found.stages if stage not in ("stem", "head")]

    def stage(self, number: int) -> str:
        """The paper's Block ``number``, from 1."""
        if not 1 <= number <= len(self.blocks):
            raise NotTestableError(f"This network has {len(self.blocks)} blocks, not {number}.")
        return self.blocks[number - 1]

    def kept(self, start: str, stage: str) -> pd.Series:
        """How alike a network is before and after training, by seed."""
        rows = self.table[(self.table["a_run"] == self.table["b_run"]) & (self.table["stage"] == stage)]
        rows = rows[(rows["a_start"] == start) & (rows["a_when"] == "before") & (rows["b_when"] == "after")]
        kept: pd.Series = self._known(rows, start, stage).groupby("a_seed")["way"].mean()
        return kept

    def pairs(self, a: tuple[str, str], b: tuple[str, str], stage: str) -> pd.DataFrame:
        """``way`` of networks ``a`` and ``b`` (start, when) of different seeds, with both seeds as ``one other``."""
        rows = self.table[(self.table["stage"] == stage) & (self.table["a_seed"] != self.table["b_seed"])]
        sides = [rows[[f"{s}_start", f"{s}_when"]].apply(tuple, axis=1) for s in "ab"] if len(rows) else []
        if not sides:
            raise NotRunError("Networks of different seeds were not compared; it takes two seeds.")
        either = ((sides[0] == a) & (sides[1] == b)) | ((sides[0] == b) & (sides[1] == a))
        found = self._known(rows[either], f"{a[0]} and {b[0]}", stage)
        pairs: pd.DataFrame = found.rename(columns={"a_seed": "one", "b_seed": "other"})
        pairs = pairs[["one", "other", "way"]]
        return pairs

    def _known(self, rows: pd.DataFrame, what: str, stage: str) -> pd.DataFrame:
        if not len(rows):
            raise NotRunError(f"No comparisons of {what} at {stage}.")
        if rows["way"].isna().all():
            raise NotTestableError(f"At {stage} chance alone gives about 1: too few images for its width.")
        known: pd.DataFrame = rows.dropna(subset="way")
        return known


def jackknife(seeds: Iterable[int], estimate: Callable[[set[int]], float], level: float = 0.95) -> Interval:
    """Interval of what is computed from pairs of seeds, by leaving one seed out at a time (Student's t)."""
    # pairs share seeds, so they are no independent values; seeds are (Tukey's pseudo-values, by their variance)
    every = set(seeds)
    whole, n = estimate(every), len(every)
    if n < 3:
        return Interval(whole, np.nan, np.nan, n, "it takes three seeds to leave one out")
    left = np.array([estimate(every - {seed}) for seed in sorted(every)])
    error = np.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum())
    half = float(stdtrit(n - 1, (1 + level) / 2) * error)
    return Interval(whole, whole - half, whole + half, n)


def _between(left: pd.DataFrame, right: pd.DataFrame, level: float = 0.95) -> Interval:
    """Mean of one set of pairs minus that of another, over seeds."""

    def gap(seeds: set[int]) -> float:
        means = [pairs[pairs["one"].isin(seeds) & pairs["other"].isin(seeds)]["way"].mean() for pairs in (left, right)]
        return float(means[0] - means[1])

    return jackknife({*left["one"], *left["other"], *right["one"], *right["other"]}, gap, level)


def _kept_longer(evidence: Evidence) -> Finding:
    likeness, level = _Likeness(evidence), 1 - 0.05 / 4
    return together([
        higher((likeness.kept(P, stage) - likeness.kept(other, stage)).dropna().to_numpy(), 0.0, WAY, level)
        for stage in (likeness.stage(1), likeness.stage(2)) for other in (R, M)
    ])  # fmt: skip


def _changed_alike(evidence: Evidence) -> Finding:
    likeness = _Likeness(evidence)
    upper = likeness.blocks[2:] or [likeness.stage(3)]  # of a network with two blocks: the error that says so
    level = 1 - 0.05 / (2 * len(upper))
    return together([
        alike((likeness.kept(P, stage) - likeness.kept(other, stage)).dropna().to_numpy(), SAME_LIKENESS, WAY, level)
        for stage in upper for other in (R, M)
    ])  # fmt: skip


def _blocks_emerge(evidence: Evidence) -> Finding:
    likeness = _Likeness(evidence)
    contrast = _contrast(likeness, likeness.blocks[-1])
    return Finding(ordered(contrast), contrast, WAY)


def _contrast(likeness: _Likeness, stage: str) -> Interval:
    """Likeness within the untrained and within the trained networks, minus that across; different seeds only."""
    # starts of one seed are drawn from the same random numbers, so their likeness says nothing of training
    grid = list(product(STARTS, STARTS))
    within = [likeness.pairs((a, when), (b, when), stage) for when in ("before", "after") for a, b in grid]
    across = [likeness.pairs((a, "before"), (b, "after"), stage) for a, b in grid]
    return _between(pd.concat(within), pd.concat(across))


def like_two_random(when: str) -> Judge:
    """As alike as two networks of ``random`` with different seeds, at the upper blocks."""

    def judge(evidence: Evidence) -> Finding:
        likeness = _Likeness(evidence)
        upper = likeness.blocks[2:] or [likeness.stage(3)]
        return together([_sameness(likeness, P, stage, when, 1 - 0.05 / len(upper)) for stage in upper])

    return judge


def _untrained_block_3(evidence: Evidence) -> Finding:
    """The paper shows activations to look at; what is tested is their likeness."""
    likeness = _Likeness(evidence)
    return together([_sameness(likeness, start, likeness.stage(3), "before") for start in (P, M)])


def _sameness(likeness: _Likeness, start: str, stage: str, when: str, level: float = 0.95) -> Finding:
    # same network, same stage, same images: only then is "as alike as two random networks" a difference of 0
    own, yardstick = (likeness.pairs((each, when), (R, when), stage) for each in (start, R))
    wide, narrow = (_between(own, yardstick, each) for each in (level, 2 * level - 1))
    return Finding(same(wide, narrow, SAME_LIKENESS), wide, WAY)


def _lower_settle_first(evidence: Evidence) -> Finding:
    likeness = _Likeness(evidence)
    along = _dynamics(likeness)
    return together([_settling(along[along["a_start"] == start], likeness.blocks) for start in STARTS])


def _moves_alike(evidence: Evidence) -> Finding:
    """Mean height of the curves of the last two blocks along training, within the margin for every two starts."""
    likeness = _Likeness(evidence)
    along = _dynamics(likeness)
    last, pairs = likeness.blocks[-2:], list(combinations(STARTS, 2))
    level = 1 - 0.05 / (len(last) * len(pairs))
    heights = along.groupby(["a_start", "stage", "a_seed"])["way"].mean()
    found = []
    for stage, (one, other) in product(last, pairs):
        gap = (_of(heights, one, stage) - _of(heights, other, stage)).dropna()
        if not len(gap):
            raise NotRunError(f"No seed has networks of {one} and {other} along the training.")
        found.append(alike(gap.to_numpy(), SAME_LIKENESS, WAY, level))
    return together(found)


def _of(heights: pd.Series, start: str, stage: str) -> pd.Series:
    """By seed."""
    if (start, stage) not in heights.index.droplevel("a_seed"):
        raise NotRunError(f"No weights of {start} along the training were kept.")
    of_start: pd.Series = heights.loc[start, stage]
    return of_start


def _dynamics(likeness: _Likeness) -> pd.DataFrame:
    """Networks along their training against their own end.

    Raises:
        NotRunError: there are none.
    """
    table = likeness.table
    along: pd.DataFrame = table[(table["kind"] == "dynamics") & (table["a_run"] == table["b_run"])]
    if not len(along):
        raise NotRunError("No weights along the training were kept (representations).")
    return along


def _settling(along: pd.DataFrame, blocks: list[str]) -> Finding:
    """Kendall's tau between the order of the stages and when each is half way from where it began to its end."""
    taus = []
    for _, rows in along.groupby("a_seed"):
        steps = [_half_way(rows[rows["stage"] == stage]) for stage in blocks]
        known = [(place, step) for place, step in enumerate(steps) if step is not None]
        tau = kendalltau(*zip(*known, strict=True)).statistic if len(known) > 2 else np.nan
        taus += [] if np.isnan(tau) else [tau]
    if not taus:
        raise NotTestableError("Fewer than three stages change enough to be put in order.")
    return higher(np.array(taus), 0.0, "tau")


def _half_way(rows: pd.DataFrame) -> float | None:
    """The step by which a stage is half way from where it began to its end; None where it hardly changes."""
    ordered_rows = rows.sort_values("a_step")
    values = ordered_rows["way"].to_numpy()
    # of a stage that hardly changes, half of the way is a matter of noise
    if not len(values) or values[0] > 1 - 2 * SAME_LIKENESS:
        return None
    reached = values >= (values[0] + 1) / 2
    return float(ordered_rows["a_step"].to_numpy()[reached.argmax()]) if reached.any() else None


REPRESENTATIONS = (
    Claim("G1", "6.3", "Lower blocks of pretrained networks stay more as they were.",
          "Way kept at Blocks 1 and 2: pretrained above random and mean_var (Bonferroni over 4).", _kept_longer),
    Claim("G2", "6.3", "At Blocks 3 and 4 “all models are equally (dis)similar”.",
          "Way kept within 0.05, pretrained against both (Bonferroni).", _changed_alike),
    Claim("G3", "6.3", "Untrained and trained networks form two groups at the upper blocks.",
          "Likeness within minus across above 0 at the last block, different seeds only.", _blocks_emerge),
    Claim("G4", "6.3", "“The surprise”: untrained pretrained networks are similar to random ones at higher blocks.",
          "Likeness to random within 0.05 of that of two random networks, before training (Bonferroni).",
          like_two_random("before")),
    Claim("G5", "6.3", "Trained networks of all starts are similar at higher blocks.",
          "The same after training.", like_two_random("after")),
    Claim("G6", "6.3", "“Layers closer to the input converge much faster”, from every start.",
          "Kendall's tau of stage and time to half of its change above 0, every start.", _lower_settle_first),
    Claim("G7", "F.1", "Higher layers have “similar learning dynamics across all three initializations”.",
          "Mean height of the last two blocks' curves of likeness to the end within 0.05, every pair (Bonferroni).",
          _moves_alike),
    Claim("G8", "6.3", "Untrained networks look alike at Block 3 from every start (Figure 9, lower right).",
          "Likeness to random at Block 3 within 0.05 of that of two random networks, before training.",
          _untrained_block_3),
)  # fmt: skip
