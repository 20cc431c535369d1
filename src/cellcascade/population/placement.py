"""Where cells lie: cells are placed one after the other, each at a position that is free.

Masks are tested as they are, not by their bounding boxes: two cells may interlock, but never overlap. Where a dense
field leaves no position to some of its cells, all of them move a little to make room.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellcascade.population.bodies import Corner
from cellcascade.population.canvas import Canvas, Placement
from cellcascade.population.cell_library import CellLibrary, Drawn, drawn
from cellcascade.population.packing import packed, room_of
from cellcascade.population.search import free_corner, near_corner


@dataclass(frozen=True)
class Rules:
    """How far apart cells are put.

    Attributes:
        clustering: Probability that a cell is put near earlier ones.
        reach: How near, pixels.
        gap: Least background between two cells, pixels.
    """

    clustering: float
    reach: int
    gap: int


def place_cells(
    library: CellLibrary, canvas: Canvas, chosen: Sequence[int], *, rules: Rules, generator: np.random.Generator
) -> list[Placement]:
    """Place cells one after the other; those for which there is no room are left out.

    A cell is put near earlier ones (within `rules.reach` pixels) with probability `rules.clustering`, else
    anywhere that is free, as a frame is a window on a field of cells: where its border cuts annotated cells, the canvas
    may show no more than a sliver of a cell.

    Args:
        library: The cells.
        canvas: The empty canvas; the cells are put on it.
        chosen: Which cells to place, by their numbers in the library.
        rules: How far apart they are put.
        generator: Source of randomness.

    Returns:
        The cells that were placed, in the order of their labels.
    """
    cells: list[Drawn] = []
    placed: list[Placement] = []
    left: list[int] = []  # numbers of cells that found no position
    for number, index in enumerate(chosen):
        item = drawn(library, index, canvas.around, generator)
        cells.append(item)
        canvas.free.fit(item.body)
        near = bool(generator.random() < rules.clustering) and bool(placed)
        corner = None
        if near:
            corner = near_corner(canvas, item.body, placed, reach=rules.reach, generator=generator)
        if corner is None:
            corner = free_corner(canvas, item.body, generator=generator)
        if corner is None:
            left.append(number)
            continue
        near = near and canvas.separation(item.body.mask, corner) <= rules.reach
        canvas.put(item.body, corner, len(placed) + 1)
        placed.append(placement_of(item, corner, len(placed) + 1, clustered=near))
    return with_room(canvas, cells, placed, left, generator) if left else placed


def with_room(
    canvas: Canvas, cells: Sequence[Drawn], placed: list[Placement], left: list[int], generator: np.random.Generator
) -> list[Placement]:
    """The cells of a dense field, after all have moved; as they were, if that makes no room for any that was left out.

    Args:
        canvas: The canvas, with those that were placed.
        cells: All cells.
        placed: Those that were placed, in the order of their labels.
        left: The numbers of the others.
        generator: Source of randomness.
    """
    before = sorted(set(range(len(cells))) - set(left))
    room = room_of(canvas, [cells[number].body for number in before])
    sizes = np.cumsum([np.count_nonzero(cells[number].body.mask) for number in left])
    taken = [*before, *left[: int(np.searchsorted(sizes, room, "right"))]]
    bodies = [cells[number].body for number in taken]
    corners = [np.add(item.corner, cells[number].body.start) for number, item in zip(before, placed)]
    corners += [generator.integers(*canvas.corners(body.mask.shape)) for body in bodies[len(before) :]]
    fuller, found = packed(canvas, bodies, np.array(corners), generator)
    if len(found) <= len(placed):
        return placed
    canvas.become(fuller)
    clustered = dict(zip(before, (item.clustered for item in placed)))
    return [
        placement_of(cells[taken[index]], corner, label, clustered=clustered.get(taken[index], False))
        for label, (index, corner) in enumerate(found, 1)
    ]


def placement_of(item: Drawn, corner: Corner, label: int, *, clustered: bool) -> Placement:
    """A cell on a canvas whose bounding box is at a corner."""
    z, y, x = (c - first for c, first in zip(corner, item.body.start))
    return Placement(item.cell, (z, y, x), label, clustered, item.turn, item.body)
