"""Cells laid out as in the annotated frames: as far apart, as often touching, as deep in the stack.

Of some free places for a cell, that one is taken with which the layout so far is most like the frames': in its pairs of
cells in each class of distance, its touching cells, and its cells in each layer. Colonies come out as the frames have
them, in spaced groups or in contact, without a model of their form. (A reconstruction of point patterns, as by
Tscheschel & Stoyan, Comput. Stat. Data Anal. 51, 2006, but with cells that have a size, and one cell at a time.)
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cellcascade.config.settings import Population
from cellcascade.data.contacts import TOUCHING
from cellcascade.data.layout import LayoutRecord, strewn_pairs
from cellcascade.population.bodies import Body, Corner
from cellcascade.population.canvas import Canvas, Placement, overlap
from cellcascade.population.cell_choice import Choice
from cellcascade.population.cell_library import CellLibrary, Drawn, drawn
from cellcascade.population.placement import Rules, placement_of, with_room
from cellcascade.population.search import free_corner, near_corner

PLACES = {2: 4, 3: 6}  # looked at for a cell, by axes, of each kind: anywhere free, near an earlier cell, beside one
MOST_TOUCHING = 0.95  # share of touching cells, at most, in images that are denser than the frames
MOST_SHARE = 0.9  # that is asked for of a cell at the border
LAYERS = 6  # a cell that is a layer of so many off its depth counts as much as a pair too many
CONTACT = 4.0  # weight of the touching cells, beside one class of distances
CLUSTERING, REACH, GAP = 0.5, 10, 1  # where too few cells are annotated to tell

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """The layout that an image is to have.

    Attributes:
        layout: That of the frames.
        touching: Share of touching cells, in an image with as many cells as `usual`.
        usual: Number of cells of a frame, on a canvas of this size.
    """

    layout: LayoutRecord
    touching: float
    usual: float


@dataclass(frozen=True)
class Place:
    """A free place for a cell.

    Attributes:
        corner: Position of the first voxel of its mask.
        clustered: Whether it was looked for near earlier cells.
        centre: Middle of what is seen of the cell there, pixels of the plane.
        pairs: Earlier cells in each class of distance from it.
        depth: Where its widest slice would be: 0 to 1 from the first slice to the last, or beyond.
        touched: Labels of the cells that it would touch.
        share: Share of the cell that is seen, of its slices within the stack.
    """

    corner: Corner
    clustered: bool
    centre: np.ndarray
    pairs: np.ndarray
    depth: float
    touched: frozenset[int]
    share: float


def rules_of(settings: Population, layout: LayoutRecord | None) -> Rules:
    """How far apart cells are put: as the settings say or, where they leave it to the data, as the frames show.

    Args:
        settings: The `population` block.
        layout: The frames' layout; `None` where too few cells are annotated to tell.
    """
    by_data = "from_data" in (settings.clustering, settings.reach, settings.gap)
    if by_data and layout is None:
        logger.warning(
            "too few cells are annotated to see how they lie; what population leaves to the data is: "
            "clustering %s, reach %s, gap %s",
            *(CLUSTERING, REACH, GAP),
        )
    return Rules(
        clustering=CLUSTERING if settings.clustering == "from_data" else settings.clustering,
        reach=(layout.reach if layout else REACH) if settings.reach == "from_data" else settings.reach,
        gap=(layout.gap if layout else GAP) if settings.gap == "from_data" else settings.gap,
    )


def arrange_cells(
    library: CellLibrary,
    canvas: Canvas,
    chosen: Sequence[Choice],
    *,
    rules: Rules,
    target: Target,
    generator: np.random.Generator,
) -> list[Placement]:
    """Place cells one after the other; those for which there is no room are left out.

    Args:
        library: The cells.
        canvas: The empty canvas; the cells are put on it.
        chosen: Which cells to place, and how deep.
        rules: How far apart they are put.
        target: The layout to come close to.
        generator: Source of randomness.
    """
    cells, left = list[Drawn](), list[int]()
    placed, so_far = list[Placement](), Arrangement(canvas, target)
    least = min(target.layout.least_share, MOST_SHARE)
    for number, choice in enumerate(chosen):
        item = drawn(library, choice.index, canvas.around, generator)
        body = item.body
        cells.append(item)
        canvas.free.fit(body)
        free = _free_places(canvas, body, placed, rules, generator)
        seen = [so_far.look(body.mask, _at_depth(canvas, body, corner, choice.depth), near) for corner, near in free]
        places = [place for place in seen if place.share >= least] or seen
        if not places:
            left.append(number)
            continue
        place = min(places, key=lambda place: so_far.misfit(place, choice.depth))
        label = len(placed) + 1
        canvas.put(body, place.corner, label)
        so_far.add(place, label)
        placed.append(placement_of(item, place.corner, label, clustered=place.clustered))
    return with_room(canvas, cells, placed, left, generator) if left else placed


class Arrangement:
    """The layout of a canvas in the making.

    Args:
        canvas: The canvas.
        target: The layout to come close to.
    """

    def __init__(self, canvas: Canvas, target: Target):
        self._canvas, self._layout = canvas, target.layout
        self._size = np.array(canvas.spacing)
        ndim = 3 if canvas.shape[0] > 1 else 2
        window = tuple((np.array(canvas.shape) * self._size)[-ndim:].tolist())
        self._pairs_of_two = strewn_pairs(window, target.layout.edges) * target.layout.closeness
        self._share_of_one = min(target.touching, MOST_TOUCHING) / max(target.usual, 1)
        self._centres = np.empty((0, 3))
        self._pairs = np.zeros(len(target.layout.closeness))
        self._touching: set[int] = set()

    def look(self, mask: np.ndarray, corner: Corner, clustered: bool) -> Place:
        """What a place for a cell would make of the layout.

        Args:
            mask: The cell in its bounding box, (z, y, x).
            corner: Where it fits.
            clustered: Whether it was looked for near earlier cells.
        """
        here, cut = overlap(corner, mask.shape, self._canvas.shape)
        seen = mask[cut]
        centre = (np.argwhere(seen).mean(0) + [part.start for part in here] + 0.5) * self._size
        distance = np.linalg.norm(self._centres - centre, axis=1)
        near = seen & (self._canvas.distance[here] <= TOUCHING)
        return Place(
            corner=corner,
            clustered=clustered,
            centre=centre,
            pairs=np.histogram(distance, self._layout.edges)[0],
            depth=(corner[0] + int(mask.sum((1, 2)).argmax()) + 0.5) / self._canvas.shape[0],
            touched=frozenset(np.unique(self._canvas.owner[here][near]).tolist()),
            share=float(seen.sum() / mask[cut[0]].sum()),
        )

    def misfit(self, place: Place, depth: float) -> float:
        """How far the layout would be from the target with a cell at a place, 0 for equal.

        Args:
            place: The place.
            depth: Where the cell's widest slice belongs, 0 to 1; not a number: anywhere.
        """
        number = len(self._centres) + 1
        pairs = number * (number - 1) / 2 * self._pairs_of_two
        touching = number * min(number * self._share_of_one, MOST_TOUCHING)
        contacts = len(self._touching | place.touched) + bool(place.touched)
        misfit = ((self._pairs + place.pairs - pairs) ** 2 / (pairs + 1)).sum()
        misfit += CONTACT * (contacts - touching) ** 2 / (touching + 1)
        return float(misfit + np.nan_to_num((place.depth - depth) * LAYERS) ** 2)

    def add(self, place: Place, label: int) -> None:
        """Take a place for a cell."""
        self._centres = np.vstack([self._centres, place.centre])
        self._pairs += place.pairs
        self._touching |= place.touched | ({label} if place.touched else set())


def _free_places(
    canvas: Canvas, body: Body, placed: Sequence[Placement], rules: Rules, generator: np.random.Generator
) -> Iterator[tuple[Corner, bool]]:
    """Some places where a cell fits, and whether each was looked for near earlier cells."""
    places = PLACES[3 if canvas.shape[0] > 1 else 2]
    for _ in range(places):
        corner = free_corner(canvas, body, generator=generator)
        if corner is None:
            break
        yield corner, False
    for reach in (rules.reach, rules.gap + TOUCHING) if placed else ():
        for _ in range(places):
            near = near_corner(canvas, body, placed, reach=reach, generator=generator)
            if near is not None:
                yield near, True


def _at_depth(canvas: Canvas, body: Body, corner: Corner, depth: float) -> Corner:
    """The place above or below a free one where the cell is as deep as it should be, if it is free as well."""
    if canvas.shape[0] == 1 or not np.isfinite(depth):
        return corner
    z = int(depth * canvas.shape[0]) - int(body.mask.sum((1, 2)).argmax())
    first, end = canvas.corners(body.mask.shape)
    moved = (z, *corner[1:])
    return moved if first[0] <= z < end[0] and canvas.fits(body.mask, moved) else corner
