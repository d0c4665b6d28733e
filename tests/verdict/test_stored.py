"""The verdict of a study on disk: intervals cover the patients whose predictions were kept."""

import numpy as np
import pytest

from transfusion import metrics
from transfusion.runs.store import Store
from transfusion.spec import RunSpec, SchemeSpec, StudySpec, TaskSpec, TrainSpec
from transfusion.verdict.stored import conclude_study

LABELS, PATIENTS = np.repeat([0, 1], 30), np.arange(60) // 2


def study(folder, card):
    store, generator = Store(folder), np.random.default_rng(0)
    runs = [
        RunSpec(task=TaskSpec(), model="m", scheme=SchemeSpec(name=name), seed=seed, train=TrainSpec(steps=4))
        for seed in range(3)
        for name in ("pretrained", "random")
    ]
    store.begin(StudySpec(), runs, None, card)
    for run in runs:
        files, chance = store.run(run.id), 1 / (1 + np.exp(-generator.normal(size=60) - LABELS))
        scores = np.c_[1 - chance, chance].astype(np.float32)
        files.begin(run, {})
        files.append({"step": 0, "loss": 1.0, "auc": 0.5})
        files.append({"step": 4, "loss": 1.0, **metrics.evaluate("binary", scores, LABELS, 1)})
        files.save_predictions(scores, LABELS, PATIENTS)
        files.finish({"auc": 0.9})
    return store


CARD = {"kind": "binary", "positive": 1}


def test_patients_are_those_of_the_predictions(tmp_path):
    found = conclude_study(study(tmp_path, CARD), CARD).main
    assert (found.num_patients, found.num_positive) == (30, 15)
    assert found.final_difference.parts["patients"] == pytest.approx(found.evidence.shared_part)


@pytest.mark.parametrize(("patients", "called"), [(30, "patients"), ("unknown", "images")])
def test_images_are_called_patients_only_where_these_are_known(tmp_path, patients, called):
    card = {**CARD, "patients": {"test": patients}}
    verdict = conclude_study(study(tmp_path, card), card)
    said = verdict.about("certainty")[0].text
    assert f"30 test {called}" in said
    assert ("patient" in said) == (called == "patients")
    assert verdict.judged_on == called


@pytest.mark.parametrize("harm", ["no card", "damaged", "gone"])
def test_without_predictions_it_speaks_of_these_images_only(tmp_path, harm):
    store = study(tmp_path, CARD)
    path = store.grid()[0].predictions_path
    if harm == "damaged":
        path.write_bytes(b"torn")
    elif harm == "gone":
        path.unlink()
    found = conclude_study(store, {} if harm == "no card" else CARD).main
    assert not found.final_difference.parts
    assert found.final_difference.low < found.final_difference.high
