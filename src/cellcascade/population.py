"""Cell populations: single synthetic cells placed on a background, with instance labels (paper, section 2).

Everything is composed on a canvas (z, y, x); a 2D image is a stack of one slice. Cells are placed first, one after the
other and without overlap; then they are painted, when it is known which cell each pixel near them belongs to.
"""

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import edt
import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.special import ndtr

from cellcascade.background import Background, read_background, sample_background, sample_noise
from cellcascade.config import Export, Population
from cellcascade.errors import InputError
from cellcascade.logs import progress
from cellcascade.ngff import write_image
from cellcascade.seeds import numpy_generator, seed_for
from cellcascade.shards import atomic_path, open_shard

Corner = tuple[int, int, int]
COLUMNS = ("cell_id", "valid", "n_slices")
PROBES = 24  # mask voxels that are looked up before a position is tested exactly
BATCH = 250  # random positions looked up at once
NEAR_STEP = 2.0  # pixels between the positions tried when a cell is moved away from an earlier one
SMOOTH = 1.5  # Gaussian width of the local mean around a cell, pixels


@dataclass(frozen=True)
class Cell:
    """A single cell, cut to its slices.

    Attributes:
        image: Counts, (z, y, x).
        around: Local mean of the counts around the cell, which does not count itself, (z, y, x).
        mask: The cell, (z, y, x).
        level: The crop's background away from the cell, counts.
        cell_id: Number of the synthetic cell.
    """

    image: np.ndarray
    around: np.ndarray
    mask: np.ndarray
    level: float
    cell_id: int


@dataclass(frozen=True)
class Placement:
    """A cell on a canvas.

    Attributes:
        cell: The cell as placed, turned and flipped.
        corner: Position of its first voxel (z, y, x); may lie outside the canvas.
        label: Its label.
        clustered: Whether it was put near earlier cells.
        turn: Quarter turns, flips: what was done to the source cell.
    """

    cell: Cell
    corner: Corner
    label: int
    clustered: bool
    turn: str


class CellLibrary:
    """The valid cells of all texture shards, in the order of their numbers."""

    def __init__(self, shards: Sequence[str | Path]):
        self._groups = [open_shard(path, "textures/1") for path in shards]
        rows = [
            (int(cell_id), shard, row, int(slices))
            for shard, group in enumerate(self._groups)
            for row, (cell_id, valid, slices) in enumerate(zip(*(group[name][...] for name in COLUMNS)))
            if valid
        ]
        if not rows:
            raise InputError(
                "There is no cell to place",
                where=", ".join(str(path) for path in shards) or "no texture shards",
                found="no valid cell",
                expected="at least one valid cell",
                mend="look up in the report why cells were dropped, and train the models of those stages longer",
            )
        self._rows = sorted(rows)
        self.load = lru_cache(maxsize=512)(self._load)

    def __len__(self) -> int:
        return len(self._rows)

    def _load(self, index: int) -> Cell:
        cell_id, shard, row, slices = self._rows[index]
        group = self._groups[shard]
        image, mask = group["image"][row][:slices].astype(np.float32), group["mask"][row][:slices] > 0
        around = _around(image, mask)
        distance = edt.edt(np.ascontiguousarray(~mask))
        far = distance > np.median(distance[~mask]) if not mask.all() else ~mask
        level = float(np.median(around[far])) if far.any() else float(group.attrs["background"])
        return Cell(image, around, mask, level, cell_id)


def _around(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    sigma = (0, SMOOTH, SMOOTH)
    weight = ndimage.gaussian_filter((~mask).astype(np.float32), sigma)
    return ndimage.gaussian_filter(np.where(mask, 0, image), sigma) / np.maximum(weight, 1e-3)


class Canvas:
    """Labels of an image in the making, and how far each voxel is from the nearest cell.

    Args:
        shape: (z, y, x).
        spacing: Voxel size in pixels of y and x, (z, y, x).
        gap: Least background between two cells, pixels.
        reach: Farthest distance that is kept track of, pixels.
    """

    def __init__(self, shape: Corner, *, spacing: tuple[float, float, float], gap: int, reach: float):
        self.shape, self.spacing, self.reach = shape, spacing, reach
        self.gap = (round(gap / spacing[0]) or int(gap > 0), gap, gap) if shape[0] > 1 else (0, gap, gap)
        self.labels = np.zeros(shape, np.int32)
        self.blocked = np.zeros(shape, bool)
        self.owner = np.zeros(shape, np.int32)
        self.distance = np.full(shape, np.inf, np.float32)

    def fits(self, mask: np.ndarray, corner: Corner) -> bool:
        """Whether the mask's part within the canvas is not empty and meets no cell, nor the gap around one."""
        here, cut = overlap(corner, mask.shape, self.shape)
        visible = mask[cut]
        return bool(visible.any()) and not bool((self.blocked[here] & visible).any())

    def separation(self, mask: np.ndarray, corner: Corner) -> float:
        """Distance from a mask to the nearest cell, pixels; infinite beyond the canvas' reach."""
        here, cut = overlap(corner, mask.shape, self.shape)
        return float(self.distance[here][mask[cut]].min())

    def add(self, mask: np.ndarray, corner: Corner, label: int) -> None:
        """Put a cell on the canvas, at a corner where it fits."""
        pad = [int(np.ceil(self.reach / size)) for size in self.spacing]
        pad[0] = pad[0] if self.shape[0] > 1 else 0
        near = np.pad(mask, [(n, n) for n in pad])
        here, cut = overlap(tuple(c - n for c, n in zip(corner, pad)), near.shape, self.shape)
        distance = edt.edt(np.ascontiguousarray(~near), anisotropy=self.spacing)[cut]
        near = near[cut]
        closer = (distance < self.distance[here]) & (distance <= self.reach)
        self.distance[here][closer] = distance[closer]
        self.owner[here][closer] = label
        self.labels[here][near] = label
        around = [slice(max(s.start - g, 0), s.stop + g) for s, g in zip(here, self.gap)]
        filled = self.labels[tuple(around)] == label
        self.blocked[tuple(around)] |= ndimage.maximum_filter(filled, [2 * g + 1 for g in self.gap])


def overlap(corner: Sequence[int], shape: Sequence[int], canvas: Sequence[int]) -> tuple[tuple[slice, ...], ...]:
    """Slices of a canvas and of an array put at `corner` where the two overlap."""
    low = [min(max(c, 0), size) for c, size in zip(corner, canvas)]
    high = [max(min(c + n, size), start) for c, n, size, start in zip(corner, shape, canvas, low)]
    here = tuple(slice(a, b) for a, b in zip(low, high))
    return here, tuple(slice(a - c, b - c) for a, b, c in zip(low, high, corner))


def make_images(
    textures: Sequence[str | Path],
    background: str | Path,
    crops: str | Path,
    *,
    settings: Mapping[str, Any] | Population,
    export: Mapping[str, Any] | Export,
    images: tuple[int, int],
    folder: str | Path,
    seed: int,
    dataset: str,
) -> None:
    """Make a range of images with instance labels, as OME-Zarr, and their tables.

    Args:
        textures: All texture shards of the data set.
        background: The background model's store.
        crops: The crops store, for voxel size, frame shape and the numbers of cells of real frames.
        settings: The `population` block.
        export: The `export` block.
        images: First image and the one after the last.
        folder: New folder for `img-00000.ome.zarr` …, `images.csv` and `cells.csv`; complete or absent.
        seed: The run's seed.
        dataset: Name of the data set.

    Raises:
        InputError: There is no valid cell, or nothing says how many cells an image has.
    """
    settings, export = Population.model_validate(settings), Export.model_validate(export)
    library, model, frames = (
        CellLibrary(textures),
        read_background(background),
        dict(open_shard(crops, "crops/1").attrs),
    )
    _check_number(settings, frames, crops)
    size_um = [float(size) for size in frames["voxel_size_um"]]
    log = logging.getLogger("cellcascade")
    tables: tuple[list[dict], list[dict]] = ([], [])
    with atomic_path(folder) as scratch:
        scratch.mkdir()
        for index in progress(range(*images), total=images[1] - images[0], what="images"):
            began, name = time.monotonic(), f"img-{index:05d}"
            generator = numpy_generator(seed, dataset, "population", index)
            composed = compose(library, model, frames, settings=settings, generator=generator)
            row = {"image": name, "seed": seed_for(seed, dataset, "population", index), **composed.facts}
            write_image(
                scratch / f"{name}.ome.zarr",
                composed.image,
                composed.labels,
                voxel_size_um=size_um,
                attributes={**row, "dataset": dataset, "cells": composed.cells},
                version=export.ngff_version,
                levels=export.levels,
            )
            tables[0].append(row)
            tables[1].extend({"image": name, **cell} for cell in composed.cells)
            log.debug("%s: %d cells in %.2f s", name, len(composed.cells), time.monotonic() - began)
        missing = sum(row["not_placed"] for row in tables[0])
        if missing:
            log.warning("%d of %d cells found no place", missing, missing + len(tables[1]))
        pd.DataFrame(tables[0]).to_csv(scratch / "images.csv", index=False)
        pd.DataFrame(tables[1], columns=_cell_columns(len(size_um))).to_csv(scratch / "cells.csv", index=False)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Composed:
    """An image with its labels.

    Attributes:
        image: Counts, uint16, ([z,] y, x).
        labels: Labels, uint16 (uint32 above 65535 cells), ([z,] y, x).
        cells: A row of `cells.csv` for each label.
        facts: What `images.csv` says of the image.
    """

    image: np.ndarray
    labels: np.ndarray
    cells: list[dict[str, Any]]
    facts: dict[str, Any]


def compose(
    library: CellLibrary,
    model: Background,
    frames: Mapping[str, Any],
    *,
    settings: Population,
    generator: np.random.Generator,
) -> Composed:
    """Compose one image (paper, section 2, cell population synthesis).

    Args:
        library: Cells to choose from.
        model: The background.
        frames: Attributes of the crops store.
        settings: The `population` block.
        generator: Source of randomness of this image.
    """
    size_um = frames["voxel_size_um"]
    shape = tuple(settings.frame_shape or frames["frame_shape"])
    spacing = (size_um[0] / size_um[-1] if len(shape) == 3 else 1.0, 1.0, 1.0)
    canvas = Canvas((1, *shape)[-3:], spacing=spacing, gap=settings.gap, reach=max(settings.reach, settings.rim))
    wanted = _number(settings, frames, shape, generator)
    placed = place_cells(library, canvas, wanted, settings=settings, generator=generator)
    counts = sample_background(model, shape, generator).reshape(canvas.shape)
    scores = sample_noise(model, shape, generator).reshape(canvas.shape)
    image = paint(canvas, placed, counts, scores=scores, rim=settings.rim, z_decay=model.z_decay)
    image = np.clip(np.rint(image), 0, model.largest).astype(np.uint16)
    facts = {"cells": len(placed), "not_placed": wanted - len(placed), "clustered": sum(p.clustered for p in placed)}
    labels = canvas.labels.astype(np.uint16 if len(placed) <= 65535 else np.uint32)
    return Composed(image.reshape(shape), labels.reshape(shape), _cell_rows(canvas, placed, image, size_um), facts)


def place_cells(
    library: CellLibrary, canvas: Canvas, wanted: int, *, settings: Population, generator: np.random.Generator
) -> list[Placement]:
    """Place random cells one after the other; those that find no place within `settings.tries` are left out.

    A cell is put near earlier ones (within `settings.reach` pixels) with probability `settings.clustering`, else
    anywhere that is free. Its centre lies within the canvas; the border may cut it.
    """
    placed: list[Placement] = []
    for _ in range(wanted):
        cell, turn = _turned(library.load(int(generator.integers(len(library)))), generator)
        box = ndimage.find_objects(cell.mask.view(np.uint8))[0]
        mask = cell.mask[box]
        near = bool(generator.random() < settings.clustering) and bool(placed)
        find = _near_corner if near else _free_corner
        corner = find(canvas, mask, placed, settings, generator)
        if corner is None:
            continue
        canvas.add(mask, corner, len(placed) + 1)
        whole = tuple(c - part.start for c, part in zip(corner, box))
        placed.append(Placement(cell, whole, len(placed) + 1, near, turn))
    return placed


def paint(
    canvas: Canvas,
    placed: Sequence[Placement],
    background: np.ndarray,
    *,
    scores: np.ndarray,
    rim: int,
    z_decay: float,
) -> np.ndarray:
    """Paint placed cells over a background without a seam.

    Within a cell the image is the cell's. In the rim around it, what the crop's local mean has above the crop's own
    background fades out on top of the canvas' background. Mixing the noise would average it away: each pixel has either
    the crop's or the background's, the latter the likelier the farther from the cell. Slices beyond the cell show a
    falling share of its signal.

    Args:
        canvas: Where the cells are.
        placed: The cells.
        background: Counts, (z, y, x).
        scores: Standard normal noise, correlated as the background's is, (z, y, x).
        rim: Width of the rim, pixels.
        z_decay: Share of a slice's signal that the next slice beyond a cell shows; 0 in 2D.

    Returns:
        Counts, float32, (z, y, x).
    """
    image, free = background.copy(), canvas.labels == 0
    smooth = ndimage.gaussian_filter(background, (0, SMOOTH, SMOOTH))
    for item in placed:
        here, cut = overlap(item.corner, item.cell.image.shape, canvas.shape)
        inside, distance = canvas.labels[here] == item.label, canvas.distance[here]
        band = (canvas.owner[here] == item.label) & ~inside & (distance <= rim)
        weight = np.clip(1 - distance / (rim + 1), 0, 1)
        crop, around = item.cell.image[cut], item.cell.around[cut]
        noise = np.where(ndtr(scores[here]) < weight, crop - around, background[here] - smooth[here])
        rim_counts = smooth[here] + weight * (around - item.cell.level) + noise
        image[here][band] = rim_counts[band]
        image[here][inside] = crop[inside]
        free[here][band] = False
        if z_decay:
            _glow(canvas, item, image, free=free, scores=scores, decay=z_decay)
    return image


def _glow(
    canvas: Canvas, item: Placement, image: np.ndarray, *, free: np.ndarray, scores: np.ndarray, decay: float
) -> None:
    """Add what is seen of a cell in the slices above and below its voxels; each next slice shows `decay` of it.

    Its grain is shot noise: as strong as the cell's own, with the square root of the signal.
    """
    cell, sigma = item.cell, (0, SMOOTH, SMOOTH)
    signal = np.maximum(ndimage.gaussian_filter(np.where(cell.mask, cell.image - cell.level, 0), sigma), 0)
    grain = (cell.image - ndimage.gaussian_filter(cell.image, sigma))[cell.mask].std()
    mean = max(float(signal[cell.mask].mean()), 1e-6)
    more = int(np.ceil(np.log(0.05) / np.log(decay)))
    light = np.pad(signal, [(more, more), (0, 0), (0, 0)])
    for stack in (light, light[::-1]):
        for z in range(1, len(stack)):
            stack[z] = np.maximum(stack[z], decay * stack[z - 1])
    here, cut = overlap((item.corner[0] - more, *item.corner[1:]), light.shape, canvas.shape)
    lit = free[here] & ((canvas.owner[here] == item.label) | (canvas.owner[here] == 0))
    image[here] += np.where(lit, light[cut] + grain * np.sqrt(light[cut] / mean) * scores[here], 0)


def _turned(cell: Cell, generator: np.random.Generator) -> tuple[Cell, str]:
    turns, mirror, upside = int(generator.integers(4)), bool(generator.integers(2)), bool(generator.integers(2))
    upside = upside and len(cell.mask) > 1
    arrays = []
    for array in (cell.image, cell.around, cell.mask):
        array = np.rot90(array, turns, (1, 2))
        array = array[:, ::-1] if mirror else array
        arrays.append(np.ascontiguousarray(array[::-1] if upside else array))
    return Cell(
        *arrays, cell.level, cell.cell_id
    ), f"rot{90 * turns}{'-mirror' if mirror else ''}{'-upside' if upside else ''}"


def _plausible(canvas: Canvas, mask: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Corners whose mask's middle lies within the canvas and where a few of its voxels meet nothing, in order."""
    middle = corners + (np.array(mask.shape) - 1) // 2
    corners = corners[((middle >= 0) & (middle < canvas.shape)).all(1)]
    voxels = np.argwhere(mask)
    probes = voxels[np.linspace(0, len(voxels) - 1, PROBES).astype(int)]
    position = corners[:, None] + probes
    inside = ((position >= 0) & (position < canvas.shape)).all(2)
    position = np.clip(position, 0, np.array(canvas.shape) - 1)
    return corners[~(canvas.blocked[tuple(np.moveaxis(position, 2, 0))] & inside).any(1)]


def _free_corner(
    canvas: Canvas, mask: np.ndarray, placed: Sequence[Placement], settings: Population, generator: np.random.Generator
) -> Corner | None:
    """A corner drawn uniformly from those where the mask fits; `None` if no try meets one."""
    for start in range(0, settings.tries, BATCH):
        middles = generator.integers(0, canvas.shape, (min(BATCH, settings.tries - start), 3))
        for corner in _plausible(canvas, mask, middles - (np.array(mask.shape) - 1) // 2):
            if canvas.fits(mask, tuple(corner)):
                return tuple(int(c) for c in corner)
    return None


def _near_corner(
    canvas: Canvas, mask: np.ndarray, placed: Sequence[Placement], settings: Population, generator: np.random.Generator
) -> Corner | None:
    """A corner where the mask fits and is within reach of an earlier cell: moved away from one until it fits."""
    spacing = np.array(canvas.spacing)
    tried = 0
    while tried < settings.tries:
        other = placed[int(generator.integers(len(placed)))]
        direction = generator.standard_normal(3) * (canvas.shape[0] > 1, 1, 1)
        direction /= np.linalg.norm(direction) * spacing
        start = np.array(other.corner) + (np.array(other.cell.mask.shape) - np.array(mask.shape)) / 2
        farthest = (np.linalg.norm(other.cell.mask.shape * spacing) + np.linalg.norm(mask.shape * spacing)) / 2
        steps = np.arange(0, farthest + settings.reach, NEAR_STEP)
        tried += len(steps)
        extra = generator.uniform(0, settings.reach)
        for corner in _plausible(canvas, mask, np.rint(start + steps[:, None] * direction).astype(int)):
            if not canvas.fits(mask, tuple(corner)):
                continue
            farther = np.rint(corner + extra * direction).astype(int)
            for choice in (*_plausible(canvas, mask, farther[None]), corner):
                if canvas.fits(mask, tuple(choice)) and canvas.separation(mask, tuple(choice)) <= settings.reach:
                    return tuple(int(c) for c in choice)
            break
    return None


def _check_number(settings: Population, frames: Mapping[str, Any], crops: str | Path) -> None:
    if settings.cells_per_image is None and not frames["cells_per_frame"]:
        raise InputError(
            "Nothing says how many cells an image has",
            where="population.cells_per_image",
            found=f"null, and {crops} has no completely annotated frame to count cells in",
            expected="a range such as [20, 60]",
            mend="set population.cells_per_image of this data set",
        )


def _number(
    settings: Population, frames: Mapping[str, Any], shape: Sequence[int], generator: np.random.Generator
) -> int:
    """Number of cells of an image: of the range, or of a random real frame, as dense on a canvas of another size."""
    if settings.cells_per_image is not None:
        low, high = settings.cells_per_image
        return int(generator.integers(low, high + 1))
    share = np.prod(shape) / np.prod(frames["frame_shape"])
    return int(round(int(generator.choice(frames["cells_per_frame"])) * share))


def _cell_columns(ndim: int) -> list[str]:
    centroid = [f"centroid_{axis}_um" for axis in "zyx"[-ndim:]]
    size = ["area_px", "area_um2"] if ndim == 2 else ["volume_voxels", "volume_um3"]
    return ["image", "label", *centroid, *size, "mean_counts", "touches_border", "clustered", "source_cell", "turn"]


def _cell_rows(
    canvas: Canvas, placed: Sequence[Placement], image: np.ndarray, size_um: Sequence[float]
) -> list[dict[str, Any]]:
    ndim, rows = len(size_um), []
    columns = _cell_columns(ndim)[2:]
    for item in placed:
        here, _ = overlap(item.corner, item.cell.mask.shape, canvas.shape)
        inside = canvas.labels[here] == item.label
        voxels = np.argwhere(inside)[:, -ndim:] + [part.start for part in here[-ndim:]]
        edge = (voxels == 0) | (voxels == np.array(canvas.shape[-ndim:]) - 1)
        centroid = [round(float(c), 4) for c in voxels.mean(0) * size_um]
        size = [len(voxels), round(len(voxels) * float(np.prod(size_um)), 4)]
        mean = round(float(image[here][inside].mean()), 2)
        facts = [*centroid, *size, mean, bool(edge.any()), item.clustered, item.cell.cell_id, item.turn]
        rows.append({"label": item.label, **dict(zip(columns, facts))})
    return rows
