"""The spaces in which textures are made: pixels rearranged without loss, or the latents of an autoencoder."""

from collections.abc import Mapping
from typing import Protocol

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from scipy.fft import dct
from torch import Tensor, nn
from torch.nn import functional

SMALLEST_SPREAD = 1e-3  # of a channel: a constant one is not blown up


class Space(Protocol):
    """Maps crops to what the denoising network sees, and back."""

    size: int
    noise_shape: tuple[int, int, int]
    shrink: int  # resolutions from that of the hint to that of the data
    hint_edge: int  # of the hint as the ControlNet reads it

    @property
    def weight(self) -> Tensor | float:
        """Loss weight, broadcast against `(b, *noise_shape)`."""
        ...

    @property
    def frequency(self) -> Tensor:
        """Spatial frequency of what the noise's Fourier transform holds `noise_shape`, cycles per pixel of the crop."""
        ...

    def fit(self, data: Tensor) -> None:
        """Learn the channels' means and spreads: in pixel space from images, in latents from those."""
        ...

    def encode(self, images: Tensor) -> Tensor:
        """Crops `(b, 1, y, x)` between -1 and 1 to model space `(b, *noise_shape)`."""
        ...

    def decode(self, data: Tensor) -> Tensor:
        """Model space to crops `(b, 1, y, x)`, about -1 to 1."""
        ...

    def hint(self, hints: Tensor) -> Tensor:
        """Hints `(b, c, y, x)` as the ControlNet reads them; nothing is blended, so that masks stay masks."""
        ...

    def state_dict(self) -> Mapping[str, Tensor]:
        """The space's tensors by name, as those of every torch module."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Tensor], strict: bool = True) -> object:
        """Take tensors over, as every torch module does; if not `strict`, some may be missing."""
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
    basis: Tensor
    mean: Tensor
    spread: Tensor

    def __init__(self, size: int, block: int):
        super().__init__()
        waves = torch.from_numpy(dct(torch.eye(block).numpy(), axis=0, norm="ortho")).float()
        self.size, self.block, self.noise_shape = size, block, (block**2, size // block, size // block)
        self.hint_edge = size // block
        basis = torch.einsum("uy,vx->uvyx", waves, waves).reshape(block**2, 1, block, block)
        self.register_buffer("basis", basis, persistent=False)
        self.register_buffer("mean", torch.zeros(block**2))
        self.register_buffer("spread", torch.ones(block**2))

    def fit(self, data: Tensor) -> None:
        """See `Space`; the data are training crops `(m, 1, y, x)`."""
        channels = functional.conv2d(data, self.basis.to(data.device), stride=self.block)
        self.mean.copy_(channels.mean((0, 2, 3)))
        self.spread.copy_(channels.std((0, 2, 3)).clamp(min=SMALLEST_SPREAD))

    @property
    def weight(self) -> Tensor:
        """Loss weight of the channels `(c, 1, 1)`: coarse ones carry the picture, fine ones mostly noise."""
        return (self.spread / self.spread.mean())[:, None, None]

    @property
    def frequency(self) -> Tensor:
        """See `Space`; within a block, a cosine of k half-waves counts as k / 2 cycles."""
        within = torch.arange(self.block) / 2
        squares = (within[:, None] ** 2 + within**2).reshape(-1, 1, 1) + _squares(self.noise_shape)
        return squares.sqrt() / self.block

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


def _squares(shape: tuple[int, int, int]) -> Tensor:
    """Squared frequencies `(1, y, x)` of what a Fourier transform of noise `(c, y, x)` holds, cycles per value."""
    y, x = (torch.fft.fftfreq(edge) for edge in shape[1:])
    return (y[:, None] ** 2 + x**2)[None]


def resizing(small: int, large: int) -> tuple[Tensor, Tensor]:
    """Matrices that enlarge an axis and reduce it again: the second undoes the first.

    Enlarging is bicubic, reducing takes means over areas. One after the other they would blur; so the enlarged axis is
    the one whose means are the pixels, as a finer camera would have seen it.

    Args:
        small: Pixels of the axis.
        large: Pixels of the enlarged axis; if it is the smaller one, nothing can undo the loss.

    Returns:
        `(large, small)` and `(small, large)`.
    """
    up = functional.interpolate(torch.eye(small, dtype=torch.float64)[None, None], (large, small), mode="bicubic")[0, 0]
    down = functional.interpolate(torch.eye(large, dtype=torch.float64)[None, None], (small, large), mode="area")[0, 0]
    if large >= small:
        up = up @ torch.linalg.inv(down @ up)
    return up.float(), down.float()


class LatentSpace(nn.Module):
    """Latents of an autoencoder; crops are resized to what it gives so many of, and back.

    Args:
        size: Edge of the crops, pixels.
        vae: The autoencoder; it stays as it is.
        edge: Edge of the latents.
    """

    weight = 1.0
    up: Tensor
    down: Tensor
    mean: Tensor
    spread: Tensor

    def __init__(self, size: int, vae: AutoencoderKL | AutoencoderTiny, edge: int):
        super().__init__()
        self.size, self.vae = size, vae.requires_grad_(False)
        self.shrink = len(vae.config.get("encoder_block_out_channels") or vae.config.block_out_channels)
        self.hint_edge = edge * 2 ** (self.shrink - 1)  # the autoencoder's images are as large
        self.noise_shape = (vae.config.latent_channels, edge, edge)
        up, down = resizing(size, self.hint_edge)
        self.register_buffer("up", up, persistent=False)
        self.register_buffer("down", down, persistent=False)
        self.register_buffer("mean", torch.zeros(self.noise_shape[0], 1, 1))
        self.register_buffer("spread", torch.ones(self.noise_shape[0], 1, 1))

    @property
    def frequency(self) -> Tensor:
        """See `Space`."""
        return (_squares(self.noise_shape).sqrt() * (self.noise_shape[1] / self.size)).expand(self.noise_shape)

    def fit(self, data: Tensor) -> None:
        """See `Space`; the data are what `encode` gave so far `(m, c, y, x)`. A base has its own scale: not for it."""
        self.mean.copy_(data.mean((0, 2, 3))[:, None, None])
        self.spread.copy_(data.std((0, 2, 3)).clamp(min=SMALLEST_SPREAD)[:, None, None])

    def to_colour(self, images: Tensor) -> Tensor:
        """Crops `(b, 1, y, x)` as the autoencoder's large images of three equal channels; `to_grey` undoes it."""
        return (self.up @ images @ self.up.T).expand(-1, 3, -1, -1)

    def to_grey(self, large: Tensor) -> Tensor:
        """Large images `(b, 3, y, x)` to crops `(b, 1, y, x)`."""
        return self.down @ large.mean(1, keepdim=True) @ self.down.T

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """See `Space`."""
        encoded = self.vae.encode(self.to_colour(images))
        latents = encoded.latents if isinstance(self.vae, AutoencoderTiny) else encoded.latent_dist.mode()
        return self.scaled(latents * self.vae.config.scaling_factor)

    def scaled(self, latents: Tensor) -> Tensor:
        """Latents as the networks see them."""
        return (latents - self.mean) / self.spread

    @torch.no_grad()
    def decode(self, data: Tensor) -> Tensor:
        """See `Space`."""
        latents = data * self.spread + self.mean
        return self.to_grey(self.vae.decode(latents / self.vae.config.scaling_factor).sample)

    def hint(self, hints: Tensor) -> Tensor:
        """See `Space`."""
        return functional.interpolate(hints, size=(self.hint_edge, self.hint_edge), mode="nearest")
