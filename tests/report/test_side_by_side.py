import re
import sys

import pytest
from eyes import make_study

from transfusion.cli import main
from transfusion.errors import StoreError
from transfusion.report.side_by_side import write_side_by_side
from transfusion.runs.store import Store


def run(*words):
    sys.argv = ["transfusion", *map(str, words)]
    main()


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """Two studies of the same name, one of them cut short."""
    monkeypatch.chdir(tmp_path)
    stores = [make_study(tmp_path / name, seeds=(0, 1), steps=steps) for name, steps in (("one", 40), ("two", 20))]
    files = stores[1].grid()[0]
    files.result_path.unlink()
    return stores


def test_two_studies_share_a_page(pair, tmp_path):
    page = write_side_by_side(pair, tmp_path / "both.html").read_text(encoding="utf-8")
    table = re.search(r'id="table-comparison".*?</table>', page, re.DOTALL).group()
    assert table.count("<tr>") == 1 + 2 * 2
    assert re.search(r">\+0\.150[ <]", table)  # final difference of pretrained, planted
    assert re.search(r">\d+\.\d\d \[\d\.\d\d, \d\.\d\d\]<", table)  # a speed-up with its interval
    assert page.count('<figure class="chart"') == 2
    assert page.count("A first look, no conclusion.") == 2
    assert "eyes in one" in page
    assert str(tmp_path) not in page
    assert re.search(r"eyes in two: pretrained, seed 0 .* is at step 20 of 20", re.sub(r"<[^>]*>", "", page))
    settings = re.search(r'id="table-differences".*?</table>', page, re.DOTALL).group()
    assert re.findall(r"<span>([\w.]+)</span>", settings) == ["train.steps", "40", "20"]
    assert (tmp_path / "figures" / "runs-2.svg").exists()


def test_a_study_without_curves_stands_beside_a_finished_one(pair, tmp_path):
    for files in pair[1].grid():
        files.curve_path.unlink()
    page = write_side_by_side(pair, tmp_path / "both.html").read_text(encoding="utf-8")
    assert page.count('<figure class="chart"') == 1
    assert "Nothing to compare with random yet" in page


def test_a_folder_without_study_is_an_error(pair, tmp_path):
    with pytest.raises(StoreError, match="no study"):
        write_side_by_side([pair[0], Store(tmp_path / "none")], tmp_path / "both.html")
    assert not (tmp_path / "both.html").exists()


def test_the_command_makes_the_page_of_one_study_in_its_folder(pair, capsys):
    with pytest.raises(SystemExit) as stopped:
        run("report", "one")
    assert not stopped.value.code
    assert capsys.readouterr().out.strip() == "Report: one/report.html"
    assert pair[0].report_path.exists()


def test_the_command_sets_several_studies_side_by_side_where_it_is_told(pair, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run("report", "one", "two")
    assert capsys.readouterr().out.strip() == "Report: report.html"
    with pytest.raises(SystemExit):
        run("report", "one", "two", "--out", "deep/page.html")
    assert (tmp_path / "deep" / "page.html").read_bytes() == (tmp_path / "report.html").read_bytes()
    assert not pair[0].report_path.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("report",), "Missing argument 'DIR"),
        (("report", "none"), "There is no study in none"),
        (("report", "one", "none"), "There is no study in none"),
        (("report", "one", "--out", "two"), "Cannot write two"),
    ],
)
def test_a_bad_folder_is_one_line_and_exit_code_two(pair, capsys, words, message):
    with pytest.raises(SystemExit) as stopped:
        run(*words)
    said = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2
    assert len(said) == 1
    assert message in said[0]


def test_a_torn_grid_is_one_line_too(pair, capsys):
    pair[0].grid_path.write_text("{")
    with pytest.raises(SystemExit) as stopped:
        run("report", "one")
    assert stopped.value.code == 2
    assert re.match(r"transfusion: Cannot read \S*grid.json", capsys.readouterr().err)
