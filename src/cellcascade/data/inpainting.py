"""Cells alone in their crops: neighbours are replaced by texture copied from the background nearby.

What is copied is shifted to the background level of the place it goes to, and close to the cell by the cell's blur.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

RIM = 4  # pixels around a cell that stay as they are, unless they belong to a neighbour
HALO = 10  # pixels around a cell into which its blur reaches
OFFSETS = 64  # places nearby from which texture may be copied


@dataclass(frozen=True)
class Section:
    """A plane of a frame, and what is known of its background.

    Attributes:
        image: Counts, (y, x).
        labels: The plane below, this plane and the plane above, as far as they exist, (k, y, x).
        own: Which of these planes is this one.
        foreign: Bright as a cell, without a label, (y, x).
        donors: Background that may be copied, (y, x).
        level: Smooth background, counts, (y, x).
        noise: Standard deviation of the background around its level, counts.
    """

    image: np.ndarray
    labels: np.ndarray
    own: int
    foreign: np.ndarray
    donors: np.ndarray
    level: np.ndarray
    noise: float


def clear_of(mask: np.ndarray) -> np.ndarray:
    """Pixels of planes (..., y, x) that are clear of the masked cells and of most of their blur."""
    return ndimage.maximum_filter(mask, 2 * RIM + 1, axes=(-2, -1)) == 0


def section_at(image: np.ndarray, labels: np.ndarray, depth: int, *, size: int) -> Section:
    """Find the background of a plane: where it is, its level and its noise.

    Args:
        image: The frame, counts, ([z,] y, x).
        labels: Its labels, ([z,] y, x).
        depth: The plane (z) to look at; 0 in 2D.
        size: Length of the crops' sides, pixels: how fine the level follows the frame.
    """
    volume = labels if labels.ndim == 3 else labels[None]
    plane = image[depth] if image.ndim == 3 else image
    near, own = volume[max(depth - 1, 0) : depth + 2], min(depth, 1)
    # the planes above and below count as well: their cells shine through
    labelled = near.any(0)
    donors = clear_of(labelled)
    if donors.mean() < 0.01:
        free = ~labelled if not labelled.all() else labelled
        donors = free & (plane <= np.percentile(plane[free], 20))
    middle = np.median(plane[donors])
    contrast = np.median(plane[near[own] > 0]) - middle
    smooth = ndimage.uniform_filter(plane.astype(np.float32), size // 32 + 1)
    foreign = (smooth - middle > 0.5 * max(contrast, 1)) & ~labelled
    cleared = donors & clear_of(foreign)
    donors = cleared if cleared.any() else donors
    level = _level(plane, donors, size)
    noise = float(np.std((plane - level)[donors]))
    return Section(plane, near, own, foreign, donors, level, noise)


def cut_alone(
    section: Section, origin: tuple[int, int], *, mask: np.ndarray, label: int, generator: np.random.Generator
) -> np.ndarray:
    """Cut one crop in which a cell is alone: background stands for its neighbours and for what is off the frame.

    Args:
        section: The plane.
        origin: The crop's first pixel (y, x); may lie outside the plane.
        mask: The cell in the crop, (y, x).
        label: The cell's label.
        generator: Source of randomness.

    Returns:
        Counts, uint16, (y, x), of the mask's shape.
    """
    size = mask.shape[0]
    grow = size // 32 + 1
    ys, xs = (first + np.arange(-grow, size + grow) for first in origin)
    height, width = section.image.shape
    inside = ((ys >= 0) & (ys < height))[:, None] & ((xs >= 0) & (xs < width))
    place = np.ix_(ys.clip(0, height - 1), xs.clip(0, width - 1))
    near = section.labels[:, place[0], place[1]] * inside
    others = (near > 0) & (near != label)
    soft = ndimage.maximum_filter(others.any(0) | (section.foreign[place] & inside), 2 * grow + 1)
    core = (slice(grow, -grow), slice(grow, -grow))
    distance = ndimage.distance_transform_edt(~mask)
    hole = ((soft[core] & (distance > RIM)) | ~inside[core]) & ~mask
    if others[section.own].any():
        # between two cells, each keeps its half
        hole |= (ndimage.distance_transform_edt(~others[section.own])[core] <= np.minimum(distance, grow)) & ~mask
    place = np.ix_(ys[grow:-grow].clip(0, height - 1), xs[grow:-grow].clip(0, width - 1))
    crop, level = section.image[place].astype(np.float32), section.level[place]
    if hole.any():
        halo = _halo(crop - level, distance, hole=hole, clear=~(hole | soft[core]))
        crop[hole] = _copied(section, hole, origin, level=level[hole], halo=halo[hole], generator=generator)
    return np.clip(crop, 0, np.iinfo(section.image.dtype).max).astype(np.uint16)


def _copied(
    section: Section,
    hole: np.ndarray,
    origin: tuple[int, int],
    *,
    level: np.ndarray,
    halo: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Counts (pixel,) for the holes (y, x) of a crop: background from nearby, with the `level` and the `halo` there."""
    y, x = np.nonzero(hole)
    source = _sources(section, y + origin[0], x + origin[1], level=level, reach=2 * len(hole), generator=generator)
    shift = level - section.level[source]
    # small differences of level are left, so that most pixels are true counts of the camera
    shift = np.sign(shift) * np.maximum(np.abs(shift) - 0.25 * section.noise, 0)
    shift += halo
    return np.floor(section.image[source] + shift + np.where(shift == 0, 0, generator.random(len(y))))


def _level(plane: np.ndarray, donors: np.ndarray, size: int) -> np.ndarray:
    """Smooth background (y, x) of a plane: local means of `donors`, from farther away where there are few."""
    block = max(1, size // 32)
    pad = [(0, -n % block) for n in plane.shape]
    weight = np.pad(donors, pad).astype(np.float32)
    total = np.pad(plane, pad) * weight
    grid = tuple(n // block for n in weight.shape)
    weight, total = (a.reshape(grid[0], block, grid[1], block).sum((1, 3)) for a in (weight, total))
    level = np.full(grid, total.sum() / weight.sum(), np.float32)
    for sigma in (16, 4):
        near, sums = (ndimage.gaussian_filter(a, sigma, mode="nearest") for a in (weight, total))
        few = 0.01 * block**2
        level = (sums + few * level) / (near + few)
    fine = ndimage.zoom(level, block, order=1, mode="nearest", grid_mode=True)
    return fine[: plane.shape[0], : plane.shape[1]]


def _sources(
    section: Section, y: np.ndarray, x: np.ndarray, *, level: np.ndarray, reach: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels to copy to the pixels (y, x): patches from few places nearby, single pixels where there is none."""
    donors = section.donors
    moves = generator.integers(-reach, reach + 1, (OFFSETS, 2))
    from_y, from_x = y + moves[:, :1], x + moves[:, 1:]
    inside = (from_y >= 0) & (from_y < donors.shape[0]) & (from_x >= 0) & (from_x < donors.shape[1])
    there = from_y.clip(0, donors.shape[0] - 1), from_x.clip(0, donors.shape[1] - 1)
    usable = inside & donors[there]
    # noise grows with the level: places of the same level first
    alike = usable & (np.abs(section.level[there] - level) < 0.5 * section.noise)
    source_y, source_x = np.unravel_index(generator.choice(np.flatnonzero(donors), len(y)), donors.shape)
    left = np.ones(len(y), bool)
    for choice in (alike, usable):
        while left.any():
            counts = choice[:, left].sum(1)
            best = int(counts.argmax())
            if counts[best] == 0:
                break
            take = left & choice[best]
            source_y[take], source_x[take] = from_y[best, take], from_x[best, take]
            left &= ~take
    return source_y, source_x


def _halo(excess: np.ndarray, distance: np.ndarray, *, hole: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """What a cell's blur adds to the background near it (y, x), by distance: measured where `clear`, for the holes."""
    halo = np.zeros(hole.shape, np.float32)
    for step in range(HALO):
        shell = (distance > step) & (distance <= step + 1)
        seen = shell & clear if (shell & clear).any() else shell & ~hole
        if (shell & hole).any() and seen.any():
            halo[shell] = max(0.0, float(excess[seen].mean()))
    return halo
