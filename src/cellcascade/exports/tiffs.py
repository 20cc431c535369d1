"""TIFF files as all programs read them: grey, one image or stack a file, with the size of the pixels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile

UINT16 = 65535  # largest label of files that hold 16 bits a pixel


def write_counts(path: Path, counts: np.ndarray, voxel_size_um: Sequence[float]) -> None:
    """Write an image, uncompressed: noise hardly shrinks, and plain files are read fastest.

    Args:
        path: The file; its folder is made.
        counts: Counts, ([z,] y, x).
        voxel_size_um: Size of a pixel, ([z,] y, x), micrometres.
    """
    _write(path, counts, voxel_size_um, None)


def write_labels(path: Path, labels: np.ndarray, voxel_size_um: Sequence[float]) -> None:
    """Write labels, compressed: they shrink to a few percent.

    Args:
        path: The file; its folder is made.
        labels: Labels, ([z,] y, x), of the type in which they are written.
        voxel_size_um: Size of a pixel, ([z,] y, x), micrometres.
    """
    _write(path, labels, voxel_size_um, "zlib")


def _write(path: Path, pixels: np.ndarray, voxel_size_um: Sequence[float], compression: str | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(
        path,
        pixels,
        photometric="minisblack",
        compression=compression,
        resolution=(1e4 / voxel_size_um[-1], 1e4 / voxel_size_um[-2]),
        resolutionunit="CENTIMETER",
        metadata={"axes": "ZYX"[-pixels.ndim :], "spacing": voxel_size_um[0], "unit": "um"},
    )
