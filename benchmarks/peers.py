"""Other packages' mean CCA and debiased CKA, as callables on (samples, features) arrays.

They are no dependencies and are not kept here. Put them on a path and name it, separated by colons:
``TRANSFUSION_PEERS=svcca:anatome:netrep:sim_metric/dists:site`` where the first four are clones of google/svcca,
moskomule/anatome, ahwillia/netrep and js-d/sim_metric, and ``site`` is from
``pip install --target site cca-zoo pytorch-cka``. What is absent is left out of the results by name.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

Floats = npt.NDArray[np.floating]

sys.path[1:1] = [path for path in os.environ.get("TRANSFUSION_PEERS", "").split(":") if path]


def google_svcca(x: Floats, y: Floats) -> float:
    from cca_core import get_cca_similarity

    found = get_cca_similarity(x.T, y.T, epsilon=1e-10, threshold=1.0, verbose=False)
    return float(np.mean(found["cca_coef1"]))


def anatome(x: Floats, y: Floats) -> float:
    from anatome.distance import cca

    return float(cca(torch.from_numpy(x), torch.from_numpy(y), backend="qr")[2].mean())


def netrep(x: Floats, y: Floats) -> float:
    from netrep.metrics import LinearMetric

    # It gives the angle between whitened arrays padded to equal width: undo the padding's share of the norm.
    cosine = np.cos(LinearMetric(alpha=0.0).fit_score(x, y))
    return float(cosine * np.sqrt(x.shape[1] * y.shape[1]) / min(x.shape[1], y.shape[1]))


def sim_metric(x: Floats, y: Floats) -> float:
    from scoring import cca_decomp, mean_cca_corr

    return float(mean_cca_corr(cca_decomp((x - x.mean(axis=0)).T, (y - y.mean(axis=0)).T)[1]))


def cca_zoo(x: Floats, y: Floats) -> float:
    from cca_zoo.linear import CCA

    width = min(x.shape[1], y.shape[1])
    scores = CCA(n_components=width).fit_transform([x, y])
    products = [each - each.mean(axis=0) for each in scores]
    norms = [np.linalg.norm(each, axis=0) for each in products]
    return float(np.mean((products[0] * products[1]).sum(axis=0) / (norms[0] * norms[1])))


def pytorch_cka(x: Floats, y: Floats) -> float:
    from cka.cka import cka_from_features

    return float(cka_from_features(torch.from_numpy(x), torch.from_numpy(y)))


MEAN_CCA: dict[str, tuple[str, Callable[[Floats, Floats], float]]] = {
    "google/svcca": ("cca_core", google_svcca),
    "anatome": ("anatome", anatome),
    "netrep": ("netrep", netrep),
    "sim_metric": ("scoring", sim_metric),
    "cca-zoo": ("cca_zoo", cca_zoo),
}
DEBIASED_CKA: dict[str, tuple[str, Callable[[Floats, Floats], float]]] = {"pytorch-cka": ("cka", pytorch_cka)}


def installed(
    peers: dict[str, tuple[str, Callable[[Floats, Floats], float]]],
) -> dict[str, Callable[[Floats, Floats], float]]:
    return {name: call for name, (module, call) in peers.items() if importlib.util.find_spec(module)}


def absent() -> str:
    every = {**MEAN_CCA, **DEBIASED_CKA}
    missing = [name for name, (module, _) in every.items() if not importlib.util.find_spec(module)]
    return f"Not installed, so left out: {', '.join(missing)}." if missing else "Every named peer took part."
