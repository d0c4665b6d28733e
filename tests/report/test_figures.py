import itertools
import os
import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from transfusion.report import figures
from transfusion.report.figures.canvas import nice_ticks, sheet
from transfusion.report.palette import SCHEMES, style_of, styles_of

# simulated protanopia, deuteranopia and tritanopia, severity 1, on linear RGB: Machado, Oliveira and Fernandes 2009
EYES = {
    "usual": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour):
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(colour, page):
    dark, light = sorted(float(XYZ[1] @ linear(each)) for each in (colour, page))
    return (light + 0.05) / (dark + 0.05)


def lab(rgb):
    share = XYZ @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(share > 0.008856, np.cbrt(share), 7.787 * share + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def course(starts=("pretrained", "random"), seeds=2, **columns):
    rows = [
        {"run": f"{s}{seed}", "scheme": s, "batch_norm": "identity", "upto": None, "rest": None, "size": None,
         "seed": seed, "step": step, "auc": 0.5 + 0.1 * i + 0.01 * seed + step / 1000}
        for i, s in enumerate(starts) for seed in range(seeds) for step in range(0, 101, 10)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**columns)


def intervals(*rows):
    columns = ["start", "scheme", "quantity", "estimate", "low", "high", "n"]
    return pd.DataFrame([(start, start, *rest) for start, *rest in rows], columns=columns)


def words(figure):
    figure.canvas.draw()
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")) if text.get_text()]


@pytest.mark.parametrize("page", ["#ffffff", "#0d1117"])
def test_colours_stand_out_from_a_light_and_a_dark_page(page):
    for name, style in SCHEMES.items():
        if name != "random":  # black; a page draws it in the colour of its text
            assert contrast(style.colour, page) >= 3, name


def test_black_would_vanish_on_a_dark_page():
    assert contrast(SCHEMES["random"].colour, "#0d1117") < 1.2


@pytest.mark.parametrize("eye", EYES)
def test_colours_are_told_apart_by_every_eye(eye):
    seen = [lab(np.array(EYES[eye]) @ linear(style.colour)) for style in SCHEMES.values()]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 25


def test_the_three_usual_starts_are_told_apart_in_greyscale():
    grey = sorted(lab(linear(SCHEMES[name].colour))[0] for name in ("pretrained", "mean_var", "random"))
    assert min(np.diff(grey)) > 15


def test_variants_share_a_colour_and_differ_in_dash_and_marker():
    styles = [style_of("pretrained", variant) for variant in range(8)]
    assert len({style.colour for style in styles}) == 1
    assert len({(style.dash, style.marker) for style in styles}) == 8
    assert styles_of({"a": "random", "b": "pretrained", "c": "random"})["c"] == style_of("random", 1)


@pytest.mark.slow
@pytest.mark.usefixtures("every_format")
def test_a_saved_figure_is_the_same_every_time_and_its_words_are_words(tmp_path):
    for folder in ("a", "b"):
        figures.save(figures.convergence(course()), tmp_path / folder, "convergence")
    for suffix in figures.FORMATS:
        one, other = ((tmp_path / folder / f"convergence.{suffix}").read_bytes() for folder in ("a", "b"))
        assert one == other
        assert len(one) > 1000
    svg = (tmp_path / "a" / "convergence.svg").read_text()
    assert ">optimiser steps</text>" in svg
    figures.save(figures.convergence(course()), tmp_path, "other")  # ids of two figures on one page must not collide
    assert (tmp_path / "other.svg").read_text() != svg


@pytest.mark.usefixtures("every_format")
def test_files_of_an_unchanged_figure_are_left_alone_and_those_of_another_are_all_written(tmp_path):
    def saved(figure):
        figures.save(figure, tmp_path, "f")
        return {path.suffix: path.read_bytes() for path in tmp_path.iterdir()}

    def drawn(title):
        figure = figures.convergence(course())
        figure.suptitle(title)
        return figure

    first, marks = saved(drawn("a")), {".svg": 1, ".pdf": 2, ".png": 3}
    for suffix, mark in marks.items():
        os.utime(tmp_path / f"f{suffix}", ns=(mark, mark))
    assert saved(drawn("a")) == first
    assert {path.suffix: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == marks
    second = saved(drawn("b"))
    assert all(second[suffix] != first[suffix] for suffix in marks)
    (tmp_path / "f.svg").unlink()  # as after a kill in the middle
    (tmp_path / "f.png").write_bytes(first[".png"])
    assert saved(drawn("b")) == second
    (tmp_path / "f.pdf").unlink()
    assert saved(drawn("b")) == second


@pytest.mark.usefixtures("every_format")
def test_names_are_shown_as_they_are_spelled(tmp_path):
    name = "a_$b$ 100% <i> \N{GRINNING FACE}"
    figure = figures.convergence(course((name, "random")))
    assert f"{name} (2)" in words_without_warnings(figure)
    figures.save(figure, tmp_path, "names")
    assert "a_$b$ 100% &lt;i&gt; \N{GRINNING FACE} (2)" in (tmp_path / "names.svg").read_text(encoding="utf-8")
    row = figures.forest(intervals((name, "speedup", 2, 1.5, 3, 3)))
    figures.save(row, tmp_path, "forest")
    assert "a_$b$ 100%" in (tmp_path / "forest.svg").read_text(encoding="utf-8")


def words_without_warnings(figure):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        return words(figure)


def test_one_seed_has_no_band_and_gaps_are_gaps():
    frame = course(seeds=1)
    frame.loc[frame["step"] == 50, "auc"] = np.nan
    line = figures.convergence(frame).axes[0].get_lines()[0]
    assert np.isnan(line.get_ydata()).sum() == 1
    band = figures.convergence(course(seeds=2)).axes[0].collections[0].get_paths()
    assert len(band[0].vertices) > 3
    assert all(np.isnan(p.vertices).all() or not len(p.vertices) for p in
               figures.convergence(course(seeds=1)).axes[0].collections[0].get_paths())  # fmt: skip


def test_no_legend_is_wider_than_the_figure():
    names = tuple(f"pretrained upto layer{i} rest mean_var" for i in range(5))
    figure = figures.convergence(course(names))
    figure.canvas.draw()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    assert sheet(4, names).get_figheight() > sheet(4, ["a"]).get_figheight()


def test_a_forest_marks_open_unknown_and_missing_intervals():
    frame = intervals(
        ("a", "speedup", 2, 1.5, np.inf, 3), ("b", "speedup", 2, np.nan, np.nan, 1), ("c", "speedup", *[np.nan] * 3, 0)
    )
    axes = figures.forest(frame).axes[0]
    assert axes.get_xscale() == "log"
    markers = [line.get_marker() for line in axes.get_lines()]
    assert ">" in markers
    assert "<" not in markers
    assert [line.get_markerfacecolor() for line in axes.get_lines() if line.get_ydata()[0] == 1] == ["white"]
    assert [text.get_text() for text in axes.texts] == ["n = 3", "n = 1", "unknown", "n = 0"]


def test_one_huge_interval_does_not_hide_the_others():
    rows = [(name, "area", 0.1, 0.05, 0.15, 3) for name in "abc"]
    usual = figures.forest(intervals(*rows)).axes[0].get_xlim()
    axes = figures.forest(intervals(*rows, ("d", "area", 0.1, -20, 20, 2))).axes[0]
    assert axes.get_xlim()[1] < 5 * usual[1]
    assert {"<", ">"} <= {line.get_marker() for line in axes.get_lines()}


def test_the_stages_of_transfusion_stand_in_network_order():
    rows = [("random", stage, what, value, value - 0.1, value + 0.1, 3) for what in ("speedup", "share")
            for stage, value in (("all", 2), ("layer2", 1.5), ("none", 1), ("stem", 1.2))]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["rest", "stage", "quantity", "estimate", "low", "high", "n"])
    speed, share = figures.upto(frame, ["stem", "layer2"]).axes
    assert [label.get_text() for label in speed.get_xticklabels()] == ["none", "stem", "layer2", "all"]
    assert speed.get_lines()[0].get_ydata().tolist() == [1, 1.2, 1.5, 2]
    assert share.get_yscale() == "linear"


def test_performance_against_size_has_a_tick_per_size_and_mean_and_gap():
    finals = pd.DataFrame(
        [(s, s, n, v + d) for s, v in (("pretrained", 0.9), ("random", 0.8)) for n in (100, 1000) for d in (0, 0.02)],
        columns=["start", "scheme", "images", "auc"],
    )
    gaps = pd.DataFrame({"start": "pretrained", "scheme": "pretrained", "images": [1000, 100], "estimate": [0.1, 0.2],
                         "low": 0.0, "high": 0.3, "n": 2})  # fmt: skip
    level, gap = figures.sizes(finals, gaps).axes
    words(level.figure)
    assert [label.get_text() for label in level.get_xticklabels()] == ["100", "1,000"]
    assert np.allclose(level.get_lines()[0].get_ydata(), 0.91)
    assert gap.get_lines()[0].get_ydata().tolist() == [0.2, 0.1]


def test_filters_are_tiled_with_at_most_64_per_panel():
    shown = {name: np.full((96, 7, 7, 3), 0.5) for name in ("before", "after", "difference")}
    figure = figures.filters({"pretrained": shown, "random": shown})
    assert len(figure.axes) == 6
    assert figure.axes[0].images[0].get_array().shape == (64, 64, 3)
    assert figure.axes[3].get_title(loc="left") == "random: before"
    grey = {name: np.full((5, 3, 3, 1), 0.5) for name in shown}
    assert figures.filters({"x": grey}).axes[0].images[0].get_array().shape == (8, 12, 3)


def test_histograms_are_drawn_per_stage_on_a_logarithmic_axis():
    edges = np.linspace(-1, 1, 5)
    stages = {f"stage{i}": (edges, {"random": np.array([0, 1.0, 1.0, 0])}) for i in range(4)}
    figure = figures.histograms(stages, styles_of({"random": "random"}))
    assert [axes.get_title() for axes in figure.axes[:4]] == list(stages)
    assert {axes.get_yscale() for axes in figure.axes[:4]} == {"log"}
    words(figure)


@pytest.mark.parametrize(("low", "high", "ticks"), [(0.9, 6, [1, 2, 5]), (0.9, 1.3, [1.0, 1.2]), (0.5, 900, None)])
def test_ticks_of_a_ratio_are_round_and_few(low, high, ticks):
    found = nice_ticks(low, high)
    assert ticks is None or np.allclose(found, ticks)
    assert 2 <= len(found) <= 7
    assert low <= found.min() < found.max() <= high
