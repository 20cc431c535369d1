"""Mask-conditioned textures (paper, section 2, cell texture generation): training and sampling.

A Stable Diffusion UNet without text, or one of the same kind trained from scratch, is steered by a ControlNet that sees
the cell's outline, its brightness and its background. Slices of a cell share a part of their initial noise (Eq. 2).
"""

import logging
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from cellcascade import training
from cellcascade.batches import fixed_batches
from cellcascade.crops import Crops, read_crops, to_counts, to_unit
from cellcascade.ctc import spread
from cellcascade.diffusion.process import augment, ddim, diffusion_loss
from cellcascade.diffusion.texture_model import TextureModel, build, load
from cellcascade.diffusion.texture_sampling import correlated_noise, draw, without_outline
from cellcascade.diffusion.texture_space import PixelSpace
from cellcascade.diffusion.texture_watch import Watch, likeness_by_rho
from cellcascade.mask_distance import signed_distance
from cellcascade.seeds import numpy_generator, seed_for, torch_generator
from cellcascade.settings import Texture
from cellcascade.shards import digest, open_shard, write_shard
from cellcascade.stages import STAGE_VERSIONS

logger = logging.getLogger(__name__)

OUTLINE_REACH = 0.125  # distance from the outline that the hint still resolves, as a share of the crop
CALIBRATION_CELLS, CALIBRATION_BATCH, CALIBRATION_STEPS = 48, 16, 25  # real cells that show where edges are drawn
EDGE_BAND = 4  # pixels on either side of an outline in which its edge is looked for
MOST_SHIFT = 1.5  # pixels
SIMILAR_AREA = 0.25  # share of the real cells, those nearest in area, that lend a synthetic cell their brightness


def hints(
    masks: np.ndarray, brightness: np.ndarray, background: np.ndarray, area_ratio: np.ndarray, *, shift: float = 0.0
) -> Tensor:
    """What the ControlNet sees of a cell.

    Args:
        masks: Outlines `(n, y, x)`.
        brightness: Mean brightness of each cell in its widest slice `(n,)`, unit scale (root of the windowed counts).
        background: Background level `(n,)`, unit scale.
        area_ratio: Area of each slice relative to its cell's widest one `(n,)`.
        shift: Pixels by which outlines are moved outwards, see `outline_shift`.

    Returns:
        `(n, 5, y, x)`: mask, signed distance to the outline, brightness, background, relative area; all about -1 to 1.
    """
    n, edge, _ = masks.shape
    distance = np.stack([signed_distance(mask) for mask in masks]) + shift
    inside, distance = (distance + 0.5).clip(0, 1), distance / (OUTLINE_REACH * edge)  # a part of a pixel if shifted
    levels = np.stack([brightness, background, area_ratio], 1)[:, :, None, None] * 2 - 1
    planes = [inside[:, None] * 2.0 - 1, distance[:, None].clip(-1.5, 1.5), np.broadcast_to(levels, (n, 3, edge, edge))]
    return torch.from_numpy(np.concatenate(planes, 1).astype(np.float32))


def crop_hints(crops: Crops) -> Tensor:
    """Hints `(m, 5, y, x)` of real crops."""
    window = crops.attrs["window"]
    return hints(crops.mask, to_unit(crops.brightness, window), to_unit(crops.background, window), crops.area_ratio)


def train(crops: str, *, settings: dict, folder: str, checkpoints: str, seed: int, device: str) -> None:
    """Fine-tune, or train, the texture model on the crops of a data set.

    Args:
        crops: The crops store.
        settings: The `texture` block.
        folder: Gets unet.safetensors, controlnet.safetensors, config.json, training.csv and rho.csv.
        checkpoints: Prefix of the checkpoint folder.
        seed: Seed of the run.
        device: auto, cpu or cuda.

    Raises:
        InputError: The base model is missing or does not fit the settings.
    """
    block, target = Texture(**settings), training.pick_device(device)
    data = read_crops(crops)
    seed = seed_for(seed, data.attrs["dataset"], "texture")
    torch.manual_seed(seed)
    model = build(block, data.image.shape[-1]).to(target)
    images = torch.from_numpy(to_unit(data.image, data.attrs["window"])).float()[:, None] * 2 - 1
    if isinstance(model.space, PixelSpace):
        model.space.fit(images)
    seen = torch.cat([images, crop_hints(data)], 1)

    def loss(generator: torch.Generator) -> Tensor:
        chosen = seen[torch.randint(len(seen), (block.train.batch_size,), generator=generator)]
        batch = augment(chosen, generator).to(target)
        if block.condition_dropout:
            hidden = torch.rand(len(batch), generator=generator) < block.condition_dropout
            batch[hidden, 1:] = without_outline(batch[hidden, 1:])
        hint = model.space.hint(batch[:, 1:])
        clean = model.space.encode(batch[:, :1])
        return diffusion_loss(lambda x, t: model(x, t, hint), clean, model.schedule, generator, model.space.weight)

    version = STAGE_VERSIONS["train_texture"]
    checkpoint = Path(f"{checkpoints}-{training.fingerprint(settings, [crops], version)}") / "state.pt"
    logger.info(
        "%d crops, %.2f M trained parameters", len(seen), sum(p.numel() for p in model.trained_parameters()) / 1e6
    )
    table = training.train(
        model,
        loss,
        block.train,
        checkpoint=checkpoint,
        seed=seed,
        device=target,
        what="texture training",
        look=Watch(model, block, data, seen[:, 1:], seed),
    )
    model.outline_shift_px = outline_shift(model, data, seed)
    logger.info("textures are drawn with outlines moved outwards by %.2f pixels", model.outline_shift_px)
    model.save(Path(folder), settings)
    training.write_table(Path(folder) / "training.csv", table)
    training.write_table(Path(folder) / "rho.csv", likeness_by_rho(model, block, data, seen[:, 1:], seed))


@torch.no_grad()
def outline_shift(model: TextureModel, crops: Crops, seed: int) -> float:
    """How far the model draws a cell's edge inside its outline, compared with the annotators' habit.

    Where the edge is uncertain, a model that is not trained to the end averages over its places, and because that
    happens on root counts, the edge moves inwards; a network that learns from such images segments too widely. So the
    model textures real outlines, and the median distance between its edges and the real ones is what later outlines
    are moved by in its hints.

    Args:
        model: The trained model.
        crops: The crops it was trained on.
        seed: Seed of the noise.

    Returns:
        Pixels, positive if the model's edges lie too far inside.
    """
    chosen = np.array(spread(list(np.flatnonzero(crops.widest)), CALIBRATION_CELLS))
    device = next(model.parameters()).device
    seen, drawn = crop_hints(crops)[chosen], []
    for batch, count in fixed_batches(list(range(len(chosen))), CALIBRATION_BATCH):
        noise = [torch.randn(model.space.noise_shape, generator=torch_generator(seed, "outline", i)) for i in batch]
        hint = model.space.hint(seen[batch].to(device))
        start = torch.stack(noise).to(device)
        unit = model.space.decode(ddim(model.guided(hint), start, model.schedule, steps=CALIBRATION_STEPS))
        drawn += list((unit.float().cpu().numpy()[:count, 0].clip(-1, 1) + 1) / 2)
    window = crops.attrs["window"]
    off = [
        edge_offset(to_unit(crops.image[i], window) ** 2, crops.mask[i]) - edge_offset(image**2, crops.mask[i])
        for i, image in zip(chosen, drawn)
    ]
    return float(np.clip(np.nanmedian(off), -MOST_SHIFT, MOST_SHIFT)) if np.isfinite(off).any() else 0.0


def edge_offset(image: np.ndarray, mask: np.ndarray) -> float:
    """Mean distance of a cell's edge, where counts are halfway between inside and outside, from its outline.

    Args:
        image: Counts `(y, x)`, on any linear scale.
        mask: The cell `(y, x)`.

    Returns:
        Pixels, positive if the edge lies outside the outline; NaN for a cell too small or too large to tell.
    """
    distance = signed_distance(mask)
    band, outside = np.abs(distance) <= EDGE_BAND, distance < -EDGE_BAND
    if not outside.any() or (distance > 1).sum() < 10:
        return float("nan")
    smooth = ndimage.gaussian_filter(image.astype(np.float32), 1)
    level = (np.median(smooth[distance > 1]) + np.median(smooth[outside])) / 2
    wider = (smooth[band] > level).sum() - (mask[band] > 0).sum()
    return float(wider / (band.sum() / (2 * EDGE_BAND)))


def sample(
    model_folder: str,
    cells: str,
    *,
    crops: str,
    settings: dict,
    store: str,
    seed: int,
    device: str,
    dataset: str,
) -> None:
    """Give every slice of a shard of cells its texture.

    Args:
        model_folder: Folder that `train` wrote.
        cells: A `masks/1` shard (2D) or a `slices/1` shard (3D).
        crops: The crops store the model was trained on: intensity window, brightness of real cells.
        settings: The `texture` block; the sampling keys are used.
        store: The `textures/1` shard to write.
        seed: Seed of the run.
        device: auto, cpu or cuda.
        dataset: Name of the data set, part of each cell's seed.
    """
    block, target = Texture(**settings), training.pick_device(device)
    data = read_crops(crops)
    model = load(model_folder, target)
    masks, n_slices, valid, ids = _read_cells(cells)
    slices, noise, seen = [], [], []
    for i in np.flatnonzero(valid):
        generator, count = torch_generator(seed, dataset, "textures", int(ids[i])), int(n_slices[i])
        noise += correlated_noise(model.space.noise_shape, count, block.rho, generator, block.correlation)
        lender = numpy_generator(seed, dataset, "brightness", int(ids[i]))
        seen += _cell_hints(masks[i, :count], data, lender, model.outline_shift_px)
        slices += [(i, s) for s in range(count)]
    images = np.zeros(masks.shape, np.uint16)
    highest = np.iinfo(data.attrs["frame_dtype"]).max
    for place, image in zip(slices, draw(model, seen, noise, block)):
        images[place] = to_counts(image, data.attrs["window"], highest)
    write_shard(
        store,
        schema="textures/1",
        arrays={"image": images, "mask": masks, "n_slices": n_slices, "valid": valid, "cell_id": ids},
        attributes={
            "dataset": dataset,
            "seed": seed,
            "background": float(np.median(data.background)),
            "cells": digest(cells),
            "model": digest(Path(model_folder) / "unet.safetensors"),
        },
    )


def _read_cells(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Masks `(n, S, y, x)`, number of slices `(n,)`, validity `(n,)` and ids `(n,)` of a masks or slices shard."""
    try:
        shard = open_shard(path, "slices/1")
        return shard["mask"][:], shard["n_slices"][:], shard["valid"][:], shard["cell_id"][:]
    except ValueError:
        shard = open_shard(path, "masks/1")
        ids = shard["cell_id"][:]
        return shard["mask"][:][:, None], np.ones(len(ids), np.int32), shard["valid"][:], ids


def _cell_hints(masks: np.ndarray, crops: Crops, generator: np.random.Generator, shift: float) -> Tensor:
    """Hints `(S, 5, y, x)` of a synthetic cell, with brightness and background of a real cell of similar area."""
    widest = np.flatnonzero(crops.widest)
    areas = masks.sum((1, 2))
    real = crops.mask[widest].sum((1, 2))
    alike = np.argsort(np.abs(np.log(real / areas.max())), kind="stable")[: max(1, round(SIMILAR_AREA * len(real)))]
    chosen, window = widest[generator.choice(alike)], crops.attrs["window"]
    levels = [
        np.full(len(masks), float(to_unit(values[chosen], window))) for values in (crops.brightness, crops.background)
    ]
    return hints(masks, *levels, areas / areas.max(), shift=shift)
