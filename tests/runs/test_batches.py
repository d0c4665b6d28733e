import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from transfusion.runs.batches import augment, derive_seed, order

WHOLE = slice(0, 8, 1)


def images(num=8, channels=3, side=16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(num, channels, side, side, generator=generator).to(memory_format=torch.channels_last) * 255


@given(num=st.integers(1, 50), batch=st.integers(1, 60), epochs=st.integers(1, 3))
def test_every_epoch_shows_every_image_once(num, batch, epochs):
    steps = -(-num * epochs // batch)
    seen = np.concatenate([order(num, batch, seed=1, step=step) for step in range(steps)])
    for epoch in range(epochs):
        assert sorted(seen[epoch * num : (epoch + 1) * num]) == list(range(num))


def test_order_depends_on_the_seed_and_on_nothing_else():
    assert np.array_equal(order(100, 32, seed=1, step=7), order(100, 32, seed=1, step=7))
    assert not np.array_equal(order(100, 32, seed=1, step=7), order(100, 32, seed=2, step=7))
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what is looked at
    order(100, 32, seed=1, step=7)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_derived_seeds_differ_by_every_part():
    seeds = {derive_seed(a, b) for a in range(20) for b in range(20)} | {derive_seed("1", 1), derive_seed(11)}
    assert len(seeds) == 402
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("kind", ["flip", "crop", "pad_crop", "resized_crop", "fundus"])
def test_augmentation_is_a_pure_function_of_seed_step_and_index(kind):
    once = augment(kind, images(), 1, 5, WHOLE)
    assert torch.equal(once, augment(kind, images(), 1, 5, WHOLE))
    assert not torch.equal(once, augment(kind, images(), 2, 5, WHOLE))
    assert not torch.equal(once, augment(kind, images(), 1, 6, WHOLE))


@pytest.mark.parametrize("kind", ["none", "flip", "crop", "pad_crop", "resized_crop", "fundus"])
def test_devices_that_share_a_batch_augment_as_one_would(kind):
    whole = augment(kind, images(), 1, 5, WHOLE)
    shares = [augment(kind, images()[rank::2], 1, 5, slice(rank, 8, 2)) for rank in (0, 1)]
    assert all(torch.allclose(share, whole[rank::2]) for rank, share in enumerate(shares))


@pytest.mark.parametrize("kind", ["none", "flip", "crop", "pad_crop", "resized_crop", "fundus"])
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_memory_format_are_kept(kind, channels):
    out = augment(kind, images(channels=channels), 0, 0, WHOLE)
    assert out.shape == (8, channels, 16, 16)
    assert out.isfinite().all()


def test_flip_flips_about_half_and_only_left_to_right():
    batch = images(256)
    out = augment("flip", batch, 0, 0, slice(0, 256, 1))
    flipped = (out == batch.flip(3)).flatten(1).all(1)
    kept = (out == batch).flatten(1).all(1)
    assert bool((flipped ^ kept).all())
    assert 96 < int(flipped.sum()) < 160


def test_crop_moves_whole_pixels_and_reflects():
    batch = torch.arange(16.0).view(1, 1, 1, 16).expand(64, 1, 16, 16)
    out = augment("crop", batch, 0, 0, slice(0, 64, 1))
    steps = (out[:, 0, 0, 1:] - out[:, 0, 0, :-1]).abs()
    assert set(steps.unique().tolist()) <= {0.0, 1.0}
    moved = {int(row[8]) for row in out[:, 0, 0]}
    assert moved <= set(range(5, 11))
    assert len(moved) > 3


def test_fundus_keeps_black_black_and_changes_colour():
    batch = images()
    batch[:, :, :4] = 0
    out = augment("fundus", torch.zeros(8, 3, 16, 16), 0, 0, WHOLE)
    assert torch.equal(out, torch.zeros_like(out))
    assert not torch.equal(augment("fundus", batch, 0, 0, WHOLE).sum(1), batch.sum(1))


def test_padded_crops_bring_in_black_and_reflected_ones_do_not():
    white = torch.full((64, 3, 16, 16), 255.0)
    assert (augment("crop", white, 0, 0, slice(0, 64, 1)) == 255).all()
    padded = augment("pad_crop", white, 0, 0, slice(0, 64, 1))
    assert set(padded.unique().tolist()) == {0.0, 255.0}
    # moved by at most 2 of 16 pixels each way: at least 14 x 14 of each image stay in sight
    assert (padded > 0).sum(dim=(1, 2, 3)).min() >= 3 * 14 * 14


def test_resized_crops_enlarge_a_part_of_the_image():
    ramp = torch.arange(16.0).expand(200, 1, 16, 16)  # dark left, bright right
    seen = augment("resized_crop", ramp, 0, 0, slice(0, 200, 1))
    width = (seen[..., 0] - seen[..., -1]).abs().mean(dim=(1, 2))  # of the part, in grey levels
    assert seen.shape == ramp.shape
    assert width.max() <= 15
    assert width.std() > 1
    assert width.min() < 8 < width.max()
