"""The single synthetic cells that images are composed of, read from the texture shards when they are needed."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import edt
import numpy as np
from scipy import ndimage

from cellcascade.core.errors import InputError
from cellcascade.data.shards import Store
from cellcascade.data.stores import TEXTURES, TexturesRecord

COLUMNS = ("cell_id", "valid", "n_slices")
KEPT = 128 * 2**20  # bytes of cells kept in memory
OPEN = 64  # shards held open at once
DARKEST = 1  # percentile of the counts
SMOOTH = 1.5  # Gaussian width of the local mean around a cell, pixels
BLUR = 6  # pixels that this Gaussian reaches

Corner = tuple[int, int, int]


@dataclass(frozen=True)
class Cell:
    """A single cell: as much of its crop as is seen of it.

    Attributes:
        image: Counts, (z, y, x).
        around: Local mean of the counts around the cell, which does not count itself, (z, y, x).
        mask: The cell, (z, y, x).
        level: The crop's background away from the cell, counts.
        darkest: Its darkest pixels, counts.
        cell_id: Number of the synthetic cell.
        start: Where the part begins in the crop.
        crop: Shape of the crop.
    """

    image: np.ndarray
    around: np.ndarray
    mask: np.ndarray
    level: float
    darkest: float
    cell_id: int
    start: Corner
    crop: Corner

    @property
    def nbytes(self) -> int:
        """Its size in memory."""
        return self.image.nbytes + self.around.nbytes + self.mask.nbytes


class CellLibrary:
    """The valid cells of all texture shards, in the order of their numbers; each is read when it is asked for.

    What is kept in memory does not grow with the number of cells.

    Args:
        shards: Texture shards, `TEXTURES`.
        rim: Pixels around a cell that are seen of its crop.

    Raises:
        InputError: No shard has a valid cell.
    """

    def __init__(self, shards: Sequence[Path], rim: int):
        self._shards, self._margin = list(shards), max(rim, BLUR)
        self._open: dict[int, Store[TexturesRecord]] = {}
        self._kept: OrderedDict[int, Cell] = OrderedDict()
        self._size = 0  # of what is kept, bytes
        rows = [
            (int(cell_id), shard, row, int(slices))
            for shard in range(len(self._shards))
            for row, (cell_id, valid, slices) in enumerate(zip(*(self._store(shard)[name] for name in COLUMNS)))
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
        self._rows = np.array(sorted(rows))

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def height(self) -> float:
        """Mean number of slices of a cell."""
        return float(self._rows[:, 3].mean())

    @property
    def volume(self) -> float:
        """Mean number of voxels of a cell."""
        return float(self._measures[:, 0].mean())

    @property
    def areas(self) -> np.ndarray:
        """Area of each cell on its widest slice (n), pixels."""
        return self._measures[:, 1]

    @property
    def brightness(self) -> np.ndarray:
        """Mean counts of each cell on its widest slice (n)."""
        return self._measures[:, 2]

    @cached_property
    def _measures(self) -> np.ndarray:
        """Voxels, area and brightness of each cell (n, 3); reading all cells once."""
        return np.array([_measured(*self._voxels(index)) for index in range(len(self))])

    def load(self, index: int) -> Cell:
        """A cell by its position in the library; the last ones asked for are kept.

        Raises:
            InputError: The shard is damaged, or the cell empty.
        """
        if index not in self._kept:
            self._kept[index] = self._read(index)
            self._size += self._kept[index].nbytes
            while len(self._kept) > 1 and self._size > KEPT:
                self._size -= self._kept.popitem(last=False)[1].nbytes
        self._kept.move_to_end(index)
        return self._kept[index]

    def _store(self, shard: int) -> Store[TexturesRecord]:
        if shard not in self._open:
            if len(self._open) == OPEN:
                self._open.pop(next(iter(self._open))).close()
            self._open[shard] = TEXTURES.open(self._shards[shard])
        return self._open[shard]

    def _voxels(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Counts and mask of a cell, (z, y, x)."""
        cell_id, shard, row, slices = self._rows[index].tolist()
        store = self._store(shard)
        image, mask = store.read("image", row)[:slices].astype(np.float32), store.read("mask", row)[:slices] > 0
        if not mask.any():
            raise store.damaged(f"valid cell {cell_id} is empty", "a mask in every valid cell")
        return image, mask

    def _read(self, index: int) -> Cell:
        cell_id, shard, _, _ = self._rows[index].tolist()
        background = self._store(shard).record.background
        return cell_of(*self._voxels(index), rim=self._margin, cell_id=cell_id, background=background)


def cell_of(image: np.ndarray, mask: np.ndarray, *, rim: int, cell_id: int = 0, background: float = 0.0) -> Cell:
    """A cell from its crop, of which no more is kept than is seen.

    Args:
        image: Counts, float32, (z, y, x).
        mask: The cell, (z, y, x).
        rim: Pixels around the cell that are seen of its crop.
        cell_id: Number of the synthetic cell.
        background: Counts, where the crop has no pixel beside the cell.
    """
    distance = distance_to(mask)
    far = distance > np.median(distance[~mask]) if not mask.all() else ~mask
    dark = image[far] if far.any() else np.array([background], np.float32)
    part = _seen(mask, max(rim, BLUR))
    start_z, start_y, start_x = (side.start for side in part)
    depth, height, width = mask.shape
    return Cell(
        image=image[part].copy(),
        around=_around(image, mask)[part].copy(),
        mask=mask[part].copy(),
        level=float(dark.mean()),
        darkest=float(np.percentile(dark, DARKEST)),
        cell_id=cell_id,
        start=(start_z, start_y, start_x),
        crop=(depth, height, width),
    )


def _measured(image: np.ndarray, mask: np.ndarray) -> tuple[float, float, float]:
    """Voxels of a cell (z, y, x), and area and mean counts on its widest slice."""
    areas = np.count_nonzero(mask, (1, 2))
    widest = int(areas.argmax())
    return float(areas.sum()), float(areas[widest]), float(image[widest][mask[widest]].mean())


def distance_to(mask: np.ndarray, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    """Distance of voxels to a mask (z, y, x), float32.

    Args:
        mask: The mask.
        spacing: Size of a voxel, (z, y, x), in the unit of the distance.
    """
    outside = np.ascontiguousarray(~mask)
    if len(outside) > 1:
        return edt.edt(outside, anisotropy=tuple(spacing))
    return edt.edt(outside[0], anisotropy=tuple(spacing[1:]))[None]  # thirty times faster than a stack of one slice


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

    # where the part lies in the crop: pixels before and behind it, along each axis
    behind = (crop - start - n for crop, start, n in zip(cell.crop, cell.start, cell.mask.shape))
    z, y, x = zip(cell.start, behind)
    depth, height, width = cell.crop
    for _ in range(turns):
        y, x, height, width = x[::-1], y, width, height
    y, z = y[::-1] if mirror else y, z[::-1] if upside else z
    name = f"rot{90 * turns}{'-mirror' if mirror else ''}{'-upside' if upside else ''}"
    start, crop = (z[0], y[0], x[0]), (depth, height, width)
    image, around, mask = moved(cell.image), moved(cell.around), moved(cell.mask)
    return replace(cell, image=image, around=around, mask=mask, start=start, crop=crop), name


def _seen(mask: np.ndarray, margin: int) -> tuple[slice, slice, slice]:
    """The part of a crop (z, y, x) that holds a cell and so many pixels around it: all of its slices."""
    _, rows, columns = ndimage.find_objects(mask.any(0, keepdims=True).view(np.uint8))[0]
    y, x = (
        slice(max(side.start - margin, 0), min(side.stop + margin, n))
        for side, n in zip((rows, columns), mask.shape[1:])
    )
    return slice(0, len(mask)), y, x


def _around(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Local mean of the counts outside a mask, (z, y, x)."""
    sigma = (0, SMOOTH, SMOOTH)
    weight = ndimage.gaussian_filter((~mask).astype(np.float32), sigma)
    return ndimage.gaussian_filter(np.where(mask, 0, image), sigma) / np.maximum(weight, 1e-3)
