"""Fill a network by a scheme, in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from transfusion.errors import DonorError, DonorMismatchError, InputError, UnknownNameError
from transfusion.networks.donors.containers import stripped, tensors_of
from transfusion.networks.donors.wanted import Wanted, strange
from transfusion.networks.given import integer, network, odd_storage, unwrapped
from transfusion.networks.seeding import generator
from transfusion.networks.structure import stages
from transfusion.schemes.framework import fresh_tensors
from transfusion.schemes.provenance import Origin, Provenance
from transfusion.schemes.reparametrized import refresh
from transfusion.schemes.rules import BATCH_NORMS, HEADS, IDENTITY, SCHEMES, Scheme, moments
from transfusion.schemes.slots import Slot, is_quantised, slots

_NUM_NAMED = 20
_ADAPT = (
    "Give the donor's own model, or a donor of this one; where only names or image sizes differ, give "
    "donor=transfusion.networks.donors.adapt(donor, model)."
)


def initialize(
    model: nn.Module,
    scheme: str,
    donor: Mapping[str, Tensor] | nn.Module | None = None,
    seed: int = 0,
    batch_norm: str = "identity",
    upto: str | None = None,
    rest: str = "random",
    head: str = "default",
) -> Provenance:
    """Give a model the weights that a scheme asks for, in place.

    The same seed gives the same weights on every device (numbers are drawn on the CPU in float32), each tensor has
    its own generator, and global random state is not touched. Gradients, devices and types of the parameters stay.

    The head is filled by a rule of its own, whatever the scheme and the donor: starts of one seed have the same head to
    the bit, so that what sets them apart is the body alone. A donor's head is never used.

    Args:
        model: any network. Tied tensors are filled once, under their first name. Of a compiled or parallel one, what it
            wraps is filled, under the names of that.
        scheme: one of ``SCHEMES``.
        donor: state dict or network with the model's names and shapes, the head aside; for any other see
            ``transfusion.networks.donors.adapt``.
        seed: any whole number, of Python, NumPy or torch.
        batch_norm: ``identity``, ``mean_var`` or ``pretrained``; how batch norm is filled wherever the scheme does not
            copy (``pretrained`` and ``default`` bring their own).
        upto: last stage that ``scheme`` fills; those above it are filled by ``rest``. None is the whole network.
        rest: any scheme.
        head: scheme of the head, one that needs no donor. ``default`` is what the framework gives a new one. A Glorot
            head (``random``) is too large for features of a pretrained scale: SqueezeNet's, which ends in a ReLU,
            starts out dead under it.

    Returns:
        The origin of every tensor.

    Raises:
        UnknownNameError: no such scheme, batch-norm mode, stage or rule for the head.
        DonorError: a donor is needed and none was given, or it has values that are not finite.
        DonorMismatchError: the donor lacks tensors, has them in other shapes, or has more of them within the model's
            modules, as a deeper network has.
        InputError: ``model`` is no network or has no tensors, ``seed`` is no whole number, or the model
            has lazy, meta, sparse or quantised tensors, or a parametrization without a rule.

    Source:
        Paper, sections 4.1 (random, Mean Var), 4.3 (sampling), 4.4 (batch norm) and 6.4 (weight transfusion). Stages
        here are finer than the paper's blocks.

    Examples:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 2))
        >>> initialize(model, "random", seed=1)["0.weight"].rule
        'random'
    """
    model = unwrapped(network(model, "initialize(model, scheme, donor=...)"))
    seed = integer(seed, "seed")
    plan = _Plan.of(model, (scheme, rest, batch_norm, head), upto)
    found = slots(model)
    if not found:
        raise InputError(f"There is nothing to initialise in a {type(model).__name__}: it has no parameters.")
    state = {} if donor is None else _named_as(found, tensors_of(donor))
    _check_donor(plan, found, state, given=donor is not None)
    _check_same_network(plan, found, state, model)
    fresh = fresh_tensors(model, seed)
    # all checks come before the first tensor is written: an error leaves the model as it was
    sources = {rule: rule.sources(state, fresh) for rule in {plan.rule(slot) for slot in found}}
    _check_parametrizations(plan, found, sources)
    # gains and singular vectors are measured on their weights, so these come first
    ordered = sorted(found, key=lambda slot: slot.derived is not None)
    origins = {slot.name: _fill(slot, plan.rule(slot), sources[plan.rule(slot)], seed) for slot in ordered}
    with torch.no_grad():
        refresh(model)
    return Provenance(tuple(origins[slot.name] for slot in found))


def reads_donor(
    model: nn.Module,
    scheme: str,
    batch_norm: str = "identity",
    upto: str | None = None,
    rest: str = "random",
    head: str = "default",
) -> bool:
    """Whether ``initialize`` with these settings would read anything from a donor.

    Raises:
        InputError: ``model`` is no network.
        UnknownNameError: no such scheme, batch-norm mode, stage or rule for the head.

    Examples:
        >>> reads_donor(nn.Linear(2, 2), "mean_var"), reads_donor(nn.Linear(2, 2), "random")
        (True, False)
    """
    model = unwrapped(network(model, "reads_donor(model, scheme)"))
    plan = _Plan.of(model, (scheme, rest, batch_norm, head), upto)
    return any(plan.rule(slot).reads(slot) for slot in slots(model))


@dataclass(frozen=True)
class _Plan:
    """Which rule fills which tensor."""

    scheme: Scheme
    rest: Scheme
    batch_norm: Scheme
    head: Scheme
    lower: frozenset[str]

    @classmethod
    def of(cls, model: nn.Module, names: tuple[str, str, str, str], upto: str | None) -> _Plan:
        scheme, rest = (_known(SCHEMES, "scheme", name) for name in names[:2])
        batch_norm, head = (
            _known(BATCH_NORMS, "batch-norm mode", names[2]),
            _known(HEADS, "rule for the head", names[3]),
        )
        order = list(stages(model))
        if upto is None:
            return cls(scheme, scheme, batch_norm, head, frozenset(order))
        if upto not in order:
            raise UnknownNameError.of("stage", upto, order)
        return cls(scheme, rest, batch_norm, head, frozenset(order[: order.index(upto) + 1]))

    @property
    def needs_donor(self) -> bool:
        return self.scheme.needs_donor or self.rest.needs_donor

    def rule(self, slot: Slot) -> Scheme:
        """The scheme or batch-norm mode that fills a tensor."""
        chosen = self.head if slot.is_head else self.scheme if slot.stage in self.lower else self.rest
        if slot.role != "batch_norm" or chosen.owns_batch_norm:
            return chosen
        return IDENTITY if slot.is_head else self.batch_norm  # a head's batch norm must not depend on the donor either


def _known(table: dict[str, Scheme], what: str, name: str) -> Scheme:
    if not isinstance(name, str) or name not in table:
        raise UnknownNameError.of(what, name, table)
    return table[name]


def _check_donor(plan: _Plan, found: list[Slot], state: dict[str, Tensor], *, given: bool) -> None:
    read = [slot for slot in found if plan.rule(slot).reads(slot) and not slot.tied_to]
    if not given and (plan.needs_donor or read):
        what = next(rule.name for rule in (plan.scheme, plan.rest, plan.batch_norm) if rule.needs_donor)
        raise DonorError(f"'{what}' needs a donor and none was given: pass donor=, a state dict or a network.")
    # every fault of a kind is named at once, and not one per attempt
    missing = [slot.name for slot in read if slot.name not in state]
    odd = [slot.name for slot in read if slot.name in state and not _is_alike(state[slot.name], slot.tensor)]
    if odd:
        raise DonorMismatchError(
            f"The donor's {_listed(odd)} cannot stand for the model's: quantised, sparse, on the meta device or of "
            "another kind of number. Give a donor of dense floats."
        )
    other = [
        f"{slot.name} {tuple(state[slot.name].shape)} for {tuple(slot.tensor.shape)}"
        for slot in read
        if slot.name in state and state[slot.name].shape != slot.tensor.shape
    ]
    if missing or other:
        problems = [f"missing: {_listed(missing)}"] * bool(missing) + [f"misshapen: {_listed(other)}"] * bool(other)
        raise DonorMismatchError(f"The donor does not fit the model ({'; '.join(problems)}). {_ADAPT}")
    # masks among buffers hold -inf rightly
    broken = [slot.name for slot in read if slot.role != "buffer" and not state[slot.name].isfinite().all()]
    if broken:
        raise DonorError(
            f"The donor has NaN or infinite values in {_listed(broken)}. Give one from before it diverged."
        )


def _named_as(found: list[Slot], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A donor's tensors, without what wrappers and checkpoints put before all names, where the model does not."""
    return state if any(slot.name in state for slot in found) else stripped(state)


def _check_same_network(plan: _Plan, found: list[Slot], state: dict[str, Tensor], model: nn.Module) -> None:
    """A deeper or wider network may have all that is read, and be another one all the same."""
    if not any(plan.rule(slot).reads(slot) for slot in found):
        return
    if more := list(strange(state, Wanted.of(model), owned=False)):
        raise DonorMismatchError(f"The donor does not fit the model (unexpected: {_listed(more)}). {_ADAPT}")


def _is_alike(given: Tensor, wanted: Tensor) -> bool:
    """Whether the donor's numbers are dense and real, complex or whole as the model's are."""
    if is_quantised(given) or odd_storage(given):
        return False
    return (given.is_floating_point(), given.is_complex()) == (wanted.is_floating_point(), wanted.is_complex())


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
    return ", ".join(names[:_NUM_NAMED]) + more


def _check_parametrizations(plan: _Plan, found: list[Slot], sources: dict[Scheme, Mapping[str, Tensor]]) -> None:
    for slot in found:
        rule = plan.rule(slot)
        if not rule.covers(slot, sources[rule].get(slot.name)):
            raise InputError(
                f"'{slot.name}' belongs to a parametrization that '{rule.name}' has no rule for: only weight norm and "
                "spectral norm are known. Call torch.nn.utils.parametrize.remove_parametrizations first."
            )


@torch.no_grad()
def _fill(slot: Slot, rule: Scheme, sources: Mapping[str, Tensor], seed: int) -> Origin:
    if slot.tied_to:
        mean, std = moments(slot.tensor)
        return Origin(slot.name, slot.stage, f"tied to {slot.tied_to}", None, mean, std, mean, std)
    source = sources.get(slot.name)
    # seeded by the tensor's name: adding a layer elsewhere changes no other draw
    drawn = rule.draw(slot, None if source is None else source.detach().cpu(), generator(seed, slot.name))
    slot.tensor.copy_(drawn.values.reshape(slot.tensor.shape))
    read = slot.name if rule.reads(slot) else None
    return Origin(slot.name, slot.stage, drawn.rule, read, drawn.mean, drawn.std, *moments(slot.tensor))
