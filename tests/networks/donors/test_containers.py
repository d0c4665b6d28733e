"""Weight files in the shapes in which people publish them."""

from __future__ import annotations

import argparse
import gzip
import json
import pathlib
import tarfile
import zipfile
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from transfusion.errors import DonorError, UnsafeFileError
from transfusion.networks.donors import load


@pytest.fixture
def state():
    torch.manual_seed(0)
    return OrderedDict(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)).state_dict())


def same(path, state) -> bool:
    found = load(f"file:{path}").state
    return found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)


# ---- the content decides


@pytest.mark.parametrize("name", ["w.safetensors", "w.bin", "w.pth", "w", "w.ckpt", "w.h5"])
def test_safetensors_under_any_name(tmp_path, state, name):
    save_file(state, tmp_path / name)
    assert same(tmp_path / name, state)


@pytest.mark.parametrize("name", ["w.pth", "w.bin", "w.safetensors", "w.pt.zip", "w"])
@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_under_any_name(tmp_path, state, name, zipped):
    torch.save(state, tmp_path / name, _use_new_zipfile_serialization=zipped)
    assert same(tmp_path / name, state)


def packed_by_gzip(path, member):
    path.write_bytes(gzip.compress(member.read_bytes()))


def packed_by_zip(path, member):
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(member, f"folder/{member.name}")
        archive.writestr("folder/README.md", "hello")
        archive.writestr(f"__MACOSX/._{member.name}", "hello")


def packed_by_tar(path, member):
    with tarfile.open(path, "w") as archive:
        archive.add(member, member.name)


def packed_by_tar_and_gzip(path, member):
    with tarfile.open(path, "w:gz") as archive:
        archive.add(member, member.name)


@pytest.mark.parametrize("pack", [packed_by_gzip, packed_by_zip, packed_by_tar, packed_by_tar_and_gzip])
@pytest.mark.parametrize("inner", ["w.pth", "w.safetensors"])
def test_packed_files(tmp_path, state, pack, inner):
    member = tmp_path / inner
    save_file(state, member) if inner.endswith("safetensors") else torch.save(state, member)
    pack(tmp_path / "packed", member)
    assert same(tmp_path / "packed", state)


def test_a_flipped_bit_in_a_tensor_is_damage(tmp_path, state):
    path = tmp_path / "donor.pth"
    torch.save(state, path)
    content = bytearray(path.read_bytes())
    place = content.index(state["0.weight"].numpy().tobytes())
    content[place + 2] ^= 1
    path.write_bytes(content)
    assert not torch.equal(torch.load(path, weights_only=True)["0.weight"], state["0.weight"])  # torch takes it
    with pytest.raises(DonorError, match="is damaged: the checksum of .* Download or save it again"):
        load(f"file:{path}")


def test_an_archive_of_several_files_asks(tmp_path, state):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("a.pth", "b.pth"):
            archive.writestr(name, b"")
    with pytest.raises(DonorError, match=r"weight files a\.pth, b\.pth"):
        load(f"file:{tmp_path / 'a.zip'}")


@pytest.mark.parametrize("pack", [packed_by_gzip, packed_by_zip, packed_by_tar_and_gzip])
def test_a_torn_package_is_one_line(tmp_path, state, pack):
    torch.save({"w": torch.rand(9000)}, tmp_path / "w.pth")
    pack(tmp_path / "packed", tmp_path / "w.pth")
    (tmp_path / "packed").write_bytes((tmp_path / "packed").read_bytes()[:9000])
    with pytest.raises(DonorError, match="not a whole weight file") as caught:
        load(f"file:{tmp_path / 'packed'}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n", "Git LFS pointer"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "HDF5"),
        (b"<!DOCTYPE html><html>Not Found</html>", "a web page"),
    ],
)
def test_what_is_often_saved_by_mistake_is_named(tmp_path, content, said):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(DonorError, match=said):
        load(f"file:{tmp_path / 'w.pth'}")


# ---- folders and shards


@pytest.fixture
def shards(tmp_path, state):
    names, folder = sorted(state), tmp_path / "hf"
    folder.mkdir()
    parts = {"model-00001-of-00002.safetensors": names[:3], "model-00002-of-00002.safetensors": names[3:]}
    for file, keys in parts.items():
        save_file({key: state[key] for key in keys}, folder / file)
    places = {key: file for file, keys in parts.items() for key in keys}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def test_shards_by_folder_and_by_index(shards, state):
    assert same(shards, state)
    assert same(shards / "model.safetensors.index.json", state)


def test_shards_of_torch(tmp_path, state):
    torch.save(state, tmp_path / "pytorch_model-00001-of-00001.bin")
    places = dict.fromkeys(state, "pytorch_model-00001-of-00001.bin")
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))
    assert same(tmp_path, state)


def test_a_missing_shard_is_named(shards):
    (shards / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(DonorError, match=r"not beside it: model-00002-of-00002\.safetensors"):
        load(f"file:{shards}")


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ('{"weight_map": {"a": "../../secret.pth"}}', "not beside it"),
        ('{"weight_map": {"no.such": "model-00001-of-00002.safetensors"}}', "lack: no.such"),
        ("{", "not an index"),
        ("[]", "not an index"),
        ('{"weight_map": 3}', "not an index"),
    ],
)
def test_an_index_that_is_wrong(shards, index, said):
    (shards / "model.safetensors.index.json").write_text(index)
    with pytest.raises(DonorError, match=said):
        load(f"file:{shards}")


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "anything.pth"])
def test_folders_with_one_weight_file(tmp_path, state, name):
    save_file(state, tmp_path / name) if name.endswith("safetensors") else torch.save(state, tmp_path / name)
    (tmp_path / "config.json").write_text("{}")
    assert same(tmp_path, state)


def test_folders_with_several_weight_files_name_them(tmp_path, state):
    for name in ("a.pth", "b.pth"):
        torch.save(state, tmp_path / name)
    with pytest.raises(DonorError, match=r"several weight files \(a\.pth, b\.pth\)"):
        load(f"file:{tmp_path}")


# ---- what lies beside the tensors


@pytest.mark.parametrize(
    "beside",
    [
        argparse.Namespace(lr=1e-3, model="vit", nested=argparse.Namespace(depth=12), sizes=[1, 2]),
        np.float32(0.25),
        np.float64(0.25),
        np.int64(3),
        np.bool_(True),
        pathlib.PurePosixPath("/data/runs"),
        Counter({"milestone": 2}),
        OrderedDict(a=1),
        {1, 2},
        (1, "a", None, 2.5, b"x", 3j),
        torch.Size([1, 2]),
        torch.float16,
        [torch.rand(2), {"exp_avg": torch.rand(2)}],
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("zipped", [True, False])
def test_inert_values_do_no_harm(tmp_path, state, beside, zipped):
    torch.save({"model": state, "args": beside}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    assert same(tmp_path / "w.pth", state)


class Evil:
    ran = False

    def __reduce__(self):
        return (setattr, (Evil, "ran", True))


@pytest.mark.parametrize(
    "hide", [lambda evil: evil, lambda evil: argparse.Namespace(a=evil), lambda evil: [{"a": evil}]]
)
@pytest.mark.parametrize("pack", [None, packed_by_gzip, packed_by_zip, packed_by_tar])
def test_programs_are_refused_wherever_they_hide(tmp_path, state, hide, pack):
    path = tmp_path / "w.pth"
    torch.save({"model": state, "args": hide(Evil())}, path)
    if pack:
        pack(tmp_path / "packed", path)
        path = tmp_path / "packed"
    with pytest.raises(UnsafeFileError, match="holds more than tensors"):
        load(f"file:{path}")
    assert not Evil.ran


def test_a_checkpoint_that_holds_itself(tmp_path, state):
    knot = {"model": state}
    knot["self"] = knot
    torch.save(knot, tmp_path / "w.pth")
    assert same(tmp_path / "w.pth", state)


@pytest.mark.parametrize(
    "make",
    [lambda: torch.eye(3).to_sparse(), lambda: torch.quantize_per_tensor(torch.rand(3), 0.1, 0, torch.qint8)],
    ids=["sparse", "quantised"],
)
@pytest.mark.filterwarnings("ignore")
def test_odd_tensors_are_named(tmp_path, state, make):
    torch.save({**state, "odd.weight": make()}, tmp_path / "w.pth")
    with pytest.raises(DonorError, match=r"sparse or quantised tensors \(odd\.weight\)"):
        load(f"file:{tmp_path / 'w.pth'}")


# ---- a part of a file


def test_a_prefix_after_the_path(tmp_path, state):
    torch.save({"epoch": 1, "student": {"net": state}, "teacher": {"net": state}}, tmp_path / "w.pth")
    assert same(f"{tmp_path / 'w.pth'}#student.net", state)
    assert same(f"{tmp_path / 'w.pth'}#student.net.", state)
    with pytest.raises(DonorError, match=r"nothing under 'stud'. It has student, teacher"):
        load(f"file:{tmp_path / 'w.pth'}#stud")


def test_a_prefix_as_the_file_has_it_or_as_notes_name_it(tmp_path, state):
    torch.save({"ckpt": {"a": state, "b": state}}, tmp_path / "w.pth")
    assert same(f"{tmp_path / 'w.pth'}#ckpt.a", state)
    assert same(f"{tmp_path / 'w.pth'}#b", state)


def test_a_file_whose_name_has_a_number_sign(tmp_path, state):
    torch.save(state, tmp_path / "w#1.pth")
    assert same(tmp_path / "w#1.pth", state)
