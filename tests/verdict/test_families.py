import numpy as np
import pytest
from scipy import stats

from transfusion.metrics import evidence
from transfusion.verdict.families import against_baseline, critical, holm_levels, within


@pytest.mark.parametrize(
    ("num", "df", "published"),
    [(2, 10, 2.57), (3, 10, 2.76), (4, 20, 2.65), (1, 4, 2.776), (9, np.inf, 2.69)],
)
def test_limits_are_those_of_dunnetts_tables(num, df, published):
    """Dunnett 1964, Biometrics 20, two-sided 5 %; one comparison is Student's."""
    assert critical(num, df) == pytest.approx(published, abs=0.006)


def test_p_values_are_those_of_scipys_dunnett():
    generator = np.random.default_rng(0)
    control, *samples = generator.normal(size=(4, 8)) + np.array([0, 0.5, 1.0, 1.5])[:, None]
    theirs = stats.dunnett(*samples, control=control, random_state=np.random.default_rng(1))
    ours = [1 - within(abs(statistic), 3, 4 * 7) for statistic in theirs.statistic]
    assert ours == pytest.approx(list(theirs.pvalue), abs=2e-3)


def test_holm_by_hand():
    levels = holm_levels({"a": 0.01, "b": 0.04, "c": 0.03, "d": float("nan")})
    assert levels == pytest.approx({"a": 0.05 / 3, "b": 0.025, "c": 0.025, "d": 0.05})
    assert holm_levels({}) == {}


def family(table):
    others = {str(place): row for place, row in enumerate(table[1:], 1)}
    return against_baseline({name: evidence(row - table[0]) for name, row in others.items()}, others, table[0])


def test_one_comparison_is_the_paired_t_test():
    table = np.random.default_rng(0).normal(size=(2, 5))
    assert family(table)["1"].p == pytest.approx(stats.ttest_rel(*table).pvalue, abs=1e-5)  # a quadrature


@pytest.mark.parametrize("spreads", [(1, 1, 1, 1), (1, 1, 1, 10), (3, 1, 1, 1)])
def test_no_effect_seldom_makes_a_claim_whatever_the_spreads(spreads):
    generator = np.random.default_rng(0)
    tables = generator.normal(size=(300, 4, 4)) * np.array(spreads)[:, None]
    wrong = sum(min(claim.p for claim in family(table).values()) < 0.05 for table in tables)
    assert wrong <= stats.binom.ppf(0.999, 300, 0.06)


def test_pooling_shows_what_three_seeds_alone_would_not():
    generator, pooled, alone = np.random.default_rng(0), 0, 0
    for _ in range(200):
        table = generator.normal(size=(5, 3)) + np.array([0, 4, 0, 0, 0])[:, None]
        pooled += family(table)["1"].p < 0.05
        alone += 4 * stats.ttest_rel(table[1], table[0]).pvalue < 0.05
    assert pooled > 2 * alone


def test_intervals_hold_together_and_agree_with_p():
    generator, covered = np.random.default_rng(0), 0
    for _ in range(100):
        claims = family(generator.normal(size=(4, 5)))
        intervals = {name: claim.interval() for name, claim in claims.items()}
        covered += all(found.low <= 0 <= found.high for found in intervals.values())
        assert all((claims[name].p < 0.05) == (not found.low <= 0 <= found.high) for name, found in intervals.items())
    assert covered >= stats.binom.ppf(0.001, 100, 0.94)
