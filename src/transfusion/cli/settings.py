"""Every setting of a study with its default and a line about it, for the command line."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from transfusion.recipes import RECIPES
from transfusion.spec import StudySpec
from transfusion.spec.validated import Spec, dotted

# the same settings once more, of the donor's own run: one line for all of them
OF_A_DONOR = ("donor.task.", "donor.train.", "donor.scheme.")


def lines() -> Iterator[str]:
    """A line for every setting, ``KEY [DEFAULT] what it is``, and one for every recipe."""
    yield "Settings, for --set KEY=VALUE or a YAML file"
    for key, (cls, name) in dotted(StudySpec).items():
        if key.startswith(OF_A_DONOR):
            continue
        yield f"  {key} [{default(cls, name)}] {meaning(cls, name)}{choices(cls, name)}"
    yield "  donor.task.*, donor.train.*, donor.scheme.* of a donor that the study trains itself, as task and train"
    yield "Recipes, for transfusion study RECIPE"
    for title, recipe in RECIPES.items():
        yield f"  {title}: {recipe.shows}"


def default(cls: type[Spec], name: str) -> str:
    """The default of a setting, as ``--set`` takes it.

    Examples:
        >>> default(StudySpec, "schemes"), default(StudySpec, "sizes"), default(StudySpec, "margin")
        ('[pretrained, mean_var, random]', '[null]', 'null')
    """
    field = cls.model_fields[name]
    return "required" if field.is_required() else _written(field.get_default(call_default_factory=True))


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    return json.dumps(value) if value is None or isinstance(value, bool | dict) else str(value)


def choices(cls: type[Spec], name: str) -> str:
    """What a setting of few values takes; nothing where its line names them all, or any value will do.

    Examples:
        >>> choices(StudySpec, "head"), choices(StudySpec, "seeds")
        (' (random, kaiming or default)', '')
    """
    annotation = cls.model_fields[name].annotation  # of ``Literal[...] | None`` the Literal is one of its arguments
    closed = [kind for kind in (annotation, *get_args(annotation)) if get_origin(kind) is Literal]
    values = [str(value) for kind in closed for value in get_args(kind)]
    if not values or all(re.search(rf"\b{value}\b", meaning(cls, name)) for value in values):
        return ""
    return f" ({', '.join(values[:-1])} or {values[-1]})"


def meaning(cls: type[Spec], name: str) -> str:
    """What a setting is, from the docstring of its class: the first sentence, without the marks of code.

    Examples:
        >>> meaning(StudySpec, "seeds")
        'one training of each start and size per seed'
    """
    # docstrings are the one place that says it: pages, this list and editors read the same words
    described = inspect.getdoc(cls) or ""
    for names, text in re.findall(r"^    ([\w, ]+): (.+(?:\n {8}.+)*)", described, flags=re.MULTILINE):
        if name in names.split(", "):
            first = re.split(r"[.](?=\s|$)", " ".join(text.split()))[0]
            return str(first).replace("``", "")
    return ""
