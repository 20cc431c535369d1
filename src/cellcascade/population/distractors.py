"""Distractors: bright things in real frames that annotators left unlabelled, pasted into images without a label.

Debris, dying cells and light from elsewhere are part of what a segmentation network meets. They are cut out of densely
annotated frames alone: where single slices are annotated, what bears no label may be a cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold

from cellcascade.data.inpainting import Section, clear_of, cut_alone, section_at
from cellcascade.population.bodies import Body, Corner
from cellcascade.population.canvas import Canvas, Placement
from cellcascade.population.cell_library import Cell, cell_of, turned
from cellcascade.population.search import free_corner

BRIGHT, EDGE = 0.5, 0.25  # light of a thing at its brightest, and at its outline, relative to the median cell's
NOISE = 8.0  # and at least so many standard deviations of the background
SMOOTH = 1.0  # Gaussian width of what does not count as a thing, pixels
FEWEST = 10  # pixels or voxels of a thing
APART = 3  # pixels between a thing and the nearest cell: nearer, it is a part of the cell's light
MOST_SHARE = 0.5  # things beside labelled cells; where there are more, cells were left unlabelled
TRIES = 10  # free places looked at for a thing
TRIES_AT_BORDER = 3000  # random positions there


@dataclass(frozen=True)
class Things:
    """Bright things of frames, n of them, each alone in a crop.

    Attributes:
        image: Counts, uint16, (n, z, y, x).
        mask: The thing, uint8, (n, z, y, x).
        slices: Slices that it fills from the first one on, int32, (n,).
        border: Border of the frame that it reaches along each axis, int8: -1 the first, 1 the last, 0 none; (n, 2), of
            y and x.
    """

    image: np.ndarray
    mask: np.ndarray
    slices: np.ndarray
    border: np.ndarray

    @classmethod
    def of(cls, cut: Sequence["Thing"], size: int) -> "Things":
        """Things that were cut out in crops of a size."""
        deepest = max((len(thing.image) for thing in cut), default=1)
        image, mask = np.zeros((2, len(cut), deepest, size, size), np.uint16)
        for index, thing in enumerate(cut):
            image[index, : len(thing.image)], mask[index, : len(thing.mask)] = thing.image, thing.mask
        slices = np.array([len(thing.image) for thing in cut], np.int32)
        border = np.array([thing.border for thing in cut], np.int8).reshape(-1, 2)
        return cls(image, mask.astype(np.uint8), slices, border)

    def cell(self, index: int, rim: int) -> Cell:
        """A thing in the form of a cell."""
        slices = self.slices[index]
        return cell_of(self.image[index, :slices].astype(np.float32), self.mask[index, :slices] > 0, rim=rim)


@dataclass(frozen=True)
class Thing:
    """One of `Things`: its counts and mask (z, y, x), and the borders (y, x) that it reaches."""

    image: np.ndarray
    mask: np.ndarray
    border: tuple[int, int]


def find_things(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Bright things without a label, apart from all cells.

    Args:
        image: Counts, ([z,] y, x).
        labels: Labels of equal shape, 0 is background; every cell is labelled.

    Returns:
        The things' numbers from 1 on, int32, of the image's shape; all 0 where the frame has no cells or no background.
    """
    names, clear = np.unique(labels[labels > 0]), clear_of(labels) if labels.ndim == 2 else labels == 0
    if not len(names) or not clear.any():
        return np.zeros(labels.shape, np.int32)
    level = float(np.median(image[clear]))
    contrast = float(np.median(ndimage.mean(image, labels, names))) - level
    if contrast <= 0:
        return np.zeros(labels.shape, np.int32)
    sigma = (0,) * (image.ndim - 2) + (SMOOTH, SMOOTH)
    light = np.where(labels == 0, ndimage.gaussian_filter(image.astype(np.float32), sigma) - level, 0)
    spread = 1.4826 * float(np.median(np.abs(light[clear] - np.median(light[clear]))))
    bright = max(BRIGHT * contrast, NOISE * spread)
    things, _ = ndimage.label(apply_hysteresis_threshold(light, min(EDGE * contrast, bright), bright))
    around = (3,) * (labels.ndim - 2) + (2 * APART + 1,) * 2
    sizes = np.bincount(things.ravel())
    kept = sizes >= FEWEST
    kept[np.unique(things[ndimage.maximum_filter(labels > 0, around)])] = False
    kept[0] = False
    return np.where(kept, np.cumsum(kept), 0).astype(np.int32)[things]


def cut_things(image: np.ndarray, labels: np.ndarray, *, size: int, generator: np.random.Generator) -> list[Thing]:
    """Cut the bright things out of a frame; none if they are so many that cells must have been left unlabelled.

    Args:
        image: Counts, ([z,] y, x).
        labels: Labels of equal shape, 0 is background; every cell is labelled.
        size: Edge of the crops, pixels; things that do not fit are left out.
        generator: Source of randomness.
    """
    things = find_things(image, labels)
    if things.max(initial=0) > MOST_SHARE * len(np.unique(labels[labels > 0])):
        return []
    first, boxes = int(labels.max(initial=0)) + 1, ndimage.find_objects(things)
    everything = np.where(things > 0, things + (first - 1), labels.astype(np.int32))
    volume = things if things.ndim == 3 else things[None]
    sections, found = dict[int, Section](), list[Thing]()
    for number, box in enumerate(boxes):
        edges = [side.stop - side.start for side in box[-2:]]
        if max(edges) + 2 * (APART + 1) > size:
            continue
        y, x = (side.start - (size - edge) // 2 for side, edge in zip(box[-2:], edges))
        alone, masks = [], []
        for z in range(box[0].start, box[0].stop) if things.ndim == 3 else range(1):
            if z not in sections:
                sections[z] = section_at(image, everything, z, size=size)
            masks.append(np.pad(volume[z] == number + 1, size)[y + size : y + 2 * size, x + size : x + 2 * size])
            section, label = sections[z], first + number
            alone.append(cut_alone(section, (y, x), mask=masks[-1], label=label, generator=generator))
        at_y, at_x = (int(side.stop == n) - int(side.start == 0) for side, n in zip(box[-2:], things.shape[-2:]))
        found.append(Thing(np.stack(alone), np.stack(masks), (at_y, at_x)))
    return found


def place_things(
    things: Things, canvas: Canvas, count: int, *, first: int, rim: int, generator: np.random.Generator
) -> list[Placement]:
    """Put random things on a canvas, turned and flipped, apart from its cells; those without a place are left out.

    Args:
        things: What to choose from.
        canvas: The canvas with its cells.
        count: How many.
        first: Label of the first of them on the canvas, above those of the cells.
        rim: Pixels around a thing that are seen of its crop.
        generator: Source of randomness.
    """
    placed: list[Placement] = []
    for index in generator.integers(len(things.slices), size=count) if len(things.slices) else ():
        cell, border, turn = things.cell(int(index), rim), things.border[index], "rot0"
        if not border.any():
            cell, turn = turned(cell, generator)
        body = Body.of(cell.mask, canvas.around)
        canvas.free.fit(body)
        for _ in range(TRIES):
            corner = _free_place(canvas, body, border, generator)
            if corner is None or canvas.separation(body.mask, corner) > APART + 1:
                break
        if corner is None or canvas.separation(body.mask, corner) <= APART + 1:
            continue
        label = first + len(placed)
        canvas.put(body, corner, label)
        z, y, x = (c - start for c, start in zip(corner, body.start))
        placed.append(Placement(cell, (z, y, x), label, False, turn, body))
    return placed


def _free_place(canvas: Canvas, body: Body, border: np.ndarray, generator: np.random.Generator) -> Corner | None:
    """A free corner for a thing, anywhere or, if the frame's border cut it, at that border (-1, 1; 0 none, (y, x))."""
    if not border.any():
        return free_corner(canvas, body, generator=generator)
    last = np.array(canvas.shape) - body.mask.shape
    if (last < 0).any():
        return None
    ends = np.where(border < 0, 0, last[1:])
    for _ in range(TRIES_AT_BORDER):
        z, y, x = (int(c) for c in generator.integers(0, last + 1))
        corner = (z, int(ends[0]) if border[0] else y, int(ends[1]) if border[1] else x)
        if canvas.fits(body.mask, corner):
            return corner
    return None
