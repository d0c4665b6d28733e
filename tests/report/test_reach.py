"""Tile, table, picture and sentence say the same of when a start reaches the target."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from planted import Planted

from transfusion.report import manuscript
from transfusion.report.costs import reaches
from transfusion.report.effects import section
from transfusion.report.first import first
from transfusion.report.glossary import WORDS
from transfusion.report.material import Material
from transfusion.report.parts import Fold, Table, flat
from transfusion.runs.store import Store
from transfusion.spec import RunSpec, SchemeSpec, StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study
from transfusion.tasks.patients import BY_NAMES, SERIES
from transfusion.verdict.effects import RISE_SHARE
from transfusion.verdict.numbers import RATIO, SIGNED, ends, measured


def recorded(folder, planted, **columns):
    """A study with the curves that were planted; ``columns`` are further metrics of every evaluation."""
    frame = planted.frame(1)
    store, train = Store(folder), TrainSpec(steps=int(frame["step"].max()))
    keys = list(frame.groupby(["scheme", "seed"], sort=False))
    runs = [
        RunSpec(task=TaskSpec(), model="m", scheme=SchemeSpec(name=name), seed=seed, train=train)
        for (name, seed), _ in keys
    ]
    store.begin(StudySpec(), runs, None, {"images": {"train": 1000}})
    for run, (_, rows) in zip(runs, keys, strict=True):
        files = store.run(run.id)
        files.begin(run, {})
        for row in rows.to_dict("records"):
            more = {name: of(row) for name, of in columns.items()}
            files.append({"step": row["step"], "loss": 1.0, "auc": row["auc"], "time_s": 0.1 * row["step"], **more})
    return Material(store)


@pytest.fixture
def material(tmp_path):
    """A study whose pretrained runs were at the target by their first evaluation."""
    return recorded(tmp_path, Planted({"random": 1.0, "pretrained": 30.0}, tops={}, num_seeds=5, noise=0.003))


@pytest.fixture
def timed(tmp_path):
    """A study whose pretrained runs reach the target four times sooner, and end higher."""
    fast = {"random": 1.0, "pretrained": 4.0}
    return recorded(tmp_path, Planted(fast, tops={"pretrained": 0.96}, num_seeds=5, noise=0.003, every=None))


def finished(material):
    """The same with its runs at an end."""
    for files in material.store.grid():
        files.finish({"auc": 0.9})
    return Material(material.store)


@pytest.fixture
def done(timed):
    return finished(timed)


def test_a_bound_in_steps_goes_with_the_bound_in_times(material):
    speed = material.verdict.schemes["pretrained"].claim("speedup")
    assert math.isinf(speed.high)
    found = reaches(material)
    assert found["pretrained"].steps == pytest.approx(found["random"].steps / speed.low)
    table = next(part for part in flat(section(material).parts) if isinstance(part, Table))
    cells = {row[0].text: row for row in table.rows}["pretrained"]
    assert cells[3].text == f"≥ {speed.low:.2f}"
    assert cells[4].text == found["pretrained"].count


def test_the_arrow_runs_between_the_steps_that_the_table_gives(timed):
    found, (axes,) = reaches(timed), first(timed).picture.draw().axes
    (ends,) = [line.get_xdata() for line in axes.lines if line.get_marker() == "|"]
    assert list(ends) == pytest.approx([found["pretrained"].steps, found["random"].steps])
    said = max((text.get_text() for text in axes.texts if "sooner" in text.get_text()), key=len)
    assert float(said.split()[0]) == pytest.approx(ends[1] / ends[0], rel=0.05)


def test_no_arrow_is_drawn_that_would_be_lettered_with_another_number(tmp_path):
    slow = Planted({"random": 1.0, "pretrained": 1.0}, tops={}, num_seeds=5, noise=0.003, every=None)
    (axes,) = first(recorded(tmp_path, slow)).picture.draw().axes
    assert not [line for line in axes.lines if line.get_marker() == "|"]
    assert not [text for text in axes.texts if "gap" in text.get_text()]  # nor a gap between what is equally good


def test_a_gap_is_drawn_where_it_is_shown(timed):
    (axes,) = first(timed).picture.draw().axes
    assert [text for text in axes.texts if "gap +" in text.get_text()]


def test_steps_come_first_and_times_are_a_note(timed):
    found = reaches(timed)
    tile = first(timed).tiles[1]
    assert tile.value == f"{found['pretrained'].count} against {found['random'].count}"
    assert found["random"].time in tile.note


def test_what_starts_are_timed_to_is_not_called_as_cut_offs_are(timed):
    caption = first(timed).picture.caption
    assert "threshold" not in caption
    assert "target" in WORDS
    assert f"{timed.verdict.rise.start:.3f}" in caption  # where the rise begins, as the level hangs on it


def test_a_picture_says_where_its_curves_are_cut(tmp_path):
    low = Planted({"random": 1.0, "pretrained": 4.0}, tops={"pretrained": 0.96}, floor=0.1, every=None)
    material = recorded(tmp_path, low)
    for draw in (first(material).picture.draw, first(material).picture.narrow):
        (axes,) = draw().axes
        assert f"cut at {axes.get_ylim()[0]:.2f}" in axes.get_title("left")


def test_a_picture_of_whole_curves_says_nothing_of_a_cut(tmp_path):
    high = Planted({"random": 1.0, "pretrained": 4.0}, tops={}, num_seeds=5, noise=0.003, floor=0.8, every=None)
    (axes,) = first(recorded(tmp_path, high)).picture.draw().axes
    assert "cut" not in axes.get_title("left")


def test_where_validation_picks_the_end_is_told_apart_from_the_end_of_the_curve(tmp_path, timed):
    steep = Planted({"random": 1.0, "pretrained": 4.0}, tops={"pretrained": 0.96}, every=None)
    picked = recorded(tmp_path / "picked", steep, val_auc=lambda row: -abs(row["step"] - 100))
    assert "validation" in first(picked).picture.caption
    assert "validation" not in first(timed).picture.caption


def test_the_first_sentences_have_intervals_and_say_what_is_reached(timed):
    effect, said = timed.verdict.schemes["pretrained"], first(timed).numbers
    for found, form in ((effect.claim("final_difference"), SIGNED), (effect.claim("speedup"), RATIO)):
        assert ends(found, form) in said
    assert f"{timed.verdict.rise.level(RISE_SHARE):.3f}" in said


def test_a_paper_names_both_primary_claims_and_the_methods(done):
    text = manuscript.methods(done)
    for method in ("Holm", "Dunnett", "Two comparisons were primary"):
        assert method in text
    assert "on these test" in text  # no predictions are kept, so that nothing is said of others


def test_a_paper_says_that_speeds_alone_are_of_these_patients(done):
    seen = replace(done.verdict.main.final_difference, parts={"patients": 0.2})
    main = replace(done.verdict.main, final_difference=seen)
    vars(done)["verdict"] = replace(done.verdict, schemes={"pretrained": main})
    text = manuscript.methods(done)
    assert "Obuchowski and Rockette" in text
    whom = done.verdict.judged_on
    assert f"over trainings and {whom}, for the end, and over trainings, on these test {whom} only" in text


def test_the_item_on_performance_has_estimates_and_intervals(done):
    (fold,) = [part for part in manuscript.section(done).parts if isinstance(part, Fold)]
    said = {row[0]: row[2] for row in fold.parts[0].rows}["35"]
    assert measured(done.verdict.schemes["pretrained"].claim("final_difference"), SIGNED) in said
    assert not any(one.text in said for one in done.verdict.about("decision"))


@pytest.mark.parametrize("notes", [[], [f"{BY_NAMES} such as p1_1: 9 of them.", f"{SERIES}: p1 and q1 are two."]])
def test_partitions_are_disjoint_as_far_as_names_tell_where_names_tell(done, notes):
    vars(done)["card"] = done.card | {"patients": {"train": 6, "test": 3}, "warnings": notes}
    text = manuscript.methods(done)
    assert ("file names tell" in text) == bool(notes)
    assert all(note in text for note in notes[1:])


def test_the_command_of_a_page_is_understood_where_the_study_was_started(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    planted = Planted({"random": 1.0, "pretrained": 4.0}, tops={"pretrained": 0.96}, num_seeds=5, every=None)
    made = recorded(Path("studies") / "mine", planted)
    given = first(finished(made)).command.split()[2]
    assert given == "studies/mine"
    assert Study.load(given).store.folder == Study.load("mine").store.folder == Path("studies/mine")
    monkeypatch.chdir(tmp_path / "studies" / "mine")
    elsewhere = Material(Store(tmp_path / "studies" / "mine"))
    assert first(elsewhere).command.split()[2] == "mine"
