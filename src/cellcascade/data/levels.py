"""Which counts are black and white: from how often each occurs in crops, which are seen one frame at a time."""

import numpy as np

from cellcascade.data.inpainting import clear_of

LARGEST = np.iinfo(np.uint16).max  # count of a crop
LOOKED_AT = 64  # crops whose noise is measured
LOUDEST = 3.0  # noise of the background over that in cells, on the unit scale; of four in five images it is less
DEEPER = (0.0, 0.06, 0.12, 0.25, 0.5)  # of the cells' light: how much black is lowered, as far as it must be
DIGITS = 2  # of black


class Levels:
    """How often each count occurs in the background of the crops so far and in their cells, and how noisy these are."""

    def __init__(self) -> None:
        self._background, self._cells = (np.zeros(LARGEST + 1, np.int64) for _ in range(2))
        self._some: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, image: np.ndarray, mask: np.ndarray) -> None:
        """Count the pixels of crops (m, y, x) as well."""
        self._background += np.bincount(image[clear_of(mask)], minlength=LARGEST + 1)
        self._cells += np.bincount(image[mask > 0], minlength=LARGEST + 1)
        self._some += list(zip(image, mask))[: LOOKED_AT - len(self._some)]

    def window(self, percentiles: tuple[float, float]) -> tuple[float, float]:
        """Counts of black and white: a low percentile of the background, a high one of the cells.

        The square root spreads the counts next to black. Where the background lies there, and its noise is no weaker
        than that in cells, as in dim images of 8 bits, it would be far louder than anything in the cells; and what a
        model gets wrong of it returns in them as grain. So black is lowered until it is not.
        """
        low, high = (_percentile(*pair) for pair in zip((self._background, self._cells), percentiles))
        light = _percentile(self._cells, 50) - _percentile(self._background, 50)
        lower = [round(low - share * max(light, 0), DIGITS) for share in DEEPER]
        quiet = (black for black in lower if self._loudness(black) <= LOUDEST)
        return next(quiet, lower[-1]), max(high, low + 1)

    def _loudness(self, black: float) -> float:
        """Noise of the background on the unit scale, relative to that in cells, if so many counts are black.

        Cells without any noise tell nothing: 0.
        """
        parts = [(np.sqrt(np.maximum(image - black, 0.0)), mask) for image, mask in self._some]
        outside = sum(_noise(light, clear_of(mask)) for light, mask in parts)
        inside = sum(_noise(light, mask > 0) for light, mask in parts)
        return outside / inside if inside > 0 else 0.0


def _noise(light: np.ndarray, inside: np.ndarray) -> float:
    """Spread of the finest structure (y, x) inside a mask: twice the noise, if that is white."""
    finest = light[1:, 1:] - light[1:, :-1] - light[:-1, 1:] + light[:-1, :-1]
    whole = inside[1:, 1:] & inside[1:, :-1] & inside[:-1, 1:] & inside[:-1, :-1]
    return float(finest[whole].std()) if whole.any() else 0.0


def _percentile(occurrences: np.ndarray, percentile: float) -> float:
    """The percentile of values 0, 1, … that occur so often: of two, the one that is nearer by its rank."""
    rank = np.around((occurrences.sum() - 1) * (percentile / 100))
    return float(np.searchsorted(np.cumsum(occurrences), rank, side="right"))
