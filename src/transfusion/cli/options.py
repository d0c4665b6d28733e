"""Options of the command line as settings: lists, sizes, where each belongs in a spec, and which study is meant."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from transfusion.errors import SpecError
from transfusion.files import real_place

if TYPE_CHECKING:
    from transfusion.spec import StudySpec
    from transfusion.study import Study


class Setting(click.Option):
    """An option that stands for a setting: its help ends with the setting's default."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The option and its help, as click shows them."""
        record = super().get_help_record(ctx)
        default = _default(str(self.name))
        return record if record is None or not default else (record[0], f"{record[1]} [default: {default}]")


def _default(option: str) -> str:
    """The default of the setting that an option stands for, as the option takes it; empty where there is none."""
    from transfusion.spec import StudySpec

    value: Any = StudySpec()
    for name in PLACES.get(option, option).split("."):
        value = getattr(value, name)
    if isinstance(value, tuple):
        return str(len(value)) if option == "seeds" else ",".join("all" if one is None else str(one) for one in value)
    return "" if value is None else str(value)


def listed(convert: Callable[[str], Any]) -> Callable[..., Any]:
    """A click callback that splits a comma-separated list and drops repeated items."""

    def split(_: click.Context, parameter: click.Parameter, value: str | None) -> tuple[Any, ...] | None:
        if value is None:
            return None
        try:
            return tuple(dict.fromkeys(convert(item.strip()) for item in value.split(",")))
        except ValueError:
            raise SpecError(f"{parameter.opts[0]} takes a list such as a,b,c (got '{value}').") from None

    return split


def seconds(_: click.Context, parameter: click.Parameter, value: str | None) -> float:
    """A click callback: seconds from 2h, 90m, 30s or a sum of them; infinity if not given."""
    if value is None:
        return math.inf
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", value)
    if not parts or "".join(map("".join, parts)) != value:  # nothing may be left over: "2h30" is not 2 hours
        raise SpecError(f"{parameter.opts[0]} takes a time such as 2h, 90m or 1h30m (got '{value}').")
    return float(sum(float(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in parts))


def size(text: str) -> int | float | None:
    """``all``, a share (0.1 or 10%) or a count of images."""
    if text == "all":
        return None
    if text.endswith("%"):
        return float(text[:-1]) / 100
    return float(text) if "." in text else int(text)  # 1.0 is all of them, 1 a single image


def stage(text: str) -> str | None:
    """A stage's name, or ``all`` for the whole network."""
    return None if text == "all" else text


def names(vocabulary: Any) -> str:
    """The words of a closed vocabulary, for help texts."""
    return ", ".join(get_args(vocabulary))


# option -> its setting, where that has another name; the help and the spec are both made from it
PLACES = {
    "data": "task.data",
    "image_size": "task.image_size",
    "channels": "task.channels",
    "steps": "train.steps",
    "batch_size": "train.batch_size",
    "lr": "train.lr",
    "eval_every": "train.eval_every",
}


def with_options(spec: StudySpec, options: dict[str, Any], settings: Sequence[str]) -> StudySpec:
    """A spec with what options and ``--set KEY=VALUE`` say."""
    import yaml

    values = spec.model_dump()
    options = dict(options)  # one set of options may make several studies
    if options.pop("representations") and spec.representations is None:
        values["representations"] = {}  # a group of defaults; settings may fill it
    for option, value in options.items():
        if value is not None:  # not given: what the spec has stays, also of an earlier study that is resumed
            _put(spec, values, PLACES.get(option, option), list(range(value)) if option == "seeds" else value)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise SpecError(f"--set takes KEY=VALUE, such as train.lr=0.01 (got '{setting}').")
        try:
            # as in a YAML file, so that null, true and [1, 2] mean what they mean there
            _put(spec, values, key, yaml.safe_load(text))
        except yaml.YAMLError:
            raise SpecError(f"--set {key}: '{text}' is not a value. Quote lists, as in seeds='[1,2]'.") from None
    return spec.parse(values)


def _put(spec: StudySpec, values: dict[str, Any], key: str, value: Any) -> None:
    """Set a value by its dotted key."""
    from transfusion.spec.validated import nearest

    *parents, last = key.split(".")
    for parent in parents:
        inner = values.get(parent)
        if not isinstance(inner, dict):
            hint = nearest(type(spec), key)
            raise SpecError(
                f"There is no group of settings '{parent}' in '{key}'{hint}. Groups: task, train; representations with "
                "--representations; donor of one that the study trains."
            )
        values = inner
    values[last] = value  # validated with all others in the end, where messages name each key


def studies_of(source: str | None, out: str | None, options: dict[str, Any], settings: Sequence[str]) -> list[Study]:
    """The studies that a command is about: one, or without source and data the two of the embedded default.

    Args:
        source: a recipe, a YAML file or the folder of a study.
        out: folder of the study; of the embedded default, folder of both.
        options: by name, None where not given.
        settings: ``KEY=VALUE``, applied last.
    """
    if options["data"] is not None and source is None:
        spec = with_options(blank(options["data"]), options, settings)
        from transfusion import tasks

        # what names and folders show to be wrong is said in the first second: importing torch alone takes longer
        tasks.check(spec.task)
        from transfusion.study import Study

        return [Study(spec, out or Path("studies") / spec.name)]
    from transfusion.recipes import RECIPES
    from transfusion.study import Study

    if source is not None:
        base = Study.load(source, out)
        return [Study(with_options(base.spec, options, settings), base.store.folder)]
    folder = Path(out or "studies")
    specs = {name: with_options(recipe.study, options, settings) for name, recipe in RECIPES.items()}
    return [Study(spec, folder / name) for name, spec in specs.items()]


def blank(data: str) -> StudySpec:
    """Settings for the user's own data; the recipes' are for theirs."""
    from transfusion.spec import StudySpec

    path = real_place(data)  # "." has a name, too
    name = path.name if path.is_dir() else path.stem
    return StudySpec.parse({"name": name.replace(":", "-") or "study"})
