"""The network of the texture stage: a UNet without text, its ControlNet, and the space they work in."""

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel, DDIMScheduler, UNet2DConditionModel
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cellcascade.config.texture import Texture
from cellcascade.core.errors import InputError
from cellcascade.core.files import write_json
from cellcascade.diffusion.texture import hints
from cellcascade.diffusion.texture.base import from_base, from_scratch, load_autoencoder
from cellcascade.diffusion.texture.edges import Profile
from cellcascade.diffusion.texture.spaces import LatentSpace, PixelSpace, Space
from cellcascade.learning.device import autocast
from cellcascade.learning.training import save_weights

logger = logging.getLogger(__name__)

NETWORKS = {"unet": UNet2DConditionModel, "controlnet": ControlNetModel}
PROMPT = "prompt"  # the empty prompt's embedding, beside the UNet's weights
EMBEDDING_CHANNELS = (16, 32, 96, 256, 256)  # of the hint at full, half, ... resolution, as in ControlNet


class TextureModel(nn.Module):
    """UNet and ControlNet that predict a crop's noise or v from its hint.

    Args:
        unet: The denoising network.
        controlnet: Its ControlNet.
        schedule: Noise schedule the UNet was made for.
        space: The space they work in.
        settings: The `texture` block: what is trained, and in which precision.
        prompt: Embedding of the empty prompt `(1, tokens, features)`, which takes the place of a text.

    Attributes:
        profile: Correction of the light across edges, measured after training; `None` until then.
        least_area: Least relative area of a slice that it learned from; 0 for a prior, which has learned all.
    """

    prompt: Tensor

    def __init__(
        self,
        unet: UNet2DConditionModel,
        controlnet: ControlNetModel,
        schedule: DDIMScheduler,
        space: Space,
        settings: Texture,
        prompt: Tensor,
    ):
        super().__init__()
        self.unet, self.controlnet, self.schedule, self.space = unet, controlnet, schedule, space
        self.register_buffer(PROMPT, prompt, persistent=False)
        self.precision = settings.train.precision
        self.profile: Profile | None = None
        self.least_area = 0.0
        unet.requires_grad_(settings.trainable == "all")
        if settings.trainable == "controlnet+decoder":
            for part in (unet.up_blocks, unet.conv_norm_out, unet.conv_out):
                part.requires_grad_(True)
        if settings.training.gradient_checkpointing:
            unet.enable_gradient_checkpointing()
            controlnet.enable_gradient_checkpointing()

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that training changes."""
        return (p for p in self.parameters() if p.requires_grad)

    def forward(self, noisy: Tensor, steps: Tensor, hint: Tensor) -> Tensor:
        """Predict what the schedule's prediction type says, `(b, c, y, x)`.

        Args:
            noisy: Noisy crops in model space `(b, c, y, x)`.
            steps: Time steps `(b,)`.
            hint: What the ControlNet reads, from the space's `hint`.
        """
        text = self.prompt.expand(len(noisy), -1, -1)
        down, middle = self.controlnet(noisy, steps, text, hint, return_dict=False)
        return self.unet(
            noisy, steps, text, down_block_additional_residuals=down, mid_block_additional_residual=middle
        ).sample

    def guided(
        self, hint: Tensor, blind: Tensor | None = None, scale: float = 1.0
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """The prediction as a function of noisy data and time step, for sampling under one hint.

        Args:
            hint: What the ControlNet reads.
            blind: The same without outlines, if `scale` is not 1.
            scale: Classifier-free guidance (Ho & Salimans 2022): the prediction is moved away from the blind one.
        """

        def predict(noisy: Tensor, steps: Tensor) -> Tensor:
            with autocast(noisy.device, self.precision):
                given = self(noisy, steps, hint).float()
                if scale == 1:
                    return given
                free = self(noisy, steps, blind).float()
            return free + scale * (given - free)

        return predict

    def save(self, settings: Texture, *, unet: Path, controlnet: Path, config: Path, prior: int | None = None) -> None:
        """Write weights as safetensors and a JSON record, from which `load` builds the model again.

        Args:
            settings: The `texture` block.
            unet: File of the UNet's weights.
            controlnet: File of the ControlNet's weights.
            config: File of the record.
            prior: Version of the prior that this model is, if it is one.
        """
        save_weights(unet, self.unet, {PROMPT: self.prompt} if self.prompt.any() else {})
        save_weights(controlnet, self.controlnet)
        scales = {name: value.tolist() for name, value in self.space.state_dict().items() if name in ("mean", "spread")}
        configs = {name: _written(getattr(self, name).config) for name in ("unet", "controlnet", "schedule")}
        profile = self.profile and {side: table.tolist() for side, table in vars(self.profile).items()}
        about = {"settings": settings.model_dump(mode="json", exclude_unset=True), "size": self.space.size}
        about |= {} if prior is None else {"prior": prior}
        about |= {"least_area": self.least_area} if self.least_area else {}
        write_json(config, {**about, "scales": scales, "profile": profile, **configs})


def _written(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as diffusers writes it: without its list of defaults, whose order differs between processes."""
    return {name: value for name, value in config.items() if name != "_use_default_values"}


def build(settings: Texture, size: int) -> TextureModel:
    """The model before training: from a Stable Diffusion base, or from scratch (the paper's "w/o pretraining").

    Args:
        settings: The `texture` block.
        size: Edge of the crops, pixels.

    Raises:
        InputError: The base or the autoencoder cannot be read, or does not fit `space` and `block`.
    """
    if settings.pretrained:
        start = from_base(settings)
        space = _space(settings, size, start.unet.config.sample_size)
    else:
        space = _space(settings, size, size // settings.block)
        start = from_scratch(settings, space.noise_shape[0], space.noise_shape[-1])
    channels, pixel = start.unet.config.in_channels, settings.space == "pixel"
    if channels != space.noise_shape[0]:
        fix = f"block: {math.isqrt(channels)} in pixel space" if pixel else "an autoencoder of as many latent channels"
        raise _misfit(f"space: {settings.space}", f"a UNet with {channels} input channels", fix)
    controlnet = ControlNetModel.from_unet(
        start.unet,
        conditioning_embedding_out_channels=(64,) if pixel else EMBEDDING_CHANNELS[: space.shrink],
        conditioning_channels=hints.CHANNELS * (settings.block**2 if pixel else 1),
    )
    if start.fresh:
        _open_zero_convolutions(controlnet)
    return TextureModel(start.unet, controlnet, start.schedule, space, settings, start.prompt)


def _space(settings: Texture, size: int, latent_edge: int) -> Space:
    if settings.space == "pixel":
        return PixelSpace(size, settings.block)
    return LatentSpace(size, load_autoencoder(settings), latent_edge)


def _misfit(where: str, found: str, fix: str) -> InputError:
    return InputError(
        "The texture settings do not fit together",
        where=f"texture: {where}",
        found=found,
        expected=fix,
        fix=f"use {fix}",
    )


def _open_zero_convolutions(controlnet: ControlNetModel) -> None:
    """Give the ControlNet's outputs small random weights.

    Zeros protect a pretrained UNet from a ControlNet that knows nothing yet; without pretraining they only delay.
    """
    outputs = [
        *controlnet.controlnet_down_blocks,
        controlnet.controlnet_mid_block,
        controlnet.controlnet_cond_embedding.conv_out,
    ]
    for convolution in outputs:
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="linear")
        nn.init.zeros_(convolution.bias)


def load(device: torch.device, *, unet: Path, controlnet: Path, config: Path, size: int | None = None) -> TextureModel:
    """Load a trained texture model.

    Args:
        device: Where it goes.
        unet: File of the UNet's weights.
        controlnet: File of the ControlNet's weights.
        config: The record beside them.
        size: Edge of the crops, pixels; `None` for that of the crops it was trained on.

    Raises:
        InputError: Weights are missing or do not belong to the recorded architecture.
    """
    try:
        record = json.loads(config.read_text())
        settings = Texture(**record["settings"])
        networks = {name: kind.from_config(record[name]) for name, kind in NETWORKS.items()}
        weights = {"unet": load_file(unet), "controlnet": load_file(controlnet)}
        nothing = torch.zeros(1, 1, networks["unet"].config.cross_attention_dim)
        prompt = weights["unet"].pop(PROMPT, nothing)
        for name, network in networks.items():
            network.load_state_dict(weights[name])
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(
            "The texture model cannot be loaded",
            where=config.parent,
            found=str(error).splitlines()[0],
            expected="config.json, unet.safetensors and controlnet.safetensors of one training",
            fix=f"delete {config.parent} and rerun snakemake to train it again",
        ) from error
    space = _space(settings, size or record["size"], networks["unet"].config.sample_size)
    space.load_state_dict({name: torch.tensor(value) for name, value in record["scales"].items()}, strict=False)
    schedule = DDIMScheduler.from_config(record["schedule"])
    model = TextureModel(networks["unet"], networks["controlnet"], schedule, space, settings, prompt)
    if record["profile"]:
        model.profile = Profile(**{side: np.array(table) for side, table in record["profile"].items()})
    model.least_area = record.get("least_area", 0.0)
    return model.to(device).eval()
