"""Which part of a network is which: named, ordered stages, as in "pretrained up to stage L".

The network's tree is cut into parts in order of registration. Each part is labelled by its name, and parts with
one label are one stage:

- lists of repeated parts (``features``, ``stages``, ``layers``, ``blocks``) are opened, and so is what holds most of a
  network and has blocks of its own: the backbone of a wrapper, a long stage; other modules are not;
- everything before the first numbered part (``layer1``, ``block1``, ``stage1`` ...) is the ``stem``;
- a ``features`` list with pools is cut after each of them (VGG, AlexNet, SqueezeNet), any other after each item;
- a norm, an activation or a pool goes with the part before it, a bare parameter with the part after it;
- what makes the outputs is the ``head``, with the pooling and the norm right before it, unless parts of the body are
  registered after it: their order then says nothing of what runs before what;
- layers between body and head that hold most of a network (VGG, AlexNet) are stages one by one;
- more than 12 blocks of a transformer, or 20 of any other network, are grouped: ``block1-2``, ``block3-4`` ...

So ResNets have ``layer1`` .. ``layer4``, DenseNets ``block1`` (with its transition) .. ``block4``, SqueezeNet
``fires1`` .. ``fires3``, ConvNeXt and Swin ``stage1`` .. ``stage4``, transformers ``block1`` .. ``block12``, and any
other module its top-level children. Where that is not what you mean, set
``model.transfusion_stages = {stage: [names]}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd

from transfusion.errors import InputError
from transfusion.networks.given import network
from transfusion.networks.heads import head as head
from transfusion.networks.heads import head_if_clear, is_called_head
from transfusion.networks.tree import (
    around,
    has_parameters,
    has_tensors,
    is_layer,
    joined,
    num_elements,
    says,
    tensors,
    told,
    wrapped,
)

HEAD = "head"
STEM = "stem"

_SINGULAR = {"features": "block", "transformers": "stage", "h": "block"}
_LISTS = ("stages", "layers", "levels", "blocks", "features", "transformers", "trunk_output")
_BACKBONES = re.compile("backbone|trunk|encoder|extractor|body|base|swin")
_NUMBERED = re.compile(r"(?:.*\.)?[a-z_]*(layer|block|stage|level|mixed|inception|fires)s?\d+$")
_RENAMED = (
    (re.compile(r"(?:.*\.)?features\.(?:denseblock|transition)(\d+)"), r"block\1"),
    (re.compile(r"(?:.*\.)?s(\d+)"), r"stage\1"),
    (re.compile(r"(?:.*\.)?[Mm]ixed_(\d+)\w"), r"mixed\1"),
    (re.compile(r"(?:.*\.)?inception(\d+)\w"), r"inception\1"),
    (re.compile(r"(?:.*\.)?(conv\d+)_\w+"), r"\1"),
)
# go with the numbered part of their number
_BESIDE = re.compile(r"(?:patch_embed|patch_embedding|pos_block|cpe|crpe)(\d+)")
_LISTS_BESIDE = ("patch_embeds", "patch_embeddings", "pos_block")
# torchvision lists the downsampling between two stages of these as an item of its own
_PAIRED = ("ConvNeXt", "SwinTransformer")
_MOST_OF_TRANSFORMERS, _MOST, _GROUPS = 12, 20, 12
_OPENED_FROM, _LONG_FROM = 0.5, 0.9  # of the parameters around it; of the whole network's


def stages(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Name the parts of a network, from input to output.

    Args:
        model: any network; its weights are not read, and may be on the meta device.

    Returns:
        ``{stage: names of the modules and bare parameters that it owns}``, in order. Every parameter and buffer
        belongs to exactly one stage.

    Raises:
        InputError: it is no network, or ``model.transfusion_stages`` names what does not exist, or leaves a tensor out.

    Examples:
        >>> import torchvision
        >>> list(stages(torchvision.models.resnet18()))
        ['stem', 'layer1', 'layer2', 'layer3', 'layer4', 'head']
    """
    model = network(model, "stages(model)")
    if (own := told(model, "transfusion_stages")) is not None:
        return _checked(model, _of_user(*own))
    tree = _Tree(model)
    labels = tree.labels()
    names = _grouped(labels, tree.attends)
    cut: dict[str, tuple[str, ...]] = {}
    for part, label in zip(tree.parts, labels, strict=True):
        cut[names[label]] = (*cut.get(names[label], ()), part)
    last = {HEAD: cut.pop(HEAD)} if HEAD in cut else {}  # registered early in some networks, but it is the end
    return cut | last


def stage_of(model: nn.Module) -> dict[str, str]:
    """The stage of every parameter and buffer, by the tensor's name (tied tensors under each of their names).

    Examples:
        >>> stage_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)))["2.weight"]
        'head'
    """
    owner = {name: stage for stage, names in stages(model).items() for name in names}
    return {name: owner[next(p for p in around(name) if p in owner)] for name, _ in tensors(model)}


class _Tree:
    """A network cut into parts: names of modules and bare tensors, in order of registration."""

    def __init__(self, model: nn.Module) -> None:
        self.modules = dict(model.named_modules(remove_duplicate=False))
        self.sizes = num_elements(model)
        clear = head_if_clear(model)
        # stages need no head: an unclear one stops whoever asks for the head itself
        self.heads = () if isinstance(clear, InputError) else clear
        self.paired = any(base.__name__ in _PAIRED for base in type(model).__mro__)
        self.root = wrapped(model)[-1][0]
        self.hidden = {self.root}  # modules that a reader does not look for: lists and backbones
        self.parts = list(self._cut(self.root))
        kinds = (f"{name} {type(module).__name__}" for name, module in self.modules.items())
        self.attends = any(re.search("attn|attention", kind, re.IGNORECASE) for kind in kinds)

    def labels(self) -> list[str]:
        """One stage name per part."""
        labels = self._told_apart(_with_numbered([self._label(part) for part in self.parts]))
        self._extend_head(labels)
        numbered = [i for i, label in enumerate(labels) if label and _NUMBERED.match(label)]
        # a single numbered part is no sequence: nothing comes "before" it
        if len({labels[i] for i in numbered}) > 1:
            large = [i for i in range(numbered[0]) if self._is_large(self.parts[i])]
            first = large[-1] + 1 if large else 0
            if any(
                has_tensors(self.modules.get(part, self.modules[self.root])) for part in self.parts[first : numbered[0]]
            ):
                labels[first : numbered[0]] = [STEM] * (numbered[0] - first)
        return self._filled(labels)

    def _cut(self, name: str) -> Iterator[str]:
        module = self.modules[name]
        bare = (*module._parameters.items(), *module._buffers.items())
        yield from (joined(name, key) for key, tensor in bare if tensor is not None)
        for key, child in module._modules.items():
            if child is None:
                continue
            full = joined(name, key)
            if self._is_list(full) or self._hides(name, full) or self._is_top_heavy(full):
                self.hidden.add(full)
                yield from self._cut(full)
            elif self._leads_to_head(full):
                yield from self._cut(full)
            else:
                yield full

    def _leads_to_head(self, name: str) -> bool:
        return any(each.startswith(f"{name}.") for each in self.heads)

    def _is_list(self, name: str) -> bool:
        module, key = self.modules[name], name.rpartition(".")[2]
        if key in ("encoder", "transformer"):
            return isinstance(getattr(module, "layers", None), (nn.Sequential, nn.ModuleList))
        is_beside = key in _LISTS_BESIDE and isinstance(module, nn.ModuleList)
        return is_beside or (key in _LISTS and bool(module._modules) and not is_layer(module))

    def _hides(self, parent: str, name: str) -> bool:
        """Whether a module stands between the reader and the blocks of the network."""
        key = name.rpartition(".")[2]
        if not self._has_blocks(name):
            return False
        if self._stage_name(name) != key or _NUMBERED.match(key) or key.isdigit() or is_called_head(key):
            return self.sizes[name] >= _LONG_FROM * self.sizes[self.root]
        of_transformers = getattr(self.modules[parent], "base_model_prefix", None) == key
        is_backbone = of_transformers or says(key, _BACKBONES)
        return is_backbone or self.sizes[name] >= _OPENED_FROM * self.sizes[parent]

    def _is_top_heavy(self, name: str) -> bool:
        """Whether the layers before the last, as VGG's, hold most of the network: each is then a stage of its own."""
        key = name.rpartition(".")[2]
        if not (self._leads_to_head(name) or is_called_head(key) or key == "pre_logits") or self._has_blocks(name):
            return False
        layers = [n for n in self.modules if n.startswith(f"{name}.") and is_layer(self.modules[n])]
        sizes = [self.sizes[n] for n in layers if n not in self.heads and self.sizes[n]]
        body = self.sizes[self.root] - sum(self.sizes[head] for head in self.heads)
        return len(sizes) > 1 and sum(sizes) >= _OPENED_FROM * body

    def _has_blocks(self, name: str) -> bool:
        """Whether there are two or more numbered modules, made of others, side by side somewhere within."""
        if is_layer(self.modules[name]):
            return False
        within = (n for n in self.modules if n.startswith(f"{name}."))
        return any(True for n in within if self._is_numbered(n) and self._is_numbered(_next(n)))

    def _is_numbered(self, name: str) -> bool:
        module = self.modules.get(name)
        return bool(re.search(r"\d$", name)) and module is not None and has_parameters(module) and not is_layer(module)

    def _is_large(self, part: str) -> bool:
        return part in self.modules and self._has_blocks(part) and self.sizes[part] > 0.1 * self.sizes[self.root]

    def _label(self, part: str) -> str | None:
        """A stage name, or None for what goes with its neighbours."""
        if any(name in self.heads for name in around(part)):
            return HEAD
        if part not in self.modules or self._is_joining(part):
            return None
        return self._stage_name(self._unit(part))

    def _unit(self, part: str) -> str:
        """The outermost module around a part, or itself, that is not hidden."""
        outermost_first = list(around(part))[::-1]
        below_root = outermost_first[outermost_first.index(self.root) + 1 :]
        return next((name for name in below_root if name not in self.hidden), part)

    def _is_joining(self, part: str) -> bool:
        module = self.modules[part]
        is_norm = "norm" in type(module).__name__.lower() and not any(map(has_tensors, module.children()))
        return is_norm or not has_tensors(module)

    def _stage_name(self, unit: str) -> str:
        parent, _, key = unit.rpartition(".")
        number = re.fullmatch(r"(?:encoder_layer_)?(\d+)", key)
        list_key = parent.rpartition(".")[2]
        is_list = list_key in _LISTS if parent == self.root else parent in self.hidden and not list_key.isdigit()
        if number and is_list:
            if list_key == "features":
                return self._feature_name(parent, int(number[1]))
            return f"{'block' if '_' in key else _singular(list_key)}{int(number[1]) + 1}"
        renamed = (match.expand(name) for pattern, name in _RENAMED if (match := pattern.fullmatch(unit)))
        return next(renamed, key)

    def _feature_name(self, parent: str, index: int) -> str:
        items = list(self.modules[parent]._modules.values())
        kinds = [type(item).__name__ for item in items]
        if self.paired:
            return f"stage{(index + 2) // 2}" if index else STEM
        pools = [kind.startswith(("MaxPool", "AvgPool")) for kind in kinds]
        number = sum(pools[:index]) if sum(pools) > 1 else index
        return f"{'fires' if 'Fire' in kinds else 'block'}{number}" if number else STEM

    def _told_apart(self, labels: list[str | None]) -> list[str | None]:
        """Stages of a second backbone, or within a long stage, get the name of what they lie in."""
        first: dict[str, str] = {}
        named: list[str | None] = []
        for part, label in zip(self.parts, labels, strict=True):
            scopes = self._scopes(part)
            if label and not any(name in self.heads for name in around(part)):
                long = next((name for each in scopes if _NUMBERED.match(name := self._stage_name(each))), None)
                own = scopes[0] if scopes else ""
                is_other = label == HEAD and self.heads and not self._leads_to_head(self._unit(part))
                if long or (first.setdefault(label, own) != own and own) or is_other:
                    label = f"{long or (own or part).split('.')[-1]}.{label}"
            named.append(label)
        return named

    def _scopes(self, part: str) -> list[str]:
        """The hidden modules around a part that are not mere lists, innermost first, without the root."""
        inner = [name for name in list(around(self._unit(part)))[1:] if name in self.hidden and name != self.root]
        return [name for name in inner if not self._is_list(name)]

    def _extend_head(self, labels: list[str | None]) -> None:
        """Give the head the pooling and the norm right before it, but not what follows a bare layer."""
        if HEAD not in labels:
            return
        first = end = labels.index(HEAD)
        # what is registered before a head that is not the last may run anywhere: its norm is the body's
        if any(label not in (HEAD, None) for label in labels[end:]):
            return
        while first and labels[first - 1] is None and self.parts[first - 1] in self.modules:
            first -= 1
        before = self.modules.get(self.parts[first - 1]) if first else None
        for i in range(first, end):
            kind = type(self.modules[self.parts[i]]).__name__
            in_list = self.parts[i].rpartition(".")[0].rpartition(".")[2] in _LISTS
            after_layer = isinstance(before, (nn.Linear, _ConvNd)) and not re.search("Adaptive|Flatten|Dropout", kind)
            if not in_list and not after_layer:
                labels[i:end] = [HEAD] * (end - i)
                return

    def _filled(self, labels: list[str | None]) -> list[str]:
        """Modules without a label take the one before, bare tensors the one after."""
        known = [label for label in labels if label]
        filled: list[str] = []
        for i, (part, label) in enumerate(zip(self.parts, labels, strict=True)):
            after = next((later for later in labels[i:] if later), None)
            before = filled[-1] if filled else None
            near = (before, after) if part in self.modules else (after, before)
            filled.append(label or near[0] or near[1] or (known or [part.rpartition(".")[2] or part])[0])
        return filled


def _with_numbered(labels: list[str | None]) -> list[str | None]:
    """Embeddings that are numbered as the stages behind them are, given to those."""
    numbered = {re.sub(r".*\D", "", label): label for label in reversed(labels) if label and _NUMBERED.match(label)}
    beside = [(label, _BESIDE.fullmatch(label or "")) for label in labels]
    return [numbered.get(match[1], label) if match else label for label, match in beside]


def _singular(key: str) -> str:
    key = key.strip("_")
    return _SINGULAR.get(key, key[:-1] if key.endswith("s") and not key.endswith("ss") else key)


def _next(name: str) -> str:
    """The name of the following number."""
    return re.sub(r"\d+$", lambda number: str(int(number[0]) + 1), name)


def _grouped(labels: list[str], attends: bool) -> dict[str, str]:
    """Stage of every label: itself, or a group of neighbours where there are too many."""
    order = list(dict.fromkeys(labels))
    ends = (STEM, HEAD)
    runs = [list(run) for _, run in groupby(order, key=lambda label: label.rstrip("0123456789"))]
    names: dict[str, str] = {}
    for most, num in ((_MOST_OF_TRANSFORMERS if attends else _MOST, _GROUPS), (8, 8), (4, 4)):
        names = {label: name for run in runs for label, name in _in_groups(run, most, num).items()}
        inner = [name for name in dict.fromkeys(names.values()) if name not in ends]
        if len(inner) <= _MOST:
            return names
    again = _in_groups(inner, _MOST, _GROUPS)
    return {label: again.get(name, name) for label, name in names.items()}


def _in_groups(labels: list[str], most: int, num: int) -> dict[str, str]:
    """Groups of equal size, ``num`` of them if there are more than ``most`` labels: ``block1-2``, ``cell_0-1``."""
    size = -(-len(labels) // num) if len(labels) > most else 1
    groups = [labels[i : i + size] for i in range(0, len(labels), size)]
    return {label: _span(group[0], group[-1]) for group in groups for label in group}


def _span(first: str, last: str) -> str:
    first, last = re.sub(r"(\d+)-\d+$", r"\1", first), re.sub(r"\d+-(\d+)$", r"\1", last)
    stem = first.rstrip("0123456789")
    return first if first == last else f"{first}-{last[len(stem) :] if last.rstrip('0123456789') == stem else last}"


def _of_user(prefix: str, named: object) -> dict[str, tuple[str, ...]]:
    """The attribute as stages, with full names.

    Raises:
        InputError: it is not ``{stage: [names]}``.
    """
    stages: dict[str, Any] = dict(named) if isinstance(named, Mapping) else {"": None}
    parts = {stage: (names,) if isinstance(names, str) else names for stage, names in stages.items()}
    if not all(isinstance(names, (list, tuple)) and all(isinstance(n, str) for n in names) for names in parts.values()):
        raise InputError(
            f"transfusion_stages is {named!r}; it maps each stage to the names of its modules and bare parameters: "
            "model.transfusion_stages = {'stem': ['conv1', 'bn1'], ...}."
        )
    return {stage: tuple(joined(prefix, name) for name in names) for stage, names in parts.items()}


def _checked(model: nn.Module, own: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    names = [name for part in own.values() for name in part]
    all_tensors = [name for name, _ in tensors(model)]
    known = {name for tensor in all_tensors for name in around(tensor)} | {n for n, _ in model.named_modules()}
    unknown = [name for name in names if name not in known]
    wrong = [t for t in all_tensors if sum(names.count(name) for name in around(t)) != 1]
    if unknown or wrong:
        said = f"names {unknown} that do not exist" if unknown else f"does not give {wrong} to exactly one stage"
        raise InputError(
            f"transfusion_stages {said}; every parameter and buffer needs one stage. Correct the attribute."
        )
    return dict(own)
