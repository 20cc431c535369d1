"""Cell populations: single synthetic cells placed on a background, with instance labels (paper, section 2).

Everything is composed on a canvas (z, y, x); a 2D image is a stack of one slice. Cells are placed first, one after the
other and without overlap; then they are painted, when it is known which cell each pixel near them belongs to.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.special import ndtr

from cellcascade.config.settings import Export, Population
from cellcascade.core.errors import InputError
from cellcascade.core.logs import progress
from cellcascade.core.seeds import numpy_generator, seed_for
from cellcascade.data.ngff import write_image
from cellcascade.data.shards import atomic_path, open_shard
from cellcascade.population.background import Background, read_background, sample_background, sample_noise
from cellcascade.population.cell_library import DARKEST, SMOOTH, Cell, CellLibrary, turned
from cellcascade.population.placement import Canvas, Corner, free_corner, near_corner, overlap


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
    library, model = CellLibrary(textures), read_background(background)
    frames = dict(open_shard(crops, "crops/1").attrs)
    _check_number(settings, frames, crops)
    size_um = [float(size) for size in frames["voxel_size_um"]]
    log = logging.getLogger("cellcascade")
    rows: list[dict] = []
    cells: list[dict] = []
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
            rows.append(row)
            cells.extend({"image": name, **cell} for cell in composed.cells)
            log.debug("%s: %d cells in %.2f s", name, len(composed.cells), time.monotonic() - began)
        missing = sum(row["not_placed"] for row in rows)
        if missing:
            log.warning("%d of %d cells found no place", missing, missing + len(cells))
        _write_tables(scratch, rows, cells, len(size_um))


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
    canvas = Canvas(
        (1, *shape)[-3:],
        spacing=spacing,
        gap=settings.gap,
        reach=max(settings.reach, settings.rim),
        cut=(True, *frames["cut_by_border"])[-3:],
    )
    wanted = _number(settings, frames, shape, library.height, generator)
    placed = place_cells(library, canvas, wanted, settings=settings, generator=generator)
    counts = sample_background(model, shape, generator).reshape(canvas.shape)
    scores = sample_noise(model, shape, generator).reshape(canvas.shape)
    image = paint(canvas, placed, counts, scores=scores, rim=settings.rim, z_decay=model.z_decay)
    whole = np.floor(image + generator.random(image.shape))  # at random up or down: rounding would shift dim means
    image = np.clip(whole, 0, model.largest).astype(np.uint16)
    facts = {"cells": len(placed), "not_placed": wanted - len(placed), "clustered": sum(p.clustered for p in placed)}
    labels = canvas.labels.astype(np.uint16 if len(placed) <= 65535 else np.uint32)
    return Composed(image.reshape(shape), labels.reshape(shape), _cell_rows(canvas, placed, image, size_um), facts)


def place_cells(
    library: CellLibrary, canvas: Canvas, wanted: int, *, settings: Population, generator: np.random.Generator
) -> list[Placement]:
    """Place random cells one after the other; those that find no place within `settings.tries` are left out.

    A cell is put near earlier ones (within `settings.reach` pixels) with probability `settings.clustering`, else
    anywhere that is free. Its centre lies within the canvas; the border may cut it if it cuts annotated cells.
    """
    placed: list[Placement] = []
    for _ in range(wanted):
        cell, turn = turned(library.load(int(generator.integers(len(library)))), generator)
        box = ndimage.find_objects(cell.mask.view(np.uint8))[0]
        mask = cell.mask[box]
        near = bool(generator.random() < settings.clustering) and bool(placed)
        if near:
            boxes = [(item.corner, item.cell.mask.shape) for item in placed]
            corner = near_corner(canvas, mask, boxes, reach=settings.reach, tries=settings.tries, generator=generator)
        else:
            corner = free_corner(canvas, mask, tries=settings.tries, generator=generator)
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

    Within a cell the image is the cell's. In the rim around it, the crop's light lies on top of the canvas' background,
    and fades out over the rim's outer half. Slices beyond the cell show a falling share of its signal.

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
    image, free = background.copy(), (canvas.labels == 0).astype(np.float32)
    smooth = ndimage.gaussian_filter(background, (0, SMOOTH, SMOOTH))
    darkest = np.percentile(background, DARKEST)
    for item in placed:
        here, cut = overlap(item.corner, item.cell.image.shape, canvas.shape)
        inside, distance = canvas.labels[here] == item.label, canvas.distance[here]
        band = (canvas.owner[here] == item.label) & ~inside & (distance <= rim)
        weight = np.clip(2 * (1 - distance / (rim + 1)), 0, 1)  # the inner half of the rim is the crop's own light
        around = _rim(
            item.cell,
            cut,
            background[here],
            smooth[here],
            darkest=darkest,
            weight=weight,
            share=ndtr(scores[here]),
        )
        image[here][band] = around[band]
        image[here][inside] = item.cell.image[cut][inside]
        free[here][band] = 1 - weight[band]  # what the crop does not show of the light around a cell, its glow does
        if z_decay:
            _glow(canvas, item, image, free=free, scores=scores, decay=z_decay)
    return image


def _rim(
    cell: Cell,
    cut: tuple[slice, ...],
    background: np.ndarray,
    smooth: np.ndarray,
    *,
    darkest: float,
    weight: np.ndarray,
    share: np.ndarray,
) -> np.ndarray:
    """Counts around a cell: what its crop's local mean has above the crop's own background, on the canvas' background.

    Mixing the noise of the two would average it away: each pixel has either the crop's or the background's, the latter
    the likelier the smaller the weight. It is made smaller where it would reach below the darkest background: cut off
    there, it would make the rim too bright.

    Args:
        cell: The cell.
        cut: Its part that lies on the canvas.
        background: The canvas there, (z, y, x).
        smooth: Its local mean.
        darkest: The canvas' darkest counts.
        weight: Share of the crop's light that is seen, 0 to 1.
        share: Uniform random numbers.
    """
    crop, around = cell.image[cut], cell.around[cut]
    own, counts = share < weight, smooth + weight * (around - cell.level)
    noise = np.where(own, crop - around, background - smooth)
    down = np.where(own, around - cell.darkest, smooth - darkest)  # how far the noise reaches
    return np.maximum(counts + noise * np.clip((counts - darkest) / np.maximum(down, 1e-6), 0, 1), darkest)


def _glow(
    canvas: Canvas, item: Placement, image: np.ndarray, *, free: np.ndarray, scores: np.ndarray, decay: float
) -> None:
    """Add what is seen of a cell in the slices above and below its voxels; each next slice shows `decay` of it.

    Its grain is shot noise, as strong as the cell's own: it adds light and never makes the background darker.
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
    lit = (canvas.owner[here] == item.label) | (canvas.owner[here] == 0)
    image[here] += np.where(lit, free[here] * _shot_noise(light[cut], grain**2 / mean, scores[here]), 0)


def _shot_noise(light: np.ndarray, gain: float, scores: np.ndarray) -> np.ndarray:
    """Light with its shot noise: gamma distributed, of variance `gain` times the light, and never below zero.

    Args:
        light: Mean counts, any shape, not negative.
        gain: Counts of one photon.
        scores: Standard normal numbers, of which these become the quantiles (by Wilson and Hilferty's cube).
    """
    photons = np.maximum(light / max(gain, 1e-6), 1e-3)
    root = 1 - 1 / (9 * photons) + scores / (3 * np.sqrt(photons))
    return np.where(light > 0, np.maximum(root, 0) ** 3 * photons * gain, 0)


def _check_number(settings: Population, frames: Mapping[str, Any], crops: str | Path) -> None:
    if settings.cells_per_image is None and not (frames["cells_per_frame"] or frames.get("cells_per_slice")):
        raise InputError(
            "Nothing says how many cells an image has",
            where="population.cells_per_image",
            found=f"null, and {crops} has no annotated frame to count cells in",
            expected="a range such as [20, 60]",
            mend="set population.cells_per_image of this data set",
        )


def _number(
    settings: Population, frames: Mapping[str, Any], shape: Sequence[int], height: float, generator: np.random.Generator
) -> int:
    """Number of cells of an image: of the range, or of a random real frame, as dense on a canvas of another size.

    Of stacks in which single slices are annotated, it is the number with which a slice shows as many cells as those:
    a cell of the mean `height`, in slices, is seen in that many of them.
    """
    if settings.cells_per_image is not None:
        low, high = settings.cells_per_image
        return int(generator.integers(low, high + 1))
    share = np.prod(shape) / np.prod(frames["frame_shape"])
    counts = frames["cells_per_frame"] or [n * frames["frame_shape"][0] / height for n in frames["cells_per_slice"]]
    return int(round(float(generator.choice(counts)) * share))


def _write_tables(folder: Path, rows: list[dict], cells: list[dict], ndim: int) -> None:
    pd.DataFrame(rows).to_csv(folder / "images.csv", index=False)
    pd.DataFrame(cells, columns=_cell_columns(ndim)).to_csv(folder / "cells.csv", index=False)


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
