"""Natural-like pictures: dead leaves of eight kinds, to train a donor on when there is nothing to download.

Occluding shapes with power-law sizes give the edges and the scale invariance of photographs (Lee, Mumford and
Huang, "Occlusion models for natural images", 2001); a 1/f field lies under and on them. What the leaves are
(round or square, short or long, upright or turned), how they are marked and which colours they tend to make the
class. A third of the leaves are strays of any kind; size, place, contrast and light vary freely.
"""

from __future__ import annotations

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


class Leaves(NamedTuple):
    """Parameters of every leaf, each of shape (m, NUM_LEAVES)."""

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    angle: np.ndarray
    period: np.ndarray
    phase: np.ndarray
    look: np.ndarray  # (m, NUM_LEAVES, len(Look._fields))
    colour: np.ndarray  # (m, NUM_LEAVES, 3)


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
    canvas = np.repeat(field[..., None] * 0.16, 3, axis=-1) + (light[:, :1] + light[:, 1:])[:, None, None]
    for index in range(NUM_LEAVES):
        _paint(canvas, Leaves(*(values[:, index] for values in leaves)), field)
    grain = np.stack([rng.standard_normal((size, size, 1), np.float32) for rng in rngs])
    return np.rint(255 * np.clip(canvas + 0.02 * grain, 0, 1)).astype(np.uint8)


def pink_noise(white: np.ndarray) -> np.ndarray:
    """Shape white noise (m, size, size) to an amplitude of 1/f, unit variance and zero mean."""
    size = white.shape[-1]
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    frequency[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(white) / frequency, s=(size, size))
    return (field / field.std(axis=(1, 2), keepdims=True)).astype(np.float32)


def _draw_leaves(labels: np.ndarray, u: np.ndarray) -> Leaves:
    table = np.array(list(LOOKS.values()))
    strays = (u[..., 0] * len(table)).astype(int)
    look = table[np.where(u[..., 1] < STRAYS, strays, labels[:, None])]
    small, large = RADII
    # inverse of the distribution function of p(r) ~ r^-3, cut at both ends
    radius = (small**-2 - u[..., 2] * (small**-2 - large**-2)) ** -0.5
    order = np.argsort(-radius * (0.5 + u[..., 3]), axis=1)  # large ones tend to lie below, as in a photograph
    leaves = Leaves(
        x=2.2 * u[..., 4] - 1.1,
        y=2.2 * u[..., 5] - 1.1,
        radius=radius,
        angle=look[..., 2] + look[..., 3] * (u[..., 6] + u[..., 7] - 1),
        period=0.15 + 0.15 * u[..., 8],
        phase=2 * np.pi * u[..., 9],
        look=look,
        colour=_colours(look[..., 7], u[..., 10:14]),
    )
    return Leaves(*(np.take_along_axis(v, order.reshape(*order.shape, *[1] * (v.ndim - 2)), 1) for v in leaves))


def _colours(warmth: np.ndarray, u: np.ndarray) -> np.ndarray:
    spread = np.pi * (1 - 0.6 * np.abs(warmth))
    hue = np.where(warmth < 0, np.pi, 0.0) + spread * (2 * u[..., 0] - 1)
    chroma = 0.02 + 0.2 * u[..., 1] * u[..., 2]
    waves = np.stack([np.cos(hue), np.cos(hue - GOLDEN), np.cos(hue + GOLDEN)], axis=-1)
    return (0.1 + 0.75 * u[..., 3])[..., None] + chroma[..., None] * waves


def _paint(canvas: np.ndarray, leaf: Leaves, field: np.ndarray) -> None:
    """Lay one leaf per picture over the (m, size, size, 3) canvas, in place."""
    size = canvas.shape[1]
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y, radius, angle, period, phase = (v.astype(np.float32)[:, None, None] for v in leaf[:6])
    square, stretch, _, _, stripes, rings, dots, _ = leaf.look.T.astype(np.float32)[..., None, None]
    dx, dy = axis[None, None, :] - x, axis[None, :, None] - y
    along = np.cos(angle) * dx + np.sin(angle) * dy
    across = (np.cos(angle) * dy - np.sin(angle) * dx) * np.sqrt(stretch)
    u, v = np.abs(along) / np.sqrt(stretch), np.abs(across)
    round_ = np.sqrt(u * u + v * v)
    distance = round_ + square * (np.maximum(u, v) - round_)
    cover = np.clip((radius - distance) * size / 2 + 0.5, 0, 1)
    wave = 2 * np.pi / period
    lengthwise = np.sin(wave * along + phase)
    marking = stripes * lengthwise + dots * lengthwise * np.sin(wave * across + phase) + rings * np.sin(wave * distance)
    shade = 1 + 0.8 * marking - 0.25 * along / radius + 0.12 * field
    paint = leaf.colour.astype(np.float32)[:, None, None] * shade[..., None]
    canvas += cover[..., None] * (paint - canvas)
