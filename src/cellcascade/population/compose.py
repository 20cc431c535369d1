"""Cell populations: single synthetic cells placed on a background, with instance labels (paper, section 2).

Everything is composed on a canvas (z, y, x); a 2D image is a stack of one slice. Cells are placed first, one after the
other and without overlap; then they are painted, when it is known which cell each pixel near them belongs to.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from cellcascade.config.settings import Export, Population
from cellcascade.core.errors import InputError
from cellcascade.core.files import atomic_path
from cellcascade.core.logs import progress
from cellcascade.core.seeds import numpy_generator, seed_for
from cellcascade.data.ngff import write_image
from cellcascade.data.stores import CROPS, CropsRecord
from cellcascade.data.synthetic import CLEAN
from cellcascade.population.arrangement import Target, arrange_cells, rules_of
from cellcascade.population.background import Background, read_background
from cellcascade.population.canvas import Canvas, Placement, overlap
from cellcascade.population.canvas_background import noisy_counts, sample_field, sample_noise
from cellcascade.population.cell_choice import CellChoice
from cellcascade.population.cell_library import CellLibrary
from cellcascade.population.distractors import place_things
from cellcascade.population.misses import read_misses
from cellcascade.population.paint import Ground, paint
from cellcascade.population.placement import Rules, place_cells
from cellcascade.population.randomise import randomise
from cellcascade.population.tables import CellRow, ImageRow, cell_rows, write_tables
from cellcascade.population.twins import paint_with_twin

PARTS = np.float32(64)  # parts of a count that twins are rounded to: files of all digits are more than twice as large
FULLEST = 0.7  # share of an image that cells may cover; beyond, there is not always room for all of them

logger = logging.getLogger(__name__)


def make_images(
    *,
    textures: list[Path],
    background: Path,
    crops: Path,
    settings: Population,
    export: Export,
    images: tuple[int, int],
    folder: Path,
    dataset: str,
    seeded_as: str,
    seed: int,
    hardness: Path | None = None,
) -> None:
    """Stage `population`: make a range of images with instance labels, as OME-Zarr, and their tables.

    Args:
        textures: All texture shards of the data set, `TEXTURES`.
        background: The background model, `BACKGROUND`.
        crops: The crops store, `CROPS`: voxel size, frame shape and numbers of cells of the real frames.
        settings: The `population` block.
        export: The `export` block.
        images: First image and the one after the last.
        folder: New folder for `img-00000.ome.zarr` …, twins in `clean/`, `images.csv`, `cells.csv`; complete or absent.
        dataset: Name of the data set.
        seeded_as: Name that the random numbers depend on: that of the data set whose models are used.
        seed: Seed of the run.
        hardness: The table of the stage `hardness`, by which cells are drawn; `None`: all alike.

    Raises:
        InputError: There is no valid cell, or nothing says how many cells an image has.
    """
    frames = CROPS.open(crops).record
    _check_number(settings, frames, crops)
    library, model = _opened(textures, background, settings.rim)
    choice, rules = CellChoice(library, crops, _weights(library, hardness, settings)), rules_of(settings, frames.layout)
    rows: list[ImageRow] = []
    with atomic_path(folder) as scratch:
        scratch.mkdir()
        for index in progress(range(*images), total=images[1] - images[0], what="images"):
            began, key = time.monotonic(), (seeded_as, "population", index)
            draws = Draws(*(numpy_generator(seed, *key, *of) for of in ((), ("background",), ("things",))))
            composed = compose(library, model, frames, choice=choice, settings=settings, rules=rules, draws=draws)
            row = ImageRow(f"img-{index:05d}", seed_for(seed, *key), composed.not_placed, composed.cells)
            _write(scratch, row, composed, frames.voxel_size_um, dataset=dataset, export=export)
            rows.append(row)
            logger.debug("%s: %d cells in %.2f s", row.name, len(row.cells), time.monotonic() - began)
        write_tables(scratch, rows, frames.ndim)
    if missing := sum(row.not_placed for row in rows):
        logger.warning("%d of %d cells found no place", missing, missing + sum(len(row.cells) for row in rows))


def _opened(textures: Sequence[Path], background: Path, rim: int) -> tuple[CellLibrary, Background]:
    """The cells, blurred along z as the background model says, and this model."""
    model = read_background(background)
    return CellLibrary(textures, rim, fading=model.fading), model


@dataclass(frozen=True)
class Draws:
    """Sources of randomness of one image: whatever cells are placed on it, its background is the same.

    Attributes:
        cells: Of the cells, their number and their places.
        background: Of the background.
        things: Of the bright things without a label.
    """

    cells: np.random.Generator
    background: np.random.Generator
    things: np.random.Generator


@dataclass(frozen=True)
class Composed:
    """An image with its labels.

    Attributes:
        image: Counts, uint16, ([z,] y, x).
        labels: Labels, uint16 (uint32 above 65535 cells), ([z,] y, x).
        cells: Its cells, in the order of their labels.
        not_placed: Number of cells that found no place.
        twin: The image without noise, counts, float32, ([z,] y, x); `None`: it has none.
    """

    image: np.ndarray
    labels: np.ndarray
    cells: list[CellRow]
    not_placed: int
    twin: np.ndarray | None


def compose(
    library: CellLibrary,
    model: Background,
    frames: CropsRecord,
    *,
    choice: CellChoice,
    settings: Population,
    rules: Rules,
    draws: Draws,
) -> Composed:
    """Compose one image (paper, section 2, cell population synthesis).

    Args:
        library: Cells to choose from.
        model: The background.
        frames: What is known of the real frames.
        choice: Says which cells go together.
        settings: The `population` block.
        rules: How far apart cells are put.
        draws: Sources of randomness of this image.
    """
    shape = settings.frame_shape or frames.frame_shape
    canvas = _canvas(shape, frames, settings.rim, rules)
    lender = choice.lender(draws.cells)
    usual = _usual(frames, lender.count, library, shape)
    wanted = _number(settings, usual, library, shape=shape, generator=draws.cells)
    chosen = choice.like(lender, wanted, draws.cells)
    if settings.clustering == "from_data" and frames.layout:
        target = Target(frames.layout, lender.touching, usual)
        placed = arrange_cells(library, canvas, chosen, rules=rules, target=target, generator=draws.cells)
    else:
        placed = place_cells(library, canvas, [item.index for item in chosen], rules=rules, generator=draws.cells)
    light, twin = _light(canvas, placed, model, frames, shape=shape, settings=settings, draws=draws)
    canvas.labels[canvas.labels > len(placed)] = 0
    image = _whole_counts(light, model.largest, draws.background)
    labels = canvas.labels.astype(np.uint16 if len(placed) <= 65535 else np.uint32)
    cells = cell_rows(canvas, placed, image, frames.voxel_size_um)
    twin = None if twin is None else np.rint(np.clip(twin, 0, model.largest) * PARTS).reshape(shape) / PARTS
    return Composed(image.reshape(shape), labels.reshape(shape), cells, wanted - len(placed), twin)


def _light(
    canvas: Canvas,
    placed: Sequence[Placement],
    model: Background,
    frames: CropsRecord,
    *,
    shape: Sequence[int],
    settings: Population,
    draws: Draws,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Background, bright things and placed cells: counts with noise and, if it is asked for, without (z, y, x).

    Args:
        canvas: Where the cells are; the things are put on it.
        placed: The cells.
        model: The background.
        frames: What is known of the real frames.
        shape: Shape of the image, ([z,] y, x).
        settings: The `population` block.
        draws: Sources of randomness of this image.
    """
    noise, drawn = sample_noise(model, shape, draws.background)
    field, scores = sample_field(model, shape, draws.background), drawn.reshape(canvas.shape)
    field, haze = _with_haze(field, canvas, placed, model)
    background = noisy_counts(model, field, noise).reshape(canvas.shape)
    shown = [*placed, *_things(canvas, placed, model, settings, draws.things)]
    brush = partial(paint, canvas, rim=settings.rim, z_decay=model.z_decay, neighbour_light=frames.neighbour_light)
    if settings.twins:
        light, twin = paint_with_twin(
            brush, canvas, shown, field=field, haze=haze, background=background, model=model, scores=scores
        )
    else:
        light, twin = brush(shown, Ground.of(background, haze), scores=scores), None
    changes, across = settings.randomise, canvas.spacing[0]
    return randomise(light, background, changes, across=across, generator=draws.background, twin=twin)


def _with_haze(
    field: np.ndarray, canvas: Canvas, placed: Sequence[Placement], model: Background
) -> tuple[np.ndarray, np.ndarray | None]:
    """A field ([z,] y, x) with the haze of placed cells, and that near them (z, y, x); `None`: there is none."""
    if not model.haze.widths:
        return field, None
    light, level = np.zeros(canvas.shape, np.float32), np.float32(np.median(field))
    for item in placed:
        here, cut = overlap(item.corner, item.cell.image.shape, canvas.shape)
        inside = canvas.labels[here] == item.label
        light[here][inside] = np.maximum(item.cell.image[cut][inside] - level, 0)
    near, far = (np.stack(part) for part in zip(*map(model.haze.parts, light)))
    return field + (near + far).reshape(field.shape), near


def _weights(library: CellLibrary, hardness: Path | None, settings: Population) -> np.ndarray | None:
    """How often each cell of the library is drawn (n); `None` where all are drawn alike."""
    if hardness is None:
        return None
    misses = read_misses(hardness)
    chance = misses.chance(library.traits)
    logger.info(
        "a network misses cells with chances of %.2f to %.2f, mean %.2f", chance.min(), chance.max(), chance.mean()
    )
    return misses.weights(library.traits, settings.focus)


def _canvas(shape: Sequence[int], frames: CropsRecord, rim: int, rules: Rules) -> Canvas:
    """An empty canvas for an image of a shape ([z,] y, x)."""
    size_um = frames.voxel_size_um
    depth, height, width = (1, *shape)[-3:]
    cut_z, cut_y, cut_x = (True, *frames.cut_by_border)[-3:]
    return Canvas(
        (depth, height, width),
        spacing=(size_um[0] / size_um[-1] if frames.ndim == 3 else 1.0, 1.0, 1.0),
        gap=rules.gap,
        reach=max(rules.reach, rim),
        cut=(cut_z, cut_y, cut_x),
    )


def _things(
    canvas: Canvas,
    placed: Sequence[Placement],
    model: Background,
    settings: Population,
    generator: np.random.Generator,
) -> list[Placement]:
    """Bright things without a label, put on a canvas: as many as on a frame, in proportion to its size."""
    if not (settings.distractors and any(model.things_per_frame)):
        return []
    usual = generator.choice(model.things_per_frame) * canvas.labels.size / np.prod(model.frame_shape)
    count = int(usual + generator.random())
    return place_things(
        model.things,
        canvas,
        count,
        first=len(placed) + 1,
        rim=settings.rim,
        generator=generator,
    )


def _whole_counts(light: np.ndarray, largest: int, generator: np.random.Generator) -> np.ndarray:
    """Whole counts, uint16, rounded at random up or down: rounding to the nearest would shift dim means."""
    counts = generator.random(light.shape, dtype=np.float32)
    counts += light
    return np.clip(counts, 0, largest, out=counts).astype(np.uint16)


def _check_number(settings: Population, frames: CropsRecord, crops: Path) -> None:
    if settings.cells_per_image is None and not (frames.cells_per_frame or frames.cells_per_slice):
        raise InputError(
            "Nothing says how many cells an image has",
            where="population.cells_per_image",
            found=f"null, and {crops} has no annotated frame to count cells in",
            expected="a range such as [20, 60]",
            fix="set population.cells_per_image of this data set",
        )


def _usual(frames: CropsRecord, lent: float, library: CellLibrary, shape: Sequence[int]) -> float:
    """Number of cells of an image as dense as a frame that lends it so many; not a number where none was counted.

    Where single slices of stacks are annotated, it is the number with which a slice shows as many cells (`lent`).
    """
    usual = lent * float(np.prod(shape) / np.prod(frames.frame_shape))
    if not frames.cells_per_frame:  # the middle of a cell that a slice shows lies above, in or below the stack
        usual *= (frames.frame_shape[0] + library.height - 1) / library.height
    return usual


def _number(
    settings: Population, usual: float, library: CellLibrary, *, shape: Sequence[int], generator: np.random.Generator
) -> int:
    """Number of cells of an image: of the range, or the usual one.

    `settings.density` multiplies the usual number, until cells cover `FULLEST` of the image; an image is never emptier
    than a frame for that.
    """
    if settings.cells_per_image is not None:
        low, high = settings.cells_per_image
        return int(generator.integers(low, high + 1))
    fullest = FULLEST * float(np.prod(shape)) / library.volume
    least, most = settings.density
    return round(min(usual * generator.uniform(least, most), max(fullest, usual * min(1, least))))


def _write(
    folder: Path, row: ImageRow, composed: Composed, voxel_size_um: Sequence[float], *, dataset: str, export: Export
) -> None:
    """Write an image and its twin with their labels, which say of themselves what the tables say of the image."""
    for place, pixels in ((folder, composed.image), (folder / CLEAN, composed.twin)):
        if pixels is not None:
            write_image(
                place / f"{row.name}.ome.zarr",
                pixels,
                composed.labels,
                voxel_size_um=voxel_size_um,
                attributes=row.attributes(dataset),
                version=export.ngff_version,
                levels=export.levels,
            )
