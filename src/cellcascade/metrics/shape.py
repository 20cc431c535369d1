"""Shapes of synthetic masks against real ones: distributions of area, eccentricity and solidity."""

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import zarr
from skimage.measure import regionprops

from cellcascade.core.errors import InputError
from cellcascade.core.files import atomic_path
from cellcascade.data.shards import open_shard
from cellcascade.metrics.compare import agreement

PROPERTIES = ("area", "eccentricity", "solidity", "major_axis_length")


def measure(masks: Iterable[np.ndarray]) -> pd.DataFrame:
    """Measure binary masks, each as one object whatever its number of pieces.

    Args:
        masks: Masks `(n, y, x)`; everything above 0 is inside. Empty masks are errors of the caller.

    Returns:
        One row a mask: `area` (pixels), `eccentricity` (0 circle to 1 line, of the ellipse with equal
        second moments), `solidity` (area over area of the convex hull, 0 to 1) and
        `major_axis_length` (pixels, of the same ellipse).

    Raises:
        ValueError: A mask is empty.
    """
    rows = []
    for index, mask in enumerate(masks):
        regions = regionprops((np.asarray(mask) > 0).astype(np.uint8))
        if not regions:
            raise ValueError(f"mask {index} is empty")
        cell = regions[0]
        rows.append((float(cell.area), cell.eccentricity, cell.solidity, cell.axis_major_length))
    return pd.DataFrame(rows, columns=list(PROPERTIES), dtype=float)


def compare(crops: str | Path, masks: Sequence[str | Path], *, table: str | Path) -> None:
    """Write how the synthetic masks of a data set agree with its real ones, as CSV.

    Args:
        crops: Store of real crops; the widest slice of each cell counts, once.
        masks: Shards of synthetic masks; valid ones count.
        table: CSV to write, the columns of `agreement`. Areas are in pixels, axis lengths in pixels.

    Raises:
        InputError: A store cannot be read, a mask in it is empty, or there is nothing to compare.
    """
    real = _measured([(crops, "crops/1", "widest")])
    synthetic = _measured([(path, "masks/1", "valid") for path in masks])
    for measured, path, what in ((real, crops, "real"), (synthetic, list(masks), "valid synthetic")):
        if measured.empty:
            raise InputError(
                "Shapes cannot be compared",
                where=", ".join(map(str, path)) if isinstance(path, list) else path,
                found=f"no {what} mask",
                expected="at least one",
                fix="raise cells, or look at the reasons in crops.csv and in the shards' attributes",
            )
    with atomic_path(table) as scratch:
        agreement(real, synthetic).to_csv(scratch, index=False, float_format="%.6g")


def _measured(stores: Iterable[tuple[str | Path, str, str]]) -> pd.DataFrame:
    tables = [measure([])]
    for path, schema, chosen in stores:
        store = open_shard(path, schema)
        try:
            tables.append(measure(_masks(store, chosen)))
        except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
            raise InputError(
                "Masks cannot be measured",
                where=path,
                found=repr(error),
                expected=f"arrays mask (n, y, x) and {chosen} (n), with no empty mask among the {chosen} ones",
                fix=f"delete {path} and rerun snakemake: it remakes this file alone",
            ) from error
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]


def _masks(store: zarr.Group, chosen: str) -> np.ndarray:
    return store["mask"][:][store[chosen][:].astype(bool)]
