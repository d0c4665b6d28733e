"""Claims about what networks learned: filters, representations, and which stages carry the speed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product

import numpy as np
import pandas as pd
from scipy.special import stdtrit
from scipy.stats import kendalltau

from transfusion.metrics import Interval
from transfusion.paper.claims.claim import Claim, Judge, all_of, together
from transfusion.paper.claims.judges import M, P, R
from transfusion.paper.evidence import Evidence, Finding, NotRunError, NotTestableError, alike, faster, higher, paced
from transfusion.paper.rules import SAME_LIKENESS, SIMILAR_PACE, Outcome, log_margin, ordered, same
from transfusion.verdict.inference import mean_interval
from transfusion.verdict.likeness import above_chance, named

CHANCE = 0.05  # share of filters that beat 95 % of their surrogates by chance
STARTS = (P, M, R)
WAY = "way"  # unit: share of the way from chance to identity


# filters


def _share(evidence: Evidence, start: str, when: str) -> pd.Series:
    """Gabor-like share of the first layer by seed."""
    table = evidence.part("t1").gabor
    if not len(table):
        raise NotTestableError("First-layer filters are too small to be judged, or their weights were not kept.")
    rows = table[(table["start"] == start) & (table["when"] == when)]
    if not len(rows):
        raise NotRunError(f"No weights of {start} {when} training.")
    shares: pd.Series = rows.set_index("seed")["share"]
    return shares


def _only_the_donor(evidence: Evidence) -> Finding:
    donor, others = _share(evidence, P, "before"), [_share(evidence, start, "before") for start in (M, R)]
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


def _no_gabors(when: str) -> Judge:
    """The strong form: no more than twice chance."""

    def judge(evidence: Evidence) -> Finding:
        return together([_below(_share(evidence, start, when), 2 * CHANCE) for start in (R, M)])

    return judge


def _below(shares: pd.Series, bound: float) -> Finding:
    interval = mean_interval(shares.to_numpy(np.float64))
    flipped = Interval(-interval.estimate, -interval.high, -interval.low, interval.n)
    return Finding(ordered(flipped, -bound), interval, "share")


def _learns_fast(evidence: Evidence) -> Finding:
    table = evidence.part("f14").gabor
    along = table[table["when"] != "difference"].sort_values("fraction") if len(table) else table
    if len(along) < 3:
        raise NotRunError("No filters along the training of a network on natural images.")
    last = float(along["share"].iloc[-1])
    half = float(along.loc[along["share"] >= last / 2, "fraction"].iloc[0])
    outcome = Outcome.REPLICATED if last > 0.5 and half < 0.2 else Outcome.CANNOT_TELL
    why = f"One training: half of its final share at {half:.0%} of the training."
    return Finding(outcome, Interval(last, np.nan, np.nan, 1, "one training"), "share", why)


# representations


class _Likeness:
    """Similarities of a recipe's networks as shares of the way from chance to identity."""

    def __init__(self, evidence: Evidence, part: str = "t1") -> None:
        found = evidence.part(part)
        if not len(found.similarity):
            raise NotRunError("The networks were not compared (representations).")
        table = named(found.frame, found.similarity)
        first = table["measure"].iloc[0]
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
    upper = likeness.blocks[2:] or [likeness.stage(3)]
    level = 1 - 0.05 / (2 * len(upper))
    return together([
        alike((likeness.kept(P, stage) - likeness.kept(other, stage)).dropna().to_numpy(), SAME_LIKENESS, WAY, level)
        for stage in upper for other in (R, M)
    ])  # fmt: skip


def _blocks_emerge(evidence: Evidence) -> Finding:
    likeness = _Likeness(evidence)
    last = likeness.blocks[-1]
    return Finding(*_of_order(_contrast(likeness, last), 0.0), unit=WAY)


def _contrast(likeness: _Likeness, stage: str) -> Interval:
    """Likeness within the untrained and within the trained networks, minus that across; different seeds only."""
    grid = list(product(STARTS, STARTS))
    within = [likeness.pairs((a, when), (b, when), stage) for when in ("before", "after") for a, b in grid]
    across = [likeness.pairs((a, "before"), (b, "after"), stage) for a, b in grid]
    return _between(pd.concat(within), pd.concat(across))


def _of_order(interval: Interval, above: float) -> tuple[Outcome, Interval]:
    return ordered(interval, above), interval


def _like_two_random(when: str) -> Judge:
    """As alike as two networks of ``random`` with different seeds, at the upper blocks."""

    def judge(evidence: Evidence) -> Finding:
        likeness = _Likeness(evidence)
        return together([_sameness(likeness, stage, when) for stage in likeness.blocks[2:] or [likeness.stage(3)]])

    return judge


def _sameness(likeness: _Likeness, stage: str, when: str) -> Finding:
    own, yardstick = (likeness.pairs((start, when), (R, when), stage) for start in (P, R))
    wide, narrow = (_between(own, yardstick, level) for level in (0.95, 0.90))
    return Finding(same(wide, narrow, SAME_LIKENESS), wide, WAY)


def _lower_settle_first(evidence: Evidence) -> Finding:
    likeness = _Likeness(evidence)
    table = likeness.table
    along = table[(table["kind"] == "dynamics") & (table["a_run"] == table["b_run"])]
    if not len(along):
        raise NotRunError("No weights along the training were kept (representations).")
    return together([_settling(along[along["a_start"] == start], likeness.blocks) for start in STARTS])


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
    ordered_rows = rows.sort_values("a_step")
    values = ordered_rows["way"].to_numpy()
    if not len(values) or values[0] > 1 - 2 * SAME_LIKENESS:
        return None  # it hardly changes at all
    reached = values >= (values[0] + 1) / 2
    return float(ordered_rows["a_step"].to_numpy()[reached.argmax()]) if reached.any() else None


# weight transfusion


def _upto(number: int, rest: str) -> Callable[[Evidence], str]:
    def label(evidence: Evidence) -> str:
        stages = [stage for stage in evidence.part(_part(rest)).stages if stage not in ("stem", "head")]
        if number > len(stages):
            raise NotTestableError(f"This network has {len(stages)} blocks, not {number}.")
        return f"{P} upto {stages[number - 1]}" + ("" if rest == R else f" rest {rest}")

    return label


def _part(rest: str) -> str:
    return "f10" if rest == R else "f18"


def _as_fast_as_all(rest: str) -> Judge:
    """Not slower than the whole by more than the margin of similar pace."""

    def judge(evidence: Evidence) -> Finding:
        arms = evidence.arms(_part(rest), "auc")
        logs = arms.log_speed(_upto(2, rest)(evidence), P)
        found = paced(logs)
        assert found.estimate is not None
        if found.estimate.high < SIMILAR_PACE:
            return Finding(Outcome.REPLICATED, found.estimate, "times")
        slower = found.estimate.low > SIMILAR_PACE
        return Finding(Outcome.CONTRADICTED if slower else Outcome.CANNOT_TELL, found.estimate, "times")

    return judge


def _pace_of(rest: str, slow: int, fast: int | None, *, same_pace: bool) -> Judge:
    def judge(evidence: Evidence) -> Finding:
        arms = evidence.arms(_part(rest), "auc")
        labels = [P if number is None else _upto(number, rest)(evidence) for number in (slow, fast)]
        logs = arms.log_speed(*labels)
        return paced(logs) if same_pace else faster(logs)

    return judge


def _much_faster(evidence: Evidence) -> Finding:
    return faster(evidence.arms("f10", "auc").log_speed(R, _upto(2, R)(evidence)), float(np.exp(log_margin())))


NETWORKS = (
    Claim("A10", "6.2", "At the start, only the pretrained filters have clear features (Figure 2).",
          "Gabor-like share of the first layer before training: pretrained above 0.5 and above the others.",
          _only_the_donor),
    Claim("F1", "6.2", "Filters of networks trained from random are “not Gabor-like”.",
          "Gabor-like share after training below 0.10, twice chance (strong form).", _no_gabors("after")),
    Claim("F2", "6.2", "Nor is “the difference” that training made.",
          "Gabor-like share of after minus before below 0.10.", _no_gabors("difference")),
    Claim("G1", "6.3", "Lower blocks of pretrained networks stay more as they were.",
          "Way kept at Blocks 1 and 2: pretrained above random and mean_var (Bonferroni over 4).", _kept_longer),
    Claim("G2", "6.3", "At Blocks 3 and 4 “all models are equally (dis)similar”.",
          "Way kept within 0.05, pretrained against both (Bonferroni).", _changed_alike),
    Claim("G3", "6.3", "Untrained and trained networks form two groups at the upper blocks.",
          "Likeness within minus across above 0 at the last block, different seeds only.", _blocks_emerge),
    Claim("G4", "6.3", "“The surprise”: untrained pretrained networks are similar to random ones at higher blocks.",
          "Likeness to random within 0.05 of that of two random networks, before training.",
          _like_two_random("before")),
    Claim("G5", "6.3", "Trained networks of all starts are similar at higher blocks.",
          "The same after training.", _like_two_random("after")),
    Claim("G6", "6.3", "“Layers closer to the input converge much faster”, from every start.",
          "Kendall's tau of stage and time to half of its change above 0, every start.", _lower_settle_first),
    Claim("H1", "6.4", "Weights up to Block 2 “result in the same convergence speed”.",
          "Steps up to Block 2 over those of the whole below 1.25.", _as_fast_as_all(R)),
    Claim("H2", "6.4", "Below Block 2 it is slower.",
          "Steps up to Block 1 over those of the whole above 1.", _pace_of(R, 1, None, same_pace=False)),
    Claim("H3", "6.4", "Later blocks add nothing.",
          "Steps up to Blocks 3 and 2 within 1.25.", _pace_of(R, 2, 3, same_pace=True)),
    Claim("H4", "F.2", "The same holds with Mean Var above.", "H1 to H3 with mean_var above the stage.",
          all_of(_as_fast_as_all(M), _pace_of(M, 1, None, same_pace=False), _pace_of(M, 2, 3, same_pace=True))),
    Claim("H5", "6.4", "Weights up to Block 2 give “much faster convergence”.",
          "Speed-up above 1.25.", _much_faster),
)  # fmt: skip

ON_NATURAL_IMAGES = (
    Claim("F3", "E", "On natural images a network from random “quickly learns Gabors”.",
          "Final share above 0.5, half of it within 20 % of the training.", _learns_fast),
)  # fmt: skip
