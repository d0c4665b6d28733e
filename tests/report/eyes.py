"""Studies on disk for the report's tests: made up, without training."""

from __future__ import annotations

import math

from transfusion.runs.store import Store
from transfusion.spec import RunSpec, SchemeSpec, StudySpec, TaskSpec, TrainSpec

CARD = {
    "layout": "folder",
    "source": "/data/eyes",
    "splits_given": ["test"],
    "images": {"train": 80, "test": 20},
    "classes": {"train": {"well": 60, "ill": 20}, "test": {"well": 15, "ill": 5}},
    "patients": {"train": 40, "test": "unknown"},
    "patients_in_both": {"train and test": 2},
    "identical_files": {},
    "modes": {"RGB": 100},
    "sizes": {"smallest": [8, 9], "largest": [20, 20], "most_common": [9, 9]},
    "bit_depth": 8,
    "left_out": ["torn.jpeg: cannot be read"],
    "other_files": {"txt": 1},
    "warnings": ["2 patients are in both train and test as the splits were given."],
}
LEVELS = {"pretrained": 0.7, "mean_var": 0.6, "random": 0.55}


def make_study(folder, name="eyes", seeds=(0, 1), steps=40):
    """A finished study of three starts, of which ``pretrained`` ends highest."""
    store, task = Store(folder), TaskSpec(data="/data/eyes")
    runs = [
        RunSpec(task=task, model="m", scheme=SchemeSpec(name=start), seed=seed, train=TrainSpec(steps=steps))
        for start in LEVELS
        for seed in seeds
    ]
    spec = StudySpec(name=name, model="m", task=task, seeds=seeds, train=TrainSpec(steps=steps))
    store.begin(spec, runs, None, CARD)
    for run in runs:
        files = store.run(run.id)
        files.begin(run, {"processor": "abacus", "versions": {"beads": "10"}})
        for step in range(0, steps + 1, 5):
            auc = LEVELS[run.scheme.name] + 0.2 * (1 - math.exp(-step / 10)) + 0.004 * run.seed + 0.001 * (step % 3)
            files.append({"step": step, "loss": 1.0, "auc": auc, "time_s": 2.0 * step})
        files.finish({"auc": auc})
    return store
