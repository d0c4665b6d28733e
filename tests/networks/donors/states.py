"""State dicts for tests: renamed, without their head, compared."""

from __future__ import annotations

import torch

OTHERS = torch.zeros(3, 3)


def named(prefix, state):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def body(state, head="fc."):
    return {name: tensor for name, tensor in state.items() if not name.startswith(head)}


def has_body(found, state, head="fc.") -> bool:
    return all(torch.equal(found.state[name], tensor) for name, tensor in body(state, head).items())
