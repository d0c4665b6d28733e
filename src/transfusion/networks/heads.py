"""The layers that make a network's outputs, the only ones whose shapes depend on the task."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from transfusion.errors import InputError
from transfusion.networks.given import network
from transfusion.networks.tree import around, has_parameters, is_layer, is_norm, joined, says, told, wrapped

_HEAD = re.compile(
    "heads?|class|classes|classif(?:y|ier|iers|ication)|cls|fc|logits?|out|outputs?|pred|predict(?:or|ion|ions)?|regressor"
    "|scores?|bbox|box|final"
)
_AUXILIARY = re.compile("aux|dist|distill|distillation")
_BODY = re.compile("conv|norm|bn|drop|dropout|pool|pre|act|neck|tokens?|query")
_BLOCK = re.compile("blocks?|layers?|stages?|features|mlp|ffn|attn|attention|se|pool|pooler|norm|neck|embeddings")
_INPUT = re.compile("embed|embeddings?|proj|projection|projector|input|stem|patch|pos|position|token")
_DECODER = re.compile("decode|decoders?|ups?|upsamples?|upcat|upconv|deconv")
_ENCODER = re.compile("(?<!Auto)(?:Encoder|Features|FeatureExtractor|Backbone)$")
_UPSAMPLING = (_ConvTransposeNd, nn.Upsample, nn.PixelShuffle)


MOST_NAMED = 4  # candidates in a message


class _UnclearError(InputError):
    """More than one layer may make the outputs, or none that can be identified."""

    def __init__(self, *candidates: str) -> None:
        self.candidates = candidates
        super().__init__(", ".join(candidates))


def head(model: nn.Module) -> tuple[str, ...]:
    """Names of the modules that make the outputs: the only ones whose shapes depend on the task.

    ``model.transfusion_head`` decides where it is set, then what timm or transformers say of their own networks. Else
    it is the last layer of what is called ``head``, ``classifier``, ``fc`` or alike, or a linear layer at the very
    end, and auxiliary ones beside it. A network without such a layer, or with an ``nn.Identity`` in its place, has
    none.

    Returns:
        Names as in ``named_modules``; empty for a network without a head.

    Raises:
        InputError: it is no network; it cannot be determined, as in detection, segmentation and multi-task networks; or
            ``transfusion_head`` names what does not exist.

    Examples:
        >>> head(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)))
        ('2',)
        >>> head(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Identity()))
        ()
    """
    found = head_if_clear(network(model, "head(model)"))
    if isinstance(found, InputError):
        raise found
    return found


def head_if_clear(model: nn.Module) -> tuple[str, ...] | InputError:
    """The head, or why it cannot be identified.

    Raises:
        InputError: ``transfusion_head`` names what does not exist.
    """
    # the user's word first: names and places are guesses
    if (own := told(model, "transfusion_head")) is not None:
        return _checked(model, *own)
    try:
        return _within_last_stage(model) or _of_network(*wrapped(model)[-1], outermost=model)
    except _UnclearError as unclear:
        few = [*unclear.candidates[:MOST_NAMED], *(("...",) if len(unclear.candidates) > MOST_NAMED else ())]
        among = f"; it may be {', '.join(few)}" if few else ""
        return InputError(
            f"Cannot tell which layers of {type(model).__name__} make its outputs{among}. Set model.transfusion_head = "
            "('NAME', ...) to the modules whose shapes depend on the task, or to () if there are none."
        )


def _checked(model: nn.Module, prefix: str, names: str | Sequence[str]) -> tuple[str, ...]:
    several = (names,) if isinstance(names, str) else names
    if not isinstance(several, (list, tuple)) or not all(isinstance(name, str) for name in several):
        raise InputError(f"transfusion_head is {names!r}; it is a tuple of names of modules, such as ('fc',).")
    full = tuple(joined(prefix, name) for name in several)
    modules = dict(model.named_modules(remove_duplicate=False))
    if unknown := [name for name in full if not name or name not in modules]:
        raise InputError(
            f"transfusion_head names {unknown}, which are no modules of {type(model).__name__}. Correct it."
        )
    return full


def _within_last_stage(model: nn.Module) -> tuple[str, ...]:
    """The last linear layer or convolution of the user's own stage ``head``."""
    prefix, own = told(model, "transfusion_stages") or ("", {})
    names = tuple(joined(prefix, name) for name in own.get("head", ()))
    modules = model.named_modules()
    outputs = [n for n, m in modules if isinstance(m, (nn.Linear, _ConvNd)) and set(names).intersection(around(n))]
    return tuple(outputs[-1:])


def _of_network(prefix: str, module: nn.Module, outermost: nn.Module | None = None) -> tuple[str, ...]:
    """The head of a whole network: as its library says, or by names and places.

    Args:
        prefix: the name of ``module``.
        module: the network or part that is examined.
        outermost: what wraps it, which may have a say.
    """
    config = getattr(module, "pretrained_cfg", None)
    if isinstance(config, Mapping):
        names = config.get("classifier") or ()
        children = dict(module.named_modules())
        of_timm = [
            name for name in ((names,) if isinstance(names, str) else names) if has_parameters(children.get(name))
        ]
        return tuple(joined(prefix, name) for name in of_timm)
    kinds = [type(each) for _, each in wrapped(module if outermost is None else outermost)]
    of_transformers = [kind.__name__ for kind in kinds if _is_of_transformers(kind)]
    # ViTModel has no head, ViTForX has
    is_bare = bool(of_transformers) and not re.search("For[A-Z]", of_transformers[0])
    if is_bare or _ENCODER.search(kinds[-1].__name__):
        return ()
    found = _searched(prefix, module, is_whole=True)
    if not found and of_transformers:
        raise _UnclearError
    return found


def _is_of_transformers(kind: type) -> bool:
    return kind.__module__.startswith("transformers.") and hasattr(kind, "base_model_prefix")


def _children(module: nn.Module) -> dict[str, nn.Module]:
    """Those with parameters; what has buffers alone, such as a metric or a weighted loss, makes no outputs."""
    return {key: child for key, child in module._modules.items() if child is not None and has_parameters(child)}


def _searched(prefix: str, module: nn.Module, is_whole: bool = False) -> tuple[str, ...]:
    """The head within a module; empty if it has none."""
    if is_layer(module):
        return ()
    children = _children(module)
    # by name first; the place of a layer decides only where no name says it
    main = {key: child for key, child in children.items() if _is_head(key, child) and not says(key, _AUXILIARY)}
    if main:
        found = _last_of(module, [_end(joined(prefix, key), child) for key, child in main.items()], prefix)
    elif any(_is_head(key, child) for key, child in module._modules.items() if isinstance(child, nn.Identity)):
        found = ()
    else:
        found = _at_the_end(prefix, module, children)
    is_linear = bool(found) and isinstance(module.get_submodule(_below(prefix, found[0])), nn.Linear)
    if is_whole and _decodes(module) and not (is_linear and (main or isinstance(module, nn.Sequential))):
        raise _UnclearError(*found)
    # a linear layer that nobody calls anything may make the outputs although it was registered early
    early = [key for key, child in children.items() if isinstance(child, nn.Linear) and not says(key, _INPUT)]
    if is_whole and not found and not main and early and not isinstance(module, nn.Sequential):
        raise _UnclearError(*(joined(prefix, key) for key in early))
    aux = [_end(joined(prefix, key), child) for key, child in children.items() if says(key, _AUXILIARY)] if main else []
    return (*found, *(name for names in aux for name in names))


def _at_the_end(prefix: str, module: nn.Module, children: dict[str, nn.Module]) -> tuple[str, ...]:
    """The head where no name says it: the last child is a linear layer, a 1x1 convolution, or ends in a head."""
    if not children:
        return ()
    key, last = list(children.items())[-1]
    name = joined(prefix, key)
    if is_layer(last):
        if not _makes_outputs(last) or (len(children) == 1 and not prefix):
            return ()
        if isinstance(module, nn.Sequential):
            return (name,)
        linear = [each for each, child in list(children.items())[-2:] if isinstance(child, nn.Linear)]
        return _last_of(module, [(joined(prefix, each),) for each in linear or [key]], prefix)
    return () if _is_body(key, module, children) else _of_network(name, last)


def _is_body(key: str, module: nn.Module, children: Mapping[str, nn.Module]) -> bool:
    """Whether a child is a block: by name, in a list, ``layer4`` beside ``layer3``, or beside another of its type."""
    stem = key.rstrip("0123456789")
    others = [(name, child) for name, child in children.items() if name != key]
    same_name = bool(stem) and any(name.rstrip("0123456789") == stem for name, _ in others)
    same_type = any(type(child) is type(children[key]) for _, child in others)
    in_list = isinstance(module, nn.ModuleList)
    return says(key, _BLOCK) or in_list or same_name or same_type


def _end(name: str, module: nn.Module) -> tuple[str, ...]:
    """The last layer of what is called a head, and a norm after it."""
    if is_layer(module):
        return () if is_norm(module) else (name,)
    children = _children(module)
    if isinstance(module, (nn.ModuleList, nn.ModuleDict)) and len(children) > 1:
        raise _UnclearError(*(joined(name, key) for key in children))
    if isinstance(module, nn.Sequential):
        norms: tuple[str, ...] = ()
        for key, child in reversed(children.items()):
            if not is_norm(child):
                return (*_end(joined(name, key), child), *norms)
            norms = (joined(name, key), *norms)
        return ()
    if any(_is_head(key, child) for key, child in children.items()):
        return _searched(name, module)
    ends = [_end(joined(name, key), child) for key, child in children.items()]
    return _last_of(module, [end for end in ends if end], name)


def _last_of(module: nn.Module, ends: Sequence[tuple[str, ...]], prefix: str) -> tuple[str, ...]:
    """The last of several layers that feed each other; if they do not, each of them may be a head."""
    filled = [end for end in ends if end]
    layers = [module.get_submodule(_below(prefix, end[0])) for end in filled]
    for before, after in pairwise(layers):
        if _widths(before)[1] != _widths(after)[0]:  # layers in a row fit each other; side by side they share an input
            raise _UnclearError(*(name for end in filled for name in end))
    return filled[-1] if filled else ()


def _below(prefix: str, name: str) -> str:
    return name[len(prefix) + 1 :] if prefix else name


def _widths(layer: nn.Module) -> tuple[int | None, int | None]:
    """Channels that a layer takes and gives, if its type says."""
    takes = getattr(layer, "in_features", getattr(layer, "in_channels", None))
    gives = getattr(layer, "out_features", getattr(layer, "out_channels", None))
    return takes, gives


def _is_head(key: str, module: nn.Module) -> bool:
    return is_called_head(key) and not isinstance(module, nn.Embedding)


def is_called_head(key: str) -> bool:
    """Whether an attribute's name says that its module makes outputs.

    Examples:
        >>> is_called_head("mlp_head"), is_called_head("conv_head")
        (True, False)
    """
    return says(key, _HEAD) and not says(key, _BODY)


def _decodes(module: nn.Module) -> bool:
    """Whether a network makes maps again, as U-Nets and autoencoders do."""
    has_decoder = any(says(key, _DECODER) for key in _children(module))
    return has_decoder or any(isinstance(each, _UPSAMPLING) for each in module.modules())


def _makes_outputs(module: nn.Module) -> bool:
    if isinstance(module, _ConvNd):
        return set(module.kernel_size) == {1} and module.bias is not None  # without a bias a norm follows: a body layer
    return isinstance(module, nn.Linear)
