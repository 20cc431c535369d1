"""The tables of synthetic images: a row an image, a row a cell."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellcascade.population.placement import Canvas, Placement, overlap


def write_tables(folder: Path, rows: list[dict], cells: list[dict], ndim: int) -> None:
    """Write `images.csv` and `cells.csv` of a shard of images with `ndim` axes."""
    pd.DataFrame(rows).to_csv(folder / "images.csv", index=False)
    pd.DataFrame(cells, columns=_cell_columns(ndim)).to_csv(folder / "cells.csv", index=False)


def _cell_columns(ndim: int) -> list[str]:
    centroid = [f"centroid_{axis}_um" for axis in "zyx"[-ndim:]]
    size = ["area_px", "area_um2"] if ndim == 2 else ["volume_voxels", "volume_um3"]
    return ["image", "label", *centroid, *size, "mean_counts", "touches_border", "clustered", "source_cell", "turn"]


def cell_rows(
    canvas: Canvas, placed: Sequence[Placement], image: np.ndarray, size_um: Sequence[float]
) -> list[dict[str, Any]]:
    """A row of `cells.csv` for each placed cell: place, size, brightness, source."""
    ndim, rows = len(size_um), []
    columns = _cell_columns(ndim)[2:]
    for item in placed:
        here, _ = overlap(item.corner, item.cell.mask.shape, canvas.shape)
        inside = canvas.labels[here] == item.label
        voxels = np.argwhere(inside)[:, -ndim:] + [part.start for part in here[-ndim:]]
        edge = (voxels == 0) | (voxels == np.array(canvas.shape[-ndim:]) - 1)
        centroid = [round(float(c), 4) for c in voxels.mean(0) * size_um]
        size = [len(voxels), round(len(voxels) * float(np.prod(size_um)), 4)]
        mean = round(float(image[here][inside].mean()), 2)
        facts = [*centroid, *size, mean, bool(edge.any()), item.clustered, item.cell.cell_id, item.turn]
        rows.append({"label": item.label, **dict(zip(columns, facts))})
    return rows
