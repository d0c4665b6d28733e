"""Training examples on their way to the network: which, in what order, augmented how.

The order of examples and every augmentation are pure functions of (seed, step, index); nothing here has state.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from transfusion.networks.seeding import isolated_rng
from transfusion.tasks import Split, Task

SHIFT = 1 / 8  # of the image's side; the usual 4 of 32 pixels
COLOUR = 0.2  # brightness, contrast and saturation are scaled by 1 - COLOUR .. 1 + COLOUR


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed that depends on every part, the same on every machine.

    Examples:
        >>> derive_seed(0, "crop", 3) == derive_seed(0, "crop", 3) != derive_seed(0, "crop", 4)
        True
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    # 63 bits: a seed that is also a non-negative int64
    return int.from_bytes(digest, "big") >> 1


def order(num_images: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Positions, shape (batch_size,), of the training images that ``step`` sees.

    Epochs are laid end to end, each a permutation seeded by (seed, epoch), so no batch is ever short.

    Examples:
        >>> sorted(order(num_images=4, batch_size=2, seed=0, step=0).tolist() + order(4, 2, 0, step=1).tolist())
        [0, 1, 2, 3]
    """
    position = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = position // num_images
    # a batch may straddle two epochs, or span several where it is larger than the data
    batch = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        batch[here] = np.random.default_rng((seed, epoch)).permutation(num_images)[position[here] % num_images]
    return batch


def augment(kind: str, images: Tensor, seed: int, step: int, which: slice, side: int | None = None) -> Tensor:
    """Augment a whole batch on its device.

    Args:
        kind: ``none``, ``flip`` (left to right), ``crop`` (shift by up to an eighth of the side with reflected
            borders, and flip), ``pad_crop`` (the same with black borders, as is usual for CIFAR), ``resized_crop`` (a
            random part of 8 to 100 % of the area scaled to the whole, and flip; torchvision's RandomResizedCrop) or
            ``fundus`` (flips both ways, brightness, contrast, saturation).
        images: (batch, channels, height, width), any scale with black at 0.
        seed: of the run.
        step: decides every draw, together with the seed and an image's place in the full batch.
        which: the places of ``images`` in the full batch, when several devices share it.
        side: height and width that are wanted; None is that of the images. What scales scales to it, anything else
            takes the centre.

    Returns:
        (batch, channels, side, side), channels last.

    Examples:
        >>> augment("flip", torch.zeros(2, 3, 8, 8), seed=0, step=1, which=slice(0, 2)).shape
        torch.Size([2, 3, 8, 8])
    """
    side = side or images.shape[-1]
    if kind != "resized_crop":
        images = centre(images, side)
    if kind == "none":
        return images
    # drawn for the whole batch and then cut: an image gets the same draws on one device as on four
    uniform = np.random.default_rng((seed, step, 1)).random((which.stop, 7))[which]
    draws = torch.from_numpy(uniform).to(device=images.device, dtype=torch.float32)  # MPS has no float64
    # every kind but "none" flips, and from the same draw: kinds differ only in what they add
    images = _flip(images, draws[:, 0] < 0.5, dim=3)
    if kind in ("crop", "pad_crop"):
        return _shift(images, draws[:, 1:3], reflect=kind == "crop")
    if kind == "resized_crop":
        seeds = [derive_seed(seed, step, "crop", place) for place in range(which.stop)[which]]
        return _resized_crop(images, seeds, side)
    if kind == "fundus":
        images = _flip(images, draws[:, 3] < 0.5, dim=2)  # a fundus has no upright; an X-ray or a photograph does
        return _colour(images, 1 + COLOUR * (2 * draws[:, 4:7] - 1))
    return images


def centre(images: Tensor, side: int) -> Tensor:
    """The square in the middle of each image, channels last; images of that side are left as they are."""
    if images.shape[-1] == side:
        return images
    first = round((images.shape[-1] - side) / 2)  # as torchvision's center_crop
    part = images[..., first : first + side, first : first + side]
    return part.contiguous(memory_format=torch.channels_last)


def _flip(images: Tensor, chosen: Tensor, dim: int) -> Tensor:
    # no index that depends on data: no wait for a GPU
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(dim), images)


def _shift(images: Tensor, draws: Tensor, *, reflect: bool) -> Tensor:
    """Move each image by whole pixels; what enters at the border is reflected, or black."""
    _, _, height, width = images.shape
    rows = _moved(height, draws[:, 0], images.device)
    columns = _moved(width, draws[:, 1], images.device)
    batch = torch.arange(len(images), device=images.device).view(-1, 1, 1)
    # one gather for the whole batch; a loop over images would be one kernel each
    taken = images.permute(0, 2, 3, 1)[batch, _inside(rows, height)[:, :, None], _inside(columns, width)[:, None, :]]
    if not reflect:
        seen = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
        taken = taken * seen[..., None]
    return taken.permute(0, 3, 1, 2)


def _moved(side: int, draws: Tensor, device: torch.device) -> Tensor:
    """Where each pixel of a line comes from, (images, side); outside 0 .. side - 1 beyond the border."""
    reach = int(side * SHIFT)
    offset = (draws * (2 * reach + 1)).long() - reach  # draws are below 1, so both ends are as likely as the middle
    return torch.arange(side, device=device)[None, :] + offset[:, None]


def _inside(position: Tensor, side: int) -> Tensor:
    """Positions reflected at both borders."""
    return (side - 1) - ((side - 1) - position.abs()).abs()  # the border pixel itself is not repeated


def _resized_crop(images: Tensor, seeds: list[int], side: int) -> Tensor:
    """A random part of each image, scaled to (side, side)."""
    from torchvision.transforms import RandomResizedCrop  # takes a second
    from torchvision.transforms.functional import resized_crop

    parts = []
    for image, seed in zip(images, seeds, strict=True):
        with isolated_rng(seed):  # the library draws from the global generator
            place = RandomResizedCrop.get_params(image, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))
        parts.append(resized_crop(image, *place, size=[side, side], antialias=True))
    return torch.stack(parts).to(memory_format=torch.channels_last)


def _colour(images: Tensor, factors: Tensor) -> Tensor:
    """Scale brightness, contrast (about the image's mean) and saturation (about its grey), per image."""
    brightness, contrast, saturation = factors.view(-1, 3, 1, 1, 1).unbind(1)
    images = images * brightness
    mean = images.mean(dim=(1, 2, 3), keepdim=True)  # after brightness: contrast must leave the new mean where it is
    images = mean + (images - mean) * contrast
    grey = images.mean(dim=1, keepdim=True)
    return grey + (images - grey) * saturation


class Batches:
    """A split on its way to the device: whole batches, normalised there, channels last.

    On an accelerator the split is moved once where it fits in a quarter of the free memory.
    """

    def __init__(self, task: Task, split: Split, subset: np.ndarray | None, device: torch.device) -> None:
        self.device = device
        self.rows = np.arange(len(split.labels)) if subset is None else subset
        self.images = split.images
        self.patients = None if split.patients is None else np.asarray(split.patients)[self.rows]
        self.labels = torch.as_tensor(np.asarray(split.labels)).to(device)
        self.full = float(np.iinfo(split.images.dtype).max)  # 255 or 65,535; images of 16 bits keep all of them
        self.mean = torch.tensor(task.mean, device=device).view(1, -1, 1, 1)
        self.std = torch.tensor(task.std, device=device).view(1, -1, 1, 1)
        self.resident = self._resident()

    def _resident(self) -> Tensor | None:
        # CUDA has no gather for uint16, and on a processor the memory map is the cache already
        if self.device.type != "cuda" or self.images.dtype != np.uint8:
            return None
        if self.images.nbytes > torch.cuda.mem_get_info(self.device)[0] / 4:
            return None
        return torch.from_numpy(np.array(self.images)).to(self.device)  # a copy: torch warns of a read-only memory map

    def __len__(self) -> int:
        return len(self.rows)

    def get(self, positions: np.ndarray) -> tuple[Tensor, Tensor]:
        """Images (batch, channels, height, width) float32 in 0 .. full scale, and labels, of ``positions``."""
        rows = self.rows[positions]
        if self.resident is not None:
            images = self.resident[torch.from_numpy(rows).to(self.device)]
        else:
            taken = self.images[rows]
            # uint16 is known to few kernels
            taken = taken.astype(np.int32) if taken.dtype == np.uint16 else taken
            images = torch.from_numpy(taken).to(self.device, non_blocking=True)
        return images.permute(0, 3, 1, 2).float(), self.labels[torch.from_numpy(rows).to(self.device)]

    def normalise(self, images: Tensor) -> Tensor:
        """Subtract the mean and divide by the standard deviation, per channel, in place.

        In the order of torchvision's and timm's transforms: the bits are theirs.
        """
        # folding it into one multiply-add would be quicker, and one unit in the last place away from what the donor saw
        return images.div_(self.full).sub_(self.mean).div_(self.std)
