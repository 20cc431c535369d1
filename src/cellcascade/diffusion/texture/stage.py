"""Mask-conditioned textures (paper, section 2, cell texture generation): the stages `train_texture` and `textures`.

A Stable Diffusion UNet without text, or one of the same kind trained from scratch, is steered by a ControlNet that sees
the cell's outline, its brightness and its background. Slices of a cell share a part of their initial noise (Eq. 2).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cellcascade.config.texture import Texture
from cellcascade.core.files import write_table
from cellcascade.core.seeds import numpy_generator, seed_for, torch_generator
from cellcascade.core.stages import STAGE_VERSIONS
from cellcascade.data.crops import Crops, read_crops, to_counts, to_unit
from cellcascade.data.shards import digests_of
from cellcascade.data.stores import MASKS, SLICES, TEXTURES, TexturesRecord
from cellcascade.diffusion.process import augment, diffusion_loss
from cellcascade.diffusion.texture.hints import CellHints, without_outline
from cellcascade.diffusion.texture.model import TextureModel, build, load
from cellcascade.diffusion.texture.monitor import Watch, likeness_by_rho, measure_profile
from cellcascade.diffusion.texture.sampling import correlated_noise, draw
from cellcascade.diffusion.texture.spaces import PixelSpace
from cellcascade.learning import training
from cellcascade.learning.device import pick_device

logger = logging.getLogger(__name__)

SIMILAR_AREA = 0.25  # share of the real cells, those nearest in area, that lend a synthetic cell their brightness


def train_texture(
    *,
    crops: Path,
    settings: Texture,
    unet: Path,
    controlnet: Path,
    config: Path,
    table: Path,
    rho: Path,
    checkpoints: str,
    sampling_batches: dict[str, int],
    seed: int,
    device: str,
) -> None:
    """Stage `train_texture`: fine-tune, or train, the texture model on the crops of a data set.

    Args:
        crops: The crops store.
        settings: The `texture` block.
        unet: Weights of the UNet to write, safetensors.
        controlnet: Weights of the ControlNet to write, safetensors.
        config: JSON to write: what `model.load` needs beside the weights.
        table: Training log to write, CSV.
        rho: CSV to write: how alike neighbouring slices are at several strengths of consistency.
        checkpoints: Prefix of the checkpoint folder.
        sampling_batches: Slices sampled at once on a GPU, by data set; no reason to train again.
        seed: Seed of the run.
        device: auto, cpu or cuda.

    Raises:
        InputError: The base model is missing or does not fit the settings, or the training failed.
    """
    target, data = pick_device(device), read_crops(crops)
    looks = settings.model_copy(update={"sampling_batch": sampling_batches[data.record.dataset]})
    seed, hints = seed_for(seed, data.record.dataset, "texture"), CellHints.of_crops(data)
    torch.manual_seed(seed)
    model = build(settings, data.image.shape[-1]).to(target)
    checkpoint = training.checkpoint_file(checkpoints, settings, [crops], STAGE_VERSIONS["train_texture"])
    parameters = sum(p.numel() for p in model.trained_parameters())
    logger.info("%d crops, %.2f M trained parameters", len(hints), parameters / 1e6)
    loss, look = crop_loss(model, data, hints, settings), Watch(model, looks, data, hints, seed)
    log = training.train(
        model,
        loss,
        settings.training,
        checkpoint=checkpoint,
        seed=seed,
        device=target,
        what="texture training",
        rates=settings.rates,
        look=look,
    )
    model.profile = measure_profile(model, looks, data, hints, seed)
    model.save(settings, unet=unet, controlnet=controlnet, config=config)
    write_table(table, log)
    write_table(rho, likeness_by_rho(model, looks, data, hints, seed))


def crop_loss(
    model: TextureModel, crops: Crops, hints: CellHints, settings: Texture
) -> Callable[[torch.Generator], Tensor]:
    """The loss of a batch of crops; in pixel space, the space learns their scales first.

    Args:
        model: The model, on its device.
        crops: What it learns from.
        hints: Hints of these crops.
        settings: The `texture` block: batch size, share of hidden outlines.
    """
    device = next(model.parameters()).device
    images = torch.from_numpy(to_unit(crops.image, crops.record.window)).float()[:, None] * 2 - 1
    if isinstance(model.space, PixelSpace):
        model.space.fit(images)

    def loss(generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(images), (settings.training.batch_size,), generator=generator)
        batch = torch.cat([images[chosen], hints[chosen.numpy()].planes()], 1)
        batch = augment(batch, generator).to(device)  # turned together, so that outlines stay on their cells
        if settings.condition_dropout:
            hidden = torch.rand(len(batch), generator=generator) < settings.condition_dropout
            batch[hidden, 1:] = without_outline(batch[hidden, 1:])
        clean, hint = model.space.encode(batch[:, :1]), model.space.hint(batch[:, 1:])
        return diffusion_loss(lambda x, t: model(x, t, hint), clean, model.schedule, generator, model.space.weight)

    return loss


def make_textures(
    *,
    masks: Path | None,
    slices: Path | None,
    crops: Path,
    unet: Path,
    controlnet: Path,
    config: Path,
    settings: Texture,
    store: Path,
    dataset: str,
    seeded_as: str,
    seed: int,
    device: str,
) -> None:
    """Stage `textures`: give every slice of a shard of cells its texture.

    Args:
        masks: The shard of masks in 2D, `MASKS`.
        slices: The shard of sliced cells in 3D, `SLICES`; one of the two is given.
        crops: The crops store that the model was trained on: intensity window, brightness of real cells.
        unet: Weights of the UNet.
        controlnet: Weights of the ControlNet.
        config: JSON beside them.
        settings: The `texture` block; the sampling keys are used.
        store: The shard to write, `TEXTURES`.
        dataset: Name of the data set.
        seeded_as: Name that the random numbers depend on: that of the data set whose models are used.
        seed: Seed of the run.
        device: auto, cpu or cuda.

    Raises:
        InputError: A store is damaged, or the model cannot be loaded.
    """
    data, cells = read_crops(crops), _untextured_cells(masks, slices)
    model = load(pick_device(device), unet=unet, controlnet=controlnet, config=config)
    images = textured(model, cells, data, settings, seed=seed, seeded_as=seeded_as)
    record = TexturesRecord(
        dataset=dataset,
        seed=seed,
        digests=digests_of([slices or masks, crops, unet, controlnet, config]),
        reasons=cells.reasons,
        background=float(np.median(data.background)),
    )
    arrays = {"image": images, "mask": cells.mask, "n_slices": cells.n_slices}
    TEXTURES.write(store, arrays | {"valid": cells.valid, "cell_id": cells.cell_id}, record)


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


def _untextured_cells(masks: Path | None, slices: Path | None) -> UntexturedCells:
    """The cells of the one shard that is given."""
    if slices:
        return sliced_cells(slices)
    if masks:
        return flat_cells(masks)
    raise ValueError("neither masks nor slices are given")


def textured(
    model: TextureModel, cells: UntexturedCells, crops: Crops, settings: Texture, *, seed: int, seeded_as: str
) -> np.ndarray:
    """Counts `(n, s, y, x)`, uint16, of the valid cells; 0 elsewhere.

    Args:
        model: The trained model.
        cells: The cells.
        crops: Real crops: window and brightness.
        settings: The `texture` block.
        seed: Seed of the run.
        seeded_as: See `make_textures`.
    """
    images = np.zeros(cells.mask.shape, np.uint16)
    places: list[tuple[int, int]] = []
    noise: list[Tensor] = []
    hints: list[CellHints] = []
    for i in np.flatnonzero(cells.valid):
        cell, count = int(cells.cell_id[i]), int(cells.n_slices[i])
        generator = torch_generator(seed, seeded_as, "textures", cell)
        noise += correlated_noise(model.space.noise_shape, count, settings.rho, generator, settings.correlation)
        hints.append(lent_hints(cells.mask[i, :count], crops, numpy_generator(seed, seeded_as, "brightness", cell)))
        places += [(i, s) for s in range(count)]
    if places:
        for place, image in zip(places, draw(model, CellHints.joined(hints), noise, settings)):
            images[place] = to_counts(image, crops.record.window, crops.record.largest)
    return images


def lent_hints(masks: np.ndarray, crops: Crops, generator: np.random.Generator) -> CellHints:
    """Hints of a synthetic cell's slices, with brightness and background of a real cell of similar area.

    Args:
        masks: The cell's slices `(s, y, x)`.
        crops: The real crops.
        generator: Chooses the real cell.
    """
    widest = np.flatnonzero(crops.widest)
    areas = masks.sum((1, 2))
    real = crops.mask[widest].sum((1, 2))
    alike = np.argsort(np.abs(np.log(real / areas.max())), kind="stable")[: max(1, round(SIMILAR_AREA * len(real)))]
    chosen, window = widest[generator.choice(alike)], crops.record.window
    brightness, background = (
        np.full(len(masks), float(to_unit(each[chosen], window))) for each in (crops.brightness, crops.background)
    )
    return CellHints.of(masks, brightness, background, areas / areas.max())
