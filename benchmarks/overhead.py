"""Cost of our training loop over a bare loop at equal precision, memory format and threads.

Both train the same network on the same decoded images with the same evaluations. Ours adds the fixed order, seeds
for every draw, the learning-rate schedule, Fabric, the curve on disk and checkpoints.

    python benchmarks/overhead.py [--steps 40] [--repeats 7]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from harness import alternate, table, write
from torch import nn

from transfusion import metrics, tasks
from transfusion.networks import models
from transfusion.runs.machine import Machine, best_precision
from transfusion.runs.store import Store
from transfusion.runs.train import EVAL_BATCH, Trainer, fit
from transfusion.spec import RunSpec, SchemeSpec, TaskSpec, TrainSpec

SIDE, BATCH, EVERY = 96, 32, 10
# no validation split: the bare loop evaluates none
TASK = TaskSpec(data="embedded:fundus", image_size=SIDE, num_images=(1000, 0, 200))


def bare_loop(task: tasks.Task, model_name: str, steps: int) -> float:
    model = models.build(model_name, task.num_outputs, task.channels, SIDE).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4, fused=True)
    train, test = task.splits["train"], task.splits["test"]
    draw = np.random.default_rng(0)
    labels = torch.from_numpy(np.array(train.labels))
    began = time.perf_counter()
    bare_evaluate(model, task, test)
    for step in range(1, steps + 1):
        rows = draw.integers(0, len(labels), BATCH)
        loss = nn.functional.cross_entropy(model(prepared(task, train.images[rows])), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % EVERY == 0:
            bare_evaluate(model, task, test)
    return time.perf_counter() - began


def prepared(task: tasks.Task, images: np.ndarray) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) * 255 for values in (task.mean, task.std))
    return torch.from_numpy(images.copy()).permute(0, 3, 1, 2).float().sub_(mean).div_(std)


def bare_evaluate(model: nn.Module, task: tasks.Task, split: tasks.Split) -> None:
    model.eval()
    with torch.inference_mode():
        starts = range(0, len(split.labels), EVAL_BATCH)
        found = [model(prepared(task, split.images[start : start + EVAL_BATCH])).softmax(1) for start in starts]
    model.train()
    metrics.evaluate(task.kind, torch.cat(found).double().numpy(), np.array(split.labels), task.positive)


def our_loop(task: tasks.Task, model_name: str, steps: int) -> float:
    train = TrainSpec(steps=steps, batch_size=BATCH, eval_every=EVERY, precision="float32")
    run = RunSpec(task=TASK, model=model_name, scheme=SchemeSpec(name="default"), train=train)
    with tempfile.TemporaryDirectory() as folder:
        files = Store(Path(folder)).run(run.id)
        files.begin(run, {})
        fabric = Machine(accelerator="cpu").fabric("float32")
        trainer = Trainer(fabric, run, task, models.build(model_name, task.num_outputs, task.channels, SIDE))
        began = time.perf_counter()
        fit(trainer, files, checkpoint_s=20)
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=7)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    task, parts = tasks.load(TASK), []
    for model in ("squeezenet1_0",):
        loops = {"bare loop": bare_loop, "our loop": our_loop}
        for loop in loops.values():
            loop(task, model, 3)
        timed = {name: partial(loop, task, model, asked.steps) for name, loop in loops.items()}
        measured = alternate(timed, asked.repeats)
        pairs = zip(measured["our loop"], measured["bare loop"], strict=True)
        extra = statistics.median(ours / bare - 1 for ours, bare in pairs)
        parts.append(f"## {model}, {asked.steps} steps of {BATCH} at {SIDE} px, float32, one thread")
        parts.append(table(measured, "bare loop", "s", higher_is_better=False))
        parts.append(f"Overhead, median over {asked.repeats} alternating pairs: {extra:+.1%}")
    parts.append(f"Precision that `auto` picks here: {best_precision('cpu')}.")
    write("overhead", "Cost of the training loop over a bare loop", *parts)


if __name__ == "__main__":
    main()
