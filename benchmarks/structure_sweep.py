"""Heads and stages over the libraries that people use; run as `python benchmarks/structure_sweep.py > results.md`.

One network per timm family, torchvision's, transformers' image classifiers with their bare models, MONAI and
segmentation-models-pytorch (`pip install -e .[sweep]`). All are built on the meta device where they can be: no weights.
"""

from __future__ import annotations

import datetime
import importlib
import logging
import platform
import subprocess
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from unittest.mock import patch

import torch
from torch import nn

from transfusion.errors import InputError
from transfusion.networks.structure import head, stage_of, stages

Case = tuple[str, str, Callable[[], nn.Module]]


def timm_families() -> Iterator[Case]:
    timm = importlib.import_module("timm")
    for family in timm.list_modules():
        names = timm.list_models(module=family)
        small = [name for name in names if any(word in name for word in ("tiny", "small", "18"))]
        for name in (small or names)[:1]:
            yield "timm", name, lambda name=name: timm.create_model(name, num_classes=7)
            yield "timm", f"{name}, num_classes=0", lambda name=name: timm.create_model(name, num_classes=0)


def torchvision_networks() -> Iterator[Case]:
    models = importlib.import_module("torchvision").models
    for name in models.list_models():
        is_wrapper = any(word in name for word in ("rcnn", "fcos", "retina", "ssd", "deeplab", "fcn", "lraspp"))
        options = {"weights": None} | ({"weights_backbone": None} if is_wrapper else {})
        yield "torchvision", name, lambda name=name, options=options: models.get_model(name, **options)


def transformers_networks() -> Iterator[Case]:
    library = importlib.import_module("transformers")
    names = importlib.import_module("transformers.models.auto.modeling_auto")
    for key in ("IMAGE_CLASSIFICATION", "OBJECT_DETECTION", "SEMANTIC_SEGMENTATION"):
        for kind, found in getattr(names, f"MODEL_FOR_{key}_MAPPING_NAMES").items():
            bare = names.MODEL_MAPPING_NAMES.get(kind) if key == "IMAGE_CLASSIFICATION" else None
            for name in (found, bare):
                name = name[0] if isinstance(name, (tuple, list)) else name
                if name:
                    yield "transformers", name, lambda name=name: _with_defaults(getattr(library, name))


def _with_defaults(kind: type) -> nn.Module:
    return kind(kind.config_class())


def monai_networks() -> Iterator[Case]:
    nets = importlib.import_module("monai.networks.nets")
    plane = {"spatial_dims": 2, "in_channels": 1}
    classes = {**plane, "num_classes": 3}
    cases = {
        "DenseNet121": {**plane, "out_channels": 3},
        "resnet18": {"spatial_dims": 2, "n_input_channels": 1, "num_classes": 3},
        "resnet50": {"spatial_dims": 2, "n_input_channels": 1, "feed_forward": False},
        "SEResNet50": classes,
        "ViT": {**plane, "img_size": 32, "patch_size": 8},
        "SwinUNETR": {**plane, "out_channels": 3, "feature_size": 12},
        "UNETR": {**plane, "out_channels": 3, "img_size": 32},
        "UNet": {**plane, "out_channels": 3, "channels": (8, 16, 32), "strides": (2, 2)},
        "BasicUNet": {**plane, "out_channels": 3},
        "SegResNet": {**plane, "out_channels": 3},
        "VNet": {**plane, "out_channels": 3},
    }
    for name, options in cases.items():
        yield "monai", name, lambda name=name, options=options: getattr(nets, name)(**options)


def segmentation_networks() -> Iterator[Case]:
    smp = importlib.import_module("segmentation_models_pytorch")
    for name in (
        "Unet",
        "UnetPlusPlus",
        "MAnet",
        "Linknet",
        "FPN",
        "PSPNet",
        "PAN",
        "DeepLabV3",
        "UPerNet",
        "Segformer",
    ):
        yield "smp", name, lambda name=name: getattr(smp, name)("resnet18", encoder_weights=None, classes=3)
    for name in (
        "resnet18",
        "efficientnet-b0",
        "mit_b0",
        "vgg11",
        "densenet121",
        "mobilenet_v2",
        "dpn68",
        "se_resnet50",
    ):
        yield "smp", f"encoder {name}", lambda name=name: smp.encoders.get_encoder(name, weights=None)


SOURCES = (timm_families, torchvision_networks, transformers_networks, monai_networks, segmentation_networks)


def built(make: Callable[[], nn.Module]) -> nn.Module:
    """On the meta device where the network allows it; nowhere are weights drawn, which no row is about."""

    def untouched(tensor: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        return tensor

    draws = patch.multiple(torch.Tensor, uniform_=untouched, normal_=untouched, erfinv_=untouched)
    with draws, patch.object(torch.nn.init, "_no_grad_trunc_normal_", untouched):
        try:
            with torch.device("meta"):
                return make()
        except Exception:
            return make()


def largest(model: nn.Module) -> tuple[str, float]:
    """The stage with most parameters, and its share."""
    owner, sizes = stage_of(model), Counter()
    for name, parameter in model.named_parameters():
        sizes[owner[name]] += parameter.numel()
    stage, size = sizes.most_common(1)[0]
    return stage, size / sizes.total()


def row(model: nn.Module) -> tuple[str, str, str]:
    """Head, stages, and the largest of them, as text."""
    try:
        made = ", ".join(f"`{name}`" for name in head(model)) or "none"
    except InputError:
        made = "must be named"
    names = list(stages(model))
    stage, share = largest(model)
    return made, f"{len(names)}: {' '.join(names)}", f"{stage} {share:.0%}"


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    rows, lost = [], []
    for source in SOURCES:
        try:
            cases = list(source())
        except ImportError as error:
            lost.append(f"{source.__name__}: {error}")
            continue
        for library, name, make in cases:
            try:
                model = built(make)
            except Exception as error:  # what a library cannot build here is told, not judged
                lost.append(f"{library} {name}: {str(error).strip().splitlines()[0][:100]}")
                continue
            rows.append((library, name, *row(model)))
    print("# Heads and stages of the networks that people use\n")
    print(
        f"{datetime.date.today()}, commit {commit.strip()}, torch {torch.__version__}, {platform.machine()}; one build"
    )
    print(f"each, {len(rows)} networks. By `benchmarks/structure_sweep.py`.\n")
    print("| library | network | head | stages | largest stage |\n|---|---|---|---|---|")
    for each in rows:
        print(f"| {' | '.join(each)} |")
    print(f"\nNot built here ({len(lost)}):\n")
    print("\n".join(f"- {each}" for each in lost))


if __name__ == "__main__":
    main()
