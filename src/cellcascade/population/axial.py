"""Fading along z, where cells are annotated in single slices: their ends are dim, as a microscope shows them.

What is made slice by slice is as bright at its ends as in its middle. How real cells fade is measured through
annotated sections (`data.along_z`). Where there are too few of them, cells are taken to be blurred along z as they are
across, but more so: how much more is known only roughly, but better than not at all. Where stacks are annotated as a
whole, the models have learned from slices of all heights, and nothing is added.
"""

import logging
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.special import ndtr, ndtri

from cellcascade.core.choice import evenly_spaced
from cellcascade.data.along_z import Fading
from cellcascade.data.shards import Store
from cellcascade.data.stores import CropsRecord
from cellcascade.geometry.masks import signed_distance

ELONGATED = 2.0  # blur along z over blur across: of confocal and light-sheet microscopes, some 2 to 3
COLUMNS = 0.5  # distance from the outline from which on a column is of the core, relative to the largest
CORE = 2  # pixels inside the outline, beyond which a cell is as bright as it is
AWAY = 5  # pixels outside it, beyond which there is background
FEWEST = 20  # pixels of each
EDGES = 128  # crops whose edges are looked at
DIGITS = 6  # of a result: what comes after them may differ from machine to machine

logger = logging.getLogger(__name__)


def measured_width(crops: Store[CropsRecord]) -> float:
    """`edge_width` of the cells of a crops store, on their widest slices."""
    rows = np.array(evenly_spaced(list(np.flatnonzero(crops["widest"])), EDGES))
    width = edge_width(crops.read("image", rows).astype(np.float32), crops.read("mask", rows))
    logger.info("the cells' edges are %.2g pixels wide", width)
    return width


def edge_width(images: Iterable[np.ndarray], masks: Iterable[np.ndarray]) -> float:
    """Gaussian width of the cells' edges, pixels; 0 where no cell is large enough to tell.

    It is that of a sharp edge which was blurred until its light falls as much from the outline's last pixels within to
    the first ones outside as that of the cells does on average.

    Args:
        images: Counts of cells alone on background, each (y, x).
        masks: Their masks.
    """
    found = [seen for image, mask in zip(images, masks) if (seen := _fall(image, mask))]
    fall, distance = np.mean(found, axis=0).tolist() if found else (0.0, 0.0)
    return float(distance / ndtri((1 + fall) / 2)) if 0 < fall < 1 else 0.0


def assumed_fading(width: float, voxel_size_um: Sequence[float]) -> Fading | None:
    """How cells fade along z if a microscope blurs `ELONGATED` times as much along z as across; `None` without blur.

    Args:
        width: Blur across, pixels.
        voxel_size_um: Size of a voxel, (z, y, x).
    """
    along = ELONGATED * width * voxel_size_um[-1] / voxel_size_um[0]
    if along <= 0:
        return None
    fall = ndtr((np.arange(int(np.ceil(3 * along)) + 1) + 0.5) / along)
    return Fading(fall=tuple(fall.round(DIGITS).tolist()), decay=round(float((1 - fall[0]) / fall[0]), DIGITS))


def missing_fall(fading: Fading, cells: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[float, ...]:
    """Share of their light that cells must keep, from their ends inwards, to fade as real ones do.

    Cells are no block of light as they are: their end slices are small, and as blurred across as all slices; others may
    be brighter than the middle.

    Args:
        fading: How real cells fade.
        cells: Light above the background, and mask, of some cells, each (z, y, x).
    """
    own = [_own_fall(light, mask, len(fading.fall)) for light, mask in cells]
    seen = np.isfinite(own).any(0)
    mean = np.where(seen, np.nansum(own, 0) / np.maximum(np.isfinite(own).sum(0), 1), 1)
    return tuple(np.minimum(np.array(fading.fall) / np.maximum(mean, 1e-6), 1).round(DIGITS).tolist())


def _own_fall(light: np.ndarray, mask: np.ndarray, slices: int) -> np.ndarray:
    """Light of the first, second, … voxel of the columns through a cell's core, relative to their middle; NaN: none."""
    distance = signed_distance(mask[mask.sum((1, 2)).argmax()])
    core = mask & (distance > COLUMNS * distance.max())
    deep = np.minimum(_deep(core), _deep(core[::-1])[::-1])
    middle = light[core & (deep == deep.max(0))].mean()
    within = [light[deep == step] for step in range(1, slices + 1)]
    return np.array([part.mean() / max(middle, 1e-6) if part.size else np.nan for part in within])


def _deep(mask: np.ndarray) -> np.ndarray:
    """Number of each voxel in its column (z, y, x), counted from where the column enters the cell; 0 beside it."""
    deep = np.zeros(mask.shape, int)
    for z, plane in enumerate(mask):
        deep[z] = np.where(plane, (deep[z - 1] if z else 0) + 1, 0)
    return deep


def beyond(light: np.ndarray, mask: np.ndarray, decay: float, *, slices: int) -> np.ndarray:
    """A cell's light with what is seen of it above and below its voxels: each slice shows a share of the one before.

    Args:
        light: Counts above the background (z, y, x).
        mask: The cell (z, y, x).
        decay: Share of the light that the next slice shows.
        slices: How many to add on each side.
    """
    wide = [(slices, slices), (0, 0), (0, 0)]
    whole, within = np.pad(light, wide), np.pad(mask, wide)
    for stack, inside in ((whole, within), (whole[::-1], within[::-1])):
        for z in range(1, len(stack)):
            stack[z] = np.where(inside[z], stack[z], np.maximum(stack[z], decay * stack[z - 1]))
    return whole


def faded(mask: np.ndarray, fall: Sequence[float]) -> np.ndarray:
    """Share of its light that each voxel of a cell keeps when the cell fades along z, (z, y, x); 1 beside the cell.

    In each column, the voxel farthest from the ends keeps all of it. Near the outline of the widest slice columns are
    short, but of this slice the crops show how its edges fade.

    Args:
        mask: The cell, (z, y, x).
        fall: As of `Fading`.
    """
    table = np.array([1.0, *fall, 1.0])
    share = np.ones(mask.shape)
    for inside, part in ((mask, share), (mask[::-1], share[::-1])):
        part *= table[np.minimum(_deep(inside), len(table) - 1)]
    most = np.where(mask, share, 0).max(0)
    return np.where(mask, share / np.where(most > 0, most, 1), 1)


def _fall(image: np.ndarray, mask: np.ndarray) -> tuple[float, float] | None:
    """Light of the last pixels within the outline less that of the first outside, as a share of the cell's own.

    And the mean distance of these pixels from the outline, pixels; `None` of a cell too small to tell.
    """
    distance = signed_distance(mask)
    core, away = distance > CORE, distance < -AWAY
    if min(core.sum(), away.sum()) < FEWEST:
        return None
    own = image[core].mean() - image[away].mean()
    within, outside = (distance > 0) & (distance < 1), (distance < 0) & (distance > -1)
    if own <= 0:
        return None
    fall = float((image[within].mean() - image[outside].mean()) / own)
    return fall, float(np.abs(distance[within | outside]).mean())
