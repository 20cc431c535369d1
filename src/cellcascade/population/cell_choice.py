"""Which cells an image holds: a real frame lends it its number of cells, and with them their brightness and size.

Cells of one frame are alike: all dim where it was exposed for less time, all small where it was taken early. Images of
cells drawn from all frames alike would differ from each other less than frames do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from cellcascade.data.crops import Crops, read_crops
from cellcascade.population.cell_library import CellLibrary

LIKE = 8  # cells of the library, at least, of which one stands for a real cell; of a large library it is a share
OF_FEW = 5  # of a small library, at most one in so many
AT_ONCE = 256  # crops read at once
DIGITS = 6  # of a fit: what comes after them may differ from machine to machine


@dataclass(frozen=True)
class Lender:
    """A real frame that lends its cells.

    Attributes:
        count: Number of its annotated cells; of sparsely annotated stacks, of those in one slice.
        traits: Brightness and size (n, 2) of its usable cells, see `traits_of`; of all frames' where it has none.
        depths: Where the widest slice of these cells lies, 0 to 1 from the first slice to the last (n); not a number
            where that is not known, as in 2D.
        touching: Share of its cells that touch others; 0 where too few are annotated to tell.
    """

    count: float
    traits: np.ndarray
    depths: np.ndarray
    touching: float = 0.0


@dataclass(frozen=True)
class Choice:
    """A cell that is to be placed.

    Attributes:
        index: Its number in the library.
        depth: Where its widest slice belongs, 0 to 1; not a number: anywhere.
    """

    index: int
    depth: float


class CellChoice:
    """Chooses cells of a library that are like those of a real frame.

    Args:
        library: Cells to choose from.
        crops: The crops store, `CROPS`: the real cells.
        weights: How often each cell of the library is drawn (n), relative to others; `None`: all alike.
    """

    def __init__(self, library: CellLibrary, crops: Path, weights: np.ndarray | None = None):
        self._weights = weights
        real = read_crops(crops)
        record, rows = real.record, np.flatnonzero(real.widest)
        areas = np.concatenate(list(_areas(real, rows)))
        if (
            not record.cells_per_frame
        ):  # a random slice of a cell is smaller than its widest: the larger half is near it
            rows, areas = rows[areas >= np.median(areas)], areas[areas >= np.median(areas)]
        traits, frames = traits_of(real.brightness[rows], areas), real.frame[rows]
        self._mean, self._std = traits.mean(0), np.maximum(traits.std(0), 1e-6)
        self._cells = cKDTree((traits_of(library.brightness, library.areas) - self._mean) / self._std)
        known = record.ndim == 3 and bool(record.cells_per_frame)
        depths = (real.z[rows] + 0.5) / record.frame_shape[0] if known else np.full(len(rows), np.nan)
        counts: Sequence[float] = record.cells_per_frame or record.cells_per_slice
        # the numbers of cells bear no frame: they are the frames' own where every frame has one
        own = [frames == frame for frame in record.frames] if len(counts) == len(record.frames) else []
        every = np.ones(len(rows), bool)
        seen = record.layout.touching if record.layout else (0.0,)
        touching = seen if len(seen) == len(counts) else [float(np.mean(seen))] * len(counts)
        self.lenders = [
            Lender(count, traits[of if of.any() else every], depths[of if of.any() else every], share)
            for count, of, share in zip(counts, own or [every] * len(counts), touching, strict=True)
        ] or [Lender(float("nan"), traits, depths)]

    def lender(self, generator: np.random.Generator) -> Lender:
        """A random real frame."""
        return self.lenders[int(generator.integers(len(self.lenders)))]

    def like(self, lender: Lender, count: int, generator: np.random.Generator) -> list[Choice]:
        """So many cells of the library, each like a random one of a frame, and as deep.

        A cell is one of those nearest in brightness and size, so many of them that a frame's cells together can call
        up the whole library. With weights, each such pair of a frame's cell and one like it is drawn as often as the
        latter's weight says. The depths are those of the frame's cells, see `_depths`.
        """
        near = max(min(LIKE, -(-self._cells.n // OF_FEW)), -(-self._cells.n // len(lender.traits)))
        if self._weights is None:
            rows = generator.integers(len(lender.traits), size=count)
            chosen = self._nearest(lender.traits[rows], near)[np.arange(count), generator.integers(near, size=count)]
        else:
            every = self._nearest(lender.traits, near)
            sums = np.cumsum(self._weights[every])
            pairs = np.searchsorted(sums[:-1], generator.random(count) * sums[-1], "right")
            rows, chosen = pairs // near, every.ravel()[pairs]
        depths = self._depths(lender, rows, chosen)
        return [Choice(index, depth) for index, depth in zip(chosen.tolist(), depths.tolist(), strict=True)]

    def _depths(self, lender: Lender, rows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """The depths (n) of some of a frame's cells, shared out so that light falls with depth as in the frame.

        A cell of the library is only roughly like the one that it was chosen for. So both are put in the order of the
        depth that their brightness and size tell of in this frame, and the first has the depth of the first.
        """
        depths = lender.depths[rows]
        if not np.isfinite(depths).all():
            return depths
        real, made = (lender.traits - self._mean) / self._std, self._cells.data[chosen]
        told = np.linalg.lstsq(np.column_stack([real, np.ones(len(real))]), lender.depths)[0][:2].round(DIGITS)
        shared = np.empty(len(rows))
        shared[np.argsort(made @ told, kind="stable")] = depths[np.argsort(real[rows] @ told, kind="stable")]
        return shared

    def _nearest(self, traits: np.ndarray, near: int) -> np.ndarray:
        """Numbers of the cells of the library (n, near) that are nearest to cells with these traits (n, 2)."""
        return self._cells.query((traits - self._mean) / self._std, np.arange(1, near + 1))[1]


def traits_of(brightness: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """What makes cells alike, (n, 2): logarithms of their mean counts (n), and of their areas (n), on widest slices."""
    return np.stack([np.log1p(brightness), np.log(areas)], 1)


def _areas(crops: Crops, rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), AT_ONCE):
        yield crops.store.read("mask", rows[start : start + AT_ONCE]).sum((1, 2), dtype=int)
