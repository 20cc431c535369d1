"""Room for the last cells of a dense field: the others move a little aside.

Cells that are put down one after the other, each at random, fill no more than about half of an image; then no place is
left, though there is room between them. Here all cells, also those that found no place, are let overlap, and pushed
apart until they do not. A cell is balls that fill its mask; it moves, but keeps its orientation. Where the border cuts
cells, what leaves the field on one side comes in on the other, so that nothing is pushed out of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import edt
import numpy as np
from scipy.spatial import cKDTree

from cellcascade.population.bodies import Body, Corner
from cellcascade.population.canvas import Canvas
from cellcascade.population.search import first_free, free_corner

BALLS = 12  # of a cell, at most
FILLED = 0.95  # share of a mask that they fill; no more balls are needed then
MARGIN = 0.6  # pixels by which a ball is larger, as what lies between the balls is not pushed
SINGLE = 0.9  # radius of a cell's only ball over that of a ball as large as the cell
APART = (1.0, 1.0, 1.5)  # pixels by which cells are kept farther apart than they must be, in turn until all fit
FULL = 0.8  # share of a field that cells are tried to be packed into
STEPS = 400  # moves, at most
PUSH = 1.8  # share of the mean overlap of a cell's balls that a move takes away
SKIN = 8.0  # pixels that cells may move before their neighbours are sought anew
WINDOW = 5  # pixels around the position of a cell, pushed apart, where it is looked whether its mask fits


@dataclass(frozen=True)
class _Balls:
    """Balls of all cells.

    Attributes:
        cell: Index of their cell, (ball,).
        offset: Position relative to the cell's corner, pixels, (ball, axis).
        radius: Their radius, with half the gap between cells, pixels, (ball,).
    """

    cell: np.ndarray
    offset: np.ndarray
    radius: np.ndarray


def packed(
    canvas: Canvas, bodies: Sequence[Body], corners: np.ndarray, generator: np.random.Generator
) -> tuple[Canvas, list[tuple[int, Corner]]]:
    """Place all cells of a dense field at once.

    Args:
        canvas: A canvas like the one that they are placed on.
        bodies: The cells.
        corners: Corners to begin from, where something of each is seen, (cell, axis); they may overlap.
        generator: Source of randomness.

    Returns:
        A canvas with the cells that found room, and their indices and corners, in the order of their labels.
    """
    best: tuple[Canvas, list[tuple[int, Corner]]] = (canvas, [])
    for apart in APART:
        corners = _pushed_apart(canvas, bodies, corners, apart)
        found = _laid_down(canvas.empty(), bodies, corners, generator)
        if len(found[1]) > len(best[1]):
            best = found
        if len(best[1]) == len(bodies):
            break
    return best


def room_of(canvas: Canvas, bodies: Sequence[Body]) -> float:
    """Voxels that further cells may take of a field until it is as full as `FULL`.

    What cells reach into beyond the border of an image that cuts them is part of the field.
    """
    sizes = np.mean([body.mask.shape for body in bodies], 0) * canvas.cut * (np.array(canvas.shape) > 1)
    return FULL * float(np.prod(canvas.shape + sizes)) - sum(np.count_nonzero(body.mask) for body in bodies)


def _laid_down(
    canvas: Canvas, bodies: Sequence[Body], corners: np.ndarray, generator: np.random.Generator
) -> tuple[Canvas, list[tuple[int, Corner]]]:
    """An empty canvas with the cells that fit near corners, or else anywhere; see `packed`."""
    for body in bodies:
        canvas.free.fit(body)
    found: list[tuple[int, Corner]] = []
    left = []
    for index, (body, near) in enumerate(zip(bodies, corners)):
        corner = _nearest_fit(canvas, body, near)
        if corner is None:
            left.append(index)
        else:
            found.append((index, corner))
            canvas.put(body, corner, len(found))
    for index in left:
        corner = free_corner(canvas, bodies[index], generator=generator)
        if corner is not None:
            found.append((index, corner))
            canvas.put(bodies[index], corner, len(found))
    return canvas, found


def _pushed_apart(canvas: Canvas, bodies: Sequence[Body], corners: np.ndarray, apart: float) -> np.ndarray:
    """Corners of cells that hardly overlap, near corners where they may, (cell, axis); see `packed`.

    `apart` is by how many pixels each is kept farther from others than it must be.
    """
    spacing = np.array(canvas.spacing)
    ranges = [canvas.corners(body.mask.shape) for body in bodies]
    first, last = (np.array([ends[side] for ends in ranges]) * spacing for side in (0, 1))
    last -= spacing
    period = np.where(canvas.cut, (last - first).mean(0) + spacing, 0.0)
    period[np.array(canvas.shape) == 1] = 0.0
    at = corners * spacing
    single = _single_balls(bodies, spacing)  # cells that lie on top of each other would block each other by their balls
    for balls in (single, _balls_of(bodies, spacing, float(canvas.around.gap[2]) / 2 + apart)):
        moved = np.full_like(at, np.inf)  # since their neighbours were sought
        for _ in range(STEPS):
            if np.abs(moved).max() > SKIN / 4:
                pairs, moved = _neighbours(balls, at, period), np.zeros_like(at)
            push, deepest = _push(balls, at, pairs, period)
            if deepest < apart / 2:  # that leaves room enough for what the balls do not say of the masks
                break
            before, at = at, np.where(period > 0, at + push, np.clip(at + push, first, last))
            moved += at - before
    at = np.where(period > 0, first + np.mod(at - first, np.where(period > 0, period, 1)), at)
    return np.clip(np.rint(at / spacing), first / spacing, last / spacing).astype(int)


def _nearest_fit(canvas: Canvas, body: Body, corner: np.ndarray) -> Corner | None:
    """The free corner of a body nearest to one, a few pixels away from it at most; `None` if there is none."""
    reach = [int(WINDOW // size) if n > 1 else 0 for n, size in zip(canvas.shape, canvas.spacing)]
    offsets = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), -1).reshape(-1, 3)
    order = np.linalg.norm(offsets * canvas.spacing, axis=1).argsort(kind="stable")
    corners, (first, end) = corner + offsets[order], canvas.corners(body.mask.shape)
    corners = corners[((corners >= first) & (corners < end)).all(1)]
    return first_free(canvas, body, corners[canvas.free.plausible(body, corners)])


def _single_balls(bodies: Sequence[Body], spacing: np.ndarray) -> _Balls:
    """A ball for each cell, nearly as large as the cell."""
    middles = np.array([np.argwhere(body.mask).mean(0) for body in bodies]) * spacing
    sizes = np.array([np.count_nonzero(body.mask) for body in bodies])
    radii = np.sqrt(sizes / np.pi) if bodies[0].around.flat else np.cbrt(sizes * spacing.prod() * 0.75 / np.pi)
    return _Balls(np.arange(len(bodies)), middles, SINGLE * radii)


def _balls_of(bodies: Sequence[Body], spacing: np.ndarray, more: float) -> _Balls:
    found = [_balls(body.mask, spacing, flat=body.around.flat) for body in bodies]
    cell = np.repeat(np.arange(len(bodies)), [len(radius) for _, radius in found])
    offset, radius = (np.concatenate(parts) for parts in zip(*found))
    return _Balls(cell, offset, radius + MARGIN + more)


def _balls(mask: np.ndarray, spacing: np.ndarray, *, flat: bool) -> tuple[np.ndarray, np.ndarray]:
    """Balls that fill a mask (z, y, x), the largest first: their middles, pixels, (ball, axis), and radii, (ball,)."""
    if flat:
        depth = edt.edt(np.ascontiguousarray(mask[0]), anisotropy=tuple(spacing[1:]), black_border=True)[None]
    else:
        depth = edt.edt(np.ascontiguousarray(mask), anisotropy=tuple(spacing), black_border=True)
    voxels = np.argwhere(mask)
    depths, left, places = depth[mask], np.ones(len(voxels), bool), voxels * spacing
    middles: list[np.ndarray] = []
    radii: list[float] = []
    while len(radii) < BALLS and left.mean() > 1 - FILLED:
        chosen = int(np.where(left, depths, 0).argmax())
        middles.append(places[chosen])
        radii.append(float(depths[chosen]) - 0.5)
        left &= np.linalg.norm(places - places[chosen], axis=1) >= depths[chosen]
    return np.array(middles), np.array(radii)


def _neighbours(balls: _Balls, at: np.ndarray, period: np.ndarray) -> np.ndarray:
    """Pairs of balls of different cells that are near each other, (pair, 2)."""
    places = at[balls.cell] + balls.offset
    places = np.where(period > 0, np.mod(places, np.where(period > 0, period, 1)), places)
    tree = cKDTree(places, boxsize=period if period.any() else None)
    pairs = tree.query_pairs(2 * float(balls.radius.max()) + SKIN, output_type="ndarray")
    one, other = pairs.T
    others = balls.cell[one] != balls.cell[other]
    one, other = one[others], other[others]
    apart = _between(places.take(one, 0) - places.take(other, 0), period)
    near = np.einsum("ij,ij->i", apart, apart) < (balls.radius[one] + balls.radius[other] + SKIN) ** 2
    return np.stack([one[near], other[near]], 1)


def _between(apart: np.ndarray, period: np.ndarray) -> np.ndarray:
    """Differences of positions, the short way round."""
    return apart - period * np.rint(apart / np.where(period > 0, period, np.inf))


def _push(balls: _Balls, at: np.ndarray, pairs: np.ndarray, period: np.ndarray) -> tuple[np.ndarray, float]:
    """By how much each cell moves, pixels, (cell, axis), and the deepest overlap of two balls, pixels."""
    one, other = pairs.T
    places = at[balls.cell] + balls.offset
    apart = _between(places.take(one, 0) - places.take(other, 0), period)
    length = np.maximum(np.sqrt(np.einsum("ij,ij->i", apart, apart)), 1e-6)
    overlap = balls.radius[one] + balls.radius[other] - length
    touching = overlap > 0
    one, other, overlap = one[touching], other[touching], overlap[touching]
    force = apart[touching] * (overlap / length[touching])[:, None] / 2
    cell = np.concatenate([balls.cell[one], balls.cell[other]])
    pushes = [np.bincount(cell, np.concatenate([along, -along]), len(at)) for along in force.T]
    count = np.maximum(np.bincount(cell, minlength=len(at)), 1)
    return PUSH * np.stack(pushes, 1) / count[:, None], float(overlap.max(initial=0))
