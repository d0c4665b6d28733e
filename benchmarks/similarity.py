"""Time and memory of the similarity engine against its floor and its peers.

The floor is three float64 matrix products X'X, Y'Y and X'Y of arrays that are float64 already, by the faster of
the two BLAS at hand. Run: ``python benchmarks/similarity.py`` (``--rounds 1 --scale 0.02`` for a smoke run); see
``peers.py`` for how to put other packages in its way.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import harness
import numpy as np
import peers
import torch
from scipy.linalg import blas
from threadpoolctl import threadpool_info

from transfusion.similarity import MEASURES, Sums, cca, judge, linear_cka
from transfusion.similarity import blas as blas_of_ours

SIZES = ((50_000, 256), (20_000, 512), (802_816, 64))
NUM_NETWORKS = 8
KERNEL_SAMPLES = 8_000
processor_time = False  # of all threads, in the place of the clock's: on a machine that other work shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="at least 5 for a result to keep")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the samples, for a smoke run")
    parser.add_argument("--memory-of", type=int, nargs=2, metavar=("N", "D"), help=argparse.SUPPRESS)
    parser.add_argument("--processor-time", action="store_true", help="for a machine that other work shares")
    options = parser.parse_args()
    global processor_time
    processor_time = options.processor_time
    if options.memory_of:
        print(peak_memory_mb(*options.memory_of))
        return
    sizes = [(int(n * options.scale), d) for n, d in SIZES]
    parts = [mean_cca(n, d, options.rounds) for n, d in sizes]
    parts += [all_pairs(sizes[0][0], options.rounds), debiased(options.rounds, options.scale), memory(sizes)]
    clock = "Seconds of processor time" if processor_time else "Seconds of the clock"
    threads = f"{clock}, {torch.get_num_threads()} threads. {peers.absent()}"
    harness.write("similarity", "Representation similarity: time and memory", threads, kernels(), *parts)


def kernels() -> str:
    """Which libraries multiply, with which kernels, and which of them ours took."""
    loaded = {f"{each['internal_api']} {each['architecture']}" for each in threadpool_info() if "architecture" in each}
    taken = {kind: {d: blas_of_ours.faster(np.dtype(kind), 2 * d + 1).name for _, d in SIZES} for kind in ("f4", "f8")}
    chosen = "; ".join(
        f"{kind}: {', '.join(f'{name} at d = {d}' for d, name in own.items())}" for kind, own in taken.items()
    )
    busy = os.getloadavg()[0]
    return (
        f"NumPy and SciPy multiply by {' and '.join(sorted(loaded)) or 'a library that does not tell'}, PyTorch by "
        f"{'MKL' if torch.backends.mkl.is_available() else 'its own'}. Taken: {chosen}. Load of the machine at the end "
        f"{busy:.1f}: other work shared it."
    )


def arrays(n: int, d: int) -> tuple[peers.Floats, peers.Floats]:
    """Two float32 representations that share half of what they hold."""
    draw = np.random.default_rng(0)
    x, y = (draw.standard_normal((n, d), dtype=np.float32) for _ in range(2))
    y[:, : d // 2] += x[:, : d // 2]
    return x, y


def mean_cca(n: int, d: int, rounds: int) -> str:
    x, y = arrays(n, d)
    wide = [each.astype(np.float64) for each in (x, y)]
    calls: dict[str, Callable[[], object]] = {
        "floor (torch)": lambda: floor_torch(*wide),
        "floor (scipy)": lambda: floor_scipy(*wide),
        "transfusion": lambda: cca(x, y),
    }
    for name, call in peers.installed(peers.MEAN_CCA).items():
        calls[name] = lambda call=call: call(x, y)
    measured, failed = timed(calls, rounds)
    floor = min(("floor (torch)", "floor (scipy)"), key=lambda name: statistics.median(measured[name]))
    ratio = statistics.median(measured["transfusion"]) / statistics.median(measured[floor])
    table = harness.table(measured, floor, "s", higher_is_better=False)
    return f"## Mean CCA, n = {n:,}, d = {d}, float32\n\nOurs takes {ratio:.2f} of the floor.{failed}\n\n{table}"


def all_pairs(n: int, rounds: int, d: int = 128) -> str:
    blocks = [arrays(n, d)[k % 2] + np.float32(k) * arrays(n, d)[1 - k % 2] / 8 for k in range(NUM_NETWORKS)]

    def stacked() -> None:
        sums = Sums([d] * NUM_NETWORKS)
        sums.update([torch.from_numpy(block) for block in blocks])
        for _, _, pair in sums.pairs():
            judge(MEASURES["cca"], pair)

    def separate() -> None:
        for a in range(NUM_NETWORKS):
            for b in range(a + 1, NUM_NETWORKS):
                cca(blocks[a], blocks[b])

    measured, _ = timed({"28 calls": separate, "one pass": stacked}, rounds)
    table = harness.table(measured, "28 calls", "s", higher_is_better=False)
    return f"## All pairs of {NUM_NETWORKS} networks, n = {n:,}, d = {d}\n\n{table}"


def debiased(rounds: int, scale: float) -> str:
    n = int(KERNEL_SAMPLES * scale)
    x, y = arrays(n, 256)
    calls: dict[str, Callable[[], object]] = {"transfusion": lambda: linear_cka(x, y, debiased=True)}
    for name, call in peers.installed(peers.DEBIASED_CKA).items():
        calls[name] = lambda call=call: call(x, y)
    measured, failed = timed(calls, rounds)
    table = harness.table(measured, list(measured)[-1], "s", higher_is_better=False)
    return f"## Debiased CKA, n = {n:,}, d = 256{failed}\n\n{table}"


def memory(sizes: list[tuple[int, int]]) -> str:
    rows = ["| n | d | peak above the inputs, MB |", "|---|---|---|"]
    for n, d in sizes:
        command = [sys.executable, __file__, "--memory-of", str(n), str(d)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rows.append(f"| {n:,} | {d} | {float(said):.0f} |")
    return "## Memory of one mean CCA\n\n" + "\n".join(rows)


def peak_memory_mb(n: int, d: int) -> float:
    """Peak resident memory during the call over that before it, in a process of its own (Linux)."""
    x, y = arrays(n, d)
    cca(x[:100, :4], y[:100, :4])
    before = resident_kb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    cca(x, y)
    return (resident_kb("VmHWM") - before) / 1024


def resident_kb(field: str) -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(field))


def timed(calls: dict[str, Callable[[], object]], rounds: int) -> tuple[dict[str, list[float]], str]:
    """Seconds of each call that works, taking turns, after one uncounted call each; and which do not work."""
    works: dict[str, Callable[[], float]] = {}
    failed = ""
    warnings.simplefilter("ignore")
    for name, call in calls.items():
        try:
            call()
        except Exception as error:
            failed += f" {name} failed: {type(error).__name__}."
        else:
            works[name] = lambda call=call: seconds(call)
    return harness.alternate(works, rounds), failed


def seconds(call: Callable[[], object]) -> float:
    clock = time.process_time if processor_time else time.perf_counter
    start = clock()
    call()
    return clock() - start


def floor_torch(x: peers.Floats, y: peers.Floats) -> None:
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    for left, right in ((a, a), (b, b), (a, b)):
        left.T @ right


def floor_scipy(x: peers.Floats, y: peers.Floats) -> None:
    for left, right in ((x, x), (y, y), (x, y)):
        blas.dgemm(1.0, right.T, left.T, trans_b=True)


if __name__ == "__main__":
    main()
