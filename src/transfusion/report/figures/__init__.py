"""Figures of a study, from tidy frames and arrays alone; matplotlib, for page and paper alike.

Every function returns a ``matplotlib.figure.Figure`` and leaves no trace: no pyplot, no global state. All are at most
ten inches wide, with letters that stay legible when a page scales them to its own width.
"""

from transfusion.report.figures.calibration import calibration
from transfusion.report.figures.canvas import FORMATS, save
from transfusion.report.figures.convergence import convergence
from transfusion.report.figures.intervals import forest, upto
from transfusion.report.figures.sizes import sizes
from transfusion.report.figures.weights import filters, histograms

__all__ = ["FORMATS", "calibration", "convergence", "filters", "forest", "histograms", "save", "sizes", "upto"]
