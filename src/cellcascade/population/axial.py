"""Blur along z, where cells are annotated in single slices: the ends of such cells fade as a microscope shows them.

What is made slice by slice is as sharp along z as it is across, for across is all that single slices show. A microscope
blurs more along z. How much more is known only roughly, but better than not at all. Where stacks are annotated as a
whole, the models have learned from slices of all heights, and nothing is added.
"""

import logging
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import ndimage
from scipy.special import ndtr, ndtri

from cellcascade.core.choice import evenly_spaced
from cellcascade.data.shards import Store
from cellcascade.data.stores import CropsRecord
from cellcascade.geometry.masks import signed_distance

ELONGATED = 2.0  # blur along z over blur across: of confocal and light-sheet microscopes, some 2 to 3
MISSING = (ELONGATED**2 - 1) ** 0.5  # blur to add to one that is the same along z, as a share of it
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


def axial_blur(width: float, voxel_size_um: Sequence[float]) -> tuple[float, float]:
    """What is missing of the blur along z, and what light it leaves beyond a cell.

    Args:
        width: Blur across, pixels.
        voxel_size_um: Size of a voxel, (z, y, x).

    Returns:
        Gaussian width of the blur to add, slices; and the light in the slice beyond a cell's end relative to that in
        its end slice.
    """
    across = width * voxel_size_um[-1] / voxel_size_um[0]
    return round(MISSING * across, DIGITS), round(_beyond(ELONGATED * across), DIGITS)


def faded(light: np.ndarray, blur: float) -> np.ndarray:
    """The light of a cell, blurred along z.

    Args:
        light: Counts above the background within the cell, 0 elsewhere, (z, y, x); as sharp along z as across.
        blur: Gaussian width that `axial_blur` gives, slices.
    """
    more, decay = int(np.ceil(3 * blur)), _beyond(blur / MISSING)
    whole = np.pad(light, [(more, more), (0, 0), (0, 0)])
    for stack in (whole, whole[::-1]):  # the light that goes on beyond the cell is blurred, too
        for z in range(1, len(stack)):
            stack[z] = np.maximum(stack[z], decay * stack[z - 1])
    return ndimage.gaussian_filter1d(whole, blur, axis=0)[more : more + len(light)]


def _beyond(blur: float) -> float:
    """Light in the slice beyond a cell's end relative to that in its end slice, of a blur in slices."""
    end = ndtr(0.5 / max(blur, 1e-6))
    return float((1 - end) / end)


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
