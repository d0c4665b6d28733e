import numpy as np
import pytest
from scipy import stats

from transfusion.metrics import Evidence, evidence
from transfusion.verdict.needed import (
    patients_to_confirm,
    power_to_confirm,
    to_confirm,
    to_show_equal,
)

SEEN = Evidence(estimate=0.012, spread=0.01**2, n=5, spread_df=4)


def test_the_power_is_the_one_that_repeating_the_study_has():
    needed = to_confirm(SEEN)
    draws = np.random.default_rng(0).normal(SEEN.estimate, 0.01, size=(4000, needed.best))
    assert np.mean(stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05) == pytest.approx(0.83, abs=0.05)
    equal = to_show_equal(SEEN, margin=0.01)
    draws = np.random.default_rng(0).normal(0, 0.01, size=(4000, equal.best))
    shown = np.mean([evidence(values).equivalence_p(0.01) < 0.05 for values in draws])
    assert 0.78 < shown < 0.88


@pytest.mark.parametrize("n", [3, 10])
@pytest.mark.slow
def test_the_range_holds_the_right_number_as_often_as_it_says(n):
    truth = to_confirm(Evidence(1.0, 1.0, n, n - 1)).best
    generator, above, below = np.random.default_rng(n), 0, 0
    for _ in range(400):
        seen = Evidence(1.0, float(generator.normal(size=n).var(ddof=1)), n, n - 1)
        needed = to_confirm(seen)
        above += needed.high is not None and needed.high < truth
        below += needed.low is None or needed.low > truth
    assert above <= stats.binom.ppf(0.999, 400, 0.1)
    assert below <= stats.binom.ppf(0.999, 400, 0.1)


def test_no_number_of_trainings_makes_up_for_few_patients():
    few = Evidence(estimate=0.01, spread=0.01**2, n=5, spread_df=4, shared=0.01**2, shared_df=30)
    assert to_confirm(few).best is None
    patients = patients_to_confirm(few, num_patients=100)
    more = Evidence(0.01, 0.01**2, 5, 4, 0.01**2 * 100 / patients, 30 * patients / 100) if patients else None
    assert more is None or power_to_confirm(more) >= 0.8
    precise = Evidence(estimate=0.02, spread=0.01**2, n=8, spread_df=7, shared=0.01**2, shared_df=30)
    assert 100 < patients_to_confirm(precise, num_patients=100) < 1000


def test_without_a_spread_there_is_no_number():
    assert to_confirm(evidence(np.array([0.1]))) is None
    assert to_show_equal(evidence(np.array([0.1, 0.1])), 0.01) is None
    assert patients_to_confirm(SEEN, 100) is None
    far = Evidence(estimate=1e-6, spread=1.0, n=3, spread_df=2)
    assert (to_confirm(far).best, to_confirm(far).high) == (None, None)
