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


def test_running_variances_are_normal_given_that_they_are_positive():
    donor = skewed_donor().flatten()
    mean, std = moments(donor)
    draw = drawn(BATCH_NORMS["mean_var"], slot("batch_norm", (NUM_ENTRIES,), "running_var"), donor)
    assert (draw.values > 0).all()
    truncated = stats.truncnorm(-mean / std, math.inf, loc=mean, scale=std)
    assert stats.kstest(draw.values.double().numpy(), truncated.cdf).pvalue > 1e-4
    unconditional = drawn(SCHEMES["mean_var"], slot(shape=(NUM_ENTRIES,)), donor).values
    assert (unconditional < 0).any()


def test_running_variances_that_cannot_be_positive():
    with pytest.raises(DonorError, match="running_var' has mean 0"):
        drawn(BATCH_NORMS["mean_var"], slot("batch_norm", (3,), "running_var"), torch.zeros(3))


def test_moments_do_not_cancel():
    values = torch.randn(100_000, generator=generator(0, "m")) * 1e-4 + 10
    mean, std = moments(values)
    assert mean == pytest.approx(values.double().mean().item(), rel=1e-7)
    assert std == pytest.approx(values.double().std(correction=0).item(), rel=1e-2)
    assert moments(torch.ones(3, dtype=torch.float16)) == (1, 0)
    assert moments(torch.tensor(3)) == (3, 0)


def test_embedding_padding_stays_zero():
    padded = Slot("e.weight", "weight", torch.ones(4, 3), "token", "e", is_head=False, padding=2)
    values = drawn(SCHEMES["random"], padded).values
    assert (values[2] == 0).all()
    assert (values[[0, 1, 3]] != 0).all()


def test_every_scheme_of_the_design_is_there():
    assert list(SCHEMES) == ["pretrained", "random", "kaiming", "default", "mean_var", "sampling", "shuffled"]
    assert {name for name, scheme in SCHEMES.items() if scheme.needs_donor} == {
        "pretrained", "mean_var", "sampling", "shuffled"
    }  # fmt: skip
