"""A prior of masks: one model of the outlines of many data sets, from which that of a new one starts."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from cellcascade.config.settings import MaskDDPM
from cellcascade.core.errors import InputError
from cellcascade.core.files import write_json, write_table
from cellcascade.core.logs import progress
from cellcascade.core.seeds import numpy_generator, seed_for
from cellcascade.core.stages import STAGE_VERSIONS
from cellcascade.data.crops import read_crops
from cellcascade.diffusion.mask_model import build, mask_objective
from cellcascade.diffusion.prior_range import SHARES
from cellcascade.geometry.masks import turned
from cellcascade.learning import training
from cellcascade.learning.device import pick_device

logger = logging.getLogger(__name__)

SIZE = 128  # edge of the imagined masks, pixels
STRETCH = 0.1  # along each axis, at most, as a logarithm
SMALLEST = 14.0  # diameter of a real outline to learn from, pixels: smaller ones are too coarse
DETAILED = 32.0  # diameter from which on an outline counts fully


def train_mask_ddpm_prior(
    *,
    crops: list[Path],
    settings: MaskDDPM,
    outlines: int,
    weights: Path,
    config: Path,
    table: Path,
    checkpoints: str,
    seed: int,
    device: str,
) -> None:
    """Stage `train_mask_ddpm_prior`: train a mask model that others start from, on the outlines of many data sets.

    Args:
        crops: The crops stores.
        settings: The `prior.mask_ddpm` block.
        outlines: Number of outlines to learn from, turned, stretched and scaled at random.
        weights: The averaged weights to write, safetensors, in half precision.
        config: JSON to write.
        table: Training log to write, CSV.
        checkpoints: Prefix of the checkpoint folder.
        seed: Seed of the run.
        device: auto, cpu or cuda.

    Raises:
        InputError: The crops cannot be read or hold no outline that is fine enough, or the training failed.
    """
    target, seed, version = pick_device(device), seed_for(seed, "mask prior"), STAGE_VERSIONS["train_mask_ddpm_prior"]
    real = [read_crops(path).mask for path in crops]
    masks = np.concatenate(list(_imagined(real, outlines, seed)))
    torch.manual_seed(seed)
    model = build(settings, SIZE).to(target)
    log = training.train(
        model,
        mask_objective(model, masks, settings, settings.train.batch_size),
        settings.train,
        checkpoint=training.checkpoint_file(checkpoints, settings, crops, version),
        seed=seed,
        device=target,
        what="mask prior training",
    )
    training.save_weights(weights, model.half())
    given = settings.model_dump(mode="json", exclude_unset=True)
    write_json(config, {"prior": version, "settings": given, "size": SIZE})
    write_table(table, log)


def _imagined(masks: Sequence[np.ndarray], count: int, seed: int) -> Iterator[np.ndarray]:
    """Outlines of real cells in other sizes and directions, one `(1, SIZE, SIZE)` at a time, uint8.

    Args:
        masks: Masks of each data set `(m, y, x)`; one with 16 times the masks of another lends eight times as many.
        count: How many to make.
        seed: Seed of the choice.
    """
    diameters = [2 * np.sqrt(each.sum((1, 2)) / np.pi) for each in masks]
    fine = [np.flatnonzero(widths >= SMALLEST) for widths in diameters]
    where = [(part, row) for part, rows in enumerate(fine) for row in rows]
    if not where:
        widest = max((widths.max() for widths in diameters if len(widths)), default=0)
        raise InputError(
            "No prior of masks can be trained on these data sets",
            where="config: prior.data",
            found=f"{sum(map(len, masks))} cells, the widest of {widest:.0f} pixels",
            expected=f"cells {SMALLEST:.0f} pixels wide or wider",
            fix="name data sets with larger cells",
        )
    weight = np.array(
        [min(1, (diameters[part][row] / DETAILED) ** 2) * len(fine[part]) ** -0.25 for part, row in where]
    )
    for number in progress(range(count), total=count, what="outlines"):
        generator, made = numpy_generator(seed, "outline", number), None
        while made is None:
            part, row = where[generator.choice(len(where), p=weight / weight.sum())]
            zoom = generator.uniform(*SHARES) * SIZE / diameters[part][row]
            zooms = zoom * np.exp(generator.uniform(-STRETCH, STRETCH, 2))
            made = turned(masks[part][row], SIZE, angle=generator.uniform(0, 2 * np.pi), zoom=zooms)
        yield made[None]
