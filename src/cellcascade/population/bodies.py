"""Cells as a place is sought for them: their voxels, what is near them, and how they are turned."""

from collections.abc import Sequence
from dataclasses import dataclass

import edt
import numpy as np
from scipy import ndimage

PROBES = (5, 48, 480)  # voxels of a cell that are looked up, one lot after the other, before it is tested exactly
GOLDEN = (np.sqrt(5) - 1) / 2  # its multiples, without their whole part, are evenly spread, however many they are

Corner = tuple[int, int, int]
Spacing = tuple[float, float, float]


def distance_to(mask: np.ndarray, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    """Distance of voxels to a mask (z, y, x), float32.

    Args:
        mask: The mask.
        spacing: Size of a voxel, (z, y, x), in the unit of the distance.
    """
    outside = np.ascontiguousarray(~mask)
    if len(outside) > 1:
        return edt.edt(outside, anisotropy=tuple(spacing))
    return edt.edt(outside[0], anisotropy=tuple(spacing[1:]))[None]  # thirty times faster than a stack of one slice


@dataclass(frozen=True)
class Turn:
    """Quarter turns in y and x, then a flip of y, then one of z.

    Attributes:
        quarters: Number of quarter turns, 0 to 3.
        mirror: Whether y is flipped.
        upside: Whether z is flipped.
    """

    quarters: int
    mirror: bool
    upside: bool

    @classmethod
    def draw(cls, slices: int, generator: np.random.Generator) -> "Turn":
        """A random turn; of cells with so many slices, which are turned upside down if there are several."""
        quarters, mirror, upside = (int(generator.integers(n)) for n in (4, 2, 2))
        return cls(quarters, bool(mirror), bool(upside) and slices > 1)

    @property
    def name(self) -> str:
        """What was done, e.g. `rot90-mirror`."""
        return f"rot{90 * self.quarters}{'-mirror' if self.mirror else ''}{'-upside' if self.upside else ''}"

    @property
    def swaps(self) -> bool:
        """Whether y and x change places; what is flipped is flipped thereafter."""
        return self.quarters % 2 == 1

    @property
    def steps(self) -> Corner:
        """-1 for axes (z, y, x) that are flipped, else 1."""
        flip_y = (self.quarters in (1, 2)) != self.mirror
        return -1 if self.upside else 1, -1 if flip_y else 1, -1 if self.quarters in (2, 3) else 1

    def array(self, array: np.ndarray) -> np.ndarray:
        """An array (z, y, x), turned: a view."""
        z, y, x = self.steps
        return (array.transpose(0, 2, 1) if self.swaps else array)[::z, ::y, ::x]

    def shape(self, shape: Corner) -> Corner:
        """The shape (z, y, x) of an array, turned."""
        depth, height, width = shape
        return (depth, width, height) if self.swaps else shape

    def points(self, points: np.ndarray, shape: Corner) -> np.ndarray:
        """Voxels (point, axis) of an array of a shape (z, y, x), where they lie in the turned array."""
        points, steps = points[:, [0, 2, 1]] if self.swaps else points, np.array(self.steps)
        return np.where(steps > 0, points, np.array(self.shape(shape)) - 1 - points)


@dataclass(frozen=True)
class Surroundings:
    """What counts as near a cell on a canvas.

    Attributes:
        spacing: Size of a voxel in pixels of y and x, (z, y, x).
        reach: Voxels around a cell's box to which distances are known, (z, y, x).
        gap: Voxels around a cell that no other may take, (z, y, x).
    """

    spacing: Spacing
    reach: Corner
    gap: Corner

    @property
    def flat(self) -> bool:
        """Whether the canvas has one slice."""
        return not self.reach[0]


@dataclass(frozen=True)
class Body:
    """A cell as a place is sought for it.

    Attributes:
        mask: The cell in its bounding box, (z, y, x).
        start: Where this box begins in the cell's part of its crop.
        probes: Some of its voxels, in the order in which they are looked up, (probe, axis); the first lies in its
            middle.
        radius: Distance of the middle from the nearest voxel that is not of the cell, pixels.
        kept: Voxels of the cell and the gap around it, in the box and so many voxels around it, (z, y, x).
        halo: Distance to the cell, pixels, in the box and the voxels within reach around it, (z, y, x).
        around: What counts as near.
    """

    mask: np.ndarray
    start: Corner
    probes: np.ndarray
    radius: float
    kept: np.ndarray
    halo: np.ndarray
    around: Surroundings

    @classmethod
    def of(cls, mask: np.ndarray, around: Surroundings) -> "Body":
        """The body of a cell, (z, y, x)."""
        box = ndimage.find_objects(mask.view(np.uint8))[0]
        whole = np.ascontiguousarray(mask[box])
        voxels = np.argwhere(whole)
        middle = voxels[np.abs((voxels - voxels.mean(0)) * around.spacing).sum(1).argmin()]
        spread = voxels[(np.arange(1, PROBES[-1]) * GOLDEN % 1 * len(voxels)).astype(int)]
        z, y, x = (side.start for side in box)
        kept = np.pad(whole, [(n, n) for n in around.gap])
        return cls(
            mask=whole,
            start=(z, y, x),
            probes=np.concatenate([middle[None], spread]),
            radius=_radius(whole, middle, around),
            kept=ndimage.maximum_filter(kept, [2 * n + 1 for n in around.gap]),
            halo=distance_to(np.pad(whole, [(n, n) for n in around.reach]), around.spacing),
            around=around,
        )

    @property
    def middle(self) -> np.ndarray:
        """A voxel in its middle, (axis,)."""
        return self.probes[0]

    @property
    def nbytes(self) -> int:
        """Its size in memory."""
        return sum(array.nbytes for array in (self.mask, self.probes, self.kept, self.halo))

    def turned(self, turn: Turn, shape: Corner) -> "Body":
        """The body, turned as the cell is, whose part of the crop has a shape (z, y, x)."""
        ends = np.array([self.start, np.add(self.start, self.mask.shape) - 1])
        z, y, x = turn.points(ends, shape).min(0).tolist()
        return Body(
            mask=turn.array(self.mask),
            start=(z, y, x),
            probes=turn.points(self.probes, shape_of(self.mask)),
            radius=self.radius,
            kept=turn.array(self.kept),
            halo=turn.array(self.halo),
            around=self.around,
        )


def shape_of(array: np.ndarray) -> Corner:
    """The shape of an array of three axes."""
    z, y, x = array.shape
    return z, y, x


def _radius(mask: np.ndarray, middle: np.ndarray, around: Surroundings) -> float:
    """Distance of a voxel of a mask (z, y, x) from the nearest one outside it; on a flat canvas, in its slice."""
    spacing = around.spacing
    away = [((np.arange(n) - at) * size) ** 2 for n, at, size in zip(mask.shape, middle, spacing)]
    squared = (away[0][:, None, None] + away[1][:, None] + away[2])[~mask]
    faces = [min(at + 1, n - at) * size for n, at, size in zip(mask.shape, middle.tolist(), spacing)]
    return float(min(*faces[int(around.flat) :], np.sqrt(squared.min(initial=np.inf))))
