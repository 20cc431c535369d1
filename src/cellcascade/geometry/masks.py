"""Signed distance of 2D masks, shared by the stages that work on outlines."""

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
