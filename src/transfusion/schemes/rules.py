"""The schemes: one small class each, saying how one tensor is filled.

How to choose: ``pretrained`` transfers everything; ``mean_var`` keeps only the scale of the donor's weights,
``sampling`` and ``shuffled`` their whole distribution; ``random`` is the paper's baseline, ``kaiming`` the usual
choice for ReLU networks, ``default`` what a script without any thought would start from.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from transfusion.errors import DonorError
from transfusion.schemes.framework import fresh_tensors
from transfusion.schemes.slots import Slot

TOKEN_STD = 0.02  # of BERT, and of ViT's tokens and positions


@dataclass(frozen=True)
class Draw:
    """Values for one tensor on the CPU, the rule that gave them, and the moments that it asked for."""

    values: Tensor
    rule: str
    mean: float = math.nan
    std: float = math.nan


class Scheme(ABC):
    """A rule that turns a donor, or nothing, into initial weights.

    Attributes:
        name: what users call it.
        needs_donor: whether it reads a donor's tensors.
        owns_batch_norm: whether it fills batch norm itself; otherwise the batch-norm mode does.
    """

    name: ClassVar[str]
    needs_donor: ClassVar[bool] = False
    owns_batch_norm: ClassVar[bool] = False

    def reads(self, slot: Slot) -> bool:
        """Whether this tensor's draw reads the donor's tensor of that name."""
        return self.needs_donor and slot.role != "buffer"

    def sources(self, model: nn.Module, donor: Mapping[str, Tensor], seed: int) -> Mapping[str, Tensor]:
        """The tensors that ``draw`` reads, by name."""
        return donor

    @abstractmethod
    def draw(self, slot: Slot, source: Tensor | None, generator: torch.Generator) -> Draw:
        """Fill one tensor.

        Args:
            slot: the tensor, its role and its fans.
            source: the tensor of that name among ``sources``, if any.
            generator: the tensor's own random numbers.
        """


class FanScaled(Scheme):
    """Normal weights with a variance set by the layer's fans.

    Biases are 0, norm weights 1; embeddings, tokens and positions, which have no fans, are N(0, 0.02^2). What has
    one axis and no name that tells (LayerScale, temperatures, PReLU slopes) and index tables stay as built.
    """

    @abstractmethod
    def variance(self, fan_in: int, fan_out: int) -> float:
        """Variance of a weight."""

    def draw(self, slot: Slot, source: Tensor | None, generator: torch.Generator) -> Draw:
        """See ``Scheme.draw``."""
        match slot.role:
            case "weight":
                return self._normal(slot, math.sqrt(self.variance(*slot.fans)), self.name, generator)
            case "token":
                return self._normal(slot, TOKEN_STD, "token", generator)
            case "bias":
                return _constant(slot, 0.0, "zero")
            case "norm":
                return _constant(slot, 1.0, "one")
            case "gain":
                return Draw(_norms(slot), "gain")
            case _:
                return Draw(slot.tensor, "kept")

    def _normal(self, slot: Slot, std: float, rule: str, generator: torch.Generator) -> Draw:
        values = _normal(slot.tensor.shape, 0.0, std, generator)
        if slot.padding is not None:
            values[slot.padding] = 0
        return Draw(values, rule, 0.0, std)


class Random(FanScaled):
    """Glorot normal: N(0, 2 / (fan_in + fan_out)), the paper's random start (section 4.1)."""

    name = "random"

    def variance(self, fan_in: int, fan_out: int) -> float:
        """See ``FanScaled.variance``."""
        return 2 / max(fan_in + fan_out, 1)


class Kaiming(FanScaled):
    """He normal: N(0, 2 / fan_in)."""

    name = "kaiming"

    def variance(self, fan_in: int, fan_out: int) -> float:
        """See ``FanScaled.variance``."""
        return 2 / max(fan_in, 1)


class Default(Scheme):
    """What the framework does; see ``fresh_tensors``. Tensors that it has no rule for are filled as by ``random``."""

    name = "default"
    owns_batch_norm = True

    def sources(self, model: nn.Module, donor: Mapping[str, Tensor], seed: int) -> Mapping[str, Tensor]:
        """See ``Scheme.sources``."""
        return fresh_tensors(model, seed)

    def draw(self, slot: Slot, source: Tensor | None, generator: torch.Generator) -> Draw:
        """See ``Scheme.draw``."""
        return RANDOM.draw(slot, None, generator) if source is None else Draw(source, self.name)


class Pretrained(Scheme):
    """The donor's tensors, buffers and batch norm included."""

    name = "pretrained"
    needs_donor = True
    owns_batch_norm = True

    def reads(self, slot: Slot) -> bool:
        """See ``Scheme.reads``."""
        return True

    def draw(self, slot: Slot, source: Tensor | None, generator: torch.Generator) -> Draw:
        """See ``Scheme.draw``."""
        assert source is not None
        return Draw(source, self.name, *moments(source))


class Redrawn(Scheme):
    """Base of the schemes that keep a donor tensor's statistics and lose its pattern. Index tables stay as built."""

    needs_donor = True

    def draw(self, slot: Slot, source: Tensor | None, generator: torch.Generator) -> Draw:
        """See ``Scheme.draw``."""
        if not self.reads(slot):
            return Draw(slot.tensor, "kept")
        assert source is not None
        mean, std = moments(source)
        return Draw(self.redraw(source, mean, std, generator), self.name, mean, std)

    @abstractmethod
    def redraw(self, source: Tensor, mean: float, std: float, generator: torch.Generator) -> Tensor:
        """New values of the donor tensor's shape, which has this mean and (population) standard deviation."""


class MeanVar(Redrawn):
    """Each tensor iid normal with its donor tensor's mean and variance: the paper's "Mean Var" (section 4.1)."""

    name = "mean_var"

    def redraw(self, source: Tensor, mean: float, std: float, generator: torch.Generator) -> Tensor:
        """See ``Redrawn.redraw``."""
        return _normal(source.shape, mean, std, generator)


class Sampling(Redrawn):
    """Each entry drawn with replacement from the entries of its donor tensor (the paper's section 4.3)."""

    name = "sampling"

    def redraw(self, source: Tensor, mean: float, std: float, generator: torch.Generator) -> Tensor:
        """See ``Redrawn.redraw``."""
        count = source.numel()
        return source.reshape(-1).index_select(0, torch.randint(max(count, 1), (count,), generator=generator))


class Shuffled(Redrawn):
    """The donor tensor's entries in another order: sampling (section 4.3) without replacement."""

    name = "shuffled"

    def redraw(self, source: Tensor, mean: float, std: float, generator: torch.Generator) -> Tensor:
        """See ``Redrawn.redraw``."""
        return source.reshape(-1).index_select(0, torch.randperm(source.numel(), generator=generator))


class IdentityBatchNorm(Scheme):
    """Batch norm that does nothing at first: gamma 1, beta 0, running mean 0, running variance 1 (section 4.4)."""

    name = "identity"

    def draw(self, slot: Slot, source: Tensor | None, generator: torch.Generator) -> Draw:
        """See ``Scheme.draw``."""
        return _constant(slot, float(slot.key in ("weight", "running_var")), self.name)


class MeanVarBatchNorm(MeanVar):
    """Gamma, beta, running mean and variance resampled by ``mean_var``; variances redrawn until positive.

    ``num_batches_tracked`` is a count, not a weight: it starts from 0.
    """

    def reads(self, slot: Slot) -> bool:
        """See ``Scheme.reads``."""
        return slot.key != "num_batches_tracked"

    def draw(self, slot: Slot, source: Tensor | None, generator: torch.Generator) -> Draw:
        """See ``Scheme.draw``.

        Raises:
            DonorError: the donor's running variances are all zero or below, so that no draw can be positive.
        """
        if not self.reads(slot):
            return _constant(slot, 0.0, "zero")
        drawn = super().draw(slot, source, generator)
        if slot.key == "running_var":
            if drawn.mean <= 0:
                raise DonorError(f"The donor's '{slot.name}' has mean {drawn.mean:g}; a variance must be positive.")
            while (bad := drawn.values <= 0).any():
                drawn.values[bad] = _normal((int(bad.sum()),), drawn.mean, drawn.std, generator)
        return drawn


RANDOM = Random()
IDENTITY = IdentityBatchNorm()
SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme for scheme in (Pretrained(), RANDOM, Kaiming(), Default(), MeanVar(), Sampling(), Shuffled())
}
HEADS = {name: scheme for name, scheme in SCHEMES.items() if not scheme.needs_donor}
BATCH_NORMS: dict[str, Scheme] = {
    "identity": IDENTITY,
    "mean_var": MeanVarBatchNorm(),
    "pretrained": SCHEMES["pretrained"],
}


def moments(tensor: Tensor) -> tuple[float, float]:
    """Mean and population standard deviation over all entries; NaN for none.

    Example:
        >>> moments(torch.tensor([1.0, 3.0]))
        (2.0, 1.0)
    """
    values = tensor.detach().to("cpu", torch.promote_types(tensor.dtype, torch.float32))
    mean = values.mean()
    return mean.item(), (values - mean).square_().mean().sqrt().item()


def _normal(shape: tuple[int, ...], mean: float, std: float, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator).mul_(std).add_(mean)


def _constant(slot: Slot, value: float, rule: str) -> Draw:
    return Draw(torch.full(slot.tensor.shape, value), rule, value, 0.0)


def _norms(slot: Slot) -> Tensor:
    """Norms of a weight-normalised layer's directions, over the axes that its gain has not."""
    assert slot.direction is not None
    axes = [axis for axis, size in enumerate(slot.tensor.shape) if size == 1]
    keep = slot.tensor.ndim == slot.direction.ndim
    norms: Tensor = torch.linalg.vector_norm(slot.direction.detach(), dim=axes if keep else None, keepdim=keep)
    return norms
