"""Find a network's body among a donor's tensors, and make it fit."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from transfusion.errors import DonorError, DonorMismatchError
from transfusion.networks.donors import shapes
from transfusion.networks.donors.containers import tensors_of
from transfusion.networks.donors.conversion import by_timm
from transfusion.networks.donors.wanted import DERIVED, Wanted, cuts, strange
from transfusion.networks.given import network, odd_storage

_NUM_NAMED = 6
# torchvision's published DenseNet files have "norm.1" for what its code calls "norm1"
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
_EMA = re.compile(r"(^|[._])(ema|averaged?)(?=[._]|$)")


@dataclass(frozen=True)
class Fit:
    """A donor's tensors as a model takes them.

    Attributes:
        state: tensors under the model's names, in its shapes and types. The head's are there only if they fit.
        whole: everything that lay with them, under the model's names but as the donor has it.
        notes: what was taken, and what was done to it, in sentences.
    """

    state: dict[str, Tensor]
    whole: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def fit(donor_state: Mapping[str, Any] | nn.Module, model: nn.Module) -> Fit:
    """Find the one place where a donor holds the body of a model, and make it fit.

    The body is everything but the head. What lies beside it (losses, decoders, projectors, another head) is left.

    - a network inside a wrapper, or a wrapper's network without it, is found by its names; a body that was cut into
      ``nn.Sequential(*children)`` by the order and shapes of its parts;
    - of weights and their exponential moving average, the average is taken, as timm does;
    - a one-channel model takes the sum of an RGB donor's first kernels over the colours, so that a grey image gives
      the same response as its three equal channels gave;
    - positions and tables of relative positions of another image size are resampled as timm does;
    - layers between body and head that a donor's owner replaced together with its head are as the model has them.

    Args:
        donor_state: a network, its tensors by name such as ``Donor.state``, or a checkpoint that holds them.
        model: where they are to go; it is not changed.

    Raises:
        DonorMismatchError: no place fits, or several do; names them.
        DonorError: it is no network or tensors by name, or values of the body are NaN, infinite or none at all.
        InputError: ``model`` is no network.

    Examples:
        >>> model, donor = nn.Sequential(nn.Conv2d(1, 4, 3)), nn.Sequential(nn.Conv2d(3, 4, 3))
        >>> fit({f"net.{name}": tensor for name, tensor in donor.state_dict().items()}, model).state["0.weight"].shape
        torch.Size([4, 1, 3, 3])
    """
    given = tensors_of(donor_state)
    wanted = Wanted.of(network(model, "fit(donor_state, model)"))
    try:
        return _fit(given, wanted)
    except DonorMismatchError:  # second: where names fit as they are, renaming can only do harm
        converted = by_timm(given, model)
        if converted is None or converted.keys() == given.keys():  # nothing was renamed, so nothing new can fit
            raise
        with contextlib.suppress(DonorMismatchError):
            found = _fit(converted, wanted)
            return replace(found, notes=("The donor's tensors are renamed by timm's own code.", *found.notes))
        raise


def _fit(given: Mapping[str, Tensor], wanted: Wanted) -> Fit:
    tried = [_Try.of(place, given, wanted) for place in _places(given, wanted)]
    chosen, said = _choose(tried, wanted, list(given))
    beside = {name: t for name, t in given.items() if name not in chosen.place.sources}
    _require_real(chosen, wanted)
    state = chosen.state(wanted)
    _require_finite(state, wanted)
    return Fit(state, chosen.whole, (*said, *chosen.notes(beside)))


def adapt(donor_state: Mapping[str, Any] | nn.Module, model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a donor as a model takes them; see ``fit``.

    Examples:
        >>> model, donor = nn.Sequential(nn.Conv2d(1, 4, 3)), nn.Sequential(nn.Conv2d(3, 4, 3))
        >>> adapt(donor.state_dict(), model)["0.weight"].shape
        torch.Size([4, 1, 3, 3])
    """
    return fit(donor_state, model).state


def stem_channels(donor_state: Mapping[str, Any] | nn.Module, model: nn.Module) -> int | None:
    """The number of image channels that a donor's first convolution takes; None where that is unknown.

    Examples:
        >>> stem_channels(nn.Conv2d(1, 4, 3).state_dict(), nn.Conv2d(3, 4, 3))
        1
    """
    given = tensors_of(donor_state)
    wanted = Wanted.of(network(model, "stem_channels(donor_state, model)"))
    tried = [_Try.of(place, given, wanted) for place in _places(given, wanted)]
    first = next(iter(shapes.first_kernels(model)), "")
    found = {int(one.whole[first].shape[1]) for one in tried if not one.absent and first in one.whole}
    folded = {count * 3 // wanted.tensors[first].shape[1] for count in found}
    return folded.pop() if len(folded) == 1 else None


@dataclass(frozen=True)
class _Place:
    """Where in a donor a body may lie: ``sources`` maps the donor's names to the model's."""

    prefix: str
    sources: dict[str, str] = field(repr=False)
    by_order: bool = False


def _places(given: Mapping[str, Tensor], wanted: Wanted) -> Iterator[_Place]:
    """Places where some of the body's tensors are, by name; where none holds the whole body, by order."""
    found = list(_by_name(given, wanted))
    yield from found
    if not any(wanted.trunk <= set(place.sources.values()) for place in found):
        yield from _by_order(given, wanted)


def _by_name(given: Mapping[str, Tensor], wanted: Wanted) -> Iterator[_Place]:
    joined = {name: _OLD_DENSENET.sub(r"\1\2", name) for name in given}
    seen = set()
    for cut in cuts(wanted.body):
        anchors = {name.removeprefix(cut) for name in wanted.body[:1] + wanted.body[-1:]}
        ends = [(name, anchor) for name in joined.values() for anchor in anchors if f".{name}".endswith(f".{anchor}")]
        for prefix in dict.fromkeys(name.removesuffix(anchor) for name, anchor in ends):
            inside = {name: cut + new.removeprefix(prefix) for name, new in joined.items() if new.startswith(prefix)}
            if frozenset(inside.items()) not in seen:  # two cuts can say the same
                seen.add(frozenset(inside.items()))
                yield _Place(prefix, inside)


def _by_order(given: Mapping[str, Tensor], wanted: Wanted) -> Iterator[_Place]:
    """A body as ``nn.Sequential(*children)``: by the number of each child, else tensor after tensor."""
    children = [name for name, _ in wanted.model.named_children()]
    if len(children) == 1:
        children = [f"{children[0]}.{name}" for name, _ in wanted.model.get_submodule(children[0]).named_children()]
    numbered = re.compile(r"(|.*?\.)(\d+)\.(.*)")
    prefixes = dict.fromkeys(match[1] for name in given if (match := numbered.fullmatch(name)))
    for prefix in prefixes:
        inside = [name for name in given if name.startswith(prefix) and name.removeprefix(prefix)[:1].isdigit()]
        sources = {}
        for name in inside:
            number, _, rest = name.removeprefix(prefix).partition(".")
            if number.isdigit() and int(number) < len(children):
                sources[name] = _OLD_DENSENET.sub(r"\1\2", f"{children[int(number)]}.{rest}")
        if wanted.trunk <= set(sources.values()):
            yield _Place(prefix, sources, by_order=True)
            continue
        plain = [name for name in inside if not DERIVED.fullmatch(name)]
        pairs = list(zip(plain, wanted.body, strict=False))  # what follows the body is the donor's head
        if len(plain) >= len(wanted.body) and all(_alike(given[a], a, wanted.tensors[b], b) for a, b in pairs):
            yield _Place(prefix, dict(pairs), by_order=True)


def _alike(tensor: Tensor, name: str, wanted: Tensor, wanted_name: str) -> bool:
    same_key = name.rpartition(".")[2] == wanted_name.rpartition(".")[2]
    same_shape = tensor.shape == wanted.shape or (tensor.ndim == 4 and tensor.shape[2:] == wanted.shape[2:])
    return same_key and same_shape and tensor.shape[:1] == wanted.shape[:1]


@dataclass(frozen=True)
class _Try:
    """A place, and how well the body that lies there fits."""

    place: _Place
    whole: dict[str, Tensor]
    fitted: dict[str, Tensor]
    done: tuple[str, ...]
    absent: tuple[str, ...]
    strange: tuple[str, ...]
    misshapen: tuple[str, ...]
    replaced: tuple[str, ...]

    @classmethod
    def of(cls, place: _Place, given: Mapping[str, Tensor], wanted: Wanted) -> _Try:
        whole = {new: given[name] for name, new in place.sources.items()}
        pairs = {n: shapes.fitted(n, whole[n], wanted.tensors[n], wanted.model) for n in wanted.tensors if n in whole}
        absent = [name for name in wanted.body if name not in whole]
        replaced = [name for name in absent if wanted.shared and name.startswith(wanted.shared)]
        # a part of them is a torn file, not a choice
        if any(name.startswith(wanted.shared) for name in wanted.body if wanted.shared and name in whole):
            replaced = []
        return cls(
            place=place,
            whole=whole,
            fitted={name: tensor for name, (tensor, _) in pairs.items()},
            done=tuple(dict.fromkeys(what for _, what in pairs.values() if what)),
            absent=tuple(name for name in absent if name not in replaced),
            strange=tuple(strange(whole, wanted, owned=bool(replaced))),
            misshapen=tuple(n for n in wanted.body if n in pairs and pairs[n][0].shape != wanted.tensors[n].shape),
            replaced=tuple(replaced),
        )

    @property
    def fits(self) -> bool:
        return not (self.absent or self.strange or self.misshapen)

    def state(self, wanted: Wanted) -> dict[str, Tensor]:
        """In the model's order and types; what the donor need not have is the model's own."""
        state = wanted.model.state_dict()
        state.clear()  # keeps the versions of its layers, which some ask for when they are loaded
        for name, own in wanted.tensors.items():
            tensor = self.fitted.get(name)
            counts = name.endswith("num_batches_tracked")
            if name in self.replaced or (DERIVED.fullmatch(name) and not (counts and tensor is not None)):
                state[name] = torch.zeros_like(own) if counts else own.detach().clone()
            elif tensor is not None and tensor.shape == own.shape:
                state[name] = tensor.to(own.dtype) if own.is_floating_point() else tensor
        return state

    def notes(self, beside: Mapping[str, Tensor]) -> Iterator[str]:
        if self.place.prefix:
            yield f"Of the donor, the tensors under '{self.place.prefix.rstrip('.')}' are taken."
        if self.place.by_order:
            yield "The donor's parts have numbers for names: they are matched by order and shape."
        counts = Counter(name.partition(".")[0] for name in beside if not DERIVED.fullmatch(name))
        unused = Counter(name.partition(".")[0] for name in self.whole if name not in self.fitted)
        listed = [f"{part} ({count})" for part, count in (counts + unused).items()]
        if listed:
            yield f"Not used of the donor, by number of tensors: {_listed(listed)}."
        if self.replaced:
            yield f"The donor has none of {_listed(list(self.replaced))}: they are new, as the framework makes them."
        yield from (f"The donor's {what}." for what in self.done)


def _choose(tried: Sequence[_Try], wanted: Wanted, given: Sequence[str]) -> tuple[_Try, tuple[str, ...]]:
    fitting = [one for one in tried if one.fits]
    distinct = [one for i, one in enumerate(fitting) if not any(_same(one, other, wanted) for other in fitting[:i])]
    if len(distinct) == 1:
        return distinct[0], ()
    averages = [one for one in distinct if _EMA.search(one.place.prefix.lower())]
    names = [one.place.prefix.rstrip(".") for one in distinct]
    if len(distinct) == 2 and len(averages) == 1:
        (other,) = [name for name in names if name != averages[0].place.prefix.rstrip(".")]
        taken = averages[0].place.prefix.rstrip(".")
        return averages[0], (f"The moving average '{taken}' is taken, not '{other}'; file:PATH#{other} takes that.",)
    if distinct:
        raise DonorMismatchError(
            f"The donor holds {len(distinct)} networks that fit: {_listed(names)}. "
            f"Say which, as in file:PATH#{names[-1]}."
        )
    best = min(tried, key=lambda one: len(one.absent) + len(one.strange) + len(one.misshapen), default=None)
    if best is None or len(best.absent) > len(wanted.body) / 2:
        raise DonorMismatchError(
            f"The donor does not fit the model (missing: {_listed(wanted.body)}; it has: {_listed(given)}). "
            f"{shapes.merged_norms(given, wanted.tensors)}Only the head may differ: give the donor's own model, or a "
            "donor of this model."
        )
    raise _misfit(best, wanted)


def _same(one: _Try, other: _Try, wanted: Wanted) -> bool:
    """Whether both have the same body, value by value."""
    return all(
        torch.equal(one.fitted[n], other.fitted[n]) for n in wanted.body if n in one.fitted and n in other.fitted
    )


def _misfit(best: _Try, wanted: Wanted) -> DonorMismatchError:
    pairs = [(name, best.whole[name].shape, wanted.tensors[name].shape) for name in best.misshapen]
    first = shapes.first_kernels(wanted.model)
    if not best.absent and not best.strange and all(name in first for name in best.misshapen):
        name, given, own = pairs[0]
        if len(given) == len(own) and given[0] == own[0] and given[2:] == own[2:]:
            fold = own[1] // 3 if own[1] % 3 == 0 else 1  # pixels that a stem folds into channels
            return DonorMismatchError(_other_channels(name, given[1] // fold, own[1] // fold))
    groups = {
        "missing": list(best.absent),
        "unexpected": [n for n in best.whole if n not in wanted.tensors and not n.startswith(wanted.heads)],
        "misshapen": [f"{name} {tuple(given)} for {tuple(own)}" for name, given, own in pairs],
    }
    said = [f"{what}: {_listed(names)}" for what, names in groups.items() if names]
    return DonorMismatchError(
        f"The donor does not fit the model ({'; '.join(said)}). Only the head may differ: give the donor's own model, "
        "or a donor of this model."
    )


def _other_channels(name: str, given: int, own: int) -> str:
    way = {
        1: "Give it grey images: task.channels=1 (--channels 1).",
        3: "Give it colour images: task.channels=3 (--channels 3).",
    }.get(given, "Images have 1 or 3 channels: give a donor that takes them.")
    return (
        f"The donor's first layer ({name}) takes images of {given} {'channel' if given == 1 else 'channels'}, "
        f"the model's of {own}. {way}"
    )


def _require_real(chosen: _Try, wanted: Wanted) -> None:
    """Integers are quantised weights in unknown units, and complex numbers would lose a part."""
    stored = {name: odd_storage(chosen.fitted[name]) for name in wanted.body if name in chosen.fitted}
    pairs = [(name, chosen.fitted[name].dtype) for name in wanted.body if name in chosen.fitted]
    odd = [f"{name} ({what})" for name, what in stored.items() if what]
    odd += [f"{name} ({dtype})" for name, dtype in pairs if dtype.is_complex != wanted.tensors[name].is_complex()]
    odd += [
        f"{n} ({d})"
        for n, d in pairs
        if wanted.tensors[n].is_floating_point() and not d.is_floating_point and not d.is_complex
    ]
    if odd:
        raise DonorError(f"The donor's weights are not plain floating-point numbers: {_listed(odd)}. Convert them.")


def _require_finite(state: Mapping[str, Tensor], wanted: Wanted) -> None:
    checked = {name: state[name] for name in wanted.body if name in state and state[name].is_floating_point()}
    bad = {name: int((~torch.isfinite(tensor)).sum()) for name, tensor in checked.items()}
    said = [
        f"{name} has {count} {'value that is' if count == 1 else 'values that are'} not finite"
        for name, count in bad.items()
        if count
    ]
    # the square root that a batch norm takes of it would be NaN in the first step
    said += [
        f"{name} has a negative variance"
        for name in checked
        if name.endswith("running_var") and checked[name].min() < 0
    ]
    if said:
        raise DonorError(f"The donor cannot be used: {_listed(said)}. Give one from before it was damaged.")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
    return ", ".join(names[:_NUM_NAMED]) + more
