"""Weights that torchvision and timm publish: found in their caches or fetched, checked, and read by our own code.

Both libraries check a file's hash only while they download it, and read what lies in their cache with more trust than a
shared folder deserves.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import Tensor

from transfusion.errors import DonorError
from transfusion.networks.donors import containers
from transfusion.networks.donors.catalogue import HUB, fetched, timm_config, torchvision_weights
from transfusion.networks.seeding import isolated_rng

_HASH_IN_NAME = re.compile(r"-([a-f0-9]{8,64})\.")
_HASH = re.compile(r"[a-f0-9]{64}")
_ON_THE_HUB = ("model.safetensors", "pytorch_model.bin")


def from_torchvision(name: str) -> dict[str, Tensor]:
    """Tensors of ``NAME`` or ``NAME/WEIGHTS``."""
    model_name, _, weights_name = name.partition("/")
    weights = torchvision_weights(model_name, weights_name or "DEFAULT")
    return containers.read(_from_url(weights.url, f"torchvision:{name}"))


def from_timm(name: str) -> dict[str, Tensor]:
    """Tensors of ``NAME`` or ``NAME.TAG``, or of ``hf-hub:ORGANISATION/NAME``, under timm's names of today."""
    import timm

    if not name.startswith(HUB) and not timm.is_model_pretrained(name):
        why = "has no pretrained weights for" if timm.is_model(name) else "has no model"
        raise DonorError(f"timm {why} '{name}'. See timm.list_models(pretrained=True).")
    source = f"timm:{name}"
    config = timm_config(name)
    hub = name.partition(":")[2] if name.startswith(HUB) else config.get("hf_hub_id")
    path = _from_hub(hub, config.get("hf_hub_filename"), source) if hub else _from_url(config["url"], source)
    # timm's own code renames, and drops what its models no longer have
    overlay = {"state_dict": containers.read(path), "source": "", "custom_load": False}
    with isolated_rng(0):  # create_model draws weights before it loads these
        model = fetched(lambda: timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay), source)
    return dict(model.state_dict())


def _from_url(url: str, source: str) -> Path:
    """A file of torch's cache, downloaded there first if need be; its hash is checked each time."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    told = _HASH_IN_NAME.search(path.name)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix, bar = told[1] if told else None, sys.stderr.isatty()
        fetched(lambda: torch.hub.download_url_to_file(url, str(path), prefix, progress=bar), source)
    _check(path, told[1] if told else "")  # also of a cached file: a shared folder may have been written by anyone
    return path


def _from_hub(repository: str, filename: str | None, source: str) -> Path:
    import huggingface_hub

    bare, _, revision = repository.partition("@")
    names = [filename] if filename else list(_ON_THE_HUB)

    def find() -> Path:
        for name in names[:-1]:
            try:
                return Path(huggingface_hub.hf_hub_download(bare, name, revision=revision or None))
            except huggingface_hub.errors.EntryNotFoundError:
                continue
        return Path(huggingface_hub.hf_hub_download(bare, names[-1], revision=revision or None))

    path = fetched(find, source)
    blob = path.resolve().name  # large files are kept under their hash
    _check(path, blob if _HASH.fullmatch(blob) else "")
    return path


def _check(path: Path, told: str) -> None:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while told and (block := file.read(1 << 20)):  # without a hash there is nothing to compare
            digest.update(block)
    if not digest.hexdigest().startswith(told) and told:
        raise DonorError(
            f"{path} is not what was published: its SHA-256 begins with {digest.hexdigest()[: len(told)]}, not {told}. "
            "It is damaged or was replaced. Move it away; it is then downloaded again."
        )
