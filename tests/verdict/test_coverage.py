"""How often intervals and claims are right where the truth is planted."""

import numpy as np
import pytest
from judged import NOTHING, SPEEDUPS, band, covers, outcome
from planted import Planted

from transfusion.verdict import conclude
from transfusion.verdict.sequential import Looks

pytestmark = pytest.mark.slow  # simulations: make test runs them, make fast does not


@pytest.mark.parametrize("num_seeds", [3, 5])
def test_intervals_cover_what_was_planted(num_seeds):
    study = Planted(SPEEDUPS, tops={"pretrained": 0.92, "mean_var": 0.88}, num_seeds=num_seeds)
    verdicts = [conclude(study.frame(seed)) for seed in range(100)]
    low, high = band(100, 0.95)
    for scheme in ("pretrained", "mean_var"):
        found, final, area = [v.schemes[scheme] for v in verdicts], study.final_difference(scheme), study.area(scheme)
        assert low <= sum(covers(c.final_difference, final) for c in found) <= high
        assert low <= sum(covers(c.area, area) for c in found) <= high


def test_speedups_and_shares_cover_what_was_planted():
    study = Planted(SPEEDUPS, tops={}, every=None)
    verdicts = [conclude(study.frame(seed)) for seed in range(150)]
    low, high = band(150, 0.95)
    assert low <= sum(covers(v.schemes["pretrained"].speedup, 3.0) for v in verdicts) <= high
    assert low <= sum(covers(v.schemes["mean_var"].speedup, 2.0) for v in verdicts) <= high
    shares = [v.scaling_share for v in verdicts if not np.isnan(v.scaling_share.estimate)]
    assert len(shares) > 130
    low, high = band(len(shares), 0.95)
    assert low <= sum(covers(share, np.log(2) / np.log(3)) for share in shares) <= high


def test_without_effect_alarms_come_at_their_stated_rate():
    verdicts = [conclude(NOTHING.frame(seed)) for seed in range(150)]
    found = [v.schemes["pretrained"] for v in verdicts]
    high = band(150, 0.05)[1]
    assert sum(not covers(c.final_difference, 0) for c in found) <= high
    assert sum(not covers(c.speedup, 1) for c in found) <= high
    assert sum(not covers(c.area, 0) for c in found) <= high
    claims = sum(not np.isnan(v.scaling_share.estimate) for v in verdicts)
    assert claims == 0  # there is no mean_var
    assert sum(not covers(c.speedup, 3) for c in found) > 100  # the same count would see a real effect


def test_equivalence_at_the_margin_is_claimed_at_most_at_its_rate():
    study = Planted({"random": 1.0, "pretrained": 1.0}, tops={"pretrained": 0.91}, noise=0.003, spread=0.03)
    margin = study.final_difference("pretrained")
    claims = sum(
        conclude(study.frame(seed), margin=margin).schemes["pretrained"].equivalence_p < 0.05 for seed in range(100)
    )
    assert claims <= band(100, 0.05)[1]


RETINA = {"random": 0.8, "pretrained": 0.8, "mean_var": 0.8}


@pytest.mark.parametrize("num_seeds", [3, 10])
def test_starts_that_are_equal_from_the_first_evaluation_on_are_judged_without_a_threshold(num_seeds):
    """As on RetinaMNIST: every start at its level at once, noise of 0.01."""
    study = Planted(dict.fromkeys(RETINA, 1.0), RETINA, num_seeds=num_seeds, floor=0.79, tau=2.0, spread=0.02)
    verdicts = [conclude(study.frame(seed)) for seed in range(60)]
    assert sum(v.advice.start is not None for v in verdicts) <= band(60, 0.1)[1]
    assert not any(verdict.scaling_share.estimate < 1 for verdict in verdicts)
    assert all(outcome(v, "pace", "pretrained") == "unknown" for v in verdicts)
    assert all((outcome(v, "final", "pretrained") == "unknown") <= (not v.main.is_equivalent) for v in verdicts)


def test_a_recommendation_without_effect_comes_at_most_at_its_stated_rate():
    verdicts = [conclude(NOTHING.frame(seed)) for seed in range(150)]
    assert sum(verdict.advice.start is not None for verdict in verdicts) <= band(150, 0.05)[1]
    real = [conclude(Planted(SPEEDUPS, tops={}, every=None).frame(seed)) for seed in range(20)]
    assert sum(verdict.advice.start == "pretrained" for verdict in real) > 15


def test_claims_rest_on_intervals_that_hold_together():
    names = ["random", "pretrained", "mean_var", "sampling", "kaiming"]
    found = conclude(Planted(dict.fromkeys(names, 1.0), tops={}, num_seeds=5, every=None).frame(3)).schemes
    for name, effect in found.items():
        for quantity in ("final_difference", "speedup"):
            alone, together = getattr(effect, quantity), effect.claim(quantity)
            assert together.estimate == pytest.approx(alone.estimate), (name, quantity)
    widths = {
        name: np.ptp([effect.claim("speedup").low, effect.claim("speedup").high]) for name, effect in found.items()
    }
    assert widths["pretrained"] < min(widths[name] for name in names[2:])


def test_looking_again_and_again_asks_for_more_of_the_primary_claims():
    frame = Planted({"random": 1.0, "pretrained": 3.0}, tops={}, every=None).frame(0)
    once, often = (conclude(frame, looks=looks).main.claim("speedup") for looks in (None, Looks(10)))
    assert often.low < once.low < once.high < often.high
