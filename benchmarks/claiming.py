"""Many tiny runs by four workers on one folder: none twice, none lost, and what sharing costs per run.

A tiny run does everything that a run does with its folder (claim, spec, machine, one row of a curve, result) and trains
nothing, so that all of its time is overhead. Every worker is a process of its own that goes through the whole grid, as
``transfusion work`` does; workers begin together. Each run writes down who carried it out, by appending to one file.

    python benchmarks/claiming.py [--runs 100 1000 5000] [--workers 4]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import write

from transfusion.runs.frames import tidy
from transfusion.runs.jobs import Ending
from transfusion.runs.machine import Machine
from transfusion.runs.run import Job
from transfusion.runs.status import StudyStatus
from transfusion.runs.store import Store
from transfusion.runs.workers import Crew, carry_out_all
from transfusion.spec import RunSpec, SchemeSpec, StudySpec, TaskSpec, TrainSpec

PATIENCE_S = 1800  # with a worker, which may have died
CPU = Machine(accelerator="cpu", threads=1)


@dataclass(frozen=True)
class Tiny(Job):
    """A run that trains nothing."""

    def carry_out(self) -> Ending:
        """Leave what a run leaves, and a line that says who did."""
        files = self.files
        with files.claim() as mine:
            if not mine:
                return "busy"
            if not self.is_open:
                return "kept"
            files.begin(self.run, {})
            row = {"step": self.run.train.steps, "loss": 0.5, "auc": 0.5 + self.run.seed % 7 / 20, "time_s": 0.1}
            files.append(row)
            with (self.folder / "carried").open("a") as carried:
                carried.write(f"{self.id} {os.getpid()}\n")
            files.finish(row)
        return "done"


def jobs(folder: Path, num: int) -> list[Tiny]:
    task = TaskSpec(data="embedded:fundus", image_size=16, fingerprint="0" * 16)
    train = TrainSpec(steps=4, precision="float32")
    starts = [SchemeSpec(name=name) for name in ("random", "kaiming")]
    return [
        Tiny(
            RunSpec(task=task, model="m", scheme=starts[place % 2], seed=place // 2, train=train),
            folder,
            CPU,
            verify=False,
        )
        for place in range(num)
    ]


def worker(folder: Path, num: int, start: Any, told: Any) -> None:
    mine = jobs(folder, num)
    start.wait()
    before = time.process_time()
    endings = Counter(ended[1] for ended in carry_out_all(mine, Crew(0, CPU)) if ended)
    told.put((endings["done"], time.process_time() - before))


def shared(folder: Path, num: int, workers: int) -> dict[str, float]:
    """Carry out ``num`` runs by ``workers``; seconds, and runs that were carried out twice or never."""
    context = multiprocessing.get_context("spawn")
    start, told = context.Barrier(workers + 1, timeout=PATIENCE_S), context.Queue()
    processes = [context.Process(target=worker, args=(folder, num, start, told)) for _ in range(workers)]
    for process in processes:
        process.start()
    start.wait()
    began = time.perf_counter()
    results = [told.get(timeout=PATIENCE_S) for _ in processes]
    wall_s = time.perf_counter() - began
    for process in processes:
        process.join()
    times = Counter(line.split()[0] for line in (folder / "carried").read_text().splitlines())
    return {
        "wall_s": wall_s,
        "cpu_s": sum(cpu for _, cpu in results),
        "twice": sum(count > 1 for count in times.values()),
        "lost": num - len(times),
        "fewest": min(done for done, _ in results),
        "most": max(done for done, _ in results),
    }


def timed(work: Any) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def measure(num: int, workers: int) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, grid = Store(folder), [job.run for job in jobs(folder, num)]
        spec = StudySpec(task=grid[0].task, schemes=("random", "kaiming"), seeds=tuple(range(num // 2)))
        begin = timed(lambda: store.begin(spec, grid, None, {"classes": {"train": {"a": 1, "b": 1}}}))
        found = shared(folder, num, workers)
        status, frame = timed(lambda: str(StudyStatus.of(folder))), timed(lambda: tidy(store.grid()))
    ms = [1000 * found[key] / num for key in ("wall_s", "cpu_s")]
    cells = [
        num,
        begin,
        ms[0],
        ms[1],
        found["twice"],
        found["lost"],
        f"{found['fewest']} to {found['most']}",
        status,
        frame,
    ]
    return "| " + " | ".join(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument("--workers", type=int, default=4)
    arguments = parser.parse_args()
    columns = (
        "runs | plan, s | wall per run, ms | processor per run, all workers, ms | twice | lost | runs of a worker | "
        "status, s | frame, s"
    )
    rows = [f"| {columns} |", "|" + "---|" * 9]
    rows += [measure(num, arguments.workers) for num in arguments.runs]
    write(
        "claiming",
        f"Many tiny runs by {arguments.workers} workers on one folder",
        "A run that trains nothing: all of its time is what sharing a folder costs. Processor seconds but for the wall "
        f"time, on a machine with {os.cpu_count()} cores and a load of {os.getloadavg()[0]:.1f} at the end.",
        "\n".join(rows),
    )
