"""What a texture model starts from: random weights, or a pretrained Stable Diffusion model; and its autoencoder."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, ModelMixin, UNet2DConditionModel
from torch import Tensor

from cellcascade.config.texture import Texture
from cellcascade.core.errors import InputError
from cellcascade.diffusion.process import noise_schedule
from cellcascade.diffusion.texture.pretrained import (
    autoencoder_folder,
    check_autoencoder,
    check_base,
    class_of,
    is_taesd,
    variant_of,
)
from cellcascade.diffusion.texture.prompt import embedding_of_nothing
from cellcascade.diffusion.texture.tiny_autoencoder import load_taesd

logger = logging.getLogger(__name__)

Part = TypeVar("Part", bound=ModelMixin)

FRESH_FEATURES = 32  # of the prompt's token, which says nothing, in models from scratch


@dataclass(frozen=True)
class Start:
    """What a texture model is before training, but for its ControlNet.

    Attributes:
        unet: The denoising network.
        schedule: The noise schedule that it is trained with.
        prompt: Embedding of the empty prompt `(1, tokens, features)`.
        fresh: Whether the weights are random, so that nothing is lost if the ControlNet moves them from the first step.
    """

    unet: UNet2DConditionModel
    schedule: DDIMScheduler
    prompt: Tensor
    fresh: bool


def from_scratch(settings: Texture, channels: int, edge: int) -> Start:
    """A UNet of Stable Diffusion's kind with random weights; attention at its lowest level only.

    Args:
        settings: The `texture` block.
        channels: Channels of the space.
        edge: Edge of the data in this space.
    """
    levels = len(settings.channels)
    unet = UNet2DConditionModel(
        sample_size=edge,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=settings.channels,
        layers_per_block=settings.layers,
        norm_num_groups=math.gcd(32, *settings.channels),
        cross_attention_dim=FRESH_FEATURES,
        attention_head_dim=8,
        down_block_types=("DownBlock2D",) * (levels - 1) + ("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",) + ("UpBlock2D",) * (levels - 1),
    )
    return Start(unet, noise_schedule(settings.timesteps), torch.zeros(1, 1, FRESH_FEATURES), fresh=True)


def from_base(settings: Texture) -> Start:
    """A pretrained Stable Diffusion model.

    Args:
        settings: The `texture` block; `base` names the folder.

    Raises:
        InputError: The folder holds no such model, or it is damaged.
    """
    check_base(settings.base, latent=settings.space == "latent" and settings.autoencoder is None)
    unet = _part(UNet2DConditionModel, Path(settings.base) / "unet", f"texture.base: {settings.base}")
    prompt = embedding_of_nothing(Path(settings.base))
    if prompt is None:
        prompt = torch.zeros(1, 1, unet.config.cross_attention_dim)
    return Start(unet, schedule_of_base(settings), prompt, fresh=False)


def schedule_of_base(settings: Texture) -> DDIMScheduler:
    """The noise schedule that a pretrained model is fine-tuned and sampled with.

    Its own betas, rescaled to zero terminal signal-to-noise ratio, predicting v, and sampled from the last time step on
    (Lin et al. 2023). Stable Diffusion's own schedule leaves a trace of the image at the last step, and its sampler
    leaves out that step: the mean of an image is then read from the trace instead of being learned, and dark
    backgrounds come out too bright. Noise cannot be what is predicted where there is nothing else, so models that did
    predict noise learn v. A frozen UNet cannot: with `trainable: controlnet` such a model keeps its prediction and its
    betas.
    """
    folder = str(Path(settings.base) / "scheduler")
    how = {"timestep_spacing": "trailing", "clip_sample": False, "set_alpha_to_one": True, "local_files_only": True}
    own = DDIMScheduler.from_pretrained(folder, **how)
    if settings.trainable == "controlnet" and own.config.prediction_type == "epsilon":
        logger.warning(
            "%s predicts noise and stays as it is (trainable: controlnet), so its noise schedule stays too: dark "
            "backgrounds may come out too bright. Train more of it, or take a base that predicts v",
            settings.base,
        )
        return own
    zero = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    return DDIMScheduler.from_pretrained(folder, **how, **zero)


def load_autoencoder(settings: Texture) -> AutoencoderKL | AutoencoderTiny:
    """The autoencoder whose latents are the model's space: one of its own, or the base's.

    Raises:
        InputError: There is none, or it is damaged.
    """
    where = settings.autoencoder or settings.base
    check_autoencoder(where)
    folder = autoencoder_folder(where)
    if is_taesd(folder):
        return load_taesd(folder)
    kind = AutoencoderTiny if class_of(folder) == "AutoencoderTiny" else AutoencoderKL
    key = "autoencoder" if settings.autoencoder else "base"
    return _part(kind, folder, f"texture.{key}: {where}")


def _part(kind: type[Part], folder: Path, where: str) -> Part:
    """Load one part of a Stable Diffusion folder in single precision; nothing is downloaded here."""
    found = ""
    try:
        network, report = kind.from_pretrained(
            str(folder),
            variant=variant_of(folder),
            use_safetensors=True,
            local_files_only=True,
            torch_dtype=torch.float32,
            output_loading_info=True,
        )
        if missing := sorted(report["missing_keys"]):
            found = f"{len(missing)} weights are missing, such as {missing[0]}"
    except (OSError, ValueError, RuntimeError) as error:
        found = str(error).splitlines()[0][:200]
    if found:
        raise InputError(
            f"The pretrained {folder.name} cannot be loaded",
            where=where,
            found=found,
            expected=f"weights of the architecture in {folder.name}/config.json",
            fix="copy the model again, or set base: scratch to train without pretraining",
        )
    return network
