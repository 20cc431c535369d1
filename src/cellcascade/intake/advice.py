"""The settings that fit the cells."""

import math
from dataclasses import dataclass

import numpy as np

from cellcascade.config.values import BUNDLED_GRID
from cellcascade.data.layout import FEWEST_PAIRS
from cellcascade.intake.measures import Cells

MARGIN = 2  # free pixels wanted between a cell and the crop's edge, the default of crops.margin
CROPS_WANTED = 200  # of which the models learn; from stacks with fewer cells, more slices of each are taken
MOST_SLICES = 7


@dataclass(frozen=True)
class Advice:
    """Settings of one data set.

    Attributes:
        crop_size: Edge of the crops, pixels.
        min_area: Area of the smallest cells that are learned from, pixels.
        slices_per_cell: Slices taken of each cell of a stack.
        clustering: Probability that a cell is put near earlier ones.
        reach: How near, pixels.
        gap: Least background between two cells, pixels.
        rim: Background pasted around a cell, pixels.
        by_data: Whether the annotated cells are so many that the workflow itself sees from them how cells lie.
    """

    crop_size: int
    min_area: int
    slices_per_cell: int
    clustering: float
    reach: int
    gap: int
    rim: int
    by_data: bool


def advise(cells: Cells, extent: tuple[float, ...], *, dense: bool) -> Advice:
    """Settings that fit the annotated cells.

    Args:
        cells: The cells of the frames that were looked at.
        extent: Size of a frame, ([z,] y, x), pixels of the plane on all axes.
        dense: Whether stacks are annotated as a whole, not in single slices.
    """
    edges, areas = cells.edges[cells.fitting], cells.areas[cells.fitting]
    wanted = float(np.percentile(edges, 98)) + 2 * MARGIN
    diameter = float(np.median(cells.diameters[cells.fitting]))
    between = cells.neighbours - diameter if len(cells.neighbours) else np.array([diameter])
    reach = round(float(np.clip(np.percentile(between, 75), 4, max(diameter, 4))))
    slices = math.ceil(CROPS_WANTED / max(sum(cells.per_frame), 1)) if len(extent) == 3 and dense else 1
    return Advice(
        crop_size=BUNDLED_GRID * math.ceil(wanted / BUNDLED_GRID),
        min_area=int(min(50, max(5, 0.5 * np.percentile(areas, 5)))),
        slices_per_cell=min(slices, MOST_SLICES),
        clustering=_clustering(cells, diameter + reach, extent),
        reach=reach,
        gap=round(float(np.clip(np.percentile(between, 5) - 0.1 * diameter, 0, 3))),
        rim=int(np.clip(round(diameter / 6), 3, 8)),
        by_data=dense and sum(count * (count - 1) // 2 for count in cells.per_frame) >= FEWEST_PAIRS,
    )


def _clustering(cells: Cells, near: float, extent: tuple[float, ...]) -> float:
    """The share of cells that have another one near, beyond that of cells strewn at random: 0.1 to 0.9."""
    if not len(cells.neighbours):
        return 0.5
    ball = math.pi * near**2 if len(extent) == 2 else 4 / 3 * math.pi * near**3
    strewn = 1 - math.exp(-float(np.mean(cells.per_frame)) * ball / math.prod(extent))
    share = float((cells.neighbours <= near).mean())
    return round(float(np.clip((share - strewn) / max(1 - strewn, 0.05), 0.1, 0.9)), 1)
