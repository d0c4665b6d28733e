import pytest
from eyes import CARD, make_study

from transfusion.report.material import Material
from transfusion.report.method import section, settings_of
from transfusion.report.parts import Listing, Source, Table
from transfusion.spec import StudySpec


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path, seeds=(0, 1), steps=40)


def tables(store):
    return {part.name: part for part in section(Material(store)).parts if isinstance(part, Table)}


def titled(store, kind):
    return {part.title: part for part in section(Material(store)).parts if isinstance(part, kind)}


def shown(table):
    return [tuple(getattr(cell, "text", cell) for cell in row) for row in table.rows]


def test_the_data_card_becomes_tables(study):
    found = tables(study)
    assert shown(found["splits"]) == [("train", "80", "80.0%", "40"), ("test", "20", "20.0%", "unknown")]
    assert shown(found["classes"]) == [
        ("well", "60", "75.0%", "15", "75.0%"),
        ("ill", "20", "25.0%", "5", "25.0%"),
    ]
    assert found["splits"].caption == "Images: n = 100 in all"


def test_what_was_left_out_is_listed_and_folded_when_long(study, monkeypatch):
    assert titled(study, Listing)["Files left out (n = 1)"].items == ("torn.jpeg: cannot be read",)
    many = CARD | {"left_out": [f"{i}.jpeg" for i in range(30)]}
    monkeypatch.setattr(type(study), "card", lambda _: many)
    assert "29.jpeg" in titled(study, Source)["Files left out (n = 30)"].text
    monkeypatch.setattr(type(study), "card", lambda _: CARD | {"left_out": []})
    assert not any(title.startswith("Files left out") for title in titled(study, Source) | titled(study, Listing))


def test_overlaps_between_splits_are_told(study):
    facts = titled(study, Listing)["About the images"].items
    assert "Patients in more than one split: 2 in train and test." in facts
    assert "Identical files in more than one split: none found." in facts


def test_the_input_of_the_networks_is_told(study, monkeypatch):
    seen = {"mean": [0.5, 0.25, 0.125], "std": [0.5] * 3, "interpolation": "bicubic", "from": "timm:somewhat"}
    monkeypatch.setattr(type(study), "card", lambda _: CARD | {"normalization": seen, "notes": ["Half is taken."]})
    (told,) = [fact for fact in titled(study, Listing)["About the images"].items if "normalised" in fact]
    assert all(part in told for part in ("0.5, 0.25, 0.125", "bicubic", "timm:somewhat"))
    assert titled(study, Listing)["About the donor (n = 1)"].items == ("Half is taken.",)


def test_settings_are_told_apart_from_defaults(study):
    found = tables(study)
    assert ("train.steps", "40") in found["settings"].rows
    assert ("train.steps", "40") not in found["defaults"].rows
    assert ("train.batch_size", "32") in found["defaults"].rows
    assert found["defaults"].is_folded
    full = next(text for title, text in titled(study, Source).items() if title.startswith("Full spec"))
    assert '"eyes"' in full.text
    assert "/data/eyes" in study.spec().to_json()
    assert "/data" not in full.text


def test_settings_are_words():
    settings = settings_of(StudySpec(upto=("layer1", None), sizes=(0.1, None)))
    assert settings["upto"] == "layer1, all"
    assert settings["sizes"] == "0.1, all"
    assert settings["task.leave_out_bad"] == "false"
    assert "donor" not in settings


def test_machines_are_counted(study):
    assert tables(study)["machines"].columns == ("property", "machine 1 (n = 6 runs)")
    assert shown(tables(study)["machines"]) == [("processor", "abacus"), ("version of beads", "10")]
    files = study.grid()[0]
    files.machine_path.write_text('{"processor": "slide rule", "versions": {}}')
    table = tables(study)["machines"]
    assert table.columns[1:] == ("machine 1 (n = 1 runs)", "machine 2 (n = 5 runs)")
    assert shown(table)[1] == ("version of beads", "-", "10")


def test_durations_are_medians_and_totals_over_runs(study):
    assert shown(tables(study)["durations"]) == [
        ("pretrained", "2", "1 min 20 s", "1 min 20 s", "2 min 40 s"),
        ("mean_var", "2", "1 min 20 s", "1 min 20 s", "2 min 40 s"),
        ("random", "2", "1 min 20 s", "1 min 20 s", "2 min 40 s"),
        ("all", "6", "1 min 20 s", "1 min 20 s", "8 min 00 s"),
    ]


def test_every_run_has_its_row(study):
    study.grid()[1].result_path.unlink()
    rows = shown(tables(study)["every-run"])
    assert len(rows) == 6
    assert rows[0][1:5] == ("pretrained", "0", "finished", "40")
    assert rows[1][1:5] == ("pretrained", "1", "unfinished", "40")


def test_failures_come_with_their_traceback(study):
    files = study.grid()[0]
    files.result_path.unlink()
    assert not any(title.startswith("Failed") for title in titled(study, Listing))
    files.fail("out of memory", "Traceback\n  line 3", retry=True)
    (line,) = titled(study, Listing)["Failed runs (n = 1)"].items
    assert line == f"pretrained, seed 0 (run {files.id}): out of memory"
    assert titled(study, Source)[f"Traceback of pretrained, seed 0 (run {files.id})"].text == "Traceback\n  line 3"


def test_curves_without_times_have_no_durations(study):
    for files in study.grid():
        files.curve_path.write_text('{"step": 0, "loss": 1.0, "auc": 0.5}\n{"step": 40, "loss": 1.0, "auc": 0.6}\n')
    assert "durations" not in tables(study)
