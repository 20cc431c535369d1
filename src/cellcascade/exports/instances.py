"""Segmentations of nnU-Net, which are classes, as labels of cells: a folder of TIFF files into another."""

from pathlib import Path

import numpy as np
import tifffile

from cellcascade.core.errors import InputError
from cellcascade.core.files import atomic_path
from cellcascade.data.tiff import READ_ERRORS
from cellcascade.exports.nnunet import CLASSES, to_instances
from cellcascade.exports.stage import check_free


def convert_folder(classes: Path, folder: Path) -> int:
    """Make cells of the classes of all TIFF files of a folder.

    Args:
        classes: Folder of TIFF files that nnU-Net predicted, or `labelsTr`.
        folder: New folder for files of the same names; complete or absent.

    Returns:
        Number of files.

    Raises:
        InputError: There are no files, one of them does not hold the classes, or the new folder is not empty.
    """
    paths = sorted(classes.glob("*.tif"))
    if not paths:
        found = "no *.tif file" if classes.is_dir() else "no such folder"
        raise _refused("There are no segmentations", classes, found)
    check_free(folder, classes)
    with atomic_path(folder) as scratch:
        scratch.mkdir()
        for path in paths:
            tifffile.imwrite(scratch / path.name, to_instances(_read(path)), compression="zlib")
    return len(paths)


def _read(path: Path) -> np.ndarray:
    try:
        classes = tifffile.imread(path)
    except READ_ERRORS as error:
        raise _refused("A segmentation cannot be read", path, repr(error)) from error
    values = np.unique(classes)
    if classes.ndim not in (2, 3) or not np.isin(values, list(CLASSES.values())).all():
        found = f"values {', '.join(map(str, values[:8].tolist()))}, shape {classes.shape}"
        raise _refused("A segmentation does not hold the classes of this format", path, found)
    return classes


def _refused(what: str, where: Path, found: str) -> InputError:
    classes = ", ".join(f"{value} ({name})" for name, value in CLASSES.items())
    return InputError(
        what,
        where=where,
        found=found,
        expected=f"TIFF files, 2D or 3D, with the values {classes}",
        fix="give the folder that nnUNetv2_predict wrote, of a network trained on an export of this format",
    )
