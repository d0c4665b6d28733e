"""The body of a network is found among whatever its publisher put beside it."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import timm
import torch
import torchvision
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.layers.pos_embed_rel import resize_rel_pos_bias_table
from torch import nn

from tests.networks.donors.states import OTHERS, body, has_body, named
from transfusion.errors import DonorMismatchError
from transfusion.networks.donors import fit, stem_channels
from transfusion.networks.models import build

# ---- one prefix, whatever lies beside it


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: named("net.", s) | {"criterion.weight": OTHERS, "metric.confusion": OTHERS},
        lambda s: named("model.backbone.", body(s)) | {"model.head.0.weight": OTHERS, "ema_decay": torch.tensor(0.9)},
        lambda s: named("visual.", body(s)) | {"text.token_embedding.weight": OTHERS, "logit_scale": torch.tensor(4.6)},
        lambda s: named("module.encoder_q.", body(s)) | {"module.queue": OTHERS, "module.queue_ptr": torch.zeros(1)},
        lambda s: named("online_encoder.net.", body(s)) | {"online_predictor.0.weight": OTHERS},
        lambda s: named("backbone.", body(s)) | {"projector.0.weight": OTHERS, "projector.1.running_mean": OTHERS},
        lambda s: named("encoder.", body(s)) | named("decoder.", {"layer1.0.conv1.weight": OTHERS}),
        lambda s: named("feature_extractor.", body(s)) | {"classifier.weight": OTHERS, "classifier.bias": OTHERS[0]},
        lambda s: named("state_dict.model.net.", s) | {"optimizer.state.0.exp_avg": s["conv1.weight"]},
        lambda s: named("_orig_mod.module.", s),
        lambda s: {name.replace("layer1.0", "layer1._orig_mod.0"): t for name, t in s.items()},
        lambda s: {
            f"_fsdp_wrapped_module.{n.replace('layer2.', 'layer2._fsdp_wrapped_module.')}": t for n, t in s.items()
        },
        lambda s: body(s) | {"head.mlp.0.weight": OTHERS, "head.last_layer.weight_g": OTHERS},
        lambda s: body(s) | {"fc.0.weight": OTHERS, "fc.3.weight": OTHERS, "fc.3.bias": OTHERS[0]},
        lambda s: body(s) | {"last_linear.weight": OTHERS},
        lambda s: dict(reversed(s.items())),
        lambda s: {name: t for name, t in s.items() if not name.endswith("num_batches_tracked")},
        lambda s: named("a.", s) | named("b.", {"conv1.weight": s["conv1.weight"]}),
        lambda s: named("a.", s) | named("b.", s),
        lambda s: {name: nn.Parameter(t, requires_grad=False) for name, t in s.items()},
    ],
)
def test_the_body_is_found(model, resnet, wrap):
    found = fit(wrap(resnet), model)
    assert has_body(found, {n: t for n, t in resnet.items() if n in wrap(resnet) or not n.endswith("tracked")})
    assert list(found.state) == [name for name in model.state_dict() if name in found.state]


def test_what_is_left_is_told(model, resnet):
    found = fit(named("net.", resnet) | {"criterion.pos_weight": OTHERS}, model)
    assert "Of the donor, the tensors under 'net' are taken." in found.notes
    assert "Not used of the donor, by number of tensors: criterion (1)." in found.notes
    assert fit(resnet, model).notes == ()


def test_a_donor_without_the_models_wrapper(resnet):
    bare = build("resnet18", 3)
    bare.fc = nn.Identity()
    wrapped = nn.Sequential(OrderedDict(net=bare, out=nn.Linear(512, 2)))
    for state in (resnet, named("model.", resnet), named("net.", resnet), body(resnet)):
        found = fit(state, wrapped)
        assert torch.equal(found.state["net.layer1.0.conv1.weight"], resnet["layer1.0.conv1.weight"])
    with pytest.raises(DonorMismatchError, match="unexpected: .*net.layer1.2.conv1.weight"):
        fit(resnet | {"layer1.2.conv1.weight": OTHERS}, wrapped)


# ---- several networks


def changed(state):
    return {name: tensor + 1 for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("raw", "average"),
    [
        ("state_dict", "state_dict_ema"),
        ("model", "model_ema"),
        ("net", "ema"),
        ("model", "ema_model"),
        ("a", "ema.module"),
    ],
)
def test_of_weights_and_their_average_the_average_is_taken(model, resnet, raw, average):
    found = fit(named(f"{raw}.", resnet) | named(f"{average}.", changed(resnet)), model)
    assert has_body(found, changed(resnet))
    assert f"The moving average '{average}' is taken, not '{raw}'; file:PATH#{raw} takes that." in found.notes


@pytest.mark.parametrize(("one", "other"), [("student.", "teacher."), ("encoder_q.", "encoder_k."), ("schema.", "b.")])
def test_other_candidates_are_named(model, resnet, one, other):
    with pytest.raises(DonorMismatchError, match=f"2 networks that fit: {one[:-1]}, {other[:-1]}. Say which") as caught:
        fit(named(one, resnet) | named(other, changed(resnet)), model)
    assert f"file:PATH#{other[:-1]}" in str(caught.value)


@pytest.mark.slow
def test_of_two_networks_the_one_that_fits_is_taken(model, resnet):
    wide = torchvision.models.wide_resnet50_2(num_classes=2).state_dict()
    assert has_body(fit(named("small.", resnet) | named("large.", wide), model), resnet)


# ---- another network is never taken for this one


@pytest.mark.parametrize("name", ["resnet34", "resnet50", "wide_resnet50_2", "vgg11", "densenet121"])
@pytest.mark.slow
def test_another_network_is_refused(model, name):
    with pytest.raises(DonorMismatchError, match="does not fit the model"):
        fit(torchvision.models.get_model(name).state_dict(), model)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda s: s | {"conv1.bias": torch.zeros(64)}, "unexpected: conv1.bias"),
        (lambda s: s | {"layer1.2.conv1.weight": OTHERS}, "unexpected: layer1.2.conv1.weight"),
        (
            lambda s: {n: t for n, t in s.items() if n != "layer4.1.bn2.running_var"},
            "missing: layer4.1.bn2.running_var",
        ),
        (lambda s: s | {"bn1.weight": torch.zeros(65)}, r"misshapen: bn1.weight \(65,\) for \(64,\)"),
        (lambda s: s | {"cls_token": torch.zeros(1, 1, 64)}, "unexpected: cls_token"),
        (lambda s: {f"x{n}": t for n, t in s.items()}, "missing: conv1.weight, .*; it has: xconv1.weight"),
    ],
)
def test_a_body_that_differs_is_refused(model, resnet, spoil, said):
    with pytest.raises(DonorMismatchError, match=said):
        fit(spoil(resnet), model)


# ---- bodies by order


def test_children_by_number(model, resnet):
    own = torchvision.models.resnet18()
    own.load_state_dict(resnet)
    cut = nn.Sequential(*list(own.children())[:-1]).state_dict()
    for wrapped in (cut, named("backbone.", cut), dict(sorted(named("net.features.", cut).items()))):
        found = fit(wrapped, model)
        assert has_body(found, resnet)
        assert any("by order and shape" in note for note in found.notes)


@pytest.mark.parametrize("name", ["densenet121", "efficientnet_b0", "mobilenet_v2", "convnext_tiny"])
def test_children_of_other_families(name):
    own = torchvision.models.get_model(name)
    cut = nn.Sequential(*list(own.children())[:-1])
    found = fit(cut.state_dict(), build(name, 3))
    first = next(iter(own.state_dict()))
    assert torch.equal(found.state[first], own.state_dict()[first])


@pytest.mark.slow
def test_children_of_children_by_order():
    own = torchvision.models.vgg11_bn()
    flat = nn.Sequential(*own.features.children(), nn.AdaptiveAvgPool2d(7), nn.Flatten(), *own.classifier.children())
    found = fit(flat.state_dict(), build("vgg11_bn", 3))
    assert torch.equal(found.state["classifier.3.weight"], own.classifier[3].weight)
    assert torch.equal(found.state["features.25.weight"], own.features[25].weight)


def test_another_order_is_refused(model, resnet):
    own = torchvision.models.resnet18()
    cut = nn.Sequential(*list(own.children())[:-1][::-1])
    with pytest.raises(DonorMismatchError, match="does not fit the model"):
        fit(cut.state_dict(), model)


# ---- heads


@pytest.mark.parametrize(
    ("name", "attribute", "head"),
    [
        ("efficientnet_b0", "classifier", nn.Linear(1280, 5)),
        ("mobilenet_v2", "classifier", nn.Sequential(nn.Linear(1280, 64), nn.ReLU(), nn.Linear(64, 5))),
        ("densenet121", "classifier", nn.Sequential(nn.Dropout(), nn.Linear(1024, 5), nn.Sigmoid())),
        ("vit_b_32", "heads", nn.Linear(768, 5)),
        ("swin_t", "head", nn.Sequential(nn.Dropout(), nn.Linear(768, 5))),
        ("resnet18", "fc", nn.Identity()),
        ("regnet_y_400mf", "fc", nn.Linear(440, 2, bias=False)),
    ],
)
def test_another_head(name, attribute, head):
    own = torchvision.models.get_model(name)
    setattr(own, attribute, head)
    found = fit(own.state_dict(), build(name, 3))
    assert not any("new, as the framework" in note for note in found.notes)
    assert all(torch.equal(found.state[n], t) for n, t in own.state_dict().items() if not n.startswith(attribute))


@pytest.mark.parametrize(
    ("name", "width", "replaced"),
    [("vgg11", 25088, ("classifier.0.", "classifier.3.")), ("mobilenet_v3_small", 576, ("classifier.0.",))],
)
@pytest.mark.slow
def test_layers_that_were_replaced_together_with_the_head(name, width, replaced):
    """They are the model's own: a scheme finds a whole donor, and the note says what is new in it."""
    own, model = torchvision.models.get_model(name), build(name, 3)
    own.classifier = nn.Linear(width, 5)
    found = fit(own.state_dict(), model)
    assert any(f"none of {replaced[0]}weight" in note for note in found.notes)
    for tensor, value in model.state_dict().items():
        if tensor.startswith(replaced):
            assert torch.equal(found.state[tensor], value)
    torn = {n: t for n, t in torchvision.models.get_model(name).state_dict().items() if n != "classifier.0.bias"}
    with pytest.raises(DonorMismatchError, match="missing: classifier.0.bias"):
        fit(torn, model)


# ---- images of another size


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "vit_small_patch16_224"])
def test_absolute_positions_are_timms(name):
    own, model = timm.create_model(name), build(f"timm:{name}", 3, image_size=96)
    found = fit(own.state_dict(), model)
    expected = resample_abs_pos_embed(own.pos_embed, [6, 6], num_prefix_tokens=own.num_prefix_tokens)
    assert torch.equal(found.state["pos_embed"], expected)
    assert any("positions are resampled" in note for note in found.notes)


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "beit_base_patch16_224"])
@pytest.mark.filterwarnings("ignore:.*non-tuple sequence", "ignore:.*non-contiguous")
@pytest.mark.slow
def test_relative_tables_are_timms(name):
    own = timm.create_model(name)
    model = build(f"timm:{name}", 3, image_size=64)
    found = fit(own.state_dict(), model)
    key = next(n for n in reversed(own.state_dict()) if n.endswith("relative_position_bias_table"))
    window = model.get_submodule(key.rpartition(".")[0]).window_size
    wanted = model.state_dict()[key].shape
    expected = resize_rel_pos_bias_table(own.state_dict()[key], window, wanted)
    assert torch.equal(found.state[key], expected)


def test_a_masked_autoencoder():
    own = timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()
    more = {"mask_token": torch.zeros(1, 1, 192), "decoder_pos_embed": torch.zeros(1, 197, 64)}
    found = fit(
        own | more | named("decoder_blocks.", {"0.norm1.weight": torch.ones(64)}), build("timm:vit_tiny_patch16_224", 3)
    )
    assert has_body(found, own, head="head.")


def test_an_original_checkpoint_is_renamed_by_timm():
    """Swin as its authors published it: a stage's downsampling at its end, the head directly in the network."""
    own = timm.create_model("swin_tiny_patch4_window7_224").state_dict()
    old = {}
    for name, tensor in own.items():
        stage, _, rest = name.removeprefix("layers.").partition(".")
        if rest.startswith("downsample"):
            name = f"layers.{int(stage) - 1}.{rest}"
        old[name.replace("head.fc.", "head.")] = tensor
    assert old.keys() != own.keys()
    found = fit(old, build("timm:swin_tiny_patch4_window7_224", 3))
    assert has_body(found, own, head="head.")
    assert "The donor's tensors are renamed by timm's own code." in found.notes


def test_other_tokens_are_refused():
    own = timm.create_model("deit_tiny_distilled_patch16_224").state_dict()
    with pytest.raises(DonorMismatchError, match="dist_token"):
        fit(own, build("timm:deit_tiny_patch16_224", 3, image_size=96))


# ---- colours


SMALL = (
    "resnet18 squeezenet1_0 mnasnet0_5 timm:convnext_atto timm:vit_tiny_patch16_224 timm:tresnet_m timm:repvgg_a0 "
    "timm:crossvit_tiny_240 timm:xcit_nano_12_p16_224 timm:mobilenetv3_small_050"
).split()
LARGE = "convnext_tiny swin_t vit_b_32 timm:inception_v4 timm:resnetv2_50 timm:convmixer_768_32".split()


@pytest.mark.parametrize("name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
def test_grey_models_of_any_family_respond_as_to_three_equal_channels(name):
    size = 240 if "crossvit" in name else 64
    if "inception" in name:
        size = 96
    own, model = build(name, 2, image_size=size).eval(), build(name, 2, channels=1, image_size=size).eval()
    found = fit(own.state_dict(), model)
    model.load_state_dict(found.state)
    grey = torch.rand(1, 1, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(model(grey), own(grey.expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-4)
    assert any("summed over the colours" in note for note in found.notes)
    with pytest.raises(DonorMismatchError, match=r"takes images of 1 channel,.*--channels 1"):
        fit(model.state_dict(), build(name, 2, image_size=size))


@pytest.mark.parametrize("name", ["resnet18", "timm:vit_tiny_patch16_224", "timm:resnet18"])
def test_four_channels(name):
    four = build(name, 2, channels=4, image_size=64)
    with pytest.raises(DonorMismatchError, match="takes images of 4 channels, the model's of 3"):
        fit(four.state_dict(), build(name, 3, image_size=64))
    assert set(fit(four.state_dict(), build(name, 2, channels=4, image_size=64)).state) == set(four.state_dict())
    with pytest.raises(DonorMismatchError, match="takes images of 3 channels, the model's of 4"):
        fit(build(name, 3, image_size=64).state_dict(), four)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", ["resnet18", "timm:tresnet_m"])
def test_the_number_of_channels_is_read_off(name, channels):
    state = named("net.", build(name, 2, channels=channels, image_size=64).state_dict())
    assert stem_channels(state, build(name, 3, image_size=64)) == channels
