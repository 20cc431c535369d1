"""What the texture model learns from: turned crops in model space, and their hints, a batch at a time."""

import logging
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from cellcascade.config.texture import Texture
from cellcascade.core.choice import evenly_spaced
from cellcascade.core.files import atomic_path
from cellcascade.data.crops import Crops, to_unit
from cellcascade.diffusion.process import TURNS, diffusion_loss, draw_noising, turned
from cellcascade.diffusion.texture.hints import CellHints, without_outline
from cellcascade.diffusion.texture.model import TextureModel
from cellcascade.diffusion.texture.spaces import LatentSpace, Space
from cellcascade.learning.batches import in_batches
from cellcascade.learning.objective import Batch, Objective

logger = logging.getLogger(__name__)

AT_ONCE = 16  # crops that are encoded at once: the size of a batch changes the last bits
FITTED = 4096  # crops that tell the scales of a space's channels: more would not change them, and take memory


class Examples(Protocol):
    """Crops to learn from."""

    def take(self, chosen: np.ndarray, turns: list[int]) -> Tensor:
        """Some of them, turned, on the CPU `(b, ...)`."""
        ...

    def clean(self, taken: Tensor) -> Tensor:
        """What was taken, on the model's device, in model space."""
        ...


class PixelExamples:
    """Crops as examples in pixel space, which learns their scales first.

    Args:
        space: The space, on its device.
        crops: The crops.
    """

    def __init__(self, space: Space, crops: Crops):
        self.space, self.crops = space, crops
        space.fit(self._images(_some(len(crops.image))))

    def take(self, chosen: np.ndarray, turns: list[int]) -> Tensor:
        """See `Examples`: images `(b, 1, y, x)`."""
        return turned(self._images(chosen), turns)

    def clean(self, taken: Tensor) -> Tensor:
        """See `Examples`."""
        return self.space.encode(taken)

    def _images(self, chosen: np.ndarray) -> Tensor:
        return images_of(self.crops, chosen)


class LatentExamples:
    """Latents of all crops in all orientations, encoded once and kept in a file.

    The latents of a turned crop are not the turned latents of the crop, so all eight orientations are encoded.

    Args:
        space: The space, on its device.
        crops: The crops.
        file: Where the latents lie `(8, n, c, y, x)`, float16; encoded first if there is no such file.
        fit: Whether the space learns the channels' scales.
    """

    def __init__(self, space: LatentSpace, crops: Crops, file: Path, *, fit: bool):
        self.space = space
        if not file.exists():
            _encode(space, crops, file)
        self.latents = np.load(file, mmap_mode="r")
        if fit:
            chosen = _some(self.latents.shape[1])
            space.fit(torch.from_numpy(self.latents[0, chosen]).float())

    def take(self, chosen: np.ndarray, turns: list[int]) -> Tensor:
        """See `Examples`: latents `(b, c, y, x)`."""
        return torch.from_numpy(self.latents[turns, chosen]).float()

    def clean(self, taken: Tensor) -> Tensor:
        """See `Examples`."""
        return self.space.scaled(taken)


def crop_objective(model: TextureModel, crops: Crops, hints: CellHints, settings: Texture, latents: Path) -> Objective:
    """Learning from crops.

    Args:
        model: The model, on its device.
        crops: What it learns from.
        hints: Hints of these crops.
        settings: The `texture` block: batch size, share of hidden outlines.
        latents: Where latents are kept, if the model works in those of an autoencoder.
    """
    if isinstance(model.space, LatentSpace):
        examples: Examples = LatentExamples(model.space, crops, latents, fit=not settings.pretrained)
    else:
        examples = PixelExamples(model.space, crops)

    def draw(generator: torch.Generator) -> Batch:
        chosen = torch.randint(len(hints), (settings.training.batch_size,), generator=generator).numpy()
        turns = torch.randint(TURNS, (len(chosen),), generator=generator).tolist()
        planes = turned(hints[chosen].planes(), turns)  # as their crops, so that outlines stay on their cells
        if settings.condition_dropout:
            hidden = torch.rand(len(planes), generator=generator) < settings.condition_dropout
            planes[hidden] = without_outline(planes[hidden])
        noising = draw_noising((len(planes), *model.space.noise_shape), model.schedule, generator)
        return examples.take(chosen, turns), planes, *noising

    def loss(batch: Batch) -> Tensor:
        taken, planes, steps, noise = batch
        clean, hint = examples.clean(taken), model.space.hint(planes)
        return diffusion_loss(lambda x, t: model(x, t, hint), clean, steps, noise, model.schedule, model.space.weight)

    return Objective(draw, loss)


def images_of(crops: Crops, chosen: np.ndarray) -> Tensor:
    """Some crops as images `(b, 1, y, x)`, -1 to 1."""
    return torch.from_numpy(to_unit(crops.image[chosen], crops.record.window)).float()[:, None] * 2 - 1


def _some(count: int) -> np.ndarray:
    """Places of all crops, or of enough of many."""
    return np.array(evenly_spaced(range(count), FITTED))


def _encode(space: LatentSpace, crops: Crops, file: Path) -> None:
    """Write the latents of all crops in all orientations, whole or not at all."""
    shape = (TURNS, len(crops.image), *space.noise_shape)
    logger.info("encoding %d crops in %d orientations, %.1f GB", shape[1], TURNS, 2 * np.prod(shape) / 1e9)

    def encode(batch: list[tuple[int, int]]) -> np.ndarray:
        turns, chosen = zip(*batch)
        images = turned(images_of(crops, np.array(chosen)), turns).to(space.up.device)
        return space.encode(images).cpu().numpy()

    places, setting = [(turn, i) for turn in range(TURNS) for i in range(shape[1])], "texture.space: latent"
    with atomic_path(file) as scratch:
        kept = np.lib.format.open_memmap(scratch, mode="w+", dtype=np.float16, shape=shape)
        for place, latents in in_batches(encode, places, AT_ONCE, what="latents of turned crops", setting=setting):
            kept[place] = latents
        kept.flush()
