"""Weight files, folders and tables that are none, or name what is not there."""

from __future__ import annotations

import io
import json
import math
import os
import pickle
import socket
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.e2e.corpus.making import Make, pictures, setting, study
from transfusion.networks import models


def bound(path: Path) -> Path:
    """A socket in the file system, which stays when nobody listens any more."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
    return path


def donors() -> Iterator[tuple[str, Make]]:
    """Weight files that are none."""

    def saved(value: object) -> bytes:
        file = io.BytesIO()
        torch.save(value, file)
        return file.getvalue()

    itself: dict[str, object] = {}
    itself["state_dict"] = itself
    sparse = {"conv.weight": torch.eye(3).to_sparse()}
    contents = {
        "empty.pth": b"",
        "text.pth": b"hello",
        "zeros.pth": bytes(1000),
        "cut.pth": saved({"w": torch.zeros(100)})[:400],
        "a number.pth": saved(3),
        "a list.pth": saved([torch.zeros(2)]),
        "nothing.pth": saved({}),
        "none.pth": saved(None),
        "itself.pth": saved(itself),
        "sparse.pth": saved(sparse),
        "no values.pth": saved({"w": torch.empty(3, device="meta")}),
        "a name that is no text.pth": saved({"\ud800": torch.zeros(2)}),
        "itself.safetensors.index.json": json.dumps({"weight_map": {"w": "itself.safetensors.index.json"}}).encode(),
        "deep.safetensors.index.json": b"[" * 100_000,
        "number keys.pth": saved({1: torch.zeros(2)}),
        "empty.safetensors": b"",
        "text.safetensors": b"hello hello hello",
        "huge header.safetensors": (2**62).to_bytes(8, "little"),
        "cut.safetensors": (100).to_bytes(8, "little") + b'{"w": ',
        "bad json.safetensors": (4).to_bytes(8, "little") + b"{{{{",
        "evil.pth": pickle.dumps({"w": os.system}),
        "zip.pth": b"PK\x05\x06" + bytes(18),
        "json.safetensors.index.json": json.dumps({"weight_map": {"w": "gone.safetensors"}}).encode(),
    }
    for name, content in contents.items():

        def make(here: Path, name: str = name, content: bytes = content) -> list[str]:
            (here / name).write_bytes(content)
            words = study(pictures(here / "pets"), "--donor", f"file:{here / name}")
            return [*words, "--schemes", "pretrained"]

        yield f"donor: {name}", make
    for path in ("/dev/null", "/dev/zero", "/proc/self/mem", "/", "nowhere", "x" * 300, "~no-such-user/x"):
        yield f"donor {path[:20]}", setting("--donor", f"file:{path}", "--schemes", "pretrained")

    def quantised(here: Path) -> list[str]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such tensors are on their way out of torch; files with them stay
            tensor = torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8)
        (here / "q.pth").write_bytes(saved({"w": tensor}))
        return [*study(pictures(here / "pets"), "--donor", f"file:{here / 'q.pth'}"), "--schemes", "pretrained"]

    def other(here: Path) -> list[str]:
        save_file({"w": torch.zeros(3)}, here / "other.safetensors")
        return [
            *study(pictures(here / "pets"), "--donor", f"file:{here / 'other.safetensors'}"),
            "--schemes",
            "pretrained",
        ]

    def spoilt(value: float) -> Make:
        def make(here: Path) -> list[str]:
            state = models.build("cbr_tiny_small", 2, 3, 16).state_dict()
            state["block1.0.weight"][0, 0, 0, 0] = value
            (here / "w.pth").write_bytes(saved(state))
            return [*study(pictures(here / "pets"), "--donor", f"file:{here / 'w.pth'}"), "--schemes", "pretrained"]

        return make

    yield "donor: a NaN", spoilt(math.nan)
    yield "donor: an infinity", spoilt(math.inf)
    yield "donor: quantised", quantised
    yield "donor: of another network", other


def folders() -> Iterator[tuple[str, Make]]:
    """Trees that lead nowhere, and what is no file."""

    def with_pets(change: Callable[[Path], object]) -> Make:
        def make(here: Path) -> list[str]:
            change(pictures(here / "pets"))
            return study(here / "pets")

        return make

    def loop(root: Path) -> None:
        (root / "cat" / "up").symlink_to(root, target_is_directory=True)

    def chain(root: Path) -> None:
        (root / "a.png").symlink_to(root / "b.png")
        (root / "b.png").symlink_to(root / "a.png")

    for name in ("~no-such-user/x", "/proc/self", "/dev/tty", "/dev/urandom", "-"):
        yield f"data {name}", lambda _, name=name: study(name)
    yield "a socket for data", lambda here: study(bound(here / "s"))
    yield "a ring for data", lambda here: (here / "l").symlink_to(here / "l") or study(here / "l")
    yield (
        "a FIFO for a table",
        lambda here: os.mkfifo(here / "f") or study(here / "f", "--set", "task.layout=csv"),
    )
    yield (
        "a table that is a link to nothing",
        with_pets(lambda root: (root / "labels.csv").symlink_to("nothing")),
    )
    yield "a FIFO without a suffix, alone", lambda here: os.mkfifo(here / "x") or study(here)
    for name in ("", " ", "nowhere", "/dev/null", "/dev/zero", "/proc/self/mem", "x" * 300, "~nobody/x", "embedded:"):
        yield f"data '{name[:20]}'", lambda _, name=name: study(name)
    yield "a FIFO for data", lambda here: os.mkfifo(here / "fifo") or study(here / "fifo")
    yield "a FIFO named .npz", lambda here: os.mkfifo(here / "f.npz") or study(here / "f.npz")
    yield "a FIFO named .csv", lambda here: os.mkfifo(here / "f.csv") or study(here / "f.csv")
    yield "a FIFO among the pictures", with_pets(lambda root: os.mkfifo(root / "cat" / "x.png"))
    yield "a link to /dev/zero", with_pets(lambda root: (root / "cat" / "x.png").symlink_to("/dev/zero"))
    yield "a link to nothing", with_pets(lambda root: (root / "cat" / "x.png").symlink_to("nothing"))
    yield "a link to itself", with_pets(lambda root: (root / "cat" / "x.png").symlink_to(root / "cat" / "x.png"))
    yield "a folder named x.png", with_pets(lambda root: (root / "cat" / "x.png").mkdir())
    yield "a link loop", with_pets(loop)
    yield "two links in a ring", with_pets(chain)
    yield "an empty folder", lambda here: study(here)
    yield "one class", lambda here: study(pictures(here / "one", ("cat",)))
    yield (
        "one class in test",
        lambda here: study([pictures(here / "set" / "train"), pictures(here / "set" / "test", ("cat",))][0].parent),
    )
    yield "one picture a class", lambda here: study(pictures(here / "few", count=1))
    for name, content in {
        "empty": b"",
        "text": b"hello",
        "cut": None,
        "a PNG of 10^9 x 10^9": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + 2 * b"\x3b\x9a\xca\0" + b"\x08\x02" + bytes(7),
        "a GIF of nothing": b"GIF89a\x00\x00\x00\x00\x00\x00\x00;",
        "a TIFF that points at itself": b"II*\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x00",
        "a BMP of 2^31": b"BM" + bytes(16) + b"\xff\xff\xff\x7f\xff\xff\xff\x7f" + bytes(28),
        "a zip": b"PK\x03\x04" + bytes(30),
    }.items():  # fmt: skip

        def spoil(root: Path, content: bytes | None = content) -> None:
            path = root / "cat" / "cat1.png"
            path.write_bytes(path.read_bytes()[:200] if content is None else content)

        yield f"a picture: {name}", with_pets(spoil)


def tables() -> Iterator[tuple[str, Make]]:
    """Label tables that name what is not there, or name it oddly."""
    texts: dict[str, bytes] = {
        "empty": b"",
        "a header alone": b"image,label\n",
        "no pictures": b"image,label\nx.png,a\ny.png,b\n",
        "NULs": b"\x00" * 500,
        "bytes": bytes(range(256)) * 4,
        "quotes": b'image,label\n"cat0.png,a\n',
        "ragged": b"image,label\ncat0.png\ncat1.png,a,b,c\n",
        "one column": b"image\ncat0.png\n",
        "twice the same column": b"image,label,label\ncat0.png,a,b\n",
        "a cell of 10^7": b"image,label\ncat0.png," + b"x" * 10_000_000 + b"\n",
        "30,000 columns": b",".join(b"c%d" % i for i in range(30_000)) + b"\n" + b",".join([b"1"] * 30_000) + b"\n",
        "no end of line": b"image,label",
        "only commas": b",,,,\n,,,,\n",
        "UTF-16": "image,label\ncat0.png,a\n".encode("utf-16"),
        "UTF-32": "image,label\ncat0.png,a\n".encode("utf-32"),
    }
    for name, content in texts.items():

        def make(here: Path, content: bytes = content) -> list[str]:
            root = pictures(here / "set")
            flat = here / "flat"
            flat.mkdir()
            for path in root.rglob("*.png"):
                path.rename(flat / path.name)
            (flat / "labels.csv").write_bytes(content)
            return study(flat / "labels.csv")

        yield f"table: {name}", make
    yield (
        "a pattern without end",
        lambda here: study(
            pictures(here / "pets", ("a" * 40, "b" * 40)), "--set", "task.patient_pattern=(a+)+$x|(b+)+$x"
        ),
    )
    yield "labels in a folder", setting("--set", "task.labels=.")
    yield "labels of nobody", setting("--set", "task.labels=~no-such-user/x")
    yield "labels in /dev/null", setting("--set", "task.labels=/dev/null")
    yield "labels in /dev/zero", setting("--set", "task.labels=/dev/zero")
