"""The head of any network: told by its owner, library, names or place; else an error says how to name it."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn
from torchvision.models import detection, get_model, segmentation

from transfusion.errors import InputError
from transfusion.networks.heads import head
from transfusion.networks.structure import stage_of, stages
from transfusion.schemes.slots import slots


def body():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Tasks(nn.Module):
    """A backbone with one linear layer per task."""

    def __init__(self, *tasks, backbone=None):
        super().__init__()
        self.backbone = backbone or body()
        for task in tasks:
            setattr(self, task, nn.Linear(512 if backbone else 8, 3))


def resnet(**options):
    with torch.device("meta"):
        return timm.create_model("resnet18", **options)


def without(name, attribute):
    model = get_model(name, weights=None)
    setattr(model, attribute, nn.Identity())
    return model


@pytest.mark.parametrize(
    "name", "resnet18 vit_tiny_patch16_224 convnext_atto efficientnet_b0 vgg11 coat_lite_tiny nfnet_f0".split()
)
def test_a_timm_network_without_classes_has_no_head(name):
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=0)
    assert head(model) == ()
    assert "head" not in stages(model) or name == "convnext_atto", "what is left of a head keeps its name"


def test_timm_features_have_no_head():
    assert head(timm.create_model("resnet18", features_only=True)) == ()
    assert head(timm.create_model("mobilenetv3_small_050", features_only=True)) == ()


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("resnet18", "fc"),
        ("efficientnet_b0", "classifier"),
        ("convnext_tiny", "classifier"),
        ("swin_t", "head"),
        ("vit_b_32", "heads"),
        ("squeezenet1_0", "classifier"),
        ("mobilenet_v3_small", "classifier"),
    ],
)
def test_an_identity_in_place_of_the_classifier_is_no_head(name, attribute):
    model = without(name, attribute)
    assert head(model) == ()
    assert not any(slot.is_head for slot in slots(model))


def test_bare_bodies_have_no_head():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    assert head(nn.TransformerEncoder(layer, 3)) == ()
    assert head(nn.Sequential(*list(get_model("resnet18", weights=None).children())[:-1])) == ()
    assert head(body()) == ()


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Tasks("grade"), ("grade",)),
        (Tasks("head", backbone=resnet(num_classes=0)), ("head",)),
        (nn.Sequential(resnet(num_classes=0), nn.Linear(512, 3)), ("1",)),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3)), ("3",)),
        (nn.DataParallel(resnet(num_classes=3)), ("module.fc",)),
        (nn.ModuleDict({"model": resnet(num_classes=3), "loss": nn.CrossEntropyLoss(torch.ones(3))}), ("model.fc",)),
        (nn.ModuleDict({"body": body(), "fc1": nn.Linear(8, 6), "fc2": nn.Linear(6, 3)}), ("fc2",)),
        (nn.ModuleDict({"classify": nn.Conv2d(4, 2, 1), "body": body()}), ("classify",)),
    ],
    ids="own timm-and-head sequential flat parallel with-loss chain first".split(),
)
def test_one_head_is_found(model, expected):
    assert head(model) == expected


def test_a_norm_behind_the_last_layer_is_of_the_head_and_one_before_it_is_not():
    model = Tasks()
    model.head = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 3), nn.BatchNorm1d(3))
    assert head(model) == ("head.1", "head.2")


def test_auxiliary_heads_are_heads():
    model = get_model("inception_v3", weights=None, init_weights=False)
    assert head(model) == ("fc", "AuxLogits.fc")


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (Tasks("grade", "oedema"), "grade, oedema"),
        (Tasks("head_grade", "head_oedema"), "head_grade, head_oedema"),
        (
            nn.ModuleDict({"body": body(), "heads": nn.ModuleDict({"a": nn.Linear(8, 2), "b": nn.Linear(8, 3)})}),
            "heads.a",
        ),
        (detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None), "roi_heads.box_predictor.cls_score"),
        (detection.retinanet_resnet50_fpn(weights=None, weights_backbone=None), "head.classification_head.cls_logits"),
        (segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None), "classifier.low_classifier"),
    ],
    ids="two-tasks two-heads dict faster-rcnn retinanet lraspp".split(),
)
def test_more_than_one_head_is_an_error_that_says_how_to_name_it(model, named):
    with pytest.raises(InputError, match=rf"it may be .*{named}.*Set model.transfusion_head = "):
        head(model)
    assert set(stage_of(model)) == {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
    model.transfusion_head = named.split(", ")[0]
    assert head(model) == (named.split(", ")[0],)


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 8, 3)
        self.up1 = nn.ConvTranspose2d(8, 4, 3)
        self.out = nn.Conv2d(4, 2, 1)


def test_a_u_net_has_no_head_that_can_be_told():
    with pytest.raises(InputError, match=r"UNet make its outputs; it may be out. Set model.transfusion_head"):
        head(UNet())


def test_a_named_head_is_taken_and_checked():
    model = UNet()
    model.transfusion_head = ("out",)
    assert head(model) == ("out",)
    assert stages(model)["head"] == ("out",)
    assert head(nn.DataParallel(model)) == ("module.out",)
    model.transfusion_head = ()
    assert head(model) == ()
    model.transfusion_head = ("outs",)
    with pytest.raises(InputError, match=r"transfusion_head names \['outs'\]"):
        head(model)


def test_compiled_networks_have_the_same_head_and_stages():
    model = get_model("resnet18", weights=None)
    compiled = torch.compile(model)
    assert head(compiled) == ("_orig_mod.fc",)
    assert list(stages(compiled)) == list(stages(model))
    own = UNet()
    own.transfusion_stages = {"down": ["down1", "down2"], "up": ["up1"], "head": ["out"]}
    assert stages(torch.compile(own))["up"] == ("_orig_mod.up1",)
