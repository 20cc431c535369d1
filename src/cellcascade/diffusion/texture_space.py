"""The spaces in which textures are made: pixels rearranged without loss, or the latents of an autoencoder."""

from typing import Protocol

import torch
from diffusers import AutoencoderKL
from scipy.fft import dct
from torch import Tensor, nn
from torch.nn import functional

SMALLEST_SPREAD = 1e-3  # of a channel: a constant one is not blown up


class Space(Protocol):
    """Maps crops to what the denoising network sees, and back."""

    size: int
    noise_shape: tuple[int, int, int]
    weight: Tensor | float
    shrink: int

    def encode(self, images: Tensor) -> Tensor:
        """Crops `(b, 1, y, x)` between -1 and 1 to model space `(b, *noise_shape)`."""
        ...

    def decode(self, data: Tensor) -> Tensor:
        """Model space to crops `(b, 1, y, x)`, about -1 to 1."""
        ...

    def hint(self, hints: Tensor) -> Tensor:
        """Hints `(b, c, y, x)` as the ControlNet reads them; nothing is blended, so that masks stay masks."""
        ...


class PixelSpace(nn.Module):
    """Space-to-depth: blocks of pixels become channels, in an orthonormal cosine basis, each scaled to unit variance.

    Lossless. The basis keeps smooth images smooth: what a network gets wrong in a fine channel comes back scaled by
    that channel's own, small, spread, where plain pixel channels would return it as visible noise.

    Args:
        size: Edge of the crops, pixels.
        block: Edge of the blocks, pixels.
    """

    shrink = 1

    def __init__(self, size: int, block: int):
        super().__init__()
        waves = torch.from_numpy(dct(torch.eye(block).numpy(), axis=0, norm="ortho")).float()
        self.size, self.block, self.noise_shape = size, block, (block**2, size // block, size // block)
        basis = torch.einsum("uy,vx->uvyx", waves, waves).reshape(block**2, 1, block, block)
        self.register_buffer("basis", basis, persistent=False)
        self.register_buffer("mean", torch.zeros(block**2))
        self.register_buffer("spread", torch.ones(block**2))

    def fit(self, images: Tensor) -> None:
        """Learn the channels' means and spreads from training crops `(m, 1, y, x)`."""
        channels = functional.conv2d(images, self.basis.to(images.device), stride=self.block)
        self.mean.copy_(channels.mean((0, 2, 3)))
        self.spread.copy_(channels.std((0, 2, 3)).clamp(min=SMALLEST_SPREAD))

    @property
    def weight(self) -> Tensor:
        """Loss weight of the channels `(c, 1, 1)`: coarse ones carry the picture, fine ones mostly noise."""
        return (self.spread / self.spread.mean())[:, None, None]

    def encode(self, images: Tensor) -> Tensor:
        """See `Space`."""
        channels = functional.conv2d(images, self.basis, stride=self.block)
        return (channels - self.mean[:, None, None]) / self.spread[:, None, None]

    def decode(self, data: Tensor) -> Tensor:
        """See `Space`."""
        channels = data * self.spread[:, None, None] + self.mean[:, None, None]
        return functional.conv_transpose2d(channels, self.basis, stride=self.block)

    def hint(self, hints: Tensor) -> Tensor:
        """See `Space`."""
        return functional.pixel_unshuffle(hints, self.block)


class LatentSpace(nn.Module):
    """Latents of the base model's autoencoder; crops are resized to what it was trained on, and back.

    Args:
        size: Edge of the crops, pixels.
        vae: The autoencoder; it stays as it is.
        edge: Edge of its latents.
    """

    weight = 1.0

    def __init__(self, size: int, vae: AutoencoderKL, edge: int):
        super().__init__()
        self.size, self.vae = size, vae.requires_grad_(False)
        self.shrink = len(vae.config.block_out_channels)
        self.edge = edge * 2 ** (self.shrink - 1)
        self.noise_shape = (vae.config.latent_channels, edge, edge)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """See `Space`."""
        large = functional.interpolate(images, size=(self.edge, self.edge), mode="bicubic").clamp(-1, 1)
        return self.vae.encode(large.expand(-1, 3, -1, -1)).latent_dist.mode() * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, data: Tensor) -> Tensor:
        """See `Space`."""
        large = self.vae.decode(data / self.vae.config.scaling_factor).sample.mean(1, keepdim=True)
        return functional.interpolate(large, size=(self.size, self.size), mode="area")

    def hint(self, hints: Tensor) -> Tensor:
        """See `Space`."""
        return functional.interpolate(hints, size=(self.edge, self.edge), mode="nearest")
