"""Stages cover every tensor exactly once, and have the names that people expect."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from transfusion import initialize
from transfusion.errors import InputError
from transfusion.networks.structure import head, stage_of, stages

TORCHVISION = {
    "resnet18": "stem layer1 layer2 layer3 layer4 head",
    "densenet121": "stem block1 block2 block3 block4 head",
    "squeezenet1_0": "stem fires1 fires2 fires3 head",
    "convnext_tiny": "stem stage1 stage2 stage3 stage4 head",
    "swin_t": "stem stage1 stage2 stage3 stage4 head",
    "vgg11_bn": "stem block1 block2 block3 block4 classifier1 classifier4 head",
    "alexnet": "stem block1 block2 classifier2 classifier5 head",
    "efficientnet_b0": "stem block1 block2 block3 block4 block5 block6 block7 block8 head",
    "googlenet": "stem inception3 inception4 inception5 aux1 aux2 head",
    "inception_v3": "stem mixed5 mixed6 AuxLogits mixed7 head",
    "shufflenet_v2_x0_5": "stem stage2 stage3 stage4 conv5 head",
    "mobilenet_v2": "stem " + " ".join(f"block{i}" for i in range(1, 19)) + " head",
    "vit_b_32": "stem " + " ".join(f"block{i}" for i in range(1, 13)) + " head",
}
TIMM = {
    "resnet18": TORCHVISION["resnet18"],
    "densenet121": TORCHVISION["densenet121"],
    "convnext_tiny": TORCHVISION["convnext_tiny"],
    "vit_tiny_patch16_224": TORCHVISION["vit_b_32"],
    "deit_tiny_distilled_patch16_224": TORCHVISION["vit_b_32"],
    "efficientnet_b0": "stem block1 block2 block3 block4 block5 block6 block7 conv_head head",
    "regnety_002": "stem stage1 stage2 stage3 stage4 head",
    "vgg13": "stem block1 block2 block3 block4 fc1 fc2 head",
    "mixer_s32_224": "stem block1 block2 block3 block4 block5 block6 block7 block8 head",
    "beit_base_patch16_224": TORCHVISION["vit_b_32"],
    "repvgg_a0": "stem stage1 stage2 stage3 stage4 head",
    "resnetv2_50": "stem stage1 stage2 stage3 stage4 head",
    "swin_tiny_patch4_window7_224": "stem layer1 layer2 layer3 layer4 head",
    "tresnet_m": "stem layer1 layer2 layer3 layer4 head",
    "coat_lite_tiny": "stem serial_blocks1 serial_blocks2 serial_blocks3 serial_blocks4 head",
    "visformer_tiny": "stem stage1 stage2 stage3 head",
    "vit_medium_patch16_gap_240": TORCHVISION["vit_b_32"],
    "caformer_s18": "stem stage1 stage2 stage3 stage4 head",
    "dpn68": "conv1 conv2 conv3 conv4 conv5 head",
    "cait_m36_384": "stem " + " ".join(f"block{i}-{i + 2}" for i in range(1, 37, 3)) + " blocks_token_only head",
}


def owners(model: nn.Module) -> dict[str, int]:
    """How many entries of ``stages`` hold each tensor, counted without the code under test."""
    entries = [name for names in stages(model).values() for name in names]
    named = (*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False))
    return {tensor: sum(tensor == entry or tensor.startswith(f"{entry}.") for entry in entries) for tensor, _ in named}


def assert_covered(model: nn.Module) -> None:
    counts = owners(model)
    assert set(counts.values()) == {1}, {name: n for name, n in counts.items() if n != 1}
    assert set(stage_of(model)) == set(counts)


@pytest.mark.parametrize(("name", "expected"), TORCHVISION.items())
def test_torchvision(name, expected):
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):
        model = get_model(name, weights=None, **options) if name not in ("swin_t", "convnext_tiny") else None
    model = model or get_model(name, weights=None)
    assert list(stages(model)) == expected.split()
    assert_covered(model)


@pytest.mark.parametrize(("name", "expected"), TIMM.items())
def test_timm(name, expected):
    timm = pytest.importorskip("timm")
    try:
        with torch.device("meta"):
            model = timm.create_model(name, num_classes=3)
    except NotImplementedError:  # torch before 2.7 lacks an operator of RegNet's there
        model = timm.create_model(name, num_classes=3)
    assert list(stages(model)) == expected.split()
    assert_covered(model)


@pytest.mark.parametrize(
    "name",
    "vgg11_bn mobilenetv3_small_050 eva02_tiny_patch14_224 nfnet_f0 efficientformer_l1 levit_128 coat_tiny "
    "hrnet_w18_small dla34 dpn68 fastvit_t8 cspresnet50 mobilenetv4_conv_small".split(),
)
def test_unusual_timm_networks_are_covered(name):
    timm = pytest.importorskip("timm")
    model = timm.create_model(name, num_classes=3)
    assert_covered(model)
    assert list(stages(model))[-1] == "head"
    assert len(stages(model)) >= 4


@pytest.mark.parametrize(
    ("name", "expected"),
    {
        "resnet18": ("fc",),
        "squeezenet1_0": ("classifier.1",),
        "vgg11": ("classifier.6",),
        "vit_b_32": ("heads.head",),
    }.items(),
)
def test_head(name, expected):
    with torch.device("meta"):
        assert head(get_model(name, weights=None)) == expected


def test_timm_says_which_are_its_heads():
    timm = pytest.importorskip("timm")
    assert head(timm.create_model("deit_tiny_distilled_patch16_224", num_classes=3)) == ("head", "head_dist")


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.classify = nn.Linear(4, 2)
        self.token = nn.Parameter(torch.zeros(4))
        self.first = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU())
        self.register_buffer("mask", torch.ones(2), persistent=False)


def test_own_module_has_its_children():
    flat = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2),
    )  # fmt: skip
    assert stages(flat) == {"0": ("0", "1", "2", "3"), "4": ("4", "5", "6"), "head": ("7", "8", "9")}


def test_head_may_be_registered_first():
    model = nn.Sequential()
    model.add_module("classify", nn.Conv2d(4, 2, 1))
    model.add_module("body", nn.Sequential(nn.Conv2d(3, 4, 3)))
    assert list(stages(model)) == ["body", "head"]
    assert head(model) == ("classify",)


def test_bare_parameters_and_buffers_have_a_stage():
    model = Own()
    model.transfusion_stages = {"a": ["token", "mask", "first", "norm"], "b": ["second"], "head": ["classify"]}
    assert_covered(model)
    assert stage_of(model)["token"] == "a"
    assert head(model) == ("classify",)
    del model.transfusion_stages
    assert_covered(model)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"a": ["first", "norm"], "b": ["second", "classify", "token"]}, "does not give .*mask"),
        ({"a": [""], "b": ["classify"]}, "does not give .*classify.weight"),
        ({"a": ["", "third"]}, "names .*third.* that do not exist"),
    ],
)
def test_own_stages_are_checked(wrong, said):
    model = Own()
    model.transfusion_stages = wrong
    with pytest.raises(InputError, match=said):
        stages(model)


def test_tied_tensors_are_covered_under_each_name():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2))
    model[2].weight = model[0].weight
    assert_covered(model)
    assert stage_of(model)["2.weight"] == "2"


def test_wrappers_are_looked_through():
    with torch.device("meta"):
        inner = get_model("resnet18", weights=None)
    wrapped = nn.Sequential()
    wrapped.add_module("module", inner)
    assert list(stages(wrapped)) == list(stages(inner))
    assert_covered(wrapped)


@pytest.mark.parametrize("model", [nn.Linear(3, 2), nn.BatchNorm2d(3), nn.Sequential(nn.Conv2d(3, 4, 3))])
def test_lone_layers_have_no_head(model):
    assert head(model) == ()
    assert_covered(model)


def test_nothing_to_name():
    assert stages(nn.ReLU()) == {}


def sizes(model):
    total = {}
    owner = stage_of(model)
    for name, parameter in model.named_parameters():
        total[owner[name]] = total.get(owner[name], 0) + parameter.numel()
    return total


@pytest.mark.parametrize(
    "name", ["vgg11", "vgg13_bn", "nest_tiny", "vit_large_patch16_224", "inception_v4", "nasnetalarge", "volo_d1_224"]
)
def test_no_stage_is_nearly_all_and_there_are_not_too_many(name):
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=3)
    found = sizes(model)
    assert max(found.values()) < 0.9 * sum(found.values())
    assert len(stages(model)) <= 22
    assert_covered(model)


class MultiTask(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.net = backbone
        self.grade, self.oedema = nn.Linear(512, 5), nn.Linear(512, 3)


def test_a_wrapper_has_the_stages_of_its_backbone():
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        inner = timm.create_model("resnet18", num_classes=0)
    body = list(stages(inner))
    assert body == "stem layer1 layer2 layer3 layer4".split()
    assert list(stages(nn.Sequential(inner, nn.Linear(512, 2)))) == [*body, "head"]
    assert list(stages(MultiTask(inner))) == [*body, "grade", "oedema"]
    assert_covered(MultiTask(inner))


def test_a_detector_has_the_stages_of_its_backbone():
    from torchvision.models.detection import fasterrcnn_resnet50_fpn

    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    assert list(stages(model)) == "stem layer1 layer2 layer3 layer4 fpn rpn roi_heads".split()
    assert_covered(model)


def test_two_backbones_are_told_apart():
    layers = lambda: nn.Sequential(*(nn.TransformerEncoderLayer(8, 2, 16) for _ in range(2)))  # noqa: E731
    model = nn.Module()
    model.encoder, model.encoder_b = nn.ModuleDict({"layers": layers()}), nn.ModuleDict({"layers": layers()})
    assert list(stages(model)) == ["layer1", "layer2", "encoder_b.layer1", "encoder_b.layer2"]
    assert_covered(model)


def test_blocks_of_a_transformer_are_grouped_beyond_twelve():
    layer = lambda: nn.TransformerEncoderLayer(8, 2, 16)  # noqa: E731
    for num, expected in ((12, 12), (13, 7), (24, 12), (66, 11)):
        model = nn.ModuleDict({"blocks": nn.Sequential(*(layer() for _ in range(num)))})
        found = stages(model)
        assert len(found) == expected
        assert [name for names in found.values() for name in names] == [f"blocks.{i}" for i in range(num)]
    assert list(found)[-1] == "block61-66"


class EarlyHead(nn.Module):
    """Its head is registered before a part of its body, so the order says nothing of what its norm follows."""

    def __init__(self):
        super().__init__()
        self.enc = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.bn = nn.BatchNorm2d(4)
        self.cls = nn.Linear(4, 2)
        self.proj = nn.Conv2d(4, 4, 1)

    def forward(self, images):
        return self.cls(self.proj(self.bn(self.enc(images))).mean((2, 3)))


def test_a_norm_before_a_head_that_is_not_the_last_is_the_bodys():
    assert stages(EarlyHead()) == {"enc": ("enc", "bn"), "proj": ("proj",), "head": ("cls",)}


def test_upto_the_last_part_of_such_a_body_brings_its_batch_norm():
    model, donor = EarlyHead(), EarlyHead()
    donor.bn.running_mean.fill_(3)
    initialize(model, "pretrained", donor=donor, upto="proj")
    assert (model.bn.running_mean == 3).all()
