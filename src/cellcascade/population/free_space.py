"""Where a canvas is free: exactly, and as bounds on a coarse grid that rule most positions out at once.

A ball around a cell's middle lies within the cell. So a position is blocked if anything blocked is nearer to that
middle than the ball's radius. Distances are kept between blocks of voxels; what they rule out is blocked for certain.
"""

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np

from cellcascade.population.bodies import PROBES, Body, Corner, distance_to

FINENESS = 6  # a cell's radius over the edge of a block: finer blocks rule more out and cost more
ROUNDING = 1e-3  # pixels by which computed distances may be wrong
ANEW = 64  # parts of a canvas of which clearances are made anew, all at once
AT_ONCE = 4096  # blocks whose positions are looked at together
LOTS = (*PROBES[:2], 120, 240, PROBES[2])  # voxels that are looked up where all positions are


class FreeSpace:
    """The blocked voxels of a canvas, and how far blocks of voxels are from them.

    Args:
        shape: Shape of the canvas, (z, y, x).
        spacing: Voxel size in pixels of y and x, (z, y, x).
    """

    def __init__(self, shape: Corner, spacing: tuple[float, float, float]):
        self.shape, self.spacing = shape, np.array(spacing)
        self._margin = np.zeros(3, int)  # voxels beyond the canvas, so that no look-up falls outside
        self._padded = np.zeros(shape, bool)
        self._edge = np.ones(3, int)  # voxels of a block, (z, y, x)
        self._clearance: np.ndarray | None = None  # see `_up_to_date`
        self._news: list[tuple[Sequence[int], Sequence[int]]] = []  # start and shape of what it does not know yet
        self._reach = 0.0  # largest radius of the bodies, pixels

    @property
    def blocked(self) -> np.ndarray:
        """Voxels that no cell may take, (z, y, x)."""
        return self._padded[tuple(slice(m, m + n) for m, n in zip(self._margin, self.shape))]

    def fit(self, body: Body) -> None:
        """Make sure that wherever a body is looked up, there is something to look up."""
        self._reach = max(self._reach, body.radius)
        beyond = np.array(body.mask.shape) - 1
        if (beyond > self._margin).any():
            margin = np.maximum(self._margin, np.ceil(1.25 * beyond).astype(int))
            self._padded = np.pad(self._padded, [(n, n) for n in margin - self._margin])
            self._margin, self._clearance = margin, None

    def block(self, filled: np.ndarray, start: Sequence[int]) -> None:
        """Block voxels of a part of the canvas, (z, y, x), which begins at `start`."""
        here = tuple(slice(a + m, a + m + n) for a, m, n in zip(start, self._margin.tolist(), filled.shape))
        self._padded[here] |= filled
        self._news.append((tuple(start), filled.shape))

    def plausible(self, body: Body, corners: np.ndarray, probes: Sequence[int] = PROBES[:2]) -> np.ndarray:
        """Of each of a body's corners (corner, axis), whether so many of its voxels there meet nothing, (corner,).

        The voxels are looked up one lot after the other: those up to the first number, up to the second, and so on.
        """
        steps, blocked = _steps(self._padded.shape), self._padded.ravel()
        origins, result = (corners + self._margin) @ steps, np.ones(len(corners), bool)
        for first, end in pairwise((0, *probes)):
            result[result] = ~blocked[origins[result, None] + body.probes[first:end] @ steps].any(1)
        return result

    def candidates(self, body: Body, first: np.ndarray, end: np.ndarray) -> np.ndarray:
        """All plausible corners of a body, (corner, axis), from a lowest one up to the one after the highest.

        Something of the body is seen at each.
        """
        clearance = self._up_to_date()  # which may take blocks of another size
        slack = float(np.linalg.norm((self._edge - 1) * self.spacing)) + ROUNDING  # of distances between blocks
        low = (first + self._margin + body.middle) // self._edge  # first and last block that its middle may lie in
        high = (end - 1 + self._margin + body.middle) // self._edge
        clear = np.argwhere(clearance[tuple(map(slice, low, high + 1))] >= body.radius - slack) + low
        blocks = clear * self._edge - self._margin - body.middle
        within = np.stack(np.meshgrid(*map(np.arange, self._edge), indexing="ij"), -1).reshape(1, -1, 3)
        sums = _sums(body.mask)
        found = [np.zeros((0, 3), int)]
        for index in range(0, len(blocks), AT_ONCE):
            corners = (blocks[index : index + AT_ONCE, None] + within).reshape(-1, 3)
            corners = corners[((corners >= first) & (corners < end)).all(1)]
            corners = corners[_seen(sums, corners, self.shape)]
            found.append(corners[self.plausible(body, corners, LOTS)])
        return np.concatenate(found)

    def _up_to_date(self) -> np.ndarray:
        """Distance of blocks from the nearest one that has a blocked voxel, pixels, (z, y, x).

        It may be too large where it is larger than the largest radius of the bodies.
        """
        if self._clearance is None or len(self._news) > ANEW:
            edge = np.maximum(np.rint(self._reach / FINENESS / self.spacing), 1).astype(int)
            self._edge = np.where(np.array(self.shape) > 1, edge, 1)
            taken = self._taken(np.zeros(3, int), -(-np.array(self._padded.shape) // self._edge))
            self._clearance = distance_to(taken, tuple(self._edge * self.spacing))
        else:
            for start, shape in self._news:
                self._update(self._clearance, start + self._margin, np.array(shape))
        self._news.clear()
        return self._clearance

    def _update(self, clearance: np.ndarray, start: np.ndarray, shape: np.ndarray) -> None:
        """Take note of newly blocked voxels in a part of the canvas and its margin."""
        around = np.ceil(self._reach / (self._edge * self.spacing)).astype(int)
        low = np.maximum(start // self._edge - around, 0)
        high = np.minimum((start + shape - 1) // self._edge + around + 1, clearance.shape)
        part = clearance[tuple(map(slice, low, high))]
        np.minimum(part, distance_to(self._taken(low, high), tuple(self._edge * self.spacing)), out=part)

    def _taken(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Which blocks, from one up to another, have a blocked voxel, (z, y, x)."""
        part = self._padded[tuple(map(slice, low * self._edge, high * self._edge))]
        for axis, edge in enumerate(self._edge.tolist()):
            part = np.logical_or.reduceat(part, range(0, part.shape[axis], edge), axis) if edge > 1 else part
        return part


def _sums(mask: np.ndarray) -> np.ndarray:
    """How many voxels of a mask, (z, y, x), lie before each corner of its voxels, one more along each axis."""
    return np.pad(mask.astype(np.int64), [(1, 0)] * 3).cumsum(0).cumsum(1).cumsum(2)


def _seen(sums: np.ndarray, corners: np.ndarray, shape: Corner) -> np.ndarray:
    """Whether something of a mask lies within a canvas at each of some corners (corner, axis), (corner,).

    `sums` are those of the mask: what of it lies in a box follows from the box's eight corners.
    """
    size = np.array(sums.shape) - 1
    seen = ((corners >= 0) & (corners <= np.array(shape) - size)).all(1)
    cut = corners[~seen]
    ends = np.clip(-cut, 0, size), np.clip(np.array(shape) - cut, 0, size)
    total = np.zeros(len(cut), np.int64)
    for z, y, x in product((0, 1), repeat=3):
        total += (-1) ** (1 + z + y + x) * sums[ends[z][:, 0], ends[y][:, 1], ends[x][:, 2]]
    seen[~seen] = total > 0
    return seen


def _steps(shape: Sequence[int]) -> np.ndarray:
    """By how much the position in an array's memory grows along each axis."""
    return np.array([shape[1] * shape[2], shape[2], 1])
