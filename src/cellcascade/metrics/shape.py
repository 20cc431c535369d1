"""Shapes of synthetic masks against real ones: distributions of area, eccentricity, solidity, length and roughness."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from skimage.measure import find_contours, regionprops

from cellcascade.core.files import write_table
from cellcascade.data.cells import real_masks, synthetic_masks
from cellcascade.data.crops import read_crops
from cellcascade.geometry.masks import signed_distance
from cellcascade.metrics.compare import AGREEMENT, compare_tables, side_by_side

PROPERTIES = ("area", "eccentricity", "solidity", "major_axis_length", "roughness")
WAVES = slice(8, 24)  # waves per turn of an outline that are its roughness: finer than a cell's form
POINTS = 256  # of an outline


def measure_shapes(masks: Iterable[np.ndarray]) -> pd.DataFrame:
    """Measure binary masks, each as one object whatever its number of pieces.

    Args:
        masks: Masks `(y, x)`; everything above 0 is inside. Empty masks are errors of the caller.

    Returns:
        One row per mask: `area` (pixels), `eccentricity` (0 circle to 1 line, of the ellipse with equal
        second moments), `solidity` (area over area of the convex hull, 0 to 1), `major_axis_length` (pixels, of the
        same ellipse) and `roughness` (pixels, see `roughness`).

    Raises:
        ValueError: A mask is empty.
    """
    rows = []
    for index, mask in enumerate(masks):
        regions = regionprops((np.asarray(mask) > 0).astype(np.uint8))
        if not regions:
            raise ValueError(f"mask {index} is empty")
        cell = regions[0]
        rows.append((float(cell.area), cell.eccentricity, cell.solidity, cell.axis_major_length, roughness(cell.image)))
    return pd.DataFrame(rows, columns=list(PROPERTIES), dtype=float)


def roughness(mask: np.ndarray) -> float:
    """How far an outline strays, as a root mean square in pixels, in waves of 8 to 23 per turn.

    Longer waves are the cell's form, shorter ones the steps of the pixels.

    Args:
        mask: Binary mask `(y, x)`, not empty; of several pieces, the one of the longest outline counts.
    """
    outlines = find_contours(np.pad(signed_distance(np.pad(mask, 1)), 1, constant_values=-1), 0)
    steps = [np.append(0, np.hypot(*np.diff(line, axis=0).T).cumsum()) for line in outlines]
    longest = int(np.argmax([each[-1] for each in steps]))
    along, line = steps[longest], outlines[longest]
    places = np.arange(POINTS) / POINTS * along[-1]
    y, x = (np.interp(places, along, side) for side in line.T)
    power = np.abs(np.fft.fft(x + 1j * y) / POINTS) ** 2
    return float(np.sqrt(power[WAVES].sum() + power[::-1][WAVES.start - 1 : WAVES.stop - 1].sum()))  # either turn


def compare_shapes(*, crops: Path, masks: list[Path], table: Path, cells: Path) -> None:
    """Stage `evaluate_shapes`: how the synthetic masks of a data set agree with its real ones.

    Args:
        crops: Store of real crops; the widest slice of each cell counts, once.
        masks: Shards of synthetic masks; valid ones count.
        table: CSV to write, the columns `AGREEMENT`. Areas and lengths are in pixels.
        cells: CSV to write, what was measured: a row per cell, `side` (real or synthetic) and `PROPERTIES`.

    Raises:
        InputError: A store cannot be read, a mask in it is empty, or there is nothing to compare.
    """
    size = read_crops(crops).size
    sides = measure_shapes(real_masks(crops)), measure_shapes(synthetic_masks(masks, size))
    write_table(cells, side_by_side(*sides), float_format="%.6g")
    write_table(table, compare_tables(*sides)[list(AGREEMENT)], float_format="%.6g")
