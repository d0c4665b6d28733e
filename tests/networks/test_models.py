"""Networks by name: shapes, sizes, and what cannot be built."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from transfusion.errors import InputError, SpecError, UnknownNameError
from transfusion.networks.models import CBR, GREY_IMAGENET, build, known
from transfusion.networks.structure import stages
from transfusion.tasks.load import IMAGENET


def outputs(model: nn.Module, channels: int, image_size: int) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(torch.zeros(2, channels, image_size, image_size))


@pytest.mark.parametrize(
    "name",
    "cbr_tiny_small resnet18 resnet18_cifar torchvision:densenet121 squeezenet1_0 inception_v3 googlenet swin_t "
    "vit_b_32 timm:resnet18 timm:vit_tiny_patch16_224 timm:densenet121 deit_tiny_patch16_224 "
    "timm:resnet26_cifar resnet20_cifar".split(),
)
def test_grey_images_and_another_head(name):
    assert outputs(build(name, 5, channels=1, image_size=96), 1, 96).shape == (2, 5)


@pytest.mark.parametrize("name", ["cbr_tiny_small", "squeezenet1_0", "timm:vit_tiny_patch16_224"])
def test_colour_images(name):
    assert outputs(build(name, 1, image_size=64), 3, 64).shape == (2, 1)
    with pytest.raises(RuntimeError, match="channels"):
        outputs(build(name, 1, image_size=64), 1, 64)


@pytest.mark.parametrize(
    ("name", "millions"),
    # counts printed in the paper's NeurIPS version, with the 32-64-128-256 variant for Tiny
    {"cbr_larget": 8.5, "cbr_largew": 8.4, "cbr_small": 2.1, "cbr_tiny_small": 1.1}.items(),
)
def test_cbr_sizes(name, millions):
    count = sum(p.numel() for p in build(name, 5).parameters())
    assert round(count / 1e6, 1) == millions
    assert round(sum(p.numel() for p in build("cbr_tiny", 5).parameters()) / 1e6, 1) != 1.1


@pytest.mark.parametrize("name", CBR)
def test_cbr_layers(name):
    kernel_size, widths = CBR[name]
    convolutions = [m for m in build(name, 5).modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == list(widths)
    assert {c.kernel_size for c in convolutions} == {(kernel_size, kernel_size)}
    pools = [m for m in build(name, 5).modules() if isinstance(m, nn.MaxPool2d)]
    assert len(pools) == len(widths) - 1


def test_cifar_stem_keeps_the_resolution():
    cifar, usual = build("resnet50_cifar", 10), build("resnet50", 10)
    images = torch.zeros(1, 3, 32, 32)
    assert cifar.maxpool(cifar.conv1(images)).shape[-2:] == (32, 32)
    assert usual.maxpool(usual.conv1(images)).shape[-2:] == (8, 8)


@pytest.mark.parametrize(("depth", "millions"), {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85}.items())
def test_small_resnets_are_as_large_as_he_and_others_say(depth, millions):
    """Table 6 of He et al. (2016); its shortcuts have no weights, ours two 1x1 convolutions (0.003 million)."""
    network = build(f"resnet{depth}_cifar", 10)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)
    assert sum(isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3) for m in network.modules()) == depth - 1
    assert list(stages(network)) == ["stem", "layer1", "layer2", "layer3", "head"]


def test_the_same_weights_every_time_and_nothing_global_moves():
    before = torch.get_rng_state()
    first = build("resnet18", 2)
    torch.randn(3)
    second = build("resnet18", 2)
    assert torch.equal(first.conv1.weight, second.conv1.weight)
    torch.set_rng_state(before)
    build("resnet18", 2)
    assert torch.equal(before, torch.get_rng_state())
    with torch.random.fork_rng():
        assert not torch.equal(first.conv1.weight, first.transfusion_rebuild().conv1.weight)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet5", "no model 'resnet5'. Did you mean resnet50"),
        ("densenet121_cifar", "only ResNets come with the suffix _cifar"),
        ("torchvision:convnext_atto", "no model 'torchvision:convnext_atto'"),
        ("", "no model ''"),
    ],
)
def test_unknown_names(name, said):
    pytest.importorskip("timm")
    with pytest.raises(UnknownNameError, match=said):
        build(name, 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("resnet18", 0), "num_outputs=0; it is a whole number of 1 or more"),
        (("resnet18", 2, 0), "channels=0; it is a whole number of 1 or more"),
        (("vit_b_32", 2, 3, 97), "cannot take images of 97 px"),
        (("maxvit_t", 2, 3, 97), "cannot take images of 97 px"),
    ],
)
def test_settings_that_do_not_go_together(arguments, said):
    with pytest.raises((SpecError, InputError), match=said):
        build(*arguments)


def test_known_names_can_be_built():
    pytest.importorskip("timm")
    names = known()
    assert {"resnet50", "cbr_small", "vit_tiny_patch16_224"} <= set(names)
    assert len(names) == len(set(names))


@pytest.fixture(scope="module", params=["googlenet", "inception_v3"])
def half(request: pytest.FixtureRequest) -> tuple[str, nn.Module]:
    """A network as torchvision builds it for its published weights, which want images normalised by 0.5."""
    own = torchvision.models.get_model(request.param, init_weights=True, transform_input=True, aux_logits=False)
    return request.param, own.eval()


def features(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    model.fc = nn.Identity()
    with torch.no_grad():
        return model(images)


def test_input_is_transformed_as_the_published_weights_want_it(half: tuple[str, nn.Module]) -> None:
    name, own = half
    ours = build(name, 3, image_size=96).eval()
    ours.load_state_dict({n: t for n, t in own.state_dict().items() if not n.startswith("fc.")}, strict=False)
    probe = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    assert torch.equal(features(ours, probe), features(own, probe))


def test_grey_input_is_transformed_too(half: tuple[str, nn.Module]) -> None:
    name, own = half
    assert IMAGENET.for_channels(1).mean + IMAGENET.for_channels(1).std == GREY_IMAGENET
    state = {n: t for n, t in own.state_dict().items() if not n.startswith("fc.")}
    first = next(n for n, t in state.items() if t.ndim == 4)
    ours = build(name, 3, channels=1, image_size=96).eval()
    ours.load_state_dict(state | {first: state[first].sum(1, keepdim=True)}, strict=False)
    picture = torch.rand(2, 1, 96, 96, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET.mean, IMAGENET.std))
    expected = features(own, (picture - mean) / std)
    got = features(ours, (picture - GREY_IMAGENET[0]) / GREY_IMAGENET[1])
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
