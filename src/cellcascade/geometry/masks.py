"""Measures of masks that several rooms share: distance to the outline, and agreement of two masks."""

import edt
import numpy as np


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
