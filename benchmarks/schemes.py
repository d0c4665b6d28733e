"""Time of each scheme on a ResNet-50 against filling the same tensors with ``torch.randn``.

python benchmarks/schemes.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch
from harness import alternate, table, write

from transfusion.networks.models import build
from transfusion.schemes import SCHEMES, initialize


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--rounds", type=int, default=7, help="at least 5 for a result to keep")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    calls = contenders(asked.model)
    for call in calls.values():
        call()
    measured = alternate({name: partial(seconds, call) for name, call in calls.items()}, asked.rounds)
    write(
        "schemes",
        f"Initialising a {asked.model} against torch.randn fills of its tensors, one thread",
        table(measured, "torch.randn", "s", higher_is_better=False),
        "A ratio of 0.5 takes twice as long as the fills. With a donor the head is what the library gives a new one, "
        "so the library's own initialisation is run once: that is most of the time of every scheme with a donor.",
    )


def contenders(model_name: str) -> dict[str, Callable[[], object]]:
    model, donor = build(model_name, num_outputs=5), build(model_name, num_outputs=1000).state_dict()
    shapes = [tensor.shape for tensor in model.state_dict().values()]
    calls: dict[str, Callable[[], object]] = {"torch.randn": lambda: [torch.randn(shape) for shape in shapes]}
    for name in SCHEMES:
        calls[name] = partial(initialize, model, name, donor=donor if SCHEMES[name].needs_donor else None)
    return calls


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
