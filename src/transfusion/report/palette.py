"""One colour, dash and marker per scheme, everywhere; readable in greyscale and by the colour-blind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias, get_args

from transfusion.terms import Scheme

Dash: TypeAlias = str | tuple[int, tuple[int, ...]]


@dataclass(frozen=True)
class Style:
    """How a scheme is drawn.

    Attributes:
        colour: apart from black, stands out 3 to 1 from a white page and from a dark one alike (WCAG 2.1, 1.4.11), and
            is at least 25 units of CIELAB from every other, also under protanopia, deuteranopia and tritanopia.
        dash: matplotlib line style; what distinguishes schemes in greyscale, together with the marker.
        marker: matplotlib marker.
    """

    colour: str
    dash: Dash
    marker: str


# Found by a search for the largest smallest distance within these contrasts. Black is what a page turns into its text
# colour; among the three starts of every study greyscale alone suffices.
SCHEMES = {
    "pretrained": Style("#1D5BF6", "-", "o"),
    "mean_var": Style("#E97023", "--", "s"),
    "random": Style("#000000", ":", "^"),
    "kaiming": Style("#3EA381", "-.", "v"),
    "default": Style("#AE298A", (0, (5, 1, 1, 1, 1, 1)), "D"),
    "sampling": Style("#8E5B30", (0, (4, 2)), "P"),
    "shuffled": Style("#A37EDE", (0, (1, 1)), "X"),
}
UNKNOWN = Style("#7F7F7F", (0, (3, 1, 1, 1)), "|")  # a scheme of another version: never the looks of a known one
VARIANTS = "*d<>xp+h"  # markers for a scheme's variants, such as stages of transfusion
# an eighth hue as far from all others does not exist: further schemes are grey, each with a marker of its own
GREY: dict[str, Style] = {
    scheme: replace(UNKNOWN, marker=marker)
    for scheme, marker in zip((one for one in get_args(Scheme) if one not in SCHEMES), VARIANTS, strict=False)
}
LOOKS = SCHEMES | GREY
DASHES: tuple[Dash, ...] = (*(style.dash for style in SCHEMES.values()), (0, (8, 2)))


def style_of(scheme: str, variant: int = 0) -> Style:
    """The style of a scheme; ``variant`` distinguishes its variants by dash and marker, never by colour."""
    style = LOOKS.get(scheme, UNKNOWN)
    if variant == 0:
        return style
    others = [dash for dash in DASHES if dash != style.dash]
    return replace(style, dash=others[(variant - 1) % len(others)], marker=VARIANTS[(variant - 1) % len(VARIANTS)])


def variants_of(schemes: Mapping[str, str]) -> dict[str, int]:
    """The number of every start among those of its scheme, from ``{start: scheme}`` in the order of the study."""
    seen: dict[str, int] = {}
    numbers = {}
    for start, scheme in schemes.items():
        numbers[start] = seen.get(scheme, 0)
        seen[scheme] = numbers[start] + 1
    return numbers


def styles_of(schemes: Mapping[str, str]) -> dict[str, Style]:
    """The style of every start, from ``{start: scheme}`` in the order of the study.

    Examples:
        >>> styles_of({"random": "random", "pretrained": "pretrained"})["random"].colour
        '#000000'
    """
    return {start: style_of(schemes[start], variant) for start, variant in variants_of(schemes).items()}
