"""What a plan says before anything is trained."""

from __future__ import annotations

import pytest
from safetensors.torch import save_file

from transfusion.errors import SpecError
from transfusion.networks.models import build
from transfusion.report import opening
from transfusion.report.material import Material
from transfusion.runs.plan import make_plan
from transfusion.runs.store import Store
from transfusion.schemes import initialize
from transfusion.spec import StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study

TASK = TaskSpec(data="embedded:natural", image_size=16, num_images=(64, 32, 32))


@pytest.mark.parametrize("factor", [1.0, 30.0, 1 / 30])
def test_a_donor_in_odd_units_is_told_in_one_line(tmp_path, factor):
    model = build("cbr_tiny_small", num_outputs=8)
    initialize(model, "kaiming", seed=1)
    state = model.state_dict()
    state["block1.0.weight"] *= factor
    save_file(state, tmp_path / "donor.safetensors")
    donor = f"file:{tmp_path / 'donor.safetensors'}"
    spec = StudySpec(task=TASK, model="cbr_tiny_small", donor=donor, seeds=(0,))
    study = Study(spec, tmp_path / "s", cache=tmp_path / "c")
    plan = study.plan()
    study.store.begin(study.spec, plan.grid, plan.donor_run, plan.card)
    told, on_page = (
        [note for note in notes if "He's scale" in note] for notes in (plan.notes, opening.notes(Material(study.store)))
    )
    assert len(told) == (factor != 1)
    assert on_page == told
    if told:
        assert "first layer" in told[0]
        assert "block1" in told[0]
        assert "block2" not in told[0]
        assert "mean_var" in told[0]
        assert "\n" not in told[0]


def test_crops_that_the_images_do_not_hold_are_refused(tmp_path):
    spec = StudySpec(
        task=TaskSpec(data="embedded:fundus", image_size=32, num_images=(16, 0, 12)),
        model="cbr_tiny_small",
        schemes=("random",),
        train=TrainSpec(ten_crop=40),
    )
    with pytest.raises(SpecError, match=r"ten_crop=40 takes crops of 40 px.*have 32 px"):
        make_plan(spec, Store(tmp_path))
    assert make_plan(spec.with_values(train=TrainSpec(ten_crop=24)), Store(tmp_path)).grid
