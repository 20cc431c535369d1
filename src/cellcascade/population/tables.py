"""The tables of synthetic images: a row per image, a row per cell."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellcascade.population.canvas import Canvas, Placement, overlap


@dataclass(frozen=True)
class CellRow:
    """A cell of an image.

    Attributes:
        label: Its label.
        centroid_um: Where it is, ([z,] y, x), micrometres.
        size: How large it is on the image, pixels or voxels.
        size_um: The same in square or cubic micrometres.
        mean_counts: Mean of the image inside it.
        touches_border: Whether it reaches the border of the image.
        clustered: Whether it was put near earlier cells.
        source_cell: Number of the synthetic cell.
        turn: How that was turned and flipped.
    """

    label: int
    centroid_um: tuple[float, ...]
    size: int
    size_um: float
    mean_counts: float
    touches_border: bool
    clustered: bool
    source_cell: int
    turn: str

    def by_column(self) -> dict[str, Any]:
        """The row as it stands in `cells.csv`, without the image's name."""
        first = (self.label, *self.centroid_um, self.size, self.size_um, self.mean_counts)
        values = (*first, self.touches_border, self.clustered, self.source_cell, self.turn)
        return dict(zip(cell_columns(len(self.centroid_um)), values, strict=True))


@dataclass(frozen=True)
class ImageRow:
    """An image.

    Attributes:
        name: Its name, e.g. `img-00000`.
        seed: Seed of its random numbers.
        not_placed: Number of cells that found no place.
        cells: Its cells, in the order of their labels.
    """

    name: str
    seed: int
    not_placed: int
    cells: Sequence[CellRow]

    def by_column(self) -> dict[str, Any]:
        """The row as it stands in `images.csv`."""
        counts = {"cells": len(self.cells), "not_placed": self.not_placed}
        return {"image": self.name, "seed": self.seed, **counts, "clustered": sum(c.clustered for c in self.cells)}

    def attributes(self, dataset: str) -> dict[str, Any]:
        """What the image itself says, with a list of its cells in place of their number."""
        return {**self.by_column(), "dataset": dataset, "cells": [cell.by_column() for cell in self.cells]}


def cell_columns(ndim: int) -> list[str]:
    """Columns of `cells.csv` after the image's name, for images with `ndim` axes."""
    centroid = [f"centroid_{axis}_um" for axis in "zyx"[-ndim:]]
    size = ["area_px", "area_um2"] if ndim == 2 else ["volume_voxels", "volume_um3"]
    return ["label", *centroid, *size, "mean_counts", "touches_border", "clustered", "source_cell", "turn"]


def cell_rows(
    canvas: Canvas, placed: Sequence[Placement], image: np.ndarray, voxel_size_um: Sequence[float]
) -> list[CellRow]:
    """The rows of an image's cells.

    Args:
        canvas: Where the cells are.
        placed: The cells.
        image: Counts of the painted canvas, (z, y, x).
        voxel_size_um: Size of a pixel of the image, ([z,] y, x).
    """
    ndim, rows = len(voxel_size_um), []
    for item in placed:
        here, _ = overlap(item.corner, item.cell.mask.shape, canvas.shape)
        inside = canvas.labels[here] == item.label
        first = [part.start for part in here[-ndim:]]
        size, centroid, ends = _extent(inside.reshape(inside.shape[-ndim:]))
        edge = (ends[0] + first == 0) | (ends[1] + first == np.array(canvas.shape[-ndim:]) - 1)
        row = CellRow(
            label=item.label,
            centroid_um=tuple(round(float(c), 4) for c in (centroid + first) * voxel_size_um),
            size=size,
            size_um=round(size * float(np.prod(voxel_size_um)), 4),
            mean_counts=round(float(image[here][inside].mean()), 2),
            touches_border=bool(edge.any()),
            clustered=item.clustered,
            source_cell=item.cell.cell_id,
            turn=item.turn,
        )
        rows.append(row)
    return rows


def _extent(inside: np.ndarray) -> tuple[int, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Number of the pixels of a mask, ([z,] y, x), their mean position, and their lowest and highest positions."""
    axes = range(inside.ndim)
    profiles = [np.count_nonzero(inside, tuple(other for other in axes if other != axis)) for axis in axes]
    size = int(profiles[0].sum())
    centroid = np.array([profile @ np.arange(len(profile)) / size for profile in profiles])
    filled = [np.flatnonzero(profile)[[0, -1]] for profile in profiles]
    return size, centroid, (np.array([ends[0] for ends in filled]), np.array([ends[1] for ends in filled]))


def write_tables(folder: Path, rows: Sequence[ImageRow], ndim: int) -> None:
    """Write `images.csv` and `cells.csv` of a shard of images with `ndim` axes."""
    pd.DataFrame([row.by_column() for row in rows]).to_csv(folder / "images.csv", index=False)
    cells = [{"image": row.name, **cell.by_column()} for row in rows for cell in row.cells]
    pd.DataFrame(cells, columns=["image", *cell_columns(ndim)]).to_csv(folder / "cells.csv", index=False)
