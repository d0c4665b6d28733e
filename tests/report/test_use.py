"""The sections on use: operating points, confusion matrices, pictures of right and wrong."""

import io
import re

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix, recall_score
from test_single_models import BINARY, LABELS, drawn, study

from transfusion.metrics import threshold_at
from transfusion.report import examples, operating, thresholds
from transfusion.report.material import Material
from transfusion.report.page import write_page
from transfusion.report.parts import Gallery, Picture, Table, flat
from transfusion.runs.machine import Machine
from transfusion.spec import StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study

CLASSES = {"kind": "multiclass", "positive": None, "classes": {"test": {"cat": 14, "dog": 13, "eel": 13}}}
LABELLED = {"kind": "multilabel", "positive": None, "classes": {"test": {"cough": 20, "fever": 20}}}
OWN = ("pretrained", "random")


def parts(store, kind):
    section = operating.section(Material(store))
    return {part.name: part for part in flat(section.parts) if isinstance(part, kind)}


def cells(table, *start):
    (row,) = [row for row in table.rows if tuple(getattr(cell, "text", cell) for cell in row[: len(start)]) == start]
    return dict(zip(table.columns, row, strict=True))


def runs_of(store, start):
    return [files for files in store.grid() if files.spec().scheme.name == start]


def test_points_at_one_half_are_scikit_learn_s(tmp_path):
    store = study(tmp_path, BINARY)
    row = cells(parts(store, Table)["points"], "pretrained")
    called = [files.predictions()[0][:, 1] >= 0.5 for files in runs_of(store, "pretrained")]
    assert row["sensitivity at 0.5"].key == pytest.approx(np.mean([recall_score(LABELS, one) for one in called]))
    spared = [recall_score(LABELS, one, pos_label=0) for one in called]
    assert row["specificity at 0.5"].key == pytest.approx(np.mean(spared))
    assert row["specificity at 0.5"].note == f"{min(spared):.0%} to {max(spared):.0%}".replace("%", " %")
    assert re.fullmatch(r"\d+ % \(\d+ % to \d+ %\)", row["sensitivity at 0.5"].text)


def test_accuracy_stands_beside_that_of_the_most_common_class(tmp_path):
    labels = (np.arange(40) % 4 == 0).astype(int)
    table = parts(study(tmp_path, BINARY, labels), Table)["points"]
    assert cells(table, "always the most common class")["accuracy"].key == 0.75


def test_without_validation_images_it_is_said_that_thresholds_are_chosen_on_those_that_judge(tmp_path):
    store = study(tmp_path, BINARY)
    table = parts(store, Table)["points"]
    assert "chosen on the very test images that judge it" in table.caption
    spared = []
    for files in runs_of(store, "random"):
        scores = files.predictions()[0][:, 1].astype(float)
        spared.append(recall_score(LABELS, scores >= threshold_at(LABELS, scores, 0.95), pos_label=0))
    assert cells(table, "random")["specificity at 95 % sensitivity"].key == pytest.approx(np.mean(spared))


def with_validation(store, seed=99):
    """Scores on forty validation images that are easier than the test images."""
    for place, files in enumerate(store.grid()):
        scores, labels, patients = files.predictions()
        files.save_predictions(scores, labels, patients, (drawn(LABELS, 2, seed + place, shift=2.0), LABELS))
    return store


def test_validation_images_choose_the_threshold_where_there_are_any(tmp_path):
    store = with_validation(study(tmp_path, BINARY))
    table = parts(store, Table)["points"]
    assert "chosen on the validation images, and judged on the test images" in table.caption
    found = []
    for files in runs_of(store, "random"):
        scores, labels = files.validation()
        threshold = threshold_at(labels, scores[:, 1], 0.95)
        found.append(recall_score(LABELS, files.predictions()[0][:, 1] >= threshold))
    assert cells(table, "random")["sensitivity at the 95 % threshold"].key == pytest.approx(np.mean(found))


def test_validation_images_whose_scores_are_gone_are_not_said_to_be_absent(tmp_path):
    kept_none = {**BINARY, "images": {"train": 100, "val": 120, "test": 40}}
    caption = parts(study(tmp_path / "a", kept_none), Table)["points"].caption
    assert "no validation images" not in caption
    assert "120 validation images were not kept" in caption
    assert "chosen on the very test images that judge it" in caption


def test_where_validation_images_judge_thresholds_are_chosen_on_them(tmp_path):
    store = study(tmp_path, {**BINARY, "images": {"train": 100, "val": 40}})
    spec = store.spec()
    spec = spec.with_values(train=spec.train.with_values(eval_split="val"))
    store.begin(spec, [files.spec() for files in store.grid()], None, store.card())
    caption = parts(store, Table)["points"].caption
    assert "chosen on the very validation images that judge it" in caption
    assert "no validation images" not in caption


def test_a_stated_sensitivity_is_used(tmp_path):
    store = study(tmp_path, BINARY)
    spec = store.spec().with_values(sensitivity=0.8)
    store.begin(spec, [files.spec() for files in store.grid()], None, BINARY)
    assert "specificity at 80 % sensitivity" in parts(store, Table)["points"].columns


def test_each_class_is_judged_against_the_others_by_name(tmp_path):
    labels = np.arange(40) % 3
    store = study(tmp_path, CLASSES, labels)
    row = cells(parts(store, Table)["points"], "dog", "pretrained")
    called = [files.predictions()[0][:, 1] >= 0.5 for files in runs_of(store, "pretrained")]
    found = [recall_score(labels == 1, one) for one in called]
    assert row["sensitivity at 0.5"].key == pytest.approx(np.mean(found))
    assert row["positive images"].text == "13"
    assert len(parts(store, Picture)["roc"].draw().axes) == 3


def test_the_matrix_is_that_of_the_median_training(tmp_path):
    labels = np.arange(40) % 3
    store = study(tmp_path, CLASSES, labels)
    aucs = [(files.curve()[-1]["auc"], files) for files in runs_of(store, "random")]
    files = sorted(aucs, key=lambda pair: pair[0])[1][1]
    expected = confusion_matrix(labels, files.predictions()[0].argmax(1))
    rows = [row for row in parts(store, Table)["confusion"].rows if row[0] == "random"]
    assert [row[1] for row in rows] == ["cat", "dog", "eel"]
    assert [[cell.key for cell in row[2:]] for row in rows] == expected.tolist()


def test_the_mean_over_trainings_stands_beside_the_median_one(tmp_path):
    labels = np.arange(40) % 3
    store = study(tmp_path, CLASSES, labels)
    every = [
        confusion_matrix(labels, files.predictions()[0].argmax(1), normalize="true")
        for files in runs_of(store, "random")
    ]
    rows = [row for row in parts(store, Table)["confusion"].rows if row[0] == "random"]
    said = [[float(cell.note.split("mean ")[1].removesuffix(" %")) for cell in row[2:]] for row in rows]
    assert np.allclose(said, 100 * np.mean(every, axis=0), atol=0.5)


def test_several_labels_have_points_and_no_matrix(tmp_path):
    labels = np.stack([LABELS, LABELS[::-1]], 1).astype(float)
    labels[0] = np.nan
    store = study(tmp_path, LABELLED, labels)
    found = parts(store, Table)
    assert {row[0] for row in found["points"].rows} == {"cough", "fever"}
    assert not any(name.startswith("confusion") for name in found)


def test_a_class_without_a_case_is_a_dash(tmp_path):
    labels = np.stack([LABELS, np.zeros(40)], 1).astype(float)
    table = parts(study(tmp_path, LABELLED, labels), Table)["points"]
    assert cells(table, "fever", "random")["sensitivity at 0.5"].text == "-"
    assert cells(table, "fever", "random")["specificity at 95 % sensitivity"].text == "-"


def test_nothing_is_judged_without_predictions(tmp_path):
    store = study(tmp_path, BINARY)
    for files in store.grid():
        files.predictions_path.unlink()
    assert operating.section(Material(store)) is None
    assert operating.tile(Material(store)) is None


def tilted(labels, seed):
    """Scores that rank perfectly and call almost everything positive."""
    scores = np.clip(0.6 + 0.3 * labels + 0.001 * np.random.default_rng(seed).random(len(labels)), 0, 1)
    return np.stack([1 - scores, scores], 1).astype(np.float32)


def test_a_network_that_ranks_well_and_calls_badly_is_told_apart(tmp_path):
    store = study(tmp_path, BINARY)
    for seed, files in enumerate(runs_of(store, "pretrained")):
        files.save_predictions(tilted(LABELS, seed), LABELS)
        values = {"loss": 1.0, "auc": 1.0 - 0.001 * seed, "accuracy": 0.5, "brier": 0.3 + 0.001 * seed, "ece": 0.3}
        files.rewind(0)
        files.append({"step": 4, **values})
    material = Material(store)
    said = next(part for part in operating.section(material).parts if isinstance(part, str))
    assert "Ranking" in said
    assert re.search(r"Brier 0\.301 against 0\.[12]\d\d\): worse", said)
    assert "choose its threshold on held-out images" in said
    tile = operating.tile(material)
    assert (tile.title, tile.value, tile.mark) == ("Caution: specificity at 0.5", "0 % against 78 %", "caution")


SPEC = StudySpec(
    name="small",
    task=TaskSpec(data="embedded:fundus", image_size=16, num_images=(24, 8, 40)),
    model="cbr_tiny_small",
    schemes=("kaiming", "random"),
    seeds=(0, 1, 2),
    train=TrainSpec(steps=6, batch_size=8, eval_every=2, precision="float32"),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A study that was trained, with a validation split and images that can be shown."""
    folder = tmp_path_factory.mktemp("trained")
    trained = Study(SPEC, folder / "study", cache=folder / "cache")
    trained.run(workers=0, progress=False, machine=Machine(accelerator="cpu", threads=1))
    return trained


@pytest.mark.training
def test_a_training_keeps_its_scores_on_validation_images(trained):
    scores, labels = trained.store.grid()[0].validation()
    assert scores.shape == (8, 5)
    assert len(labels) == 8


@pytest.mark.training
def test_pictures_are_those_that_are_named(trained):
    material = Material(trained.store, cache=trained.cache)
    galleries = [part for part in flat(examples.section(material).parts) if isinstance(part, Gallery)]
    split = examples.images_of(material).splits["test"]
    shown = [card for gallery in galleries for card in gallery.cards]
    assert 4 < len(shown) <= examples.RIGHT + examples.WORST
    for card in shown:
        row = int(re.match(r"Test image (\d+):", card.alt).group(1)) - 1
        image = Image.open(io.BytesIO(card.png))
        assert image.size == (16, 16)
        assert np.array_equal(np.asarray(image), split.images[row])
        is_referable = int(split.labels[row]) >= 2
        assert card.title.startswith("not ") != is_referable


@pytest.mark.training
def test_wrong_ones_are_the_surest_first_and_their_files_are_named_on_disk_only(trained, tmp_path):
    material = Material(trained.store, tmp_path, cache=trained.cache)
    found = thresholds.Judged.of(material)
    wrong = examples.worst(list(examples.judged_cases(found)))
    given = [case.leading for case in wrong]
    assert given == sorted(given)
    assert max(given) < 0.5
    page = write_page(trained.store, tmp_path / "page.html", cache=trained.cache).read_text(encoding="utf-8")
    lines = (tmp_path / "figures" / examples.NAMES).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + min(len(wrong), examples.WORST)
    assert page.count('<ul class="gallery">') >= 2
    name = lines[1].split(",")[0]
    assert name
    assert f">{name}<" not in page


@pytest.mark.training
def test_pictures_can_be_left_out(trained, tmp_path):
    page = write_page(trained.store, tmp_path / "page.html", examples=False, cache=trained.cache)
    text = page.read_text(encoding="utf-8")
    assert 'class="gallery"' not in text
    assert "Right and wrong" not in text
    assert not (tmp_path / "figures" / examples.NAMES).exists()


def test_the_study_s_own_setting_leaves_them_out_too(tmp_path):
    store = study(tmp_path, BINARY)
    store.begin(store.spec().with_values(examples=False), [files.spec() for files in store.grid()], None, BINARY)
    assert not Material(store).shows_images
    assert Material(store, examples=True).shows_images
    assert examples.section(Material(store)) is None


def test_images_that_are_gone_are_left_out_in_a_sentence(tmp_path):
    section = examples.section(Material(study(tmp_path, BINARY)))  # runs without fingerprint
    assert section.parts == ("Images are not shown: they are not where the study found them, or have changed since.",)


def test_deep_and_grey_images_are_shown():
    deep = np.full((4, 4, 1), 65535, np.uint16)
    image = Image.open(io.BytesIO(examples.png(deep)))
    assert image.mode == "L"
    assert set(np.asarray(image).ravel()) == {255}


@pytest.mark.training
def test_no_path_of_this_machine_is_on_the_page(trained, tmp_path):
    page = write_page(trained.store, tmp_path / "page.html", cache=trained.cache).read_text(encoding="utf-8")
    assert str(trained.store.folder) not in page
    assert str(tmp_path) not in page
