"""The whole grid of the paper's figure 9 against the forward passes that it needs: six ResNet-50, all pairs, baselines.

The networks are three starts and the same with every weight moved a little, on all training images of the chest X-rays
at 96 px. ``compare`` takes 9 positions per image, as many as layer4 has, so that all stages have the same n, and
so many images that n is over 5 d.
Run: ``python benchmarks/figure9.py``; ``--rounds 1 --images 64`` for a smoke run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import harness
import torch
from torch import Tensor, nn

from transfusion import initialize, tasks
from transfusion.networks.models import build
from transfusion.runs.comparisons import Probe
from transfusion.runs.machine import Machine
from transfusion.similarity.networks import compare
from transfusion.spec import RepresentationSpec, TaskSpec

DATA = Path(__file__).parents[2] / "shared" / "data" / "chest_xray"
STAGES = ("layer1", "layer2", "layer3", "layer4")
SIZE = 96
POSITIONS = 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="at least 5 for a result to keep")
    parser.add_argument("--images", type=int, default=2000)
    options = parser.parse_args()
    task = tasks.load(TaskSpec(data=str(DATA), image_size=SIZE))
    batches = list(Probe(task, "train", RepresentationSpec(images=options.images), Machine()))
    models = networks()
    forward(models, batches[:1])
    found: list = []
    contenders = {
        "six forward passes": lambda: forward(models, batches),
        "the whole grid": lambda: grid(models, batches, found),
    }
    measured = harness.alternate(contenders, options.rounds)
    harness.write(
        "figure9",
        "The grid of figure 9: six ResNet-50 at 96 px, four stages, 15 pairs and a baseline each",
        f"{found[-1]['images'].iloc[0]:,} images in batches of 32, float32 networks, {POSITIONS} positions per image "
        f"and stage, {torch.get_num_threads()} threads. The grid's time includes its forwards.",
        f"The grid takes {times(measured):.2f} times the forwards.",
        harness.table(measured, "six forward passes", "s", higher_is_better=False),
        summary(found[-1]),
    )


def times(measured: dict[str, list[float]]) -> float:
    forwards, whole = (statistics.median(values) for values in measured.values())
    return whole / forwards


def networks() -> dict[str, nn.Module]:
    """Three starts, before and after a small step away from them."""
    made: dict[str, nn.Module] = {}
    for scheme in ("random", "kaiming", "default"):
        for when, noise in (("before", 0.0), ("after", 0.02)):
            model = build("resnet50", 2)
            initialize(model, scheme, seed=0)
            generator = torch.Generator().manual_seed(1)
            for parameter in model.parameters():
                scale = noise * float(parameter.detach().std(correction=0))
                parameter.data.add_(torch.randn(parameter.shape, generator=generator), alpha=scale)
            made[f"{scheme} {when}"] = model.eval().to(memory_format=torch.channels_last)
    return made


def forward(models: dict[str, nn.Module], batches: list[Tensor]) -> float:
    began = time.perf_counter()
    with torch.no_grad():
        for images in batches:
            for model in models.values():
                model(images)
    return time.perf_counter() - began


def grid(models: dict[str, nn.Module], batches: list[Tensor], found: list) -> float:
    began = time.perf_counter()
    found.append(compare(models, batches, stages=STAGES, measures=("cca",), positions=POSITIONS))
    return time.perf_counter() - began


def summary(frame) -> str:
    """What the cells are worth: samples, ranks, and how many carry which warning."""
    rows = [
        "| stage | n | largest rank | mean baseline | cells with n < 5 d | saturated cells |",
        "|---|---|---|---|---|---|",
    ]
    for stage, own in frame.groupby("stage", sort=False):
        few, full = (own["warnings"].str.contains(word).sum() for word in ("fewer than", "Saturated"))
        rank = own[["rank_a", "rank_b"]].to_numpy().max()
        rows.append(
            f"| {stage} | {own['n'].iloc[0]:,} | {rank} | {own['baseline'].mean():.3f} | {few} of {len(own)} | {full} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
