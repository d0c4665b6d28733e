"""Which part of a network is which: named, ordered stages, as in "pretrained up to stage L".

The network's tree is cut into parts in order of registration. Each part is labelled by its name, and parts with
one label are one stage:

- lists of repeated parts (``features``, ``stages``, ``layers``, ``blocks``) are opened, other modules are not;
- everything before the first numbered part (``layer1``, ``block1``, ``stage1`` ...) is the ``stem``;
- a ``features`` list with pools is cut after each of them (VGG, AlexNet, SqueezeNet), any other after each item;
- a norm, an activation or a pool goes with the part before it, a bare parameter with the part after it;
- what makes the outputs is the ``head``, with the pooling and the norm right before it.

So ResNets have ``layer1`` .. ``layer4``, DenseNets ``block1`` (with its transition) .. ``block4``, SqueezeNet
``fires1`` .. ``fires3``, ConvNeXt and Swin ``stage1`` .. ``stage4``, transformers one stage per block, and any other
module its top-level children. Where that is not what you mean, set ``model.transfusion_stages = {stage: [names]}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import nn
from torch.nn.modules.conv import _ConvNd

from transfusion.errors import InputError

HEAD = "head"
STEM = "stem"

_SINGULAR = {
    "stages": "stage",
    "layers": "layer",
    "levels": "level",
    "blocks": "block",
    "features": "block",
    "transformers": "stage",
}
_LISTS = (*_SINGULAR, "trunk_output")
_NUMBERED = re.compile(r"(layer|block|stage|level|mixed|inception|fires)\d+$")
_RENAMED = (
    (re.compile(r"(?:.*\.)?features\.(?:denseblock|transition)(\d+)"), r"block\1"),
    (re.compile(r"(?:.*\.)?s(\d+)"), r"stage\1"),
    (re.compile(r"(?:.*\.)?Mixed_(\d+)\w"), r"mixed\1"),
    (re.compile(r"(?:.*\.)?inception(\d+)\w"), r"inception\1"),
)
# torchvision lists the downsampling between two stages of these as an item of its own
_PAIRED = ("ConvNeXt", "SwinTransformer")


def stages(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Name the parts of a network, from input to output.

    Args:
        model: any network; its weights are not read.

    Returns:
        ``{stage: names of the modules and bare parameters that it owns}``, in order. Every parameter and buffer
        belongs to exactly one stage. In a feed-forward network the last module of a stage gives its output.

    Raises:
        InputError: ``model.transfusion_stages`` names what does not exist, or leaves a tensor out.

    Example:
        >>> import torchvision
        >>> list(stages(torchvision.models.resnet18()))
        ['stem', 'layer1', 'layer2', 'layer3', 'layer4', 'head']
    """
    own = getattr(model, "transfusion_stages", None)
    if own is not None:
        return _checked(model, {stage: tuple(names) for stage, names in own.items()})
    tree = _Tree(model)
    grouped: dict[str, tuple[str, ...]] = {}
    for part, label in zip(tree.parts, tree.labels(), strict=True):
        grouped[label] = (*grouped.get(label, ()), part)
    last = {HEAD: grouped.pop(HEAD)} if HEAD in grouped else {}
    return grouped | last


def stage_of(model: nn.Module) -> dict[str, str]:
    """The stage of every parameter and buffer, by the tensor's name (tied tensors under each of their names).

    Example:
        >>> stage_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)))["2.weight"]
        'head'
    """
    owner = {name: stage for stage, names in stages(model).items() for name in names}
    return {name: owner[next(p for p in _around(name) if p in owner)] for name in _tensors(model)}


def head(model: nn.Module) -> tuple[str, ...]:
    """Names of the modules that make the outputs: the only ones whose shapes depend on the task.

    timm says which they are. Otherwise it is the last linear layer or 1x1 convolution with bias, in order of
    registration (within the last of ``transfusion_stages``, if given). A lone layer has no head.

    Example:
        >>> head(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)))
        ('2',)
    """
    modules = dict(model.named_modules())
    told = getattr(model, "pretrained_cfg", None)
    names = told.get("classifier") if isinstance(told, Mapping) else None
    known = tuple(n for n in ((names,) if isinstance(names, str) else names or ()) if _has_tensors(modules.get(n)))
    if known:
        return known
    own = getattr(model, "transfusion_stages", None)
    within = set(list(own.values())[-1]) if own else {""}
    outputs = [n for n, m in modules.items() if n and _makes_outputs(m) and within.intersection(_around(n))]
    return tuple(outputs[-1:])


class _Tree:
    """A network cut into parts: names of modules and bare tensors, in order of registration."""

    def __init__(self, model: nn.Module) -> None:
        self.modules = dict(model.named_modules(remove_duplicate=False))
        self.heads = head(model)
        self.paired = any(base.__name__ in _PAIRED for base in type(model).__mro__)
        self.root = _only_child(model)
        self.parts = list(self._cut(self.root))

    def labels(self) -> list[str]:
        """One stage name per part."""
        labels = [self._label(part) for part in self.parts]
        self._extend_head(labels)
        numbered = [i for i, label in enumerate(labels) if label and _NUMBERED.match(label)]
        if numbered:
            labels[: numbered[0]] = [STEM] * numbered[0]
        return self._filled(labels)

    def _cut(self, name: str) -> Iterator[str]:
        module, prefix = self.modules[name], f"{name}." if name else ""
        bare = (*module._parameters.items(), *module._buffers.items())
        yield from (prefix + key for key, tensor in bare if tensor is not None)
        for key, child in module._modules.items():
            if child is None:
                continue
            if self._is_opened(prefix + key):
                yield from self._cut(prefix + key)
            else:
                yield prefix + key

    def _is_opened(self, name: str) -> bool:
        leads_to_head = any(h.startswith(f"{name}.") for h in self.heads)
        return leads_to_head or self._is_list(name)

    def _is_list(self, name: str) -> bool:
        module, key = self.modules[name], name.rpartition(".")[2]
        if key in ("encoder", "transformer"):
            return isinstance(getattr(module, "layers", None), (nn.Sequential, nn.ModuleList))
        return key in _LISTS and bool(module._modules)

    def _label(self, part: str) -> str | None:
        """A stage name, or None for what goes with its neighbours."""
        if any(name in self.heads for name in _around(part)):
            return HEAD
        if part not in self.modules or self._is_joining(part):
            return None
        outermost_first = list(_around(part))[::-1]
        below_root = outermost_first[outermost_first.index(self.root) + 1 :]
        unit = next((name for name in below_root if not self._is_list(name)), part)
        return self._stage_name(unit)

    def _is_joining(self, part: str) -> bool:
        module = self.modules[part]
        is_norm = "norm" in type(module).__name__.lower() and not any(map(_has_tensors, module.children()))
        return is_norm or not _has_tensors(module)

    def _stage_name(self, unit: str) -> str:
        parent, _, key = unit.rpartition(".")
        number = re.fullmatch(r"(?:encoder_layer_)?(\d+)", key)
        list_key = parent.rpartition(".")[2]
        if number and list_key in _SINGULAR and parent != self.root:
            if list_key == "features":
                return self._feature_name(parent, int(number[1]))
            return f"{'block' if '_' in key else _SINGULAR[list_key]}{int(number[1]) + 1}"
        renamed = (match.expand(name) for pattern, name in _RENAMED if (match := pattern.fullmatch(unit)))
        return next(renamed, key)

    def _feature_name(self, parent: str, index: int) -> str:
        items = list(self.modules[parent]._modules.values())
        kinds = [type(item).__name__ for item in items]
        if self.paired:
            return f"stage{(index + 2) // 2}" if index else STEM
        pools = [kind.startswith(("MaxPool", "AvgPool")) for kind in kinds]
        number = sum(pools[:index]) if any(pools) else index
        return f"{'fires' if 'Fire' in kinds else 'block'}{number}" if number else STEM

    def _extend_head(self, labels: list[str | None]) -> None:
        """Give the head the pooling and the norm right before it, but not what follows a bare layer."""
        if HEAD not in labels:
            return
        first = end = labels.index(HEAD)
        while first and labels[first - 1] is None and self.parts[first - 1] in self.modules:
            first -= 1
        before = self.modules.get(self.parts[first - 1]) if first else None
        for i in range(first, end):
            kind = type(self.modules[self.parts[i]]).__name__
            in_list = self.parts[i].rpartition(".")[0].rpartition(".")[2] in _SINGULAR
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


def _checked(model: nn.Module, own: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    names = [name for part in own.values() for name in part]
    tensors = list(_tensors(model))
    known = {around for tensor in tensors for around in _around(tensor)} | {n for n, _ in model.named_modules()}
    unknown = [name for name in names if name not in known]
    wrong = [t for t in tensors if sum(names.count(around) for around in _around(t)) != 1]
    if unknown or wrong:
        said = f"names {unknown} that do not exist" if unknown else f"does not give {wrong} to exactly one stage"
        raise InputError(f"transfusion_stages {said}; every parameter and buffer needs one stage. Mend the attribute.")
    return own


def _tensors(model: nn.Module) -> Iterator[str]:
    for named in (model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)):
        yield from (name for name, _ in named)


def _around(name: str) -> Iterator[str]:
    """The name itself, then the modules around it, innermost first; the whole network is ''."""
    while name:
        yield name
        name = name.rpartition(".")[0]
    yield ""


def _only_child(model: nn.Module) -> str:
    """A wrapper that has nothing but one child is looked through."""
    name, module = "", model
    while len(module._modules) == 1 and not module._parameters and not module._buffers:
        key, child = next(iter(module._modules.items()))
        if child is None or not child._modules:
            break
        name, module = f"{name}.{key}".lstrip("."), child
    return name


def _makes_outputs(module: nn.Module) -> bool:
    if isinstance(module, _ConvNd):
        return set(module.kernel_size) == {1} and module.bias is not None
    return isinstance(module, nn.Linear)


def _has_tensors(module: nn.Module | None) -> bool:
    return module is not None and any(True for _ in (*module.parameters(), *module.buffers()))
