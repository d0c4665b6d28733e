"""Batches of every form that a DataLoader gives."""

from collections import UserDict
from typing import NamedTuple

import pytest
import torch

from transfusion.errors import InputError
from transfusion.similarity.batches import at_least_two, images_of, mapped, num_images

IMAGES, LABELS = torch.arange(24.0).reshape(4, 6), torch.zeros(4)


@pytest.mark.parametrize(
    "batch",
    [
        IMAGES,
        (IMAGES, LABELS),
        [IMAGES, LABELS],
        {"image": IMAGES, "label": LABELS},
        {"label": LABELS, "pixel_values": IMAGES, "mask": torch.zeros(4, 6)},
        {"scan": IMAGES, "label": LABELS},
        [{"image": IMAGES}],
    ],
)
def test_the_images_of_a_batch(batch):
    assert images_of(batch) is IMAGES


@pytest.mark.parametrize(
    ("batch", "said"), [({"a": IMAGES, "b": IMAGES}, "Cannot tell which of a, b"), ("x", "type str")]
)
def test_what_has_no_images_that_can_be_told_is_refused(batch, said):
    with pytest.raises(InputError, match=said):
        images_of(batch)


class Scan(NamedTuple):
    image: torch.Tensor
    label: torch.Tensor


def test_what_is_read_by_attribute_stays_so():
    """Named tuples of a DataLoader, and the dictionaries of transformers' processors."""

    class Features(UserDict):
        def __getattr__(self, name):
            return self.data[name]

    named = mapped(lambda each: each + 1, Scan(IMAGES, LABELS))
    features = Features(pixel_values=IMAGES)
    assert torch.equal(named.image, IMAGES + 1)
    assert torch.equal(mapped(lambda each: each + 1, features).pixel_values, IMAGES + 1)
    assert features.pixel_values is IMAGES


def test_single_images_join_their_neighbours_in_any_structure():
    batches = [{"image": each, "more": (each + 1, "text")} for each in IMAGES.split(1)]
    joined = list(at_least_two(batches))
    assert [num_images(batch) for batch in joined] == [2, 2]
    assert torch.equal(torch.cat([batch["image"] for batch in joined]), IMAGES)
    assert torch.equal(joined[1]["more"][0], IMAGES[2:] + 1)
