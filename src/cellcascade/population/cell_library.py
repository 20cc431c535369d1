"""The single synthetic cells that images are composed of, read from the texture shards when they are needed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import edt
import numpy as np
from scipy import ndimage

from cellcascade.core.errors import InputError
from cellcascade.data.stores import TEXTURES

COLUMNS = ("cell_id", "valid", "n_slices")
LOADED = 512  # cells kept in memory
DARKEST = 1  # percentile of the counts
SMOOTH = 1.5  # Gaussian width of the local mean around a cell, pixels


@dataclass(frozen=True)
class Cell:
    """A single cell, cut to its slices.

    Attributes:
        image: Counts, (z, y, x).
        around: Local mean of the counts around the cell, which does not count itself, (z, y, x).
        mask: The cell, (z, y, x).
        level: The crop's background away from the cell, counts.
        darkest: Its darkest pixels, counts.
        cell_id: Number of the synthetic cell.
    """

    image: np.ndarray
    around: np.ndarray
    mask: np.ndarray
    level: float
    darkest: float
    cell_id: int


class CellLibrary:
    """The valid cells of all texture shards, in the order of their numbers; each is read when it is asked for.

    Args:
        shards: Texture shards, `TEXTURES`.

    Raises:
        InputError: No shard has a valid cell.
    """

    def __init__(self, shards: Sequence[Path]):
        self._stores = [TEXTURES.open(path) for path in shards]
        rows = [
            (int(cell_id), shard, row, int(slices))
            for shard, store in enumerate(self._stores)
            for row, (cell_id, valid, slices) in enumerate(zip(*(store[name] for name in COLUMNS)))
            if valid
        ]
        if not rows:
            raise InputError(
                "There is no cell to place",
                where=", ".join(str(path) for path in shards) or "no texture shards",
                found="no valid cell",
                expected="at least one valid cell",
                fix="look up in the report why cells were dropped, and train the models of those stages longer",
            )
        self._rows = sorted(rows)
        self.load = lru_cache(maxsize=LOADED)(self._load)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def height(self) -> float:
        """Mean number of slices of a cell."""
        return float(np.mean([slices for *_, slices in self._rows]))

    def _load(self, index: int) -> Cell:
        """Read a cell by its position in the library."""
        cell_id, shard, row, slices = self._rows[index]
        store = self._stores[shard]
        image, mask = store.read("image", row)[:slices].astype(np.float32), store.read("mask", row)[:slices] > 0
        distance = edt.edt(np.ascontiguousarray(~mask))
        far = distance > np.median(distance[~mask]) if not mask.all() else ~mask
        dark = image[far] if far.any() else np.array([store.record.background], np.float32)
        level, darkest = float(dark.mean()), float(np.percentile(dark, DARKEST))
        return Cell(image, _around(image, mask), mask, level, darkest, cell_id)


def turned(cell: Cell, generator: np.random.Generator) -> tuple[Cell, str]:
    """Turn a cell by quarter turns and flip it at random, in y, x and, if it has slices, upside down.

    Returns:
        The cell, and what was done to it, e.g. `rot90-mirror`.
    """
    turns, mirror, upside = int(generator.integers(4)), bool(generator.integers(2)), bool(generator.integers(2))
    upside = upside and len(cell.mask) > 1

    def moved(part: np.ndarray) -> np.ndarray:
        array = np.rot90(part, turns, (1, 2))
        array = array[:, ::-1] if mirror else array
        return np.ascontiguousarray(array[::-1] if upside else array)

    name = f"rot{90 * turns}{'-mirror' if mirror else ''}{'-upside' if upside else ''}"
    return replace(cell, image=moved(cell.image), around=moved(cell.around), mask=moved(cell.mask)), name


def _around(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Local mean of the counts outside a mask, (z, y, x)."""
    sigma = (0, SMOOTH, SMOOTH)
    weight = ndimage.gaussian_filter((~mask).astype(np.float32), sigma)
    return ndimage.gaussian_filter(np.where(mask, 0, image), sigma) / np.maximum(weight, 1e-3)
