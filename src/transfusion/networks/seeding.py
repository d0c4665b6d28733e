"""Random numbers that depend on a seed and a name only, and leave the global generators alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def generator(seed: int, name: str) -> torch.Generator:
    """A CPU generator of its own for one tensor: the same numbers whatever else is drawn, on any device.

    Examples:
        >>> torch.equal(torch.randn(3, generator=generator(0, "fc.weight")),
        ...             torch.randn(3, generator=generator(0, "fc.weight")))
        True
    """
    return torch.Generator(device="cpu").manual_seed(_digest(seed, name))


@contextmanager
def isolated_rng(seed: int, name: str = "") -> Iterator[None]:
    """Run code that draws from the global CPU generator; its state is put back afterwards.

    Modules made inside are in float32 on the CPU, whatever ``torch.set_default_dtype`` and
    ``torch.set_default_device`` say. ``torch.manual_seed`` would also reseed every GPU, so it is not used.

    Examples:
        >>> before = torch.get_rng_state()
        >>> with isolated_rng(0):
        ...     layer = torch.nn.Linear(2, 2)
        >>> torch.equal(before, torch.get_rng_state())
        True
    """
    dtype = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(_digest(seed, name))
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)


def _digest(seed: int, name: str) -> int:
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
