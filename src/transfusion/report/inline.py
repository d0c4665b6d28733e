"""A figure as markup that lives in a page: ids of its own, black and white that follow the page's colours."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from markupsafe import Markup

OUTSIDE = re.compile(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", re.DOTALL)
ROOT = re.compile(r"<svg\b[^>]*>")
VIEW_BOX = re.compile(r'viewBox="([^"]*)"')
TAG = re.compile(r"<[^>]*>")  # attributes hold no bare ">", and text between tags stays as it is
REFERENCE = re.compile(r'(\bid="|href="#|url\(#)')
GREY = re.compile(r"#([0-9a-f]{2})\1\1\b")
COLOURED_AREAS = ("<image", "QuadMesh")  # what text may stand on whose colour was chosen for it


def stands_on_white(svg: str) -> bool:
    """Whether a figure keeps its black and white in dark mode too: its text may stand on coloured areas."""
    return any(mark in svg for mark in COLOURED_AREAS)


def inline_svg(svg: str, prefix: str, alt: str) -> Markup:
    """An SVG file of matplotlib as an element of a page.

    Ids would clash with those of other figures, so they get a prefix. Greys become shares of the page's text
    colour over its background, so that axes and text are legible on a dark page, unless it stands on white.

    Args:
        svg: the whole file.
        prefix: unique on the page, of letters, digits and hyphens.
        alt: what the figure says.
    """
    text = OUTSIDE.sub("", svg[svg.index("<svg") :])
    on_white = stands_on_white(text)
    root = ROOT.search(text)
    box = VIEW_BOX.search(root.group() if root else "")
    opening = Markup(
        '<svg viewBox="{}" role="img" aria-label="{}" fill="currentColor" stroke-linejoin="round">'
    ).format(box.group(1) if box else "", alt)
    body = TAG.sub(lambda tag: _retag(tag.group(), prefix, on_white), ROOT.sub("", text, count=1))
    return Markup(opening + Markup(body))


def inline_png(path: Path, alt: str) -> Markup:
    """A PNG file as an element of a page."""
    data = base64.b64encode(path.read_bytes()).decode()
    return Markup('<img src="data:image/png;base64,{}" alt="{}">').format(data, alt)


def _retag(tag: str, prefix: str, on_white: bool) -> str:
    tag = REFERENCE.sub(rf"\g<1>{prefix}-", tag)
    return tag if on_white else GREY.sub(_follow, tag)


def _follow(grey: re.Match[str]) -> str:
    share = round(100 * (1 - int(grey.group(1), 16) / 255))  # of black
    if share in (0, 100):
        return "currentColor" if share else "var(--paper)"
    return f"color-mix(in srgb, currentColor {share}%, var(--paper))"
