"""How alike the slices of real cells are, also of those that are annotated in one slice: the stack shows the others."""

from collections.abc import Iterable, Sequence

import numpy as np
from scipy import ndimage

from cellcascade.data.objects import Cell

INNER = 2  # pixels between a cell's outline and what is compared: a slice further on, the cell may be smaller
FEWEST_PIXELS, FEWEST_PAIRS = 25, 4  # that tell anything


def inner_of(masks: np.ndarray) -> np.ndarray:
    """The inner part of masked cells, (..., y, x), bool: what the slices above and below show as well."""
    cross = np.zeros((3,) * masks.ndim, bool)
    cross[(1,) * (masks.ndim - 2)] = ndimage.generate_binary_structure(2, 1)
    return ndimage.binary_erosion(masks > 0, cross, iterations=INNER)


def correlation(first: np.ndarray, second: np.ndarray, where: np.ndarray) -> float:
    """Pearson correlation of the counts of two planes (y, x) where a mask says; NaN of too few or constant counts."""
    if where.sum() < FEWEST_PIXELS:
        return float("nan")
    pair = np.stack([first[where], second[where]]).astype(float)
    return float(np.corrcoef(pair)[0, 1]) if pair.std(1).all() else float("nan")


def measure_likeness(image: np.ndarray, cells: Iterable[Cell], first: int = 0) -> list[float]:
    """Correlations between the widest slice of cells and the slices above and below it.

    Args:
        image: The stack, counts, (z, y, x); a plane has no other slices.
        cells: Its cells.
        first: Number of the first slice that the image holds, of those of the cells' stack.
    """
    found: list[float] = []
    for cell in cells if image.ndim == 3 else ():
        if not cell.slices:
            continue
        plane = cell.slices[0]
        middle = plane.z - first
        (y, x), (height, width) = plane.corner, plane.mask.shape
        box, inner = (slice(y, y + height), slice(x, x + width)), inner_of(np.pad(plane.mask, INNER))
        inner = inner[INNER : INNER + height, INNER : INNER + width]
        others = [z for z in (middle - 1, middle + 1) if 0 <= z < len(image)]
        found += [correlation(image[middle][box], image[z][box], inner) for z in others]
    return [value for value in found if np.isfinite(value)]


def mean_likeness(found: Sequence[float]) -> float | None:
    """Mean of correlations; `None` of too few."""
    return float(np.mean(found)) if len(found) >= FEWEST_PAIRS else None
