"""Labels in which each connected piece is a cell: for foreground masks, and for one number for several cells."""

from pathlib import Path

import numpy as np
from skimage.measure import label

from cellcascade.core.errors import InputError

LARGEST = np.iinfo(np.uint16).max


def split(labels: np.ndarray, path: Path) -> np.ndarray:
    """Number the connected pieces of equal labels anew.

    Args:
        labels: Labels ([z,] y, x), 0 is background.
        path: The file that they are from, for the message.

    Returns:
        Labels of equal shape, uint16. Pieces that meet at a corner alone are two.

    Raises:
        InputError: There are more pieces than labels.
    """
    pieces = label(labels, connectivity=1)
    if pieces.max() > LARGEST:
        raise InputError(
            "A mask has more pieces than there are labels",
            where=path,
            found=f"{pieces.max()} connected pieces",
            expected=f"at most {LARGEST}",
            fix="remove specks from the mask, or write instance labels and leave split_labels out",
        )
    return pieces.astype(np.uint16)
