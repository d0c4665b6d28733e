"""Frames of special kinds: no effect anywhere on a full page, curves that fall, starts of equal AUC, predictions."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
from planted import Planted
from scipy import stats

from transfusion.metrics import influence, weighted

STARTS = ("random", "pretrained", "mean_var", "sampling", "kaiming", "shuffled", "pretrained upto stem",
          "pretrained upto layer1", "pretrained upto layer2", "pretrained upto layer3")  # fmt: skip
STAGES = ("stem", "layer1", "layer2", "layer3", "head")
CLASSES = {f"auc_{place}": (name, 40) for place, name in enumerate(("edema", "mass", "hernia", "nodule", "fibrosis"))}


def null_frame(num_seeds: int, seed: int) -> pd.DataFrame:
    """Curves of equal starts at two data sizes, with class columns; two batch-norm modes beside the usual one."""
    modes = ("mean_var bn=mean_var", "mean_var bn=pretrained")
    planted = Planted(dict.fromkeys((*STARTS, *modes), 1.0), {}, num_seeds=num_seeds, every=None)
    sizes = []
    for place, size in enumerate((200, None)):
        one = planted.frame(2 * seed + place)
        sizes.append(one.assign(size=size, run=one["run"] + f"-{size}" * (size is not None)))
    frame = pd.concat(sizes, ignore_index=True).astype({"size": "Int64"})
    parts = frame["scheme"].str.extract(r"(?P<scheme>\w+)(?: upto (?P<upto>\w+))?(?: bn=(?P<mode>\w+))?")
    generator = np.random.default_rng(seed)
    runs = {run: generator.normal(size=len(CLASSES)) for run in frame["run"].unique()}
    shifts = 0.02 * np.stack(frame["run"].map(runs).to_list())
    noise = 0.02 * generator.normal(size=shifts.shape)
    classes = {name: frame["auc"] + shifts[:, k] + noise[:, k] for k, name in enumerate(CLASSES)}
    named = {"start": frame["scheme"], "scheme": parts["scheme"], "upto": parts["upto"]}
    return frame.assign(**named, batch_norm=parts["mode"].fillna("identity"), **classes)


def null_likeness(num_seeds: int, seed: int) -> pd.DataFrame:
    """Networks of all starts as alike as two trainings of one: every network has an effect of its own."""
    generator, rows = np.random.default_rng(seed), []
    runs = [(f"{start}-{number}", number) for start in STARTS[:4] for number in range(num_seeds)]
    for stage in STAGES:
        own = {run: 0.03 * generator.normal() for run, _ in runs}
        for run, _ in runs:
            rows.append(("grid", stage, run, 0, run, 360, 0.7 + own[run]))
        for (a, first), (b, second) in itertools.combinations(runs, 2):
            if first != second:
                rows.append(("seeds", stage, a, 360, b, 360, 0.7 + own[a] + own[b] + 0.01 * generator.normal()))
    columns = ["kind", "stage", "a_run", "a_step", "b_run", "b_step", "value"]
    return pd.DataFrame(rows, columns=columns).assign(measure="cca", baseline=0.1)


def quiet() -> Planted:
    """Two equal starts, told to be so by five trainings each."""
    return Planted({"random": 1.0, "pretrained": 1.0}, tops={}, num_seeds=5, noise=0.001, spread=0.01, budget=720)


def overfitted():
    """Pretrained rises to 0.95 by step 90 and falls to 0.8; the validation split sees the same."""
    draw, rows = np.random.default_rng(0), []
    for start, peak in (("pretrained", 0.95), ("random", 0.9)):
        for seed in range(5):
            for step in range(0, 361, 30):
                top = 0.5 + (peak - 0.5) * min(1, step / (90 if start == "pretrained" else 240))
                value = top - (0.15 * max(0, step - 90) / 270 if start == "pretrained" else 0)
                value += 0.002 * draw.normal()
                rows.append({"run": f"{start}{seed}", "scheme": start, "seed": seed, "step": step, "auc": value})
    return pd.DataFrame(rows)


def with_predictions(seed, num_seeds, own_images, num=(40, 80), only_the_end=False):
    """Two starts of equal AUC over patients, each good at images of its own; curves and influences by run and step."""
    generator, labels = np.random.default_rng(seed), np.repeat([1, 0], num)
    common, rows, found = generator.normal(size=len(labels)), [], {}
    for start in ("random", "pretrained"):
        own = own_images * generator.normal(size=len(labels))
        for number in range(num_seeds):
            latent = common + own + 0.5 * generator.normal(size=len(labels)) + 1.5 * labels
            scores = stats.norm.cdf(latent / 3)
            run = f"{start}{number}"
            end = influence("auc", "binary", np.c_[1 - scores, scores], labels, 1)
            parts = np.minimum(np.arange(0, 7) / 4, 1)
            heights = 0.5 + (end.value - 0.5) * parts
            found[run] = {
                30 * place: replace(weighted([end], [part]), value=height)
                for place, (part, height) in enumerate(zip(parts, heights, strict=True))
                if place == 6 or not only_the_end
            }
            rows += [
                {"run": run, "scheme": start, "seed": number, "step": 30 * place, "auc": height}
                for place, height in enumerate(heights)
            ]
    return pd.DataFrame(rows), {"auc": found}
