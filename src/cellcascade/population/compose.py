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
from scipy import ndimage

from cellcascade.config.settings import Export, Population
from cellcascade.core.errors import InputError
from cellcascade.core.files import atomic_path
from cellcascade.core.logs import progress
from cellcascade.core.seeds import numpy_generator, seed_for
from cellcascade.data.ngff import write_image
from cellcascade.data.shards import open_shard
from cellcascade.population.background import Background, read_background, sample_background, sample_noise
from cellcascade.population.cell_library import CellLibrary, turned
from cellcascade.population.paint import paint
from cellcascade.population.placement import Canvas, Placement, free_corner, near_corner
from cellcascade.population.tables import cell_rows, write_tables


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
        write_tables(scratch, rows, cells, len(size_um))


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
    return Composed(image.reshape(shape), labels.reshape(shape), cell_rows(canvas, placed, image, size_um), facts)


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


def _check_number(settings: Population, frames: Mapping[str, Any], crops: str | Path) -> None:
    if settings.cells_per_image is None and not (frames["cells_per_frame"] or frames.get("cells_per_slice")):
        raise InputError(
            "Nothing says how many cells an image has",
            where="population.cells_per_image",
            found=f"null, and {crops} has no annotated frame to count cells in",
            expected="a range such as [20, 60]",
            fix="set population.cells_per_image of this data set",
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
