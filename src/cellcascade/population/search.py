"""The search for a position where a cell fits on a canvas: anywhere, or near earlier cells.

A few random positions are tried first; if none is free, all that are not ruled out are looked at. So a cell for which
no position is found has none.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from cellcascade.population.bodies import Body, Corner
from cellcascade.population.canvas import Canvas, Placement

TRIED = (64, 512, 4096)  # random positions looked up at once, before all are
DIRECTIONS = (4, 16, 64, 256)  # ways, looked up at once, by which a cell is moved away from earlier ones
NEAR_STEP = 2.0  # pixels between the positions tried when a cell is moved away from an earlier one


def free_corner(canvas: Canvas, body: Body, *, generator: np.random.Generator) -> Corner | None:
    """A corner drawn uniformly from those where a cell fits and something of it is seen.

    Returns:
        Where the mask's first voxel goes; `None` if there is no such corner.
    """
    first, end = canvas.corners(body.mask.shape)
    if (first >= end).any():
        return None
    for count in TRIED:
        corners = generator.integers(first, end, (count, 3))
        found = first_free(canvas, body, corners[canvas.free.plausible(body, corners)])
        if found is not None:
            return found
    return first_free(canvas, body, generator.permutation(canvas.free.candidates(body, first, end)))


def first_free(canvas: Canvas, body: Body, corners: np.ndarray) -> Corner | None:
    """The first of some corners (corner, axis) where a body fits."""
    return next(((z, y, x) for z, y, x in corners.tolist() if canvas.fits(body.mask, (z, y, x))), None)


def near_corner(
    canvas: Canvas, body: Body, placed: Sequence[Placement], *, reach: float, generator: np.random.Generator
) -> Corner | None:
    """A corner where a cell fits within reach of an earlier one: moved away from a random one until it fits.

    Args:
        canvas: The canvas.
        body: The cell.
        placed: The earlier cells; at least one.
        reach: Farthest distance from the nearest cell, pixels; at most that of the canvas.
        generator: Source of randomness.

    Returns:
        Where the mask's first voxel goes; `None` if all ways tried are barred.
    """
    for count in DIRECTIONS:
        others = [placed[index] for index in generator.integers(len(placed), size=count)]
        for path, extra in _paths(canvas, body, others, reach=reach, generator=generator):
            found = _first_near(canvas, body, path, extra=extra, reach=reach)
            if found is not None:
                return found
    return None


def _paths(
    canvas: Canvas, body: Body, others: Sequence[Placement], *, reach: float, generator: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Ways of a cell from the middle of earlier ones into random directions.

    Yields:
        The plausible corners of a way, in order, (corner, axis), and a step farther, at most `reach` long, (axis,).
    """
    spacing, shape = np.array(canvas.spacing), np.array(body.mask.shape)
    direction = generator.standard_normal((len(others), 3)) * (canvas.shape[0] > 1, 1, 1)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True) * spacing
    extra = generator.uniform(0, reach, (len(others), 1)) * direction
    size = np.array([other.cell.crop for other in others])
    start = np.array([np.subtract(other.corner, other.cell.start) for other in others]) + (size - shape) / 2
    farthest = (np.linalg.norm(size * spacing, axis=1).max() + np.linalg.norm(shape * spacing)) / 2
    steps = np.arange(0, farthest + reach, NEAR_STEP)
    paths = np.rint(start[:, None] + steps[:, None] * direction[:, None]).astype(int)
    first, end = canvas.corners(body.mask.shape)
    seen = ((paths >= first) & (paths < end)).all(2)
    seen[seen] = canvas.free.plausible(body, paths[seen])
    for path, some, more in zip(paths, seen, extra):
        if some.any():
            yield path[some], more


def _first_near(canvas: Canvas, body: Body, path: np.ndarray, *, extra: np.ndarray, reach: float) -> Corner | None:
    """The first corner of a path where the cell fits, moved on by `extra` if it fits there too, within reach."""
    corner = first_free(canvas, body, path)
    if corner is None:
        return None
    first, end = canvas.corners(body.mask.shape)
    farther = np.rint(corner + extra).astype(int)
    moved = first_free(canvas, body, farther[None]) if ((farther >= first) & (farther < end)).all() else None
    near = (place for place in (moved, corner) if place and canvas.separation(body.mask, place) <= reach)
    return next(near, None)
