"""MaskDDPM: an unconditional diffusion model of single-cell masks (paper, section 2, mask synthesis in 2D)."""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DModel
from safetensors import SafetensorError
from safetensors.torch import load_file
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from cellcascade.config.settings import MaskDDPM
from cellcascade.core.errors import InputError
from cellcascade.core.files import write_json, write_table
from cellcascade.core.seeds import seed_for, torch_generator
from cellcascade.core.stages import STAGE_VERSIONS
from cellcascade.data.shards import check_invalid, digests_of
from cellcascade.data.stores import CROPS, MASKS, MasksRecord
from cellcascade.diffusion.process import augment, ddim, diffusion_loss, draw_noise, draw_noising, noise_schedule
from cellcascade.geometry.masks import signed_distance
from cellcascade.learning import training
from cellcascade.learning.batches import in_batches
from cellcascade.learning.device import autocast, pick_device
from cellcascade.learning.objective import Batch, Objective

logger = logging.getLogger(__name__)

SMALLEST_SHARE = 0.7  # of the smallest real cell's area; smaller masks are drawn again
AT_ONCE = 64  # masks whose distances are held at full resolution


def encode(masks: np.ndarray, settings: MaskDDPM) -> Tensor:
    """Masks `(n, y, x)` to model space `(n, 1, grid, grid)`, float32."""
    if settings.representation == "binary":
        return torch.from_numpy(masks > 0).float()[:, None] * 2 - 1
    distances = torch.from_numpy(np.stack([signed_distance(mask) for mask in masks]))[:, None]
    size = masks.shape[-1]
    coarse = functional.avg_pool2d(distances, size // settings.grid)
    return (coarse / (settings.truncation * size)).clamp(-1.5, 1.5)


def decode(samples: Tensor, size: int) -> np.ndarray:
    """Model space `(n, 1, g, g)` to masks `(n, size, size)` with their holes filled, uint8."""
    if samples.shape[-1] != size:
        samples = functional.interpolate(samples, size=(size, size), mode="bicubic", align_corners=False)
    return np.stack([ndimage.binary_fill_holes(mask) for mask in (samples[:, 0] > 0).cpu().numpy()]).astype(np.uint8)


def flaw(mask: np.ndarray, min_area: float) -> str:
    """Why a sampled mask `(y, x)` cannot be used; empty if it can."""
    if mask.sum() < min_area:
        return "empty or too small"
    if mask[[0, -1]].any() or mask[:, [0, -1]].any():
        return "touches the border"
    return "fragmented" if ndimage.label(mask)[1] > 1 else ""


def build(settings: MaskDDPM, size: int) -> UNet2DModel:
    """The untrained UNet for masks of `size` pixels; attention at the lowest level."""
    levels = len(settings.channels)
    return UNet2DModel(
        sample_size=settings.grid if settings.representation == "sdf" else size,
        in_channels=1,
        out_channels=1,
        block_out_channels=settings.channels,
        layers_per_block=settings.layers,
        norm_num_groups=math.gcd(32, *settings.channels),
        attention_head_dim=8,
        down_block_types=("DownBlock2D",) * (levels - 1) + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * (levels - 1),
    )


def train_mask_ddpm(
    *,
    crops: Path,
    settings: MaskDDPM,
    weights: Path,
    config: Path,
    table: Path,
    checkpoints: str,
    seed: int,
    device: str,
) -> None:
    """Stage `train_mask_ddpm`: train on the masks of a data set's crops, one a cell: its annotated or widest slice.

    Args:
        crops: The crops store.
        settings: The `mask_ddpm` block.
        weights: The averaged weights to write, safetensors.
        config: JSON to write: settings, crop size, smallest area, number of masks.
        table: Training log to write, CSV.
        checkpoints: Prefix of the checkpoint folder, which also carries a fingerprint.
        seed: Seed of the run.
        device: auto, cpu or cuda.

    Raises:
        InputError: The crops cannot be read, or the training diverged.
    """
    target, store = pick_device(device), CROPS.open(crops)
    masks = store["mask"][store["widest"].astype(bool)]
    seed = seed_for(seed, store.record.dataset, "mask_ddpm")
    torch.manual_seed(seed)
    model = build(settings, masks.shape[-1]).to(target)
    logger.info("%d masks, %.2f M parameters", len(masks), sum(p.numel() for p in model.parameters()) / 1e6)
    checkpoint = training.checkpoint_file(checkpoints, settings, [crops], STAGE_VERSIONS["train_mask_ddpm"])
    objective = _mask_objective(model, masks, settings)
    log = training.train(
        model, objective, settings.train, checkpoint=checkpoint, seed=seed, device=target, what="mask_ddpm training"
    )
    training.save_weights(weights, model)
    about = {"size": masks.shape[-1], "smallest_area": int(masks.sum((1, 2)).min()), "masks": len(masks)}
    write_json(config, {"settings": settings.model_dump(mode="json", exclude_unset=True), **about})
    write_table(table, log)


def _mask_objective(model: UNet2DModel, masks: np.ndarray, settings: MaskDDPM) -> Objective:
    """Learning from masks `(n, y, x)`, each of which is kept in its smaller form: coarse distances, or its bytes."""
    schedule, encoded = noise_schedule(settings.timesteps), None
    if settings.representation == "sdf":
        encoded = torch.cat([encode(masks[i : i + AT_ONCE], settings) for i in range(0, len(masks), AT_ONCE)])

    def draw(generator: torch.Generator) -> Batch:
        chosen = torch.randint(len(masks), (settings.train.batch_size,), generator=generator)
        clean = encode(masks[chosen.numpy()], settings) if encoded is None else encoded[chosen]
        clean = augment(clean, generator)
        return clean, *draw_noising(clean.shape, schedule, generator)

    def loss(batch: Batch) -> Tensor:
        clean, steps, noise = batch
        return diffusion_loss(lambda x, t: model(x, t).sample, clean, steps, noise, schedule)

    return Objective(draw, loss)


def load(weights: Path, settings: MaskDDPM, size: int, device: torch.device) -> UNet2DModel:
    """Load trained weights.

    Args:
        weights: File that `train_mask_ddpm` wrote.
        settings: The `mask_ddpm` block that they were trained with.
        size: Edge of the masks, pixels.
        device: Where the model goes.

    Raises:
        InputError: The weights are damaged, or do not belong to the architecture in `settings`.
    """
    model = build(settings, size)
    try:
        model.load_state_dict(load_file(weights))
    except (RuntimeError, OSError, SafetensorError) as error:
        raise InputError(
            "MaskDDPM weights cannot be loaded",
            where=weights,
            found=str(error).splitlines()[0],
            expected=f"a UNet2DModel with channels {settings.channels}",
            fix=f"delete {weights} and rerun snakemake to train it again",
        ) from error
    return model.to(device).eval()


def make_masks(
    *,
    weights: Path,
    crops: Path,
    settings: MaskDDPM,
    cells: tuple[int, int],
    store: Path,
    dataset: str,
    seeded_as: str,
    seed: int,
    device: str,
    max_invalid_fraction: float,
) -> None:
    """Stage `masks`: sample the masks of a shard of cells.

    Args:
        weights: File that `train_mask_ddpm` wrote.
        crops: The crops store the model was trained on: gives size and least area.
        settings: The `mask_ddpm` block; the sampling keys and `train.precision` are used.
        cells: First cell and the one after the last.
        store: The shard to write, `MASKS`.
        dataset: Name of the data set.
        seeded_as: Name that the random numbers depend on: that of the data set whose models are used.
        seed: Seed of the run.
        device: auto, cpu or cuda.
        max_invalid_fraction: The job fails when a larger share of its cells cannot be made.

    Raises:
        InputError: More cells than `max_invalid_fraction` had only flawed samples.
    """
    real = CROPS.open(crops)
    masks = real["mask"][real["widest"].astype(bool)]
    size, smallest = masks.shape[-1], masks.sum((1, 2)).min()
    model, ids = load(weights, settings, size, pick_device(device)), range(*cells)
    least, below = SMALLEST_SHARE * smallest, seed_for(seed, seeded_as, "masks")
    drawn = sample(model, settings, ids, size=size, min_area=least, seed=below)
    check_invalid(drawn.reasons, len(ids), max_invalid_fraction, store)
    empty = np.zeros((size, size), np.uint8)
    arrays = {
        "mask": np.stack([drawn.masks.get(cell, empty) for cell in ids]),
        "cell_id": np.array(ids, np.int32),
        "valid": np.array([cell in drawn.masks for cell in ids], np.uint8),
    }
    digests = digests_of([weights, crops])
    record = MasksRecord(dataset=dataset, seed=seed, digests=digests, reasons=drawn.reasons, redraws=drawn.redraws)
    MASKS.write(store, arrays, record)
    logger.info("%d masks, %d redrawn, %d invalid", len(drawn.masks), drawn.redraws, len(drawn.reasons))


@dataclass(frozen=True)
class Drawn:
    """Sampled masks.

    Attributes:
        masks: Masks `(y, x)`, uint8, by cell.
        reasons: Why the other cells have none.
        redraws: Flawed samples that were drawn again.
    """

    masks: dict[int, np.ndarray]
    reasons: dict[int, str]
    redraws: int


def sample(
    model: UNet2DModel, settings: MaskDDPM, cells: Sequence[int], *, size: int, min_area: float, seed: int
) -> Drawn:
    """Sample masks of single cells; flawed ones are drawn again, and counted.

    Args:
        model: The trained model.
        settings: The `mask_ddpm` block.
        cells: Numbers of the cells; a mask depends on its own alone.
        size: Edge of the masks, pixels.
        min_area: Least area of a mask, pixels.
        seed: Seed of this stage and data set.
    """
    masks, reasons, redraws = {}, {}, 0
    for attempt in range(settings.max_redraws):
        missing = [cell for cell in cells if cell not in masks]
        redraws += len(missing) if attempt else 0
        for cell, mask in _draw(model, settings, missing, attempt, size=size, seed=seed):
            reasons[cell] = flaw(mask, min_area)
            if not reasons[cell]:
                masks[cell] = mask
    return Drawn(masks, {cell: reason for cell, reason in reasons.items() if reason}, redraws)


def _draw(
    model: UNet2DModel, settings: MaskDDPM, cells: list[int], attempt: int, *, size: int, seed: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Sample the given cells once."""
    schedule, edge = noise_schedule(settings.timesteps), model.config.sample_size

    def predict(noisy: Tensor, steps: Tensor) -> Tensor:
        with autocast(noisy.device, settings.train.precision):
            return model(noisy, steps).sample.float()

    def draw(batch: list[int]) -> Iterable[np.ndarray]:
        generators = [torch_generator(seed, cell, attempt) for cell in batch]

        def noise() -> Tensor:
            return torch.stack([draw_noise((1, edge, edge), generator, model.device) for generator in generators])

        steps, eta = settings.sampling_steps, settings.eta
        return decode(ddim(predict, noise(), schedule, steps=steps, eta=eta, fresh_noise=noise), size)

    what, setting = f"masks, try {attempt + 1}", "mask_ddpm.sampling_batch"
    return in_batches(draw, cells, settings.sampling_batch, what=what, setting=setting)
