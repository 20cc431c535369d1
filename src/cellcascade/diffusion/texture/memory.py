"""How much memory of a GPU the training of a texture model takes, said before a job waits for one. Free of torch.

Weights, gradients, the optimiser's state and the moving average are counted; activations are estimated from the layers'
sizes (`activations` counts the values that are kept for the gradient); what CUDA itself takes is a constant.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellcascade.config.texture import Texture
from cellcascade.config.values import FineTuning
from cellcascade.diffusion.texture.pretrained import (
    autoencoder_folder,
    class_of,
    is_taesd,
    shapes_in,
    taesd_files,
    weights_file,
)

GIB = 2**30
CARDS = (8, 16, 24, 40, 80)  # GiB that GPUs have
USABLE = 0.95  # of a card's memory
CUDA_BYTES = 1.0 * GIB  # its context, its libraries, and what lies between tensors
FLOAT, HALF = 4, 2  # bytes
OPTIMISERS = {"adamw": 2 * FLOAT, "adamw8bit": 2}  # bytes of state a parameter
MIXED = 3  # bytes of a kept value in mixed precision, on average: normalisations stay in single precision
RESNET, ATTENTION = 3, 30  # values kept a channel and position: on each side of a residual block, by a transformer
CONTROLNET = ("conv_in.", "time_embedding.", "down_blocks.", "mid_block.")  # of the UNet, which the ControlNet copies
DECODER = ("up_blocks.", "conv_norm_out.", "conv_out.")  # of the UNet, which `controlnet+decoder` trains
HINT = 7  # channels of the hint, about: a layer of a few thousand parameters reads them
EMBEDDING = (16, 32, 96, 256, 256)  # channels of the hint at full, half, ... resolution, as in ControlNet


@dataclass(frozen=True)
class Counts:
    """Numbers of parameters: those that are trained, and others that lie beside them."""

    trained: int
    frozen: int


@dataclass(frozen=True)
class Memory:
    """Bytes of a GPU that a training takes.

    Attributes:
        weights: Weights, in single precision.
        gradients: Gradients of the trained ones.
        optimiser: State of the optimiser.
        average: The moving average of the trained weights.
        working: The larger of activations with half-precision weights, and of what a step of the optimiser takes.
    """

    weights: int
    gradients: int
    optimiser: int
    average: int
    working: int

    @property
    def total(self) -> float:
        """All of it, and CUDA."""
        return self.weights + self.gradients + self.optimiser + self.average + self.working + CUDA_BYTES

    def __str__(self) -> str:
        card = next((size for size in CARDS if self.total <= USABLE * size * GIB), None)
        fits = f"fits {card} GB" if card else f"more than {CARDS[-1]} GB have"
        parts = ("weights", "gradients", "optimiser", "average", "working")
        each = ", ".join(f"{name} {getattr(self, name) / GIB:.1f}" for name in parts)
        return f"about {self.total / GIB:.1f} GB of GPU memory, {fits} ({each})"


def estimate(counts: Counts, kept: int, training: FineTuning) -> Memory:
    """Memory that a training takes.

    Args:
        counts: Numbers of parameters.
        kept: Values that one example keeps for the gradient, from `activations`.
        training: Batch size, optimiser, precision.
    """
    mixed = training.precision != "fp32"
    copies = HALF * (counts.trained + counts.frozen) if mixed else 0
    step = FLOAT * counts.trained if training.optimizer == "adamw" else 0
    return Memory(
        weights=FLOAT * (counts.trained + counts.frozen),
        gradients=FLOAT * counts.trained,
        optimiser=OPTIMISERS[training.optimizer] * counts.trained,
        average=FLOAT * counts.trained,
        working=max(copies + training.batch_size * kept * (MIXED if mixed else FLOAT), step),
    )


@dataclass(frozen=True)
class _Layer:
    """A residual block, and the transformer behind it if there is one: values kept, all of them or the inputs alone."""

    inner: int
    given: int


def activations(unet: Mapping[str, Any], hint_edge: int, *, pixel: bool, checkpointing: bool) -> int:
    """Values that one example keeps for the gradient in a UNet and its ControlNet.

    Args:
        unet: Configuration of the UNet.
        hint_edge: Edge of the hint as the ControlNet reads it.
        pixel: Whether the space is that of pixels, where the hint is as large as the data.
        checkpointing: Whether layers keep their inputs alone, and one layer at a time all.
    """
    encoder, decoder = list(_encoder(unet)), list(_decoder(unet))
    layers = 2 * encoder + decoder  # the ControlNet is an encoder too
    sizes = (64,) if pixel else EMBEDDING[: round(math.log2(hint_edge / unet["sample_size"])) + 1]
    embedding = sum(4 * channels * (hint_edge // 2**level) ** 2 for level, channels in enumerate(sizes))
    if checkpointing:
        return embedding + sum(layer.given for layer in layers) + max(layer.inner for layer in layers)
    return embedding + sum(layer.inner for layer in layers)


def _encoder(unet: Mapping[str, Any]) -> Iterator[_Layer]:
    """The layers on the way down, and those in the middle."""
    widths, edge = unet["block_out_channels"], unet["sample_size"]
    before = widths[0]
    for level, width in enumerate(widths):
        for _ in range(unet["layers_per_block"]):
            yield _layer(before, width, edge >> level, "CrossAttn" in unet["down_block_types"][level])
            before = width
    lowest = edge >> (len(widths) - 1)
    yield _layer(before, before, lowest, True)
    yield _layer(before, before, lowest, False)


def _decoder(unet: Mapping[str, Any]) -> Iterator[_Layer]:
    """The layers on the way up, each of which reads what one on the way down gave."""
    widths, edge = unet["block_out_channels"], unet["sample_size"]
    skips, before = _skips(unet), widths[-1]
    for up, width in enumerate(reversed(widths)):
        for _ in range(unet["layers_per_block"] + 1):
            given = before + skips.pop()
            yield _layer(given, width, edge >> (len(widths) - 1 - up), "CrossAttn" in unet["up_block_types"][up])
            before = width


def _layer(given: int, width: int, edge: int, attends: bool) -> _Layer:
    inner = RESNET * (given + width) + (ATTENTION * width if attends else 0)
    return _Layer(inner * edge**2, (given + (width if attends else 0)) * edge**2)


def _skips(unet: Mapping[str, Any]) -> list[int]:
    """Channels of what the encoder gives the decoder, in its order; the ControlNet adds to each."""
    widths = unet["block_out_channels"]
    found = [widths[0]]
    for level, width in enumerate(widths):
        found += [width] * (unet["layers_per_block"] + (level < len(widths) - 1))
    return found


def of_base(settings: Texture, size: int) -> Memory:
    """Memory that fine-tuning a base takes, from its configuration and the headers of its weights.

    Args:
        settings: The `texture` block; `base` and `autoencoder` name folders that were checked.
        size: Edge of the crops, pixels.
    """
    folder = Path(settings.base) / "unet"
    unet = json.loads((folder / "config.json").read_text())
    shapes = shapes_in(folder / str(weights_file(path.name for path in folder.iterdir())))
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    pixel = settings.space == "pixel"
    hint = size // settings.block if pixel else unet["sample_size"] * 2 ** (_levels(settings) - 1)
    own = sum(sizes.values())
    copied = sum(number for name, number in sizes.items() if name.startswith(CONTROLNET))
    decoder = sum(number for name, number in sizes.items() if name.startswith(DECODER))
    added = _controlnet_layers(unet, HINT * settings.block**2 if pixel else HINT, pixel, _levels(settings))
    from_unet = {"all": own, "controlnet+decoder": decoder, "controlnet": 0}[settings.trainable]
    counts = Counts(copied + added + from_unet, own - from_unet + (0 if pixel else _autoencoder_size(settings)))
    training = settings.training
    kept = activations(unet, hint, pixel=pixel, checkpointing=training.gradient_checkpointing)
    return estimate(counts, kept, training)


def _controlnet_layers(unet: Mapping[str, Any], channels: int, pixel: bool, levels: int) -> int:
    """Parameters of a ControlNet beside the UNet's encoder: its outputs, and what reads the hint of these channels."""
    widths = unet["block_out_channels"]
    outputs = sum(width * width + width for width in [*_skips(unet), widths[-1]])
    sizes = (64,) if pixel else EMBEDDING[:levels]
    pairs = [(channels, sizes[0]), (sizes[-1], widths[0])]
    for before, after in zip(sizes, sizes[1:]):
        pairs += [(before, before), (before, after)]
    return outputs + sum(9 * before * after + after for before, after in pairs)


def _levels(settings: Texture) -> int:
    """Resolutions of the autoencoder; in pixel space, where there is none, 1."""
    if settings.space == "pixel":
        return 1
    folder = autoencoder_folder(settings.autoencoder or settings.base)
    if class_of(folder) is None:
        return 4  # TAESD's
    config = json.loads((folder / "config.json").read_text())
    return len(config.get("encoder_block_out_channels") or config["block_out_channels"])


def _autoencoder_size(settings: Texture) -> int:
    folder = autoencoder_folder(settings.autoencoder or settings.base)
    if is_taesd(folder):
        return sum(path.stat().st_size for path in taesd_files(folder)) // HALF
    shapes = shapes_in(folder / str(weights_file(path.name for path in folder.iterdir())))
    return sum(math.prod(shape) for shape in shapes.values())
