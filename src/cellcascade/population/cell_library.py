"""The single synthetic cells that images are composed of, read from the texture shards when they are needed."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.special import ndtri

from cellcascade.core.choice import evenly_spaced
from cellcascade.core.errors import InputError
from cellcascade.data.along_z import Fading
from cellcascade.data.shards import Store
from cellcascade.data.stores import TEXTURES, TexturesRecord
from cellcascade.population.axial import faded, missing_fall
from cellcascade.population.bodies import Body, Corner, Surroundings, Turn, distance_to, shape_of
from cellcascade.population.misses import Traits, cell_traits

COLUMNS = ("cell_id", "valid", "n_slices")
MEASURED = 16  # cells whose own fading is measured
KEPT = 384 * 2**20  # bytes of cells kept in memory
OPEN = 64  # shards held open at once
DARKEST = 1  # percentile of the counts
SMOOTH = 1.5  # Gaussian width of the local mean around a cell, pixels
BLUR = 6  # pixels that this Gaussian reaches


@dataclass(frozen=True)
class Cell:
    """A single cell: as much of its crop as is seen of it.

    Attributes:
        image: Counts, (z, y, x).
        around: Local mean of the counts around the cell, which does not count itself, (z, y, x).
        mask: The cell, (z, y, x).
        level: The crop's background away from the cell, counts.
        darkest: Its darkest pixels, counts.
        signal: The cell's own light, smoothed, counts, (z, y, x); of crops of one slice, nothing.
        gain: Counts of one photon of that light, by its grain.
        cell_id: Number of the synthetic cell.
        start: Where the part begins in the crop.
        crop: Shape of the crop.
    """

    image: np.ndarray
    around: np.ndarray
    mask: np.ndarray
    level: float
    darkest: float
    signal: np.ndarray
    gain: float
    cell_id: int
    start: Corner
    crop: Corner

    @property
    def nbytes(self) -> int:
        """Its size in memory."""
        return sum(array.nbytes for array in (self.image, self.around, self.mask, self.signal))


class CellLibrary:
    """The valid cells of all texture shards, in the order of their numbers; each is read when it is asked for.

    What is kept in memory does not grow with the number of cells.

    Args:
        shards: Texture shards, `TEXTURES`.
        rim: Pixels around a cell that are seen of its crop.
        fading: How cells fade along z; `None` where their slices show it.

    Raises:
        InputError: No shard has a valid cell.
    """

    def __init__(self, shards: Sequence[Path], rim: int, *, fading: Fading | None = None):
        self._shards, self._margin, self._fading = list(shards), max(rim, BLUR), fading
        self._open: dict[int, Store[TexturesRecord]] = {}
        self._kept: OrderedDict[int, Cell] = OrderedDict()
        self._bodies: dict[int, Body] = {}  # of some of these
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
    def traits(self) -> np.ndarray:
        """What the chance to be missed depends on (n, 3), see `cell_traits`; reading all cells once."""
        level = self._store(0).record.background
        return np.array([_traits(*self._voxels(index), level) for index in range(len(self))])

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
            self._forget()
        self._kept.move_to_end(index)
        return self._kept[index]

    def body(self, index: int, around: Surroundings) -> Body:
        """The body of a cell by its position in the library; kept as long as the cell is."""
        cell, body = self.load(index), self._bodies.get(index)
        if body is None or body.around != around:
            self._size -= body.nbytes if body else 0
            body = self._bodies[index] = Body.of(cell.mask, around)
            self._size += body.nbytes
            self._forget()
        return body

    def _forget(self) -> None:
        """Let go of the cells that were not asked for longest, until the others are small enough to be kept."""
        while len(self._kept) > 1 and self._size > KEPT:
            index, cell = self._kept.popitem(last=False)
            body = self._bodies.pop(index, None)
            self._size -= cell.nbytes + (body.nbytes if body else 0)

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
        cell = self._plain(index)
        return _faded(cell, self._fall) if self._fall else cell

    def _plain(self, index: int) -> Cell:
        """A cell as its slices show it."""
        cell_id, shard, _, _ = self._rows[index].tolist()
        background = self._store(shard).record.background
        return cell_of(*self._voxels(index), rim=self._margin, cell_id=cell_id, background=background)

    @cached_property
    def _fall(self) -> tuple[float, ...]:
        """Share of their light that the cells keep, from their ends inwards; empty where their slices show it."""
        if self._fading is None:
            return ()
        some = (self._plain(index) for index in evenly_spaced(range(len(self)), MEASURED))
        return missing_fall(self._fading, ((cell.image - cell.level, cell.mask) for cell in some))


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
    level = float(dark.mean())
    part = _seen(mask, max(rim, BLUR))
    signal, gain = light_of(image[part], mask[part], level)
    start_z, start_y, start_x = (side.start for side in part)
    depth, height, width = mask.shape
    return Cell(
        image=image[part].copy(),
        around=local_mean(image, ~mask)[part].copy(),
        mask=mask[part].copy(),
        level=level,
        darkest=float(np.percentile(dark, DARKEST)),
        signal=signal,
        gain=gain,
        cell_id=cell_id,
        start=(start_z, start_y, start_x),
        crop=(depth, height, width),
    )


def _faded(cell: Cell, fall: Sequence[float]) -> Cell:
    """A cell that fades along z, and the light beside it as the nearest voxel of its slice.

    Its grain fades as shot noise does, but not below the noise of the background.
    """
    light, kept = np.maximum(local_mean(cell.image, cell.mask) - cell.level, 0), faded(cell.mask, fall)
    beside = np.stack([_nearest(part, inside) for part, inside in zip(kept, cell.mask)])
    around = cell.level + beside * (cell.around - cell.level)
    grain = cell.image - cell.level - light
    dark = (cell.level - cell.darkest) / -float(ndtri(DARKEST / 100))
    quiet = np.sqrt(np.clip(np.maximum(kept, dark**2 / max(float(grain[cell.mask].var()), 1e-6)), 0, 1))
    loss = np.where(cell.mask, (kept - 1) * light, around - cell.around)
    signal = cell.signal + ndimage.gaussian_filter(np.where(cell.mask, loss, 0), (0, SMOOTH, SMOOTH))
    image = cell.image + loss + np.where(cell.mask, (quiet - 1) * grain, 0)
    return replace(cell, image=image, around=around, signal=np.maximum(signal, 0))


def _nearest(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Values (y, x) of the nearest pixels inside a mask; 1 where it is empty."""
    if not inside.any():
        return np.ones_like(values)
    return values[tuple(ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True))]


def _measured(image: np.ndarray, mask: np.ndarray) -> tuple[float, float, float]:
    """Voxels of a cell (z, y, x), and area and mean counts on its widest slice."""
    areas = np.count_nonzero(mask, (1, 2))
    widest = int(areas.argmax())
    return float(areas.sum()), float(areas[widest]), float(image[widest][mask[widest]].mean())


def _traits(image: np.ndarray, mask: np.ndarray, level: float) -> Traits:
    """The traits of a cell (z, y, x) on its widest slice."""
    widest = int(np.count_nonzero(mask, (1, 2)).argmax())
    return cell_traits(image[widest], mask[widest], ~mask[widest], level=level)


@dataclass(frozen=True)
class Drawn:
    """A cell that a place is sought for.

    Attributes:
        cell: The cell, turned at random.
        body: Its body, turned likewise.
        turn: What was done to it, e.g. `rot90-mirror`.
    """

    cell: Cell
    body: Body
    turn: str


def drawn(library: CellLibrary, index: int, around: Surroundings, generator: np.random.Generator) -> Drawn:
    """A cell by its position in the library, turned at random."""
    cell, body = library.load(index), library.body(index, around)
    turn = Turn.draw(len(cell.mask), generator)
    return Drawn(_turned(cell, turn), body.turned(turn, shape_of(cell.mask)), turn.name)


def turned(cell: Cell, generator: np.random.Generator) -> tuple[Cell, str]:
    """Turn a cell by quarter turns and flip it at random, in y, x and, if it has slices, upside down.

    Returns:
        The cell, and what was done to it, e.g. `rot90-mirror`.
    """
    turn = Turn.draw(len(cell.mask), generator)
    return _turned(cell, turn), turn.name


def _turned(cell: Cell, turn: Turn) -> Cell:
    ends = np.array([cell.start, np.add(cell.start, cell.mask.shape) - 1])
    z, y, x = turn.points(ends, cell.crop).min(0).tolist()
    return replace(
        cell,
        image=turn.array(cell.image),
        around=turn.array(cell.around),
        mask=turn.array(cell.mask),
        signal=turn.array(cell.signal),
        start=(z, y, x),
        crop=turn.shape(cell.crop),
    )


def _seen(mask: np.ndarray, margin: int) -> tuple[slice, slice, slice]:
    """The part of a crop (z, y, x) that holds a cell and so many pixels around it: all of its slices."""
    _, rows, columns = ndimage.find_objects(mask.any(0, keepdims=True).view(np.uint8))[0]
    y, x = (
        slice(max(side.start - margin, 0), min(side.stop + margin, n))
        for side, n in zip((rows, columns), mask.shape[1:])
    )
    return slice(0, len(mask)), y, x


def light_of(image: np.ndarray, mask: np.ndarray, level: float) -> tuple[np.ndarray, float]:
    """A cell's own light without its grain, (z, y, x), and the counts of one photon that this grain tells of.

    Args:
        image: Counts, (z, y, x).
        mask: The cell, (z, y, x).
        level: Counts of the background away from it.
    """
    sigma = (0, SMOOTH, SMOOTH)
    signal = np.maximum(ndimage.gaussian_filter(np.where(mask, image - level, 0), sigma), 0)
    grain = (image - ndimage.gaussian_filter(image, sigma))[mask].std()
    return signal, float(grain**2 / max(float(signal[mask].mean()), 1e-6))


def local_mean(image: np.ndarray, where: np.ndarray, width: float = SMOOTH) -> np.ndarray:
    """Mean of the counts where a mask says, around each pixel of the plane.

    Args:
        image: Counts, (z, y, x).
        where: The pixels that count, (z, y, x).
        width: Of the Gaussian that weights them, pixels.
    """
    sigma = (0, width, width)
    weight = ndimage.gaussian_filter(where.astype(np.float32), sigma)
    return ndimage.gaussian_filter(np.where(where, image, 0), sigma) / np.maximum(weight, 1e-3)
