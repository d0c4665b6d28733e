"""What a network was trained to see: the input format that comes with published weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from transfusion.errors import DonorError
from transfusion.networks.donors.catalogue import HUB, timm_config, torchvision_weights
from transfusion.terms import Interpolation

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # timm's own would be a slow import
_LIBRARIES = ("torchvision:", "timm:")
# switches of transformers' image processors that no mean and std can stand for
_OTHER_PIXELS = {
    "do_flip_channel_order": "blue comes first",
    "do_grayscale": "colours are made grey",
    "do_color_quantize": "colours become clusters",
    "do_map_pixels": "pixels are mapped into another range",
    "offset": "half a step is subtracted before scaling",
}


@dataclass(frozen=True)
class InputFormat:
    """How images were brought to a network while it was trained.

    Attributes:
        mean, std: per channel, in units where white is 1.
        interpolation: how images were scaled.
        source: whose format this is, as a display name.
        channels: of the images; None where that is not told.
        size: side of the images in pixels, where it is given.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation
    source: str
    channels: int | None = None
    size: int | None = None


def of_torchvision(name: str, weights_name: str = "DEFAULT") -> InputFormat | None:
    """The format of torchvision's weights for ``name``: what ``weights.transforms()`` does.

    None where that does not normalise, as of detectors, which do so themselves.

    Raises:
        DonorError: torchvision has no such model or weights.

    Examples:
        >>> of_torchvision("efficientnet_b0").interpolation
        'bicubic'
    """
    weights = torchvision_weights(name, weights_name)
    preset = weights.transforms()  # torchvision's own code for these weights, so nothing is copied from its docs
    if not hasattr(preset, "mean"):
        return None
    sides = set(getattr(preset, "crop_size", ()))  # those of segmentation are not cropped, those of video have two
    size = sides.pop() if len(sides) == 1 else None
    source = f"torchvision:{name}/{weights.name}"
    return InputFormat(tuple(preset.mean), tuple(preset.std), preset.interpolation.value, source, 3, size)


def of_timm(name: str) -> InputFormat:
    """The format of timm's weights for ``name``, from its ``pretrained_cfg``.

    Raises:
        DonorError: timm has no such model.

    Examples:
        >>> of_timm("tf_efficientnet_lite0").mean
        (0.5, 0.5, 0.5)
    """
    config = timm_config(name)
    tag = f".{config['tag']}" if config.get("tag") else ""
    source = f"timm:{name if name.startswith(HUB) else config['architecture'] + tag}"
    return of_config(config, source)


def of_config(config: Mapping[str, Any], source: str) -> InputFormat:
    """The format in a ``pretrained_cfg`` of timm's, as code or as published in a ``config.json``.

    What it leaves out is what timm then takes (``timm.data.resolve_data_config``): ImageNet's mean and standard
    deviation, bicubic.

    Raises:
        DonorError: mean or standard deviation are left out for images that have not three channels.

    Examples:
        >>> of_config({"mean": [0.5], "std": [0.25], "input_size": [1, 28, 28]}, "mine").std
        (0.25,)
        >>> of_config({"std": [0.25, 0.25, 0.25]}, "mine").mean
        (0.485, 0.456, 0.406)
    """
    channels, size, _ = config.get("input_size") or (3, None, None)
    mean, std = (config.get(name) for name in ("mean", "std"))
    if channels != len(IMAGENET_MEAN) and not (mean and std):
        raise DonorError(f"{source} is of images with {channels} channels and gives no mean and std. Add them.")
    mean, std = tuple(mean or IMAGENET_MEAN), tuple(std or IMAGENET_STD)
    return InputFormat(mean, std, config.get("interpolation") or "bicubic", source, channels, size)


def of_folder(folder: Path) -> InputFormat | None:
    """The format that a Hugging Face folder gives beside its weights: timm's or transformers'; None without one.

    Raises:
        DonorError: a file that should give it is not JSON, or lacks what it should hold.
    """
    for name, read in (("config.json", _of_timm_json), ("preprocessor_config.json", _of_transformers)):
        path = folder / name
        if path.is_file():
            try:
                found = read(json.loads(path.read_text(encoding="utf-8")), str(path))
            except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
                raise DonorError(f"{path} gives no input format ({error}). Restore or remove it.") from error
            if found is not None:
                return found
    return None


def _of_timm_json(values: dict[str, Any], source: str) -> InputFormat | None:
    config = values.get("pretrained_cfg", values)
    return of_config(config, source) if "mean" in config else None


def _of_transformers(values: dict[str, Any], source: str) -> InputFormat | None:
    """Image processors of transformers: switches may say that nothing is normalised, or not to 0..1 units first.

    Raises:
        DonorError: a switch makes of pixels what no mean and std can.
    """
    if other := [f"{key} ({what})" for key, what in _OTHER_PIXELS.items() if values.get(key)]:
        raise DonorError(
            f"{source} asks for {', '.join(other)}, which is not supported. Remove that file, if images in colour, "
            "normalised as for the model's default weights, are near enough."
        )
    is_normalised = values.get("do_normalize", "image_mean" in values)
    if "image_mean" not in values and (is_normalised or not values.get("do_rescale")):
        return None
    given = "image_mean" in values
    means, stds = (values["image_mean"], values["image_std"]) if given else ((0.0,) * 3, (1.0,) * 3)
    # EfficientNet's: pixels may be moved by 1 once they are scaled, and divided by the std once more
    shift, times = float(values.get("rescale_offset", False)), is_normalised + bool(values.get("include_top"))
    scale = values.get("rescale_factor", 1 / 255) * 255 if values.get("do_rescale", True) else 255.0
    mean = tuple((m * is_normalised + shift) / scale for m in means)
    std = tuple(s**times / scale for s in stds)
    interpolation: Any = Image.Resampling(values.get("resample", Image.Resampling.BILINEAR)).name.lower()
    return InputFormat(mean, std, interpolation, source, len(mean) if len(mean) > 1 else None)


def of_model(model_name: str) -> InputFormat | None:
    """The format of the default weights of a model, by its name as in ``models.build``; None where none are published.

    Examples:
        >>> of_model("resnet50").source, of_model("resnet50_cifar")
        ('torchvision:resnet50/IMAGENET1K_V2', None)
    """
    import torchvision

    library, _, bare = model_name.partition(":") if model_name.startswith(_LIBRARIES) else ("", "", model_name)
    if library != "timm" and bare in torchvision.models.list_models():
        return of_torchvision(bare) if list(torchvision.models.get_model_weights(bare)) else None
    if library == "torchvision":
        return None
    import timm

    return of_timm(bare) if bare.startswith(HUB) or timm.is_model(bare) else None
