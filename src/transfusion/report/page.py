"""The page: sections as one self-contained HTML file, and the sections that a study's page has."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
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
from transfusion.report.parts import Chart, First, Listing, Picture, Said, Section, Table, flat
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
    text = render(
        material.spec.name,
        opening.summary(material),
        [],
        sections,
        folder=path.parent,
        notes=opening.notes(material),
        first=first.first(material),
        made_from=stamp,
    )
    write_text(path, text)
    return path


def render(
    title: str,
    summary: str,
    verdict: Sequence[str | Said | Listing],
    sections: Sequence[Section],
    *,
    folder: Path,
    notes: Sequence[str] = (),
    first: First | None = None,
    made_from: str = "",
) -> str:
    """Lay out a page and save its figures.

    Every text is shown as it is: nothing in it can become markup.

    Args:
        title: heading of the page.
        summary: one sentence below it.
        verdict: what was found. Sentences are shown large, and first; a listing is a group of them under its title.
        sections: what follows, in order.
        folder: where the page will lie; figures are saved to ``figures/`` in it as SVG, PDF and PNG.
        notes: what a reader must keep in mind, such as what is missing; folded away below what is seen ``first``.
        first: what is seen without scrolling.
        made_from: what says whether the page is current; see ``sources``.

    Returns:
        The whole page, for a file in ``folder``.

    Raises:
        InputError: if two sections share an anchor, or two charts, pictures or tables a name.
    """
    parts = [part for section in sections for part in flat(section.parts)]
    shown = [*parts, *([first.picture] if first and first.picture else [])]
    pictures = [part.name for part in shown if isinstance(part, (Chart, Picture))]
    tables = [part.name for part in parts if isinstance(part, Table)]
    for names in ([section.anchor for section in sections], pictures, tables):
        _check_unique(names)
    script, glossary = _read("page.js"), Glossary()
    page = _environment(glossary).get_template("page.html.jinja")
    return page.render(
        title=title,
        summary=summary,
        first=_first(first, folder) if first else None,
        advice=[line for line in verdict if not isinstance(line, Listing)],
        groups=[listing(group) for group in verdict if isinstance(group, Listing)],
        notes=notes,
        sections=[_laid_out(section, folder) for section in sections],
        words=glossary.used,
        style=Markup(_read("page.css")),
        script=Markup(script),
        # for its content policy
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        version=__version__,
        made_from=made_from,
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
    """The text with no line ending inside of a number."""
    return UNBROKEN.sub("\u00a0", text)


def _check_unique(names: list[str]) -> None:
    slugs = list(map(slug, names))
    twice = sorted({name for name, short in zip(names, slugs, strict=True) if slugs.count(short) > 1})
    if twice:
        raise InputError(f"A page needs anchors and names that differ, and these come twice: {', '.join(twice)}.")


def _first(found: First, folder: Path) -> dict[str, Any]:
    picture = picture_block(found.picture, folder) if found.picture else None
    return {**vars(found), "picture": picture}


def _laid_out(section: Section, folder: Path) -> dict[str, Any]:
    blocks = [block(part, folder) for part in section.parts]
    return {"anchor": slug(section.anchor), "title": section.title, "is_folded": section.is_folded, "blocks": blocks}
