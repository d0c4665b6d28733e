"""Lists of splits, and label tables, that are damaged or mean something else."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.e2e.corpus.making import Make, grey, pictures, study

NAMES = [f"{label}/{label}{k}.png" for label in ("cat", "dog") for k in range(12)]
TEST = NAMES[::3]
TRAIN = [name for name in NAMES if name not in TEST]
SCANS = [f"{k:08d}_000.png" for k in range(24)]
NIH = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"

Content = bytes | str | Callable[[Path], object]


def put(path: Path, content: Content) -> None:
    if callable(content):
        content(path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def lines(names: list[str]) -> str:
    return "\n".join(names) + "\n"


# what a list is not: for each name of a list, a file of this content in its place
DAMAGED: dict[str, Content] = {
    "empty": b"",
    "blank": "\n\n \n",
    "nulls": bytes(300),
    "bytes": bytes(range(256)) * 4,
    "a pipe": os.mkfifo,
    "a link to nothing": lambda path: path.symlink_to("gone"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a folder": Path.mkdir,
    "sparse": lambda path: (path.write_bytes(b""), os.truncate(path, 1 << 40)),
}


def lists() -> Iterator[tuple[str, Make]]:
    """Lists of splits beside class folders, and those of ChestX-ray14."""
    whole = {"train.txt": lines(TRAIN), "test.txt": lines(TEST)}
    bad: dict[str, dict[str, Content]] = {
        **{f"test.txt {what}": {**whole, "test.txt": content} for what, content in DAMAGED.items()},
        **{f"train.txt {what}": {**whole, "train.txt": content} for what, content in DAMAGED.items()},
        "both empty": dict.fromkeys(whole, b""),
        "UTF-16 without a mark": {name: str(text).encode("utf-16-le") for name, text in whole.items()},
        "nulls at the end": {**whole, "test.txt": lines(TEST) + "\0" * 100},
        "pictures of another set": {"test.txt": lines([f"x{name}" for name in TEST])},
        "a picture in two": {**whole, "test.txt": lines(TEST + TRAIN[:1])},
        "a picture in none": {**whole, "train.txt": lines(TRAIN[1:])},
        "folds": {"fold1.txt": lines(TRAIN), "fold2.txt": lines(TEST)},
        "a holdout": {"holdout.txt": lines(TEST)},
        "tables without headers": {"train.csv": lines(TRAIN), "test.csv": lines(TEST)},
    }
    for name, files in bad.items():

        def make(here: Path, files: dict[str, Content] = files) -> list[str]:
            for file, content in files.items():
                put(pictures(here / "pets") / file, content)
            return study(here / "pets")

        yield f"beside folders: {name}", make

    def names_fit_twice(here: Path) -> list[str]:
        for label in ("cat", "dog"):
            for path in (pictures(here / "pets") / label).glob("*.png"):
                path.rename(path.with_name(path.name.removeprefix(label)))
        put(here / "pets" / "test.txt", "3.png\n4.png\n")
        return study(here / "pets")

    yield "beside folders: names that fit twice", names_fit_twice
    official = {"train_val_list.txt": lines(SCANS[:16]), "test_list.txt": lines(SCANS[16:])}
    long = [f"images_001/{name}{' 0' * 14}" for name in SCANS]
    chexnet = {"train_1.txt": lines(long[:12]), "val_1.txt": lines(long[12:16]), "test_1.txt": lines(long[16:])}
    worse: dict[str, dict[str, Content]] = {
        **{f"test_list.txt {what}": {**official, "test_list.txt": content} for what, content in DAMAGED.items()},
        **{f"val_1.txt {what}": {**chexnet, "val_1.txt": content} for what, content in DAMAGED.items()},
        "all three empty": dict.fromkeys(chexnet, b""),
        "two of three": {name: chexnet[name] for name in ("train_1.txt", "test_1.txt")},
        "one scan in both": {**official, "test_list.txt": lines(SCANS[15:])},
        "one scan in val and test": {**chexnet, "val_1.txt": lines(long[12:17])},
        "a scan in none": {**official, "train_val_list.txt": lines(SCANS[1:16])},
        "nulls at the end": {**official, "test_list.txt": lines(SCANS[16:]) + "\0" * 50},
        "other names": {**official, "test_list.txt": lines([f"x{name}" for name in SCANS[16:]])},
        "an empty table": {"Data_Entry_2017.csv": b""},
        "a header alone": {"Data_Entry_2017.csv": NIH},
        "a table cut off": {"Data_Entry_2017.csv": f"{NIH}{SCANS[0]},Mass,0,0"},
        "another table": {"Data_Entry_2017.csv": "a,b\n1,2\n"},
        "a finding from elsewhere": {"Data_Entry_2017.csv": NIH + lines([f"{n},Dragon,0,1,5,M,PA" for n in SCANS])},
    }
    for name, files in worse.items():

        def make_scans(here: Path, files: dict[str, Content] = files) -> list[str]:
            grey(here / "nih" / "images", SCANS)
            rows = [f"{scan},{('Mass', 'Edema|Mass')[k % 2]},0,{k},50,M,PA" for k, scan in enumerate(SCANS)]
            (here / "nih" / "Data_Entry_2017.csv").write_text(NIH + lines(rows))
            for file, content in files.items():
                put(here / "nih" / file, content)
            return study(here / "nih")

        yield f"of ChestX-ray14: {name}", make_scans


def more_tables() -> Iterator[tuple[str, Make]]:
    """Label tables beside their pictures that are no tables, or contradict themselves."""
    rows = [f"{name[4:]},{name[:3]}" for name in NAMES]
    named = [tuple(row.split(",")) for row in rows]
    good = lines(["image,label", *rows])
    objects = [json.dumps({"image": name, "label": label}) for name, label in named]
    texts: dict[str, Content] = {
        **{f"labels.csv {what}": content for what, content in DAMAGED.items() if what != "a folder"},
        "labels.csv UTF-16 without a mark": good.encode("utf-16-le"),
        "labels.csv UTF-16 and a byte": good.encode("utf-16") + b"x",
        "labels.csv no header": lines(rows),
        "labels.csv one column": lines(["image", *(name for name, _ in named)]),
        "labels.csv one column, no header": lines([name for name, _ in named]),
        "labels.csv labels alone": lines(["label", *(label for _, label in named)]),
        "labels.csv half of it semicolons": good[:200] + good[200:].replace(",", ";"),
        "labels.csv blanks for commas": good.replace(",", " "),
        "labels.csv a comma header, tabs below": lines(["image,label", *(r.replace(",", "\t") for r in rows)]),
        "labels.csv an open quote in the header": '"' + good,
        "labels.csv an open quote in the middle": lines(["image,label", *rows[:9], '"' + rows[9], *rows[10:]]),
        "labels.csv quotes that eat rows": lines(["image,label", *rows[:5], '"' + rows[5], rows[6] + '"', *rows[7:]]),
        "labels.csv a null in a cell": good.replace("cat3.png", "cat3.p\0ng"),
        "labels.csv a field too many": lines(["image,label", *rows[:-1], rows[-1] + ",x"]),
        "labels.csv a field too few": lines(["image,label", *rows[:-1], "dog11.png"]),
        "labels.csv columns of one name that differ": lines(["image,label,label", *(f"{row},x" for row in rows)]),
        "labels.csv every picture twice, otherwise": good + lines([f"{name},bird" for name, _ in named]),
        "labels.csv a header again below": lines(["image,label", *rows[:9], "image,label", *rows[9:]]),
        "labels.csv a line of totals": good + "Total,24\n",
        "labels.csv zero-width blanks": lines(["image,label", *(f"\u200b{row}" for row in rows)]),
        "labels.csv a name of 10^7": "x" * 10_000_000 + ",label\n" + lines(rows),
        "labels.csv 200,000 rows more": good + lines([f"x{k}.png,cat" for k in range(200_000)]),
        "labels.csv a page": "<!DOCTYPE html><html><body>404</body></html>\n",
        "labels.csv a pointer": "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n",
        "labels.csv gzip, cut off": gzip.compress(good.encode())[:-20],
        "labels.csv gzip of zeros": gzip.compress(bytes(1 << 27), 1) * 9,
        "labels.csv a class of 5,000 digits": good.replace(",cat", "," + "9" * 5000),
        "labels.xlsx a CSV file": good,
        "labels.xlsx empty": b"",
        "labels.xlsx a broken archive": b"PK\x03\x04" + bytes(100),
        "labels.jsonl a CSV file": good,
        "labels.jsonl empty": b"",
        "labels.jsonl blank": "\n\n\n",
        "labels.jsonl deep": "[" * 100_000,
        "labels.jsonl a key twice": lines([line.replace('"label"', '"label": "a", "label"') for line in objects]),
        "labels.jsonl one array": "[" + ",\n".join(objects) + "]",
        "labels.jsonl lists": lines([json.dumps(pair) for pair in named]),
        "labels.jsonl the last line cut": lines(objects)[:-8],
        "labels.jsonl NaN for labels": lines(objects).replace('"cat"', "NaN").replace('"dog"', "NaN"),
    }  # fmt: skip
    for name, content in texts.items():

        def make(here: Path, file: str = name.split()[0], content: Content = content) -> list[str]:
            flat = here / "flat"
            flat.mkdir()
            for path in pictures(here / "set").rglob("*.png"):
                path.rename(flat / path.name)
            put(flat / file, content)
            return study(flat / file)

        yield name, make
