"""Which counts are black and white: from how often each occurs in crops, which are seen one frame at a time."""

import numpy as np

from cellcascade.data.inpainting import clear_of

LARGEST = np.iinfo(np.uint16).max  # count of a crop


class Levels:
    """How often each count occurs in the background of the crops so far, and in their cells."""

    def __init__(self) -> None:
        self._background, self._cells = (np.zeros(LARGEST + 1, np.int64) for _ in range(2))

    def add(self, image: np.ndarray, mask: np.ndarray) -> None:
        """Count the pixels of crops (m, y, x) as well."""
        self._background += np.bincount(image[clear_of(mask)], minlength=LARGEST + 1)
        self._cells += np.bincount(image[mask > 0], minlength=LARGEST + 1)

    def window(self, percentiles: tuple[float, float]) -> tuple[float, float]:
        """Counts of black and white: a low percentile of the background, a high one of the cells."""
        low, high = (_percentile(*pair) for pair in zip((self._background, self._cells), percentiles))
        return low, max(high, low + 1)


def _percentile(occurrences: np.ndarray, percentile: float) -> float:
    """The percentile of values 0, 1, … that occur so often: of two, the one that is nearer by its rank."""
    rank = np.around((occurrences.sum() - 1) * (percentile / 100))
    return float(np.searchsorted(np.cumsum(occurrences), rank, side="right"))
