"""Smooth fields that are kept at low resolution, at full resolution."""

from collections.abc import Sequence

import numpy as np


def expand(field: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """A field at full resolution, float32, by linear interpolation along each axis."""
    for axis in range(1, len(shape)):
        low, high, share = _between(field.shape[axis], shape[axis])
        share = share.reshape([-1 if a == axis else 1 for a in range(len(shape))])
        field = field.take(low, axis) * (1 - share) + field.take(high, axis) * share
    result = np.empty(shape, np.float32)
    for row, low, high, share in zip(result, *_between(len(field), shape[0])):  # one by one: no large arrays beside it
        np.multiply(field[low], 1 - share, out=row)
        row += field[high] * share
    return result


def _between(count: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of so many positions, the two that each of `n` lies between, and the share of the second, float32."""
    position = np.clip((np.arange(n) + 0.5) * count / n - 0.5, 0, count - 1)
    low = np.minimum(position.astype(int), max(count - 2, 0))
    return low, np.minimum(low + 1, count - 1), (position - low).astype(np.float32)
