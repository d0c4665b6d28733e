"""The page: sections as one self-contained HTML file, and the sections that a study's page has."""

from __future__ import annotations

import base64
import hashlib
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib import rc_context

from transfusion import __version__
from transfusion.errors import InputError
from transfusion.files import write_text
from transfusion.report import chart, figures, inline, method, opening, representations, single_models, sizes, weights
from transfusion.report import convergence as curves
from transfusion.report.material import Material
from transfusion.report.parts import Cell, Chart, Listing, Part, Picture, Said, Section, Source, Table
from transfusion.runs.store import Store

# in the order of the page; each gives None where a study has nothing of its kind
SECTIONS: tuple[Callable[[Material], Section | None], ...] = (
    curves.section,
    sizes.section,
    single_models.section,
    representations.section,
    weights.section,
    method.section,
)

FIGURES = "figures"  # folder beside the page

UNBROKEN = re.compile(r"(?<=\bn) (?==)|(?<=\bn =) (?=\d)|(?<=\d) (?=%)")  # spaces where a line must not end


def write_page(store: Store, out: Path | None = None) -> Path:
    """Make the report of a study - finished, running, killed or partly failed - and its figures.

    Args:
        store: the study.
        out: the file to write; ``report.html`` in the study's folder if not given. Figures go to ``figures/``
            beside it as SVG, PDF and PNG.

    Returns:
        Path of the page.

    Raises:
        StoreError: if there is no study in the folder, or the page cannot be written.
    """
    material, path = Material(store), out or store.report_path
    sections = [made for section in SECTIONS if (made := section(material))]
    text = render(
        material.spec.name,
        opening.summary(material),
        opening.verdict(material),
        sections,
        folder=path.parent,
        notes=opening.notes(material),
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
) -> str:
    """Lay out a page and save its figures.

    Every text is shown as it is: nothing in it can become markup.

    Args:
        title: heading of the page.
        summary: one sentence below it.
        verdict: what was found. Sentences are shown large, and first; a listing is a group of them under its title.
        sections: what follows, in order.
        folder: where the page will lie; figures are saved to ``figures/`` in it as SVG, PDF and PNG.
        notes: what a reader must keep in mind, such as what is missing.

    Returns:
        The whole page, for a file in ``folder``.

    Raises:
        InputError: if two sections share an anchor, or two charts, pictures or tables a name.
    """
    for names in ([section.anchor for section in sections], _names(sections, Chart, Picture), _names(sections, Table)):
        _check_unique(list(names))
    script = _read("page.js")
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            title=title,
            summary=summary,
            advice=[line for line in verdict if not isinstance(line, Listing)],
            groups=[_listing(group) for group in verdict if isinstance(group, Listing)],
            notes=notes,
            sections=[_laid_out(section, folder) for section in sections],
            style=Markup(_read("page.css")),
            script=Markup(script),
            script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
            version=__version__,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("transfusion.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["softened"] = _softened
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":"), "ensure_ascii": False}
    return environment


def _read(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _softened(said: str | Said) -> Markup:
    """A sentence with its soft parts marked, and no line ending inside of a number."""
    text, parts = (said, ()) if isinstance(said, str) else (said.text, said.soft)
    marked = escape(text)
    for soft in map(escape, parts):
        marked = marked.replace(soft, Markup('<span class="soft">{}</span>').format(soft))
    return Markup(UNBROKEN.sub("\u00a0", marked))


def _names(sections: Sequence[Section], *kinds: type[Chart] | type[Picture] | type[Table]) -> Iterator[str]:
    for section in sections:
        yield from (part.name for part in section.parts if isinstance(part, kinds))


def _check_unique(names: list[str]) -> None:
    slugs = list(map(_slug, names))
    twice = sorted({name for name, slug in zip(names, slugs, strict=True) if slugs.count(slug) > 1})
    if twice:
        raise InputError(f"A page needs anchors and names that differ, and these come twice: {', '.join(twice)}.")


def _slug(name: str) -> str:
    """A name that is safe as an id and as a file name."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-") or "part"


def _laid_out(section: Section, folder: Path) -> dict[str, Any]:
    blocks = [_block(part, folder) for part in section.parts]
    return {"anchor": _slug(section.anchor), "title": section.title, "blocks": blocks}


def _block(part: Part, folder: Path) -> dict[str, Any]:
    match part:
        case Chart():
            return _chart(part, folder)
        case Picture():
            picture = _picture(part, folder)
            return {"kind": "picture", "id": f"figure-{_slug(part.name)}", "caption": part.caption, "picture": picture}
        case Table():
            return _table(part)
        case Listing():
            return {"kind": "listing", **_listing(part)}
        case Source():
            return {"kind": "source", "title": part.title, "text": part.text}
        case _:
            return {"kind": "paragraph", "text": part}


def _chart(part: Chart, folder: Path) -> dict[str, Any]:
    picture = Picture(part.name, partial(chart.static, part), part.caption, chart.summary(part))
    return {
        "kind": "chart",
        "id": f"figure-{_slug(part.name)}",
        "caption": part.caption,
        "data": chart.chart_data(part),
        "picture": _picture(picture, folder),
    }


def _picture(part: Picture, folder: Path) -> dict[str, Any]:
    name = _slug(part.name)
    # the salt gives a rebuilt page the same ids
    with warnings.catch_warnings(), rc_context({"svg.hashsalt": name}):
        # a name may hold characters that the font lacks: they show as boxes in the PDF and PNG
        warnings.filterwarnings("ignore", r"Glyph .* missing from")
        path = figures.save(part.draw(), folder / FIGURES, name)
    svg = path.read_text(encoding="utf-8")
    markup = (
        inline.inline_png(path.with_suffix(".png"), part.alt)
        if part.is_photo
        else inline.inline_svg(svg, f"figure-{name}", part.alt)
    )
    return {
        "markup": markup,
        "on_white": part.is_photo or inline.stands_on_white(svg),
        "files": [{"name": suffix.upper(), "link": f"{FIGURES}/{name}.{suffix}"} for suffix in figures.FORMATS],
    }


def _listing(part: Listing) -> dict[str, Any]:
    return {"title": part.title, "items": part.items}


def _table(part: Table) -> dict[str, Any]:
    columns = list(zip(*part.rows, strict=True)) if part.rows else [()] * len(part.columns)
    are_numbers = [bool(cells) and all(_is_number(cell) for cell in cells) for cells in columns]
    headings = [
        {"name": name, "is_number": is_number} for name, is_number in zip(part.columns, are_numbers, strict=True)
    ]
    rows = [[_cell(cell, right) for cell, right in zip(row, are_numbers, strict=True)] for row in part.rows]
    return {
        "kind": "table",
        "id": f"table-{_slug(part.name)}",
        "caption": part.caption,
        "columns": headings,
        "rows": rows,
        "is_folded": part.is_folded,
    }


def _is_number(cell: Cell | str) -> bool:
    return isinstance(cell, Cell) and not isinstance(cell.key, str)


def _cell(cell: Cell | str, leans_right: bool) -> dict[str, Any]:
    attributes = {"class": "number"} if leans_right else {}
    if isinstance(cell, str):
        return {"text": cell, "attributes": attributes}
    if isinstance(cell.key, str):
        return {"text": cell.text, "attributes": {"data-key": cell.key, **attributes}}
    number = "" if cell.key != cell.key else repr(float(cell.key))  # empty is unknown, sorted last
    return {"text": cell.text, "attributes": {"data-number": number, **attributes}}
