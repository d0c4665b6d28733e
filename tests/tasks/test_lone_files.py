"""Files of sorts that are not read, where pictures are expected: named before anything is decoded, or ignored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from transfusion.errors import BadDataError
from transfusion.tasks import Task

Loader = Callable[..., Task]
Tree = Callable[..., Path]
NAMES = [f"{label}/{label}{k}.png" for label in ("cat", "dog") for k in range(10)]
SUFFIXES = "npy npz h5 fits raw jxl psd svg czi nd2 cr2 nef webm mkv crdownload part".split()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_class_of_files_that_are_not_read_is_named(tree: Tree, load_task: Loader, suffix: str) -> None:
    root = tree(NAMES, {f"bird/{k}.{suffix}": b"\x01\x02" for k in range(5)})
    with pytest.raises(BadDataError, match=r"file that is not read: bird/ \(5 .*; convert"):
        load_task(root)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_of_them_among_pictures_is_named(tree: Tree, load_task: Loader, suffix: str) -> None:
    with pytest.raises(BadDataError, match=rf"file that is not read: cat/other\.{suffix}"):
        load_task(tree(NAMES, {f"cat/other.{suffix}": b"\x01\x02"}))
    assert len(load_task(tree([]), leave_out_bad=True).classes) == 2


@pytest.mark.parametrize("place", ["model.{}", "cat/cat3.{}", "notes/deep/x.{}"])
@pytest.mark.parametrize("suffix", ["npy", "h5", "svg", "zip"])
def test_beside_the_classes_or_of_a_pictures_name_they_are_no_problem(
    tree: Tree, load_task: Loader, place: str, suffix: str
) -> None:
    task = load_task(tree(NAMES, {place.format(suffix): b"\x01\x02"}))
    assert task.card["other_files"] == {f".{suffix}": 1}


def test_an_archive_in_place_of_a_class_is_named_and_one_among_pictures_is_not(tree: Tree, load_task: Loader) -> None:
    assert len(load_task(tree(NAMES, {"cat/cats.zip": b"PK"})).classes) == 2
    with pytest.raises(BadDataError, match=r"bird/birds.zip \(1 archives, not unpacked"):
        load_task(tree([], {"bird/birds.zip": b"PK"}))


@pytest.mark.parametrize("name", ["cat/.hidden.npy", "cat/Thumbs.db", "cat/labels.json", "cat/cat1.txt", "cat/a.md"])
def test_sidecars_and_clutter_are_no_problem(tree: Tree, load_task: Loader, name: str) -> None:
    assert len(load_task(tree(NAMES, {name: b"x"})).classes) == 2
