"""Fine-tuning of a prior of masks on those of a data set, for as many steps as held-out masks improve."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from diffusers import UNet2DModel

from cellcascade.config.settings import MaskDDPM
from cellcascade.core.errors import InputError
from cellcascade.core.seeds import numpy_generator
from cellcascade.diffusion.mask_model import ARCHITECTURE, load, mask_objective
from cellcascade.diffusion.priors import check_prior
from cellcascade.geometry.masks import turned
from cellcascade.learning.fine_tuning import FineTune
from cellcascade.learning.objective import Objective

COPIES = 8  # turned and stretched masks of each real one
STRETCH = 0.1  # along each axis, at most, as a logarithm


def of_prior(settings: MaskDDPM, prior: Path, size: int) -> MaskDDPM:
    """The settings with the architecture of a prior.

    Raises:
        InputError: The prior cannot be used, or its grid does not divide the crops.
    """
    own = MaskDDPM.model_validate(check_prior(prior, "mask_ddpm")["settings"])
    if size % own.grid:
        raise InputError(
            "The prior of masks does not fit the crops",
            where="crops.size",
            found=f"crops of {size} pixels, a grid of {own.grid} points",
            expected="crops that the grid divides",
            fix=f"set crops.size to a multiple of {own.grid}, or mask_ddpm.base: scratch with another grid",
        )
    return settings.model_copy(update={name: getattr(own, name) for name in ARCHITECTURE})


def tune(
    masks: np.ndarray, settings: MaskDDPM, prior: Path, *, device: torch.device, seed: int, **how: Any
) -> tuple[UNet2DModel, pd.DataFrame]:
    """Fine-tune a prior on masks `(n, y, x)`, until held-out ones no longer improve."""
    copies, source = [masks], [np.arange(len(masks))]
    for number in range(COPIES * len(masks)):
        generator = numpy_generator(seed, "copy", number)
        zoom, angle = np.exp(generator.uniform(-STRETCH, STRETCH, 2)), generator.uniform(0, 2 * np.pi)
        copy = turned(masks[number % len(masks)], masks.shape[-1], angle=angle, zoom=zoom)
        if copy is not None:
            copies, source = [*copies, copy[None]], [*source, np.array([number % len(masks)])]
    all_masks, of_mask = np.concatenate(copies), np.concatenate(source)

    def learn(model: UNet2DModel, chosen: np.ndarray) -> Objective:
        return mask_objective(model, all_masks[chosen[of_mask]], settings, settings.tuning.batch_size)

    def start() -> UNet2DModel:
        return load(prior / "model.safetensors", settings, masks.shape[-1], device).train()

    return FineTune(start, learn, settings.tuning, device=device, seed=seed, **how).run(np.arange(len(masks)))
