"""Memorisation: are synthetic cells nearer to the training cells than real cells that were not trained on?

Cells are compared with their centroids in the middle, under the 8 rotations by quarter turns and flips of a square,
at 32 pixels or fewer a side.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from cellcascade.core.files import write_table
from cellcascade.data.cells import check_size, synthetic_masks, synthetic_stacks, widest_planes
from cellcascade.data.crops import read_crops

LARGEST = 32  # pixels of a side at which cells are compared
AT_ONCE = 256  # cells of which numbers in double precision are in memory
PERCENTILE = 5  # percentile of the distances of real test cells below which a cell is suspiciously near

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def aligned(planes: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Planes with the centroid of each mask moved to the middle, reduced to 32 pixels or fewer a side.

    Args:
        planes: What is moved, `(n, y, x)`, square.
        masks: The cells `(n, y, x)`; none is empty.

    Returns:
        Planes `(n, v, u)`, float32; what comes from outside is 0.
    """
    size = planes.shape[-1]
    block = -(-size // LARGEST)
    side = -(-size // block)
    made = np.empty((len(planes), side, side), np.float32)
    for target, plane, mask in zip(made, planes, masks):
        wide = np.zeros((side * block, side * block), np.float32)
        shift = (len(wide) - 1) / 2 - np.array(ndimage.center_of_mass(mask > 0))
        wide[:size, :size] = plane
        target[...] = ndimage.shift(wide, shift, order=1).reshape(side, block, side, block).mean((1, 3))
    return made


def aligned_masks(masks: np.ndarray) -> np.ndarray:
    """Masks `(n, y, x)` as `aligned` makes them, boolean `(n, v, u)`."""
    return aligned(np.asarray(masks) > 0, masks) > 0.5


def aligned_cells(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Counts inside each cell `(n, y, x)` about the cell's mean, as `aligned` makes them, of unit norm `(n, v, u)`."""
    parts = [slice(start, start + AT_ONCE) for start in range(0, len(images), AT_ONCE)]
    cells = np.concatenate([aligned(_about_mean(images[part], masks[part]), masks[part]) for part in parts])
    norm = np.sqrt((cells**2).sum((1, 2), keepdims=True))
    return cells / np.maximum(norm, 1e-12)


def _about_mean(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    inside = np.asarray(masks) > 0
    mean = np.where(inside, images, 0).sum((1, 2), dtype=float) / inside.sum((1, 2))
    return np.where(inside, images - mean[:, None, None], 0).astype(np.float32)


def iou_distances(masks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """One minus the intersection over union of each of `masks` `(n, p)` with each of `others` `(m, p)`: `(n, m)`."""
    a, b = masks.astype(np.float32), others.astype(np.float32)
    shared = a @ b.T
    return 1 - shared / np.maximum(a.sum(1)[:, None] + b.sum(1) - shared, 1)


def correlation_distances(cells: np.ndarray, others: np.ndarray) -> np.ndarray:
    """One minus the correlation of each of `cells` `(n, p)` with each of `others` `(m, p)`, of unit norm: `(n, m)`."""
    return 1 - cells @ others.T


def nearest(cells: np.ndarray, training: np.ndarray, distance: Distance) -> np.ndarray:
    """Distance of each cell to the training cell that is nearest under rotations and flips.

    Args:
        cells: Cells `(n, y, x)`, aligned.
        training: Training cells `(m, y, x)`, aligned.
        distance: Distances `(n, m)` of cells `(n, p)` and `(m, p)`.

    Returns:
        Distances `(n)`.
    """
    found = np.full(len(cells), np.inf)
    flat = training.reshape(len(training), -1)
    for turned in (np.rot90(flipped, k, (1, 2)) for flipped in (cells, cells[:, :, ::-1]) for k in range(4)):
        found = np.minimum(found, distance(turned.reshape(len(cells), -1), flat).min(1))
    return found


def shares(what: str, synthetic: np.ndarray, test: np.ndarray, training: np.ndarray, distance: Distance) -> dict:
    """How many synthetic cells are nearer to training cells than nearly all real test cells are.

    Args:
        what: Name of the row.
        synthetic: Synthetic cells `(n, y, x)`, aligned.
        test: Real cells of the test sequence `(k, y, x)`, aligned.
        training: Real cells of the training sequence `(m, y, x)`, aligned.
        distance: See `nearest`.

    Returns:
        A row of the table that `compare_memorisation` writes.
    """
    made, real = (nearest(cells, training, distance) for cells in (synthetic, test))
    threshold = np.percentile(real, PERCENTILE)
    near_synthetic, near_real = float((made < threshold).mean()), float((real < threshold).mean())
    return {
        "what": what,
        "n_synthetic": len(made),
        "n_real_test": len(real),
        "n_train": len(training),
        "threshold": threshold,
        "share_synthetic": near_synthetic,
        "share_real": near_real,
        "excess": near_synthetic - near_real,
        "nearest_synthetic_median": np.median(made),
        "nearest_real_median": np.median(real),
    }


def compare_memorisation(
    *, crops: Path, test_crops: Path, masks: list[Path], textures: list[Path], table: Path
) -> None:
    """Stage `evaluate_memorisation`: the share of synthetic cells that are suspiciously near to a training cell.

    Row `mask` compares outlines, each cell on its widest slice, by one minus the intersection over union; row `image`
    compares the counts inside the cells, synthetic and test cells on their widest slices with every training crop, by
    one minus their correlation. The threshold is the 5th percentile of the distances of real test cells, so that
    `share_real` is 0.05 with enough of them (`n_real_test`), and one cell's share with fewer than about 20.

    Args:
        crops: Store of the crops that the models were trained on.
        test_crops: Store of crops of the test sequence, of the same size.
        masks: Shards of synthetic masks; valid ones count.
        textures: Shards of synthetic cells; valid ones count.
        table: CSV to write, the columns of `shares`.

    Raises:
        InputError: A store cannot be read, the sizes of its cells differ, or there is no synthetic cell.
    """
    training, test = read_crops(crops), read_crops(test_crops)
    _, y, x = training.mask.shape
    size = y, x
    check_size(test_crops, test.mask.shape[1:], size)
    made, cells = synthetic_masks(masks, size), widest_planes(synthetic_stacks(textures, size))
    whole, seen = training.widest.astype(bool), test.widest.astype(bool)
    outlines = aligned_masks(made), aligned_masks(test.mask[seen]), aligned_masks(training.mask[whole])
    pictures = (
        aligned_cells(*cells),
        aligned_cells(test.image[seen], test.mask[seen]),
        aligned_cells(training.image, training.mask),
    )
    rows = [shares("mask", *outlines, iou_distances), shares("image", *pictures, correlation_distances)]
    write_table(table, pd.DataFrame(rows), float_format="%.6g")
