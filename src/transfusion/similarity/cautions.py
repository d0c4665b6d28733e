"""What makes a similarity less than it seems: sentences that know what they are made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Ingredient: TypeAlias = int | float | str

TEMPLATES = {
    "few samples": "n = {} samples are fewer than 5 x {} dimensions: compare with the baseline, not with 0.",
    "saturated": "Saturated: {} coefficients are 1 whatever the data, with so few samples.",
    "no value": "No value: this measure needs {}; n = {}.",
    "constant": "No value: {side} is constant{}.",
    "dead features": "{} of {} features of {side} are constant{} and left out.",
    "rank": "{side} has rank {} with {} varying features.",
    "doubt": "{side} {}",
    "rounding": "Rounding to {} makes up to {}% of the variance of features of {side}, so the value is too low: "
    "subtract the mean before converting.",
}


class Caution(str):
    """A warning about one value.

    Attributes:
        code: which of ``TEMPLATES`` it is.
        side: of which representation it speaks, ``x`` or ``y``; empty for both.
        parts: the numbers and words of the template, in order.

    Examples:
        >>> caution = Caution("rank", (4, 9), "x")
        >>> str(caution), caution.parts
        ('x has rank 4 with 9 varying features.', (4, 9))
    """

    code: str
    side: str
    parts: tuple[Ingredient, ...]

    def __new__(cls, code: str, parts: Sequence[Ingredient], side: str = "") -> Caution:
        """The sentence of these parts."""
        self = super().__new__(cls, TEMPLATES[code].format(*parts, side=side))
        self.code, self.side, self.parts = code, side, tuple(parts)
        return self


def packed(cautions: Iterable[Caution]) -> str:
    """Cautions as a text that a table can hold; empty for none."""
    values = [[one.code, one.side, list(one.parts)] for one in cautions]
    return json.dumps(values) if values else ""


def unpacked(text: str) -> list[Caution]:
    """What ``packed`` made a text of.

    Examples:
        >>> unpacked(packed([Caution("saturated", (3,))]))
        ['Saturated: 3 coefficients are 1 whatever the data, with so few samples.']
    """
    return [Caution(code, parts, side) for code, side, parts in json.loads(text)] if text else []
