"""Where the time of a whole study goes: planning, initial weights, steps, evaluations, files, page.

One process carries out everything, so that its shares add up; throughput.py has processes side by side.

    python benchmarks/whole_study.py [--steps 30] [--runs 2] [--sides 96 224] [--models squeezenet1_0 resnet18]
"""

from __future__ import annotations

import argparse
import functools
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import write
from throughput import BATCH, DATA, LR, WEIGHTS

from transfusion import study
from transfusion.runs import plan, run, run_files, train
from transfusion.spec import SchemeSpec, StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study

# what is timed: the part of a study, where the function is looked up, and its name
PARTS = (
    ("data: find, hash, decode", plan.tasks, "load"),
    ("planning beside the data", study, "make_plan"),
    ("initial weights", run, "_start"),
    ("training steps", train.Trainer, "train_step"),
    ("evaluations", train, "evaluate"),
    ("files: weights, curves, scores", run_files, "write_tensors"),
    ("files: weights, curves, scores", run, "write_tensors"),
    ("files: weights, curves, scores", run_files.RunFiles, "append"),
    ("files: weights, curves, scores", run_files.RunFiles, "save_checkpoint"),
    ("page and figures", Study, "report"),
)


class Stopwatch:
    """Seconds by part; what a part calls of another counts for that other alone."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inner = [0.0]

    def time(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time added to a part."""

        @functools.wraps(function)
        def timed(*args: Any, **named: Any) -> Any:
            began = time.perf_counter()
            self._inner.append(0.0)
            try:
                return function(*args, **named)
            finally:
                took = time.perf_counter() - began
                self.seconds[part] += took - self._inner.pop()
                self._inner[-1] += took

        return timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--sides", type=int, nargs="+", default=[96, 224])
    parser.add_argument("--models", nargs="+", default=["squeezenet1_0", "resnet18"])
    asked = parser.parse_args()
    cases = [(model, side) for model in asked.models for side in asked.sides]
    columns = [shares(model, side, asked.steps, asked.runs) for model, side in cases]
    parts = dict.fromkeys([*(part for part, _, _ in PARTS), "the rest"])
    rows = [
        "| part | " + " | ".join(f"{model}, {side} px" for model, side in cases) + " |",
        "|---" * (len(cases) + 1) + "|",
        *(f"| {part} | " + " | ".join(cell(column, part) for column in columns) + " |" for part in parts),
        "| all | " + " | ".join(f"{sum(column.values()):.1f} s" for column in columns) + " |",
    ]
    write(
        "whole_study",
        "Where the time of a whole study goes",
        f"{asked.runs} runs of {asked.steps} steps of {BATCH} images of chest_xray, test AUC on 640 images every "
        "30 steps, one process, an empty cache, n = 1; imports not counted.",
        "\n".join(rows),
    )


def cell(seconds: Counter[str], part: str) -> str:
    return f"{seconds[part]:.1f} s, {seconds[part] / sum(seconds.values()):.0%}"


def shares(model: str, side: int, steps: int, runs: int) -> Counter[str]:
    """Seconds by part of one study."""
    watch = Stopwatch()
    originals = [(owner, name, getattr(owner, name)) for _, owner, name in PARTS]
    for (part, owner, name), (_, _, function) in zip(PARTS, originals, strict=True):
        setattr(owner, name, watch.time(part, function))
    try:
        with tempfile.TemporaryDirectory() as folder:
            watch.time("the rest", whole)(Path(folder), model, side, steps, runs)
    finally:
        for owner, name, function in originals:
            setattr(owner, name, function)
    return watch.seconds


def whole(folder: Path, model: str, side: int, steps: int, runs: int) -> None:
    squeezenet = model == "squeezenet1_0"  # the only one with a donor at hand; others begin from random
    spec = StudySpec(
        task=TaskSpec(data=str(DATA / "chest_xray"), image_size=side, val_fraction=0.0),
        model=model,
        donor=f"file:{WEIGHTS}" if squeezenet else None,
        schemes=(SchemeSpec(name="pretrained" if squeezenet else "random"),),
        baseline="pretrained" if squeezenet else "random",
        seeds=tuple(range(runs)),
        train=TrainSpec(steps=steps, batch_size=BATCH, lr=LR, eval_every=30),
    )
    ours = Study(spec, folder / "study", cache=folder / "cache")
    assert not ours.run(workers=0, progress=False).failed
    ours.report()


if __name__ == "__main__":
    main()
