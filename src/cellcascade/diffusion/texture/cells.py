"""The textures of a shard of cells: each is drawn, compared with its outline, and drawn again if it misses it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from cellcascade.config.texture import Texture
from cellcascade.core.seeds import numpy_generator, torch_generator
from cellcascade.data.crops import Crops, to_counts, to_unit
from cellcascade.data.stores import MASKS, SLICES
from cellcascade.diffusion.lenders import Lenders
from cellcascade.diffusion.texture.agreement import agreement, least_agreement
from cellcascade.diffusion.texture.hints import CellHints
from cellcascade.diffusion.texture.model import TextureModel
from cellcascade.diffusion.texture.sampling import correlated_noise, draw
from cellcascade.metrics.consistency import Consistency
from cellcascade.metrics.grain import measure_grain

MISSED = "the texture does not follow the outline"


@dataclass(frozen=True)
class UntexturedCells:
    """Cells of a shard, as stacks of slices.

    Attributes:
        mask: Masks `(n, s, y, x)`, uint8.
        n_slices: Number of slices of each cell `(n,)`, int32.
        valid: Whether a cell can be used `(n,)`, uint8.
        cell_id: Number of the cell `(n,)`, int32.
        reasons: Why cells cannot be used, by their numbers.
    """

    mask: np.ndarray
    n_slices: np.ndarray
    valid: np.ndarray
    cell_id: np.ndarray
    reasons: dict[int, str]


def sliced_cells(path: Path) -> UntexturedCells:
    """The cells of a shard of slices."""
    store = SLICES.open(path)
    mask, n_slices, valid, cell_id = (store[name] for name in ("mask", "n_slices", "valid", "cell_id"))
    return UntexturedCells(mask, n_slices, valid, cell_id, store.record.reasons)


def flat_cells(path: Path) -> UntexturedCells:
    """The cells of a shard of masks: one slice each."""
    store = MASKS.open(path)
    masks, ids = store["mask"], store["cell_id"]
    return UntexturedCells(masks[:, None], np.ones(len(ids), np.int32), store["valid"], ids, store.record.reasons)


def untextured_cells(masks: Path | None, slices: Path | None) -> UntexturedCells:
    """The cells of the one shard that is given."""
    if slices:
        return sliced_cells(slices)
    if masks:
        return flat_cells(masks)
    raise ValueError("neither masks nor slices are given")


@dataclass(frozen=True)
class RealCells:
    """Real cells that textures are made like.

    Attributes:
        crops: Their crops: window, brightness, and how well cells agree with their outlines.
        lenders: Choose among them whose light a cell has.
        consistency: How alike the slices of a cell are.
    """

    crops: Crops
    lenders: Lenders
    consistency: Consistency


@dataclass(frozen=True)
class Textured:
    """Textures of a shard of cells.

    Attributes:
        images: Counts `(n, s, y, x)`, uint16, of the cells that have a texture; 0 elsewhere.
        valid: Whether a cell has a texture `(n,)`, uint8.
        reasons: Why the others have none, by their numbers.
        redraws: Textures that missed their outline and were drawn again.
    """

    images: np.ndarray
    valid: np.ndarray
    reasons: dict[int, str]
    redraws: int


def textured(
    model: TextureModel, cells: UntexturedCells, real: RealCells, settings: Texture, *, seed: int, seeded_as: str
) -> Textured:
    """Draw the textures of all valid cells; those that miss their outline are drawn again, with other noise.

    A cell is judged by its widest slice.

    Args:
        model: The trained model.
        cells: The cells.
        real: What the textures are made like.
        settings: The `texture` block.
        seed: Seed of the run.
        seeded_as: See `make_textures`.
    """
    images, least = np.zeros(cells.mask.shape, np.uint16), least_agreement(real.crops)
    left, redraws = [int(i) for i in np.flatnonzero(cells.valid)], 0
    for attempt in range(settings.max_redraws):
        redraws += len(left) if attempt else 0
        _draw(images, left, model, cells, real, settings, (seed, seeded_as), attempt)
        left = [i for i in left if _agreement(images[i], cells.mask[i]) < least]
        if not left:
            break
    valid = cells.valid.copy()
    images[left] = valid[left] = 0
    return Textured(images, valid, cells.reasons | {int(cells.cell_id[i]): MISSED for i in left}, redraws)


def _agreement(images: np.ndarray, masks: np.ndarray) -> float:
    """Agreement of a cell's widest slice with its outline."""
    widest = int(masks.sum((1, 2)).argmax())
    return agreement(images[widest], masks[widest])


def _draw(
    images: np.ndarray,
    chosen: list[int],
    model: TextureModel,
    cells: UntexturedCells,
    real: RealCells,
    settings: Texture,
    seeds: tuple[int, str],
    attempt: int,
) -> None:
    """Draw the textures of the chosen cells into `images`."""
    record, alike = real.crops.record, real.consistency
    places: list[tuple[int, int]] = []
    noise: list[Tensor] = []
    hints: list[CellHints] = []
    for i in chosen:
        cell, count = int(cells.cell_id[i]), int(cells.n_slices[i])
        generator = torch_generator(*seeds, "textures", cell, *([attempt] if attempt else []))
        noise += correlated_noise(model.space, count, alike, generator)
        lent = numpy_generator(*seeds, "brightness", cell)
        hints.append(lent_hints(cells.mask[i, :count], real, lent, least_area=model.least_area))
        places += [(i, s) for s in range(count)]
    if places:
        for place, image in zip(places, draw(model, CellHints.joined(hints), noise, settings)):
            images[place] = to_counts(image, record.window, record.largest)


def lent_hints(masks: np.ndarray, real: RealCells, generator: np.random.Generator, *, least_area: float) -> CellHints:
    """Hints of a synthetic cell's slices, with brightness, background and grain of a real cell.

    Args:
        masks: The cell's slices `(s, y, x)`.
        real: The real cells.
        generator: Source of randomness of that choice.
        least_area: Least relative area that the model has learned; slices that are smaller count as that large.
    """
    areas, crops = masks.sum((1, 2)), real.crops
    chosen, window = real.lenders.draw(masks[int(areas.argmax())], generator), crops.record.window
    brightness, background = (
        np.full(len(masks), float(to_unit(each[chosen], window))) for each in (crops.brightness, crops.background)
    )
    grain = measure_grain(to_unit(crops.image[chosen], window), crops.mask[chosen])
    relative = np.maximum(areas / areas.max(), least_area)
    return CellHints.of(masks, brightness, background, relative, np.full((len(masks), 2), grain))
