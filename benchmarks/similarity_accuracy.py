"""Mean CCA on hard cases: our answer, the reference's, and every peer's.

The reference is Bjorck and Golub's method in float64 on the array as stored, with rank by singular values at 1e-10;
where what is stored has a lower rank but for rounding, on an array of the same span without that trouble.
A second table shows what float32 products change on large float32 arrays, and the bound by which they are taken.
Run: ``python benchmarks/similarity_accuracy.py``; see ``peers.py`` for how to put other packages in its way.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import harness
import numpy as np
import peers
import torch

from transfusion.similarity import Pair, Sums, arrays, cca

sys.path.append(str(Path(__file__).parents[1] / "tests" / "similarity"))
import reference

Arrays = tuple[peers.Floats, peers.Floats]


def main() -> None:
    rivals = peers.installed(peers.MEAN_CCA)
    rows = [f"| case | reference | ours | {' | '.join(rivals)} |", "|" + "---|" * (len(rivals) + 3)]
    for name, x, y, *exact in cases():
        truth = float(reference.canonical_correlations(*(exact or (x, y))).mean())
        ours = shown(lambda x, y: float(cca(x, y)), x, y, truth)
        said = [
            shown(call, *(np.asarray(each, dtype=plain(each)) for each in (x, y)), truth) for call in rivals.values()
        ]
        rows.append(f"| {name} | {truth:.6f} | {ours} | {' | '.join(said)} |")
    legend = "Each cell: the answer, and its distance from the reference. Peers get float32 for float16."
    harness.write(
        "similarity_accuracy", "Mean CCA on hard cases", legend, peers.absent(), "\n".join(rows), single_products()
    )


def cases() -> Iterator[tuple[Any, ...]]:
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
    yield from of_known_rank(x, y)
    yield "n < d", x[:10], y[:10]
    yield "widths 12 and 3", x, y[:, :3]
    yield "one channel each", x[:, :1], y[:, :1]
    yield "identical", x, x


def of_known_rank(x: peers.Floats, y: peers.Floats) -> Iterator[tuple[Any, ...]]:
    """Arrays of which rounding makes more, or nothing, with arrays of the same span that have no such trouble."""
    z, w, other = np.random.default_rng(3).normal(size=(3, 50_000, 1))
    tripled, partner = np.hstack([z, 3 * z]), np.hstack([z + 0.1 * w, other])
    yield "x = [z, 3z], n = 50,000", tripled, partner, z, partner
    yield "the same, float32", tripled.astype(np.float32), partner.astype(np.float32), z, partner
    sides = [probabilities(x[:, 0]), probabilities(x[:, 0] + y[:, 0])]
    exact = [side[:, :1] for side in sides]
    yield "two-class probabilities, float64", *sides, *exact
    yield (
        "two-class probabilities, float32 kept in float64",
        *(each.astype("f4").astype("f8") for each in sides),
        *exact,
    )
    low = x @ np.random.default_rng(5).normal(size=(12, 30))
    for offset in (1e3, 1e6):
        yield f"rank 12 of 30, means of {offset:g} sd", low / low.std(axis=0) + offset, y, x, y
    for spread in (0.05, 0.02):
        beside = torch.from_numpy(1 + spread * x / x.std(axis=0)).bfloat16().float().numpy()
        yield f"bfloat16, sd {spread:.0%} of the mean", beside, y
    yield "values of 1e-160", 1e-160 * x, y, x, y
    yield "values of 1e200", 1e200 * x, y, x, y


def probabilities(logits: peers.Floats) -> peers.Floats:
    first = 1 / (1 + np.exp(-logits))
    return np.stack([first, 1 - first], axis=1)


def hard(x: peers.Floats, y: peers.Floats, condition: float, rotated: bool) -> peers.Floats:
    stretched = x * np.geomspace(1, 1 / condition, x.shape[1])
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))[0]
    return stretched @ turn if rotated else stretched


def single_products() -> str:
    """What float32 products change, against float64 ones of the same float32 arrays."""
    rows = ["| data | n | d | bound | change of the mean | largest of a coefficient | taken |", "|" + "---|" * 7]
    worst = 0.0
    for name, make in LARGE.items():
        for n, d in ((20_000, 512), (50_000, 256), (65_536, 128), (300_000, 64), (16_384, 1024)):
            x, y = (torch.from_numpy(each.astype(np.float32)) for each in make(np.random.default_rng(1), n, d))
            double, single = (summed(x, y, single) for single in (False, True))
            bound = max(arrays.error_in_single(view, n) for view in (double.x, double.y))
            change = (single.correlations - double.correlations).abs().max().item()
            value = abs(single.correlations.mean() - double.correlations.mean()).item()
            worst = max(worst, value / bound)
            taken = "yes" if bound < arrays.MOST_ERROR else "no"
            rows.append(f"| {name} | {n:,} | {d} | {bound:.1e} | {value:.1e} | {change:.1e} | {taken} |")
    title = f"## Float32 products on large float32 arrays\n\nThe change is at most {worst:.2f} of the bound."
    return title + "\n\n" + "\n".join(rows)


def summed(x: torch.Tensor, y: torch.Tensor, single: bool) -> Pair:
    sums = Sums((x.shape[1], y.shape[1]), norms=False)
    sums.update([x, y], single=single)
    ((_, _, pair),) = sums.pairs()
    return pair


def _half_shared(draw: np.random.Generator, n: int, d: int) -> Arrays:
    x, y = draw.normal(size=(2, n, d))
    y[:, : d // 2] += x[:, : d // 2]
    return x, y


def _rotated(draw: np.random.Generator, n: int, d: int) -> Arrays:
    x, y = draw.normal(size=(2, n, d))
    return x, y + x @ draw.normal(size=(d, d)) / d**0.5


def _nearly_the_same(draw: np.random.Generator, n: int, d: int) -> Arrays:
    x, y = draw.normal(size=(2, n, d))
    return x, x + 0.1 * y


def _common_factor(draw: np.random.Generator, n: int, d: int) -> Arrays:
    x, y = draw.normal(size=(2, n, d)) + draw.normal(size=(n, 1))
    return x, x + y


def _rectified(draw: np.random.Generator, n: int, d: int) -> Arrays:
    x, y = (np.maximum(each @ draw.normal(size=(d, d)) / d**0.5 + 0.3, 0) for each in draw.normal(size=(2, n, d)))
    return x, np.maximum(x @ draw.normal(size=(d, d)) / d**0.5 + y, 0)


def _scales_and_means(draw: np.random.Generator, n: int, d: int) -> Arrays:
    x, y = draw.normal(size=(2, n, d))
    return x * np.logspace(-2, 3, d) + 50, x + y


def _heavy_tails(draw: np.random.Generator, n: int, d: int) -> Arrays:
    x, y = draw.normal(size=(2, n, d))
    x *= np.abs(draw.standard_t(3, size=(n, 1)))
    return x, x + y


def _drifting(draw: np.random.Generator, n: int, d: int) -> Arrays:
    x, y = draw.normal(size=(2, n, d)) + np.linspace(-1, 1, n)[:, None]
    return x, x + y


def _mixed(draw: np.random.Generator, n: int, d: int) -> Arrays:
    x, y = draw.normal(size=(2, n, d))
    x = x @ (np.eye(d) + 0.03 * draw.normal(size=(d, d)))
    return x, x + y


LARGE = {
    "independent": lambda draw, n, d: draw.normal(size=(2, n, d)),
    "half shared": _half_shared,
    "rotated": _rotated,
    "nearly the same": _nearly_the_same,
    "a common factor": _common_factor,
    "rectified": _rectified,
    "scales 1e-2 to 1e3, mean 50": _scales_and_means,
    "heavy tails": _heavy_tails,
    "means that drift by 2 sd": _drifting,
    "mixed channels": _mixed,
}


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
