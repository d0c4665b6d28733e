"""What ``conclude`` makes of frames that others wrote."""

import numpy as np
import pandas as pd
import pytest
from judged import SPEEDUPS
from planted import Planted

from transfusion.errors import InputError, UnknownNameError
from transfusion.metrics import Metric
from transfusion.verdict import conclude
from transfusion.verdict.curves import read

FRAME = Planted(SPEEDUPS, tops={}, num_seeds=3).frame(0)


def test_start_seed_step_and_the_metric_are_enough():
    plain = FRAME.rename(columns={"scheme": "start"})[["start", "seed", "step", "auc"]]
    found, usual = conclude(plain), conclude(FRAME)
    assert found.schemes["pretrained"].speedup == usual.schemes["pretrained"].speedup
    assert found.lines == usual.lines


def test_runs_of_several_sizes_are_told_apart():
    plain = FRAME.rename(columns={"scheme": "start"})[["start", "seed", "step", "auc"]]
    assert list(conclude(pd.concat([plain.assign(size=50), plain.assign(size=None)])).by_size) == ["50", "all"]


@pytest.mark.parametrize(
    ("frame", "error", "said"),
    [
        (pd.concat([FRAME, FRAME]), InputError, r"rows repeat an evaluation, first run '\w+.*' at step 0"),
        (FRAME.assign(auc=100 * FRAME["auc"]), InputError, "outside 0 to 1, first .*not in percent"),
        (FRAME.assign(auc=FRAME["auc"] - 1), InputError, "outside 0 to 1"),
        (FRAME.assign(auc=FRAME["auc"].where(FRAME["step"] < FRAME["step"].max())), InputError, "last evaluation"),
        (FRAME.drop(columns="seed"), InputError, "lacks .*seed"),
        (FRAME[FRAME["scheme"] != "random"], UnknownNameError, "random.*pretrained"),
    ],
)
def test_what_cannot_be_meant_is_refused(frame, error, said):
    with pytest.raises(error, match=said):
        conclude(frame)


def test_an_unknown_baseline_is_told_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="foo.*random"):
        conclude(FRAME, baseline="foo")


def test_a_metric_of_ones_own_may_have_any_values():
    own = Metric("auc", "points", higher_is_better=True, margin=1.0)
    assert conclude(FRAME.assign(auc=100 * FRAME["auc"]), own).schemes


def test_a_run_whose_last_value_is_missing_has_no_end_and_the_others_do():
    lost = (FRAME["step"] == FRAME["step"].max()) & (FRAME["seed"] == 0) & (FRAME["scheme"] == "pretrained")
    verdict = conclude(FRAME.assign(auc=FRAME["auc"].where(~lost)))
    assert verdict.schemes["pretrained"].final_n == 2


def test_all_metrics_are_judged_where_the_kept_weights_were_picked():
    """By ``val_auc``, whatever the metric; by the metric's own validation values only where there are no others."""
    rows = {"run": "a", "scheme": "random", "seed": 0, "step": [0, 10, 20, 30], "accuracy": [0.1, 0.2, 0.3, 0.4]}
    frame = pd.DataFrame(rows).assign(val_accuracy=[0, 0, 1.0, 0.5])
    of_both = frame.assign(val_auc=[0.5, 0.9, 0.8, np.nan])
    picks = [
        read(one, "accuracy", Metric("accuracy", "", higher_is_better=True).picked_by)[0].find("random")[0].final
        for one in (frame, of_both)
    ]
    assert picks == [0.3, 0.2]
