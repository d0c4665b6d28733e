import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from eyes import make_study
from matplotlib.figure import Figure

from transfusion.errors import InputError, StoreError
from transfusion.report.page import render, write_page
from transfusion.report.parts import Cell, Chart, Listing, Page, Picture, Said, Section, Series, Source, Table, Trace
from transfusion.runs.store import Store
from transfusion.spec import RunSpec, StudySpec, TaskSpec

NASTY = "</script></style></svg><b>bold</b>\"' $x_1^2$ \u2028 🦴 _ -->"
LINE = Series("a", "random", (Trace("seed 0", (0.0, 1.0, 2.0), (0.5, float("nan"), 0.7)),))


def dot(label="x"):
    figure = Figure(figsize=(2, 2))
    figure.subplots().scatter([0], [1], color="black")
    figure.axes[0].set_xlabel(label, parse_math=False)
    return figure


def raster():
    figure = Figure(figsize=(2, 2))
    figure.subplots().imshow(np.eye(2))
    return figure


class Tags(HTMLParser):
    """Every element of a page, and the text outside of scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += "" if self.found and self.found[-1][0] in ("script", "style") else data

    def having(self, tag, **wanted):
        return [a for name, a in self.found if name == tag and wanted.items() <= a.items()]


def show(*parts, folder, **options):
    return render(Page("title", "summary", ["found"], [Section("s", "section", parts)], **options), folder)


@pytest.mark.usefixtures("every_format")
def test_a_picture_is_saved_in_three_forms_and_can_be_downloaded_from_the_page_alone(tmp_path):
    page = Tags(show(Picture("a dot/1", dot, "one dot", "a dot"), folder=tmp_path))
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "a-dot-1.pdf", "a-dot-1.png", "a-dot-1.svg"
    ]  # fmt: skip
    (link,) = [a for a in page.having("a") if "download" in a]
    assert link["download"] == "a-dot-1.svg"
    kind, data = link["href"].split(";base64,")
    assert kind == "data:image/svg+xml"
    assert base64.b64decode(data) == (tmp_path / "figures" / "a-dot-1.svg").read_bytes()
    assert len(page.having("svg", role="img", **{"aria-label": "a dot"})) == 1


def test_ids_of_two_equal_pictures_do_not_clash(tmp_path):
    page = Tags(show(Picture("one", dot, "", ""), Picture("two", dot, "", ""), folder=tmp_path))
    ids = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(ids) == len(set(ids)) > 10
    used = [a["xlink:href"][1:] for a in page.having("use")]
    assert used
    assert set(used) <= set(ids)


def test_photographs_are_shown_as_png_on_white(tmp_path):
    page = Tags(show(Picture("eye", raster, "an eye", "an eye", is_photo=True), folder=tmp_path))
    (image,) = page.having("img")
    assert image["src"].startswith("data:image/png;base64,")
    assert image["alt"] == "an eye"
    assert page.having("div", **{"class": "figure scroll white"})


def test_a_chart_brings_its_data_and_a_picture_for_readers_without_scripts(tmp_path):
    page = show(Chart("c", "caption", "steps", "AUC", (LINE,)), folder=tmp_path)
    assert '"traces":[["seed 0",0,[0.5,null,0.7]]]' in page
    assert (tmp_path / "figures" / "c.svg").exists()
    assert Tags(page).having("div", **{"class": "static"})


def test_numbers_lean_right_and_carry_what_they_are_sorted_by(tmp_path):
    rows = (("a", Cell.number(0.25, ".1f")), ("b", Cell.number(float("nan"))))
    page = Tags(show(Table("t", "caption", ("who", "score"), rows), folder=tmp_path))
    assert [a.get("data-number") for a in page.having("td")] == [None, "0.25", None, ""]
    assert [a.get("class") for a in page.having("th")] == [None, "number"]


def test_a_column_with_text_leans_left(tmp_path):
    page = Tags(show(Table("t", "", ("who",), (("a",), (Cell.number(1.0),))), folder=tmp_path))
    assert page.having("th") == [{"scope": "col"}]


def test_a_table_with_a_short_row_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="zip"):
        show(Table("t", "", ("a", "b"), (("1", "2"), ("3",))), folder=tmp_path)


def test_the_advice_comes_first_then_groups_then_notes_then_sections_where_nothing_else_is_first(tmp_path):
    fast = Said("fast <1. Measured: 95 % of <3, n = 3.", ("Measured: 95 % of <3, n = 3.",))
    verdict = [Listing((fast,), "Speed"), "Recommendation: go."]
    sections = [Section("a", "Curves", ("words",))]
    page = render(Page("t", "s", verdict, sections, notes=["a run failed"]), tmp_path)
    places = [
        page.index(text) for text in ("Recommendation: go.", "<h3>Speed</h3>", "<li>a run failed", ">Curves</h2>")
    ]
    assert places == sorted(places)
    assert 'fast &lt;1. <span class="soft">Measured: 95\xa0% of &lt;3, n\xa0=\xa03.</span>' in page


def test_nothing_to_keep_in_mind_is_not_mentioned(tmp_path):
    assert 'id="notes"' not in show(folder=tmp_path)
    assert 'id="notes"' in show(folder=tmp_path, notes=["x"])


@pytest.mark.parametrize(
    "parts",
    [
        (Picture("x", dot, "", ""), Picture("x", dot, "", "")),
        (Picture("x", dot, "", ""), Chart("x", "", "", "", (LINE,))),
        (Picture("a b", dot, "", ""), Picture("a/b", dot, "", "")),
        (Table("x", "", ("a",), ()), Table("x", "", ("a",), ())),
    ],
)
def test_names_that_clash_are_an_error(tmp_path, parts):
    with pytest.raises(InputError, match="used twice"):
        show(*parts, folder=tmp_path)


def test_a_table_may_share_the_name_of_a_picture(tmp_path):
    assert show(Picture("x", dot, "", ""), Table("x", "", ("a",), ()), folder=tmp_path)


def test_no_name_becomes_markup_anywhere(tmp_path):
    series = Series(NASTY, NASTY, (Trace(NASTY, (0.0,), (1.0,)),))
    parts = (
        NASTY, Chart("c", NASTY, NASTY, NASTY, (series,)), Picture("p", lambda: dot(NASTY), NASTY, NASTY),
        Table("t", NASTY, (NASTY, "n"), ((NASTY, Cell(NASTY, NASTY)),)), Listing((NASTY,), NASTY), Source(NASTY, NASTY),
    )  # fmt: skip
    verdict = [NASTY, Listing((NASTY,), NASTY)]
    page = render(Page(NASTY, NASTY, verdict, [Section("s", NASTY, parts)], notes=[NASTY]), tmp_path)
    tags = Tags(page)
    assert tags.having("b") == []
    assert page.count("</script>") == page.count("<script") == 2
    assert page.count("</style>") == 1
    assert tags.text.count("</script></style></svg><b>bold</b>") > 10
    data = re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL).group(1)
    assert not set(data) & set("<>&")
    assert [a["aria-label"] for a in tags.having("svg", role="img")][1] == NASTY


def test_only_the_page_s_own_script_may_run_and_nothing_is_loaded(tmp_path):
    page = show("words", folder=tmp_path)
    policy = Tags(page).having("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[\w+/]{43}='$", policy)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
    assert "@import" not in page


def test_black_and_white_follow_the_page_but_not_where_text_stands_on_colours(tmp_path):
    plain = show(Picture("plain", dot, "", ""), folder=tmp_path).split("<figure")[1]
    assert "currentColor" in plain
    assert "var(--paper)" in plain
    assert "#000000" not in plain
    coloured = show(Picture("raster", raster, "", ""), folder=tmp_path).split("<figure")[1]
    assert 'class="figure scroll white"' in coloured
    assert "#ffffff" in coloured


def test_a_finished_study_s_page_needs_nothing_to_be_kept_in_mind_but_its_data(quick, tmp_path):
    page = write_page(make_study(tmp_path)).read_text(encoding="utf-8")
    assert "6 of 6 runs finished" in page
    assert page.count('<p class="caution">') == 1  # patients in both splits
    notes = page[page.index('id="notes"') : page.index("</main>")]
    assert notes.count("<li>") == 1  # one torn file
    titles = ('class="caution"', 'class="decision"', 'class="lead"', "Where training ends", "How fast it gets there")
    assert sorted(titles, key=page.index) == list(titles)


def test_a_rebuilt_page_is_the_same(tmp_path):
    store = make_study(tmp_path, seeds=(0,), steps=10)
    first = write_page(store).read_bytes()
    assert write_page(store).read_bytes() == first


@pytest.mark.usefixtures("every_format")
def test_a_page_can_go_elsewhere(tmp_path):
    store = make_study(tmp_path / "study", seeds=(0,), steps=10)
    page = write_page(store, tmp_path / "else" / "mine.html")
    assert page.exists()
    assert (tmp_path / "else" / "figures" / "convergence.pdf").exists()
    assert not store.report_path.exists()


def test_there_must_be_a_study(tmp_path):
    with pytest.raises(StoreError, match="no study"):
        write_page(Store(tmp_path))


def damage(store, what):
    """Do to a study what kills and careless hands do; returns the run that it happened to."""
    files = store.grid()[0]
    files.result_path.unlink()
    if what == "a torn curve":
        files.curve_path.write_text(files.curve_path.read_text()[:-30])
    elif what == "a run without spec":
        files.spec_path.unlink()
    elif what == "a torn spec":
        files.spec_path.write_text("{")
    elif what == "a torn machine":
        files.machine_path.write_text("{")
    elif what == "no curve":
        files.curve_path.unlink()
    elif what == "a failed run":
        files.fail("out of memory", "Traceback\n  somewhere", retry=True)
    return files


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("a killed run", "seed 0 (run {id}) is at step 10 of 10."),
        ("a torn curve", "seed 0 (run {id}) is at step 5 of 10."),
        ("a run without spec", "Run {id} is left out: Cannot read"),
        ("a torn spec", "Run {id} is left out:"),
        ("a torn machine", "Run {id} is left out: Cannot read"),
        ("no curve", "1 run has not started, or not reached a first evaluation."),
        ("a failed run", "seed 0 (run {id}) failed: out of memory"),
    ],
)
def test_a_damaged_study_still_has_a_page_that_says_what_is_missing(quick, tmp_path, what, said):
    store = make_study(tmp_path, seeds=(0,), steps=10)
    whole = Tags(write_page(store).read_text(encoding="utf-8")).text
    files = damage(store, what)
    page = Tags(write_page(store).read_text(encoding="utf-8")).text
    assert said.format(id=files.id) in page
    assert said.format(id=files.id) not in whole
    assert "2 of 3 runs finished" in page


@pytest.mark.parametrize("torn", [False, True])
def test_a_study_without_data_card_says_so(quick, tmp_path, torn):
    store = make_study(tmp_path, seeds=(0,), steps=10)
    if torn:
        store.card_path.write_text("{")
    else:
        store.card_path.unlink()
    page = Tags(write_page(store).read_text(encoding="utf-8")).text
    assert "The data card data.json is missing or damaged" in page
    assert "About the images" not in page


def test_a_study_that_has_just_begun_has_a_page(quick, tmp_path):
    store, run = Store(tmp_path), RunSpec(task=TaskSpec(), model="m")
    store.begin(StudySpec(), [run], None, {})
    page = Tags(write_page(store).read_text(encoding="utf-8")).text
    assert "0 of 1 runs finished" in page
    assert "Nothing to compare with random yet" in page
    assert "Convergence" not in page
