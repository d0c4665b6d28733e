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
from torch import Tensor

from transfusion.errors import DonorError
from transfusion.schemes.slots import Slot

TOKEN_STD = 0.02  # of BERT, and of ViT's tokens and positions


@dataclass(frozen=True)
class Draw:
    """Values for one tensor on the CPU, the rule that gave them, and the moments that it intended."""

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

    def sources(self, donor: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The tensors that ``draw`` reads, by name: the donor's, or ``fresh`` ones of the framework."""
        return donor

    def covers(self, slot: Slot, source: Tensor | None) -> bool:
        """Whether it can fill this tensor: a draw under a parametrization that we do not know means nothing."""
        return slot.role != "foreign"

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

    Biases are 0, norm weights 1; embeddings, tokens and positions, which have no fans, are N(0, 0.02^2). Scales with
    one axis (LayerScale, GRN, temperatures, PReLU slopes) are the framework's; where it has none, they stay as built,
    as index tables do.
    """

    @abstractmethod
    def variance(self, fan_in: int, fan_out: int) -> float:
        """Variance of a weight."""

    def sources(self, donor: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """See ``Scheme.sources``."""
        return fresh

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
            case "gain" | "singular":
                return _derived(slot)
            case "constant" if source is not None:
                return Draw(source, Default.name)
            case _:
                return Draw(slot.tensor, "kept")

    def _normal(self, slot: Slot, std: float, rule: str, generator: torch.Generator) -> Draw:
        values = _normal(slot.tensor.shape, 0.0, std, generator)
        if slot.padding is not None:
            values[slot.padding] = 0  # as torch's own Embedding keeps it
        return Draw(values, rule, 0.0, std)


class Random(FanScaled):
    """Glorot normal: N(0, 2 / (fan_in + fan_out)), the paper's random start (section 4.1)."""

    name = "random"

    def variance(self, fan_in: int, fan_out: int) -> float:
        """See ``FanScaled.variance``."""
        return 2 / max(fan_in + fan_out, 1)  # 1: a tensor without elements has no fans


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

    def sources(self, donor: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """See ``Scheme.sources``."""
        return fresh

    def covers(self, slot: Slot, source: Tensor | None) -> bool:
        """See ``Scheme.covers``."""
        return source is not None or super().covers(slot, source)

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

    def covers(self, slot: Slot, source: Tensor | None) -> bool:
        """See ``Scheme.covers``."""
        return True

    def draw(self, slot: Slot, source: Tensor | None, generator: torch.Generator) -> Draw:
        """See ``Scheme.draw``."""
        assert source is not None
        return Draw(source, self.name, *moments(source))


class Redrawn(Scheme):
    """Base of the schemes that keep a donor tensor's statistics and lose its pattern.

    An embedding's padding row is copied and not counted. Index tables stay as built.
    """

    needs_donor = True

    def reads(self, slot: Slot) -> bool:
        """See ``Scheme.reads``."""
        return slot.role not in ("buffer", "singular")

    def draw(self, slot: Slot, source: Tensor | None, generator: torch.Generator) -> Draw:
        """See ``Scheme.draw``."""
        if slot.role == "singular":
            return _derived(slot)
        if not self.reads(slot):
            return Draw(slot.tensor, "kept")
        assert source is not None
        # a padding row of zeros would pull mean and variance towards 0
        drawn = torch.arange(len(source), device="cpu") != slot.padding if slot.padding is not None else ...
        values, measured = source.clone(), source[drawn]
        mean, std = moments(measured)
        values[drawn] = self.redraw(measured, generator).to(values.dtype)
        return Draw(values, self.name, mean, std)

    @abstractmethod
    def redraw(self, source: Tensor, generator: torch.Generator) -> Tensor:
        """New values in the shape of those of the donor."""


class MeanVar(Redrawn):
    """Each tensor iid normal with its donor tensor's mean and variance: the paper's "Mean Var" (section 4.1)."""

    name = "mean_var"

    def redraw(self, source: Tensor, generator: torch.Generator) -> Tensor:
        """See ``Redrawn.redraw``. Real and imaginary parts of complex numbers are drawn each by their own moments."""
        if source.is_complex():
            parts = [_normal(source.shape, *moments(part), generator) for part in (source.real, source.imag)]
            return torch.complex(*parts)
        return _normal(source.shape, *moments(source), generator)


class Sampling(Redrawn):
    """Each entry drawn with replacement from the entries of its donor tensor (the paper's section 4.3)."""

    name = "sampling"

    def redraw(self, source: Tensor, generator: torch.Generator) -> Tensor:
        """See ``Redrawn.redraw``."""
        count = source.numel()
        chosen = torch.randint(max(count, 1), (count,), generator=generator, device="cpu")  # randint(0) is an error
        return source.reshape(-1)[chosen].reshape(source.shape)


class Shuffled(Redrawn):
    """The donor tensor's entries in another order: sampling (section 4.3) without replacement."""

    name = "shuffled"

    def redraw(self, source: Tensor, generator: torch.Generator) -> Tensor:
        """See ``Redrawn.redraw``."""
        order = torch.randperm(source.numel(), generator=generator, device="cpu")
        return source.reshape(-1)[order].reshape(source.shape)


class IdentityBatchNorm(Scheme):
    """Batch norm that does nothing at first: gamma 1, beta 0, running mean 0, running variance 1 (section 4.4)."""

    name = "identity"

    def draw(self, slot: Slot, source: Tensor | None, generator: torch.Generator) -> Draw:
        """See ``Scheme.draw``."""
        return _constant(slot, float(slot.key in ("weight", "running_var")), self.name)


class MeanVarBatchNorm(MeanVar):
    """Gamma, beta and running mean resampled by ``mean_var``; the running variance, which is positive, log-normally.

    The log-normal has exactly the donor tensor's mean and variance, as a normal redrawn until positive has not. A gamma
    distribution could have them too, but where they differ widely between channels it puts many next to 0, and the
    network divides by their roots. ``num_batches_tracked`` is a count, not a weight: it starts from 0.
    """

    def reads(self, slot: Slot) -> bool:
        """See ``Scheme.reads``."""
        return slot.key != "num_batches_tracked"

    def draw(self, slot: Slot, source: Tensor | None, generator: torch.Generator) -> Draw:
        """See ``Scheme.draw``.

        Raises:
            DonorError: the donor's running variances are negative, or all zero.
        """
        if not self.reads(slot):
            return _constant(slot, 0.0, "zero")
        assert source is not None
        if slot.key != "running_var":
            return super().draw(slot, source, generator)
        mean, std = moments(source)
        if not mean > 0 or (source < 0).any():  # `not >` also refuses NaN
            raise DonorError(
                f"The donor's '{slot.name}' holds variances of mean {mean:g} and minimum {source.min().item():g}; they "
                "must be positive. Use batch-norm mode 'identity' or 'pretrained', or another donor."
            )
        return Draw(_log_normal(source.shape, mean, std, generator), self.name, mean, std)


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
    """Mean and population standard deviation over all entries, real and imaginary parts alike; NaN for none.

    Examples:
        >>> moments(torch.tensor([1.0, 3.0]))
        (2.0, 1.0)
    """
    # a lazily conjugated tensor has no real view
    numbers = torch.view_as_real(tensor.detach().resolve_conj()) if tensor.is_complex() else tensor.detach()
    # half types would overflow in the square
    values = numbers.to("cpu", torch.promote_types(numbers.dtype, torch.float32))
    mean = values.mean()
    return mean.item(), (values - mean).square_().mean().sqrt().item()


def _normal(shape: tuple[int, ...], mean: float, std: float, generator: torch.Generator) -> Tensor:
    # always on the CPU in float32: other devices and types draw other numbers from the same seed
    return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu").mul_(std).add_(mean)


def _log_normal(shape: tuple[int, ...], mean: float, std: float, generator: torch.Generator) -> Tensor:
    """Positive values with this mean and standard deviation: exp(N(mu, s^2)), s^2 = ln(1 + std^2 / mean^2)."""
    variance = math.log1p((std / mean) ** 2)  # of the logarithm
    return _normal(shape, math.log(mean) - variance / 2, math.sqrt(variance), generator).exp_()


def _constant(slot: Slot, value: float, rule: str) -> Draw:
    return Draw(torch.full(slot.tensor.shape, value, dtype=torch.float32, device="cpu"), rule, value, 0.0)


def _derived(slot: Slot) -> Draw:
    """A gain or a singular vector, from the layer's weight as it is now."""
    assert slot.derived is not None
    return Draw(slot.derived(), slot.role)
