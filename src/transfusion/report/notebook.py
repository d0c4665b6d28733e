"""A study as a notebook shows it: decision, picture, the tiles beside it, how sure that is and what next."""

from __future__ import annotations

import io
from html import escape
from typing import Any

from matplotlib import rc_context

from transfusion.report.blocks import data_uri
from transfusion.report.first import first
from transfusion.report.material import Material
from transfusion.report.parts import Picture, Said, Tile
from transfusion.runs.store import Store

TILE = "flex:1 1 14em;padding:6px 12px;border:1px solid #8a939d;border-left-width:5px;border-radius:8px"
SURE = "margin:6px 0 0;opacity:.75;font-size:.92em"


def html(store: Store) -> str:
    """Markup that stands alone; every name in it is escaped.

    Raises:
        StoreError: if there is no study.
    """
    found = first(Material(store))
    cautions = "".join(f"<p style='margin:0 0 4px;font-weight:600'>{escape(_text(one))}</p>" for one in found.cautions)
    picture = f"<div style='flex:1 1 30em'>{_image(found.picture)}</div>" if found.picture else ""
    tiles = "".join(map(_tile, found.tiles))
    sure = "".join(f"<p style='{SURE}'>{escape(_text(one))}</p>" for one in found.certainty)
    return (
        f"<div style='line-height:1.4;max-width:62em'>{cautions}"
        f"<p style='margin:0;font-size:1.5em;font-weight:700'>{escape(found.decision)}</p>"
        f"<p style='margin:2px 0 8px'>{escape(found.numbers)}</p>"
        f"<div style='display:flex;flex-wrap:wrap;gap:10px'>{picture}"
        f"<div style='flex:1 1 16em;display:flex;flex-direction:column;gap:8px'>{tiles}</div></div>{sure}</div>"
    )


def _text(said: str | Said) -> str:
    return said if isinstance(said, str) else said.text


def _image(picture: Picture) -> str:
    """On white, which its letters are made for."""
    settings: Any = {"svg.fonttype": "path", "svg.hashsalt": picture.name}  # paths: a notebook may lack the fonts
    file = io.StringIO()
    with rc_context(settings):
        picture.draw().savefig(file, format="svg", facecolor="white", metadata={"Date": None})
    source = data_uri("image/svg+xml", file.getvalue())
    return f"<img style='width:100%;max-width:42em' src='{source}' alt='{escape(picture.alt, quote=True)}'>"


def _tile(tile: Tile) -> str:
    mark = f" <b>{escape(tile.mark)}</b>" if tile.mark else ""
    return (
        f"<div style='{TILE}'><div>{escape(tile.title)}{mark}</div>"
        f"<div style='font-size:1.3em;font-weight:700'>{escape(tile.value)}</div><div>{escape(tile.note)}</div></div>"
    )
