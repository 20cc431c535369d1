"""The canvas of an image in the making: the cells placed so far, what is near them, and where it is free.

Everything is in z, y, x; a 2D canvas is a stack of one slice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellcascade.population.bodies import Body, Corner, Surroundings
from cellcascade.population.cell_library import Cell
from cellcascade.population.free_space import FreeSpace


@dataclass(frozen=True)
class Placement:
    """A cell on a canvas.

    Attributes:
        cell: The cell as placed, turned and flipped.
        corner: Position of its first voxel (z, y, x); may lie outside the canvas.
        label: Its label.
        clustered: Whether it was put near earlier cells.
        turn: Quarter turns, flips: what was done to the source cell.
        body: Its body, where that is known.
    """

    cell: Cell
    corner: Corner
    label: int
    clustered: bool
    turn: str
    body: Body | None = None


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
        self.shape, self.spacing, self.gap, self.reach, self.cut = shape, spacing, gap, reach, cut
        gap_z = (round(gap / spacing[0]) or int(gap > 0)) if shape[0] > 1 else 0
        near_z, near_y, near_x = (int(np.ceil(reach / size)) for size in spacing)
        self.around = Surroundings(spacing, (near_z if shape[0] > 1 else 0, near_y, near_x), (gap_z, gap, gap))
        self.free = FreeSpace(shape, spacing)
        self.labels = np.zeros(shape, np.int32)
        self.owner = np.zeros(shape, np.int32)
        self.distance = np.full(shape, np.inf, np.float32)

    @property
    def blocked(self) -> np.ndarray:
        """Voxels that no further cell may take: those of cells, and the gap around them, (z, y, x)."""
        return self.free.blocked

    def fits(self, mask: np.ndarray, corner: Sequence[int]) -> bool:
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

    def separation(self, mask: np.ndarray, corner: Sequence[int]) -> float:
        """Distance from a mask to the nearest cell, pixels; infinite beyond the canvas' reach."""
        here, cut = overlap(corner, mask.shape, self.shape)
        return float(self.distance[here][mask[cut]].min())

    def add(self, mask: np.ndarray, corner: Corner, label: int) -> None:
        """Put a cell in its bounding box on the canvas, at a corner where it fits."""
        self.put(Body.of(mask, self.around), corner, label)

    def empty(self) -> "Canvas":
        """A canvas like this without cells."""
        return Canvas(self.shape, spacing=self.spacing, gap=self.gap, reach=self.reach, cut=self.cut)

    def become(self, other: "Canvas") -> None:
        """Take over the cells of a canvas like this."""
        self.labels, self.owner, self.distance, self.free = other.labels, other.owner, other.distance, other.free

    def put(self, body: Body, corner: Corner, label: int) -> None:
        """Put a body that was made for a canvas like this on it, at a corner where it fits."""
        here, cut = overlap([c - n for c, n in zip(corner, self.around.reach)], body.halo.shape, self.shape)
        distance, nearest = body.halo[cut], self.distance[here]
        closer = distance < nearest
        closer &= distance <= self.reach
        nearest[closer] = distance[closer]
        self.owner[here][closer] = label
        here, cut = overlap(corner, body.mask.shape, self.shape)
        self.labels[here][body.mask[cut]] = label
        here, cut = overlap([c - n for c, n in zip(corner, self.around.gap)], body.kept.shape, self.shape)
        self.free.block(body.kept[cut], [side.start for side in here])


def overlap(corner: Sequence[int], shape: Sequence[int], canvas: Sequence[int]) -> tuple[tuple[slice, ...], ...]:
    """Slices of a canvas and of an array put at `corner` where the two overlap."""
    here, cut = [], []
    for c, n, size in zip(corner, shape, canvas):
        low = min(max(c, 0), size)
        high = max(min(c + n, size), low)
        here.append(slice(low, high))
        cut.append(slice(low - c, high - c))
    return tuple(here), tuple(cut)
