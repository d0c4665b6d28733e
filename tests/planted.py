"""Studies whose truth is known: saturating curves with planted speed-ups, final differences and noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from transfusion.spec import TrainSpec


def _sigmoid(center: float, width: float) -> Callable[[np.ndarray], np.ndarray]:
    """From 0 at 0 to 1, steepest at ``center``."""
    low = expit(-center / width)
    return lambda time: (expit((time - center) / width) - low) / (1 - low)


SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exponential": lambda time: 1 - np.exp(-(time**1.2)),
    "logistic": _sigmoid(1.2, 0.25),
    "two-phase": lambda time: 0.6 * (1 - np.exp(-time / 0.15)) + 0.4 * (1 - np.exp(-((time / 1.2) ** 2))),
    "plateau-then-rise": _sigmoid(1.5, 0.06),
    "overshooting": lambda time: (1 - np.exp(-((time / 0.8) ** 1.2))) * (1 + 0.12 * np.exp(-(((time - 2) / 0.7) ** 2))),
}


@dataclass(frozen=True)
class Planted:
    """auc(step) = floor + (top - floor) SHAPE(step / tau) + noise, one curve per start and seed.

    Attributes:
        speedups: start -> factor on the steps of the baseline, a geometric mean over seeds.
        tops: start -> where its curves end; 0.9 where not given.
        noise: standard deviation of the evaluation noise, first-order autoregressive with correlation 0.3.
        spread: standard deviation over seeds of log tau (own) and of the top (a tenth of it).
        tau: steps, of the baseline.
        every: steps between evaluations; None is the program's own schedule, dense at first.
    """

    speedups: dict[str, float]
    tops: dict[str, float]
    num_seeds: int = 3
    noise: float = 0.01
    spread: float = 0.1
    tau: float = 100.0
    shape: str = "exponential"
    floor: float = 0.5
    budget: int = 360
    every: int | None = 30

    @property
    def steps(self) -> np.ndarray:
        return np.array(TrainSpec(steps=self.budget, eval_every=self.every).evaluations)

    def values(self, start: str, num: int, generator: np.random.Generator, noise: float) -> np.ndarray:
        """Curves, (num, evaluations)."""
        tau = self.tau / self.speedups[start] * np.exp(self.spread * generator.normal(size=(num, 1)))
        top = self.tops.get(start, 0.9) + 0.1 * self.spread * generator.normal(size=(num, 1))
        clean = self.floor + (top - self.floor) * SHAPES[self.shape](self.steps / tau)
        shocks = generator.normal(size=clean.shape)
        for before in range(clean.shape[1] - 1):
            shocks[:, before + 1] = 0.3 * shocks[:, before] + np.sqrt(1 - 0.3**2) * shocks[:, before + 1]
        return clean + noise * shocks

    def frame(self, seed: int) -> pd.DataFrame:
        """A tidy frame; seeds share nothing but their number."""
        generator = np.random.default_rng(seed)
        parts = []
        for start in self.speedups:
            values = self.values(start, self.num_seeds, generator, self.noise)
            seeds, steps = np.repeat(np.arange(self.num_seeds), len(self.steps)), np.tile(self.steps, self.num_seeds)
            runs = [f"{start}-{number}" for number in seeds]
            start_columns = {"scheme": start, "batch_norm": "identity", "upto": None, "rest": "random", "size": None}
            columns = {
                "run": runs,
                **start_columns,
                "seed": seeds,
                "step": steps,
                "loss": 1.0,
                "auc": values.ravel().clip(0, 1),
            }
            parts.append(pd.DataFrame(columns))
        return pd.concat(parts, ignore_index=True)

    def final_difference(self, start: str, baseline: str = "random") -> float:
        """Expected difference at the last step."""
        return self._expected(start)[-1] - self._expected(baseline)[-1]

    def area(self, start: str, baseline: str = "random") -> float:
        """Expected difference of mean height, as the trapezoid rule takes it from the evaluations."""
        gap = self._expected(start) - self._expected(baseline)
        return float((np.diff(self.steps) * (gap[1:] + gap[:-1]) / 2).sum() / self.budget)

    def _expected(self, start: str) -> np.ndarray:
        return self.values(start, 20_000, np.random.default_rng(0), noise=0.0).mean(axis=0)
