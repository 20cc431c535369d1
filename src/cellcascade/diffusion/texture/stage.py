"""Mask-conditioned textures (paper, section 2, cell texture generation): training and sampling.

A Stable Diffusion UNet without text, or one of the same kind trained from scratch, is steered by a ControlNet that sees
the cell's outline, its brightness and its background. Slices of a cell share a part of their initial noise (Eq. 2).
"""

import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cellcascade.config.settings import Texture
from cellcascade.core.files import digest, write_table
from cellcascade.core.seeds import numpy_generator, seed_for, torch_generator
from cellcascade.core.stages import STAGE_VERSIONS
from cellcascade.data.crops import Crops, read_crops, to_counts, to_unit
from cellcascade.data.shards import open_shard, write_shard
from cellcascade.diffusion.process import augment, diffusion_loss
from cellcascade.diffusion.texture.hints import crop_hints, hints, without_outline
from cellcascade.diffusion.texture.model import build, load
from cellcascade.diffusion.texture.monitor import Watch, likeness_by_rho, measure_profile
from cellcascade.diffusion.texture.sampling import correlated_noise, draw
from cellcascade.diffusion.texture.spaces import PixelSpace
from cellcascade.learning import training
from cellcascade.learning.device import pick_device

logger = logging.getLogger(__name__)

SIMILAR_AREA = 0.25  # share of the real cells, those nearest in area, that lend a synthetic cell their brightness


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
    block, target = Texture(**settings), pick_device(device)
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
    model.profile = measure_profile(model, block, data, seen[:, 1:], seed)
    model.save(Path(folder), settings)
    write_table(Path(folder) / "training.csv", table)
    write_table(Path(folder) / "rho.csv", likeness_by_rho(model, block, data, seen[:, 1:], seed))


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
    block, target = Texture(**settings), pick_device(device)
    data = read_crops(crops)
    model = load(model_folder, target)
    masks, n_slices, valid, ids = _read_cells(cells)
    slices, noise, seen = [], [], []
    for i in np.flatnonzero(valid):
        generator, count = torch_generator(seed, dataset, "textures", int(ids[i])), int(n_slices[i])
        noise += correlated_noise(model.space.noise_shape, count, block.rho, generator, block.correlation)
        lender = numpy_generator(seed, dataset, "brightness", int(ids[i]))
        seen += _cell_hints(masks[i, :count], data, lender)
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


def _cell_hints(masks: np.ndarray, crops: Crops, generator: np.random.Generator) -> Tensor:
    """Hints `(S, 5, y, x)` of a synthetic cell, with brightness and background of a real cell of similar area."""
    widest = np.flatnonzero(crops.widest)
    areas = masks.sum((1, 2))
    real = crops.mask[widest].sum((1, 2))
    alike = np.argsort(np.abs(np.log(real / areas.max())), kind="stable")[: max(1, round(SIMILAR_AREA * len(real)))]
    chosen, window = widest[generator.choice(alike)], crops.attrs["window"]
    levels = [
        np.full(len(masks), float(to_unit(values[chosen], window))) for values in (crops.brightness, crops.background)
    ]
    return hints(masks, *levels, areas / areas.max())
