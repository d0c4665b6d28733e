"""Shared by the benchmarks: alternate the contenders, take medians, write a dated result."""

from __future__ import annotations

import datetime
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


# Seconds between turns: thread pools go on spinning for a while after their work, on the next contender's cores.
REST = 0.3


def alternate(contenders: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Run every contender ``repeats`` times, taking turns; each returns what it measured."""
    measured: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            time.sleep(REST)
            measured[name].append(run())
    return measured


def table(measured: Mapping[str, list[float]], peer: str, unit: str, *, higher_is_better: bool) -> str:
    """Median, range and ratio to the peer (above 1 is better than the peer), as markdown."""
    base = statistics.median(measured[peer])
    rows = [f"| contender | median {unit} | range | n | ratio to {peer} |", "|---|---|---|---|---|"]
    for name, values in measured.items():
        median = statistics.median(values)
        ratio = median / base if higher_is_better else base / median
        rows.append(f"| {name} | {median:.3g} | {min(values):.3g} - {max(values):.3g} | {len(values)} | {ratio:.2f} |")
    return "\n".join(rows)


def write(name: str, title: str, *parts: str) -> None:
    """Print a result and keep it in ``benchmarks/results/NAME.md`` with date, machine and commit."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    head = f"{datetime.date.today()} · {processor()} · commit {commit.stdout.strip() or 'none'}"
    text = "\n\n".join([f"# {title}", head, *parts]) + "\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text)
    print(text)


def processor() -> str:
    import os

    import torch

    from transfusion.runs.machine import best_precision

    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    bfloat16 = "with" if best_precision("cpu") == "bfloat16" else "without"
    return f"{model}, {os.cpu_count()} cores, {bfloat16} bfloat16 instructions, torch {torch.__version__}"
