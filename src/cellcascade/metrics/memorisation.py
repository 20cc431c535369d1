"""Memorisation: are synthetic cells nearer to the training cells than real cells that were not trained on?

Cells are compared with their centroids in the middle, under the 8 rotations by quarter turns and flips of a square,
at 32 pixels or fewer a side.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from scipy import ndimage

from cellcascade.core.files import write_table
from cellcascade.data.cells import CellStack, check_size, synthetic_masks, synthetic_stacks
from cellcascade.data.crops import Crops, read_crops

LARGEST = 32  # pixels of a side at which cells are compared
AT_ONCE = 256  # cells that are in memory at their full size
PERCENTILE = 5  # percentile of the distances of real test cells below which a cell is suspiciously near
FEWEST = 20  # real test cells below which a share of 5 % is less than one cell

T = TypeVar("T")
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
    cells = aligned(_about_mean(images, masks), masks)
    norm = np.sqrt((cells**2).sum((1, 2), keepdims=True))
    return cells / np.maximum(norm, 1e-12)


def _about_mean(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    inside = np.asarray(masks) > 0
    mean = np.where(inside, images, 0).sum((1, 2), dtype=float) / inside.sum((1, 2))
    return np.where(inside, images - mean[:, None, None], 0).astype(np.float32)


def iou_distances(masks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """One minus the intersection over union of each of `masks` `(n, p)` with each of `others` `(m, p)`: `(n, m)`."""
    a, b = masks.astype(np.float32, copy=False), others.astype(np.float32, copy=False)
    shared = a @ b.T
    return 1 - shared / np.maximum(a.sum(1)[:, None] + b.sum(1) - shared, 1)


def correlation_distances(cells: np.ndarray, others: np.ndarray) -> np.ndarray:
    """One minus the correlation of each of `cells` `(n, p)` with each of `others` `(m, p)`, of unit norm: `(n, m)`."""
    return 1 - cells @ others.T


def nearest(cells: np.ndarray, training: Iterable[np.ndarray], distance: Distance) -> np.ndarray:
    """Distance of each cell to the training cell that is nearest under rotations and flips.

    Args:
        cells: Cells `(n, y, x)`, aligned.
        training: Training cells, aligned, some `(m, y, x)` at a time.
        distance: Distances `(n, m)` of cells `(n, p)` and `(m, p)`.

    Returns:
        Distances `(n)`.
    """
    found, flat = np.full(len(cells), np.inf), cells.reshape(len(cells), -1)
    for some in training:
        for turned in (np.rot90(flipped, k, (1, 2)) for flipped in (some, some[:, :, ::-1]) for k in range(4)):
            found = np.minimum(found, distance(flat, turned.reshape(len(some), -1)).min(1))
    return found


def shares(what: str, synthetic: np.ndarray, test: np.ndarray, training: int) -> dict:
    """How many synthetic cells are nearer to training cells than nearly all real test cells are.

    Args:
        what: Name of the row.
        synthetic: Distances `(n)` of synthetic cells to the nearest training cells, see `nearest`.
        test: Those `(k)` of real cells of the test sequence.
        training: Number of training cells.

    Returns:
        A row of the table that `compare_memorisation` writes.
    """
    threshold = np.percentile(test, PERCENTILE)
    near_synthetic, near_real = float((synthetic < threshold).mean()), float((test < threshold).mean())
    return {
        "what": what,
        "n_synthetic": len(synthetic),
        "n_real_test": len(test),
        "n_train": training,
        "threshold": threshold,
        "share_synthetic": near_synthetic,
        "share_real": near_real,
        "excess": near_synthetic - near_real if len(test) >= FEWEST else np.nan,
        "nearest_synthetic_median": np.median(synthetic),
        "nearest_real_median": np.median(test),
        "nearest_ratio": np.median(synthetic) / np.median(test),
    }


def compare_memorisation(
    *, crops: Path, test_crops: Path, masks: list[Path], textures: list[Path], table: Path
) -> None:
    """Stage `evaluate_memorisation`: the share of synthetic cells that are suspiciously near to a training cell.

    Row `mask` compares outlines, each cell on its widest slice, by one minus the intersection over union; row `image`
    compares the counts inside the cells, synthetic and test cells on their widest slices with every training crop, by
    one minus their correlation. The threshold is the 5th percentile of the distances of real test cells, so that
    `share_real` is 0.05 with enough of them (`n_real_test`), and one cell's share with fewer than 20; there is no
    `excess` then. `nearest_ratio` compares the medians of the distances, with any number of cells: about 1 where
    synthetic cells are as new as real ones, 0 of copies.

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
    check_size(test_crops, test.size, training.size)
    whole, seen = np.flatnonzero(training.widest), np.flatnonzero(test.widest)
    cells = synthetic_stacks(textures, training.size)
    shapes = (
        (aligned_masks(np.stack(some)) for some in _in_blocks(synthetic_masks(masks, training.size))),
        (aligned_masks(test.store.read("mask", np.array(rows))) for rows in _in_blocks(seen)),
        (aligned_masks(training.store.read("mask", np.array(rows))) for rows in _in_blocks(whole)),
    )
    pictures = (
        (aligned_cells(*map(np.stack, zip(*some))) for some in _in_blocks(map(_widest, cells))),
        (aligned_cells(*_planes(test, rows)) for rows in _in_blocks(seen)),
        (aligned_cells(*_planes(training, rows)) for rows in _in_blocks(range(len(training.widest)))),
    )
    found = [
        shares("mask", *_distances(*shapes, iou_distances), len(whole)),
        shares("image", *_distances(*pictures, correlation_distances), len(training.widest)),
    ]
    write_table(table, pd.DataFrame(found), float_format="%.6g")


def _distances(
    synthetic: Iterable[np.ndarray], test: Iterable[np.ndarray], training: Iterable[np.ndarray], distance: Distance
) -> tuple[np.ndarray, np.ndarray]:
    """Distances of synthetic and of test cells to the nearest training cells; each is given some cells at a time."""
    made = list(synthetic)
    count = sum(map(len, made))
    found = nearest(np.concatenate([*made, *test], dtype=np.float32), training, distance)
    return found[:count], found[count:]


def _in_blocks(items: Iterable[T]) -> Iterator[list[T]]:
    """`AT_ONCE` items at a time."""
    rest = iter(items)
    return iter(lambda: list(islice(rest, AT_ONCE)), [])


def _planes(crops: Crops, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Counts and masks (n, y, x) of some crops."""
    return crops.store.read("image", np.array(rows)), crops.store.read("mask", np.array(rows))


def _widest(cell: CellStack) -> tuple[np.ndarray, np.ndarray]:
    """Counts and mask (y, x) of a cell on its widest slice, without the others in memory."""
    image, mask = cell.plane
    return image.copy(), mask.copy()
