"""Settings out of range, specs that are none, and the other commands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.corpus.making import Make, setting


def settings() -> Iterator[tuple[str, Make]]:
    """Values out of range, of another type, or not numbers, for every setting that takes a number."""
    odd = ("nan", "inf", "-inf", "-1", "1e400", "many", "''", "[1]", "{a: 1}", "2026-11-25", "true and false")
    numbers = "train.lr train.steps train.batch_size train.eval_every train.warmup_steps task.image_size".split()
    for key in [*numbers, "train.weight_decay", "train.momentum", "task.val_fraction", "task.split_seed", "margin"]:
        for value in odd:
            if (key, value) not in {("margin", "true and false"), ("task.image_size", "''")}:
                yield f"{key}={value}", setting("--set", f"{key}={value}")
    for value in (
        "[-1]",
        "[2147483648]",
        "[0.5]",
        "[nan]",
        "[]",
        "7",
        "['a']",
        "[[1]]",
        "[1e30]",
        "[0, 0]",
        "[true]",
        "range(9)",
    ):
        yield f"seeds={value}", setting("--set", f"seeds={value}")
    for value in ("nan%", "inf%", "-5%", "0%", "101%", "1e400", "nan", "%", "", "5.5", "0x10", "1_0_0_0_0_0", "10,,20"):
        yield f"--sizes {value}", setting("--sizes", value)
    for value in ("../..", "a/b", ".", "..", "''", "/tmp/elsewhere"):
        yield f"name={value}", setting("--set", f"name={value}")
    for words in (
        ["--batch-size", "1000000000000"],
        ["--batch-size", "9" * 400],
        ["--batch-size", "1"],
        ["--seeds", "10000000"],
        ["--set", f"name={'x' * 300}"],
        ["--data", "x/" * 3000],
        ["--data", os.fsdecode(b"caf\xe9")],
        ["--out", os.fsdecode(b"/dev/null/caf\xe9")],
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
        yield " ".join(words)[:60].encode("ascii", "backslashreplace").decode(), setting(*words)


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
        "laughs for seeds.yaml": "a: &a [1,1,1,1,1,1,1,1,1]\n"
        + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True))
        + "seeds: *h\n",
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
