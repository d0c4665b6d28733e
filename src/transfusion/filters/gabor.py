"""How Gabor-like are first-layer filters, against filters of the same spectrum with random phases?

A Gabor explains much of whatever is smooth, so a good fit by itself says little: it explains 70 % of white noise
smoothed over a pixel. What a Gabor has beyond its spectrum is that its phases agree. So each filter is judged against
surrogates that keep its own amplitude spectrum and have random phases.

Source: the paper's Section 6 and Figure 8 judge by eye; the score is ours. Surrogates of random phase are Theiler et
al.'s (1992); the filter is mirrored at its borders first, as a picture that does not repeat has a spectrum that its
edges, wrapped around, falsify.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from transfusion.filters.fit import fit
from transfusion.filters.reading import Array, Floats, read_filters

NUM_SURROGATES = 39  # with the filter itself 40, so that a p-value can be exactly 0.05
LEVEL = 0.05
ROUNDS = (2, 3, 6, 12, 16)  # surrogates; most filters of noise are decided by the first few


@dataclass(frozen=True, eq=False)
class GaborScore:
    """The best Gabor for each of N filters, and how often chance does as well.

    Attributes:
        r2: (N,) share of the spatial variance of the filter's main colour that the Gabor explains; NaN for a filter
            without spatial variation.
        p_value: (N,) of a sequential test: of the l-th surrogate, if it is the second that a Gabor fits at least as
            well as the filter, 2 / l; otherwise the share of the filter and its 39 surrogates, at least 1 / 40.
        chance: (N,) median R2 of the surrogates that were fitted.
        orientation_deg: (N,) direction across the stripes, anticlockwise from horizontal, in [0, 180).
        frequency: (N,) cycles per pixel, in (0, 0.5].
        sigma: (N, 2) width of the envelope across and along the stripes, pixels.
        centre: (N, 2) of the envelope, pixels from the left and from the top.
        colour_share: (N,) share of the filter's spatial variance that lies in its main colour.
    """

    r2: Floats
    p_value: Floats
    chance: Floats
    orientation_deg: Floats
    frequency: Floats
    sigma: Floats
    centre: Floats
    colour_share: Floats

    @property
    def is_gabor_like(self) -> np.ndarray:
        """(N,) whether a Gabor fits the filter better than it fits 95 % of its surrogates."""
        return self.p_value <= LEVEL

    @property
    def share(self) -> float:
        """Share of filters that are Gabor-like: 0.05 is chance."""
        return float(self.is_gabor_like.mean())

    def __float__(self) -> float:
        return self.share


def gabor_score(filters: Array) -> GaborScore:
    """How Gabor-like is each first-layer filter?

    Each filter is reduced to the spatial pattern of its main colour (first singular vector), to which a 2-D Gabor is
    fitted by least squares; the same is done to 39 surrogates of it, which have its amplitude spectrum and random
    phases. Gabor-like is what beats 95 % of its own. Hardly for filters of 3 x 3: a Gabor has as many parameters as
    they have pixels and explains 0.9 of anything (``chance``), so only half of even perfect Gabors stand out. Blobs are
    Gabors of low frequency, and count, as do half of all edges. A grating without an end within the picture is missed
    where its surrogates are gratings too. Noise smoothed over a seventh of the side passes at the stated 5 %, over a
    fifth, which makes blobs, at 7 to 18 %.

    Args:
        filters: (N, channels, height, width) or (N, height, width), such as a first convolution's weight.

    Returns:
        Fit and chance per filter; ``share`` is that of Gabor-like ones. Score ``after - before`` as well: what
        training added may be Gabor-like where what it started from was noise.

    Raises:
        InputError: for another shape, sides below 3, or values that are not finite.

    Examples:
        >>> y, x = np.mgrid[-3:4, -3:4]
        >>> stripes = np.exp(-(x**2 + y**2) / 8) * np.cos(2 * np.pi * 0.25 * x)
        >>> score = gabor_score(stripes[None])
        >>> bool(score.r2[0] > 0.999), round(float(score.frequency[0]), 2), bool(score.is_gabor_like[0])
        (True, 0.25, True)
    """
    patterns, colour_share = _main_colour(read_filters(filters))
    theta, r2 = fit(patterns)
    flat = ~torch.isfinite(r2)
    theta[flat] = math.nan  # of a flat filter any Gabor of amplitude 0 is the best
    p_value, chance = _against_surrogates(patterns, r2)
    x0, y0, turn, frequency, across, along = theta.numpy().T
    return GaborScore(
        r2=r2.numpy(),
        p_value=p_value.masked_fill(flat, math.nan).numpy(),
        chance=chance.masked_fill(flat, math.nan).numpy(),
        orientation_deg=np.degrees(-turn) % 180,
        frequency=frequency,
        sigma=np.stack([across, along], axis=1),
        centre=np.stack([x0, y0], axis=1),
        colour_share=colour_share.numpy(),
    )


def _main_colour(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Spatial pattern (N, height, width) of each filter's main colour, and its share of the spatial variance."""
    centred = (weights - weights.mean(dim=(2, 3), keepdim=True)).flatten(2)
    # What the rounding of the mean leaves of a flat filter is no pattern.
    flat = centred.norm(dim=(1, 2)) <= 1e-12 * weights.flatten(1).norm(dim=1)
    centred[flat] = 0
    _, sizes, patterns = torch.linalg.svd(centred, full_matrices=False)
    share = sizes[:, 0].square() / sizes.square().sum(dim=1)
    return (sizes[:, :1] * patterns[:, 0]).reshape(len(weights), *weights.shape[2:]), share


def _against_surrogates(patterns: Tensor, r2: Tensor) -> tuple[Tensor, Tensor]:
    """p-values (N,) and median R2 of the surrogates (N,), which are fitted until a filter is decided.

    Two surrogates that do as well make a p-value above 5 %, whatever the others do: what is Gabor-like is what it would
    be if all were fitted, at a quarter of the fits.

    Source: Besag and Clifford's sequential Monte Carlo p-values (1991).
    """
    drawn = surrogates(patterns)
    found = patterns.new_full((NUM_SURROGATES, len(patterns)), math.nan)
    start = 0
    for count in ROUNDS:
        open_ = torch.nonzero(r2.isfinite() & ((found >= r2).sum(dim=0) < 2)).flatten()
        if not len(open_):
            break
        batch = drawn[start : start + count, open_]
        found[start : start + count, open_] = fit(batch.flatten(0, 1))[1].reshape(count, -1)
        start += count
    as_good = (found >= r2).cumsum(dim=0)
    second = 1 + (as_good < 2).sum(dim=0)  # which surrogate was the second as good; 40 where none was
    p_value = torch.where(as_good[-1] < 2, 1 + as_good[-1], 2).double() / second
    return p_value, found.nanmedian(dim=0).values


def surrogates(patterns: Tensor) -> Tensor:
    """(surrogates, N, height, width): the amplitudes of each mirrored pattern with the phases of white noise.

    The noise of a pattern is its own, so that the share of a layer varies no more than chance has it.
    """
    height, width = patterns.shape[1:]
    mirrored = torch.cat([patterns, patterns.flip(1)], dim=1)
    mirrored = torch.cat([mirrored, mirrored.flip(2)], dim=2)
    noise = torch.randn(
        (NUM_SURROGATES, *mirrored.shape),
        # the same surrogates each time: a score is a property of its filters
        generator=torch.Generator().manual_seed(0),
        dtype=torch.float64,
        device="cpu",
    )
    phases = torch.fft.fft2(noise)  # of real noise, so that phases come in conjugate pairs and the surrogate is real
    drawn: Tensor = torch.fft.ifft2(torch.fft.fft2(mirrored).abs() * phases / phases.abs()).real
    return drawn[..., :height, :width]  # one of the four mirrored parts, as large as the filter
