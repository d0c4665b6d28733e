"""Tensors whose shape depends on the images: first kernels, positions, tables of relative positions."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Mapping

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

_POSITIONS = re.compile(r"(?:.*\.)?(?:pos_embed(?:ding|_win)?|position_embeddings?|pos_embed\d*)")
_TABLE = re.compile(r"(?:.*\.)?relative_position_bias_table")


def fitted(name: str, tensor: Tensor, wanted: Tensor, model: nn.Module) -> tuple[Tensor, str]:
    """A donor's tensor in the shape that a model needs, as far as there is a rule for it.

    Args:
        name: of both.
        tensor: the donor's.
        wanted: the model's.
        model: read for its first convolutions and its grid.

    Returns:
        The tensor, with the donor's shape where no rule applies, and what was done to it ("" for nothing).
    """
    if tensor.shape == wanted.shape:
        return tensor, ""
    # the sum, not the mean: a grey image is three equal channels, and the response stays the same
    if name in first_kernels(model) and tensor.ndim == wanted.ndim and tensor.shape[1] == 3 * wanted.shape[1]:
        return _summed(tensor, wanted), "kernels of the first layer are summed over the colours"
    if _POSITIONS.fullmatch(name):
        return _positions(tensor, wanted, model), "positions are resampled to the size of the images"
    if _TABLE.fullmatch(name) and tensor.ndim == wanted.ndim:
        return _table(
            name, tensor, wanted, model
        ), "tables of relative positions are resampled to the size of the images"
    return tensor, ""


def merged_norms(given: Iterable[str], wanted: Mapping[str, Tensor]) -> str:
    """A sentence where a donor's convolutions have biases in place of the batch norms that a model has."""
    norms = any(name.endswith("running_var") for name in wanted)
    names = set(given)
    biases = [n for n in wanted if n.endswith(".weight") and f"{n[:-6]}bias" in names and f"{n[:-6]}bias" not in wanted]
    if not (norms and biases) or any(name.endswith("running_var") for name in names):
        return ""
    return f"Its batch norms were merged into its convolutions ({biases[0][:-6]}bias): give it from before that. "


def first_kernels(model: nn.Module) -> tuple[str, ...]:
    """Names of the weights that see the image: what timm says, else those of the first convolution.

    Examples:
        >>> first_kernels(nn.Sequential(nn.Flatten(0, 1), nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)))
        ('1.weight',)
    """
    told = getattr(model, "pretrained_cfg", None)
    names = told.get("first_conv") if isinstance(told, Mapping) else None
    known = [n for n in ((names,) if isinstance(names, str) else names or ()) if n in dict(model.named_modules())]
    first = next((name for name, module in model.named_modules() if isinstance(module, _ConvNd)), None)
    found = known or ([] if first is None else [first])
    return tuple(f"{name}.weight".lstrip(".") for name in found)


def _summed(kernels: Tensor, wanted: Tensor) -> Tensor:
    """Over each three channels: a stem that folds pixels into channels keeps the colours of a pixel together."""
    return kernels.reshape(kernels.shape[0], wanted.shape[1], 3, *kernels.shape[2:]).sum(dim=2)


def _positions(tensor: Tensor, wanted: Tensor, model: nn.Module) -> Tensor:
    if tensor.ndim == wanted.ndim == 4:
        return _map(tensor, wanted)
    if tensor.ndim != 3 or wanted.ndim != 3 or tensor.shape[::2] != wanted.shape[::2]:
        return tensor
    from timm.layers.pos_embed import resample_abs_pos_embed

    rows, columns = _grid(model, wanted.shape[1])
    num_extra = wanted.shape[1] - rows * columns
    if math.isqrt(tensor.shape[1] - num_extra) ** 2 != tensor.shape[1] - num_extra:  # other tokens beside the grid
        return tensor
    resampled: Tensor = resample_abs_pos_embed(tensor, [rows, columns], num_prefix_tokens=num_extra)
    return resampled


def _grid(model: nn.Module, num_tokens: int) -> tuple[int, int]:
    """Rows and columns of patches: the model's own word, else the largest square."""
    told = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    # 16: class, distillation, registers
    if told is not None and told[0] * told[1] <= num_tokens < told[0] * told[1] + 16:
        return told[0], told[1]
    side = math.isqrt(num_tokens)
    return side, side


def _map(tensor: Tensor, wanted: Tensor) -> Tensor:
    """Positions as a map (1, features, rows, columns) or (1, rows, columns, features)."""
    last = tensor.shape[-1] == wanted.shape[-1]
    if tensor.shape[0] != wanted.shape[0] or not (last or tensor.shape[1] == wanted.shape[1]):
        return tensor
    planes = tensor.permute(0, 3, 1, 2) if last else tensor
    size = wanted.shape[1:3] if last else wanted.shape[2:]
    resized = nn.functional.interpolate(planes.float(), tuple(size), mode="bicubic", antialias=True).to(tensor.dtype)
    return resized.permute(0, 2, 3, 1) if last else resized


def _table(name: str, tensor: Tensor, wanted: Tensor, model: nn.Module) -> Tensor:
    from timm.layers.pos_embed_rel import resize_rel_pos_bias_table

    if tensor.shape[-1 if wanted.ndim == 2 else 0] != wanted.shape[-1 if wanted.ndim == 2 else 0]:
        return tensor  # another number of heads
    told = getattr(model.get_submodule(name.rpartition(".")[0]), "window_size", None)
    side = math.isqrt(wanted.shape[0] if wanted.ndim == 2 else wanted.shape[1])
    window = tuple(told) if isinstance(told, (tuple, list)) else ((side + 1) // 2,) * 2
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about how timm indexes
            resized: Tensor = resize_rel_pos_bias_table(tensor, window, tuple(wanted.shape))
    except (ValueError, AssertionError, RuntimeError):  # not a table of a square window
        return tensor
    return resized
