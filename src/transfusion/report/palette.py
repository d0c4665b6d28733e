"""One colour, dash and marker per scheme, everywhere; readable in greyscale and by the colour-blind."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Style:
    """How a scheme is drawn.

    Attributes:
        colour: from Okabe and Ito's palette, which the common kinds of colour blindness can tell apart.
        dash: matplotlib line style; what tells schemes apart in greyscale.
        marker: matplotlib marker.
    """

    colour: str
    dash: str | tuple[int, tuple[int, ...]]
    marker: str


SCHEMES = {
    "pretrained": Style("#0072B2", "-", "o"),
    "mean_var": Style("#E69F00", "--", "s"),
    "random": Style("#000000", ":", "^"),
    "kaiming": Style("#009E73", "-.", "v"),
    "default": Style("#CC79A7", (0, (5, 1, 1, 1, 1, 1)), "D"),
    "sampling": Style("#D55E00", (0, (4, 2)), "P"),
    "shuffled": Style("#56B4E9", (0, (1, 1)), "X"),
}
VARIANTS = "hd*<>8p"  # markers for a scheme's variants, such as stages of transfusion


def style_of(scheme: str, variant: int = 0) -> Style:
    """The style of a scheme; ``variant`` tells its variants apart by their markers."""
    style = SCHEMES.get(scheme, SCHEMES["default"])
    return style if variant == 0 else replace(style, marker=VARIANTS[(variant - 1) % len(VARIANTS)])
