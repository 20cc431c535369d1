"""Real cells lend synthetic ones their light; with `population.focus`, some cells are made more often than others.

How often is told by what a network learns from such a cell: by this, outlines are kept and light is lent. So these
cells are new ones, and not the same few that are drawn again and again. Free of torch.
"""

from pathlib import Path

import numpy as np
from skimage.measure import regionprops

from cellcascade.data.crops import Crops
from cellcascade.population.misses import read_misses

SIMILAR_AREA = 0.25  # share of the real cells, those nearest in area, that may lend a synthetic cell their light


class Lenders:
    """The real cells of a data set, one crop each, that lend their light.

    Args:
        crops: The real crops.
        hardness: The table of the stage `hardness`; `None`: no cell is made more often than others.
        focus: `population.focus`, used with that table.

    Raises:
        InputError: The crops are damaged.
    """

    def __init__(self, crops: Crops, hardness: Path | None = None, focus: float = 0.0):
        self._rows = np.flatnonzero(crops.widest)
        self._areas = crops.mask[self._rows].sum((1, 2))
        self._contrasts = (crops.brightness - crops.background)[self._rows]
        self._misses, self._focus = None if hardness is None else read_misses(hardness), focus

    def draw(self, mask: np.ndarray, generator: np.random.Generator) -> int:
        """The crop that lends a cell its light: one of similar area.

        With a table, each is drawn as often as a cell with this outline and its light is to be made.

        Args:
            mask: The cell's widest slice (y, x).
            generator: Chooses the crop.
        """
        alike = self._alike(mask)
        weights = self._weights(mask, alike)
        if weights is None:
            return int(self._rows[generator.choice(alike)])
        return int(self._rows[generator.choice(alike, p=weights / weights.sum())])

    def keep(self, mask: np.ndarray, chance: float) -> bool:
        """Whether an outline is kept, so that each is as frequent as cells with it, in any light, are to be made.

        Args:
            mask: The cell's widest slice (y, x).
            chance: A random number, 0 to 1.
        """
        weights = self._weights(mask, self._alike(mask))
        return weights is None or chance * (1 + self._focus) < weights.mean()

    def _alike(self, mask: np.ndarray) -> np.ndarray:
        """Which of the real cells are nearest in area."""
        order = np.argsort(np.abs(np.log(self._areas / mask.sum())), kind="stable")
        return order[: max(1, round(SIMILAR_AREA * len(order)))]

    def _weights(self, mask: np.ndarray, rows: np.ndarray) -> np.ndarray | None:
        """How often a cell with an outline and the light of each of some real cells is made, 1 to 1 + focus."""
        if self._misses is None:
            return None
        (cell,) = regionprops((mask > 0).astype(np.uint8))
        light = self._contrasts[rows]
        traits = np.column_stack([np.full(len(rows), cell.area), light, np.full(len(rows), cell.eccentricity)])
        return self._misses.weights(traits, self._focus)
