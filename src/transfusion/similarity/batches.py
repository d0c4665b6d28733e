"""Batches as people have them: a tensor, or tensors within tuples, lists and dicts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset

from transfusion.errors import InputError
from transfusion.networks.given import dense, described

IMAGE_KEYS = ("pixel_values", "image", "images", "img", "input", "inputs", "x", "data", "input_ids", "input_values")


def tensors_in(batch: Any) -> Iterator[Tensor]:
    """Every tensor of a batch, in order.

    Examples:
        >>> [each.shape[0] for each in tensors_in({"image": torch.zeros(2, 3), "label": [torch.zeros(2)], "id": "a"})]
        [2, 2]
    """
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for part in batch.values():
            yield from tensors_in(part)
    elif isinstance(batch, (tuple, list)):  # labels and ids may lie beside: they are no tensors, or not the first
        for part in batch:
            yield from tensors_in(part)


def mapped(function: Callable[..., Any], *batches: Any) -> Any:
    """Batches of one structure with a function applied to their tensors; what is no tensor is the first batch's."""
    first = batches[0]
    if isinstance(first, Tensor):
        return function(*batches)
    if isinstance(first, Mapping):
        values = {key: mapped(function, *(batch[key] for batch in batches)) for key in first}
        if not isinstance(first, MutableMapping):
            return values
        same_kind = copy.copy(first)  # transformers' batches are read by attribute, too
        same_kind.update(values)
        return same_kind
    if isinstance(first, (tuple, list)):
        parts = [mapped(function, *each) for each in zip(*batches, strict=True)]
        is_named = isinstance(first, tuple) and hasattr(first, "_fields")
        # namedtuples take fields
        return type(first)(*parts) if is_named else parts if isinstance(first, list) else tuple(parts)
    return first


def num_images(batch: Any) -> int:
    """How many images a batch holds: the length of its first tensor.

    Raises:
        InputError: it holds no tensor.

    Examples:
        >>> num_images({"image": torch.zeros(4, 3, 8, 8)})
        4
    """
    first = next(tensors_in(batch), None)
    if first is None or first.ndim == 0:
        raise InputError(f"Got a batch of type {type(batch).__name__} without a tensor of images. Give tensors.")
    return len(first)


def images_of(batch: Any) -> Tensor:
    """The images of a batch: itself, the first of a tuple or list, or what a dict holds under a usual name.

    Raises:
        InputError: no images are found.

    Examples:
        >>> images_of({"label": torch.zeros(2), "image": torch.zeros(2, 3, 8, 8)}).shape
        torch.Size([2, 3, 8, 8])
    """
    if isinstance(batch, Mapping):
        known = [batch[key] for key in IMAGE_KEYS if key in batch]
        large = [value for value in batch.values() if isinstance(value, Tensor) and value.ndim > 1]
        if not known and len(large) != 1:
            raise InputError(
                f"Cannot tell which of {', '.join(map(str, batch))} are the images of a batch. Name them "
                f"{IMAGE_KEYS[1]}, or give forward=lambda model, batch: ..."
            )
        return images_of((known or large)[0])
    if isinstance(batch, (tuple, list)) and len(batch):
        return images_of(batch[0])
    if isinstance(batch, Tensor):
        return batch
    advice = " Convert it by torch.from_numpy(...)." if isinstance(batch, np.ndarray) else ""
    raise InputError(
        f"Got a batch of type {type(batch).__name__}. Give tensors, or tuples, lists or dicts of them.{advice}"
    )


def batched(batches: Iterable[Any], whole: bool) -> Iterator[Any]:
    """One batch after another, as the networks take it; a tensor or a dict is one batch.

    Args:
        batches: of any form.
        whole: whether a batch is passed on as it is; else its images alone.

    Raises:
        InputError: these are no batches, or their tensors are sparse, quantised, complex or without values.

    Examples:
        >>> [batch.shape[0] for batch in batched([(torch.zeros(4, 3, 8, 8), torch.zeros(4))], whole=False)]
        [4]
    """
    if isinstance(batches, Dataset) and not isinstance(batches, IterableDataset):
        raise InputError("Got a Dataset, whose items are single images. Give DataLoader(dataset, batch_size=64).")
    if isinstance(batches, (str, nn.Module)) or not isinstance(batches, Iterable):
        raise InputError(f"Batches are tensors of images, or a DataLoader of them; got {described(batches)}.")
    for batch in [batches] if isinstance(batches, (Tensor, Mapping)) else batches:
        yield _plain(batch) if whole else _plain(images_of(batch))


def _plain(batch: Any) -> Any:
    for tensor in tensors_in(batch):
        if tensor.dtype != torch.bool:  # masks
            dense(tensor, "a batch")
    return batch


def at_least_two(batches: Iterable[Any]) -> Iterator[Any]:
    """Batches of at least two images each, so that every image has another to be matched with.

    Raises:
        InputError: a single image beside one of another size.

    Examples:
        >>> [len(batch) for batch in at_least_two([torch.zeros(4, 3), torch.zeros(1, 3)])]
        [3, 2]
    """
    held: Any = None
    for batch in batches:
        if held is None:
            held = batch
        elif min(num_images(held), num_images(batch)) > 1:
            yield held
            held = batch
        else:
            held = _together(held, batch)
            if (num := num_images(held)) > 3:
                # two stay behind, in case the next batch is again a single image
                yield mapped(lambda each, end=num - 2: each[:end], held)
                held = mapped(lambda each, start=num - 2: each[start:], held)
    if held is not None:
        yield held


def _together(first: Any, second: Any) -> Any:
    shapes = [[tuple(each.shape) for each in tensors_in(batch)] for batch in (first, second)]
    if [shape[1:] for shape in shapes[0]] != [shape[1:] for shape in shapes[1]]:
        raise InputError(
            f"Got a batch of one image beside another size ({shapes[0][0]}, {shapes[1][0]}); the "
            "baseline re-matches images of one size. Give at least two of each in a batch."
        )
    return mapped(lambda *both: torch.cat(both), first, second)
