"""What published weights were trained to see, and networks from the hub."""

from __future__ import annotations

import json

import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

from transfusion.errors import DonorError, UnsafeFileError
from transfusion.networks import models
from transfusion.networks.donors import load
from transfusion.networks.donors.formats import of_config, of_folder, of_model, of_timm, of_torchvision

HALF = (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("name", "mean", "interpolation", "size"),
    [
        ("resnet50", (0.485, 0.456, 0.406), "bilinear", 224),
        ("efficientnet_b0", (0.485, 0.456, 0.406), "bicubic", 224),
        ("inception_v3", (0.485, 0.456, 0.406), "bilinear", 299),
    ],
)
def test_torchvisions_formats(name, mean, interpolation, size):
    found = of_torchvision(name)
    assert (found.mean, found.interpolation, found.size, found.channels) == (mean, interpolation, size, 3)


def test_one_network_has_weights_of_several_formats():
    usual, features = of_torchvision("vgg16"), of_torchvision("vgg16", "IMAGENET1K_FEATURES")
    assert usual.std == (0.229, 0.224, 0.225)
    assert features.std == pytest.approx((1 / 255,) * 3)
    assert features.source == "torchvision:vgg16/IMAGENET1K_FEATURES"


def test_every_format_of_torchvision_can_be_told():
    for name in torchvision.models.list_models(module=torchvision.models):
        for weights in torchvision.models.get_model_weights(name):
            assert 0 < min(of_torchvision(name, weights.name).std) <= 1


@pytest.mark.parametrize(
    ("name", "std", "size"),
    [("deeplabv3_resnet50", (0.229, 0.224, 0.225), None), ("r3d_18", (0.22803, 0.22145, 0.216989), 112)],
)
def test_what_torchvision_publishes_for_other_tasks_tells_its_format_too(name, std, size):
    found = of_torchvision(name)
    assert (found.std, found.size) == (std, size)


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "raft_small"])
def test_what_normalises_by_itself_tells_no_format(name):
    assert of_torchvision(name) is None


def test_every_format_of_timm_can_be_told():
    names = timm.list_pretrained()
    formats = {name: of_timm(name) for name in names}
    assert all(len(f.mean) == len(f.std) == 3 and f.interpolation in ("bicubic", "bilinear") for f in formats.values())
    assert formats["tf_efficientnet_lite0.in1k"].mean == HALF
    others = sum(f.mean != (0.485, 0.456, 0.406) for f in formats.values())
    assert others > len(names) / 5, "a constant would do for the rest"


@pytest.mark.parametrize(
    ("model", "source"),
    [
        ("resnet50", "torchvision:resnet50/IMAGENET1K_V2"),
        ("torchvision:vgg11", "torchvision:vgg11/IMAGENET1K_V1"),
        ("timm:resnet18", "timm:resnet18.a1_in1k"),
        ("timm:resnet18.tv_in1k", "timm:resnet18.tv_in1k"),
        ("tf_efficientnet_lite0", "timm:tf_efficientnet_lite0.in1k"),
    ],
)
def test_the_usual_format_of_a_model(model, source):
    assert of_model(model).source == source


@pytest.mark.parametrize("model", ["cbr_tiny", "resnet18_cifar", "no_such_model", "torchvision:no_such", ""])
def test_models_without_published_weights(model):
    assert of_model(model) is None


# ---- folders


def written(folder, name, values):
    (folder / name).write_text(values if isinstance(values, str) else json.dumps(values))
    return of_folder(folder)


def test_a_folder_of_timms(tmp_path):
    config = {"mean": [0.1, 0.2, 0.3], "std": [0.4] * 3, "interpolation": "bilinear", "input_size": [3, 96, 96]}
    found = written(tmp_path, "config.json", {"architecture": "resnet18", "pretrained_cfg": config})
    assert (found.mean, found.std, found.interpolation) == ((0.1, 0.2, 0.3), (0.4,) * 3, "bilinear")
    assert (found.channels, found.size, found.source) == (3, 96, str(tmp_path / "config.json"))


@pytest.mark.parametrize(
    ("settings", "mean", "std"),
    [
        ({}, (0.5,) * 3, (0.25,) * 3),
        ({"do_rescale": True, "rescale_factor": 1 / 255}, (0.5,) * 3, (0.25,) * 3),
        ({"rescale_factor": 1 / 127.5}, (0.25,) * 3, (0.125,) * 3),
        ({"do_rescale": False}, (0.5 / 255,) * 3, (0.25 / 255,) * 3),
        ({"do_normalize": False}, (0.0,) * 3, (1.0,) * 3),
        ({"rescale_factor": 1 / 127.5, "rescale_offset": True}, (0.75,) * 3, (0.125,) * 3),
        ({"include_top": True}, (0.5,) * 3, (0.0625,) * 3),
    ],
)
def test_a_folder_of_transformers(tmp_path, settings, mean, std):
    """Whatever its switches: the same pixel gives what the processor makes of it."""
    values = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "resample": int(Image.Resampling.LANCZOS), **settings}
    found = written(tmp_path, "preprocessor_config.json", values)
    assert found.mean == pytest.approx(mean)
    assert found.std == pytest.approx(std)
    assert found.interpolation == "lanczos"


@pytest.mark.parametrize(
    "settings",
    [
        {"rescale_factor": 1 / 127.5, "rescale_offset": True},
        {"rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False, "include_top": False},
        {"include_top": False},
        {"do_normalize": False},
        {},
    ],
    ids=str,
)
def test_pixels_are_what_transformers_makes_of_them(tmp_path, settings):
    processors = pytest.importorskip("transformers.models.efficientnet")
    processor = processors.EfficientNetImageProcessor(do_resize=False, do_center_crop=False, **settings)
    processor.save_pretrained(tmp_path)
    found = of_folder(tmp_path)
    pixels = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    theirs = processor(pixels, return_tensors="pt", input_data_format="channels_first")["pixel_values"][0]
    mean, std = (torch.tensor(each)[:, None, None] for each in (found.mean, found.std))
    assert torch.allclose((pixels / 255 - mean) / std, theirs, atol=1e-5)


@pytest.mark.parametrize("switch", ["do_flip_channel_order", "do_grayscale", "do_color_quantize", "do_map_pixels"])
def test_pixels_that_no_mean_and_std_give_are_refused_by_name(tmp_path, switch):
    with pytest.raises(DonorError, match=rf"preprocessor_config.json asks for {switch} \("):
        written(tmp_path, "preprocessor_config.json", {"do_rescale": True, switch: True})
    assert written(tmp_path, "preprocessor_config.json", {"do_rescale": True, switch: False}).std == (1.0,) * 3


def test_a_folder_that_tells_nothing(tmp_path):
    assert of_folder(tmp_path) is None
    assert written(tmp_path, "config.json", {"model_type": "resnet"}) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"pretrained_cfg": {"mean": 3}}'])
def test_a_folder_that_tells_nonsense(tmp_path, text):
    with pytest.raises(DonorError, match="gives no input format"):
        written(tmp_path, "config.json", text)


def test_a_donors_folder_tells_its_format(tmp_path):
    save_file(models.build("squeezenet1_0", 2).state_dict(), tmp_path / "model.safetensors")
    values = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(values))
    for name in (tmp_path, tmp_path / "model.safetensors"):
        assert load(f"file:{name}").format.mean == HALF


# ---- the hub, as it lies in its cache


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Lays files out as the hub's client does, and cuts the network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def publish(repository: str, config: dict[str, object], state: dict[str, torch.Tensor], blob: str | None = None):
        base = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
        snapshot = base / "snapshots" / ("0" * 40)
        for folder in (base / "refs", base / "blobs", snapshot):
            folder.mkdir(parents=True)
        (base / "refs" / "main").write_text("0" * 40)
        (snapshot / "config.json").write_text(json.dumps(config))
        save_file(state, base / "blobs" / (blob or "weights"))
        (snapshot / "model.safetensors").symlink_to(base / "blobs" / (blob or "weights"))

    return publish


OURS = {
    "architecture": "resnet10t",
    "num_classes": 4,
    "pretrained_cfg": {"mean": [0.1] * 3, "std": [0.2] * 3, "interpolation": "bicubic", "input_size": [3, 64, 64]},
}


def test_a_donor_and_model_from_the_hub(hub):
    own = timm.create_model("resnet10t", num_classes=4)
    hub("team/ours", OURS, own.state_dict())
    donor = load("timm:hf-hub:team/ours")
    assert (donor.source, donor.format.mean) == ("timm:hf-hub:team/ours", (0.1,) * 3)
    assert all(torch.equal(donor.state[name], tensor) for name, tensor in own.state_dict().items())
    model = models.build("timm:hf-hub:team/ours", 7, channels=1, image_size=64)
    assert type(model) is type(own)
    assert model(torch.zeros(2, 1, 64, 64)).shape == (2, 7)
    assert of_model("timm:hf-hub:team/ours").mean == (0.1,) * 3


def test_the_hub_offline_with_nothing_cached(hub):
    with pytest.raises(DonorError, match=r"'timm:hf-hub:team/none' could not be fetched .*Go online once") as caught:
        load("timm:hf-hub:team/none")
    assert "\n" not in str(caught.value)


def test_a_file_of_the_hubs_cache_that_was_replaced(hub):
    hub("timm/resnet10t.c3_in1k", {}, timm.create_model("resnet10t").state_dict(), blob="ab" * 32)
    with pytest.raises(DonorError, match="is not what was published"):
        load("timm:resnet10t.c3_in1k")


def test_timm_brings_old_files_up_to_date(hub):
    """Its own code renames: an old ViT of the hub has a layer that today's does not, and positions of another size."""
    own = timm.create_model("vit_tiny_patch16_224", img_size=224)
    old = {**own.state_dict(), "pre_logits.fc.weight": torch.zeros(2, 2)}
    hub("timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k", {}, old)
    donor = load("timm:vit_tiny_patch16_224")
    assert donor.source == "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    assert set(donor.state) == set(own.state_dict())
    assert (donor.format.mean, donor.format.interpolation) == (HALF, "bicubic")


def test_a_program_in_the_hubs_cache_is_not_run(hub, tmp_path):
    hub("timm/resnet10t.c3_in1k", {}, {"w": torch.zeros(1)})
    (weights,) = (tmp_path / "hub").rglob("model.safetensors")
    weights.unlink()
    torch.save({"w": Evil()}, weights)
    with pytest.raises(UnsafeFileError, match="holds more than tensors"):
        load("timm:resnet10t.c3_in1k")
    assert not Evil.ran


class Evil:
    ran = False

    def __reduce__(self):
        return (setattr, (Evil, "ran", True))


@pytest.mark.parametrize(
    "config",
    [
        {"num_classes": 2},
        {"mean": (0.1, 0.2, 0.3)},
        {"std": (0.1, 0.2, 0.3)},
        {"mean": None, "input_size": (3, 96, 96)},
    ],
)
def test_what_a_config_of_timm_leaves_out_is_what_timm_takes(config):
    from timm.data import resolve_data_config

    theirs, ours = resolve_data_config(pretrained_cfg=config), of_config(config, "mine")
    assert (ours.mean, ours.std, ours.interpolation) == (theirs["mean"], theirs["std"], theirs["interpolation"])


def test_grey_images_need_a_mean_of_their_own():
    with pytest.raises(DonorError, match="mine is of images with 1 channels and gives no mean and std"):
        of_config({"mean": [0.5], "input_size": [1, 28, 28]}, "mine")
