"""First-layer filters: pictures of them, how far training moved them, and how Gabor-like they are."""

from transfusion.filters.gabor import GaborScore, gabor_score
from transfusion.filters.looks import pictures, relative_change, weight_histograms
from transfusion.filters.reading import Floats

__all__ = ["Floats", "GaborScore", "gabor_score", "pictures", "relative_change", "weight_histograms"]
