"""The section on single models, from small studies written to disk with their predictions."""

import numpy as np
import pytest

from transfusion import metrics
from transfusion.report import single_models
from transfusion.report.material import Material
from transfusion.report.page import write_page
from transfusion.report.parts import Picture, Table
from transfusion.runs.store import Store
from transfusion.spec import RunSpec, SchemeSpec, StudySpec, TaskSpec, TrainSpec

STARTS = ("pretrained", "random")
BINARY = {"kind": "binary", "positive": 1, "classes": {"test": {"ill<b>": 20, "well": 20}}}
LABELS = np.arange(40) % 2


def drawn(labels, num_outputs, seed, shift=1.0):
    """Scores of a mediocre network, (images, outputs) in float32."""
    logits = np.random.default_rng(seed).normal(size=(len(labels), num_outputs))
    if np.ndim(labels) == 2:
        return (1 / (1 + np.exp(-logits - shift * (labels == 1)))).astype(np.float32)
    weights = np.exp(logits + shift * np.eye(num_outputs)[labels])
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def study(folder, card, labels=LABELS, scores=None, seeds=(0, 1, 2), patients=None, rule=None, sizes=(None,)):
    """A finished study; ``rule`` is what the metrics were recorded by, where the card does not say it."""
    store = Store(folder)
    runs = [
        RunSpec(
            task=TaskSpec(), model="m", scheme=SchemeSpec(name=name), seed=seed, size=size, train=TrainSpec(steps=4)
        )
        for seed in seeds for size in sizes for name in STARTS
    ]  # fmt: skip
    store.begin(StudySpec(), runs, None, card)
    kind, positive = rule or (card["kind"], card["positive"])
    num_outputs = labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1
    for place, run in enumerate(runs):
        files, found = store.run(run.id), drawn(labels, num_outputs, place) if scores is None else scores
        files.begin(run, {})
        files.append({"step": 0, "loss": 1.0, "auc": 0.5})
        files.append({"step": 4, "loss": 1.0, **metrics.evaluate(kind, found, labels, positive)})
        files.save_predictions(found, labels, patients)
        files.finish({"auc": 0.9})
    return store


def tables(store):
    return {part.name: part for part in single_models.section(Material(store)).parts if isinstance(part, Table)}


def column(table, name):
    place = table.columns.index(name)
    return [row[place] if isinstance(row[place], str) else row[place].text for row in table.rows]


def test_every_run_has_its_delong_interval_where_patients_are_unknown(tmp_path):
    table = tables(study(tmp_path, BINARY))["model-table"]
    assert column(table, "start") == ["pretrained"] * 3 + ["random"] * 3
    assert column(table, "seed") == ["0", "1", "2"] * 2
    expected = metrics.delong(LABELS, drawn(LABELS, 2, 0)[:, 1])
    assert column(table, "95 % interval")[0] == f"{expected.low:.3f} to {expected.high:.3f}"
    assert "n = 40 held-out images." in table.caption
    assert "DeLong's" in table.caption
    assert "note" not in table.columns


def test_patients_who_are_known_are_drawn_whole(tmp_path):
    patients = np.arange(40) // 2
    table = tables(study(tmp_path, BINARY, patients=patients))["model-table"]
    expected = metrics.delong(LABELS, drawn(LABELS, 2, 0)[:, 1], patients=patients)
    assert column(table, "95 % interval")[0] == f"{expected.low:.3f} to {expected.high:.3f}"
    assert set(column(table, "n")) == {"20"}
    assert "n = 40 held-out images of n = 20 patients" in table.caption
    assert "DeLong" not in table.caption


def test_older_runs_without_patients_are_told_apart(tmp_path):
    store = study(tmp_path, BINARY, patients=np.arange(40) // 2)
    files = store.grid()[0]
    files.save_predictions(*files.predictions()[:2])
    table = tables(store)["model-table"]
    assert column(table, "n") == ["40"] + ["20"] * 5
    assert "Of 1 runs: patients are unknown" in table.caption


def test_means_over_seeds_are_those_of_the_last_evaluation(tmp_path):
    table = tables(study(tmp_path, BINARY))["start-table"]
    aucs = [metrics.evaluate("binary", drawn(LABELS, 2, place), LABELS, 1)["auc"] for place in (0, 2, 4)]
    assert column(table, "AUC")[0] == f"{np.mean(aucs):.3f} ± {np.std(aucs, ddof=1):.3f}"
    low, high = column(table, "95 % interval")[0].split(" to ")
    margin = 4.302653 * np.std(aucs, ddof=1) / np.sqrt(3)
    assert (float(low), float(high)) == pytest.approx(
        (np.mean(aucs) - margin, min(1, np.mean(aucs) + margin)), abs=1e-3
    )
    assert table.columns == ("start", "n", "AUC", "95 % interval", "AUPRC", "accuracy", "Brier", "ECE")
    assert "note" not in table.columns


def test_one_seed_has_no_spread_and_two_hardly_any(tmp_path):
    one = tables(study(tmp_path / "one", BINARY, seeds=(0,)))["start-table"]
    assert set(column(one, "note")) == {"one seed shows no spread"}
    assert set(column(one, "95 % interval")) == {"-"}
    assert "±" not in "".join(column(one, "AUC"))
    two = tables(study(tmp_path / "two", BINARY, seeds=(0, 1)))["start-table"]
    assert all("two seeds" in note for note in column(two, "note"))
    low, high = map(float, column(two, "95 % interval")[0].split(" to "))
    assert 0 <= low < high <= 1
    assert high - low > 0.2


def test_seeds_that_agree_exactly_claim_no_certainty(tmp_path):
    table = tables(study(tmp_path, BINARY, scores=drawn(LABELS, 2, 0)))["start-table"]
    assert set(column(table, "95 % interval")) == {"-"}
    assert "agree exactly" in column(table, "note")[0]


def test_perfect_separation_is_wide_and_the_page_says_why(tmp_path):
    store = study(tmp_path, BINARY, scores=np.eye(2, dtype=np.float32)[LABELS], patients=np.arange(40))
    table = tables(store)["model-table"]
    assert set(column(table, "AUC")) == {"1.000"}
    assert set(column(table, "95 % interval")) == {f"{0.025 ** (1 / 20):.3f} to 1.000"}
    assert "perfect separation: interval of 20 disjoint pairs of cases" in write_page(store).read_text(encoding="utf-8")


def test_a_held_out_split_of_one_class_has_no_auc_and_says_so(tmp_path):
    labels = np.zeros(12, dtype=np.int64)
    scores = drawn(labels, 2, 0)
    found = tables(study(tmp_path, BINARY, labels=labels, scores=scores))
    assert set(column(found["model-table"], "AUC")) == set(column(found["model-table"], "95 % interval")) == {"-"}
    assert set(column(found["model-table"], "note")) == {"one class is absent"}
    assert "-" not in column(found["model-table"], "Brier")
    assert set(column(found["start-table"], "note")) == {"3 of 3 runs have no AUC"}
    assert "one class is absent" in write_page(Store(tmp_path)).read_text(encoding="utf-8")


def test_classes_that_are_absent_are_left_out_and_counted(tmp_path):
    labels = np.where(np.arange(60) % 4 == 3, 0, np.arange(60) % 4)
    card = {"kind": "multiclass", "positive": None, "classes": {"test": {"a": 30, "b": 15, "c": 15, "d": 0}}}
    store = study(tmp_path, card, labels=labels, scores=drawn(labels, 4, 0))
    table = tables(store)["class-table"]
    assert column(table, "class") == ["a", "b", "c", "d", "mean of those that exist"]
    cells = [float(text.split(" ")[0]) for text in column(table, "random") if text != "-"]
    assert len(cells) == 4
    assert cells[-1] == pytest.approx(np.mean(cells[:3]), abs=1e-3)
    assert "1 of 4 have cases of one kind only and thus none: d." in table.caption
    assert "a bootstrap of the mean over classes that draws images" in tables(store)["model-table"].caption


def test_labels_that_are_unknown_are_left_out(tmp_path):
    labels = (np.random.default_rng(0).random((80, 3)) < 0.4).astype(np.float32)
    labels[:20] = np.nan
    labels[20:30, 1] = np.nan
    card = {"kind": "multilabel", "positive": None, "classes": {"test": {"a": 1, "b": 1, "c": 1}}}
    store = study(tmp_path, card, labels=labels)
    table = tables(store)["model-table"]
    assert set(column(table, "n")) == {"60"}
    assert set(tables(store)["class-table"].columns) == {"class", *STARTS}
    assert "All 3 have one." in tables(store)["class-table"].caption
    bins = tables(store)["calibration-table"]
    assert sum(int(n) for n in column(bins, "n")) == 2 * 3 * (60 + 50 + 60)


def test_graded_tasks_have_grades_but_no_mean_of_them(tmp_path):
    labels = np.arange(60) % 3
    card = {"kind": "graded", "positive": 1, "classes": {"test": {"none": 20, "mild": 20, "grave": 20}}}
    store = study(tmp_path, card, labels=labels)
    assert column(tables(store)["class-table"], "class") == ["none", "mild", "grave"]
    (picture,) = (part for part in single_models.section(Material(store)).parts if isinstance(part, Picture))
    assert "predicted probability of mild or above" in picture.caption


def test_where_the_card_is_silent_nothing_is_guessed(tmp_path):
    store = study(tmp_path, {}, rule=("binary", 1))
    section = single_models.section(Material(store))
    assert "Intervals and calibration are left out" in section.parts[0]
    assert set(column(tables(store)["model-table"], "note")) == {"what counts as positive is not known"}
    assert "-" not in column(tables(store)["model-table"], "AUC")
    assert not [part for part in section.parts if isinstance(part, Picture)]


@pytest.mark.parametrize(
    ("damage", "note"),
    [
        (lambda path: path.unlink(), "its predictions are not on disk"),
        (lambda path: path.write_bytes(b"torn"), "its predictions are damaged"),
    ],
)
def test_predictions_that_are_gone_cost_their_run_only(tmp_path, damage, note):
    store = study(tmp_path, BINARY)
    damage(store.grid()[0].predictions_path)
    table = tables(store)["model-table"]
    assert column(table, "note") == [note] + [""] * 5
    assert column(table, "95 % interval").count("-") == 1
    assert "-" not in column(table, "AUC")


@pytest.mark.parametrize("card", [{"kind": "binary", "positive": None}, {"kind": "binary-ish", "positive": 1}])
def test_a_card_that_does_not_fit_is_a_note(tmp_path, card):
    store = study(tmp_path, card, rule=("binary", 1))
    assert "do not fit the task" in column(tables(store)["model-table"], "note")[0]


def test_only_the_largest_size_and_finished_runs_are_shown(tmp_path):
    store = study(tmp_path, BINARY, sizes=(10, None))
    assert len(tables(store)["model-table"].rows) == 6
    for files in store.grid():
        files.result_path.unlink()
    assert single_models.section(Material(store)) is None


def test_the_page_holds_it_and_no_markup_of_the_classes(tmp_path):
    card = BINARY | {"positive": 0}
    store = study(tmp_path, card)
    page = write_page(store).read_text(encoding="utf-8")
    assert "Single models" in page
    assert "ill&lt;b&gt;" in page
    assert "ill<b>" not in page
    assert (store.figures_path / "calibration.svg").exists()
