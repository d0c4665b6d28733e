"""EyePACS, ChestX-ray14 and CIFAR as their publishers lay them out."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from transfusion.errors import BadDataError, TaskError, UnsafeFileError
from transfusion.tasks import Task

Loader = Callable[..., Task]
Saver = Callable[..., Path]


@pytest.fixture
def eyepacs(tmp_path: Path, picture: Saver) -> Path:
    rows = ["image,level"]
    for patient in range(30):
        for side in ("left", "right"):
            picture(tmp_path / "eyes" / "train" / f"{patient}_{side}.jpeg", patient)
            rows.append(f"{patient}_{side},{patient % 5}")
    (tmp_path / "eyes" / "trainLabels.csv").write_text("\n".join(rows))
    return tmp_path / "eyes"


def test_eyepacs_is_graded_and_cut_by_patient(eyepacs: Path, load_task: Loader) -> None:
    task = load_task(eyepacs)
    assert (task.kind, task.positive, task.num_outputs) == ("graded", 2, 5)
    for split in task.splits.values():
        eyes = [Path(name).name.split("_")[0] for name in split.names]
        assert all(eyes.count(patient) == 2 for patient in eyes)
        assert list(split.patients or ()) == eyes
        assert [int(patient) % 5 for patient in eyes] == split.labels.tolist()


def test_the_train_folder_alone_may_be_given(eyepacs: Path, load_task: Loader) -> None:
    assert load_task(eyepacs / "train").card["layout"] == "eyepacs"


def test_unknown_grades(eyepacs: Path, load_task: Loader) -> None:
    table = eyepacs / "trainLabels.csv"
    table.write_text(table.read_text().replace("7_left,2", "7_left,5"))
    with pytest.raises(BadDataError, match=r"unknown label: 7_left \(5\)"):
        load_task(eyepacs)


@pytest.fixture
def nih(tmp_path: Path, picture: Saver) -> Path:
    findings = ("No Finding", "Edema|Mass", "Hernia")
    rows = ["Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age"]
    for patient in range(1, 21):
        for visit in range(3):
            name = f"{patient:08d}_{visit:03d}.png"
            picture(tmp_path / "nih" / f"images_{visit + 1:03d}" / "images" / name, patient)
            rows.append(f"{name},{findings[patient % 3]},{visit},{patient},50")
    (tmp_path / "nih" / "Data_Entry_2017.csv").write_text("\n".join(rows))
    return tmp_path / "nih"


def write_lists(root: Path, first_test_patient: int) -> None:
    names = sorted(path.name for path in root.rglob("*.png"))
    first = f"{first_test_patient:08d}"
    (root / "train_val_list.txt").write_text("\n".join(name for name in names if name < first))
    (root / "test_list.txt").write_text("\n".join(name for name in names if name >= first))


def test_nih_has_fourteen_labels(nih: Path, load_task: Loader) -> None:
    task = load_task(nih)
    assert (task.kind, task.num_outputs, task.positive) == ("multilabel", 14, None)
    for split in task.splits.values():
        for row, patient in zip(split.labels, split.patients or (), strict=True):
            positive = [name for name, value in zip(task.classes, row, strict=True) if value]
            assert positive == [[], ["Edema", "Mass"], ["Hernia"]][int(patient) % 3]


def test_nih_keeps_to_the_official_lists(nih: Path, load_task: Loader) -> None:
    write_lists(nih, 16)
    task = load_task(nih, val_fraction=0.1)
    assert set(task.splits["test"].patients or ()) == {str(patient) for patient in range(16, 21)}
    assert len(task.splits["val"]) > 0


def test_nih_with_the_test_list_alone(nih: Path, load_task: Loader) -> None:
    write_lists(nih, 16)
    (nih / "train_val_list.txt").unlink()
    assert len(load_task(nih).splits["test"]) == 15


def test_nih_images_in_no_list(nih: Path, load_task: Loader) -> None:
    write_lists(nih, 16)
    (nih / "test_list.txt").write_text("\n".join((nih / "test_list.txt").read_text().split()[:-2]))
    with pytest.raises(BadDataError, match="image in no official list: 2"):
        load_task(nih)


def test_nih_with_three_lists_that_hold_labels_too(nih: Path, load_task: Loader) -> None:
    """As zoogzog/chexnet has them: the folder of every picture, and 14 numbers."""
    places = sorted(path.relative_to(nih) for path in nih.rglob("*.png"))
    splits = {"train_1": range(1, 13), "val_1": range(13, 16), "test_1": range(16, 21)}
    for name, patients in splits.items():
        lines = [f"{place.parts[0]}/{place.name} {' '.join('0' * 14)}" for place in places
                 if int(place.name[:8]) in patients]  # fmt: skip
        (nih / f"{name}.txt").write_text("\n".join(lines) + "\n")
    task = load_task(nih)
    assert {name: len(split) for name, split in task.splits.items()} == {"train": 36, "val": 9, "test": 15}
    assert set(task.splits["val"].patients or ()) == {"13", "14", "15"}
    (nih / "test_1.txt").write_text((nih / "test_1.txt").read_text() + (nih / "val_1.txt").read_text())
    with pytest.raises(TaskError, match="is in two of"):
        load_task(nih)
    (nih / "val_1.txt").unlink()
    with pytest.raises(TaskError, match=r"not val_1\.txt"):
        load_task(nih)


@pytest.mark.parametrize("change", ["utf-8-sig", "utf-16", "\\r\\n", "\\r", "windows", "commas", "quotes", "header"])
def test_nih_with_lists_that_other_programs_wrote(nih: Path, load_task: Loader, change: str) -> None:
    places = sorted(path.relative_to(nih) for path in nih.rglob("*.png"))
    for name, part in (("train_1", places[::2]), ("val_1", places[1::4]), ("test_1", places[3::4])):
        text = "".join(f"{place.as_posix()} 0 1\n" for place in part)
        written = {
            "windows": text.replace("/", "\\"),
            "commas": text.replace(" ", ","),
            "quotes": "".join(f'"{line}"\n' for line in text.splitlines()),
            "header": f"name labels\n{text}   \n",
            "\\r\\n": text.replace("\n", "\r\n"),
            "\\r": text.replace("\n", "\r"),
        }.get(change, text)
        (nih / f"{name}.txt").write_bytes(written.encode(change if change.startswith("utf") else "utf-8"))
    splits = load_task(nih).splits
    assert sorted(splits["test"].names) == [place.as_posix() for place in places[3::4]]
    assert sorted(splits["val"].names) == [place.as_posix() for place in places[1::4]]


@pytest.mark.parametrize("content", [b"", bytes(20), b"\n  \n"])
@pytest.mark.parametrize("lists", [["train_val_list", "test_list"], ["train_1", "val_1", "test_1"]])
def test_nih_with_a_list_that_says_nothing(nih: Path, load_task: Loader, lists: list[str], content: bytes) -> None:
    for name in lists:
        (nih / f"{name}.txt").write_bytes(content)
    with pytest.raises(TaskError, match="cannot be read"):
        load_task(nih)


def test_nih_with_one_scan_in_both_official_lists(nih: Path, load_task: Loader) -> None:
    write_lists(nih, 16)
    (nih / "test_list.txt").write_text(
        (nih / "test_list.txt").read_text() + "\n" + (nih / "train_val_list.txt").read_text()
    )
    with pytest.raises(TaskError, match="is in two of the lists"):
        load_task(nih)


def test_nih_unknown_findings(nih: Path, load_task: Loader) -> None:
    table = nih / "Data_Entry_2017.csv"
    table.write_text(table.read_text().replace("Hernia", "Hernya", 1))
    with pytest.raises(BadDataError, match=r"unknown label: 00000002_000.png \(Hernya\)"):
        load_task(nih)


def batch(num: int, num_classes: int, key: bytes, start: int) -> dict[bytes, object]:
    data = np.repeat(np.arange(start, start + num, dtype=np.uint8)[:, None], 3072, axis=1)
    data[:, :1024] = 255  # the red plane comes first
    return {b"data": data, key: [row % num_classes for row in range(num)]}


@pytest.fixture
def cifar10(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    files = {f"data_batch_{i}": batch(20, 10, b"labels", 20 * i) for i in range(1, 6)}
    files["test_batch"] = batch(20, 10, b"labels", 0)
    files["batches.meta"] = {b"label_names": [f"thing {k}".encode() for k in range(10)]}
    for name, content in files.items():
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    return tmp_path / "cifar"


def test_cifar10(cifar10: Path, load_task: Loader) -> None:
    task = load_task(cifar10, image_size=None, val_fraction=0.0)
    assert (task.kind, task.image_size, task.classes[3]) == ("multiclass", 32, "thing 3")
    train = task.splits["train"]
    assert train.images.shape == (100, 32, 32, 3)
    assert (train.images[50] == (255, 70, 70)).all()
    assert train.labels.tolist() == list(range(10)) * 10
    assert len(task.splits["test"]) == 20


def test_cifar100_takes_the_fine_labels(tmp_path: Path, load_task: Loader) -> None:
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name in ("train", "test"):
        (folder / name).write_bytes(pickle.dumps(batch(100, 4, b"fine_labels", 0), protocol=2))
    (folder / "meta").write_bytes(pickle.dumps({b"fine_label_names": [b"a", b"b", b"c", b"d"]}, protocol=2))
    assert load_task(folder).classes == ("a", "b", "c", "d")


class Malice:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("touched"),)


def test_pickles_that_hold_more_are_refused(
    cifar10: Path, load_task: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bad = {**batch(20, 10, b"labels", 0), b"extra": Malice()}
    (cifar10 / "cifar-10-batches-py" / "data_batch_2").write_bytes(pickle.dumps(bad, protocol=2))
    with pytest.raises(UnsafeFileError, match=r"data_batch_2 is refused: it asks for"):
        load_task(cifar10)
    assert not (tmp_path / "touched").exists()


def test_damaged_pickles(cifar10: Path, load_task: Loader) -> None:
    path = cifar10 / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(TaskError, match="test_batch is damaged"):
        load_task(cifar10)
