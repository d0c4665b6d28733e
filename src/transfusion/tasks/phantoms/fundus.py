"""Fundus phantoms: drawn eyes with graded diabetic retinopathy, to try everything without a download.

A phantom has the parts that matter for the task: disc and cup, branching vessels, macula, uneven light, pigment,
a round field of view, blur and camera noise. Lesions grow in number and kind with the grade, after the
International Clinical Diabetic Retinopathy scale (Wilkinson et al. 2003): microaneurysms from grade 1 on,
haemorrhages, hard exudates and cotton-wool spots from 2 on, many from 3 on, new vessels at 4. The severity that
is drawn scatters about the grade, and drusen and dust lie on eyes of any grade, so no network can be perfect.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage, special

GRADES = ("0", "1", "2", "3", "4")
FIRST_REFERABLE = 2
PREVALENCE = (0.45, 0.1, 0.25, 0.1, 0.1)  # milder than EyePACS' (.73, .07, .15, .03, .02), for small data
SEVERITY_SCATTER = 0.4  # of a grade
BACKGROUND = np.array((0.72, 0.36, 0.17), np.float32)
NUM_TRUNKS, NUM_BRANCHES, NUM_STEPS = 6, 10, 60
STEP = 0.025


class Lesion(NamedTuple):
    """How one kind of lesion looks, and how many are expected at grades 0 to 4.

    Radii are standard deviations in units of half the picture's side; ``tint`` is added to red, green, blue.
    """

    expected: tuple[float, ...]
    most: int
    radius: tuple[float, float]
    tint: tuple[float, float, float]
    cluster: int = 1


LESIONS = {
    "microaneurysm": Lesion((0.3, 4, 8, 12, 12), 24, (0.012, 0.018), (-0.22, -0.18, -0.08)),
    "haemorrhage": Lesion((0.1, 0.3, 3, 8, 10), 18, (0.025, 0.06), (-0.30, -0.22, -0.10)),
    "exudate": Lesion((0.05, 0.1, 1.5, 3, 4), 7, (0.012, 0.025), (0.24, 0.34, 0.12), cluster=8),
    "cotton wool": Lesion((0.03, 0.05, 0.4, 2, 2), 5, (0.05, 0.09), (0.20, 0.26, 0.22)),
    "drusen": Lesion((1.5,) * 5, 6, (0.012, 0.03), (0.10, 0.13, 0.04), cluster=2),
    "dust": Lesion((0.8,) * 5, 4, (0.012, 0.03), (-0.16, -0.14, -0.12)),
}
NEW_VESSELS = (0.0, 0.0, 0.02, 0.1, 1.6)


class Marks(NamedTuple):
    """Soft round marks: picture, centre, radius and strength of each, all (k,)."""

    picture: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    strength: np.ndarray


def render(labels: np.ndarray, rows: np.ndarray, size: int) -> np.ndarray:
    """Draw phantoms.

    Args:
        labels: (m,) grades.
        rows: (m, k) integers; each row seeds its picture.
        size: side in pixels.

    Returns:
        uint8 (m, size, size, 3).
    """
    rngs = [np.random.default_rng(row) for row in rows]  # one per eye: a picture does not depend on its batch
    severity = np.clip([grade + rng.normal(0, SEVERITY_SCATTER) for grade, rng in zip(labels, rngs, strict=True)], 0, 4)
    disc = np.stack([(rng.choice((-1, 1)) * rng.normal(0.5, 0.04), rng.normal(0, 0.06)) for rng in rngs]).astype(
        np.float32
    )
    eyes = _background(rngs, size) + _macula(disc, size)
    eyes -= _vessels(rngs, disc, severity, size)[..., None] * np.array((0.26, 0.24, 0.08), np.float32)
    eyes += _disc(disc, size)
    for lesion in LESIONS.values():
        marks = _place(lesion, severity, disc, rngs)
        eyes += splat(marks, len(rows), size)[..., None] * np.array(lesion.tint, np.float32)
    return _photograph(eyes, rngs, size)


def splat(marks: Marks, num_pictures: int, size: int) -> np.ndarray:
    """Draw marks with Gaussian profile onto empty planes; where marks meet, the stronger one shows.

    Returns:
        float32 (num_pictures, size, size).
    """
    planes = np.zeros((num_pictures, size + 2, size + 2), np.float32)  # a rim catches what lies outside
    if not len(marks.x):
        return planes[:, 1:-1, 1:-1]
    column, row = (marks.x + 1) * size / 2 - 0.5, (marks.y + 1) * size / 2 - 0.5
    spread = np.maximum(marks.radius * size / 2, 0.45)  # in pixels; smaller ones would fall between pixels
    reach = int(np.ceil(2.5 * spread.max()))
    offsets = np.arange(-reach, reach + 1)
    columns = np.rint(column).astype(int)[:, None] + offsets
    rows = np.rint(row).astype(int)[:, None] + offsets
    across = np.exp(-(((columns - column[:, None]) / spread[:, None]) ** 2) / 2)
    down = np.exp(-(((rows - row[:, None]) / spread[:, None]) ** 2) / 2) * marks.strength[:, None]
    line = marks.picture[:, None] * (size + 2) + np.clip(rows + 1, 0, size + 1)
    place = line[:, :, None] * (size + 2) + np.clip(columns + 1, 0, size + 1)[:, None, :]
    strength = (down[:, :, None] * across[:, None, :]).astype(np.float32)
    np.maximum.at(planes.reshape(-1), place.ravel(), strength.ravel())  # flat indices take NumPy's fast path
    return planes[:, 1:-1, 1:-1]


def _axes(size: int) -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(size, dtype=np.float32) + 0.5) * 2 / size - 1
    return axis[None, None, :], axis[None, :, None]


def _background(rngs: list[np.random.Generator], size: int) -> np.ndarray:
    """Pigment and texture of the retina: (m, size, size, 3)."""
    pigment = np.stack([rng.normal(1, (0.08, 0.14, 0.2)) for rng in rngs]).astype(np.float32) * BACKGROUND
    coarse = np.stack([rng.standard_normal((9, 9), np.float32) for rng in rngs])
    texture = ndimage.zoom(coarse, (1, size / 9, size / 9), order=1, grid_mode=True, mode="nearest")
    retina: np.ndarray = pigment[:, None, None] * (1 + 0.05 * texture[..., None])
    return retina


def _macula(disc: np.ndarray, size: int) -> np.ndarray:
    x, y = _axes(size)
    centre_x = disc[:, :1, None] - np.sign(disc[:, :1, None]) * 0.62
    distance = (x - centre_x) ** 2 + (y - disc[:, 1:, None] - 0.05) ** 2
    depth = np.exp(-distance / (2 * 0.13**2))
    tint: np.ndarray = depth[..., None] * np.array((-0.14, -0.11, -0.06), np.float32)
    return tint.astype(np.float32)


def _disc(disc: np.ndarray, size: int) -> np.ndarray:
    x, y = _axes(size)
    distance = np.hypot((x - disc[:, :1, None]) * 1.1, y - disc[:, 1:, None])
    rim = special.expit((0.15 - distance) * 45)
    cup = special.expit((0.07 - distance) * 50)
    tint: np.ndarray = rim[..., None] * np.array((0.20, 0.30, 0.20)) + cup[..., None] * np.array((0.05, 0.14, 0.14))
    return tint.astype(np.float32)


def _vessels(rngs: list[np.random.Generator], disc: np.ndarray, severity: np.ndarray, size: int) -> np.ndarray:
    """Trunks leave the disc up and down and bend around the macula; branches leave the trunks."""
    expected = np.interp(severity, range(len(NEW_VESSELS)), NEW_VESSELS)
    tubes = [_tubes(*eye) for eye in zip(rngs, disc, expected, strict=True)]
    picture = np.repeat(np.arange(len(tubes)), [len(tube) for tube in tubes])
    x, y, radius = np.concatenate(tubes).T
    marks = Marks(picture, x, y, radius, np.clip(radius / 0.016, 0.35, 1))
    return splat(marks, len(tubes), size)


def _tubes(rng: np.random.Generator, disc: np.ndarray, num_new: float) -> np.ndarray:
    """Points along all vessels of one eye: (k, 3) of x, y, radius."""
    side = -np.sign(disc[0])  # towards the macula
    up = np.array((1, 1, 1, -1, -1, -1)[:NUM_TRUNKS])
    lean = np.array((0.5, 0.15, -0.7, 0.5, 0.15, -0.7)) + rng.normal(0, 0.12, NUM_TRUNKS)
    heading = np.arctan2(up, side * lean)
    bend = np.array((-0.032, -0.016, 0.01) * 2) * up * side + rng.normal(0, 0.005, NUM_TRUNKS)
    width = rng.uniform(0.011, 0.02, NUM_TRUNKS)
    trunks = _walk(rng, np.tile(disc, (NUM_TRUNKS, 1)), heading, bend, width)
    parent, step = rng.integers(NUM_TRUNKS, size=NUM_BRANCHES), rng.integers(8, 40, NUM_BRANCHES)
    turn = rng.choice((-1, 1), NUM_BRANCHES) * rng.uniform(0.4, 0.9, NUM_BRANCHES)
    start = trunks[parent, step]
    forward = trunks[parent, step + 1, :2] - start[:, :2]
    branches = _walk(
        rng, start[:, :2], np.arctan2(*forward.T[::-1]) + turn, rng.normal(0, 0.02, NUM_BRANCHES), 0.65 * start[:, 2]
    )
    return np.concatenate([trunks.reshape(-1, 3), branches.reshape(-1, 3), _tuft(rng, disc, num_new)])


def _walk(
    rng: np.random.Generator, start: np.ndarray, heading: np.ndarray, bend: np.ndarray, width: np.ndarray
) -> np.ndarray:
    """Follow vessels that bend, wander and taper: (vessels, NUM_STEPS, 3)."""
    wander = rng.normal(0, 0.07, (len(start), NUM_STEPS))
    course = heading[:, None] + np.cumsum(bend[:, None] + wander, axis=1)
    ahead = np.cumsum(np.stack([np.cos(course), np.sin(course)], axis=-1) * STEP, axis=1)
    taper = width[:, None] * np.linspace(1, 0.4, NUM_STEPS)
    return np.concatenate([start[:, None] + ahead, taper[..., None]], axis=-1)


def _tuft(rng: np.random.Generator, disc: np.ndarray, num_new: float) -> np.ndarray:
    """New vessels: fine, tightly wound, near the disc or the arcades."""
    count = min(int(rng.poisson(num_new)), 4)
    centre = disc + rng.normal(0, 0.25, (count, 2))
    course = np.cumsum(rng.normal(0.15, 0.7, (count * 5, 40)), axis=1)
    ahead = np.cumsum(np.stack([np.cos(course), np.sin(course)], axis=-1) * 0.02, axis=1)
    points = (np.repeat(centre, 5, axis=0)[:, None] + ahead).reshape(-1, 2)
    return np.concatenate([points, np.full((len(points), 1), 0.009)], axis=1)


def _place(lesion: Lesion, severity: np.ndarray, disc: np.ndarray, rngs: list[np.random.Generator]) -> Marks:
    """Scatter one kind of lesion over the eyes, clear of the disc."""
    found = []
    expected = np.interp(severity, range(len(lesion.expected)), lesion.expected)
    for picture, rng in enumerate(rngs):
        count = min(int(rng.poisson(expected[picture])), lesion.most)
        # always `most` draws: a severity that differs by little changes few lesions, not all
        u = rng.random((lesion.most, 2))[:count]
        reach, turn = 0.82 * np.sqrt(u[:, 0]), 2 * np.pi * u[:, 1]
        centre = np.stack([reach * np.cos(turn), reach * np.sin(turn)], axis=1)
        centre = centre[np.hypot(*(centre - disc[picture]).T) > 0.22]  # a lesion on the bright disc would not be seen
        points = np.repeat(centre, lesion.cluster, axis=0)
        points = points + (rng.normal(0, 0.05, points.shape) if lesion.cluster > 1 else 0)
        sizes = rng.uniform(*lesion.radius, len(points))
        found.append(np.column_stack([np.full(len(points), picture), points, sizes, rng.uniform(0.6, 1, len(points))]))
    picture, x, y, radius, strength = np.concatenate(found).T
    return Marks(picture.astype(int), x, y, radius, strength)


def _photograph(eyes: np.ndarray, rngs: list[np.random.Generator], size: int) -> np.ndarray:
    """Light, field of view, blur and noise of the camera: uint8."""
    x, y = _axes(size)
    tilt = np.stack([rng.normal(0, (0.12, 0.12, 0.1, 0.02, 0.02)) for rng in rngs])[..., None, None].astype(np.float32)
    light = 1 + tilt[:, 2] + tilt[:, 0] * x + tilt[:, 1] * y - 0.22 * (x * x + y * y)
    field = np.clip((0.95 - np.hypot(x - tilt[:, 3], y - tilt[:, 4])) * size / 2, 0, 1)
    # optics, before noise
    shown = ndimage.gaussian_filter(eyes * (light * field)[..., None], (0, size / 200, size / 200, 0))
    noise = np.stack([rng.standard_normal((size, size, 3), np.float32) for rng in rngs])
    photograph: np.ndarray = np.rint(255 * np.clip(shown + 0.02 * noise * field[..., None], 0, 1))
    return photograph.astype(np.uint8)
