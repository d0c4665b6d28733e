import numpy as np
import pytest
from scipy import stats

from transfusion.verdict.sequential import Looks, limits, spent

FIFTHS = [0.2, 0.4, 0.6, 0.8, 1.0]


def test_limits_are_those_published_for_lan_and_demets():
    """Five equal looks at 5 % with the spending function close to Pocock's; see R's ldbounds."""
    costs = np.diff([0.0, *(spent(share, 0.05) for share in FIFTHS)])
    assert limits(FIFTHS, costs) == pytest.approx([2.438, 2.427, 2.410, 2.397, 2.386], abs=1e-3)


def test_pococks_constant_limit_costs_what_he_says():
    """Pocock 1977: 2.413 at each of five looks makes 5 %; so spending what it spends gives it back."""
    generator = np.random.default_rng(0)
    z = generator.normal(size=(200_000, 5)).cumsum(1) / np.sqrt(np.arange(1, 6))
    first = np.where((abs(z) > 2.413).any(1), (abs(z) > 2.413).argmax(1), 5)
    costs = np.bincount(first, minlength=6)[:5] / len(z)
    assert costs.sum() == pytest.approx(0.05, abs=0.002)
    assert limits(FIFTHS, costs) == pytest.approx(np.full(5, 2.413), abs=0.04)


def decisions(draws, looks):
    """The look at which each sequence of paired differences, (studies, trainings), is decided; 0 for never."""
    decided = np.zeros(len(draws), int)
    for num, level in looks.levels.items():
        p = stats.ttest_1samp(draws[:, :num], 0, axis=1).pvalue
        decided = np.where((decided == 0) & (p < level), num, decided)
    return decided


@pytest.mark.parametrize("last", [5, 12, 30])
def test_no_effect_is_decided_wrongly_in_at_most_five_percent(last):
    draws = np.random.default_rng(last).normal(size=(20_000, last))
    assert np.mean(decisions(draws, Looks(last)) > 0) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 20_000)
    naive = np.any([stats.ttest_1samp(draws[:, :n], 0, axis=1).pvalue < 0.05 for n in range(3, last + 1)], axis=0)
    assert naive.mean() > 0.08


def test_a_large_effect_is_decided_early():
    draws = np.random.default_rng(0).normal(1.5, 1, size=(2000, 20))
    decided = decisions(draws, Looks(20))
    assert np.mean(decided > 0) > 0.99
    assert decided.mean() < 8


def test_nothing_is_decided_before_the_first_look():
    assert Looks(10).level(2) == 0
    assert Looks(10).level(11) == Looks(10).level(10) > 0
    assert Looks(2).level(2) > 0
