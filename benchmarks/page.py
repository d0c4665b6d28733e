"""How fast the pages of large studies are made and open in headless Chromium, beside the page of a small one.

Studies with 40 evaluations per run are written to disk without training; each page is opened from its file.
Ready is when the page's script has drawn every chart and made every table sortable, and the browser has painted.

    python benchmarks/page.py [--runs 100 1000 5000] [--evaluations 40] [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from harness import alternate, table, write
from selenium import webdriver

from transfusion.report.page import write_page
from transfusion.report.sources import page_of
from transfusion.runs.store import Store
from transfusion.spec import RunSpec, SchemeSpec, StudySpec, TaskSpec, TrainSpec

STARTS = ("pretrained", "mean_var", "random", "kaiming", "default")
SMALL = 10  # runs of the peer
PAINTED = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())))"
HOVER = """
const svg = document.querySelector('.plot > svg'), box = svg.getBoundingClientRect(), began = performance.now();
for (let k = 0; k < 20; k++) svg.dispatchEvent(new PointerEvent('pointermove', {
  clientX: box.left + box.width * (k + 1) / 22, clientY: box.top + box.height / 2}));
return (performance.now() - began) / 20;
"""


def make_study(folder: Path, num_runs: int, num_evaluations: int) -> Store:
    store, draw, every = Store(folder), np.random.default_rng(0), 25
    train = TrainSpec(steps=every * (num_evaluations - 1), eval_every=every)
    seeds = tuple(range(num_runs // len(STARTS)))
    grid = [
        RunSpec(task=TaskSpec(), model="m", scheme=SchemeSpec(name=s), seed=n, train=train)
        for s in STARTS
        for n in seeds
    ]
    store.begin(StudySpec(name=f"{num_runs} runs", schemes=STARTS, seeds=seeds, train=train), grid, None, {})
    for run in grid:
        files, pace = store.run(run.id), 100 * (1 + STARTS.index(run.scheme.name))
        noise = draw.normal(0, 0.01, num_evaluations)
        rows = [
            {
                "step": step,
                "loss": 0.5,
                "auc": 0.9 - 0.4 * math.exp(-step / pace) + float(noise[k]),
                "time_s": float(step),
            }
            for k, step in enumerate(range(0, train.steps + 1, every))
        ]
        files.curve_path.write_text("".join(json.dumps(row) + "\n" for row in rows))  # append would flush 20,000 times
        files.finish(rows[-1])
    return store


def browser() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def ready_s(driver: webdriver.Chrome, page: Path) -> float:
    driver.get(page.resolve().as_uri())
    return float(driver.execute_async_script(PAINTED)) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument("--evaluations", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pages, built, kept = {}, {}, {}
        for num_runs in (SMALL, *asked.runs):
            name = f"{num_runs:,} runs"
            store = make_study(Path(folder) / str(num_runs), num_runs, asked.evaluations)
            began = time.perf_counter()
            pages[name] = write_page(store)
            built[name] = time.perf_counter() - began
            page_of(store)
            kept[name] = time.perf_counter() - began - built[name]
        driver = browser()
        try:
            version = driver.capabilities["browserVersion"]
            measured = alternate({name: partial(ready_s, driver, page) for name, page in pages.items()}, asked.repeats)
            ready_s(driver, list(pages.values())[-1])
            hover_ms = driver.execute_script(HOVER)
        finally:
            driver.quit()
        sizes = ", ".join(f"{name} {page.stat().st_size / 1e6:.2f} MB" for name, page in pages.items())
    write(
        "page",
        "How fast a study's page opens",
        f"Chromium {version}, headless, from a file; {asked.evaluations} evaluations per run. From the start of the "
        "navigation to the second frame after the script has run.",
        table(measured, f"{SMALL} runs", "s", higher_is_better=False),
        f"Size of the page: {sizes}. One movement of the pointer over the largest: {hover_ms:.1f} ms.",
        f"Building the page from disk, once: {', '.join(f'{name} {time_s:.1f} s' for name, time_s in built.items())}.",
        f"Finding that it is current: {', '.join(f'{name} {time_s:.2f} s' for name, time_s in kept.items())}.",
    )


if __name__ == "__main__":
    main()
