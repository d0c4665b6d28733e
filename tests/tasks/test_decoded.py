from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from transfusion.errors import StoreError, TaskError
from transfusion.tasks import decoded
from transfusion.tasks.pictures import Facts, hash_file

SHAPE, BYTE = (200, 4, 4, 1), np.dtype(np.uint8)


def rows_of_own_number(rows: range) -> list[np.ndarray | str]:
    return [np.full((4, 4, 1), row, np.uint8) for row in rows]


def slowly(rows: range) -> list[np.ndarray | str]:
    time.sleep(0.05)
    return rows_of_own_number(rows)


def never(rows: range) -> list[np.ndarray | str]:
    raise AssertionError("decoded twice")


def make_slowly(path: Path) -> None:
    decoded.images(path, SHAPE, BYTE, slowly)


def test_images_are_decoded_once_and_mapped_read_only(tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    decoded.images(path, SHAPE, BYTE, rows_of_own_number)
    again = decoded.images(path, SHAPE, BYTE, never)
    assert isinstance(again, np.memmap)
    assert (again[:, 0, 0, 0] == np.arange(200)).all()
    with pytest.raises(ValueError, match="read-only"):
        again[0] = 1


def test_bad_rows_are_all_named_and_nothing_is_kept(tmp_path: Path) -> None:
    def read(rows: range) -> list[np.ndarray | str]:
        return ["torn" if row in (3, 150) else np.zeros((4, 4, 1), np.uint8) for row in rows]

    with pytest.raises(decoded.IncompleteError) as caught:
        decoded.images(tmp_path / "images.npy", SHAPE, BYTE, read)
    assert caught.value.errors == {3: "torn", 150: "torn"}
    assert not (tmp_path / "images.npy").exists()
    decoded.images(tmp_path / "images.npy", SHAPE, BYTE, rows_of_own_number)


def test_processes_may_race(tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    context = multiprocessing.get_context("spawn")
    racers = [context.Process(target=make_slowly, args=(path,)) for _ in range(2)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0, 0]
    assert (decoded.images(path, SHAPE, BYTE, never)[:, 0, 0, 0] == np.arange(200)).all()


@pytest.mark.skipif(os.name == "nt", reason="kills with SIGKILL")
def test_a_kill_leaves_nothing_broken(tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    victim = multiprocessing.get_context("spawn").Process(target=make_slowly, args=(path,))
    victim.start()
    while not path.with_suffix(".partial").exists():
        assert victim.is_alive()
        time.sleep(0.01)
    os.kill(victim.pid or 0, signal.SIGKILL)
    victim.join(60)
    assert not path.exists()
    assert (decoded.images(path, SHAPE, BYTE, rows_of_own_number)[:, 0, 0, 0] == np.arange(200)).all()


def test_moments_are_those_of_numpy(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 65536, (70, 5, 5, 2)).astype(np.uint16)
    mean, std = decoded.moments(tmp_path / "moments.json", images)
    np.testing.assert_allclose(mean, (images / 65535).mean(axis=(0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(std, (images / 65535).std(axis=(0, 1, 2)), rtol=1e-9)
    assert decoded.moments(tmp_path / "moments.json", images[:1]) == (mean, std)


def test_constant_images_have_unit_spread(tmp_path: Path) -> None:
    assert decoded.moments(tmp_path / "moments.json", np.zeros((3, 2, 2, 1), np.uint8)) == ((0.0,), (1.0,))


class Counting:
    """Looks at files, and counts how often."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, path: Path) -> Facts:
        self.seen.append(path.name)
        return hash_file(path)


def test_files_are_looked_at_once_until_they_change(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        path.write_text(path.name)
    look = Counting()
    first = decoded.FactsMemo(tmp_path, "data", look, look).of(paths)
    assert decoded.FactsMemo(tmp_path, "data", look, look).of(paths) == first
    assert sorted(look.seen) == ["a", "b"]
    paths[1].write_text("changed")
    second = decoded.FactsMemo(tmp_path, "data", look, look).of(paths)
    assert sorted(look.seen) == ["a", "b", "b"]
    assert [a == b for a, b in zip(first, second, strict=True)] == [True, False]


def test_condemned_files_stay_so_until_they_change(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("a")
    look = Counting()
    memo = decoded.FactsMemo(tmp_path, "data", look, look)
    memo.of([path])
    memo.condemn({path: "torn"})
    assert decoded.FactsMemo(tmp_path, "data", look, look).of([path])[0].error == "torn"
    path.write_text("mended")
    assert decoded.FactsMemo(tmp_path, "data", look, look).of([path])[0].error == ""


@pytest.mark.parametrize("damage", ["", "[1, 2]", '{"a": '])
def test_a_damaged_memo_is_made_anew(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a"
    path.write_text("a")
    look = Counting()
    decoded.FactsMemo(tmp_path, "data", look, look).of([path])
    (memo,) = tmp_path.glob("facts-*.json")
    memo.write_text(damage)
    decoded.FactsMemo(tmp_path, "data", look, look).of([path])
    assert look.seen == ["a", "a"]


def test_the_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFUSION_CACHE", str(tmp_path / "here"))
    assert decoded.folder(None) == tmp_path / "here"
    assert decoded.folder(tmp_path / "there") == tmp_path / "there"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made.*TRANSFUSION_CACHE"):
        decoded.folder(tmp_path / "file" / "cache")


@pytest.mark.parametrize("place", [20, 2000, -1])
def test_a_flipped_bit_of_a_cached_image_is_noticed(tmp_path: Path, place: int) -> None:
    path = tmp_path / "images.npy"
    whole = np.array(decoded.images(path, SHAPE, BYTE, rows_of_own_number))
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert (decoded.images(path, SHAPE, BYTE, rows_of_own_number) == whole).all()
    path.write_bytes(content[: len(content) // 2])
    assert (decoded.images(path, SHAPE, BYTE, rows_of_own_number) == whole).all()


def test_a_flipped_bit_of_the_memo_or_the_moments_is_noticed(tmp_path: Path) -> None:
    path, look = tmp_path / "a", Counting()
    path.write_text("a")
    (facts,) = decoded.FactsMemo(tmp_path, "data", look, look).of([path])
    pixels = np.arange(48, dtype=np.uint8).reshape(3, 4, 4, 1)
    expected = decoded.moments(tmp_path / "moments.json", pixels)
    for memo, digit in ((next(tmp_path.glob("facts-*.json")), facts.digest[5]), (tmp_path / "moments.json", "9")):
        memo.write_text(memo.read_text().replace(digit, "8" if digit != "8" else "7", 1))
    assert decoded.FactsMemo(tmp_path, "data", look, look).of([path]) == [facts]
    assert decoded.moments(tmp_path / "moments.json", pixels) == expected


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StoreError, match="No space left.*Free the disk, or set TRANSFUSION_CACHE"):
        decoded.images(tmp_path / "images.npy", SHAPE, BYTE, never)
    assert not list(tmp_path.glob("*.partial"))


def test_the_space_is_there_before_anything_is_decoded(tmp_path: Path) -> None:
    sizes = []

    def read(rows: range) -> list[np.ndarray | str]:
        sizes.append((tmp_path / "images.partial").stat().st_size)
        return [np.zeros((4, 4, 1), np.uint8) for _ in rows]

    path = tmp_path / "images.npy"
    decoded.images(path, (1000, 4, 4, 1), BYTE, read)
    assert sizes[-1] == path.stat().st_size


def test_what_is_complete_is_read_from_a_disk_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, look = tmp_path / "a", Counting()
    file.write_text("a")
    decoded.images(tmp_path / "images.npy", SHAPE, BYTE, rows_of_own_number)
    decoded.moments(tmp_path / "moments.json", np.zeros((3, 2, 2, 1), np.uint8))
    decoded.FactsMemo(tmp_path, "data", look, look).of([file])
    real = os.open

    def read_only(path: Path, flags: int, *more: object, **named: object) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, flags, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", read_only)
    assert len(decoded.images(tmp_path / "images.npy", SHAPE, BYTE, never)) == 200
    assert decoded.moments(tmp_path / "moments.json", np.ones((3, 2, 2, 1), np.uint8)) == ((0.0,), (1.0,))
    assert decoded.FactsMemo(tmp_path, "data", look, look).of([file])
    with pytest.raises(StoreError, match="Read-only file system"):
        decoded.images(tmp_path / "more.npy", SHAPE, BYTE, rows_of_own_number)


@pytest.mark.parametrize("trouble", [PermissionError(13, "Permission denied"), MemoryError(), OSError(24, "Too many")])
def test_a_passing_trouble_is_told_and_never_remembered(tmp_path: Path, trouble: Exception) -> None:
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text(path.name)

    def trouble_with_b(path: Path) -> Facts:
        if path.name == "b":
            raise trouble
        return hash_file(path)

    with pytest.raises(TaskError, match="1 files cannot be read now: .*/b .*run the same command again"):
        decoded.FactsMemo(tmp_path, "data", trouble_with_b, hash_file).of(paths)
    look = Counting()
    facts = decoded.FactsMemo(tmp_path, "data", look, look).of(paths)
    assert look.seen == ["b"]
    assert [fact.error for fact in facts] == ["", "", ""]


def test_litter_of_killed_makers_is_swept(tmp_path: Path) -> None:
    (tmp_path / "images-other.partial").write_bytes(b"half")
    decoded.images(tmp_path / "images.npy", SHAPE, BYTE, rows_of_own_number)
    assert not list(tmp_path.glob("*.partial"))
