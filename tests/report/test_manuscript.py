"""The methods paragraph says what was done."""

import pytest
from eyes import make_study

from transfusion.files import write_bytes
from transfusion.report.manuscript import methods
from transfusion.report.material import Material


@pytest.mark.parametrize("metric", ["auc", "accuracy"])
def test_the_validation_split_picks_by_auc_whatever_the_study_is_judged_by(metric, tmp_path):
    store = make_study(tmp_path)
    spec, runs = store.spec(), [files.spec() for files in store.grid()]
    store.begin(spec.with_values(metric=metric), runs, None, store.card())
    for files in store.grid():
        write_bytes(files.picked_path, b"")
        for step in (45, 50):
            files.append({"step": step, "loss": 1.0, "auc": 0.9, "accuracy": 0.8, "time_s": 2.0 * step})
    material = Material(store)
    assert "The evaluation with the highest AUC on the validation images counted." in methods(material)
