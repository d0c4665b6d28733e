"""A part of a section as what the template shows."""

from __future__ import annotations

import base64
import csv
import io
import math
import re
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from transfusion.report import chart, figures, inline
from transfusion.report.parts import (
    Bar,
    Card,
    Cell,
    Chart,
    Fold,
    Gallery,
    Listing,
    Part,
    Picture,
    Quote,
    Source,
    Table,
)  # fmt: skip

FIGURES = "figures"  # folder beside the page


def slug(name: str) -> str:
    """A name that is safe as an id and as a file name."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-") or "part"


def block(part: Part, folder: Path) -> dict[str, Any]:
    """What the template needs of a part; figures are saved to ``figures/`` in the folder."""
    match part:
        case Chart():
            return _chart(part, folder)
        case Picture():
            return {"kind": "picture", **picture_block(part, folder)}
        case Table():
            return _table(part)
        case Listing():
            return {"kind": "listing", **listing(part)}
        case Source():
            return {"kind": "source", "title": part.title, "text": part.text}
        case Quote():
            return {"kind": "quote", "text": part.text, "is_command": part.is_command}
        case Gallery():
            return {"kind": "gallery", "caption": part.caption, "cards": [_card(card) for card in part.cards]}
        case Fold():
            return {"kind": "fold", "title": part.title, "blocks": [block(inner, folder) for inner in part.parts]}
        case _:
            return {"kind": "paragraph", "text": part}


def listing(part: Listing) -> dict[str, Any]:
    """Title and items."""
    return {"title": part.title, "items": part.items}


def picture_block(part: Picture, folder: Path) -> dict[str, Any]:
    """A figure with its caption."""
    return {"id": f"figure-{slug(part.name)}", "caption": part.caption, "picture": _picture(part, folder)}


def _chart(part: Chart, folder: Path) -> dict[str, Any]:
    picture = Picture(part.name, partial(chart.static, part), part.caption, chart.summary(part))
    return {"kind": "chart", "data": chart.chart_data(part), **picture_block(picture, folder)}


def _picture(part: Picture, folder: Path) -> dict[str, Any]:
    name = slug(part.name)
    path = _saved(part.draw, folder, name)
    svg = path.read_text(encoding="utf-8")
    if part.is_photo:
        wide = inline.inline_png(path.with_suffix(".png"), part.alt)  # pixels as SVG would be larger than the page
    else:
        wide = inline.inline_svg(svg, f"figure-{name}", part.alt)
    narrow: str | Markup = ""
    if part.narrow:
        phone = _saved(part.narrow, folder, f"{name}-narrow").read_text(encoding="utf-8")
        narrow = inline.inline_svg(phone, f"figure-{name}-narrow", part.alt)
    return {
        "markup": wide,
        "narrow": narrow,
        "on_white": part.is_photo or inline.stands_on_white(svg),
        "name": name,
        "link": "" if part.is_photo else data_uri("image/svg+xml", svg),  # the file goes with the page, not beside it
    }


def _saved(draw: Callable[[], Figure], folder: Path, name: str) -> Path:
    # the salt gives a rebuilt page the same ids
    with warnings.catch_warnings(), rc_context({"svg.hashsalt": name}):
        # a name may hold characters that the font lacks: they show as boxes in the PDF and PNG
        warnings.filterwarnings("ignore", r"Glyph .* missing from")
        return figures.save(draw(), folder / FIGURES, name)


def data_uri(kind: str, content: str | bytes) -> str:
    """What a link needs that carries its file with it; what is not UTF-8 in a name becomes a question mark."""
    data = content.encode("utf-8", errors="replace") if isinstance(content, str) else content
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _card(card: Card) -> dict[str, Any]:
    return {"image": data_uri("image/png", card.png), "alt": card.alt, "title": card.title, "lines": card.lines}


def _table(part: Table) -> dict[str, Any]:
    columns = list(zip(*part.rows, strict=True)) if part.rows else [()] * len(part.columns)
    # a column leans right only if all of it are numbers: a dash among them is one, a word is not
    are_numbers = [bool(cells) and all(_is_number(cell) for cell in cells) for cells in columns]
    headings = [
        {"name": name, "is_number": is_number} for name, is_number in zip(part.columns, are_numbers, strict=True)
    ]
    rows = [[_cell(cell, right) for cell, right in zip(row, are_numbers, strict=True)] for row in part.rows]
    return {
        "kind": "table",
        "id": f"table-{slug(part.name)}",
        "name": slug(part.name),
        "caption": part.caption,
        "columns": headings,
        "rows": rows,
        "is_folded": part.is_folded,
        "is_stacked": part.is_stacked,
        "link": data_uri("text/csv", _csv(part)),
    }


def _csv(part: Table) -> str:
    """The table as it is shown."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(part.columns)
    writer.writerows([cell if isinstance(cell, str) else cell.text for cell in row] for row in part.rows)
    return text.getvalue()


def _is_number(cell: Cell | str) -> bool:
    return isinstance(cell, Cell) and not isinstance(cell.key, str)


def _cell(cell: Cell | str, leans_right: bool) -> dict[str, Any]:
    attributes = {"class": "number"} if leans_right else {}
    if isinstance(cell, str):
        return {"text": cell, "link": "", "note": "", "bar": "", "attributes": attributes}
    if isinstance(cell.key, str):
        key = {"data-key": cell.key}
    else:
        key = {"data-number": "" if math.isnan(cell.key) else repr(float(cell.key))}  # empty is unknown, sorted last
    shown = {"text": cell.text, "link": cell.link, "note": cell.note, "bar": _bar(cell.bar)}
    return {**shown, "attributes": {**key, **attributes}}


def _bar(bar: Bar | None) -> Markup:
    """An interval as a line with a dot, 100 units wide; arrows where it extends beyond the axis."""
    if bar is None:
        return Markup("")
    low, middle, high, neutral = (round(4 + 92 * place, 1) for place in (bar.low, bar.middle, bar.high, bar.neutral))
    ends = ["M4 5l-4 3l4 3z" * bar.is_cut[0], "M96 5l4 3l-4 3z" * bar.is_cut[1]]
    return Markup(
        '<svg class="bar" viewBox="0 0 100 16" aria-hidden="true"><path class="neutral" d="M{n} 0V16"/>'
        '<path class="reach" d="M{low} 8H{high}"/><path d="{ends}"/><circle cx="{middle}" cy="8" r="3.2"/></svg>'
    ).format(n=neutral, low=low, high=high, middle=middle, ends="".join(ends))
