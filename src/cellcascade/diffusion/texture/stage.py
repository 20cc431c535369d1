"""Mask-conditioned textures (paper, section 2, cell texture generation): the stages `train_texture` and `textures`.

A Stable Diffusion UNet without text, or one of the same kind trained from scratch, is steered by a ControlNet that sees
the cell's outline, its brightness and its background. Slices of a cell share a part of their initial noise (Eq. 2).
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cellcascade.config.texture import Texture
from cellcascade.core.files import write_table
from cellcascade.core.seeds import seed_for
from cellcascade.core.stages import STAGE_VERSIONS
from cellcascade.data.crops import Crops, read_crops
from cellcascade.data.shards import check_invalid, digests_of
from cellcascade.data.stores import TEXTURES, TexturesRecord
from cellcascade.diffusion.lenders import Lenders
from cellcascade.diffusion.priors import prior_folder
from cellcascade.diffusion.texture import memory
from cellcascade.diffusion.texture.cells import RealCells, Textured, UntexturedCells, textured, untextured_cells
from cellcascade.diffusion.texture.examples import crop_objective
from cellcascade.diffusion.texture.hints import CellHints
from cellcascade.diffusion.texture.model import TextureModel, build, load
from cellcascade.diffusion.texture.monitor import Watch, likeness_by_rho, measure_profile
from cellcascade.diffusion.texture.tuning import tuned
from cellcascade.learning import training
from cellcascade.learning.device import pick_device
from cellcascade.metrics.consistency import Consistency, consistency_of

logger = logging.getLogger(__name__)


def train_texture(
    *,
    crops: Path,
    settings: Texture,
    unet: Path,
    controlnet: Path,
    config: Path,
    table: Path,
    rho: Path,
    checkpoints: str,
    sampling_batches: dict[str, int],
    seed: int,
    device: str,
) -> None:
    """Stage `train_texture`: fine-tune, or train, the texture model on the crops of a data set.

    Args:
        crops: The crops store.
        settings: The `texture` block.
        unet: Weights of the UNet to write.
        controlnet: Weights of the ControlNet to write.
        config: JSON to write: what `model.load` needs beside the weights.
        table: Training log to write.
        rho: Table to write: how alike neighbouring slices are at several strengths of consistency.
        checkpoints: Prefix of the checkpoint folder.
        sampling_batches: Slices sampled at once on a GPU, by data set.
        seed: Seed of the run.
        device: auto, cpu or cuda.

    Raises:
        InputError: The base is missing or does not fit the settings, or the training failed.
    """
    target, data = pick_device(device), read_crops(crops)
    name, hints = data.record.dataset, CellHints.of_crops(data)
    looks = settings.model_copy(update={"sampling_batch": sampling_batches[name]})
    seed = seed_for(seed, name, "texture")
    checkpoint = training.checkpoint_file(checkpoints, settings, [crops], STAGE_VERSIONS["train_texture"])
    how: dict[str, Any] = {"checkpoint": checkpoint, "seed": seed, "device": target, "what": "texture training"}
    torch.manual_seed(seed)
    if prior := prior_folder(settings.base, "texture"):
        settings, model, log = tuned(data, hints, settings, prior, **how)
    else:
        model = build(settings, data.image.shape[-1]).to(target)
        log = _trained(model, data, hints, settings, Watch(model, looks, data, hints, seed), how)
        model.least_area = float(data.area_ratio.min())
    model.profile = measure_profile(model, looks, data, hints, seed)
    model.save(settings, unet=unet, controlnet=controlnet, config=config)
    write_table(table, log)
    write_table(rho, likeness_by_rho(model, looks, data, hints, seed))


def _trained(
    model: TextureModel, crops: Crops, hints: CellHints, settings: Texture, look: Watch, how: dict[str, Any]
) -> pd.DataFrame:
    """Train a model that no prior began; gives the training log. `how` is passed on to the training loop."""
    _say_what_it_takes(model, settings, len(hints))
    latents = how["checkpoint"].parent / "latents.npy"
    objective = crop_objective(model, crops, hints, settings, latents)
    log = training.train(model, objective, settings.training, rates=settings.rates, look=look, **how)
    latents.unlink(missing_ok=True)
    return log


def _say_what_it_takes(model: TextureModel, settings: Texture, crops: int) -> None:
    """Tell how much is trained, and the memory it takes; warn if the GPU has less."""
    trained = sum(p.numel() for p in model.trained_parameters())
    frozen = sum(p.numel() for p in model.parameters()) - trained
    unet, training, pixel = model.unet.config, settings.training, settings.space == "pixel"
    edge, frugal = model.space.hint_edge, training.gradient_checkpointing
    kept = memory.activations(unet, edge, pixel=pixel, checkpointing=frugal)
    needed = memory.estimate(memory.Counts(trained, frozen), kept, training)
    logger.info("%d crops, %.2f M trained parameters, %s", crops, trained / 1e6, needed)
    if (device := next(model.parameters()).device).type == "cuda":
        there = torch.cuda.get_device_properties(device).total_memory
        if needed.total > there:
            logger.warning(
                "this GPU has %.1f GB: lower train.batch_size and raise train.accumulation as much, set train."
                "gradient_checkpointing: true or train.optimizer: adamw8bit, or train less of the model (trainable)",
                there / memory.GIB,
            )


def make_textures(
    *,
    masks: Path | None,
    slices: Path | None,
    crops: Path,
    unet: Path,
    controlnet: Path,
    config: Path,
    rho: Path,
    settings: Texture,
    store: Path,
    dataset: str,
    seeded_as: str,
    seed: int,
    device: str,
    max_invalid_fraction: float,
    hardness: Path | None = None,
    focus: float = 0.0,
) -> None:
    """Stage `textures`: give every slice of a shard of cells its texture.

    Args:
        masks: The shard of masks in 2D, `MASKS`.
        slices: The shard of sliced cells in 3D, `SLICES`; one of the two is given.
        crops: The crops store that the model was trained on: intensity window, brightness of real cells.
        unet: Weights of the UNet.
        controlnet: Weights of the ControlNet.
        config: JSON beside them.
        rho: Table beside them: how alike slices are.
        settings: The `texture` block; the sampling keys are used.
        store: The shard to write, `TEXTURES`.
        dataset: Name of the data set.
        seeded_as: Name that the random numbers depend on: that of the data set whose models are used.
        seed: Seed of the run.
        device: auto, cpu or cuda.
        max_invalid_fraction: The job fails when a larger share of its cells is invalid.
        hardness: The table of the stage `hardness`, by which light is lent; `None`: all alike.
        focus: `population.focus`.

    Raises:
        InputError: A store is damaged, the model cannot be loaded, or too many cells are invalid.
    """
    data, cells = read_crops(crops), untextured_cells(masks, slices)
    model = load(pick_device(device), unet=unet, controlnet=controlnet, config=config)
    real = RealCells(data, Lenders(data, hardness, focus), _consistency(rho, settings))
    made = textured(model, cells, real, settings, seed=seed, seeded_as=seeded_as)
    check_invalid(made.reasons, len(cells.cell_id), max_invalid_fraction, store)
    digests = digests_of([slices or masks, crops, unet, controlnet, config, rho, hardness])
    _write(store, made, cells, _record(made, data, dataset=dataset, seed=seed, digests=digests))
    logger.info("%d textures, %d redrawn, %d invalid", made.valid.sum(), made.redraws, len(made.reasons))


def _consistency(rho: Path, settings: Texture) -> Consistency:
    """How alike slices are made."""
    found = consistency_of(pd.read_csv(rho), settings.rho, settings.correlation)
    logger.info("slices are alike by rho = %.2g, %s", found.rho, found.kind)
    return found


def _record(made: Textured, crops: Crops, **common: Any) -> TexturesRecord:
    """The record of a shard of textures."""
    background = float(np.median(crops.background))
    return TexturesRecord(reasons=made.reasons, redraws=made.redraws, background=background, **common)


def _write(store: Path, made: Textured, cells: UntexturedCells, record: TexturesRecord) -> None:
    """Write a shard of textures."""
    arrays = {"image": made.images, "mask": cells.mask, "n_slices": cells.n_slices, "valid": made.valid}
    TEXTURES.write(store, arrays | {"cell_id": cells.cell_id}, record)
