"""Frozen, validated settings: what every spec is, read from and written to YAML and JSON."""

from __future__ import annotations

import difflib
import json
import reprlib
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from transfusion.errors import SpecError
from transfusion.files import parse_json, reason

S = TypeVar("S", bound="Spec")


class _Strict(yaml.SafeLoader):
    """YAML in which a key that is there twice is an error: the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping from its node.

        Raises:
            yaml.constructor.ConstructorError: if a key is there twice.
        """
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                problem = f"the key '{name}' occurs twice"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


class Spec(BaseModel):
    """Base of all specs: frozen, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", coerce_numbers_to_str=True, ser_json_inf_nan="constants", allow_inf_nan=False
    )

    @classmethod
    def parse(cls: type[S], values: dict[str, Any]) -> S:
        """Validate plain values.

        Raises:
            SpecError: naming every offending key in one line.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SpecError(_one_line(cls, error)) from None

    @classmethod
    def read(cls: type[S], path: Path) -> S:
        """Read a YAML or JSON file.

        Raises:
            SpecError: if it cannot be read, in one line.
        """
        try:
            text = path.read_text(encoding="utf-8")
            values = parse_json(text) if path.suffix == ".json" else yaml.load(text, Loader=_Strict)
        except json.JSONDecodeError as error:
            raise SpecError(f"{path} is not valid JSON in line {error.lineno}: {error.msg}.") from error
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f" in line {mark.line + 1}" if mark else ""
            raise SpecError(f"{path} is not valid YAML{where}: {getattr(error, 'problem', error)}.") from error
        except (OSError, ValueError, RecursionError) as error:
            raise SpecError(f"Cannot read {path}: {reason(error)}. Give a readable YAML or JSON file.") from error
        if not isinstance(values, dict):
            raise SpecError(f"{path} holds {type(values).__name__}; it needs keys such as 'task' and 'model'.")
        return cls.parse(values)

    def __hash__(self) -> int:
        return hash(self.to_json())  # a field may be a dictionary

    def to_json(self) -> str:
        """Indented JSON that ``read`` takes back unchanged."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"

    def with_values(self: S, **values: Any) -> S:
        """A validated copy with some values replaced."""
        return self.parse({**self.model_dump(), **values})


def dotted(cls: type[Spec], prefix: str = "") -> dict[str, tuple[type[Spec], str]]:
    """Every setting by its dotted name: the class that has it, and its name there; groups are no settings.

    Examples:
        >>> from transfusion.spec import DonorRunSpec
        >>> [key for key in dotted(DonorRunSpec) if not key.startswith(("task.", "train."))]
        ['scheme.name', 'scheme.batch_norm', 'scheme.upto', 'scheme.rest', 'scheme.head', 'seed']
    """
    found: dict[str, tuple[type[Spec], str]] = {}
    for name, field in cls.model_fields.items():
        groups = [kind for kind in (field.annotation, *get_args(field.annotation)) if _is_group(kind)]
        if not groups or str in get_args(field.annotation):
            found[f"{prefix}{name}"] = cls, name
        for group in groups:
            found |= dotted(group, f"{prefix}{name}.")
    return found


def nearest(cls: type[Spec], key: str) -> str:
    """A question after the setting that may be meant; empty where none is near.

    Examples:
        >>> from transfusion.spec import TrainSpec
        >>> nearest(TrainSpec, "batch_sice")
        " (did you mean 'batch_size'?)"
    """
    near = difflib.get_close_matches(key, dotted(cls), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def _is_group(kind: Any) -> bool:
    # of Python 3.10, tuple[int, ...] is an instance of type, and no class
    return isinstance(kind, type) and get_origin(kind) is None and issubclass(kind, Spec)


def _one_line(cls: type[Spec], error: ValidationError) -> str:
    what = cls.__name__.removesuffix("Spec").lower()
    problems: list[Any] = error.errors()
    # a list with a bad item is also reported as too short
    parts = [
        say
        for problem in problems
        if (say := _say(cls, problem)) and not (problem["type"] == "too_short" and problems[1:])
    ]
    return f"The {what} settings are not valid: {'; '.join(parts)}."


def _say(cls: type[Spec], problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"] if not str(part).startswith("="))
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"there is no setting '{key}'{nearest(cls, key)}"
    if not key:
        return message
    return f"{key}: {message[0].lower()}{message[1:]} (got {reprlib.repr(problem['input'])})"
