"""Networks by name, with as many outputs and input channels as the task needs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from transfusion.errors import SpecError, UnknownNameError
from transfusion.networks.donors.catalogue import HUB, timm_config
from transfusion.networks.given import described, integer
from transfusion.networks.seeding import isolated_rng

# kernel size and widths
CBR: dict[str, tuple[int, tuple[int, ...]]] = {
    "cbr_larget": (7, (32, 64, 128, 256, 512)),
    "cbr_largew": (7, (64, 128, 256, 512)),
    "cbr_small": (7, (32, 64, 128, 256)),
    "cbr_tiny": (5, (64, 128, 256, 512)),
    # the widths that give the parameter count which the paper prints for Tiny
    "cbr_tiny_small": (5, (32, 64, 128, 256)),
}
CIFAR_SUFFIX = "_cifar"
# He et al.'s own networks for CIFAR by their depth, with the blocks in each of three stages; and the least of the kind
SMALL_RESNETS = {f"resnet{6 * blocks + 2}{CIFAR_SUFFIX}": blocks for blocks in (1, 3, 5, 7, 9)}
# their published weights want images normalised by 0.5 and 0.5, made of ImageNet's by torchvision's code
_FROM_IMAGENET = ("inception_v3", "googlenet")
# the mean and std of one channel that a colour-blind filter takes for ImageNet's three; see ``spec.Normalization``
GREY_IMAGENET = (0.448799942567, 0.225979467566)


def build(name: str, num_outputs: int, channels: int = 3, image_size: int = 224) -> nn.Module:
    """Build a network for a task. No weights are downloaded, and global random state is not touched.

    The weights are those of the library's own initialisation at one fixed seed, wherever and whenever it is built;
    the model carries ``transfusion_rebuild``, a function that redraws them.

    Args:
        name: a torchvision or timm name; ``torchvision:NAME`` or ``timm:NAME`` says which (a bare name is looked up in
            torchvision first). ``cbr_larget``, ``cbr_largew``, ``cbr_small``, ``cbr_tiny``, ``cbr_tiny_small`` are the
            paper's small networks; ``resnet50_cifar`` is a ResNet with a 3x3 stem of stride 1 and no pooling;
            ``resnet8_cifar``, ``resnet20_cifar`` to ``resnet56_cifar`` are He et al.'s narrow ones;
            ``timm:hf-hub:ORGANISATION/NAME`` is what the ``config.json`` of that repository says.
        num_outputs: logits per image, at least 1.
        channels: of the images. In torchvision models the first convolution is replaced if it is not 3.
        image_size: side in pixels; only networks of fixed input size (transformers) heed it.

    Returns:
        The network, on the CPU, in training mode: (batch, channels, image_size, image_size) to (batch, num_outputs).

    Raises:
        UnknownNameError: no library has that name; near ones are suggested.
        SpecError: the settings do not go together.
        InputError: a number is not whole, or below 1.

    Examples:
        >>> sum(p.numel() for p in build("cbr_small", num_outputs=5).parameters())
        2114341
    """
    if not isinstance(name, str):
        raise UnknownNameError(f"A model's name is a str, such as 'resnet18'; got {described(name)}.")
    sizes = {"num_outputs": num_outputs, "channels": channels, "image_size": image_size}
    rebuild = partial(construct, name, *(integer(value, key, least=1) for key, value in sizes.items()))
    with isolated_rng(0):  # one seed: a network that nobody initialises is at least the same everywhere
        model = rebuild()
    model.transfusion_rebuild = rebuild  # type: ignore[assignment]
    return model


def check(name: str) -> None:
    """See that ``build`` has a network of this name, without building it.

    Raises:
        UnknownNameError: no library has that name; near ones are suggested.

    Examples:
        >>> check("cbr_small")
    """
    if name not in CBR and name not in SMALL_RESNETS:
        library, bare = _parted(name)
        _find(library, bare.removesuffix(CIFAR_SUFFIX), name)


def known() -> list[str]:
    """All names that ``build`` takes without a prefix, torchvision's first. Imports timm, which takes seconds."""
    names = [*_torchvision_names(), *CBR, *SMALL_RESNETS, *_timm().list_models()]
    return list(dict.fromkeys(names))


class ConvBatchRelu(nn.Sequential):
    """The paper's CBR networks: convolution, batch norm, ReLU; 3x3 max-pools of stride 2 between; global average.

    Args:
        kernel_size: side of every convolution, odd.
        widths: channels of each block.
        num_outputs: logits per image.
        channels: of the images.

    Source:
        Raghu et al., NeurIPS 2019 (the later version of arXiv:1902.07208), appendix on the small CNNs.

    Examples:
        >>> import torch
        >>> ConvBatchRelu(5, (8, 16), num_outputs=2)(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 2])
    """

    def __init__(self, kernel_size: int, widths: tuple[int, ...], num_outputs: int, channels: int = 3) -> None:
        super().__init__()
        for i, (inputs, width) in enumerate(zip((channels, *widths[:-1]), widths, strict=True)):
            if i:
                self.add_module(f"pool{i}", nn.MaxPool2d(3, stride=2, padding=1))
            self.add_module(f"block{i + 1}", _conv_norm_relu(inputs, width, kernel_size))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(widths[-1], num_outputs)


def _conv_norm_relu(inputs: int, width: int, kernel_size: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, width, kernel_size, padding=kernel_size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True))


class SmallResNet(nn.Module):
    """The narrow ResNets for images of 32 px: a 3x3 stem and three stages of 16, 32 and 64 channels.

    Shortcuts where the resolution changes are 1x1 convolutions (their option B), as in torchvision's ResNets.

    Args:
        blocks: of each stage, two convolutions each; 3 makes ResNet-20.
        num_outputs: logits per image.
        channels: of the images.

    Source:
        He et al., Deep Residual Learning for Image Recognition (2016), section 4.2.

    Examples:
        >>> import torch
        >>> SmallResNet(3, num_outputs=10)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, blocks: int, num_outputs: int, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _small_stage(blocks, 16, 16)
        self.layer2 = _small_stage(blocks, 16, 32)
        self.layer3 = _small_stage(blocks, 32, 64)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, num_outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, num_outputs)."""
        features = self.relu(self.bn1(self.conv1(images)))
        features = self.layer3(self.layer2(self.layer1(features)))
        outputs: Tensor = self.fc(self.avgpool(features).flatten(1))
        return outputs


def _small_stage(blocks: int, inputs: int, width: int) -> nn.Sequential:
    """Blocks of one width; where it changes, the first halves the resolution."""
    BasicBlock = _torchvision().resnet.BasicBlock
    first = BasicBlock(inputs, width)
    if inputs != width:
        shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, stride=2, bias=False), nn.BatchNorm2d(width))
        first = BasicBlock(inputs, width, stride=2, downsample=shortcut)
    return nn.Sequential(first, *(BasicBlock(width, width) for _ in range(blocks - 1)))


def construct(name: str, num_outputs: int, channels: int, image_size: int) -> nn.Module:
    """As ``build``, with weights drawn from the global random state."""
    if name in CBR:
        return ConvBatchRelu(*CBR[name], num_outputs, channels)
    if name in SMALL_RESNETS:
        return SmallResNet(SMALL_RESNETS[name], num_outputs, channels)
    library, bare = _parted(name)
    wanted = bare.removesuffix(CIFAR_SUFFIX)
    model = _find(library, wanted, name)(num_outputs, channels, image_size)
    return _with_cifar_stem(model, name) if wanted != bare else model


def _parted(name: str) -> tuple[str, str]:
    """The library that a name asks for, empty for any, and the name there."""
    library, _, bare = name.partition(":") if name.startswith(("torchvision:", "timm:")) else ("", "", name)
    return library, bare


def _find(library: str, bare: str, name: str) -> Callable[[int, int, int], nn.Module]:
    if library != "timm" and bare in _torchvision_names():
        return partial(_torchvision_model, bare)
    if library != "torchvision" and (bare.startswith(HUB) or _timm().is_model(bare)):
        return partial(_timm_model, bare)
    raise UnknownNameError(_unknown(name, bare))


def _unknown(name: str, bare: str) -> str:
    near = difflib.get_close_matches(bare.lower(), known(), n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return (
        f"There is no model '{name}'.{hint} Give a name of torchvision.models or timm.list_models(), or one of "
        f"{', '.join([*CBR, *SMALL_RESNETS])}; ResNets also with the suffix {CIFAR_SUFFIX}."
    )


def _torchvision_names() -> list[str]:
    models = _torchvision()
    return models.list_models(module=models)  # type: ignore[no-any-return]


def _torchvision() -> Any:
    from torchvision import models  # takes a second, so only where a network is built

    return models


def _timm() -> Any:
    import timm  # takes seconds

    return timm


def _torchvision_model(name: str, num_outputs: int, channels: int, image_size: int) -> nn.Module:
    options: dict[str, Any] = {"num_classes": num_outputs}
    if name in _FROM_IMAGENET:
        # no auxiliary outputs: a loss of three terms would make them another network
        options |= {"aux_logits": False, "init_weights": True, "transform_input": channels == 3}
    if name.startswith("vit_"):
        options["image_size"] = image_size
    if name.startswith("maxvit"):
        options["input_size"] = (image_size, image_size)
    try:
        model: nn.Module = _torchvision().get_model(name, weights=None, **options)
    except (AssertionError, ValueError) as error:
        raise SpecError(f"'{name}' cannot take images of {image_size} px ({error}). Choose another size.") from None
    if channels != 3:
        _replace_first_convolution(model, channels)
    if channels == 1 and name in _FROM_IMAGENET:
        model.register_forward_pre_hook(_grey_to_half)
    return model


def _grey_to_half(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """``transform_input`` for one channel, normalised by the mean and std that stand for ImageNet's three."""
    mean, std = GREY_IMAGENET
    return (inputs[0] * (std / 0.5) + (mean - 0.5) / 0.5,)


def _timm_model(name: str, num_outputs: int, channels: int, image_size: int) -> nn.Module:
    timm = _timm()
    options = {"img_size": image_size} if timm_config(name).get("fixed_input_size") else {}
    try:
        model: nn.Module = timm.create_model(name, num_classes=num_outputs, in_chans=channels, **options)
    except (AssertionError, ValueError) as error:
        said = " ".join(str(error).split())
        raise SpecError(f"'timm:{name}' cannot take images of {image_size} px ({said}). Choose another size.") from None
    return model


def _replace_first_convolution(model: nn.Module, channels: int) -> None:
    name, old = next((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    settings = ("out_channels", "kernel_size", "stride", "padding", "dilation", "padding_mode")
    new = nn.Conv2d(channels, bias=old.bias is not None, **{key: getattr(old, key) for key in settings})
    model.set_submodule(name, new)


def _with_cifar_stem(model: nn.Module, name: str) -> nn.Module:
    """A 3x3 stem of stride 1 and no pooling, as for 32 px images (He et al. 2016, section 4.2)."""
    stem = getattr(model, "conv1", None)
    if not isinstance(stem, nn.Conv2d) or not hasattr(model, "maxpool") or not re.search("resne", name.lower()):
        raise UnknownNameError(f"There is no model '{name}': only ResNets come with the suffix {CIFAR_SUFFIX}.")
    model.conv1 = nn.Conv2d(stem.in_channels, stem.out_channels, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model
