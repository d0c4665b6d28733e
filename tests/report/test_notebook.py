"""What a notebook shows of a study and of a verdict."""

import re
from html.parser import HTMLParser

import pytest
from eyes import make_study

from transfusion import conclude
from transfusion.report.first import first
from transfusion.report.material import Material
from transfusion.spec import StudySpec
from transfusion.study import Study

VOID = {"img", "path", "circle"}


class Reader(HTMLParser):
    """Text, tags and whether every tag is closed."""

    def __init__(self, markup):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook") / "eyes"
    make_study(folder, seeds=(0, 1, 2, 3))
    return Study.load(folder)


def test_a_study_shows_decision_picture_and_tiles(study):
    reader, found = Reader(study._repr_html_()), first(Material(study.store))
    assert not reader.open
    assert found.decision in reader.text
    for tile in found.tiles:
        assert tile.title in reader.text
        assert tile.value in reader.text
    ((_, image),) = [tag for tag in reader.tags if tag[0] == "img"]
    assert image["src"].startswith("data:image/svg+xml;base64,")
    assert "pretrained" in image["alt"]


def test_a_verdict_shows_its_decision_and_a_row_for_every_start(study):
    verdict = study.verdict()
    markup = verdict._repr_html_()
    reader = Reader(markup)
    assert not reader.open
    assert verdict.about("decision")[0].text in reader.text
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in markup.split("<tr>")]
    assert {row[0] for row in cells if row} == {"pretrained", "mean_var", "random"}
    assert [tag for tag, _ in reader.tags].count("circle") == 2  # one interval for each start but the baseline


def test_nothing_is_shown_before_a_study_was_begun(tmp_path):
    assert Study(StudySpec(), tmp_path / "none")._repr_html_() is None


def test_names_are_shown_as_they_are(study):
    frame = study.frame().replace({"start": {"mean_var": "<b>'&"}, "scheme": {"mean_var": "<b>'&"}})
    markup = conclude(frame)._repr_html_()
    assert "<b>'&" not in markup
    assert "<b>'&" in Reader(markup).text
