"""The numbers that the paper prints (arXiv:1902.07208v1, Tables 1 to 5), and how ours are set beside them.

The paper gives a spread without saying of what; it is read as the standard deviation over runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from transfusion.metrics import Interval
from transfusion.paper.rules import COMPARABLE, Outcome, same, weaker

STARTS = ("pretrained", "mean_var", "random")
UNSTATED_N = (3, 5)  # what the number of runs may have been where the paper does not say: it names these elsewhere


@dataclass(frozen=True)
class Cell:
    """One printed number.

    Attributes:
        mean: over runs, as a fraction.
        sd: the printed spread, as a fraction.
        half_digit: half a unit of the last printed digit of ``sd``: the true spread is at most this much above.
        n: runs, or None where the paper does not say.
    """

    mean: float
    sd: float
    half_digit: float
    n: int | None

    @property
    def possible_n(self) -> tuple[int, ...]:
        """The numbers of runs that it may rest on."""
        return UNSTATED_N if self.n is None else (self.n,)


@dataclass(frozen=True)
class Table:
    """One of the paper's tables.

    Attributes:
        title: what it shows.
        section: of the paper.
        metric: column of a study's frame that it is about.
        cells: column -> start -> number; a column is a training size, a share of the images or a disease.
    """

    title: str
    section: str
    metric: str
    cells: Mapping[str, Mapping[str, Cell]]


def difference(a: Cell, b: Cell, n: int, level: float = 0.95) -> Interval:
    """Welch's interval of a mean minus another, from printed means and spreads over ``n`` runs each.

    The paper prints no paired spreads, so its starts are taken as independent.

    Examples:
        >>> table = TABLES["T1"].cells["all"]
        >>> gap = difference(table["pretrained"], table["random"], n=5)
        >>> round(gap.low, 4), round(gap.high, 4)
        (0.0012, 0.0028)
    """
    return _welch(a.mean - b.mean, (a.sd**2 / n, n), (b.sd**2 / n, n), level)


@dataclass(frozen=True)
class Agreement:
    """Our number beside the paper's.

    Attributes:
        difference: ours minus the paper's, with a 95 % Welch interval; of the widest case where n is not stated.
        outcome: ``replicated`` if equal within the margin by two one-sided tests, ``contradicted`` if the interval
            lies wholly outside it, else ``cannot_tell``. The page calls these agrees, differs and open.
    """

    difference: Interval
    outcome: Outcome


def agreement(values: Sequence[float], cell: Cell) -> Agreement:
    """Whether runs of ours agree with a printed number.

    The printed spread is taken at the upper end of its rounding. Where the paper does not state its number of runs,
    each of ``UNSTATED_N`` is tried and the weaker outcome counts.

    Args:
        values: the metric of our runs, two or more.
        cell: the printed number.

    Examples:
        >>> cell = TABLES["T4"].cells["10%"]["pretrained"]
        >>> str(agreement([0.826, 0.827, 0.825, 0.826, 0.827], cell).outcome)
        'replicated'
    """
    return weakest([_agreement(values, cell, n) for n in cell.possible_n])


def contrast_agreement(gaps: Sequence[float], a: Cell, b: Cell) -> Agreement:
    """Whether a difference of two starts agrees with that of two printed numbers.

    Ours is paired over seeds; the paper prints no paired spread, so its two numbers are taken as independent.

    Args:
        gaps: final performance of one start minus the other, per seed, two or more.
        a: the printed number of the one.
        b: that of the other.
    """
    # roundings of two numbers are independent as well, so they too add in squares
    both = Cell(a.mean - b.mean, float(np.hypot(a.sd, b.sd)), float(np.hypot(a.half_digit, b.half_digit)), a.n)
    return weakest([_agreement(gaps, both, n) for n in both.possible_n])


def weakest(found: Sequence[Agreement]) -> Agreement:
    """The least definite of several; of equals the one with the widest interval."""
    outcome = weaker([each.outcome for each in found])
    alike = [each for each in found if each.outcome == outcome]
    return max(alike, key=lambda each: each.difference.high - each.difference.low)


def _agreement(values: Sequence[float], cell: Cell, n: int) -> Agreement:
    ours, spread = np.asarray(values, dtype=np.float64), cell.sd + cell.half_digit
    gap = float(ours.mean()) - cell.mean
    if len(ours) < 2:
        return Agreement(Interval(gap, np.nan, np.nan, len(ours), "one run shows no spread"), Outcome.CANNOT_TELL)
    sides = (float(ours.var(ddof=1)) / len(ours), len(ours)), (spread**2 / n, n)
    wide, narrow = _welch(gap, *sides, level=0.95), _welch(gap, *sides, level=0.90)
    return Agreement(wide, same(wide, narrow, COMPARABLE))


def _welch(gap: float, a: tuple[float, int], b: tuple[float, int], level: float) -> Interval:
    """Interval of a difference of two means, from their squared standard errors and numbers of values."""
    squared = a[0] + b[0]
    freedom = squared**2 / sum(error**2 / (n - 1) for error, n in (a, b))  # Welch and Satterthwaite
    half = float(stdtrit(freedom, (1 + level) / 2) * np.sqrt(squared))
    return Interval(gap, gap - half, gap + half, min(a[1], b[1]))


def same_within(gap: Interval, a: Cell, b: Cell, n: int, margin: float) -> float:
    """p-value of two one-sided Welch tests that two printed numbers differ by ``margin`` or more."""
    squared = (a.sd**2 + b.sd**2) / n
    freedom = squared**2 * (n - 1) / sum((cell.sd**2 / n) ** 2 for cell in (a, b))
    return float(stdtr(freedom, (abs(gap.estimate) - margin) / np.sqrt(squared)))


def _cells(text: str, n: int | None) -> dict[str, dict[str, Cell]]:
    """Lines of a name and, for pretrained, mean_var and random, mean and spread."""
    table: dict[str, dict[str, Cell]] = {}
    for name, *numbers in (line.split() for line in text.strip().splitlines()):
        table[name] = {
            # as text, because .0010 and .001 are one number with two roundings
            start: Cell(float(mean), float(sd), 0.5 * 10.0 ** -len(sd.partition(".")[2]), n)
            for start, mean, sd in zip(STARTS, numbers[::2], numbers[1::2], strict=True)
        }
    return table


_T1 = "all .966 .00041 .965 .00026 .964 .00064"
_T2 = """
50k  .959 .001   .956 .0008  .955 .0015
100k .961 .001   .960 .0002  .960 .0006
150k .962 .0002  .961 .0008  .960 .001
200k .963 .001   .961 .0005  .960 .001
300k .966 .00041 .965 .00026 .964 .00064
"""
_T4 = """
10%  .826 .002 .774 .011 .733 .013
20%  .885 .002 .863 .002 .846 .014
40%  .918 .002 .914 .001 .916 .004
60%  .934 .002 .931 .002 .936 .004
80%  .943 .002 .941 .002 .946 .001
100% .949 .002 .948 .002 .953 .002
"""
_T5 = """
Atelectasis        .825 .001 .811 .002 .805 .001
Cardiomegaly       .901 .004 .910 .002 .908 .003
Effusion           .882 .001 .882 .001 .879 .001
Infiltration       .706 .004 .708 .001 .705 .001
Mass               .850 .005 .854 .001 .836 .009
Nodule             .793 .004 .758 .007 .739 .008
Pneumonia          .762 .006 .765 .003 .751 .005
Pneumothorax       .881 .006 .874 .001 .871 .004
Consolidation      .806 .002 .812 .003 .806 .002
Edema              .898 .004 .894 .001 .893 .001
Emphysema          .930 .003 .908 .005 .897 .007
Fibrosis           .849 .006 .838 .004 .833 .003
Pleural_Thickening .785 .002 .776 .003 .767 .005
Hernia             .934 .011 .920 .007 .903 .006
"""
_DISEASES = _cells(_T5, None)

TABLES = {
    "T1": Table("AUC on fundus photographs", "4.2", "auc", _cells(_T1, 5)),
    "T2": Table("AUC on fundus photographs by training size", "4.5", "auc", _cells(_T2, 3)),
    "T3": Table(
        "AUC of two chest diseases", "5.1", "auc", {name: _DISEASES[name] for name in ("Pneumonia", "Cardiomegaly")}
    ),
    "T4": Table("Accuracy on CIFAR-10 by training size", "5.2", "accuracy", _cells(_T4, None)),
    "T5": Table("AUC of every chest disease", "D.1", "auc", _DISEASES),
}
