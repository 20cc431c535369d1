"""Fine-tuning of a texture prior on the crops of a data set, for as many steps as held-out cells improve."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cellcascade.config.texture import Texture
from cellcascade.core.seeds import numpy_generator
from cellcascade.data.crops import Crops, to_unit
from cellcascade.diffusion.prior_range import warn_of_textures
from cellcascade.diffusion.priors import check_prior
from cellcascade.diffusion.process import augment, diffusion_loss, draw_noising
from cellcascade.diffusion.texture.domains import Gallery, Look, imagine
from cellcascade.diffusion.texture.hints import CellHints, without_outline
from cellcascade.diffusion.texture.model import TextureModel, load
from cellcascade.learning.fine_tuning import FineTune
from cellcascade.learning.objective import Batch, Objective

ARCHITECTURE = ("space", "trainable", "block", "channels", "layers", "timesteps")  # that a prior brings
COPIES = 600  # turned and stretched crops beside the real ones, about
MOST = 8  # of one real crop
REAL = 0.5  # share of the examples that are as the camera saw them


def examples_of(crops: Crops, hints: CellHints, seed: int) -> Gallery:
    """Real crops, and turned and stretched ones after them.

    Args:
        crops: The real crops.
        hints: Their hints.
        seed: Seed of the turns.
    """
    real = Gallery(to_unit(crops.image, crops.record.window).astype(np.float16), hints, np.arange(len(hints)))
    rows = np.tile(real.source, min(MOST, max(1, round(COPIES / len(hints)))))
    copies = imagine(crops, rows, Look(crops.image.shape[-1]), numpy_generator(seed, "copies"))
    if copies is None:
        return real
    return Gallery(
        np.concatenate([real.image, copies.image]),
        CellHints.joined([real.hints, copies.hints]),
        np.concatenate([real.source, copies.source]),
    )


def objective_of(model: TextureModel, examples: Gallery, chosen: np.ndarray, settings: Texture) -> Objective:
    """Learning from some of the examples, half of them real ones.

    Args:
        model: The model, on its device.
        examples: Real crops, then copies.
        chosen: Which of the real crops are learned from, each with its copies `(n,)`, bool.
        settings: The `texture` block: batch size, share of hidden outlines.
    """
    rows = np.flatnonzero(chosen[examples.source])
    is_real = rows < len(chosen)
    share = np.where(is_real, REAL / is_real.sum(), (1 - REAL) / max(1, (~is_real).sum()))
    weight = torch.from_numpy(share)

    def draw(generator: torch.Generator) -> Batch:
        drawn = rows[
            torch.multinomial(weight, settings.tuning.batch_size, replacement=True, generator=generator).numpy()
        ]
        image = torch.from_numpy(examples.image[drawn].astype(np.float32))[:, None] * 2 - 1
        planes = augment(torch.cat([image, examples.hints[drawn].planes()], 1), generator)
        if settings.condition_dropout:
            hidden = torch.rand(len(planes), generator=generator) < settings.condition_dropout
            planes[hidden, 1:] = without_outline(planes[hidden, 1:])
        return planes, *draw_noising((len(planes), *model.space.noise_shape), model.schedule, generator)

    def loss(batch: Batch) -> Tensor:
        planes, steps, noise = batch
        clean, hint = model.space.encode(planes[:, :1]), model.space.hint(planes[:, 1:])
        return diffusion_loss(lambda x, t: model(x, t, hint), clean, steps, noise, model.schedule, model.space.weight)

    return Objective(draw, loss)


def tuned(
    crops: Crops, hints: CellHints, settings: Texture, prior: Path, *, device: torch.device, seed: int, **how: Any
) -> tuple[Texture, TextureModel, pd.DataFrame]:
    """Fine-tune a prior on crops, until held-out cells no longer improve.

    Args:
        crops: The real crops.
        hints: Their hints.
        settings: The `texture` block.
        prior: Folder of the prior.
        device: Where the model goes.
        seed: Seed of the training.
        how: Passed on to `FineTune`.

    Returns:
        The settings with the architecture of the prior, the model, and its training log.

    Raises:
        InputError: The prior cannot be used.
    """
    settings = of_prior(settings, prior)
    warn_of_textures(crops, settings.base)
    examples = examples_of(crops, hints, seed)
    files = {name: prior / f"{name}.safetensors" for name in ("unet", "controlnet")}
    images = torch.from_numpy(to_unit(crops.image, crops.record.window))[:, None] * 2 - 1

    def start() -> TextureModel:
        model = load(device, **files, config=prior / "config.json", size=crops.image.shape[-1])
        model.space.fit(images)
        return model

    def learn(model: TextureModel, chosen: np.ndarray) -> Objective:
        return objective_of(model, examples, chosen, settings)

    cells = np.unique(np.stack([crops.frame, crops.label]), axis=1, return_inverse=True)[1]
    return settings, *FineTune(start, learn, settings.tuning, device=device, seed=seed, **how).run(cells)


def of_prior(settings: Texture, prior: Path) -> Texture:
    """The settings with the architecture of a prior.

    Raises:
        InputError: The prior cannot be used.
    """
    own = Texture.model_validate(check_prior(prior, "texture")["settings"])
    return settings.model_copy(update={name: getattr(own, name) for name in ARCHITECTURE})
