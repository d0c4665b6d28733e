"""The page in headless Chromium, opened from a file as a reader would."""

import itertools
import math
import os
import shutil
import tempfile

import pytest

from transfusion.report.page import render
from transfusion.report.parts import Cell, Chart, Listing, Page, Said, Section, Series, Source, Table, Trace

pytestmark = pytest.mark.browser

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
NASTY = "</script><img src=x onerror=\"document.title='pwned'\"> $x_1^2$ 'q' \"Q\" & 🦴 שלום <!--"


@pytest.fixture(scope="module")
def browser():
    """One headless Chromium for all tests of this file; it records what its console says."""
    if not BROWSER or not DRIVER:
        pytest.skip("no chromium or no chromedriver: install chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Chromium leaves its temporary folders; a path of pytest's may be too long for its socket
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        service = webdriver.ChromeService(DRIVER, env={**os.environ, "TMPDIR": folder})
        driver = webdriver.Chrome(options=options, service=service)
        yield driver
        driver.quit()


def curve(start, seed):
    steps = tuple(float(step) for step in range(0, 401, 20))
    return Trace(f"seed {seed}", steps, tuple(start + 0.3 * (1 - math.exp(-x / 100)) + 0.01 * seed for x in steps))


def a_page(folder, name="random"):
    """A page with everything that a page can have, and ``name`` in every place that takes a user's word."""
    series = tuple(
        Series(label, scheme, tuple(curve(level, seed) for seed in range(3)))
        for label, scheme, level in (("pretrained", "pretrained", 0.6), (name, "random", 0.5))
    )
    scores = [("b", 2.0), ("a", math.nan), (name, -10.0), ("c", 0.5)]
    table = Table("scores", f"Scores of {name}", ("who", "score"), tuple((w, Cell.number(s, ".1f")) for w, s in scores))
    section = Section(
        "part",
        name,
        (name, Chart("curves", f"Curves of {name}", "steps", "AUC", series), table, Listing((name,), name),
         Source(name, name), Table("folded", name, (name,), ((name,),), is_folded=True)),
    )  # fmt: skip
    verdict = [Said(f"Use {name}. Measured: 1 to 2.", ("Measured: 1 to 2.",)), Listing((name, "b"), "Speed")]
    text = render(Page(name, name, verdict, [section], notes=[name]), folder)
    (folder / "page.html").write_text(text, encoding="utf-8")
    return (folder / "page.html").as_uri()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return a_page(tmp_path_factory.mktemp("page"))


@pytest.fixture
def page(browser, address):
    show(browser, address)
    return browser


def show(browser, address, width=1200, scheme="light", media=""):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get_log("browser")
    browser.get(address)


def find(browser, selector):
    return browser.find_elements("css selector", selector)


def press(browser, text):
    next(button for button in find(browser, "button") if button.text.startswith(text)).click()


def test_the_page_is_quiet_and_asks_the_network_for_nothing(page):
    assert page.get_log("browser") == []
    assert page.execute_script("return performance.getEntriesByType('resource').map(r => r.name)") == []
    assert page.execute_script("return document.querySelectorAll('figure.chart .plot svg path').length") > 10


def test_the_quiet_test_would_hear_an_error_and_see_a_request(browser, tmp_path):
    a_page(tmp_path)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    loud = text.replace("<main>", "<main><script>alert(1)</script><img src='gone.png'>")
    (tmp_path / "loud.html").write_text(loud, encoding="utf-8")
    show(browser, (tmp_path / "loud.html").as_uri())
    heard = " ".join(entry["message"] for entry in browser.get_log("browser"))
    assert "Content Security Policy" in heard
    assert "gone.png" in heard


HOVER = """
const [plot, x, y] = [document.querySelector('.plot > svg'), arguments[0], arguments[1]];
const [corner, area] = [plot.getBoundingClientRect(), plot.querySelector('.area')];
const of = name => area[name].baseVal.value;
const [left, top] = [corner.left + of('x') + x * of('width'), corner.top + of('y') + y * of('height')];
plot.dispatchEvent(new PointerEvent('pointermove', {clientX: left, clientY: top, bubbles: true}));
const tip = document.querySelector('.tip');
return tip.hidden ? null : [...tip.children].map(line => line.textContent);
"""


def test_hovering_shows_run_step_and_value(page):
    lines = page.execute_script(HOVER, 1, 0)
    value = 0.6 + 0.3 * (1 - math.exp(-4)) + 0.02
    assert lines == [
        "pretrained", "seed 2", "steps: 400", f"AUC: {value:.4f}", f"mean of n = 3: {value - 0.01:.4f}"
    ]  # fmt: skip
    assert page.execute_script(HOVER, 0.9, 0.99) is None


def test_the_keyboard_reads_the_chart_too(page):
    keys = webdriver.Keys
    plot = find(page, ".plot")[0]
    plot.send_keys(keys.ARROW_RIGHT)
    plot.send_keys(keys.ARROW_RIGHT)
    assert find(page, ".tip")[0].text.splitlines()[:3] == ["pretrained", "seed 0", "steps: 20"]
    for _ in range(3):
        plot.send_keys(keys.ARROW_DOWN)
    assert find(page, ".tip")[0].text.splitlines()[:3] == ["random", "seed 0", "steps: 20"]
    plot.send_keys(keys.ESCAPE)
    assert not find(page, ".tip")[0].is_displayed()


def test_a_series_can_be_switched_off_and_on(page):
    names = "return [...document.querySelectorAll('.area [data-series]')].map(mark => mark.dataset.series)"
    assert set(page.execute_script(names)) == {"pretrained", "random"}
    press(page, "pretrained")
    assert set(page.execute_script(names)) == {"random"}
    button = find(page, ".legend button")[0]
    assert button.get_attribute("aria-pressed") == "false"
    assert page.execute_script(HOVER, 1, 0) is None
    assert page.execute_script(HOVER, 1, 0.26)[0] == "random"
    button.send_keys(" ")
    assert set(page.execute_script(names)) == {"pretrained", "random"}
    assert button.get_attribute("aria-pressed") == "true"


def test_the_first_quarter_can_be_looked_at_alone(page):
    last = "return [...document.querySelectorAll('.plot text[text-anchor=middle]:not(.label)')].at(-1).textContent"
    assert page.execute_script(last) == "400"
    press(page, "first quarter")
    assert page.execute_script(last) == "100"
    assert page.execute_script(HOVER, 1, 0)[2] == "steps: 100"
    press(page, "whole course")
    assert page.execute_script(last) == "400"


def test_tables_sort_by_number_with_unknown_last_and_by_text(page):
    cells = "return [...document.querySelectorAll('#table-scores tbody tr')].map(row => row.cells[0].textContent)"
    heading = find(page, "#table-scores th")[1]
    find(page, "#table-scores th button")[1].click()
    assert page.execute_script(cells) == ["random", "c", "b", "a"]
    assert heading.get_attribute("aria-sort") == "ascending"
    find(page, "#table-scores th button")[1].send_keys(" ")
    assert page.execute_script(cells) == ["b", "c", "random", "a"]
    assert heading.get_attribute("aria-sort") == "descending"
    find(page, "#table-scores th button")[0].click()
    assert page.execute_script(cells) == ["a", "b", "c", "random"]
    assert heading.get_attribute("aria-sort") is None


CONTRAST = """
const parse = text => text.match(/[\\d.]+/g).map(Number);
const ground = node => {
  for (; node; node = node.parentElement) {
    const [r, g, b, a = 1] = parse(getComputedStyle(node).backgroundColor);
    if (a > 0) return [r, g, b];
  }
};
const light = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * x + .7152 * y + .0722 * z;
};
return arguments[0].map(selector => {
  const node = document.querySelector(selector), style = getComputedStyle(node);
  const ink = node.namespaceURI.endsWith('svg') ? style.fill : style.color;
  const paper = ground(node.parentElement.closest('div, section, body'));
  const [a, b] = [light(parse(ink)), light(paper)].sort((p, q) => q - p);
  return (a + .05) / (b + .05);
});
"""
INKS = ["p", "header .soft", ".advice p", ".advice .soft", ".note li", "figcaption", "figcaption a", "nav a",
        ".plot text", ".plot .label", "td", ".caption", "summary", "footer", ".legend button", "th button"]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out(browser, address, scheme):
    show(browser, address, scheme=scheme)
    ratios = browser.execute_script(CONTRAST, INKS)
    assert {ink: ratio for ink, ratio in zip(INKS, ratios, strict=True) if ratio < 4.5} == {}
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[scheme]


def test_the_contrast_test_sees_faint_text(page):
    page.execute_script("document.querySelector('figcaption').style.color = '#999'")
    assert page.execute_script(CONTRAST, ["figcaption"])[0] < 4.5


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_makes_the_page_scroll_sideways(browser, address, width):
    show(browser, address, width=width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_script("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


HEIGHTS = "return [...document.querySelectorAll('details')].map(fold => fold.getBoundingClientRect().height)"


def test_print_leaves_out_what_is_folded_and_keeps_what_a_reader_opened(browser, address):
    show(browser, address, media="print")
    assert browser.execute_script(HEIGHTS) == [0, 0]
    browser.execute_script("document.querySelector('details').open = true")
    opened, folded = browser.execute_script(HEIGHTS)
    assert opened > 20
    assert folded == 0


def test_print_hides_controls_even_without_scripts(browser, address):
    show(browser, address, media="print")
    shown = "return [...document.querySelectorAll('nav, .zoom, .file, .copy')].map(n => getComputedStyle(n).display)"
    assert set(browser.execute_script(shown)) == {"none"}


def test_without_scripts_there_is_a_picture_of_every_chart(browser, address):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(browser, address)
        assert find(browser, "figure.chart .static svg")[0].is_displayed()
        assert find(browser, "figure.chart button") == []
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_no_name_becomes_markup(browser, tmp_path):
    show(browser, a_page(tmp_path, NASTY))
    assert browser.get_log("browser") == []
    assert browser.title == f"{NASTY} - transfusion"
    assert find(browser, "img") == []
    assert [title.text for title in find(browser, "h1, section h2")][0::3] == [NASTY, NASTY]
    assert NASTY in find(browser, ".legend button")[1].get_attribute("textContent")
    assert NASTY in find(browser, "pre")[0].get_attribute("textContent")
    press(browser, "pretrained")
    assert browser.execute_script(HOVER, 1, 0.26)[0] == NASTY


def test_headings_go_down_in_order_and_ids_are_unique(page):
    levels = page.execute_script("return [...document.querySelectorAll('h1, h2, h3')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in itertools.pairwise(levels))
    twice = "const ids = [...document.querySelectorAll('[id]')].map(n => n.id); return ids.length - new Set(ids).size"
    assert page.execute_script(twice) == 0
    broken = "return [...document.querySelectorAll('nav a')].filter(a => !document.querySelector(a.hash)).length"
    assert page.execute_script(broken) == 0
