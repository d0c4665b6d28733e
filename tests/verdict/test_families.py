import numpy as np
import pytest
from scipy import stats

from transfusion.metrics import Evidence, evidence
from transfusion.verdict.families import Claim, Pool, critical, holm_levels, within


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
    """Intervals of every row of a table but the first, against that, (starts, seeds)."""
    pool = Pool.of(list(table))
    return [pool.claim(evidence(row - table[0]), len(table) - 1).interval() for row in table[1:]]


def is_shown(interval):
    return not interval.low <= 0 <= interval.high


def test_one_comparison_is_the_paired_t_test():
    table = np.random.default_rng(0).normal(size=(2, 5))
    (found,), theirs = family(table), stats.ttest_rel(table[1], table[0]).confidence_interval()
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-4)  # a quadrature


@pytest.mark.parametrize("spreads", [(1, 1, 1, 1), (1, 1, 1, 10), (3, 1, 1, 1)])
def test_no_effect_seldom_makes_a_claim_whatever_the_spreads(spreads):
    generator = np.random.default_rng(0)
    tables = generator.normal(size=(300, 4, 4)) * np.array(spreads)[:, None]
    wrong = sum(any(map(is_shown, family(table))) for table in tables)
    assert wrong <= stats.binom.ppf(0.999, 300, 0.06)


def test_pooling_shows_what_three_seeds_alone_would_not():
    generator, pooled, alone = np.random.default_rng(0), 0, 0
    for _ in range(200):
        table = generator.normal(size=(5, 3)) + np.array([0, 4, 0, 0, 0])[:, None]
        pooled += is_shown(family(table)[0])
        alone += 4 * stats.ttest_rel(table[1], table[0]).pvalue < 0.05
    assert pooled > 2 * alone


def test_intervals_hold_together():
    generator, covered = np.random.default_rng(0), 0
    for _ in range(100):
        covered += not any(map(is_shown, family(generator.normal(size=(4, 5)))))
    assert covered >= stats.binom.ppf(0.001, 100, 0.94)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.9])
def test_patients_make_no_interval_of_a_family_narrower(share):
    alone, both = (Evidence(0.02, 0.03**2, 3, 6, shared, 180) for shared in (np.nan, share * 0.03**2 / 3 / (1 - share)))
    without, found = (Claim(one, one, 3, 0.0) for one in (alone, both))
    assert found.interval().high >= without.interval().high


def test_the_width_goes_over_from_the_pooled_spread_to_its_own_without_a_jump():
    pool, spreads = Pool(1.0, 12.0), np.linspace(0.2, 4, 400)
    claims = [pool.claim(Evidence(0.0, spread, 5, 4), 3) for spread in spreads]
    highs = np.array([claim.interval().high for claim in claims])
    assert (np.diff(highs) >= -1e-9).all()
    assert np.diff(highs).max() < 0.05 * highs[0]
    assert highs[0] == pytest.approx(critical(3, 12) / np.sqrt(5), rel=1e-4)
    assert highs[-1] == pytest.approx(critical(3, 4, correlation=0.0) * np.sqrt(4 / 5), rel=1e-4)
    assert [bool(claim.interval().reason) for claim in (claims[0], claims[-1])] == [False, True]
