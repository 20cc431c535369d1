"""The network of MaskDDPM, the space it works in, and what it learns from."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DModel
from safetensors import SafetensorError
from safetensors.torch import load_file
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from cellcascade.config.settings import MaskDDPM
from cellcascade.core.errors import InputError
from cellcascade.diffusion.process import augment, diffusion_loss, draw_noising, noise_schedule
from cellcascade.geometry.masks import signed_distance
from cellcascade.learning.objective import Batch, Objective

AT_ONCE = 64  # masks whose distances are held at full resolution
ARCHITECTURE = ("representation", "grid", "truncation", "channels", "layers", "timesteps")


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


def mask_objective(model: UNet2DModel, masks: np.ndarray, settings: MaskDDPM, batch_size: int) -> Objective:
    """Learning from masks `(n, y, x)`, each of which is kept in its smaller form: coarse distances, or its bytes."""
    schedule, encoded = noise_schedule(settings.timesteps), None
    if settings.representation == "sdf":
        encoded = torch.cat([encode(masks[i : i + AT_ONCE], settings) for i in range(0, len(masks), AT_ONCE)])

    def draw(generator: torch.Generator) -> Batch:
        chosen = torch.randint(len(masks), (batch_size,), generator=generator)
        clean = encode(masks[chosen.numpy()], settings) if encoded is None else encoded[chosen]
        clean = augment(clean, generator)
        return clean, *draw_noising(clean.shape, schedule, generator)

    def loss(batch: Batch) -> Tensor:
        clean, steps, noise = batch
        return diffusion_loss(lambda x, t: model(x, t).sample, clean, steps, noise, schedule)

    return Objective(draw, loss)


def load(weights: Path, settings: MaskDDPM, size: int, device: torch.device) -> UNet2DModel:
    """Load trained weights.

    Args:
        weights: File that `train_mask_ddpm` wrote.
        settings: The `mask_ddpm` block that they were trained with.
        size: Edge of the masks, pixels.
        device: Where the model goes.

    Raises:
        InputError: The weights are damaged, or do not belong to the architecture in `settings`.
    """
    model = build(settings, size)
    try:
        model.load_state_dict(load_file(weights))
    except (RuntimeError, OSError, SafetensorError) as error:
        raise InputError(
            "MaskDDPM weights cannot be loaded",
            where=weights,
            found=str(error).splitlines()[0],
            expected=f"a UNet2DModel with channels {settings.channels}",
            fix=f"delete {weights} and rerun snakemake to train it again",
        ) from error
    return model.to(device).eval()


def trained_architecture(config: Path) -> dict[str, Any]:
    """The settings that a trained model has for good, from the JSON beside its weights.

    Raises:
        InputError: The file is missing or damaged.
    """
    try:
        trained = MaskDDPM.model_validate(json.loads(config.read_text())["settings"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            "The record of a mask model cannot be read",
            where=config,
            found=str(error).splitlines()[0],
            expected="the settings that the model was trained with",
            fix=f"delete {config.parent} and rerun snakemake to train it again",
        ) from error
    return {name: getattr(trained, name) for name in ARCHITECTURE}
