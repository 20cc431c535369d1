"""Where cells lie: the canvas with the cells placed so far, and the search for a position that is free.

Masks are tested as they are, not by their bounding boxes: two cells may interlock, but never overlap. Everything is in
z, y, x; a 2D canvas is a stack of one slice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from cellcascade.population.cell_library import Cell, CellLibrary, Corner, distance_to, turned

PROBES = 24  # voxels of a cell
BATCH = 250  # random positions looked up at once
NEAR_STEP = 2.0  # pixels between the positions tried when a cell is moved away from an earlier one


@dataclass(frozen=True)
class Rules:
    """How far apart cells are put.

    Attributes:
        clustering: Probability that a cell is put near earlier ones.
        reach: How near, pixels.
        gap: Least background between two cells, pixels.
        tries: Random positions tried for a cell.
    """

    clustering: float
    reach: int
    gap: int
    tries: int


@dataclass(frozen=True)
class Placement:
    """A cell on a canvas.

    Attributes:
        cell: The cell as placed, turned and flipped.
        corner: Position of its first voxel (z, y, x); may lie outside the canvas.
        label: Its label.
        clustered: Whether it was put near earlier cells.
        turn: Quarter turns, flips: what was done to the source cell.
    """

    cell: Cell
    corner: Corner
    label: int
    clustered: bool
    turn: str


@dataclass(frozen=True)
class Body:
    """A cell as a place is sought for it.

    Attributes:
        mask: The cell in its bounding box, (z, y, x).
        probes: A few of its voxels, which are looked up before a position is tested exactly, (probe, axis).
    """

    mask: np.ndarray
    probes: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray) -> "Body":
        """The body of a mask in its bounding box."""
        voxels = np.argwhere(mask)
        return cls(mask, voxels[np.linspace(0, len(voxels) - 1, PROBES).astype(int)])


class Canvas:
    """Labels of an image in the making, and how far each voxel is from the nearest cell.

    Args:
        shape: (z, y, x).
        spacing: Voxel size in pixels of y and x, (z, y, x).
        gap: Least background between two cells, pixels.
        reach: Farthest distance that is kept track of, pixels.
        cut: By axis, whether the border may cut cells; else they lie within.
    """

    def __init__(
        self,
        shape: Corner,
        *,
        spacing: tuple[float, float, float],
        gap: int,
        reach: float,
        cut: tuple[bool, bool, bool] = (True, True, True),
    ):
        self.shape, self.spacing, self.reach, self.cut = shape, spacing, reach, cut
        self.gap = (round(gap / spacing[0]) or int(gap > 0), gap, gap) if shape[0] > 1 else (0, gap, gap)
        self.labels = np.zeros(shape, np.int32)
        self.blocked = np.zeros(shape, bool)
        self.owner = np.zeros(shape, np.int32)
        self.distance = np.full(shape, np.inf, np.float32)

    def fits(self, mask: np.ndarray, corner: Corner) -> bool:
        """Whether the mask's part within the canvas is not empty and meets no cell, nor the gap around one."""
        here, cut = overlap(corner, mask.shape, self.shape)
        visible = mask[cut]
        return bool(visible.any()) and not bool((self.blocked[here] & visible).any())

    def corners(self, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """First corner (z, y, x) at which something of a mask of a shape may be seen, and the one after the last.

        Along axes whose border cuts no cells, the whole cell lies within, and a pixel off the border.
        """
        cut, size, whole = np.array(self.cut), np.array(shape), np.array(self.shape)
        return np.where(cut, 1 - size, 1), np.where(cut, whole, whole - size)

    def separation(self, mask: np.ndarray, corner: Corner) -> float:
        """Distance from a mask to the nearest cell, pixels; infinite beyond the canvas' reach."""
        here, cut = overlap(corner, mask.shape, self.shape)
        return float(self.distance[here][mask[cut]].min())

    def add(self, mask: np.ndarray, corner: Corner, label: int) -> None:
        """Put a cell on the canvas, at a corner where it fits."""
        pad = [int(np.ceil(self.reach / size)) for size in self.spacing]
        pad[0] = pad[0] if self.shape[0] > 1 else 0
        near = np.pad(mask, [(n, n) for n in pad])
        here, cut = overlap(tuple(c - n for c, n in zip(corner, pad)), near.shape, self.shape)
        distance = distance_to(near, self.spacing)[cut]
        closer = (distance < self.distance[here]) & (distance <= self.reach)
        self.distance[here][closer] = distance[closer]
        self.owner[here][closer] = label
        here, cut = overlap(corner, mask.shape, self.shape)
        self.labels[here][mask[cut]] = label
        around = tuple(slice(max(s.start - g, 0), s.stop + g) for s, g in zip(here, self.gap))
        filled = self.labels[around] == label
        self.blocked[around] |= ndimage.maximum_filter(filled, [2 * g + 1 for g in self.gap])


def place_cells(
    library: CellLibrary, canvas: Canvas, chosen: Sequence[int], *, rules: Rules, generator: np.random.Generator
) -> list[Placement]:
    """Place cells one after the other; those that find no place within `rules.tries` are left out.

    A cell is put near earlier ones (within `rules.reach` pixels) with probability `rules.clustering`, else
    anywhere that is free, as a frame is a window on a field of cells: where its border cuts annotated cells, the canvas
    may show no more than a sliver of a cell.

    Args:
        library: The cells.
        canvas: The empty canvas; the cells are put on it.
        chosen: Which cells to place, by their numbers in the library.
        rules: How far apart they are put.
        generator: Source of randomness.
    """
    placed: list[Placement] = []
    for index in chosen:
        cell, turn = turned(library.load(index), generator)
        box = ndimage.find_objects(cell.mask.view(np.uint8))[0]
        body = Body.of(cell.mask[box])
        near = bool(generator.random() < rules.clustering) and bool(placed)
        if near:
            reach, tries = rules.reach, rules.tries
            corner = near_corner(canvas, body, placed, reach=reach, tries=tries, generator=generator)
        else:
            corner = free_corner(canvas, body, tries=rules.tries, generator=generator)
        if corner is None:
            continue
        canvas.add(body.mask, corner, len(placed) + 1)
        z, y, x = (c - part.start for c, part in zip(corner, box))
        placed.append(Placement(cell, (z, y, x), len(placed) + 1, near, turn))
    return placed


def overlap(corner: Sequence[int], shape: Sequence[int], canvas: Sequence[int]) -> tuple[tuple[slice, ...], ...]:
    """Slices of a canvas and of an array put at `corner` where the two overlap."""
    low = [min(max(c, 0), size) for c, size in zip(corner, canvas)]
    high = [max(min(c + n, size), start) for c, n, size, start in zip(corner, shape, canvas, low)]
    here = tuple(slice(a, b) for a, b in zip(low, high))
    return here, tuple(slice(a - c, b - c) for a, b, c in zip(low, high, corner))


def free_corner(canvas: Canvas, body: Body, *, tries: int, generator: np.random.Generator) -> Corner | None:
    """A corner drawn uniformly from those where a cell fits and something of it is seen.

    Args:
        canvas: The canvas.
        body: The cell.
        tries: Random positions to try.
        generator: Source of randomness.

    Returns:
        Where the mask's first voxel goes; `None` if no try meets a free position.
    """
    first, end = canvas.corners(body.mask.shape)
    if (first >= end).any():
        return None
    for start in range(0, tries, BATCH):
        for corner in _plausible(canvas, body, generator.integers(first, end, (min(BATCH, tries - start), 3))):
            if canvas.fits(body.mask, tuple(corner)):
                return _as_corner(corner)
    return None


def near_corner(
    canvas: Canvas,
    body: Body,
    placed: Sequence[Placement],
    *,
    reach: float,
    tries: int,
    generator: np.random.Generator,
) -> Corner | None:
    """A corner where a cell fits within reach of an earlier one: moved away from a random one until it fits.

    Args:
        canvas: The canvas.
        body: The cell.
        placed: The earlier cells; at least one.
        reach: Farthest distance from the nearest cell, pixels; at most that of the canvas.
        tries: Positions to try.
        generator: Source of randomness.

    Returns:
        Where the mask's first voxel goes; `None` if no try meets such a position.
    """
    spacing, shape = np.array(canvas.spacing), np.array(body.mask.shape)
    tried = 0
    while tried < tries:
        other = placed[int(generator.integers(len(placed)))]
        direction = generator.standard_normal(3) * (canvas.shape[0] > 1, 1, 1)
        direction /= np.linalg.norm(direction) * spacing
        size = np.array(other.cell.crop)
        start = np.array(other.corner) - other.cell.start + (size - shape) / 2
        farthest = (np.linalg.norm(size * spacing) + np.linalg.norm(shape * spacing)) / 2
        steps = np.arange(0, farthest + reach, NEAR_STEP)
        tried += len(steps)
        extra = generator.uniform(0, reach) * direction
        found = _first_near(canvas, body, start + steps[:, None] * direction, extra=extra, reach=reach)
        if found is not None:
            return found
    return None


def _first_near(canvas: Canvas, body: Body, path: np.ndarray, *, extra: np.ndarray, reach: float) -> Corner | None:
    """The first corner of a path where the cell fits, moved on by `extra` if it fits there too, within reach."""
    for corner in _plausible(canvas, body, np.rint(path).astype(int)):
        if not canvas.fits(body.mask, tuple(corner)):
            continue
        farther = np.rint(corner + extra).astype(int)
        for choice in (*_plausible(canvas, body, farther[None]), corner):
            if canvas.fits(body.mask, tuple(choice)) and canvas.separation(body.mask, tuple(choice)) <= reach:
                return _as_corner(choice)
        return None
    return None


def _as_corner(position: np.ndarray) -> Corner:
    z, y, x = (int(c) for c in position)
    return z, y, x


def _plausible(canvas: Canvas, body: Body, corners: np.ndarray) -> np.ndarray:
    """Corners where a cell may be seen and a few of its voxels meet nothing, in order."""
    first, end = canvas.corners(body.mask.shape)
    corners = corners[((corners >= first) & (corners < end)).all(1)]
    position = corners[:, None] + body.probes
    inside = ((position >= 0) & (position < canvas.shape)).all(2)
    position = np.clip(position, 0, np.array(canvas.shape) - 1)
    return corners[~(canvas.blocked[tuple(np.moveaxis(position, 2, 0))] & inside).any(1)]
