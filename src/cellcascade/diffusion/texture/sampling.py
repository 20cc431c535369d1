"""Sampling of textures: noise that slices of a cell share, and denoising in batches across cells."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from cellcascade.config.texture import Texture
from cellcascade.diffusion.process import SAMPLERS
from cellcascade.diffusion.texture.hints import CellHints, without_outline
from cellcascade.diffusion.texture.model import TextureModel
from cellcascade.learning.batches import in_batches


def correlated_noise(
    shape: tuple[int, ...], slices: int, rho: float, generator: torch.Generator, correlation: str = "eq2"
) -> Tensor:
    """Initial noise of a cell's slices.

    Args:
        shape: Shape `(c, y, x)` of one slice's noise.
        slices: Number of slices S.
        rho: Strength of the consistency; neighbouring slices correlate by r = rho^2 / (1 + rho^2).
        generator: Source of randomness, on the CPU.
        correlation: `eq2`: a part common to all slices, so that any two correlate by r (paper, Eq. 2); `ar1`: an
            autoregression from slice to slice, so that slices i and j correlate by r^|i - j|.

    Returns:
        Unit-variance noise `(S, c, y, x)`.
    """
    if correlation == "eq2":
        common = torch.randn(1, *shape, generator=generator)
        unique = torch.randn(slices, *shape, generator=generator)
        return (rho * common + unique) / (1 + rho**2) ** 0.5
    noise, kept = torch.randn(slices, *shape, generator=generator), rho**2 / (1 + rho**2)
    for below, above in zip(noise, noise[1:]):
        above.mul_((1 - kept**2) ** 0.5).add_(kept * below)
    return noise


def draw(model: TextureModel, hints: CellHints, noise: Sequence[Tensor], settings: Texture) -> Iterator[np.ndarray]:
    """Denoise slices, of one cell or many, in batches of one size.

    A slice does not depend on the others of its batch; on the size of the batch its last bits do. If the model has a
    profile, the light across each cell's edge is corrected by it.

    Args:
        model: The model.
        hints: Hints of the slices.
        noise: Initial noise of each slice, of the space's `noise_shape`.
        settings: The `texture` block: sampler, steps, guidance and size of a batch.

    Yields:
        One image `(y, x)` a slice, about 0 to 1 (root of the windowed counts).
    """
    device, sampler = next(model.parameters()).device, SAMPLERS[settings.sampler]

    def paint(batch: list[int]) -> Iterable[np.ndarray]:
        seen = hints[batch].planes(device)
        blind = None if settings.guidance == 1 else model.space.hint(without_outline(seen))
        predict = model.guided(model.space.hint(seen), blind, settings.guidance)
        start = torch.stack([noise[i] for i in batch]).to(device)
        with torch.no_grad():
            unit = model.space.decode(sampler(predict, start, model.schedule, steps=settings.sampling_steps))
        light = (unit.float().cpu().numpy()[:, 0] + 1) / 2
        return light * np.sqrt(model.profile.gain(hints[batch])) if model.profile else light

    size, setting = settings.sampling_batch, "texture.sampling_batch"
    for _, image in in_batches(paint, range(len(hints)), size, what="textured slices", setting=setting):
        yield image
