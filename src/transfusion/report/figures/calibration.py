"""Whether predicted probabilities come true."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from transfusion.report.figures.canvas import finished, legend_below, plain, sheet
from transfusion.report.palette import Style, styles_of
from transfusion.report.table import schemes_of
from transfusion.verdict.numbers import span

HEIGHT_IN = 4.6
IDEAL = {"color": "#767676", "linewidth": 1.0}


def calibration(bins: pd.DataFrame, styles: Mapping[str, Style] | None = None) -> Figure:
    """Reliability diagram: observed share against predicted probability, and the difference of the two.

    Args:
        bins: one row per start and bin: ``start scheme predicted observed n``, as ``metrics.reliability`` gives them.
        styles: start -> style, where other figures show starts that this frame lacks.
    """
    styles = styles or styles_of(schemes_of(bins))
    counts = {str(start): f"{start} ({span(n)})" for start, n in bins.groupby("start", sort=False)["n"]}
    figure = sheet(HEIGHT_IN, counts.values())
    shares, gaps = figure.subplots(1, 2)
    shares.axline((0, 0), (1, 1), **IDEAL)
    gaps.axhline(0, **IDEAL)
    for start, rows in bins.groupby("start", sort=False):
        style, predicted, observed = styles[str(start)], rows["predicted"], rows["observed"]
        look = {"color": style.colour, "linestyle": style.dash, "marker": style.marker, "markersize": 6}
        shares.plot(predicted, observed, label=counts[str(start)], **look)
        gaps.plot(predicted, observed - predicted, **look)
    for axes in (shares, gaps):
        plain(axes)
        axes.set(xlabel="predicted probability", xlim=(-0.02, 1.02))
    shares.set(ylabel="observed share", ylim=(-0.02, 1.02))
    gaps.set_ylabel("observed minus predicted")
    legend_below(figure, shares, "start (predictions per bin)")
    return finished(figure)
