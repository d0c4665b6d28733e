import numpy as np
import pandas as pd
import pytest

from transfusion.report import figures
from transfusion.report.page import write_page
from transfusion.report.palette import SCHEMES, style_of
from transfusion.report.table import CurveTable
from transfusion.runs.store import Store
from transfusion.spec import RunSpec, SchemeSpec, StudySpec, TaskSpec, TrainSpec


def frame_of(levels, seeds=3, size=None):
    rows = [
        {"run": f"{scheme}{seed}{size}", "scheme": scheme, "batch_norm": "identity", "upto": None, "rest": None,
         "size": size, "seed": seed, "step": step, "loss": 1.0, "auc": level + 0.01 * seed + 0.001 * step}
        for scheme, level in levels.items() for seed in range(seeds) for step in range(0, 101, 10)
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"size": "Int64"})


@pytest.fixture
def store(tmp_path):
    """A study of which one run is done, one half done, one failed and one not begun."""
    store, task = Store(tmp_path), TaskSpec(data="<b>evil</b>")
    runs = [
        RunSpec(task=task, model="m", scheme=SchemeSpec(name=name), seed=seed, train=TrainSpec(steps=20))
        for seed in (0, 1)
        for name in ("pretrained", "random")
    ]
    store.begin(StudySpec(name="<script>alert(1)", task=task), runs, None, {"images": {"train": 7}})
    for run, reached in zip(runs[:3], (20, 20, 10), strict=True):
        files = store.run(run.id)
        files.begin(run, {"processor": "abacus"})
        for step in range(0, reached + 1, 5):
            files.append({"step": step, "loss": 1.0, "auc": 0.5 + step / 100})
    store.run(runs[0].id).finish({"auc": 0.7})
    store.run(runs[1].id).fail("out of <memory>", "Traceback", retry=True)
    return store


def test_the_table_gives_mean_sd_and_n():
    table = CurveTable.of(frame_of({"pretrained": 0.8, "random": 0.6}))
    assert table.steps == (0, 20, 40, 60, 80, 100)
    assert [(row.name, row.n, row.cells[0]) for row in table.rows] == [
        ("pretrained", 3, "0.810 ± 0.010"),
        ("random", 3, "0.610 ± 0.010"),
    ]
    assert "0.910 ± 0.010" in str(table)


def test_one_seed_has_no_spread_and_a_missing_cell_is_a_dash():
    one = frame_of({"random": 0.6}, seeds=1)
    assert CurveTable.of(one).rows[0].cells[0] == "0.600"
    short = pd.concat([frame_of({"pretrained": 0.5}), frame_of({"random": 0.5}).query("step < 50")])
    assert CurveTable.of(short).rows[1].cells[-1] == "-"
    assert CurveTable.of(short).rows[1].n == 0


def test_sizes_are_told_apart():
    both = pd.concat([frame_of({"random": 0.6}), frame_of({"random": 0.5}, size=100)])
    assert [row.name for row in CurveTable.of(both).rows] == ["random", "random, 100 images"]


def test_every_scheme_has_its_own_colour_dash_and_marker():
    for what in ("colour", "dash", "marker"):
        assert len({getattr(style, what) for style in SCHEMES.values()}) == len(SCHEMES)
    assert style_of("pretrained") == SCHEMES["pretrained"]
    assert style_of("pretrained", 1).marker != style_of("pretrained").marker


def test_the_convergence_figure_shows_means_of_all_starts(tmp_path):
    figure = figures.convergence(frame_of({"pretrained": 0.8, "random": 0.6}))
    whole, start = figure.axes
    lines = {line.get_label(): line for line in whole.get_lines()}
    assert set(lines) == {"pretrained (3)", "random (3)"}
    assert np.allclose(lines["random (3)"].get_ydata()[0], 0.61)
    assert max(start.get_lines()[0].get_xdata()) == 20
    assert whole.get_xlabel() == "optimiser steps"
    assert figures.save(figure, tmp_path, "convergence").stat().st_size > 1000


def test_the_page_says_what_is_missing_and_lets_no_markup_in(store):
    page = write_page(store).read_text(encoding="utf-8")
    assert "random, seed 0 (run" in page
    assert "failed: out of &lt;memory&gt;" in page
    assert "is at step 10 of 20" in page
    assert "has not started" in page
    assert "<script>alert" not in page
    assert "<b>evil" not in page
    assert "abacus" in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("https://www.w3.org", "").split("</svg>")[-1]


def test_the_page_of_a_study_without_a_single_curve(tmp_path):
    store = Store(tmp_path)
    run = RunSpec(task=TaskSpec(), model="m")
    store.begin(StudySpec(), [run], None, {})
    assert "has not started" in write_page(store).read_text(encoding="utf-8")
