"""How the cells of annotated frames lie: how close together, how tall. Free of torch.

Cells are taken for what their frame's labels show: what the border cuts is as small as it is seen. Distances are
pixels of the plane along all axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import ndimage
from scipy.spatial.distance import pdist

from cellcascade.data.contacts import TOUCHING

FEWEST_PAIRS = 40  # pairs of cells below which nothing can be said of their distances
EXPECTED = 1.5  # pairs that a class of distances holds, at least, of cells strewn at random
PRIOR = 0.5  # pairs, as in cells strewn at random, that are added to each class
CLASSES = (0.25, 8.0)  # width of the narrowest classes of distances and the farthest distance, median diameters
NEARLY_WIDEST = 0.9  # area, relative to the widest slice, from which on a first or last slice cuts a cell in half
NEARLY_NOTHING = 0.1  # the same, up to which a cell ends there
FEWEST_HEIGHTS = 5  # cells whose height is seen, below which nothing can be said of it
NARROW = 1  # pixels between two cells, at most: slices seldom show where those that are closest come together
RANKS = np.linspace(0, 1, 21)  # of the heights that are kept
STREWN = 100_000  # pairs of random points that distances are compared with


@dataclass(frozen=True)
class FrameLayout:
    """The cells of one densely annotated frame, or the sections of one slice; n cells.

    Attributes:
        window: Size of the frame, ([z,] y, x).
        centres: Middles of the cells (n, axis).
        sizes: How large they are (n), pixels or voxels.
        at_border: Whether they reach the border of the frame in y or x (n).
        separation: Distance to the nearest other cell (n), between the centres of the nearest pixels; infinite of one
            cell alone.
        heights: Height over width of those whose width and at least one end are seen (m); none in 2D.
    """

    window: tuple[float, ...]
    centres: np.ndarray
    sizes: np.ndarray
    at_border: np.ndarray
    separation: np.ndarray
    heights: np.ndarray

    @property
    def touching(self) -> float:
        """Share of the cells that touch others; 0 of none."""
        return float((self.separation <= TOUCHING).mean()) if len(self.separation) else 0.0


class LayoutRecord(BaseModel):
    """How the cells of all densely annotated frames lie, or the sections in the annotated slices of stacks.

    Attributes:
        edges: Bounds of the classes of distance between the middles of two cells (k + 1), pixels.
        closeness: Pairs of cells in each class, relative to cells strewn at random (k): the pair correlation.
        touching: Share of touching cells, by frame or slice.
        gap: Background between the two closest cells, pixels.
        reach: Distance to the nearest cell of three quarters of the cells, pixels.
        least_share: Size of a cell at the border relative to the median cell: all but the smallest 5 %.
    """

    model_config = ConfigDict(frozen=True)

    edges: tuple[float, ...]
    closeness: tuple[float, ...]
    touching: tuple[float, ...]
    gap: int
    reach: int
    least_share: float


def measure_frame(
    labels: np.ndarray, names: Sequence[int], spacing: Sequence[float], usable: Sequence[int] | None = None
) -> FrameLayout:
    """Measure the layout of a frame.

    Args:
        labels: Labels ([z,] y, x), 0 is background.
        names: Those that are cells.
        spacing: Size of a pixel, in pixels of the plane, ([z,] y, x).
        usable: Those of them that are whole enough to have a height; `None` for all.
    """
    number = np.zeros(int(labels.max(initial=0)) + 1, np.int32)
    number[list(names)] = np.arange(1, len(names) + 1)
    cells, size = number[labels], np.asarray(spacing, float)
    places = np.nonzero(cells)
    index = cells[places] - 1
    sizes = np.bincount(index, minlength=len(names))
    centres = np.stack([np.bincount(index, axis, len(names)) for axis in places], 1) / np.maximum(sizes, 1)[:, None]
    at_border = np.zeros(len(names) + 1, bool)
    for axis in (-2, -1):
        at_border[np.unique(cells.take([0, -1], axis))] = True
    without = at_border[1:] if usable is None else at_border[1:] | ~np.isin(names, list(usable))
    return FrameLayout(
        window=tuple((np.array(labels.shape) * size).tolist()),
        centres=(centres + 0.5) * size,
        sizes=sizes,
        at_border=at_border[1:],
        separation=_separations(cells, len(names), size),
        heights=_heights(index, places[0], without, len(cells), size) if labels.ndim == 3 else np.empty(0),
    )


def fit_layout(frames: Sequence[FrameLayout], *, sections: bool = False) -> LayoutRecord | None:
    """The layout of several frames; `None` if they hold too few cells to tell.

    Args:
        frames: What was measured of each; some may be empty.
        sections: Whether they are slices of stacks: these seldom show where two cells come closest.
    """
    pairs = sum(len(frame.sizes) * (len(frame.sizes) - 1) // 2 for frame in frames)
    if pairs < FEWEST_PAIRS:
        return None
    sizes = np.concatenate([frame.sizes for frame in frames])
    edges, closeness = _closeness(frames, _diameter(frames, float(np.median(sizes))))
    separation = np.concatenate([frame.separation for frame in frames])
    separation = separation[np.isfinite(separation)]
    gap = max(int(separation.min()) - 1, 0)
    cut = sizes[np.concatenate([frame.at_border for frame in frames])] / np.median(sizes)
    return LayoutRecord(
        edges=edges,
        closeness=closeness,
        touching=tuple(round(frame.touching, 4) for frame in frames),
        gap=min(gap, NARROW) if sections else gap,
        reach=max(round(float(np.percentile(separation, 75))), 2),
        least_share=round(float(np.percentile(cut, 5)), 4) if len(cut) else 0.0,
    )


def fit_heights(frames: Sequence[FrameLayout]) -> tuple[float, ...]:
    """Height over width of cells, from the smallest to the largest at equal steps of rank; none if few are seen.

    Args:
        frames: What was measured of each densely annotated frame.
    """
    heights = np.concatenate([frame.heights for frame in frames]) if frames else np.empty(0)
    if len(heights) < FEWEST_HEIGHTS:
        return ()
    return tuple(np.quantile(heights, RANKS).round(4).tolist())


def height_ratio(volume: float, area: float) -> float:
    """Height over width of an ellipsoid of a volume whose widest slice has an area, width being the disc's diameter."""
    return 1.5 * volume / area / (2 * float(np.sqrt(area / np.pi)))


@lru_cache(maxsize=64)
def strewn_pairs(window: tuple[float, ...], edges: tuple[float, ...]) -> np.ndarray:
    """Share of pairs of random points in a window whose distance lies in each class (k).

    Args:
        window: Size of the window along each axis.
        edges: Bounds of the classes (k + 1).
    """
    points = np.random.default_rng(0).random((2, STREWN, len(window))) * window
    distance = np.linalg.norm(points[0] - points[1], axis=1)
    return np.histogram(distance, edges)[0] / STREWN


def _closeness(frames: Sequence[FrameLayout], diameter: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Classes of distances and the pair correlation in each; far apart they are wider."""
    step, farthest = CLASSES
    fine = tuple((np.arange(0, farthest + step, step) * diameter).round(3).tolist())
    count = [len(frame.sizes) * (len(frame.sizes) - 1) / 2 for frame in frames]
    expected = np.sum([n * strewn_pairs(frame.window, fine) for n, frame in zip(count, frames)], 0)
    found = np.sum([np.histogram(pdist(frame.centres), fine)[0] for frame in frames if len(frame.sizes) > 1], 0)
    edges, closeness, start = [fine[0]], list[float](), 0
    for stop in range(1, len(fine)):
        wide = fine[stop] - fine[start] >= step * max(diameter, fine[start]) * (1 - 1e-9)
        if wide and expected[start:stop].sum() >= EXPECTED:
            share = (found[start:stop].sum() + PRIOR) / (expected[start:stop].sum() + PRIOR)
            edges, closeness, start = [*edges, fine[stop]], [*closeness, round(float(share), 4)], stop
    return tuple(edges), tuple(closeness)


def _diameter(frames: Sequence[FrameLayout], size: float) -> float:
    """Diameter of a disc or ball as large as a cell of so many voxels, pixels of the plane."""
    volumes = len(frames[0].window) == 3
    return float((6 * size / np.pi) ** (1 / 3) if volumes else (4 * size / np.pi) ** 0.5)


def _separations(cells: np.ndarray, count: int, spacing: np.ndarray) -> np.ndarray:
    """Distance of each cell to the nearest other one: the shortest way over a border between what is nearest to each.

    Args:
        cells: Numbers of the cells from 1, 0 is background, ([z,] y, x).
        count: How many there are.
        spacing: Size of a pixel ([z,] y, x).
    """
    nearest = np.full(count + 1, np.inf)
    if count < 2:
        return nearest[1:]
    distance, index = ndimage.distance_transform_edt(cells == 0, sampling=spacing, return_indices=True)
    owner = cells[tuple(index)]
    for axis, step in enumerate(spacing):
        near, far, at, to = (
            np.moveaxis(values, axis, 0)[part]
            for values in (owner, distance)
            for part in (slice(None, -1), slice(1, None))
        )
        meet = near != far
        way = at[meet] + to[meet] + step
        np.minimum.at(nearest, near[meet], way)
        np.minimum.at(nearest, far[meet], way)
    return nearest[1:]


def _heights(index: np.ndarray, depth: np.ndarray, without: np.ndarray, slices: int, size: np.ndarray) -> np.ndarray:
    """Height over width of the cells of a stack that its border in y and x does not cut.

    Of a cell that the first or the last slice cuts, the half beyond its widest slice that is seen counts twice. Where
    that slice is nearly as wide as the widest one, the cell sits on it with its middle.

    Args:
        index: Number of its cell from 0, of each voxel.
        depth: Its slice.
        without: Whether a cell has no height to be seen (n).
        slices: Slices of the stack.
        size: Size of a voxel (z, y, x), pixels of the plane.
    """
    areas = np.bincount(index * slices + depth, minlength=len(without) * slices).reshape(-1, slices)
    found = []
    for cell in areas[~without & areas.any(1)]:
        nearly = np.flatnonzero(cell >= NEARLY_WIDEST * cell.max())
        widest = nearly[0] if nearly[0] == 0 else nearly[-1] if nearly[-1] == slices - 1 else cell.argmax()
        halves = (cell[0], cell[: widest + 1].sum()), (cell[-1], cell[widest:].sum())
        seen = [half - cell[widest] / 2 for end, half in halves if end <= NEARLY_NOTHING * cell.max()]
        if seen:
            found.append(height_ratio(2 * float(np.mean(seen)) * size[0], float(cell[widest])))
    return np.array(found)
