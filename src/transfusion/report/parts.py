"""What a report is made of: sections of paragraphs, charts, pictures and tables; the page decides how they look."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from transfusion.metrics import Interval
from transfusion.verdict.numbers import brief

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Trace:
    """The curve of one run.

    Attributes:
        label: what hovering shows first, such as ``seed 0 (run 4b608c743b27)``.
        x, y: of one length; NaN in ``y`` is a gap.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Series:
    """All runs of one start, drawn and switched on and off together.

    Attributes:
        name: as the legend shows it.
        scheme: decides the colour; see ``palette``.
        variant: tells variants of a scheme apart; see ``palette.style_of``.
    """

    name: str
    scheme: str
    traces: tuple[Trace, ...]
    variant: int = 0


@dataclass(frozen=True)
class Chart:
    """Interactive curves: hovering shows run, step and value; series can be switched off.

    Attributes:
        name: unique on the page, good for a file name and an anchor.
        x_label, y_label: with units.
    """

    name: str
    caption: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]


@dataclass(frozen=True)
class Picture:
    """A matplotlib figure, saved as SVG, PDF and PNG beside the page and shown on it.

    Attributes:
        name: unique on the page, good for a file name.
        draw: makes the figure; called once.
        caption: what is seen, with n.
        alt: the message of the picture, for those who cannot see it.
        is_photo: show the PNG, because a vector of so many pixels would be larger and no sharper.
        narrow: the same for a phone, some 350 px wide; ``draw`` if not given.
    """

    name: str
    draw: Callable[[], Figure]
    caption: str
    alt: str
    is_photo: bool = False
    narrow: Callable[[], Figure] | None = None


@dataclass(frozen=True)
class Bar:
    """An interval on an axis that all bars of a column share.

    Attributes:
        low, middle, high: shares of the axis, 0 to 1; an end beyond it is 0 or 1.
        neutral: where "no effect" is.
        is_cut: whether the left and the right end lie beyond the axis.
    """

    low: float
    middle: float
    high: float
    neutral: float
    is_cut: tuple[bool, bool] = (False, False)


@dataclass(frozen=True)
class Cell:
    """One cell of a table: what it shows, and what it is sorted by.

    Attributes:
        note: shown below it in smaller letters.
        bar: drawn beside the text.
        link: anchor on the page that the text leads to, if any.
    """

    text: str
    key: float | str
    note: str = ""
    bar: Bar | None = None
    link: str = ""

    @classmethod
    def number(cls, value: float, form: str = ".3f") -> Cell:
        """A number in a format; NaN is shown as a dash and sorted last."""
        return cls("-", math.nan) if math.isnan(value) else cls(format(value, form), float(value))

    @classmethod
    def interval(cls, found: Interval, form: str) -> Cell:
        """An estimate with the ends of its interval, sorted by the estimate."""
        return cls(brief(found, form), found.estimate)


@dataclass(frozen=True)
class Table:
    """A table that a reader can sort by any column. Columns of text lean left, of numbers right.

    Attributes:
        is_folded: only the caption is seen until a reader opens the table.
        is_stacked: on a phone every row is a block of its own, with the columns' names before the cells.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell | str, ...], ...]
    is_folded: bool = False
    is_stacked: bool = False


@dataclass(frozen=True)
class Said:
    """A sentence or two of which some parts step back, so that the eye finds what is said before how surely."""

    text: str
    soft: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """A list of sentences, under a title of its own if it has one."""

    items: tuple[str | Said, ...]
    title: str = ""


@dataclass(frozen=True)
class Source:
    """Text as stored, such as a spec; folded away until a reader opens it."""

    title: str
    text: str


@dataclass(frozen=True)
class Quote:
    """Text to copy, with a button for it.

    Attributes:
        is_command: it is for a terminal, and shown in letters of one width.
    """

    text: str
    is_command: bool = False


@dataclass(frozen=True)
class Card:
    """One picture of the data, as its PNG, with a line that stands out and others below it."""

    png: bytes
    alt: str
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Gallery:
    """Cards side by side, as many as fit."""

    caption: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Fold:
    """Parts that are folded away, and not printed, until a reader opens them."""

    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Tile:
    """One of the numbers that stand beside the first picture.

    Attributes:
        title: what it is.
        value: the number, large.
        note: how sure, or what it is made of.
        mark: ``clear``, ``likely``, ``open`` or ``caution``; empty for none.
    """

    title: str
    value: str
    note: str
    mark: str = ""


@dataclass(frozen=True)
class First:
    """What is seen without scrolling.

    Attributes:
        cautions: what must be known before anything else is read.
        decision: one line.
        numbers: what it rests on, one or two sentences.
        picture: what says it all; None where there is nothing to draw.
        tiles: at most three.
        certainty: how sure, and what next, a paragraph each.
        command: the next step; empty where there is none.
    """

    cautions: tuple[str | Said, ...]
    decision: str
    numbers: str
    picture: Picture | None
    tiles: tuple[Tile, ...]
    certainty: tuple[str | Said, ...] = ()
    command: str = ""


Part: TypeAlias = "str | Chart | Picture | Table | Listing | Source | Quote | Gallery | Fold"


@dataclass(frozen=True)
class Section:
    """One heading and what stands under it; a part that is a string is a paragraph.

    Attributes:
        anchor: unique on the page.
        is_folded: only the title is seen until a reader opens it; folded sections are not printed.
    """

    anchor: str
    title: str
    parts: tuple[Part, ...] = field(default_factory=tuple)
    is_folded: bool = False


@dataclass(frozen=True)
class Page:
    """A page before it is laid out; see ``page.render``.

    Attributes:
        title: heading of the page.
        summary: one sentence below it.
        verdict: what was found. Sentences are shown large, and first; a listing is a group of them under its title.
        sections: what follows, in order.
        notes: what a reader must keep in mind, such as what is missing; folded away below what is seen ``first``.
        first: what is seen without scrolling.
        made_from: what says whether the page is current; see ``sources``.
    """

    title: str
    summary: str
    verdict: Sequence[str | Said | Listing]
    sections: Sequence[Section]
    notes: Sequence[str] = ()
    first: First | None = None
    made_from: str = ""


def flat(parts: Iterable[Part]) -> Iterator[Part]:
    """All parts, also those within folds."""
    for part in parts:
        yield part
        if isinstance(part, Fold):
            yield from flat(part.parts)
