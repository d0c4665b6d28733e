"""Natural-like pictures: dead leaves of eight kinds, to train a donor on when there is nothing to download.

Occluding shapes with power-law sizes give the edges and the scale invariance of photographs (Lee, Mumford and
Huang, "Occlusion models for natural images", 2001); a 1/f field lies under and on them. What the leaves are
(round or square, short or long, upright or turned), how they are marked and which colours they tend to make the
class. A third of the leaves are strays of any kind; size, place, contrast and light vary freely.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

NUM_LEAVES = 20
STRAYS = 0.35
RADII = (0.1, 0.6)  # of half the picture's side
GOLDEN = 2 * np.pi / 3


class Look(NamedTuple):
    """What makes a class: all numbers, so that strays can borrow them leaf by leaf."""

    square: float  # 0 round, 1 square
    stretch: float  # long side by short side
    tilt: float  # mean orientation in radians
    turn: float  # spread of the orientation
    stripes: float  # contrast of markings along the leaf
    rings: float  # contrast of markings around the middle
    dots: float  # contrast of markings both ways
    warmth: float  # hue: 1 red, -1 blue, 0 any


LOOKS = {
    "pebbles": Look(0, 1.2, 0.0, 3.0, 0.0, 0.0, 0.0, 0.6),
    "blocks": Look(1, 1.2, 0.0, 0.1, 0.0, 0.0, 0.0, -0.6),
    "reeds": Look(0, 4.0, 1.5, 0.2, 0.0, 0.0, 0.0, 0.0),
    "planks": Look(1, 4.0, 0.0, 0.2, 0.4, 0.0, 0.0, 0.6),
    "zebras": Look(0, 1.5, 0.8, 0.4, 0.5, 0.0, 0.0, -0.6),
    "targets": Look(0, 1.2, 0.0, 3.0, 0.0, 0.5, 0.0, 0.0),
    "ladybirds": Look(0, 1.2, 0.0, 3.0, 0.0, 0.0, 0.6, 0.6),
    "tiles": Look(1, 1.2, 0.8, 0.1, 0.0, 0.0, 0.5, -0.6),
}
CLASSES = tuple(LOOKS)
PREVALENCE = (1 / len(CLASSES),) * len(CLASSES)


class Leaf(NamedTuple):
    """One leaf, or, in ``_draw_leaves``, an array of each parameter over pictures and leaves."""

    x: float
    y: float
    radius: float
    angle: float
    period: float
    phase: float
    look: Sequence[float]
    colour: Sequence[float]


def render(labels: np.ndarray, rows: np.ndarray, size: int) -> np.ndarray:
    """Draw pictures.

    Args:
        labels: (m,) indices into ``CLASSES``.
        rows: (m, k) integers; each row seeds its picture.
        size: side in pixels.

    Returns:
        uint8 (m, size, size, 3).
    """
    rngs = [np.random.default_rng(row) for row in rows]
    leaves = _draw_leaves(labels, np.stack([rng.random((NUM_LEAVES, 14)) for rng in rngs]))
    field = pink_noise(np.stack([rng.standard_normal((size, size), np.float32) for rng in rngs]))
    light = np.stack([rng.normal((0.45, 0.0, 0.0, 0.0), (0.1, 0.06, 0.06, 0.06)) for rng in rngs])
    canvas = 0.16 * field[..., None] + (light[:, :1] + light[:, 1:])[:, None, None].astype(np.float32)
    axis = (np.arange(size, dtype=np.float32) + 0.5) * 2 / size - 1
    for picture, ground, own in zip(canvas, field, zip(*(v.tolist() for v in leaves), strict=True), strict=True):
        for parameters in zip(*own, strict=True):
            _paint(picture, Leaf(*parameters), ground, axis)
    grain = np.stack([rng.standard_normal((size, size, 1), np.float32) for rng in rngs])
    shown: np.ndarray = np.rint(255 * np.clip(canvas + 0.02 * grain, 0, 1)).astype(np.uint8)
    return shown


def pink_noise(white: np.ndarray) -> np.ndarray:
    """Shape white noise (m, size, size) to an amplitude of 1/f, unit variance and zero mean."""
    size = white.shape[-1]
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    frequency[0, 0] = np.inf  # no mean
    field: np.ndarray = np.fft.irfft2(np.fft.rfft2(white) / frequency, s=(size, size))
    field /= field.std(axis=(1, 2), keepdims=True)
    return field.astype(np.float32)


def _draw_leaves(labels: np.ndarray, u: np.ndarray) -> list[np.ndarray]:
    table = np.array(list(LOOKS.values()))
    strays = (u[..., 0] * len(table)).astype(int)
    look = table[np.where(u[..., 1] < STRAYS, strays, labels[:, None])]
    small, large = RADII
    # inverse of the distribution function of p(r) ~ r^-3, cut at both ends
    radius = (small**-2 - u[..., 2] * (small**-2 - large**-2)) ** -0.5
    order = np.argsort(-radius * (0.5 + u[..., 3]), axis=1)  # large ones tend to lie below, as in a photograph
    leaves = (
        2.2 * u[..., 4] - 1.1,
        2.2 * u[..., 5] - 1.1,
        radius,
        look[..., 2] + look[..., 3] * (u[..., 6] + u[..., 7] - 1),
        0.15 + 0.15 * u[..., 8],
        2 * np.pi * u[..., 9],
        look,
        _colours(look[..., 7], u[..., 10:14]),
    )
    return [np.take_along_axis(v, order.reshape(*order.shape, *[1] * (v.ndim - 2)), 1) for v in leaves]


def _colours(warmth: np.ndarray, u: np.ndarray) -> np.ndarray:
    spread = np.pi * (1 - 0.6 * np.abs(warmth))
    hue = np.where(warmth < 0, np.pi, 0.0) + spread * (2 * u[..., 0] - 1)
    chroma = 0.02 + 0.2 * u[..., 1] * u[..., 2]
    waves = np.stack([np.cos(hue), np.cos(hue - GOLDEN), np.cos(hue + GOLDEN)], axis=-1)
    colours: np.ndarray = (0.1 + 0.75 * u[..., 3])[..., None] + chroma[..., None] * waves
    return colours


def _paint(canvas: np.ndarray, leaf: Leaf, field: np.ndarray, axis: np.ndarray) -> None:
    """Lay a leaf over the (size, size, 3) canvas, in place, within the square that it can reach."""
    square, stretch, _, _, stripes, rings, dots, _ = leaf.look
    length = math.sqrt(stretch)
    reach = leaf.radius * length * (1 + 0.42 * square) + 2 / len(axis)  # a square reaches furthest at its corners
    left, right = np.searchsorted(axis, (leaf.x - reach, leaf.x + reach))
    top, bottom = np.searchsorted(axis, (leaf.y - reach, leaf.y + reach))
    dx, dy = axis[left:right] - leaf.x, axis[top:bottom, None] - leaf.y
    along = math.cos(leaf.angle) * dx + math.sin(leaf.angle) * dy
    across = math.cos(leaf.angle) * dy - math.sin(leaf.angle) * dx
    u, v = np.abs(along) / length, np.abs(across) * length
    distance = np.maximum(u, v) if square else np.sqrt(u * u + v * v)
    cover = np.clip((leaf.radius - distance) * len(axis) / 2 + 0.5, 0, 1)
    wave = 2 * math.pi / leaf.period
    shade = 1 - 0.25 * along / leaf.radius + 0.12 * field[top:bottom, left:right]
    if stripes or dots:
        shade += 0.8 * (stripes + dots * np.sin(wave * across + leaf.phase)) * np.sin(wave * along + leaf.phase)
    if rings:
        shade += 0.8 * rings * np.sin(wave * distance)
    here = canvas[top:bottom, left:right]
    here += cover[..., None] * (shade[..., None] * np.array(leaf.colour, np.float32) - here)
