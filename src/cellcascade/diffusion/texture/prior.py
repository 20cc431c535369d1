"""A texture prior: one model of many data sets, from which that of a new one starts.

It learns from imaginary data sets (`domains`), each normalised by its own scales of the pixel channels, as the
fine-tuned model will be by those of its data set.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cellcascade.config.texture import Texture
from cellcascade.core.errors import InputError
from cellcascade.core.files import write_table
from cellcascade.core.logs import progress
from cellcascade.core.seeds import numpy_generator, seed_for
from cellcascade.core.stages import STAGE_VERSIONS
from cellcascade.data.crops import Crops, read_crops
from cellcascade.diffusion.process import augment, diffusion_loss, draw_noising
from cellcascade.diffusion.texture.domains import CELLS, SIZES, Gallery, draw_look, imagine
from cellcascade.diffusion.texture.hints import CellHints, without_outline
from cellcascade.diffusion.texture.model import TextureModel, build
from cellcascade.diffusion.texture.spaces import PixelSpace
from cellcascade.learning import training
from cellcascade.learning.device import pick_device
from cellcascade.learning.objective import Batch, Objective

logger = logging.getLogger(__name__)

BATCHES = {32: 2.0, 64: 1.0, 128: 0.5}  # crops of a batch by their size, times `train.batch_size`
SHARES = {32: 0.25, 64: 0.4, 128: 0.35}  # of the steps
TRIES = 20  # looks drawn for one imaginary data set


@dataclass(frozen=True)
class Shelf:
    """All crops of one size, of all imaginary data sets.

    Attributes:
        examples: The crops; their `source` is the number of the data set.
        mean: Means of the pixel channels by data set `(d, c)`.
        spread: Their standard deviations.
    """

    examples: Gallery
    mean: Tensor
    spread: Tensor


def train_texture_prior(
    *,
    crops: list[Path],
    settings: Texture,
    domains: int,
    unet: Path,
    controlnet: Path,
    config: Path,
    table: Path,
    checkpoints: str,
    seed: int,
    device: str,
) -> None:
    """Stage `train_texture_prior`: train a texture model that others start from, on the crops of many data sets.

    Args:
        crops: The crops stores.
        settings: The `prior.texture` block.
        domains: Number of imaginary data sets.
        unet: Weights of the UNet to write, safetensors, in half precision.
        controlnet: Weights of the ControlNet to write, likewise.
        config: JSON to write.
        table: Training log to write, CSV.
        checkpoints: Prefix of the checkpoint folder.
        seed: Seed of the run.
        device: auto, cpu or cuda.

    Raises:
        InputError: The crops cannot be read or suit no size of crop, or the training failed.
    """
    target, seed, version = pick_device(device), seed_for(seed, "prior"), STAGE_VERSIONS["train_texture_prior"]
    shelves = make_shelves([read_crops(path) for path in crops], domains, settings.block, seed)
    torch.manual_seed(seed)
    model, space = build(settings, max(SIZES)).to(target), PixelSpace(max(SIZES), settings.block)
    checkpoint = training.checkpoint_file(checkpoints, settings, crops, version)
    log = training.train(
        model,
        prior_objective(model, shelves, settings),
        settings.training,
        checkpoint=checkpoint,
        seed=seed,
        device=target,
        what="texture prior training",
    )
    space.mean, space.spread = (
        torch.stack([getattr(shelf, side).mean(0) for shelf in shelves.values()]).mean(0) for side in ("mean", "spread")
    )
    model.space = space
    model.half().save(settings, unet=unet, controlnet=controlnet, config=config, prior=version)
    write_table(table, log)


def make_shelves(data: Sequence[Crops], count: int, block: int, seed: int) -> dict[int, Shelf]:
    """Imagine data sets, and sort their crops by size.

    Args:
        data: Crops of the real data sets; one with four times the crops of another lends to twice as many.
        count: Number of imaginary data sets.
        block: Edge of the pixel blocks.
        seed: Seed of the looks.

    Raises:
        InputError: The crops suit no size.
    """
    weight = np.sqrt([len(crops.image) for crops in data])
    found: dict[int, list[Gallery]] = {size: [] for size in SIZES}
    for number in progress(range(count), total=count, what="imaginary data sets"):
        generator = numpy_generator(seed, "domain", number)
        if (domain := _domain(data, weight / weight.sum(), generator)) is not None:
            found[domain.image.shape[-1]].append(domain)
    if not any(found.values()):
        sizes = sorted({crops.image.shape[-1] for crops in data})
        raise InputError(
            "No prior of textures can be trained on these data sets",
            where="config: prior.data",
            found=f"crops of {sizes} pixels",
            expected="crops twice as wide as the cells or wider, of cells 11 to 104 pixels wide, enlarged or reduced",
            fix="raise crops.size of these data sets",
        )
    return {size: shelve(domains, block) for size, domains in found.items() if domains}


def _domain(data: Sequence[Crops], weight: np.ndarray, generator: np.random.Generator) -> Gallery | None:
    """One imaginary data set; `None` if none of the looks that were drawn suits."""
    for _ in range(TRIES):
        crops = data[generator.choice(len(data), p=weight)]
        if (look := draw_look(crops, generator)) is None:
            continue
        rows = generator.permutation(len(crops.image))[:CELLS]
        domain = imagine(crops, rows, look, generator)
        if domain is not None and len(domain.image) >= max(2, len(rows) // 2):
            return domain
    return None


def shelve(domains: Sequence[Gallery], block: int) -> Shelf:
    """The crops of data sets whose crops have one size, and the scales of each data set."""
    space = PixelSpace(domains[0].image.shape[-1], block)
    scales = []
    for domain in domains:
        space.fit(torch.from_numpy(domain.image.astype(np.float32))[:, None] * 2 - 1)
        scales.append((space.mean.clone(), space.spread.clone()))
    examples = Gallery(
        np.concatenate([domain.image for domain in domains]),
        CellHints.joined([domain.hints for domain in domains]),
        np.repeat(np.arange(len(domains)), [len(domain.image) for domain in domains]),
    )
    mean, spread = (torch.stack(side) for side in zip(*scales))
    return Shelf(examples, mean, spread)


def prior_objective(model: TextureModel, shelves: dict[int, Shelf], settings: Texture) -> Objective:
    """Learning from imaginary data sets; the crops of a batch have one size, which is drawn first.

    Args:
        model: The model, on its device.
        shelves: The crops by their size.
        settings: The `prior.texture` block: batch size, share of hidden outlines.
    """
    share, device = torch.tensor([SHARES[size] for size in shelves]), next(model.parameters()).device
    space = PixelSpace(max(shelves), settings.block).to(device)

    def draw(generator: torch.Generator) -> Batch:
        size = list(shelves)[int(torch.multinomial(share, 1, generator=generator))]
        shelf, count = shelves[size], max(1, round(BATCHES[size] * settings.training.batch_size))
        chosen = torch.randint(len(shelf.examples.image), (count,), generator=generator).numpy()
        image = torch.from_numpy(shelf.examples.image[chosen].astype(np.float32))[:, None] * 2 - 1
        planes = augment(torch.cat([image, shelf.examples.hints[chosen].planes()], 1), generator)
        hidden = torch.rand(count, generator=generator) < settings.condition_dropout
        planes[hidden, 1:] = without_outline(planes[hidden, 1:])
        mean, spread = (side[shelf.examples.source[chosen], :, None, None] for side in (shelf.mean, shelf.spread))
        edge = size // settings.block
        return planes, mean, spread, *draw_noising((count, settings.block**2, edge, edge), model.schedule, generator)

    def loss(batch: Batch) -> Tensor:
        planes, mean, spread, steps, noise = batch
        channels = functional.conv2d(planes[:, :1], space.basis, stride=space.block)
        clean, hint = (channels - mean) / spread, space.hint(planes[:, 1:])
        weight = spread / spread.mean(1, keepdim=True)
        return diffusion_loss(lambda x, t: model(x, t, hint), clean, steps, noise, model.schedule, weight)

    return Objective(draw, loss)
