"""Bad inputs by family, made on the spot: name -> what makes it in a folder and gives the words of the command.

Each must end within seconds in one line that starts with ``transfusion:`` and exit code 2, or in a study that
understood the input; never in a traceback, a hang or silence.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

Make = Callable[[Path], "list[str]"]
QUICK = ["--model", "cbr_tiny_small", "--image-size", "16", "--steps", "1", "--schemes", "random", "--workers", "0"]


def study(data: Path | str, *more: str) -> list[str]:
    return ["study", "--data", os.fspath(data), *QUICK, "--seeds", "1", *more]


def setting(*more: str) -> Make:
    return lambda here: study(pictures(here / "pets"), *more)


def pictures(root: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 12) -> Path:
    draw = np.random.default_rng(0)
    for name in classes:
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.fromarray(draw.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(root / name / f"{name}{i}.png")
    return root


def settings() -> Iterator[tuple[str, Make]]:
    """Values out of range, of another type, or not numbers, for every setting that takes a number."""
    odd = ("nan", "inf", "-inf", "-1", "1e400", "many", "''", "[1]", "{a: 1}", "2026-11-25", "true and false")
    numbers = "train.lr train.steps train.batch_size train.eval_every train.warmup_steps task.image_size".split()
    for key in [*numbers, "train.weight_decay", "train.momentum", "task.val_fraction", "task.split_seed", "margin"]:
        for value in odd:
            if (key, value) not in {("margin", "true and false"), ("task.image_size", "''")}:
                yield f"{key}={value}", setting("--set", f"{key}={value}")
    for value in ("[-1]", "[2147483648]", "[0.5]", "[nan]", "[]", "7", "['a']", "[[1]]", "[1e30]"):
        yield f"seeds={value}", setting("--set", f"seeds={value}")
    for value in ("nan%", "inf%", "-5%", "0%", "101%", "1e400", "nan", "%", "", "5.5", "0x10", "1_0_0_0_0_0", "10,,20"):
        yield f"--sizes {value}", setting("--sizes", value)
    for value in ("../..", "a/b", ".", "..", "''", "/tmp/elsewhere"):
        yield f"name={value}", setting("--set", f"name={value}")
    for words in (
        ["--batch-size", "1000000000000"],
        ["--seeds", "10000000"],
        ["--seeds", "0"],
        ["--steps", "0"],
        ["--devices", "0"],
        ["--workers", "-1"],
        ["--image-size", "100000"],
        ["--model", ""],
        ["--model", "timm:"],
        ["--model", "x" * 300],
        ["--donor", "file:"],
        ["--donor", ""],
        ["--donor", "run:"],
        ["--donor", "torchvision:../../etc"],
        ["--out", "/dev/null"],
        ["--out", "/dev/null/x"],
        ["--out", "x" * 300],
        ["--out", "/proc/1/x"],
        ["--set", "=3"],
        ["--set", "train="],
        ["--set", "train..lr=1"],
        ["--set", "task.patient_pattern=("],
        ["--set", "task.patient_pattern=" + "(" * 5000],
        ["--set", "train=3"],
        ["--set", "task=[]"],
        ["--set", "donor={task: 3}"],
        ["--trackers", "nothing"],
        ["--schemes", ""],
    ):
        yield " ".join(words)[:60], setting(*words)


def specs() -> Iterator[tuple[str, Make]]:
    """YAML and JSON files that are none, or hold what no study is."""
    texts: dict[str, str | bytes] = {
        "empty.yaml": "",
        "list.yaml": "- 1\n- 2\n",
        "words.yaml": "just words",
        "number.yaml": "3",
        "null.yaml": "null",
        "date.yaml": "2026-11-25",
        "a date for a name.yaml": "name: 2026-11-25\nmodel: [2026-11-25]\n",
        "unclosed.yaml": "train: [1",
        "tabs.yaml": "train:\n\tlr: 1\n",
        "twice.yaml": "train: {lr: 0.1}\ntrain: {lr: 0.2}\n",
        "twice inside.yaml": "train:\n  lr: 0.1\n  lr: 0.2\n",
        "deep.yaml": "a: " + "[" * 3000 + "]" * 3000,
        "deep mapping.yaml": "".join(f"{' ' * i}a:\n" for i in range(1500)),
        "a tag.yaml": "name: !!python/object/apply:os.system ['true']\n",
        "a key that is a list.yaml": "? [1, 2]\n: 3\n",
        "two documents.yaml": "model: a\n---\nmodel: b\n",
        "an alias of nothing.yaml": "model: *nothing\n",
        "itself.yaml": "task: &a\n  data: *a\n",
        "laughs.yaml": "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)),
        "bytes.yaml": b"\xff\xfe\x00\x01",
        "nul.yaml": 'task: {data: "a\\0b"}\n',
        "control.yaml": "name: \x07\n",
        "merge.yaml": "<<: 3\n",
        "seeds.yaml": "seeds: [1, -1]\n",
        "infinite.yaml": "train: {lr: .inf}\n",
        "not a number.yaml": "sizes: [.nan]\n",
        "huge.yaml": "seeds: [" + "9" * 5000 + "]\n",
        "empty.json": "",
        "list.json": "[1]",
        "cut.json": '{"train": {"lr": 0.1',
        "twice.json": '{"model": "a", "model": "b"}',
        "deep.json": "[" * 100_000,
        "deep object.json": '{"a":' * 50_000,
        "comment.json": '{"model": "a"} // no',
        "a wrong checksum.json": '{"model": "cbr_tiny", "checksum": "0000"}',
        "bytes.json": b"\x80\x81",
        "bom.json": b"\xef\xbb\xbf{}",
        "huge.json": '{"seeds": [' + "9" * 5000 + "]}",
    }
    for name, text in texts.items():

        def make(here: Path, name: str = name, text: str | bytes = text) -> list[str]:
            (here / name).write_bytes(text if isinstance(text, bytes) else text.encode())
            return ["study", str(here / name)]

        yield name, make
    for device in ("/dev/null", "/dev/zero", "/proc/self/mem"):
        yield f"the spec {device}", lambda _, device=device: ["study", device]
    yield "a folder for a spec", lambda here: ["study", str(here)]
    yield "a FIFO for a spec", lambda here: os.mkfifo(here / "a.yaml") or ["study", str(here / "a.yaml")]


def arrays() -> Iterator[tuple[str, Make]]:
    """MedMNIST's layout, damaged in every way."""
    n = 12
    images, labels = np.zeros((n, 8, 8), np.uint8), np.arange(n) % 2
    good = {
        f"{split}_{what}": values
        for split in ("train", "test")
        for what, values in (("images", images), ("labels", labels))
    }

    def archive(**changes: object) -> bytes:
        values = {key: value for key, value in {**good, **changes}.items() if value is not None}
        file = io.BytesIO()
        np.savez(file, **values)  # type: ignore[arg-type]
        return file.getvalue()

    def packed(members: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", how) as written:
            for name, content in members.items():
                written.writestr(name, content)
        return file.getvalue()

    def header(shape: tuple[int, ...], descr: str = "|u1", body: bytes = b"") -> bytes:
        file = io.BytesIO()
        np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
        return file.getvalue() + body

    whole = archive()
    packed_whole = zipfile.ZipFile(io.BytesIO(whole))
    members = {name: packed_whole.read(name) for name in packed_whole.namelist()}
    first = members["train_images.npy"]
    code = b"__import__('os').system('true')\n"
    contents = {
        "empty": b"",
        "text": b"not an archive",
        "zeros": bytes(4096),
        "an empty archive": packed({}),
        "no labels": archive(train_labels=None),
        "no images": archive(train_images=None, test_images=None),
        "no train": archive(train_images=None, train_labels=None),
        "float images": archive(train_images=images.astype(float)),
        "complex images": archive(train_images=images.astype(complex)),
        "words for images": archive(train_images=np.full((n, 8, 8), "a")),
        "objects for images": archive(train_images=np.array([None] * n, dtype=object)),
        "objects for labels": archive(train_labels=np.array([None] * n, dtype=object)),
        "words for labels": archive(train_labels=np.array(["cat", "dog"] * (n // 2))),
        "dates for labels": archive(train_labels=np.array(["2026-11-25"] * n, dtype="datetime64[D]")),
        "records for labels": archive(train_labels=np.zeros(n, dtype=[("a", int)])),
        "flat images": archive(train_images=np.zeros((n, 64), np.uint8)),
        "five axes": archive(train_images=np.zeros((n, 2, 8, 8, 3), np.uint8)),
        "seven channels": archive(train_images=np.zeros((n, 8, 8, 7), np.uint8)),
        "no axis": archive(train_images=np.uint8(3)),
        "no rows": archive(train_images=images[:0], train_labels=labels[:0]),
        "no pixels": archive(train_images=images[:, :0]),
        "other sizes": archive(test_images=np.zeros((n, 9, 9), np.uint8)),
        "other types": archive(test_images=images.astype(np.uint16)),
        "fewer labels": archive(train_labels=labels[:-3]),
        "more labels": archive(train_labels=np.arange(n + 3) % 2),
        "labels without axis": archive(train_labels=np.int64(1)),
        "labels of three axes": archive(train_labels=np.zeros((n, 1, 1))),
        "labels nan": archive(train_labels=np.full(n, np.nan)),
        "labels inf": archive(train_labels=np.full(n, np.inf)),
        "labels halves": archive(train_labels=np.full(n, 0.5)),
        "one class": archive(train_labels=np.zeros(n), test_labels=np.zeros(n)),
        "one class in test": archive(test_labels=np.zeros(n)),
        "labels twos": archive(train_labels=np.full((n, 3), 2)),
        "a pickle": packed({**members, "train_images.npy": pickle.dumps(images)}),
        "10^9 images": packed({**members, "train_images.npy": header((10**9, 28, 28))}),
        "10^18 images": packed({**members, "train_images.npy": header((10**18, 28, 28))}),
        "10^9 labels": packed({**members, "train_labels.npy": header((10**9,), "<i8")}),
        "negative shape": packed({**members, "train_images.npy": header((-12, 8, 8))}),
        "a body too short": packed({**members, "train_images.npy": header((n, 8, 8), body=bytes(10))}),
        "a body too long": packed({**members, "train_images.npy": header((n, 8, 8), body=bytes(n * 64 + 1))}),
        "a header too long": packed({**members, "train_images.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{"}),
        "a version from the future": packed({**members, "train_images.npy": b"\x93NUMPY\x09\x00" + first[8:]}),
        "no magic": packed({**members, "train_images.npy": b"hello"}),
        "an empty member": packed({**members, "train_images.npy": b""}),
        "empty labels": packed({**members, "train_labels.npy": b""}),
        "a header that is code": packed({**members, "train_images.npy": b"\x93NUMPY\x01\x00\x20\x00" + code}),
    }  # fmt: skip
    for name, content in contents.items():
        yield f"npz: {name}", _file("a.npz", content)
    for place in range(0, len(whole), len(whole) // 40):
        yield f"npz: cut at byte {place}", _file("a.npz", whole[:place])
    deflated = packed(members)
    for place in range(30, len(deflated), len(deflated) // 40):
        flipped = deflated[:place] + bytes([deflated[place] ^ 0x55]) + deflated[place + 1 :]
        yield f"npz: a byte changed at {place}", _file("a.npz", flipped)


def _file(name: str, content: bytes) -> Make:
    def make(here: Path) -> list[str]:
        (here / name).write_bytes(content)
        return study(here / name)

    return make


def batches() -> Iterator[tuple[str, Make]]:
    """CIFAR's pickles, damaged or evil."""
    good = {b"data": np.zeros((4, 3072), np.uint8), b"labels": [0, 1, 0, 1]}
    meta = {b"label_names": [b"cat", b"dog"]}
    whole = pickle.dumps(good)

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, ("touch evil",)

    damaged = {
        "empty": b"",
        "text": b"hello",
        "cut": whole[: len(whole) // 2],
        "evil": pickle.dumps({**good, b"labels": Evil()}),
        "a list": pickle.dumps([1, 2]),
        "a number": pickle.dumps(3),
        "none": pickle.dumps(None),
        "no data": pickle.dumps({b"labels": [0, 1]}),
        "no labels": pickle.dumps({b"data": good[b"data"]}),
        "data a list": pickle.dumps({**good, b"data": [1]}),
        "data floats": pickle.dumps({**good, b"data": np.zeros((4, 3072))}),
        "data misshapen": pickle.dumps({**good, b"data": np.zeros((4, 3071), np.uint8)}),
        "data of objects": pickle.dumps({**good, b"data": np.array([None])}),
        "more labels": pickle.dumps({**good, b"labels": [0, 1, 0, 1, 0, 1]}),
        "fewer labels": pickle.dumps({**good, b"labels": [0]}),
        "unknown labels": pickle.dumps({**good, b"labels": [0, 1, 0, 99]}),
        "negative labels": pickle.dumps({**good, b"labels": [0, 1, 0, -1]}),
        "words for labels": pickle.dumps({**good, b"labels": ["a", "b", "c", "d"]}),
        "labels a number": pickle.dumps({**good, b"labels": 3}),
    }

    def make(file: str, content: bytes) -> Make:
        def build(here: Path) -> list[str]:
            folder = here / "cifar-10-batches-py"
            folder.mkdir()
            for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
                (folder / name).write_bytes(whole)
            (folder / "batches.meta").write_bytes(pickle.dumps(meta))
            (folder / file).write_bytes(content)
            return study(folder)

        return build

    for name, content in damaged.items():
        yield f"cifar: {name}", make("data_batch_3", content)
    for name, content in {
        "empty": b"",
        "no names": pickle.dumps({}),
        "a list": pickle.dumps([]),
        "names numbers": pickle.dumps({b"label_names": [1, 2]}),
        "one name": pickle.dumps({b"label_names": [b"cat"]}),
        "not UTF-8": pickle.dumps({b"label_names": [b"\xff", b"dog"]}),
    }.items():
        yield f"cifar meta: {name}", make("batches.meta", content)


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
    for path in ("/dev/null", "/dev/zero", "/proc/self/mem", "/", "nowhere", "x" * 300):
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
    yield "labels in /dev/null", setting("--set", "task.labels=/dev/null")
    yield "labels in /dev/zero", setting("--set", "task.labels=/dev/zero")


def commands() -> Iterator[tuple[str, Make]]:
    """The other commands."""
    for words in (
        ["init", "random", "--model", "cbr_tiny", "--num-outputs", "1000000000000", "--out", "w.pth"],
        ["init", "random", "--model", "cbr_tiny", "--channels", "1000000000000", "--out", "w.pth"],
        ["init", "random", "--model", "cbr_tiny", "--image-size", "-3", "--out", "w.pth"],
        ["init", "random", "--model", "cbr_tiny", "--seed", "-1", "--out", "w.pth"],
        ["init", "random", "--model", "cbr_tiny", "--seed", "99999999999999999999999", "--out", "w.pth"],
        ["init", "random", "--model", "cbr_tiny", "--out", "/dev/null/w.pth"],
        ["init", "random", "--model", "cbr_tiny", "--out", "w"],
        ["init", "random", "--model", "cbr_tiny", "--out", f"{'x' * 300}.pth"],
        ["init", "random", "--model", "cbr_tiny", "--out", "/proc/w.pth"],
        ["init", "nothing", "--model", "cbr_tiny", "--out", "w.pth"],
        ["init", "pretrained", "--model", "cbr_tiny", "--donor", "file:/dev/null", "--out", "w.pth"],
        ["report", "nowhere"],
        ["report", "/dev/null"],
        ["report", "."],
        ["report", "x" * 300],
        ["report", ".", "."],
        ["compare", "nowhere", "elsewhere"],
        ["compare", "/dev/null", "/dev/zero"],
        ["compare", ".", "."],
        ["compare", "file:a", "file:b", "--model", "cbr_tiny", "--data", ""],
        ["compare", "run:zz", "run:yy"],
        ["compare", "a", "b", "--images", "-3"],
        ["compare", "a", "b", "--num-outputs", "1000000000000"],
    ):
        yield " ".join(words)[:70], lambda _, words=words: list(words)


FAMILIES = (settings, specs, arrays, batches, donors, folders, tables, commands)
CASES = {f"{family.__name__}: {name}": make for family in FAMILIES for name, make in family()}
