"""Cells alone in their crops: neighbours are replaced by texture copied from the background nearby.

What is copied is shifted to the background level of the place it goes to, and close to the cell by the cell's blur.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

RIM = 4  # pixels around a cell that stay as they are, unless they belong to a neighbour
HALO = 10  # pixels around a cell into which its blur reaches
OFFSETS = 64  # places nearby from which texture may be copied


@dataclass(frozen=True)
class Section:
    """A plane of a frame, and what is known of its background.

    Its planes reach `pad` pixels beyond the frame on every side, so that a crop or a place to copy from that sticks out
    is a plain part of them: there the counts and the level go on as at the border, and nothing is labelled or copied.

    Attributes:
        pad: Pixels beyond the frame, the length of the crops' sides.
        image: Counts, (y, x).
        labels: The plane below, this plane and the plane above, as far as they exist, (k, y, x).
        own: Which of these planes is this one.
        foreign: Bright as a cell, without a label, (y, x).
        beyond: What lies beyond the frame, (y, x).
        level: Smooth background, counts, (y, x).
        donors: The level where the background may be copied, infinite elsewhere, (y, x).
        places: Where it may be copied, as indices into the flattened planes, ascending.
        noise: Standard deviation of the background around its level, counts.
    """

    pad: int
    image: np.ndarray
    labels: np.ndarray
    own: int
    foreign: np.ndarray
    beyond: np.ndarray
    level: np.ndarray
    donors: np.ndarray
    places: np.ndarray
    noise: float


def clear_of(mask: np.ndarray) -> np.ndarray:
    """Pixels of planes (..., y, x) that are clear of the masked cells and of most of their blur."""
    around = [(0, 0)] * (mask.ndim - 2) + [(RIM, RIM)] * 2
    return ~_spread(np.pad(mask > 0, around), RIM)


def section_at(
    image: np.ndarray, labels: np.ndarray, depth: int, *, size: int, ignored: np.ndarray | None = None
) -> Section:
    """Find the background of a plane: where it is, its level and its noise.

    Args:
        image: The frame, counts, ([z,] y, x).
        labels: Its labels, ([z,] y, x).
        depth: The plane (z) to look at; 0 in 2D.
        size: Length of the crops' sides, pixels: how fine the level follows the frame.
        ignored: Where nobody annotated, bool, of the labels' shape: no background, whatever is there.
    """
    volume = labels if labels.ndim == 3 else labels[None]
    plane = image[depth] if image.ndim == 3 else image
    near, own = volume[max(depth - 1, 0) : depth + 2], min(depth, 1)
    # the planes above and below count as well: their cells shine through
    labelled, unknown = near.any(0), _planes_near(ignored, depth)
    labelled |= unknown
    donors = clear_of(labelled)
    if donors.mean() < 0.01:
        free = ~labelled if not labelled.all() else labelled
        donors = free & (plane <= np.percentile(plane[free], 20))
    middle = np.median(plane[donors])
    contrast = np.median(plane[near[own] > 0]) - middle
    smooth = ndimage.uniform_filter(plane.astype(np.float32), size // 32 + 1)
    foreign = (smooth - middle > 0.5 * max(contrast, 1)) & ~labelled | unknown
    cleared = donors & clear_of(foreign)
    donors = cleared if cleared.any() else donors
    level = _level(plane, donors, size)
    noise = float(np.std((plane - level)[donors]))
    source = np.pad(np.where(donors, level, np.float32(np.inf)), size, constant_values=np.inf)
    return Section(
        pad=size,
        image=np.pad(plane, size, mode="edge"),
        labels=np.pad(near, [(0, 0), (size, size), (size, size)]),
        own=own,
        foreign=np.pad(foreign, size),
        beyond=np.pad(np.zeros(plane.shape, bool), size, constant_values=True),
        level=np.pad(level, size, mode="edge"),
        donors=source,
        places=np.flatnonzero(np.isfinite(source)),
        noise=noise,
    )


def _planes_near(ignored: np.ndarray | None, depth: int) -> np.ndarray | np.bool_:
    """Where nobody annotated a plane, or those above and below it, (y, x)."""
    if ignored is None:
        return np.bool_(False)
    volume = ignored if ignored.ndim == 3 else ignored[None]
    return volume[max(depth - 1, 0) : depth + 2].any(0)


def cut_alone(
    section: Section, origin: tuple[int, int], *, mask: np.ndarray, label: int, generator: np.random.Generator
) -> np.ndarray:
    """Cut one crop in which a cell is alone: background stands for its neighbours and for what is off the frame.

    Args:
        section: The plane, with crops of the mask's size.
        origin: The crop's first pixel (y, x); may lie outside the plane.
        mask: The cell in the crop, (y, x).
        label: The cell's label.
        generator: Source of randomness.

    Returns:
        Counts, uint16, (y, x), of the mask's shape.
    """
    size = mask.shape[0]
    grow = size // 32 + 1
    corner = origin[0] + section.pad, origin[1] + section.pad
    wide = _square(corner, size, grow)
    near = section.labels[(slice(None), *wide)]
    others = (near > 0) & (near != label)
    soft = _spread(others.any(0) | section.foreign[wide], grow)
    place = _square(corner, size)
    hole = soft | section.beyond[place]
    box = _around(mask, HALO + 1)
    inside = mask[box]
    distance = ndimage.distance_transform_edt(~inside)
    hole[box] = (soft[box] & (distance > RIM)) | section.beyond[place][box]
    rivals = others[section.own][tuple(slice(part.start, part.stop + 2 * grow) for part in box)]
    if rivals.any():
        # between two cells, each keeps its half
        apart = ndimage.distance_transform_edt(~rivals)[grow:-grow, grow:-grow]
        hole[box] |= apart <= np.minimum(distance, grow)
    hole[box] &= ~inside
    crop, level = section.image[place].astype(np.float32), section.level[place]
    if hole.any():
        halo = np.zeros(mask.shape, np.float32)
        clear = ~(hole[box] | soft[box])
        halo[box] = _halo(crop[box] - level[box], distance, hole=hole[box], clear=clear)
        crop[hole] = _copied(section, hole, corner, halo=halo[hole], generator=generator)
    return np.clip(crop, 0, np.iinfo(section.image.dtype).max).astype(np.uint16)


def _square(corner: tuple[int, int], size: int, grow: int = 0) -> tuple[slice, slice]:
    """The square of `size` pixels at a corner, grown on every side."""
    y, x = corner
    return slice(y - grow, y + size + grow), slice(x - grow, x + size + grow)


def _around(mask: np.ndarray, reach: int) -> tuple[slice, slice]:
    """The box around a mask (y, x), grown by `reach` as far as there are pixels."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return (
        slice(max(int(rows[0]) - reach, 0), min(int(rows[-1]) + 1 + reach, mask.shape[0])),
        slice(max(int(columns[0]) - reach, 0), min(int(columns[-1]) + 1 + reach, mask.shape[1])),
    )


def _spread(mask: np.ndarray, reach: int) -> np.ndarray:
    """Whether a mask (..., y, x) has a pixel in the square of `reach` about each pixel that is as far from the edge."""
    for _ in range(2):
        width = 1
        while width < 2 * reach + 1:
            step = min(width, 2 * reach + 1 - width)
            mask = mask[..., step:, :] | mask[..., :-step, :]
            width += step
        mask = mask.swapaxes(-1, -2)
    return mask


def _copied(
    section: Section,
    hole: np.ndarray,
    corner: tuple[int, int],
    *,
    halo: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Counts (pixel,) for the holes (y, x) of a crop: background from nearby, with the level and the `halo` there."""
    level = section.level[_square(corner, len(hole))]
    source = _sources(section, hole, corner, level=level, generator=generator)
    shift = level[hole] - section.level.take(source)
    # small differences of level are left, so that most pixels are true counts of the camera
    shift = np.sign(shift) * np.maximum(np.abs(shift) - 0.25 * section.noise, 0)
    shift += halo
    return np.floor(section.image.take(source) + shift + np.where(shift == 0, 0, generator.random(len(shift))))


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
    section: Section, hole: np.ndarray, corner: tuple[int, int], *, level: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Which pixels to copy to the holes (y, x) of a crop, as indices into the section's flattened planes.

    Patches from few places nearby, each time the one that fills most; single pixels from anywhere where there is none.
    """
    size = len(hole)
    moves = generator.integers(-2 * size, 2 * size + 1, (OFFSETS, 2))
    source = generator.choice(section.places, np.count_nonzero(hole))
    # a place that lies beyond the frame altogether is as good as one at its very edge: nothing can be copied from it
    starts = np.clip(corner + moves, 0, np.array(section.level.shape) - size)
    squares = [section.donors[_square((y, x), size)] for y, x in starts.tolist()]
    chosen, left = np.full(size**2, -1, np.int16), _packed(hole[None])[0]
    # noise grows with the level: places of the same level first
    for farthest in (0.5 * section.noise, np.inf):
        if left.any():
            left = _choose(_alike(squares, level, farthest), left, chosen)
    y, x = np.nonzero(hole)
    taken, width = chosen[hole.ravel()], section.level.shape[1]
    there = starts[taken] @ (width, 1) + y * width + x
    return np.where(taken >= 0, there, source)


def _alike(squares: Sequence[np.ndarray], level: np.ndarray, farthest: float) -> np.ndarray:
    """Where donors (y, x) differ from a level (y, x) by less than `farthest`, packed, (square, word)."""
    alike, difference = np.empty((len(squares), *level.shape), bool), np.empty_like(level)
    for square, result in zip(squares, alike):
        np.abs(np.subtract(square, level, out=difference), out=difference)
        np.less(difference, farthest, out=result)
    return _packed(alike)


def _packed(masks: np.ndarray) -> np.ndarray:
    """Masks (n, y, x) as bits in whole words, (n, word)."""
    flat = np.packbits(masks.reshape(len(masks), -1), axis=1)
    return np.pad(flat, [(0, 0), (0, -flat.shape[1] % 8)]).view(np.uint64)


def _choose(choices: np.ndarray, left: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Give pixels that are left the choice that fits most of them, over and over.

    Args:
        choices: Which pixels each choice fits, packed, (choice, word).
        left: Pixels without a choice, packed, (word,).
        chosen: The choice of each pixel, filled in here, (pixel,).

    Returns:
        The pixels that none fits, packed.
    """
    while left.any():
        fits = choices & left
        counts = np.bitwise_count(fits).sum(1, dtype=np.int32)
        best = int(counts.argmax())
        if counts[best] == 0:
            break
        chosen[np.unpackbits(fits[best].view(np.uint8), count=len(chosen)).view(bool)] = best
        left = left & ~fits[best]
    return left


def _halo(excess: np.ndarray, distance: np.ndarray, *, hole: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """What a cell's blur adds to the background near it (y, x), by distance: measured where `clear`, for the holes."""
    halo = np.zeros(hole.shape, np.float32)
    for step in range(HALO):
        shell = (distance > step) & (distance <= step + 1)
        seen = shell & clear if (shell & clear).any() else shell & ~hole
        if (shell & hole).any() and seen.any():
            halo[shell] = max(0.0, float(excess[seen].mean()))
    return halo
