"""Each scheme draws what its definition says, within tolerances from closed forms.

Of n draws with standard deviation s, the mean has standard error s / sqrt(n) and, if they are normal, the standard
deviation s / sqrt(2 n). Five standard errors are allowed: a chance of about 6e-7 per check, and the seeds are fixed.
"""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from transfusion.errors import DonorError
from transfusion.networks.seeding import generator
from transfusion.schemes import BATCH_NORMS, SCHEMES, Slot
from transfusion.schemes.rules import moments

SHAPE = (64, 32, 3, 3)
NUM_ENTRIES = math.prod(SHAPE)


def slot(role="weight", shape=SHAPE, key="weight", fans=(32 * 9, 64 * 9)):
    return Slot(f"x.{key}", key, torch.full(shape, 7.0), role, "x", is_head=False, fans=fans)


def drawn(scheme, at, source=None, seed=0):
    return scheme.draw(at, source, generator(seed, at.name))


def skewed_donor():
    """Entries far from normal: exponential, shifted."""
    return torch.empty(SHAPE).exponential_(3.0, generator=generator(5, "donor")) - 0.1


def assert_normal(values, mean, std):
    n = values.numel()
    assert abs(values.mean().item() - mean) < 5 * std / math.sqrt(n)
    assert abs(values.std().item() - std) < 5 * std / math.sqrt(2 * n)
    assert stats.kstest(values.flatten().double().numpy(), "norm", args=(mean, std)).pvalue > 1e-4


@pytest.mark.parametrize(
    ("name", "std"), [("random", math.sqrt(2 / (32 * 9 + 64 * 9))), ("kaiming", math.sqrt(2 / (32 * 9)))]
)
def test_fan_scaled_weights(name, std):
    draw = drawn(SCHEMES[name], slot())
    assert_normal(draw.values, 0, std)
    assert (draw.rule, draw.mean) == (name, 0)
    assert draw.std == pytest.approx(std)


@pytest.mark.parametrize("name", ["random", "kaiming"])
def test_what_has_no_fans(name):
    scheme = SCHEMES[name]
    assert_normal(drawn(scheme, slot("token")).values, 0, 0.02)
    assert (drawn(scheme, slot("bias")).values == 0).all()
    assert (drawn(scheme, slot("norm")).values == 1).all()
    for role in ("constant", "buffer"):
        kept = drawn(scheme, slot(role))
        assert (kept.values == 7).all()
        assert kept.rule == "kept"


def test_mean_var():
    donor = skewed_donor()
    draw = drawn(SCHEMES["mean_var"], slot(), donor)
    assert (draw.mean, draw.std) == pytest.approx((donor.mean().item(), donor.std(correction=0).item()), rel=1e-5)
    assert_normal(draw.values, draw.mean, draw.std)


def test_mean_var_of_a_constant_tensor_is_that_tensor():
    donor = torch.full((5,), 0.25)
    assert torch.equal(drawn(SCHEMES["mean_var"], slot(shape=(5,)), donor).values, donor)


def test_sampling_draws_with_replacement():
    donor = torch.arange(float(NUM_ENTRIES)).reshape(SHAPE)
    values = drawn(SCHEMES["sampling"], slot(), donor).values.flatten()
    assert set(values.tolist()) <= set(donor.flatten().tolist())
    seen = values.unique().numel() / NUM_ENTRIES
    # the number of distinct entries has mean n (1 - 1/e) and variance n (1/e - 2/e^2)
    assert abs(seen - (1 - 1 / math.e)) < 5 * math.sqrt((1 / math.e - 2 / math.e**2) / NUM_ENTRIES)


def test_shuffled_is_a_permutation():
    donor = torch.arange(float(NUM_ENTRIES)).reshape(SHAPE)
    values = drawn(SCHEMES["shuffled"], slot(), donor).values.flatten()
    assert torch.equal(values.sort().values, donor.flatten())
    correlation = torch.corrcoef(torch.stack([values, donor.flatten()]))[0, 1].item()
    assert abs(correlation) < 5 / math.sqrt(NUM_ENTRIES)


@pytest.mark.parametrize("name", ["sampling", "shuffled", "pretrained"])
def test_entries_of_the_donor_keep_their_type(name):
    donor = torch.full((4,), 1 / 3, dtype=torch.float64)
    assert torch.equal(drawn(SCHEMES[name], slot(shape=(4,)), donor).values, donor)


@pytest.mark.parametrize("name", ["mean_var", "sampling", "shuffled"])
def test_redrawn_schemes_leave_index_tables(name):
    assert drawn(SCHEMES[name], slot("buffer"), torch.zeros(SHAPE)).rule == "kept"
    assert not SCHEMES[name].reads(slot("buffer"))
    assert SCHEMES["pretrained"].reads(slot("buffer"))


@pytest.mark.parametrize(
    ("key", "value"), {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1, "num_batches_tracked": 0}.items()
)
def test_identity_batch_norm(key, value):
    draw = drawn(BATCH_NORMS["identity"], slot("batch_norm", (4,), key))
    assert (draw.values == value).all()
    assert draw.rule == "identity"


@pytest.mark.parametrize("key", ["weight", "bias", "running_mean"])
def test_mean_var_batch_norm(key):
    donor = skewed_donor().flatten()
    assert_normal(
        drawn(BATCH_NORMS["mean_var"], slot("batch_norm", (NUM_ENTRIES,), key), donor).values, *moments(donor)
    )


@pytest.mark.parametrize("spread", [0.1, 1.0, 2.0])
def test_running_variances_have_the_donors_mean_and_variance(spread):
    """Log-normal, so positive; the closed form of its standard deviations is what the tolerance follows."""
    donor = torch.randn(400_000, generator=generator(5, "donor")).mul(spread).exp()
    draw = drawn(BATCH_NORMS["mean_var"], slot("batch_norm", (400_000,), "running_var"), donor)
    mean, std = moments(donor)
    assert (draw.mean, draw.std) == (mean, std)
    assert (draw.values > 0).all()
    log_normal = stats.lognorm(math.sqrt(math.log1p((std / mean) ** 2)), scale=mean / math.sqrt(1 + (std / mean) ** 2))
    assert (log_normal.mean(), log_normal.std()) == pytest.approx((mean, std))
    assert stats.kstest(draw.values.double().numpy(), log_normal.cdf).pvalue > 1e-4
    assert abs(draw.values.double().mean().item() - mean) < 5 * std / math.sqrt(400_000)


@pytest.mark.parametrize("donor", [torch.full((5,), 0.25), torch.tensor([3e-7])], ids=["equal", "one channel"])
def test_running_variances_that_do_not_vary_are_kept(donor):
    draw = drawn(BATCH_NORMS["mean_var"], slot("batch_norm", tuple(donor.shape), "running_var"), donor)
    assert torch.allclose(draw.values, donor, rtol=1e-5, atol=0)


@pytest.mark.parametrize("donor", [[0.0, 0.0, 0.0], [3.0, -1e-3, 2.0]])
def test_running_variances_that_cannot_be_positive(donor):
    with pytest.raises(DonorError, match="running_var' holds variances of mean .* they must be positive"):
        drawn(BATCH_NORMS["mean_var"], slot("batch_norm", (3,), "running_var"), torch.tensor(donor))


def test_moments_do_not_cancel():
    values = torch.randn(100_000, generator=generator(0, "m")) * 1e-4 + 10
    mean, std = moments(values)
    assert mean == pytest.approx(values.double().mean().item(), rel=1e-7)
    assert std == pytest.approx(values.double().std(correction=0).item(), rel=1e-2)
    assert moments(torch.ones(3, dtype=torch.float16)) == (1, 0)
    assert moments(torch.tensor(3)) == (3, 0)


@pytest.mark.parametrize("name", SCHEMES)
def test_the_padding_row_of_an_embedding_is_never_drawn(name):
    padded = Slot("e.weight", "weight", torch.ones(400, 30), "token", "e", is_head=False, padding=2)
    donor = torch.randn(400, 30, generator=generator(0, "e")) + 100
    donor[2] = 0
    draw = drawn(SCHEMES[name], padded, donor if SCHEMES[name].needs_donor else None)
    assert (draw.values[2] == 0).all()
    others = draw.values[torch.arange(400) != 2]
    assert (others != 0).all()
    if SCHEMES[name].needs_donor and name != "pretrained":
        assert (draw.mean, draw.std) == moments(donor[torch.arange(400) != 2])
        assert others.mean().item() == pytest.approx(100, abs=0.1)


def test_complex_numbers_are_drawn_as_complex_numbers():
    donor = torch.complex(torch.randn(SHAPE, generator=generator(0, "re")) + 5, torch.randn(SHAPE) * 3)
    at = Slot("c", "c", torch.zeros(SHAPE, dtype=torch.complex64), "constant", "c", is_head=False)
    values = drawn(SCHEMES["mean_var"], at, donor).values
    assert_normal(values.real, *moments(donor.real))
    assert_normal(values.imag, *moments(donor.imag))
    for name in ("sampling", "shuffled"):
        assert set(drawn(SCHEMES[name], at, donor).values.flatten().tolist()) <= set(donor.flatten().tolist())
    assert torch.equal(drawn(SCHEMES["random"], at, donor).values, donor)  # of the framework, where it has one
    assert moments(torch.tensor([1 + 3j])) == (2, 1)


def test_every_scheme_of_the_design_is_there():
    assert list(SCHEMES) == ["pretrained", "random", "kaiming", "default", "mean_var", "sampling", "shuffled"]
    assert {name for name, scheme in SCHEMES.items() if scheme.needs_donor} == {
        "pretrained", "mean_var", "sampling", "shuffled"
    }  # fmt: skip
