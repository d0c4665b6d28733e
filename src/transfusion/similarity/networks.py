"""How alike networks are, stage by stage, by what they make of the same images.

One sample is one position of one image: a pixel of a convolutional map, a token of a transformer, or the whole image
where the output is a vector. Channels are features.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from transfusion.errors import InputError, UnknownNameError
from transfusion.networks.given import described, integer
from transfusion.networks.structure import stages as stages_of
from transfusion.similarity import Pair, Similarity, Sums, judge, linear_cka, measure
from transfusion.similarity.batches import at_least_two, batched, num_images
from transfusion.similarity.capture import Forward, outputs_or_reasons, runnable
from transfusion.similarity.cautions import packed
from transfusion.similarity.sums import NotFiniteError

# {stage: modules of every network}, or {stage: {network: its modules}}
Stages = Mapping[str, Sequence[str] | Mapping[str, Sequence[str]]]

# Rows of a stage to gather before they are multiplied: adding products to the sums is then cheap beside them.
ROWS_AT_ONCE = 2048


def compare(
    networks: Mapping[str, nn.Module],
    batches: Iterable[Any],
    stages: Stages | Sequence[str] | None = None,
    measures: Sequence[str] = ("cca",),
    positions: int | None = 16,
    seed: int = 0,
    against: str | None = None,
    forward: Forward | None = None,
) -> Comparison:
    """How alike are the stages of several networks on the same images? All pairs in one pass.

    Memory per stage is 8 bytes times the square of the summed channels of the networks that are paired. Shuffle the
    images: the baseline re-matches each image with another one of some 2,000 samples seen together.

    Args:
        networks: two or more, by name, compiled or parallel ones among them; they are run in evaluation mode,
            uncompiled, and left as they were found.
        batches: image tensors (images, channels, height, width), tuples or lists that start with one, or dicts with one
            under a usual name (``image``, ``pixel_values`` ...); or one such tensor or dict.
        stages: which stages, or ``{stage: modules}`` for all networks, or ``{stage: {network: modules}}`` where they
            differ; by default those that all networks share. See ``across`` for every stage with every other.
        measures: names such as ``cca``, ``cca_squared``, ``svcca``, ``pwcca``, ``linear_cka``, ``debiased_cka``,
            ``procrustes``.
        positions: positions per image and stage, drawn at random every 2,000 samples and the same in all their images
            and all networks; None takes all. Fewer raise CCA and its baseline alike (on 320 X-rays, 16 in place of all
            raised the CCA of SqueezeNet's stages by 0.01 to 0.05), so compare at equal n, and let images x positions
            exceed five times the channels. Maps of different size are first averaged onto the smallest height and
            width among the networks; anything else of different size (tokens against maps or vectors) is averaged
            to one sample per image.
        seed: draws the positions.
        against: the network that every other one is paired with, such as the end of training; None for all pairs.
        forward: ``forward(network, batch)``, for networks that need more than images; batches come whole, on the
            network's device.

    Returns:
        A data frame of one row per stage, pair and measure: ``stage a b measure value reverse baseline rank_a rank_b n
        images warnings cautions``. The baseline is the same measure with images re-matched, never positions.

    Raises:
        InputError: anything else than networks by name and batches, fewer than two networks or images, images that a
            network does not take, no stage in common, or outputs that cannot be compared.
        UnknownNameError: for a measure, stage, module or network that does not exist.

    Warns:
        UserWarning: a stage that did not run, or gives no row per image, is left out; so are stages, by default, that
            not all networks have.

    Examples:
        >>> a, b = (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2)) for _ in range(2))
        >>> frame = compare({"before": a, "after": b}, [torch.randn(20, 3, 8, 8)], stages={"conv": ["0"]})
        >>> frame[["stage", "a", "b", "n"]].values.tolist()
        [['conv', 'before', 'after', 320]]
    """
    measures = _names(measures, "measures=('cca', 'linear_cka')")
    chosen = [measure(name) for name in measures]
    if forward is not None and not callable(forward):
        raise InputError(f"forward is a function of a network and a batch; got {described(forward)}.")
    comparison = _Comparison(_by_name(networks), stages, positions, seed, any(one.norms for one in chosen), against)
    for batch in at_least_two(batched(batches, whole=forward is not None)):
        comparison.update(batch, forward)
    rows: list[dict[str, Any]] = [
        {"stage": stage, "a": a, "b": b, "measure": name, **_row(judge(one, pair)), "images": comparison.images}
        for stage, a, b, pair in comparison.pairs()
        for name, one in zip(measures, chosen, strict=True)
    ]
    frame: Comparison = Comparison(rows)
    return frame


def across(a: nn.Module, b: nn.Module, batches: Iterable[Any], forward: Forward | None = None) -> pd.DataFrame:
    """How alike is every stage of one network to every stage of another? A map of which does the work of which.

    Stages differ in size, so each is averaged to one sample per image, and the measure is the debiased CKA, which few
    samples do not inflate and whose value for random pairing is 0.

    Args:
        a: any network; it is run in evaluation mode and left as it was found.
        b: another one, of any architecture.
        batches: as for ``compare``; four images or more.
        forward: as for ``compare``.

    Returns:
        One row per pair of stages: ``stage_a stage_b value n warnings``.

    Raises:
        InputError: outputs that cannot be compared, or no image.

    Warns:
        UserWarning: a stage that did not run, or gives no row per image, is left out.

    Examples:
        >>> a, b = (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2)) for _ in range(2))
        >>> across(a, b, [torch.randn(20, 3, 8, 8)])[["stage_a", "stage_b"]].values.tolist()[1]
        ['0', 'head']
    """
    networks = tuple(runnable(each, "across(a, b, batches)") for each in (a, b))
    seen: list[dict[str, list[Tensor]]] = [{stage: [] for stage in stages_of(net)} for net in networks]
    for batch in batched(batches, whole=forward is not None):
        for name, net, means in zip("ab", networks, seen, strict=True):
            own = stages_of(net)
            outputs, odd = outputs_or_reasons(net, {stage: own[stage] for stage in means}, batch, forward)
            _leave_out(odd, f"network {name}", means)
            for stage, output in outputs.items():
                # positions differ between stages
                means[stage].append(output.flatten(2).mean(2) if output.ndim > 2 else output)
    if not all(means and all(means.values()) for means in seen):
        raise InputError("Got no images or a network without stages; give batches of images, and networks with layers.")
    first, second = ({stage: torch.cat(parts).cpu() for stage, parts in means.items()} for means in seen)
    answers = ((x, y, linear_cka(first[x], second[y], debiased=True)) for x in first for y in second)
    rows = [(x, y, found.value, found.n, " ".join(found.warnings)) for x, y, found in answers]
    frame: pd.DataFrame = pd.DataFrame(rows, columns=["stage_a", "stage_b", "value", "n", "warnings"])
    return frame


class Comparison(pd.DataFrame):
    """What ``compare`` returns: a data frame that prints its most telling columns; ``to_string()`` has them all."""

    @property
    def _constructor(self) -> type[Comparison]:
        return Comparison

    def __repr__(self) -> str:
        """The value of every stage, pair and measure beside its baseline, and whether there are warnings."""
        return repr(self._short())

    def _repr_html_(self) -> str | None:
        shown: str | None = self._short()._repr_html_()  # type: ignore[operator]
        return shown

    def _short(self) -> pd.DataFrame:
        plain: pd.DataFrame = pd.DataFrame(self)
        if {*_TOLD, "warnings"} <= set(plain.columns):  # else the user chose some of them
            plain = plain[[*_TOLD]].assign(warnings=["yes" if text else "" for text in plain["warnings"]])
        return plain


_TOLD = ("stage", "a", "b", "measure", "value", "baseline", "n")


def _by_name(networks: object) -> dict[str, nn.Module]:
    """The boundary of ``compare``: two networks or more, by name, that can run.

    Raises:
        InputError: anything else was given.
    """
    call = "compare({'before': a, 'after': b}, batches)"
    if not isinstance(networks, Mapping):
        raise InputError(f"{call} takes two networks or more by name; got {described(networks)}.")
    if len(networks) < 2:
        raise InputError(f"Got {len(networks)} network(s); compare needs at least two, by name: {call}.")
    return {name: runnable(net, call) for name, net in networks.items()}


def _names(given: object, example: str) -> tuple[str, ...]:
    """Names without repetition, from one name or several.

    Raises:
        InputError: there is none, or something else was given.
    """
    several = (given,) if isinstance(given, str) else given
    if not isinstance(several, Iterable) or isinstance(several, nn.Module) or not (found := tuple(several)):
        shown = "no name" if isinstance(several, Iterable) else described(given)
        raise InputError(f"Got {shown} where names belong; give some, such as {example}.")
    if odd := [each for each in found if not isinstance(each, str)]:
        raise InputError(f"Got {described(odd[0])} where a name belongs; give some, such as {example}.")
    return tuple(dict.fromkeys(found))


def _leave_out(odd: Mapping[str, str], whose: str, left: dict[str, Any]) -> None:
    """Take odd stages out of those that are left, with a warning; without any left it is an error."""
    for stage, reason in odd.items():
        if left.pop(stage, None) is not None and left:
            warnings.warn(f"{reason[:-1]} ({whose}). It is left out.", stacklevel=4)
    if odd and not left:
        raise InputError(f"{' '.join(odd.values())} No stage is left ({whose}). Give stages={{name: [module]}}.")


class _Comparison:
    """K networks, their stages, and the running sums of each stage and group of networks that are paired."""

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        stages: Stages | Sequence[str] | None,
        positions: int | None,
        seed: int,
        norms: bool,
        against: str | None,
    ) -> None:
        self.networks = networks
        self.stages = _common_stages(self.networks, stages)
        self.positions = None if positions is None else integer(positions, "positions", least=1)
        self.norms = norms
        self.generator = torch.Generator().manual_seed(integer(seed, "seed") % 2**63)  # of 64 bits at most
        self.images = 0
        self.groups = _groups(list(self.networks), against)
        self.held: dict[tuple[str, int], _Held] = {}
        self.sums: dict[tuple[str, tuple[str, ...]], Sums] = {}

    def update(self, batch: Any, forward: Forward | None) -> None:
        """Run every network over a batch and add its stages to the sums.

        Raises:
            InputError: naming the stage whose outputs cannot be compared.
        """
        self.images += num_images(batch)
        outputs = []
        for name, net in self.networks.items():
            own, odd = outputs_or_reasons(net, self.stages[name], batch, forward)
            outputs.append(own)
            _leave_out(odd, f"network {name}", self.stages[name])
            # of all networks: a stage that one of them lacks has no pair
            for stages in self.stages.values():
                for stage in odd:
                    stages.pop(stage, None)
        for stage in next(iter(self.stages.values())):
            device = outputs[0][stage].device
            # Apple's GPUs have no float64.
            device = torch.device("cpu") if device.type == "mps" else device
            maps = _same_positions([output[stage].to(device) for output in outputs])
            # by number of positions, too: images of several sizes give maps of several sizes
            key = stage, maps[0].shape[1]
            held = self.held.setdefault(key, _Held(self.positions, self.generator))
            held.add(maps)
            if held.rows >= ROWS_AT_ONCE:
                self._sum(key)

    def _sum(self, key: tuple[str, int]) -> None:
        """Add what is held of a stage, with so many positions, to the sums of every group."""
        stage = key[0]
        maps = dict(zip(self.networks, self.held.pop(key).joined(), strict=True))
        for group in self.groups:
            own = [maps[name] for name in group]
            if (stage, group) not in self.sums:
                widths = [each.shape[2] for each in own]
                self.sums[stage, group] = Sums(widths, self.norms, rematched=True, device=own[0].device)
            try:
                self.sums[stage, group].update([each.flatten(0, 1) for each in own], rows_per_image=own[0].shape[1])
            except NotFiniteError as error:
                broken = [name for name, each in zip(group, own, strict=True) if not each.isfinite().all()]
                whose = ", ".join(broken or [group[error.which]])
                raise InputError(error.of(f"Stage '{stage}', network{'s' * (len(broken) > 1)} {whose}:")) from error
            except InputError as error:
                raise InputError(f"Stage '{stage}': {error}") from error

    def pairs(self) -> Iterator[tuple[str, str, str, Pair]]:
        """Stage, the two networks' names, and what the measures need."""
        if self.images < 2:
            raise InputError(
                f"Got {self.images} images; compare needs at least 2. Give more batches; a generator gives them once."
            )
        for key in [key for key in self.held if key[0] in next(iter(self.stages.values()))]:  # what never filled up
            self._sum(key)
        for stage in next(iter(self.stages.values())):
            for group in self.groups:
                for a, b, pair in self.sums[stage, group].pairs():
                    yield stage, group[a], group[b], pair


class _Held:
    """Outputs of one stage from all networks, gathered over batches until there are enough rows to multiply well."""

    def __init__(self, positions: int | None, generator: torch.Generator) -> None:
        self.positions = positions
        self.generator = generator
        self.taken: Tensor | None = None
        self.rows = 0
        self.parts: list[list[Tensor]] = []

    def add(self, maps: Sequence[Tensor]) -> None:
        """Take one batch, (images, positions, channels) of each network."""
        available = maps[0].shape[1]
        if self.positions is not None and self.positions < available:
            # One draw for all that is held: re-matched images must keep their positions matched.
            if self.taken is None:
                self.taken = torch.randperm(available, generator=self.generator, device="cpu")[: self.positions]
            maps = [each[:, self.taken.to(each.device)] for each in maps]
        self.parts.append(list(maps))
        self.rows += maps[0].shape[0] * maps[0].shape[1]

    def joined(self) -> list[Tensor]:
        """All images of each network, (images, positions, channels)."""
        return [torch.cat(parts) for parts in zip(*self.parts, strict=True)]


def _groups(names: list[str], against: str | None) -> list[tuple[str, ...]]:
    """Networks whose pairs are wanted: all of them, or each with one."""
    if against is None:
        return [tuple(names)]
    if against not in names:
        raise UnknownNameError.of("network", against, names)
    return [(name, against) for name in names if name != against]


def _row(answer: Similarity) -> dict[str, Any]:
    return {
        "value": answer.value,
        "reverse": answer.reverse,
        "baseline": answer.baseline,
        "rank_a": answer.ranks[0],
        "rank_b": answer.ranks[1],
        "n": answer.n,
        "warnings": " ".join(answer.warnings),
        "cautions": packed(answer.warnings),
    }


def _common_stages(
    networks: Mapping[str, nn.Module], stages: Stages | Sequence[str] | None
) -> dict[str, dict[str, Sequence[str]]]:
    if isinstance(stages, Mapping):
        if not stages:
            raise InputError(f"Got no stages; give some, such as {_A_STAGE}, or None for all.")
        return {name: {stage: _of_network(stage, names, name) for stage, names in stages.items()} for name in networks}
    own = {name: stages_of(net) for name, net in networks.items()}
    first = next(iter(own.values()))
    common = [stage for stage in first if all(stage in each for each in own.values())]
    named = "; ".join(f"{name}: {', '.join(each)}" for name, each in own.items())
    if not common:
        raise InputError(f"The networks share no stage ({named}). {_PAIR_THEM}")
    asked = common if stages is None else _names(stages, f"stages={common[:1]} or {_A_STAGE}")
    for stage in asked:
        if stage not in common:
            raise UnknownNameError.of("stage that all networks share", stage, common)
    if stages is None and any(set(each) != set(common) for each in own.values()):
        warnings.warn(
            f"Only {', '.join(common)} are compared, which all networks have ({named}). {_PAIR_THEM}", stacklevel=4
        )
    # in the order asked for
    return {name: {stage: each[stage] for stage in asked} for name, each in own.items()}


_PAIR_THEM = "Pair others with stages={name: {network: [module]}}, or see across(a, b, batches)."


_A_STAGE = "stages={'stem': ['conv1', 'bn1']}"


def _of_network(stage: str, names: Sequence[str] | Mapping[str, Sequence[str]], network: str) -> Sequence[str]:
    if not isinstance(names, Mapping):
        return _names(names, _A_STAGE)
    if network not in names:
        raise UnknownNameError.of(f"network of stage '{stage}'", network, names)
    return _names(names[network], _A_STAGE)


def _same_positions(maps: Sequence[Tensor]) -> list[Tensor]:
    grids = [each.shape[2:] for each in maps]
    if any(grid != grids[0] for grid in grids):
        if all(len(grid) == 2 for grid in grids):
            smallest = (min(grid[0] for grid in grids), min(grid[1] for grid in grids))
            maps = [nn.functional.adaptive_avg_pool2d(each, smallest) for each in maps]  # averages: strides would alias
        elif len({grid.numel() for grid in grids}) > 1:
            maps = [each.flatten(2).mean(2, keepdim=True) if each.ndim > 2 else each for each in maps]
    return [each.reshape(*each.shape[:2], -1).transpose(1, 2) for each in maps]
