"""Mean CCA on hard cases: our answer, the reference's, and every peer's.

The reference is Bjorck and Golub's method in float64 on the array as stored, with rank by singular values at 1e-10.
Run: ``python benchmarks/similarity_accuracy.py``; see ``peers.py`` for how to put other packages in its way.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import harness
import numpy as np
import peers
import torch

from transfusion.similarity import cca

sys.path.append(str(Path(__file__).parents[1] / "tests" / "similarity"))
import reference


def main() -> None:
    rivals = peers.installed(peers.MEAN_CCA)
    rows = [f"| case | reference | ours | {' | '.join(rivals)} |", "|" + "---|" * (len(rivals) + 3)]
    for name, x, y in cases():
        truth = float(reference.canonical_correlations(x, y).mean())
        ours = shown(lambda x, y: float(cca(x, y)), x, y, truth)
        said = [
            shown(call, *(np.asarray(each, dtype=plain(each)) for each in (x, y)), truth) for call in rivals.values()
        ]
        rows.append(f"| {name} | {truth:.6f} | {ours} | {' | '.join(said)} |")
    legend = "Each cell: the answer, and its distance from the reference. Peers get float32 for float16."
    harness.write("similarity_accuracy", "Mean CCA on hard cases", legend, peers.absent(), "\n".join(rows))


def cases() -> Iterator[tuple[str, peers.Floats, peers.Floats]]:
    x, y = reference.related(2000, 12, 12)
    yield "well-conditioned, float64", x, y
    yield "well-conditioned, float32", x.astype(np.float32), y.astype(np.float32)
    yield "float16", x.astype(np.float16), y.astype(np.float16)
    for condition in (1e6, 1e8):
        for rotated in (False, True):
            how = "rotated" if rotated else "by channel scale"
            yield f"condition {condition:.0e}, {how}, float64", hard(x, y, condition, rotated), y
    yield "condition 1e6, rotated, float32", hard(x, y, 1e6, True).astype(np.float32), y.astype(np.float32)
    yield "condition 1e8, by channel scale, float32", hard(x, y, 1e8, False).astype(np.float32), y.astype(np.float32)
    yield "two dead channels", np.hstack([x, np.zeros((2000, 2))]), y
    yield "two constant channels, float32", np.hstack([x, np.full((2000, 2), 0.1)]).astype(np.float32), y
    yield "two dependent channels", np.hstack([x, x[:, :2] @ np.array([[1.0, 2.0], [3.0, -1.0]])]), y
    yield "means of 1e5, float64", x + 1e5, y - 1e5
    yield "means of 1e3, float32", (x + 1e3).astype(np.float32), (y - 1e3).astype(np.float32)
    yield "n < d", x[:10], y[:10]
    yield "widths 12 and 3", x, y[:, :3]
    yield "one channel each", x[:, :1], y[:, :1]
    yield "identical", x, x


def hard(x: peers.Floats, y: peers.Floats, condition: float, rotated: bool) -> peers.Floats:
    stretched = x * np.geomspace(1, 1 / condition, x.shape[1])
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))[0]
    return stretched @ turn if rotated else stretched


def shown(call: Callable[..., float], x: peers.Floats, y: peers.Floats, truth: float) -> str:
    try:
        value = float(call(np.ascontiguousarray(x), np.ascontiguousarray(y)))
    except Exception as error:
        return type(error).__name__
    return f"{value:.6f} ({abs(value - truth):.0e})" if math.isfinite(value) else "NaN"


def plain(array: peers.Floats) -> type[np.floating]:
    return np.float64 if array.dtype == np.float64 else np.float32


if __name__ == "__main__":
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    main()
