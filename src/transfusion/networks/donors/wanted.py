"""What a model needs from a donor, and what shows that a donor is another network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from transfusion.networks.structure import head

# what a network works out from its shape alone
DERIVED = re.compile(
    r"(?:.*\.)?(num_batches_tracked|relative_position_index|relative_coords_table|attn_mask|position_ids|_extra_state(?:\..*)?)"
)
_TOKENS = re.compile(r"(cls|class|dist|reg|register)_?(token|embedding)s?|pos_embed.*")


@dataclass(frozen=True)
class Wanted:
    """What a model needs from a donor.

    ``shared`` is the module that holds the head and layers before it, such as a ``classifier``, as a prefix.
    """

    model: nn.Module
    tensors: dict[str, Tensor]
    heads: tuple[str, ...]
    body: tuple[str, ...]
    shared: str

    @classmethod
    def of(cls, model: nn.Module) -> Wanted:
        """What this model needs."""
        tensors = {name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
        heads = tuple(f"{name}." for name in head(model))
        body = tuple(name for name in tensors if not name.startswith(heads) and not DERIVED.fullmatch(name))
        owner = head(model)[0].rpartition(".")[0] if len(heads) == 1 else ""
        # a module that also holds the first layer is the network itself, not a classifier
        shared = f"{owner}." if owner and body and not body[0].startswith(f"{owner}.") else ""
        return cls(model, tensors, heads, body, shared)

    def modules(self) -> frozenset[str]:
        """Names of modules of the body: what lies in them and is not wanted makes another network."""
        around = {".".join(name.split(".")[:end]) for name in self.body for end in range(1, name.count(".") + 1)}
        above = {".".join(h.split(".")[:end]) for h in self.heads for end in range(1, h.count(".") + 1)}
        around_all = {cut.rstrip(".") for cut in cuts(self.body)}
        lists = (nn.Sequential, nn.ModuleList)
        wrappers = {name for name in around_all if name and not isinstance(self.model.get_submodule(name), lists)}
        return frozenset(around - above - wrappers)

    @property
    def trunk(self) -> frozenset[str]:
        """The part of the body that no owner of a donor replaces together with the head."""
        return frozenset(name for name in self.body if not self.shared or not name.startswith(self.shared))


def strange(whole: Mapping[str, Tensor], wanted: Wanted, *, owned: bool) -> Iterator[str]:
    """Tensors inside the body's modules that the model lacks: it is another network."""
    modules = wanted.modules()
    for name in whole:
        if name in wanted.tensors or DERIVED.fullmatch(name) or name.startswith(wanted.heads):
            continue
        if owned and name.startswith(wanted.shared):
            continue
        around = [".".join(name.split(".")[:end]) for end in range(1, name.count(".") + 1)]
        if modules.intersection(around) or _TOKENS.fullmatch(name):
            yield name


def cuts(body: Sequence[str]) -> Iterator[str]:
    """What all names of a body begin with, part by part: a donor may lack a model's wrapper."""
    yield ""
    parts = [name.split(".")[:-1] for name in body]
    for depth in range(1, min(map(len, parts), default=0) + 1):
        if len({tuple(part[:depth]) for part in parts}) > 1:
            return
        yield ".".join(parts[0][:depth]) + "."
