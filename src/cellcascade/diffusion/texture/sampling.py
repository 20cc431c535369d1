"""Sampling of textures: noise that slices of a cell share, and denoising in batches across cells."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from cellcascade.config.texture import Texture
from cellcascade.diffusion.process import SAMPLERS
from cellcascade.diffusion.texture.hints import CellHints, without_outline
from cellcascade.diffusion.texture.model import TextureModel
from cellcascade.diffusion.texture.spaces import Space
from cellcascade.learning.batches import in_batches
from cellcascade.metrics.consistency import Consistency


def correlated_noise(space: Space, slices: int, alike: Consistency, generator: torch.Generator) -> Tensor:
    """Initial noise of a cell's slices.

    Args:
        space: The space that it is of.
        slices: Number of slices S.
        alike: How alike they are; r is its `shared`. `eq2`: a part common to all slices, so that any two correlate by r
            (paper, Eq. 2). `ar1`: an autoregression from slice to slice, so that slices i and j correlate by r^|i - j|.
            `coarse`: the same, with an r for each spatial frequency f, exp(-f^2 / 2 c^2), whose mean is r: the coarser
            a structure, the longer it lasts, and the mean never changes.
        generator: Source of randomness, on the CPU.

    Returns:
        Unit-variance noise `(S, *noise_shape)`.
    """
    shape, kept = space.noise_shape, alike.shared
    if alike.kind == "eq2":
        common = torch.randn(1, *shape, generator=generator)
        return kept**0.5 * common + (1 - kept) ** 0.5 * torch.randn(slices, *shape, generator=generator)
    noise = torch.randn(slices, *shape, generator=generator)
    if alike.kind == "ar1":
        return _chained(noise, torch.full(shape, kept))
    waves = _chained(torch.fft.fft2(noise), _coarse(space.frequency, kept))
    return torch.fft.ifft2(waves).real


def _chained(parts: Tensor, kept: Tensor) -> Tensor:
    """Independent parts `(S, …)` made a chain, in place: each keeps the share `kept` `(…)` of the one before."""
    for below, above in zip(parts, parts[1:]):
        above.mul_((1 - kept**2) ** 0.5).add_(kept * below)
    return parts


def _coarse(frequency: Tensor, mean: float) -> Tensor:
    """Shares exp(-f^2 / 2 c^2) of frequencies f `(c, y, x)`, with the c by which they have this mean."""
    if mean == 0:
        return torch.zeros_like(frequency)
    squares = frequency.double() ** 2

    def shares(log_cut: float) -> Tensor:
        return torch.exp(-squares / (2 * np.exp(2 * log_cut)))

    cut = brentq(lambda value: float(shares(value).mean()) - mean, -20, 20)
    return shares(cut).float()


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
