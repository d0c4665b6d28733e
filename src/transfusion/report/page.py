"""The page: sections as one self-contained HTML file, and the sections that a study's page has."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from transfusion import __version__
from transfusion.errors import InputError
from transfusion.files import write_text
from transfusion.report import convergence as curves
from transfusion.report import (
    effects,
    examples,
    first,
    manuscript,
    method,
    opening,
    operating,
    representations,
    single_models,
    sizes,
    weights,
)
from transfusion.report.blocks import block, listing, picture_block, slug
from transfusion.report.glossary import Glossary
from transfusion.report.material import Material
from transfusion.report.parts import Chart, First, Listing, Page, Picture, Said, Section, Table, flat
from transfusion.report.sources import stamp_of
from transfusion.runs.store import Store

# in the order of the page; each gives None where a study has nothing of its kind
SECTIONS: tuple[Callable[[Material], Section | None], ...] = (
    effects.section,
    operating.section,
    examples.section,
    curves.section,
    sizes.section,
    single_models.section,
    representations.section,
    weights.section,
    manuscript.section,
    method.section,
)

UNBROKEN = re.compile(r"(?<=\bn) (?==)|(?<=\bn =) (?=\d)|(?<=\d) (?=%)")  # spaces where a line must not end


def write_page(
    store: Store, out: Path | None = None, *, examples: bool | None = None, cache: Path | None = None
) -> Path:
    """Make the report of a study - finished, running, killed or partly failed - and its figures.

    Args:
        store: the study.
        out: the file to write; ``report.html`` in the study's folder if not given. Figures go to ``figures/``
            beside it as SVG, PDF and PNG.
        examples: whether test images are shown; as the study says if not given.
        cache: of decoded images; None is the user's cache folder.

    Returns:
        Path of the page.

    Raises:
        StoreError: if there is no study in the folder, or the page cannot be written.
    """
    path = out or store.report_path
    material = Material(store, path.parent, examples, cache)
    stamp = stamp_of(store, examples=material.shows_images)  # first: runs may end while the page is made
    sections = [made for section in SECTIONS if (made := section(material))]
    page = Page(
        material.spec.name,
        opening.summary(material),
        verdict=[],  # it is what is seen first
        sections=sections,
        notes=opening.notes(material),
        first=first.first(material),
        made_from=stamp,
    )
    write_text(path, render(page, path.parent))
    return path


def render(page: Page, folder: Path) -> str:
    """Lay out a page and save its figures.

    Every text is shown as it is: nothing in it can become markup.

    Args:
        page: what it holds.
        folder: where the page will lie; figures are saved to ``figures/`` in it as SVG, PDF and PNG.

    Returns:
        The whole page, for a file in ``folder``.

    Raises:
        InputError: if two sections share an anchor, or two charts, pictures or tables a name.
    """
    parts = [part for section in page.sections for part in flat(section.parts)]
    shown = [*parts, *([page.first.picture] if page.first and page.first.picture else [])]
    pictures = [part.name for part in shown if isinstance(part, (Chart, Picture))]
    tables = [part.name for part in parts if isinstance(part, Table)]
    # a second figure of one name would overwrite the file of the first, and its caption stand under another's curves
    for names in ([section.anchor for section in page.sections], pictures, tables):
        _check_unique(names)
    script, glossary = _read("page.js"), Glossary()
    return (
        _environment(glossary)
        .get_template("page.html.jinja")
        .render(
            title=page.title,
            summary=page.summary,
            first=_first(page.first, folder) if page.first else None,
            advice=[line for line in page.verdict if not isinstance(line, Listing)],
            groups=[listing(group) for group in page.verdict if isinstance(group, Listing)],
            notes=page.notes,
            sections=[_laid_out(section, folder) for section in page.sections],
            words=glossary.used,  # filled while the template is rendered: the template lists them last
            style=Markup(_read("page.css")),
            script=Markup(script),
            # the page's content policy runs this one script: nothing that a name smuggles in could run
            script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
            version=__version__,
            made_from=page.made_from,
        )
    )


def _environment(glossary: Glossary) -> Environment:
    environment = Environment(
        loader=PackageLoader("transfusion.report", "."),
        autoescape=True,  # names of classes and files come from anywhere
        undefined=StrictUndefined,  # a name misspelt in the template is an error, not a blank
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["told"] = lambda said: glossary.mark(_softened(said))
    environment.filters["unbroken"] = _unbroken
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":"), "ensure_ascii": False}
    return environment


def _read(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _softened(said: str | Said) -> Markup:
    """A sentence with its soft parts marked."""
    text, parts = (said, ()) if isinstance(said, str) else (said.text, said.soft)
    marked = escape(text)  # first: soft parts are looked for in what a page shows
    for soft in map(escape, parts):
        marked = marked.replace(soft, Markup('<span class="soft">{}</span>').format(soft))
    return Markup(_unbroken(marked))


def _unbroken(text: str) -> str:
    """The text with no line break inside a number."""
    return UNBROKEN.sub("\u00a0", text)


def _check_unique(names: list[str]) -> None:
    slugs = list(map(slug, names))  # as files and anchors are called: two names may come to one of these
    twice = sorted({name for name, short in zip(names, slugs, strict=True) if slugs.count(short) > 1})
    if twice:
        raise InputError(f"Anchors and names on a page must be unique; these are used twice: {', '.join(twice)}.")


def _first(found: First, folder: Path) -> dict[str, Any]:
    picture = picture_block(found.picture, folder) if found.picture else None
    return {**vars(found), "picture": picture}


def _laid_out(section: Section, folder: Path) -> dict[str, Any]:
    blocks = [block(part, folder) for part in section.parts]
    return {"anchor": slug(section.anchor), "title": section.title, "is_folded": section.is_folded, "blocks": blocks}
