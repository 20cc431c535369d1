"""MaskDDPM: an unconditional diffusion model of single-cell masks (paper, section 2, mask synthesis in 2D)."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DModel
from scipy import ndimage
from torch import Tensor

from cellcascade.config.settings import MaskDDPM
from cellcascade.core.files import write_json, write_table
from cellcascade.core.seeds import numpy_generator, seed_for, torch_generator
from cellcascade.core.stages import STAGE_VERSIONS
from cellcascade.data.crops import read_crops
from cellcascade.data.shards import check_invalid, digests_of
from cellcascade.data.stores import CROPS, MASKS, MasksRecord
from cellcascade.diffusion.lenders import Lenders
from cellcascade.diffusion.mask_model import build, decode, load, mask_objective, trained_architecture
from cellcascade.diffusion.mask_tuning import of_prior, tune
from cellcascade.diffusion.priors import prior_folder
from cellcascade.diffusion.process import ddim, draw_noise, noise_schedule
from cellcascade.learning import training
from cellcascade.learning.batches import in_batches
from cellcascade.learning.device import autocast, pick_device

logger = logging.getLogger(__name__)

SMALLEST_SHARE = 0.7  # of the smallest real cell's area; smaller masks are drawn again


def flaw(mask: np.ndarray, min_area: float) -> str:
    """Why a sampled mask `(y, x)` cannot be used; empty if it can."""
    if mask.sum() < min_area:
        return "empty or too small"
    if mask[[0, -1]].any() or mask[:, [0, -1]].any():
        return "touches the border"
    return "fragmented" if ndimage.label(mask)[1] > 1 else ""


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
    seed, size = seed_for(seed, store.record.dataset, "mask_ddpm"), masks.shape[-1]
    checkpoint = training.checkpoint_file(checkpoints, settings, [crops], STAGE_VERSIONS["train_mask_ddpm"])
    how: dict[str, Any] = {"checkpoint": checkpoint, "seed": seed, "device": target, "what": "mask_ddpm training"}
    prior = prior_folder(settings.base, "mask_ddpm")
    settings = settings if prior is None else of_prior(settings, prior, size)
    torch.manual_seed(seed)
    if prior is None:
        model = build(settings, size).to(target)
        objective = mask_objective(model, masks, settings, settings.train.batch_size)
        log = training.train(model, objective, settings.train, **how)
    else:
        model, log = tune(masks, settings, prior, **how)
    logger.info("%d masks, %.2f M parameters", len(masks), sum(p.numel() for p in model.parameters()) / 1e6)
    training.save_weights(weights, model)
    about = {"size": size, "smallest_area": int(masks.sum((1, 2)).min()), "masks": len(masks)}
    write_json(config, {"settings": settings.model_dump(mode="json", exclude_unset=True), **about})
    write_table(table, log)


def make_masks(
    *,
    weights: Path,
    config: Path,
    crops: Path,
    settings: MaskDDPM,
    cells: tuple[int, int],
    store: Path,
    dataset: str,
    seeded_as: str,
    seed: int,
    device: str,
    max_invalid_fraction: float,
    hardness: Path | None = None,
    focus: float = 0.0,
) -> None:
    """Stage `masks`: sample the masks of a shard of cells.

    Args:
        weights: File that `train_mask_ddpm` wrote.
        config: JSON beside it: the architecture.
        crops: The crops store the model was trained on: gives size and least area.
        settings: The `mask_ddpm` block; the sampling keys and the precision of the training are used.
        cells: First cell and the one after the last.
        store: The shard to write, `MASKS`.
        dataset: Name of the data set.
        seeded_as: Name that the random numbers depend on: that of the data set whose models are used.
        seed: Seed of the run.
        device: auto, cpu or cuda.
        max_invalid_fraction: The job fails when a larger share of its cells cannot be made.
        hardness: The table of the stage `hardness`, by which outlines are kept; `None`: all are.
        focus: `population.focus`.

    Raises:
        InputError: More cells than `max_invalid_fraction` had only flawed samples.
    """
    real = read_crops(crops)
    masks, lenders = real.mask[real.widest.astype(bool)], Lenders(real, hardness, focus)
    size, smallest = masks.shape[-1], masks.sum((1, 2)).min()
    settings, ids = settings.model_copy(update=trained_architecture(config)), range(*cells)
    model = load(weights, settings, size, pick_device(device))
    least, below = SMALLEST_SHARE * smallest, seed_for(seed, seeded_as, "masks")
    drawn = sample(model, settings, ids, size=size, min_area=least, seed=below, kept=partial(_kept, lenders, below))
    check_invalid(drawn.reasons, len(ids), max_invalid_fraction, store)
    digests = digests_of([weights, crops, hardness])
    record = MasksRecord(dataset=dataset, seed=seed, digests=digests, reasons=drawn.reasons, redraws=drawn.redraws)
    _write(store, drawn, ids, size, record)
    logger.info("%d masks, %d redrawn, %d invalid", len(drawn.masks), drawn.redraws, len(drawn.reasons))


@dataclass(frozen=True)
class Drawn:
    """Sampled masks.

    Attributes:
        masks: Masks `(y, x)`, uint8, by cell.
        reasons: Why the other cells have none.
        redraws: Samples that were drawn again.
    """

    masks: dict[int, np.ndarray]
    reasons: dict[int, str]
    redraws: int


def _kept(lenders: Lenders, seed: int, mask: np.ndarray, cell: int, attempt: int) -> bool:
    """Whether a cell keeps the mask of a try."""
    return lenders.keep(mask, numpy_generator(seed, "kept", cell, attempt).random())


def _write(store: Path, drawn: Drawn, cells: Sequence[int], size: int, record: MasksRecord) -> None:
    """Write a shard of masks; a cell without one is empty."""
    empty = np.zeros((size, size), np.uint8)
    arrays = {
        "mask": np.stack([drawn.masks.get(cell, empty) for cell in cells]),
        "cell_id": np.array(cells, np.int32),
        "valid": np.array([cell in drawn.masks for cell in cells], np.uint8),
    }
    MASKS.write(store, arrays, record)


def sample(
    model: UNet2DModel,
    settings: MaskDDPM,
    cells: Sequence[int],
    *,
    size: int,
    min_area: float,
    seed: int,
    kept: Callable[[np.ndarray, int, int], bool] = lambda mask, cell, attempt: True,
) -> Drawn:
    """Sample masks of single cells; those that are flawed or not kept are drawn again, and counted.

    Args:
        model: The trained model.
        settings: The `mask_ddpm` block.
        cells: Numbers of the cells; a mask depends on its own alone.
        size: Edge of the masks, pixels.
        min_area: Least area of a mask, pixels.
        seed: Seed of this stage and data set.
        kept: Whether a mask without a flaw is kept, by the cell's number and that of the try. A cell of which none was
            kept has the last one.
    """
    masks: dict[int, np.ndarray] = {}
    reasons: dict[int, str] = {}
    missing, redraws = list(cells), 0
    for attempt in range(settings.max_redraws):
        redraws += len(missing) if attempt else 0
        left = []
        for cell, mask in _draw(model, settings, missing, attempt, size=size, seed=seed):
            reasons[cell] = flaw(mask, min_area)
            if not reasons[cell]:
                masks[cell] = mask
            if reasons[cell] or not kept(mask, cell, attempt):
                left.append(cell)
        missing = left
    return Drawn(masks, {cell: reasons[cell] for cell in missing if cell not in masks}, redraws)


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
