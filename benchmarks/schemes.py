"""Time of each scheme on a ResNet-50 against filling the same tensors with ``torch.randn``.

Alternating in one process: each round times the fills, then every scheme, so that drift hits all alike. Prints one
JSON line per scheme: ratio of medians, medians, n, machine, commit. Run: ``python benchmarks/schemes.py [--rounds 7]``.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable

import torch

from transfusion.models import build
from transfusion.schemes import SCHEMES, initialize


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--rounds", type=int, default=7, help="at least 5 for a result to keep")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    times_s = measure(contenders(options.model), options.rounds)
    fills_s = statistics.median(times_s.pop("torch.randn"))
    for name, values in times_s.items():
        median_s = statistics.median(values)
        result = {"scheme": name, "ratio": round(median_s / fills_s, 2), "median_s": median_s, "randn_s": fills_s}
        print(json.dumps({**result, "n": len(values), "model": options.model, **where(options.threads)}))


def contenders(model_name: str) -> dict[str, Callable[[], object]]:
    model, donor = build(model_name, num_outputs=5), build(model_name, num_outputs=1000).state_dict()
    shapes = [tensor.shape for tensor in model.state_dict().values()]
    calls: dict[str, Callable[[], object]] = {"torch.randn": lambda: [torch.randn(shape) for shape in shapes]}
    for name in SCHEMES:
        calls[name] = lambda name=name: initialize(model, name, donor=donor)
    return calls


def measure(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call in each round, after one round that is not counted."""
    times_s: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if round_:
                times_s[name].append(time.perf_counter() - start)
    return times_s


def where(threads: int) -> dict[str, object]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {
        "threads": threads,
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "commit": commit,
    }


if __name__ == "__main__":
    main()
