"""Cell Tracking Challenge: `01/tTTT.tif` and `01_GT/SEG/man_segTTT.tif`.

Images are numbered as frames are, but they are no film: no cell of one is a cell of the next.
"""

from pathlib import Path

import numpy as np

from cellcascade.config.formats import CtcFormat
from cellcascade.data.synthetic import SyntheticSet
from cellcascade.exports.base import Exported, check_labels, empty_images
from cellcascade.exports.tiffs import UINT16, write_counts, write_labels


def write(source: SyntheticSet, folder: Path, settings: CtcFormat) -> Exported:
    """Write the images as frames of a sequence, with gold truth of all cells.

    Raises:
        InputError: An image cannot be read, or has more than 65 535 labels.
    """
    sequence, width = settings.sequence, digits(len(source.images))
    for frame, image in enumerate(source.images):
        number, labels = f"{frame:0{width}d}", image.labels()
        check_labels(image, labels, UINT16, "the Cell Tracking Challenge's layout")
        write_counts(folder / sequence / f"t{number}.tif", image.counts(), source.voxel_size_um)
        truth = folder / f"{sequence}_GT/SEG/man_seg{number}.tif"
        write_labels(truth, labels.astype(np.uint16), source.voxel_size_um)
    notes = ["The frames are independent images: they train segmentation, not tracking", *empty_images(source)]
    commands = [f"cellcascade seg {sequence}_GT {sequence}_RES  # SEG of a segmentation of {sequence}/"]
    return Exported(f"{len(source.images)} frames of sequence {sequence}", notes, commands)


def digits(count: int) -> int:
    """Digits of the frames' numbers: three, as the challenge has them, and more where these do not suffice."""
    return max(3, len(str(count - 1)))
