"""MaskDDPM: an unconditional diffusion model of single-cell masks (paper, section 2, mask synthesis in 2D)."""

import logging
import math
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DModel
from safetensors.torch import load_file, save_file
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from cellcascade.config.settings import MaskDDPM
from cellcascade.core.errors import InputError
from cellcascade.core.seeds import seed_for, torch_generator
from cellcascade.core.stages import STAGE_VERSIONS
from cellcascade.data.crops import read_crops
from cellcascade.data.shards import atomic_path, check_invalid, digest, write_shard
from cellcascade.diffusion.process import augment, ddim, diffusion_loss, draw_noise, noise_schedule
from cellcascade.geometry.masks import signed_distance
from cellcascade.learning import training
from cellcascade.learning.batches import in_batches

logger = logging.getLogger(__name__)


def encode(masks: np.ndarray, settings: MaskDDPM) -> Tensor:
    """Masks `(n, y, x)` to model space `(n, 1, grid, grid)`, float32."""
    if settings.representation == "binary":
        return torch.from_numpy(masks > 0).float()[:, None] * 2 - 1
    distances = torch.from_numpy(np.stack([signed_distance(mask) for mask in masks]))[:, None]
    size = masks.shape[-1]
    coarse = functional.avg_pool2d(distances, size // settings.grid)
    return (coarse / (settings.truncation * size)).clamp(-1.5, 1.5)


def decode(samples: Tensor, size: int) -> np.ndarray:
    """Model space `(n, 1, g, g)` to masks `(n, size, size)` with their holes filled, uint8."""
    if samples.shape[-1] != size:
        samples = functional.interpolate(samples, size=(size, size), mode="bicubic", align_corners=False)
    return np.stack([ndimage.binary_fill_holes(mask) for mask in (samples[:, 0] > 0).cpu().numpy()]).astype(np.uint8)


def flaw(mask: np.ndarray, min_area: float) -> str:
    """Why a sampled mask `(y, x)` cannot be used; empty if it can."""
    if mask.sum() < min_area:
        return "empty or too small"
    if mask[[0, -1]].any() or mask[:, [0, -1]].any():
        return "touches the border"
    return "fragmented" if ndimage.label(mask)[1] > 1 else ""


def build(settings: MaskDDPM, size: int) -> UNet2DModel:
    """The untrained UNet for masks of `size` pixels; attention at the lowest level."""
    levels = len(settings.channels)
    return UNet2DModel(
        sample_size=settings.grid if settings.representation == "sdf" else size,
        in_channels=1,
        out_channels=1,
        block_out_channels=settings.channels,
        layers_per_block=settings.layers,
        norm_num_groups=math.gcd(32, *settings.channels),
        attention_head_dim=8,
        down_block_types=("DownBlock2D",) * (levels - 1) + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * (levels - 1),
    )


def train(crops: str, *, settings: dict, folder: str, checkpoints: str, seed: int, device: str) -> None:
    """Train MaskDDPM on the masks of a data set's crops.

    Args:
        crops: The crops store; one mask a cell is used, that of its annotated or widest slice.
        settings: The `mask_ddpm` block.
        folder: Gets model.safetensors, config.json and training.csv.
        checkpoints: Prefix of the checkpoint folder, which also carries a fingerprint.
        seed: Seed of the run.
        device: auto, cpu or cuda.

    Raises:
        InputError: The crops hold no whole cell.
    """
    block, target = MaskDDPM(**settings), training.pick_device(device)
    data = read_crops(crops)
    clean = encode(data.mask[data.widest.astype(bool)], block)
    seed = seed_for(seed, data.attrs["dataset"], "mask_ddpm")
    torch.manual_seed(seed)
    model = build(block, data.mask.shape[-1]).to(target)
    schedule = noise_schedule(block.timesteps)

    def loss(generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(clean), (block.train.batch_size,), generator=generator)
        batch = augment(clean[chosen], generator).to(target)
        return diffusion_loss(lambda x, t: model(x, t).sample, batch, schedule, generator)

    version = STAGE_VERSIONS["train_mask_ddpm"]
    checkpoint = Path(f"{checkpoints}-{training.fingerprint(settings, [crops], version)}") / "state.pt"
    logger.info("%d masks, %.2f M parameters", len(clean), sum(p.numel() for p in model.parameters()) / 1e6)
    table = training.train(
        model, loss, block.train, checkpoint=checkpoint, seed=seed, device=target, what="mask_ddpm training"
    )
    with atomic_path(Path(folder) / "model.safetensors") as scratch:
        save_file(model.state_dict(), scratch)
    areas = data.mask[data.widest.astype(bool)].sum((1, 2))
    training.write_json(
        Path(folder) / "config.json",
        {"settings": settings, "size": data.mask.shape[-1], "smallest_area": int(areas.min()), "masks": len(clean)},
    )
    training.write_table(Path(folder) / "training.csv", table)


def load(folder: str | Path, settings: MaskDDPM, size: int, device: torch.device) -> UNet2DModel:
    """Load trained weights.

    Raises:
        InputError: The weights do not belong to the architecture in `settings`.
    """
    model, path = build(settings, size), Path(folder) / "model.safetensors"
    try:
        model.load_state_dict(load_file(path))
    except (RuntimeError, OSError) as error:
        raise InputError(
            "MaskDDPM weights cannot be loaded",
            where=path,
            found=str(error).splitlines()[0],
            expected=f"a UNet2DModel with channels {settings.channels}",
            mend="remove the folder and rerun snakemake to train it again",
        ) from error
    return model.to(device).eval()


def sample(
    model_folder: str,
    *,
    settings: dict,
    crops: str,
    cells: tuple[int, int],
    store: str,
    seed: int,
    device: str,
    dataset: str,
    max_invalid_fraction: float = 0.2,
) -> None:
    """Sample the masks of a shard of cells; flawed ones are drawn again, and counted.

    Args:
        model_folder: Folder that `train` wrote.
        settings: The `mask_ddpm` block.
        crops: The crops store the model was trained on: gives size and least area.
        cells: First cell and the one after the last.
        store: The `masks/1` shard to write.
        seed: Seed of the run.
        device: auto, cpu or cuda.
        dataset: Name of the data set, part of each cell's seed.
        max_invalid_fraction: The job fails when a larger share of its cells cannot be made.

    Raises:
        InputError: More cells than `max_invalid_fraction` had only flawed samples.
    """
    block, target = MaskDDPM(**settings), training.pick_device(device)
    data = read_crops(crops)
    size = data.mask.shape[-1]
    min_area = 0.7 * data.mask[data.widest.astype(bool)].sum((1, 2)).min()
    model = load(model_folder, block, size, target)
    ids = list(range(*cells))
    masks, reasons, redraws = {}, {}, 0
    for attempt in range(block.max_redraws):
        missing = [cell for cell in ids if cell not in masks]
        redraws += len(missing) if attempt else 0
        for cell, mask in _draw(model, block, missing, attempt, size=size, seed=seed_for(seed, dataset, "masks")):
            reasons[cell] = flaw(mask, min_area)
            if not reasons[cell]:
                masks[cell] = mask
    reasons = {str(cell): reason for cell, reason in reasons.items() if reason}
    check_invalid(reasons, len(ids), max_invalid_fraction, store)
    empty = np.zeros((size, size), np.uint8)
    write_shard(
        store,
        schema="masks/1",
        arrays={
            "mask": np.stack([masks.get(cell, empty) for cell in ids]),
            "cell_id": np.array(ids, np.int32),
            "valid": np.array([cell in masks for cell in ids], np.uint8),
        },
        attributes={
            "dataset": dataset,
            "cells": list(cells),
            "seed": seed,
            "redraws": redraws,
            "reasons": reasons,
            "model": digest(Path(model_folder) / "model.safetensors"),
        },
    )
    logger.info("%d masks, %d redrawn, %d invalid", len(masks), redraws, len(reasons))


def _draw(model: UNet2DModel, settings: MaskDDPM, cells: list[int], attempt: int, *, size: int, seed: int):
    """Sample the given cells; yields (cell, mask)."""
    schedule, edge = noise_schedule(settings.timesteps), model.config.sample_size

    def draw(batch: list[int]) -> np.ndarray:
        generators = [torch_generator(seed, cell, attempt) for cell in batch]

        def noise() -> Tensor:
            return torch.stack([draw_noise((1, edge, edge), generator, model.device) for generator in generators])

        samples = ddim(
            lambda x, t: model(x, t).sample,
            noise(),
            schedule,
            steps=settings.sampling_steps,
            eta=settings.eta,
            fresh_noise=noise,
        )
        return decode(samples, size)

    what, setting = f"masks, try {attempt + 1}", "mask_ddpm.sampling_batch"
    return in_batches(draw, cells, settings.sampling_batch, what=what, setting=setting)
