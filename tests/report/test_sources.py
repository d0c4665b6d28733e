"""A page is made again when anything that it rests on has changed, and only then."""

import os

import pytest
from test_single_models import BINARY, study

from transfusion.report.page import write_page
from transfusion.report.sources import page_of


@pytest.fixture
def store(tmp_path):
    return study(tmp_path, BINARY)


def written(store):
    page = page_of(store)
    return page.stat().st_mtime_ns, page.read_text(encoding="utf-8")


@pytest.mark.usefixtures("quick")
def test_nothing_to_do_leaves_the_page(store):
    first = written(store)
    assert written(store) == first
    os.utime(store.spec_path)  # every command writes it anew, with the same content
    assert written(store) == first


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("change", ["curve", "card", "page", "figures", "examples"])
def test_any_change_makes_it_again(store, change):
    before = written(store)
    files = store.grid()[0]
    if change == "curve":
        path = files.folder / "curve.jsonl"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    elif change == "card":
        store.note(["Something new."])
    elif change == "page":
        store.report_path.unlink()
    elif change == "figures":
        store.figures_path.rename(store.folder / "elsewhere")
    else:
        write_page(store, examples=False)
    assert written(store)[0] != before[0]
