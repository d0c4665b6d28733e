"""The sheet that figures are drawn on: its look, its text, and how it is saved."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from transfusion.files import write_bytes
from transfusion.verdict.inference import Floats

FORMATS = ("svg", "pdf", "png")
WIDTH_IN = 10.0  # one width: letters have one size on the whole page
LEGEND_ROW_IN = 0.24
LEGEND_LETTERS = 96  # that fit side by side
LEGEND_KEY_LETTERS = 9  # as wide as a sample of the line, with the space around it
NUM_TICKS = 7
_NO_DATES: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
NICE_POWERS = range(-6, 9)


def sheet(height_in: float, labels: Collection[str] = ()) -> Figure:
    """An empty figure as wide as they all are, with room for a legend of ``labels`` below."""
    rows = -(-len(labels) // _legend_columns(labels))
    return Figure(figsize=(WIDTH_IN, height_in + LEGEND_ROW_IN * rows), layout="constrained")


def _legend_columns(labels: Collection[str]) -> int:
    """As many as the longest label allows, spread evenly over the rows that it takes."""
    letters = max(map(len, labels), default=0) + LEGEND_KEY_LETTERS
    most = max(1, min(len(labels), LEGEND_LETTERS // letters))
    rows = max(1, -(-len(labels) // most))
    return max(1, -(-len(labels) // rows))


def plain(axes: Axes) -> None:
    """A light grid, no box, and nothing behind it, so that a dark page shows through."""
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.patch.set_visible(False)


def legend_below(figure: Figure, axes: Axes, title: str) -> None:
    """One legend for the whole figure, where no curve can lie under it."""
    handles, labels = axes.get_legend_handles_labels()
    columns = _legend_columns(labels)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, title=title)


def finished(figure: Figure) -> Figure:
    """The figure, with every word shown as it is spelled: a ``$`` in a user's name is no formula."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    return figure


def log_axis(axes: Axes, which: str, ticks: Floats, label: Callable[[float], str]) -> None:
    """Make one axis logarithmic with these ticks alone; matplotlib's own labels would be formulas."""
    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: label(value)))


def nice_ticks(low: float, high: float) -> Floats:
    """Round numbers for a logarithmic axis: 1, 2, 5 and their decades, or evenly spaced ones over a narrow range."""
    nice = np.array([base * 10.0**power for power in NICE_POWERS for base in (1, 2, 5)])
    decades = nice[(nice >= low) & (nice <= high)]
    if len(decades) >= 3:
        return decades[:: -(-len(decades) // NUM_TICKS)]
    steps = nice[nice <= (high - low) / 2]
    if not len(steps):  # both ends are one number but for rounding
        return np.array([np.sqrt(low * high)])
    step = steps[-1]
    ticks: Floats = step * np.arange(np.ceil(low / step), high / step + 1e-9)
    return ticks


def save(figure: Figure, folder: Path, name: str) -> Path:
    """Save as SVG, PDF and PNG, the same bytes every time; returns the SVG's path. An unchanged figure is left alone.

    Words stay words in the SVG: they can be searched, and scale with the page. A sign that the font lacks is left to
    the reader's own fonts, and is an empty box in PDF and PNG.

    Raises:
        StoreError: when the folder cannot be written.
    """
    # 42: TrueType, as journals ask for; the salt makes ids of a rebuilt figure the same
    fixed: Any = {"svg.fonttype": "none", "svg.hashsalt": name, "pdf.fonttype": 42}
    whole = folder / f"{name}.svg"
    others = {suffix: folder / f"{name}.{suffix}" for suffix in FORMATS if suffix != "svg"}
    with rc_context(fixed), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        drawn = _drawn(figure, "svg")
        if all(path.exists() for path in others.values()) and whole.exists() and whole.read_bytes() == drawn:
            return whole  # three quarters of the time that a page takes
        with contextlib.suppress(OSError):  # a folder that cannot be written is told by the first file
            whole.unlink(missing_ok=True)  # written last: where it is, the others are of the same figure
        for suffix, path in others.items():
            write_bytes(path, _drawn(figure, suffix))
    write_bytes(whole, drawn)
    return whole


def _drawn(figure: Figure, suffix: str) -> bytes:
    """In memory: a writer of matplotlib's that meets a full disk ends in errors of its own."""
    file = io.BytesIO()
    ground = "white" if suffix == "png" else "none"  # PNGs go into slides, SVGs onto pages in either colour
    figure.savefig(file, format=suffix, dpi=160, facecolor=ground, metadata=_NO_DATES[suffix])
    return file.getvalue()
