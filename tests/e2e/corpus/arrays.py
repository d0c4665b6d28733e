"""Arrays in MedMNIST's and CIFAR's layouts, damaged or evil."""

from __future__ import annotations

import io
import os
import pickle
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.e2e.corpus.making import Make, of_file, study


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

    def packed_twice(members: dict[str, bytes], name: str) -> bytes:
        file = io.BytesIO(packed(members))
        with zipfile.ZipFile(file, "a") as written, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            written.writestr(name, members[name])
        return file.getvalue()

    def header(shape: tuple[int, ...], descr: str = "|u1", body: bytes = b"") -> bytes:
        file = io.BytesIO()
        np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
        return file.getvalue() + body

    whole = archive()
    packed_whole = zipfile.ZipFile(io.BytesIO(whole))
    members = {name: packed_whole.read(name) for name in packed_whole.namelist()}
    first = members["train_images.npy"]
    method = whole.index(b"PK\x01\x02") + 10  # of compression, in the archive's list of members
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
        "a member twice": packed_twice(members, "train_labels.npy"),
        "no test labels": archive(test_labels=None),
        "an unknown compression": whole[:method] + b"\x63" + whole[method + 1 :],
        "a header that is code": packed({**members, "train_images.npy": b"\x93NUMPY\x01\x00\x20\x00" + code}),
    }  # fmt: skip
    for name, content in contents.items():
        yield f"npz: {name}", of_file("a.npz", content)
    for place in range(0, len(whole), len(whole) // 40):
        yield f"npz: cut at byte {place}", of_file("a.npz", whole[:place])
    deflated = packed(members)
    for place in range(30, len(deflated), len(deflated) // 40):
        flipped = deflated[:place] + bytes([deflated[place] ^ 0x55]) + deflated[place + 1 :]
        what = "an idle byte" if _says_the_same(flipped, good) else "a byte"
        yield f"npz: {what} changed at {place}", of_file("a.npz", flipped)


def _says_the_same(archive: bytes, arrays: dict[str, np.ndarray]) -> bool:
    """Whether NumPy finds nothing wrong and the same arrays: the time of a member, say, is another one."""
    try:
        with np.load(io.BytesIO(archive)) as found:
            return set(found) == set(arrays) and all(np.array_equal(found[name], arrays[name]) for name in arrays)
    except Exception:
        return False


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
        "names twice": pickle.dumps({b"label_names": [b"cat", b"cat"]}),
    }.items():
        yield f"cifar meta: {name}", make("batches.meta", content)
