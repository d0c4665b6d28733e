# ruff: noqa: F811 - a fixture of another file
"""The page of a whole study in headless Chromium: what is seen first, thresholds and errors, phone, print."""

import base64
import csv
import io
import math

import numpy as np
import pytest

from tests.e2e.test_browser import CONTRAST, browser, find, show  # noqa: F401
from transfusion import metrics
from transfusion.runs.machine import Machine
from transfusion.spec import StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study

pytestmark = [pytest.mark.training, pytest.mark.browser]

GRADES, REFERABLE = 5, 2
SPEC = StudySpec(
    name="planted",
    task=TaskSpec(data="embedded:fundus", image_size=16, num_images=(24, 8, 60)),
    model="cbr_tiny_small",
    schemes=("kaiming", "random"),
    seeds=(0, 1, 2, 3),
    train=TrainSpec(steps=40, batch_size=4, eval_every=4, precision="float32"),
)


def scores(labels, seed, is_good):
    """(images, grades): good ones rank perfectly and call everything referable; the others do neither."""
    noise, ill = np.random.default_rng(seed).random(len(labels)), labels >= REFERABLE
    referable = 0.6 + 0.3 * ill + 0.05 * noise if is_good else 0.45 * noise + 0.4 * ill
    found = np.stack([1 - referable, *[np.zeros_like(noise)], *[referable / 3] * 3], 1)
    return found.astype(np.float32)


def rewrite(files):
    """Curve and predictions of a finished training, with a gap that anybody can see."""
    seed, is_good = files.spec().seed, files.spec().scheme.name == "kaiming"
    _, labels, patients = files.predictions()
    given = scores(labels, seed, is_good)
    for picked in (False, True):
        files.save_predictions(given, labels, patients, (scores(labels, 50 + seed, is_good), labels), picked=picked)
    files.rewind(-1)
    found = metrics.evaluate("graded", given, labels, REFERABLE)
    top, pace = (found["auc"], 4.0) if is_good else (found["auc"], 14.0)
    for step in range(0, 41, 4):
        auc = 0.5 + (top - 0.5) * (1 - math.exp(-step / pace)) / (1 - math.exp(-40 / pace))
        files.append({"step": step, "loss": 1.0, **found, "auc": auc, "val_auc": auc, "time_s": 0.5 * step})


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """A study that was trained on real arrays, for its images, and whose curves and scores are made up."""
    folder = tmp_path_factory.mktemp("studied")
    study = Study(SPEC, folder / "study", cache=folder / "cache")
    study.run(workers=0, progress=False, machine=Machine(accelerator="cpu", threads=1))
    for files in study.store.grid():
        rewrite(files)
    return study


@pytest.fixture(scope="module")
def address(studied):
    return studied.report().as_uri()


@pytest.fixture
def page(browser, address):
    show(browser, address, width=1280)
    return browser


def text_of(page, selector):
    return [found.get_attribute("textContent") for found in find(page, selector)]


def shown(page, selector):
    return [found.is_displayed() for found in find(page, selector)]


BOTTOMS = "return arguments[0].map(name => document.querySelector(name).getBoundingClientRect().bottom)"


def test_decision_picture_and_three_tiles_are_seen_without_scrolling(page, studied):
    (decision,) = studied.verdict().about("decision")
    assert text_of(page, ".decision") == [decision.text]
    assert len(find(page, ".tile")) == 3
    assert max(page.execute_script(BOTTOMS, [".decision", "#figure-headline", ".tile:last-child"])) <= 900


def test_the_picture_names_its_curves_and_letters_the_gap_that_is_known(page):
    (picture,) = text_of(page, "#figure-headline .wide svg")
    for said in ("kaiming", "random", "times sooner"):
        assert said in picture, said
    assert "gap +" not in picture  # of the ends, which are not shown to differ


def test_the_tile_of_caution_and_the_table_tell_the_same_specificity(page):
    (caution,) = find(page, ".tile.is-caution .value")
    table = "#table-points td[data-name='specificity at 0.5'] > span"
    cells = [text.split("(")[0].strip() for text in text_of(page, table)]
    assert [cell.replace("\u00a0", " ") for cell in cells[:2]] == ["0 %", "100 %"]
    assert caution.text == "0 % against 100 %"


def test_every_column_of_the_points_is_seen_without_scrolling_sideways(page):
    (box,) = find(page, ".table:has(> #table-points)")
    assert box.get_property("scrollWidth") <= box.get_property("clientWidth")


def test_every_image_is_in_the_confusion_matrix_of_its_start(page):
    rows = find(page, "#table-confusion tbody tr")
    counts = [sum(int(cell.text) for cell in row.find_elements("css selector", "td > span")[2:]) for row in rows]
    assert len(rows) == 2 * GRADES
    assert sum(counts[:GRADES]) == sum(counts[GRADES:]) == 60


def test_the_roc_marks_two_thresholds_and_says_them_to_those_who_cannot_see(page):
    (figure,) = find(page, "#figure-roc .wide svg")
    assert figure.is_displayed()
    assert "threshold 0.5" in figure.get_attribute("textContent")
    assert "95 % sensitivity" in figure.get_attribute("textContent")
    assert "specificity 0.00" in figure.get_attribute("aria-label")


def test_pictures_right_and_wrong_are_in_the_file(page):
    size = "return [...document.querySelectorAll('.gallery img')].map(i => [i.naturalWidth, i.src.slice(0, 22)])"
    seen = page.execute_script(size)
    assert len(seen) > 4
    assert set(map(tuple, seen)) == {(16, "data:image/png;base64,")}


def test_folded_sections_open_by_their_link(page):
    folded = find(page, "details.folded")
    assert len(folded) >= 2
    for fold in folded:
        anchor = fold.find_element("css selector", "h2").get_attribute("id")
        assert not fold.get_property("open")
        find(page, f"nav a[href='#{anchor}']")[0].click()
        page.execute_async_script("setTimeout(arguments[0], 50)")
        assert fold.get_property("open"), anchor


WORDS = """
const range = document.createRange();
range.setStart(document.body, 0);
range.setEndBefore(document.querySelector('main details'));
const part = range.cloneContents();
part.querySelectorAll('script, style, svg').forEach(node => node.remove());
part.querySelectorAll('*').forEach(node => node.append(' '));
return part.textContent.trim().split(/\\s+/).length;
"""


def test_a_reader_needs_at_most_700_words_before_the_first_fold(page):
    assert 50 < page.execute_script(WORDS) <= 700


def test_a_word_tells_what_it_means(page):
    term = find(page, "#verdict ~ * .term, .term")[0]
    meaning = page.find_element("id", term.get_attribute("popovertarget"))
    assert not meaning.is_displayed()
    assert term.get_attribute("title") in meaning.get_attribute("textContent")
    term.click()
    assert meaning.is_displayed()
    term.send_keys("\ue00c")  # escape
    assert not meaning.is_displayed()


def test_the_next_step_can_be_copied(page):
    (command,) = text_of(page, "#verdict ~ .quote pre")
    assert command.startswith("transfusion study study")
    button = find(page, "#verdict ~ .quote .copy")[0]
    assert button.text == "Copy"
    button.click()
    assert page.execute_script("return getSelection().toString()").strip() == command
    assert button.text != "Copy"


def test_downloads_are_in_the_file_and_hold_what_is_shown(page):
    links = {link.get_attribute("download"): link.get_attribute("href") for link in find(page, "a[download]")}
    assert links
    assert all(link.startswith("data:") for link in links.values())
    rows = list(csv.reader(io.StringIO(base64.b64decode(links["starts.csv"].split(",")[1]).decode())))
    assert rows[0][0] == "start"
    assert [row[0] for row in rows[1:]] == text_of(page, "#table-starts td:first-child > span")
    assert base64.b64decode(links["headline.svg"].split(",")[1]).lstrip().startswith(b"<?xml")


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_asked_of_a_network_or_said_to_the_console(browser, address, width, scheme):
    show(browser, address, width=width, scheme=scheme)
    browser.execute_script("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    assert browser.get_log("browser") == []
    sources = "return performance.getEntriesByType('resource').map(entry => entry.name).filter(n => !/^data:/.test(n))"
    assert browser.execute_script(sources) == []


def test_no_path_of_this_machine_is_on_the_page(page, studied):
    assert str(studied.store.folder.parent) not in page.page_source


def test_on_a_phone_everything_is_stacked_and_nothing_is_cut(browser, address):
    show(browser, address, width=360)
    assert shown(browser, "#figure-headline .figure") == [False, True]
    assert shown(browser, "#figure-roc .figure") == [False, True]
    assert not any(shown(browser, "#table-starts thead"))
    name = "return getComputedStyle(document.querySelector('#table-starts td'), '::before').content"
    assert browser.execute_script(name) == '"start"'
    browser.execute_script("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    rights = "return [...document.querySelectorAll('.tile, .stacked td')].map(n => n.getBoundingClientRect().right)"
    assert max(browser.execute_script(rights)) <= 360


A4 = 695  # px of 184 mm


def test_print_has_no_folded_part_and_fits_the_sheet(browser, address):
    show(browser, address, width=A4, media="print")
    assert not any(shown(browser, "details, nav, .copy, .file"))
    assert all(shown(browser, ".decision, #figure-headline, .tile, #table-starts, #table-points, #table-confusion"))
    rights = "return [...document.querySelectorAll('main :not(svg *)')].map(n => n.getBoundingClientRect().right)"
    assert max(browser.execute_script(rights)) <= A4 + 1


INKS = [".decision", ".lead", ".sure", ".tile dt", ".tile .value", ".tile .note", ".mark", ".caption", ".gallery span",
        ".quote pre", ".quote p", ".copy", "td small", ".term", "header .soft", ".caption.name"]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_of_the_first_screen_stands_out(browser, address, scheme):
    show(browser, address, scheme=scheme)
    ratios = browser.execute_script(CONTRAST, INKS)
    assert {ink: ratio for ink, ratio in zip(INKS, ratios, strict=True) if ratio < 4.5} == {}
