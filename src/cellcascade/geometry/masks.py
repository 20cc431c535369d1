"""Measures of masks that several rooms share: distance to the outline, and agreement of two masks."""

import edt
import numpy as np
from scipy import ndimage

STEPS = 0.6  # Gaussian width by which the steps of pixels are taken off an outline before it is turned, pixels


def signed_distance(mask: np.ndarray) -> np.ndarray:
    """Signed distance of pixel centres to a mask's outline, positive inside.

    Args:
        mask: Binary mask `(y, x)`.

    Returns:
        Distances `(y, x)` in pixels, float32; everywhere far outside for an empty mask.
    """
    mask = np.ascontiguousarray(mask > 0)
    if not mask.any():
        return np.full(mask.shape, -float(max(mask.shape)), np.float32)
    return np.where(mask, edt.edt(mask) - 0.5, 0.5 - edt.edt(~mask)).astype(np.float32)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of pairs of masks, 0 where both are empty.

    Args:
        a: Masks `(n, ...)`; what is positive is inside.
        b: As many masks of the same shape.

    Returns:
        `(n,)` float64.
    """
    a, b = a > 0, b > 0
    axes = tuple(range(1, a.ndim))
    return (a & b).sum(axes) / np.maximum((a | b).sum(axes), 1)


def turned(mask: np.ndarray, size: int, *, angle: float, zoom: np.ndarray) -> np.ndarray | None:
    """A mask turned about its middle and scaled, its bounding box in the middle of the new one.

    Args:
        mask: Binary mask `(y, x)`.
        size: Edge of the new mask, pixels.
        angle: Angle, radians.
        zoom: New pixels per pixel along the mask's own axes `(2,)`.

    Returns:
        Mask `(size, size)`, uint8, without holes; `None` if it touches the edge or comes out in pieces.
    """
    distance = ndimage.gaussian_filter(signed_distance(np.pad(mask, len(mask) // 8)), STEPS)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag(1 / np.asarray(zoom))
    offset = (np.array(distance.shape) - 1) / 2 - matrix @ np.full(2, (size - 1) / 2)
    how = {"offset": offset, "output_shape": (size, size), "mode": "nearest"}
    made = ndimage.affine_transform(distance, matrix, order=3, **how) > 0
    edge = np.pad(np.zeros((size - 2, size - 2), bool), 1, constant_values=True)
    if not made.any() or (made & edge).any() or ndimage.label(made)[1] != 1:
        return None
    made = ndimage.binary_fill_holes(made)
    box = ndimage.find_objects(made.astype(np.uint8))[0]
    return np.roll(made, [(size - side.start - side.stop) // 2 for side in box], (0, 1)).astype(np.uint8)
