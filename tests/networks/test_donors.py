"""Donors: found, read without free unpickling, and made to fit."""

from __future__ import annotations

import datetime
import hashlib
import io
import pickle
from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from transfusion.errors import DonorError, DonorMismatchError, UnsafeFileError
from transfusion.networks.donors import adapt, fingerprint, load
from transfusion.networks.models import build
from transfusion.schemes import initialize


def small(channels=3, num_outputs=2):
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(channels, 4, 3), norm=nn.BatchNorm2d(4), flat=nn.Flatten(), head=nn.Linear(4, num_outputs)
        )
    )


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# ---- files


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"lr": 1.0}},
        lambda state: {"model_state_dict": {f"module.{k}": v for k, v in state.items()}},
        lambda state: {f"_orig_mod.{k}": v for k, v in state.items()},
        lambda state: {"state_dict": {f"module._orig_mod.{k}": v for k, v in state.items()}},
        lambda state: {"state_dict": {f"model.{k}": v for k, v in state.items()}},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints_and_their_wrappers(tmp_path, wrap, zipped):
    state = small().state_dict()
    torch.save(wrap(state), tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    donor = load(f"file:{tmp_path / 'w.pth'}")
    assert equal(donor.state, state)
    assert donor.fingerprint == fingerprint(state)


def test_safetensors(tmp_path):
    state = small().state_dict()
    save_file(state, tmp_path / "w.safetensors")
    assert equal(load(f"file:{tmp_path / 'w.safetensors'}").state, state)


class Payload:
    """What must never run."""

    ran = False

    def __reduce__(self):
        return (setattr, (Payload, "ran", True))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "content", [small(), {"w": torch.zeros(2), "day": datetime.date(2020, 1, 1)}, {"w": Payload()}]
)
def test_files_that_need_unpickling_are_refused(tmp_path, content, zipped):
    path = tmp_path / "w.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeFileError, match=r"w\.pth holds more than tensors .*state_dict\(\) as safetensors"):
        load(f"file:{path}")
    assert not Payload.ran


def test_plain_pickles_are_refused(tmp_path):
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"w": Payload()}))
    with pytest.raises(UnsafeFileError, match="holds more than tensors"):
        load(f"file:{tmp_path / 'w.pth'}")
    assert not Payload.ran


@pytest.mark.parametrize(
    "content",
    [b"", b"hello world, this is text", b"\xff\xd8\xff\xe0JFIF" * 50, bytes(range(256)) * 8, b"PK\x03\x04 no zip"],
    ids=["empty", "text", "jpeg", "bytes", "zip"],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_of_another_kind(tmp_path, content, suffix):
    (tmp_path / f"w{suffix}").write_bytes(content)
    with pytest.raises(DonorError, match=rf"w{suffix} \({len(content)} bytes\) is not a whole weight file") as caught:
        load(f"file:{tmp_path / 'w'}{suffix}")
    assert not isinstance(caught.value, UnsafeFileError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_truncated_checkpoints(tmp_path, zipped):
    path = tmp_path / "w.pth"
    torch.save(nn.Linear(200, 100).state_dict(), path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DonorError, match="not a whole weight file"):
        load(f"file:{path}")


def test_truncated_safetensors(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file(nn.Linear(200, 100).state_dict(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DonorError, match="not a whole weight file"):
        load(f"file:{path}")


@pytest.mark.parametrize("content", [{"epoch": 3}, [torch.zeros(2)], torch.zeros(2), {}])
def test_files_without_named_tensors(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(DonorError, match="holds no tensors by name"):
        load(f"file:{tmp_path / 'w.pth'}")


@pytest.mark.parametrize(
    ("donor", "said"),
    [
        ("file:/no/such.pth", "/no/such.pth does not exist"),
        ("file:/tmp", "/tmp is a folder"),
        ("resnet50", "no donor 'resnet50'. Give one of torchvision:NAME, timm:NAME, file:PATH, run:ID"),
        ("file:", "no donor 'file:'"),
        ("run:abc", "known inside a study only"),
        ("torchvision:resnet5000", "torchvision has no model 'resnet5000'"),
        ("torchvision:resnet18/V9", "no weights 'V9' for resnet18. Known: IMAGENET1K_V1"),
    ],
)
def test_donors_that_are_not_there(donor, said):
    with pytest.raises(DonorError, match=said):
        load(donor)


def test_runs_are_found_by_the_study(tmp_path):
    state = small().state_dict()
    save_file(state, tmp_path / "after.safetensors")
    donor = load("run:abc", runs=lambda run_id: tmp_path / {"abc": "after.safetensors"}[run_id])
    assert equal(donor.state, state)
    assert donor.source == "run:abc"


def test_fingerprints_are_of_content():
    state = small().state_dict()
    assert fingerprint(state) == fingerprint(dict(reversed(state.items())))
    changed = {**state, "conv.bias": state["conv.bias"] + 1}
    renamed = {("x" if name == "conv.bias" else name): tensor for name, tensor in state.items()}
    halved = {name: tensor.bfloat16() for name, tensor in state.items()}
    assert len({fingerprint(s) for s in (state, changed, renamed, halved)}) == 4


# ---- libraries, without network


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Lets torchvision publish a file, which lies in torch's cache under its hash, as all do."""

    def publish(content: bytes, told: str | None = None):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        told = hashlib.sha256(content).hexdigest()[:8] if told is None else told
        weights = SimpleNamespace(
            name="IMAGENET1K_V1",
            url=f"nowhere://models/squeezenet1_1-{told}.pth",
            transforms=torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.transforms,
        )
        for module in ("formats", "downloads"):
            monkeypatch.setattr(f"transfusion.networks.donors.{module}.torchvision_weights", lambda *_: weights)
        path = tmp_path / "hub" / "checkpoints" / f"squeezenet1_1-{told}.pth"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return publish


def saved(content) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def test_torchvisions_cache_is_read_by_our_own_code(published):
    model = torchvision.models.squeezenet1_1()
    published(saved(model.state_dict()))
    before = torch.get_rng_state()
    donor = load("torchvision:squeezenet1_1")
    assert equal(donor.state, model.state_dict())
    assert donor.source == "torchvision:squeezenet1_1/IMAGENET1K_V1"
    assert donor.notes == ("The donor torchvision:squeezenet1_1 is torchvision:squeezenet1_1/IMAGENET1K_V1.",)
    assert donor.format.mean == (0.485, 0.456, 0.406)
    assert equal(load("torchvision:", model_name="torchvision:squeezenet1_1").state, model.state_dict())
    assert torch.equal(before, torch.get_rng_state())


def test_a_program_in_torchs_cache_is_not_run(published):
    published(saved({"w": Payload()}))
    with pytest.raises(UnsafeFileError, match="holds more than tensors"):
        load("torchvision:squeezenet1_1")
    assert not Payload.ran


def test_a_replaced_file_in_torchs_cache_is_refused_before_it_is_read(published):
    path = published(saved({"w": Payload()}), told="b8a52dc0")
    with pytest.raises(DonorError, match=r"is not what was published: its SHA-256 begins .* not b8a52dc0") as caught:
        load("torchvision:squeezenet1_1")
    assert path.exists()
    assert not isinstance(caught.value, UnsafeFileError)
    assert not Payload.ran


def test_torchvision_offline(published):
    published(b"").unlink()
    with pytest.raises(DonorError, match=r"'torchvision:squeezenet1_1' could not be fetched .*Go online once"):
        load("torchvision:squeezenet1_1")


def hub_cache(folder, repository, files):
    """Lay files out as huggingface_hub's cache does."""
    commit = "0" * 40
    base = folder / f"models--{repository.replace('/', '--')}"
    (base / "refs").mkdir(parents=True)
    (base / "refs" / "main").write_text(commit)
    snapshot = base / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for name, state in files.items():
        save_file(state, snapshot / name)


def test_timm_reads_its_hub_cache(tmp_path, monkeypatch):
    timm = pytest.importorskip("timm")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    model = timm.create_model("resnet10t.c3_in1k")
    hub_cache(tmp_path, "timm/resnet10t.c3_in1k", {"model.safetensors": model.state_dict()})
    donor = load("timm:resnet10t.c3_in1k")
    assert equal(donor.state, model.state_dict())


def test_timm_offline_with_nothing_cached(tmp_path, monkeypatch):
    pytest.importorskip("timm")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DonorError, match=r"'timm:resnet10t.c3_in1k' could not be fetched .*Go online once") as caught:
        load("timm:resnet10t.c3_in1k")
    assert "\n" not in str(caught.value)


def test_timm_names():
    pytest.importorskip("timm")
    with pytest.raises(DonorError, match="timm has no model 'resnet5000'"):
        load("timm:resnet5000")
    with pytest.raises(DonorError, match="timm has no pretrained weights for 'resnet50.no_such_tag'"):
        load("timm:resnet50.no_such_tag")


# ---- fitting


def test_only_the_head_may_differ():
    donor, model = small(num_outputs=7).state_dict(), small()
    assert set(adapt(donor, model)) == {name for name in donor if not name.startswith("head")}
    headless = {name: tensor for name, tensor in donor.items() if not name.startswith("head")}
    assert set(adapt(headless, model)) == set(headless)
    assert equal(adapt(model.state_dict(), model), model.state_dict())


def test_misfits_are_listed_by_name():
    donor = small().state_dict()
    donor["extra.weight"] = donor.pop("norm.weight")
    donor["conv.bias"] = torch.zeros(9)
    with pytest.raises(DonorMismatchError) as caught:
        adapt(donor, small())
    said = str(caught.value)
    assert "missing: norm.weight;" in said
    assert "unexpected: extra.weight;" in said
    assert "misshapen: conv.bias (9,) for (4,))" in said


def test_grey_models_sum_the_colours():
    donor, model = small(), small(channels=1)
    state = adapt(donor.state_dict(), model)
    initialize(model, "pretrained", donor=state)
    grey = torch.rand(2, 1, 8, 8)
    assert torch.allclose(model.conv(grey), donor.conv(grey.expand(-1, 3, -1, -1)), atol=1e-6)


def test_grey_donors_are_refused():
    with pytest.raises(DonorMismatchError, match=r"\(conv\.weight\) takes images of 1 channel,.*--channels 1"):
        adapt(small(channels=1).state_dict(), small())


def test_only_the_first_kernel_is_summed():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 3, groups=3))
    donor = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 3))
    with pytest.raises(DonorMismatchError, match=r"misshapen: 1\.weight"):
        adapt(donor.state_dict(), model)


def test_auxiliary_classifiers_are_dropped():
    model = build("googlenet", 2)
    state = dict(model.state_dict()) | {"aux1.fc1.weight": torch.zeros(3, 3), "aux2.fc2.bias": torch.zeros(3)}
    assert set(adapt(state, model)) == set(model.state_dict())


def test_old_files_without_batch_counts():
    state = {name: t for name, t in small().state_dict().items() if not name.endswith("num_batches_tracked")}
    assert adapt(state, small())["norm.num_batches_tracked"] == 0


def test_published_densenet_names():
    model = build("densenet121", 2)
    state = model.state_dict()
    old = {name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): tensor for name, tensor in state.items()}
    assert old.keys() != state.keys()
    assert equal(adapt(old, model), state)


def test_cifar_stems_take_no_usual_kernel():
    with pytest.raises(DonorMismatchError, match=r"conv1\.weight \(64, 3, 7, 7\) for \(64, 3, 3, 3\)"):
        adapt(build("resnet18", 2).state_dict(), build("resnet18_cifar", 2))


@pytest.mark.parametrize(
    ("name", "key"), [("vit_b_32", "encoder.pos_embedding"), ("timm:deit_tiny_distilled_patch16_224", "pos_embed")]
)
def test_positions_are_resampled(name, key):
    model, donor = build(name, 2, image_size=96), build(name, 2, image_size=224)
    positions = donor.state_dict()[key]
    num_tokens = model.state_dict()[key].shape[1]
    num_class_tokens = num_tokens - int(num_tokens**0.5) ** 2
    with torch.no_grad():
        positions[:, num_class_tokens:] = 3.0
    resampled = adapt(donor.state_dict(), model)[key]
    assert resampled.shape == model.state_dict()[key].shape
    assert torch.equal(resampled[:, :num_class_tokens], positions[:, :num_class_tokens])
    assert torch.allclose(resampled[:, num_class_tokens:], torch.tensor(3.0))


def test_resampling_agrees_with_timm():
    timm_layers = pytest.importorskip("timm.layers")
    model = build("timm:vit_tiny_patch16_224", 2, image_size=96)
    positions = torch.randn(1, 197, 192, generator=torch.Generator().manual_seed(0))
    state = {**build("timm:vit_tiny_patch16_224", 2).state_dict(), "pos_embed": positions}
    expected = timm_layers.resample_abs_pos_embed(positions, [6, 6], num_prefix_tokens=1)
    assert torch.allclose(adapt(state, model)["pos_embed"], expected, atol=1e-6)


def test_real_file(real_data):
    path = real_data / "squeezenet1_0-imagenet1k.safetensors"
    donor = load(f"file:{path}")
    model = build("squeezenet1_0", 2, channels=1)
    state = adapt(donor.state, model)
    initialize(model, "pretrained", donor=state)
    assert torch.equal(model.features[0].weight, donor.state["features.0.weight"].sum(1, keepdim=True))
    assert torch.equal(model.features[12].expand3x3.weight, donor.state["features.12.expand3x3.weight"])
    assert "classifier.1.weight" not in state
