"""The grain of cells: how strong the finest structure inside an outline is, and how far it reaches. Free of torch."""

import numpy as np
from scipy import ndimage

SMOOTH = 2.0  # Gaussian width of what does not count as grain, pixels
LEAST = 1e-12  # variance below which there is no grain
FEWEST = 12  # pixels of a cell, below which its grain says nothing


def measure_grain(image: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Strength and reach of a cell's grain.

    Grain is what is left inside the outline when the local mean, of pixels inside alone, is taken away.

    Args:
        image: The cell `(y, x)`, in any unit; noise is most even on the unit scale (root of windowed counts).
        mask: The cell `(y, x)`; everything above 0 is inside.

    Returns:
        Its standard deviation in the image's unit, and the correlation of neighbouring pixels, -1 to 1; 0 and 0 of a
        cell that has none or is too small.
    """
    inside = np.asarray(mask) > 0
    if inside.sum() < FEWEST:
        return 0.0, 0.0
    sides = ndimage.find_objects(inside.astype(np.uint8))[0]
    box = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in sides)
    inside, light = inside[box], np.asarray(image, np.float32)[box]
    weight = ndimage.gaussian_filter(inside.astype(np.float32), SMOOTH, mode="constant")
    mean = ndimage.gaussian_filter(np.where(inside, light, 0), SMOOTH, mode="constant") / np.maximum(weight, 1e-6)
    grain = np.where(inside, light - mean, 0)
    variance = float(np.square(grain, dtype=np.float64).sum() / inside.sum())
    if variance < LEAST:
        return variance**0.5, 0.0
    total, pairs = 0.0, 0
    for first, second in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        total += float((grain[first] * grain[second]).sum())
        pairs += int((inside[first] & inside[second]).sum())
    return variance**0.5, total / max(1, pairs) / variance
