"""TAESD autoencoders as their author publishes them: weights in `*_encoder.pth` and `*_decoder.pth` of one folder.

They become the `AutoencoderTiny` of diffusers, which knows all but the newest ones (`taef2`): these have, in the
blocks at the lowest resolution, a branch with group normalisation, and 32 latent channels.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from diffusers.models.unets.unet_2d_blocks import AutoencoderTinyBlock
from torch import Tensor, nn

from cellcascade.core.errors import InputError
from cellcascade.diffusion.texture.pretrained import taesd_files

GROUPS = 4  # of the normalisation in the branch
WIDER = 4  # times as many channels within the branch


class _Branched(nn.Module):
    """A block of the autoencoder behind a branch that normalises over the whole image."""

    def __init__(self, block: AutoencoderTinyBlock, channels: int):
        super().__init__()
        self.conv, self.skip, self.fuse = block.conv, block.skip, block.fuse
        inner = WIDER * channels
        self.pool = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False),
            nn.GroupNorm(GROUPS, inner),
            nn.ReLU(),
            nn.Conv2d(inner, channels, 1, bias=False),
        )

    def forward(self, data: Tensor) -> Tensor:
        data = data + self.pool(data)
        return self.fuse(self.conv(data) + self.skip(data))


def load_taesd(folder: Path) -> AutoencoderTiny:
    """The autoencoder in a folder, in single precision.

    Raises:
        InputError: The weights are damaged, or of another architecture.
    """
    encoder, decoder = taesd_files(folder)
    try:
        state = _renamed(encoder, "encoder", 0) | _renamed(decoder, "decoder", 1)
        network = AutoencoderTiny(latent_channels=state["decoder.layers.0.weight"].shape[1])
        _add_branches(network, state)
        network.load_state_dict(state)
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise InputError(
            "The autoencoder cannot be loaded",
            where=f"texture.autoencoder: {folder}",
            found=str(error).splitlines()[0][:200],
            expected="weights of TAESD, taesdxl, taesd3, taef1 or taef2",
            fix="copy the two files again, or name a folder of an AutoencoderKL or AutoencoderTiny in diffusers layout",
        ) from error
    return network


def _renamed(path: Path, side: str, shift: int) -> dict[str, Tensor]:
    """Weights by the names of diffusers, whose decoder begins one layer later: it clamps elsewhere."""
    found: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    renamed = {}
    for name, value in found.items():
        number, rest = name.split(".", 1)
        renamed[f"{side}.layers.{int(number) - shift}.{rest}"] = value.float()
    return renamed


def _add_branches(network: AutoencoderTiny, state: Mapping[str, Tensor]) -> None:
    """Give the blocks whose weights have a branch one."""
    for name, value in state.items():
        if match := re.fullmatch(r"(encoder|decoder)\.layers\.(\d+)\.pool\.0\.weight", name):
            layers = getattr(network, match[1]).layers
            layers[int(match[2])] = _Branched(layers[int(match[2])], value.shape[1])
