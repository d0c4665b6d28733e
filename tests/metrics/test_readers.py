import numpy as np
import pytest
from scipy import stats

from transfusion.errors import InputError
from transfusion.metrics import Evidence, contrast, evidence, influence


def test_it_is_obuchowski_and_rockettes_method_on_van_dykes_data():
    """Published: 5 readers, 2 modalities, 114 cases; MRMCaov and RJafroc print these components, df and p-value."""
    mean_square, cov2, cov3 = 0.0005510306, 0.0003440748, 0.0002390284
    found = Evidence(-0.04380032, 2 * mean_square, 5, 4, 2 * (cov2 - cov3))
    assert found.df == pytest.approx(15.25967, rel=1e-5)
    assert (found.estimate / found.error) ** 2 == pytest.approx(4.456319, rel=1e-5)
    assert found.p_value() == pytest.approx(0.05166569, rel=1e-4)


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
def test_a_second_source_of_variance_makes_no_interval_narrower_and_the_truth_is_covered(n, share):
    """A normal difference of 0, of whose variance the patients have a share that 180 of them estimate."""
    generator, num, missed = np.random.default_rng(n), 2000, 0
    values = generator.normal(size=(num, n)) * np.sqrt((1 - share) * n) + np.sqrt(share) * generator.normal(
        size=(num, 1)
    )
    patients = share * generator.chisquare(180, size=num) / 180
    for row, shared in zip(values, patients, strict=True):
        found = Evidence(row.mean(), row.var(ddof=1), n, n - 1, shared, 180)
        interval, alone = found.interval(), stats.t.ppf(0.975, n - 1) * stats.sem(row)
        assert interval.high - interval.estimate >= alone * (1 - 1e-9)
        missed += not interval.low <= 0 <= interval.high
        assert (found.p_value() < 0.05) == (not interval.low <= 0 <= interval.high)
    assert missed <= stats.binom.ppf(0.999, num, 0.055)


def test_equivalence_needs_the_trainings_alone_to_show_it_too():
    found = Evidence(0.0, 3 * 0.01**2, 3, 2, 0.1 * 0.01**2, 180)
    alone = Evidence(0.0, 3 * 0.01**2, 3, 2)
    assert found.equivalence_p(0.03) >= alone.equivalence_p(0.03)
    assert found.interval(0.9).high >= alone.interval(0.9).high


def test_without_patients_it_is_students_t():
    values = np.array([0.01, 0.03, 0.02, 0.05])
    found, (t, p) = evidence(values), stats.ttest_1samp(values, 0)
    assert found.estimate / found.error == pytest.approx(t)
    assert found.p_value() == pytest.approx(p)
    assert np.isnan(found.shared)
    low, high = stats.t.interval(0.9, 3, values.mean(), stats.sem(values))
    assert (found.interval(0.9).low, found.interval(0.9).high) == pytest.approx((low, high))


def study(generator, n, own_images):
    """Differences of two starts with equal population AUC; each start is good at images of its own."""
    labels = np.repeat([1, 0], [30, 60])
    common, differences = generator.normal(size=90), []
    own = own_images * generator.normal(size=(2, 90))
    for _ in range(n):
        pair = []
        for start in own:
            latent = common + start + 0.5 * generator.normal(size=90) + labels * (1.5 + 0.1 * generator.normal())
            probability = stats.norm.cdf(latent / 3)
            pair.append(influence("auc", "binary", np.c_[1 - probability, probability], labels, 1))
        differences.append(contrast(*pair))
    return differences


@pytest.mark.parametrize("n", [3, 10])
@pytest.mark.slow
def test_two_starts_that_are_equal_over_patients_are_not_called_different(n):
    generator, wrong, blind = np.random.default_rng(n), 0, 0
    for _ in range(300):
        differences = study(generator, n, own_images=0.7)
        values = np.array([each.value for each in differences])
        wrong += evidence(values, differences).p_value() < 0.05
        blind += evidence(values).p_value() < 0.05
    assert wrong <= stats.binom.ppf(0.999, 300, 0.05)
    assert blind > 300 * 0.12  # the test of trainings alone


def test_parts_say_whether_more_trainings_or_more_patients_would_help():
    generator = np.random.default_rng(0)
    shares = []
    for own_images in (0.0, 1.5):
        found = [study(generator, 10, own_images) for _ in range(20)]
        judged = [evidence(np.array([each.value for each in d]), d) for d in found]
        shares.append(np.mean([each.shared_part for each in judged]))
    assert shares[0] < 0.4
    assert shares[1] > 0.9


@pytest.mark.parametrize(("values", "reason"), [([], "no seed"), ([0.1], "one seed"), ([0.1] * 2, "all 2 seeds agree")])
def test_too_little_to_judge_by_has_no_interval_but_a_reason(values, reason):
    found = evidence(np.array(values))
    assert reason in found.interval().reason
    assert np.isnan([found.interval().low, found.p_value(), found.equivalence_p(0.1)]).all()


def test_three_trainings_that_agree_exactly_have_an_interval_without_width_from_trainings():
    found = evidence(np.array([0.1] * 3))
    assert (found.interval().low, found.interval().high) == pytest.approx((0.1, 0.1))
    assert (found.p_value(), found.p_value(found.estimate), found.equivalence_p(0.2)) == (0, 1, 0)
    assert "all 3 seeds agree exactly" in found.interval().reason


def test_equivalence_is_two_one_sided_tests():
    values = np.array([0.001, -0.002, 0.0, 0.003])
    upper = stats.ttest_1samp(values, 0.01, alternative="less").pvalue
    lower = stats.ttest_1samp(values, -0.01, alternative="greater").pvalue
    assert evidence(values).equivalence_p(0.01) == pytest.approx(max(upper, lower))


def test_influences_of_other_patients_or_of_fewer_trainings_are_an_error():
    first, second = study(np.random.default_rng(0), 2, 0.5)
    with pytest.raises(InputError, match="do not fit 3 values"):
        evidence(np.array([0.1, 0.2, 0.3]), [first, second])
    fewer = influence("auc", "binary", [[0.1, 0.9], [0.8, 0.2]], [1, 0], 1)
    with pytest.raises(InputError, match="same images"):
        contrast(first, fewer)
