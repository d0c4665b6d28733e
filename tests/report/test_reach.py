"""Tile, table and sentence say the same of a start that was there before anybody looked."""

import math

import pytest
from planted import Planted

from transfusion.report.costs import reaches
from transfusion.report.effects import section
from transfusion.report.material import Material
from transfusion.report.parts import Table, flat
from transfusion.runs.store import Store
from transfusion.spec import RunSpec, SchemeSpec, StudySpec, TaskSpec, TrainSpec


@pytest.fixture
def material(tmp_path):
    """A study whose pretrained runs were at the threshold by their first evaluation."""
    frame = Planted({"random": 1.0, "pretrained": 30.0}, tops={}, num_seeds=5, noise=0.003).frame(1)
    store, train = Store(tmp_path), TrainSpec(steps=int(frame["step"].max()))
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
            files.append({"step": row["step"], "loss": 1.0, "auc": row["auc"], "time_s": 0.1 * row["step"]})
    return Material(store)


def test_a_bound_in_steps_goes_with_the_bound_in_times(material):
    speed = material.verdict.schemes["pretrained"].claim("speedup")
    assert math.isinf(speed.high)
    found = reaches(material)
    assert found["pretrained"].steps == pytest.approx(found["random"].steps / speed.low)
    table = next(part for part in flat(section(material).parts) if isinstance(part, Table))
    cells = {row[0].text: row for row in table.rows}["pretrained"]
    assert cells[3].text == f"≥ {speed.low:.2f}"
    assert cells[4].text == found["pretrained"].time
