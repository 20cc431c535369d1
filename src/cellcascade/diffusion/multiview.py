"""Multiview diffusion: N consistent views of a cell from the one mask (paper, section 2, Eq. 1; after SyncDreamer).

The stages `train_multiview` and `views`. Views are images of signed distance to the silhouette and of depth. The model
is trained on spherical-harmonic shapes alone and serves all data sets.
"""

import logging
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from cellcascade.config.settings import Multiview
from cellcascade.core.files import write_json, write_table
from cellcascade.core.seeds import seed_for, torch_generator
from cellcascade.data.shards import Store, check_invalid, digests_of
from cellcascade.data.stores import MASKS, SHAPES, VIEWS, MasksRecord, ViewsRecord
from cellcascade.diffusion.mask_ddpm import flaw
from cellcascade.diffusion.multiview_network import MultiviewUNet
from cellcascade.diffusion.multiview_weights import VERSION, check_weights, refusal
from cellcascade.diffusion.process import ddim, diffusion_loss, draw_noise, draw_noising, noise_schedule
from cellcascade.geometry.cameras import CAMERA_SETS
from cellcascade.geometry.view_encoding import CHANNELS, distance_images
from cellcascade.learning import training
from cellcascade.learning.batches import in_batches
from cellcascade.learning.device import autocast, machine, pick_device
from cellcascade.learning.objective import Batch, Objective

logger = logging.getLogger(__name__)

# Signed distance, middle and squared half thickness: what becomes 0, and what becomes 1, in model space.
CENTRES, SCALES = (0.0, 0.0, 0.06), (0.25, 0.1, 0.15)
FARTHEST = 1.5  # in model space, of signed distances
OUTLINE_WAVES, OUTLINE_NOISE = 0.12, 0.04  # in model space: how far, at most, training masks are off their outlines
ARCHITECTURE = ("views", "cameras", "surface", "channels", "volume_channels", "timesteps")
GUIDANCE_DROPOUT = 0.1  # share of training examples without the mask, for classifier-free guidance


def to_model(images: Tensor) -> Tensor:
    """View images `(..., c, y, x)` in model space; distances far off, which carry nothing, are cut off."""
    scaled = (images - _per_channel(CENTRES, images)) / _per_channel(SCALES, images)
    return torch.cat([scaled[..., :1, :, :].clamp(-FARTHEST, FARTHEST), scaled[..., 1:, :, :]], -3)


def from_model(images: Tensor) -> Tensor:
    """The inverse of `to_model`, but for what was cut short."""
    return images * _per_channel(SCALES, images) + _per_channel(CENTRES, images)


def _per_channel(numbers: tuple[float, ...], images: Tensor) -> Tensor:
    return torch.tensor(numbers[: images.shape[-3]], device=images.device)[:, None, None]


def condition(images: Tensor) -> Tensor:
    """Input views `(b, y, x)` in model space, with a channel that says they are given: `(b, 2, y, x)`."""
    return torch.stack([images, torch.ones_like(images)], 1)


def with_errors(images: Tensor, generator: torch.Generator) -> Tensor:
    """Input views `(b, y, x)` in model space with wavy outlines, as masks have that no spherical harmonics made."""
    waves, noise = (torch.rand(len(images), 1, 1, generator=generator) for _ in range(2))
    coarse = torch.randn(len(images), 1, 8, 8, generator=generator)
    smooth = functional.interpolate(coarse, size=images.shape[-2:], mode="bicubic")[:, 0]
    grain = torch.randn(images.shape, generator=generator)
    return images + OUTLINE_WAVES * waves * smooth + OUTLINE_NOISE * noise * grain


def build(settings: Multiview, resolution: int) -> MultiviewUNet:
    """The untrained network for images of `resolution` pixels."""
    return MultiviewUNet(
        CAMERA_SETS[settings.cameras](settings.views),
        images=CHANNELS[settings.surface],
        resolution=resolution,
        channels=settings.channels,
        volume_channels=settings.volume_channels,
    )


def train_multiview(
    *,
    shapes: list[Path],
    settings: Multiview,
    weights: Path,
    config: Path,
    table: Path,
    checkpoints: str,
    seed: int,
    device: str,
) -> None:
    """Stage `train_multiview`: train the multiview model on spherical-harmonic shapes.

    Args:
        shapes: Shards of shapes, `SHAPES`.
        settings: The `multiview` block.
        weights: The averaged weights to write, safetensors.
        config: JSON to write: settings, edge of the images, number of shapes, seed, version, machine.
        table: Training log to write, CSV.
        checkpoints: Prefix of the checkpoint folder.
        seed: Seed of the run.
        device: auto, cpu or cuda.

    Raises:
        InputError: A shard cannot be read, or the training failed.
    """
    target = pick_device(device)
    views = torch.from_numpy(np.concatenate([SHAPES.open(path)["views"] for path in shapes]))
    seed = seed_for(seed, "multiview")
    torch.manual_seed(seed)
    model = build(settings, views.shape[-1]).to(target)
    logger.info("%d shapes, %.2f M parameters", len(views), sum(p.numel() for p in model.parameters()) / 1e6)
    checkpoint = training.checkpoint_file(checkpoints, settings, shapes, VERSION)
    objective = _view_objective(model, views, settings)
    log = training.train(
        model, objective, settings.train, checkpoint=checkpoint, seed=seed, device=target, what="multiview training"
    )
    training.save_weights(weights, model)
    record = {"settings": settings.model_dump(mode="json", exclude_unset=True), "resolution": views.shape[-1]}
    write_json(config, record | {"shapes": len(views), "seed": seed, "version": VERSION, "machine": machine(target)})
    write_table(table, log)


def _view_objective(model: MultiviewUNet, views: Tensor, settings: Multiview) -> Objective:
    """Learning from shapes' views `(n, N + 1, c, y, x)`, as in `geometry.view_encoding`, the input view first."""
    schedule = noise_schedule(settings.timesteps)

    def draw(generator: torch.Generator) -> Batch:
        chosen = to_model(views[torch.randint(len(views), (settings.train.batch_size,), generator=generator)])
        given = torch.rand(len(chosen), 1, 1, 1, generator=generator) >= GUIDANCE_DROPOUT
        mask, clean = condition(with_errors(chosen[:, 0, 0], generator)) * given, chosen[:, 1:]
        return clean, mask, *draw_noising(clean.shape, schedule, generator)

    def loss(batch: Batch) -> Tensor:
        clean, mask, steps, noise = batch
        return diffusion_loss(lambda x, t: model(x, t, mask), clean, steps, noise, schedule)

    return Objective(draw, loss)


def load(weights: str, device: torch.device) -> tuple[MultiviewUNet, Multiview, Path]:
    """Load a trained model.

    Args:
        weights: `bundled`, or a folder with a trained model.
        device: Where to put the model.

    Returns:
        The model, the settings it was trained with, and the file of its weights.

    Raises:
        InputError: A file is missing or damaged, was made by another version, or the two do not belong together.
    """
    folder, settings, resolution = check_weights(weights)
    try:
        model = build(settings, resolution)
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (ValueError, RuntimeError) as error:
        raise refusal(weights, folder, textwrap.shorten(str(error), 300)) from error
    return model.to(device).eval(), settings, folder / "model.safetensors"


def make_views(
    *,
    weights: str,
    masks: Path,
    settings: Multiview,
    store: Path,
    dataset: str,
    seeded_as: str,
    seed: int,
    device: str,
    max_invalid_fraction: float,
) -> None:
    """Stage `views`: predict the views of a shard of masks; unusable masks are left out before any work is done.

    Args:
        weights: `bundled` or a folder.
        masks: A shard of masks, `MASKS`.
        settings: The `multiview` block; the sampling keys and `train.precision` are used.
        store: The shard to write, `VIEWS`: views without the input view, as in `geometry.view_encoding`, 0 for invalid
            cells; and their cameras.
        dataset: Name of the data set.
        seeded_as: Name that the random numbers depend on: that of the data set whose models are used.
        seed: Seed of the run.
        device: auto, cpu or cuda.
        max_invalid_fraction: The job fails when a larger share of its cells is invalid.

    Raises:
        InputError: Too many masks cannot be used, or the model cannot be loaded.
    """
    cells = MASKS.open(masks)
    ids, reasons = cells["cell_id"], unusable(cells)
    check_invalid(reasons, len(ids), max_invalid_fraction, store)
    model, trained, file = load(weights, pick_device(device))
    _warn_of_ignored(settings, trained)
    usable = [i for i, cell in enumerate(ids) if cell not in reasons]
    given = distance_images(cells["mask"], model.resolution)
    views = predict_views(model, trained, settings, given, usable, ids=ids, seed=seed_for(seed, seeded_as, "views"))
    cameras = CAMERA_SETS[trained.cameras](trained.views)
    arrays = {
        "views": views,
        "extrinsics": cameras.extrinsics.numpy(),
        "intrinsics": cameras.intrinsics.numpy(),
        "valid": np.array([cell not in reasons for cell in ids], np.uint8),
        "cell_id": ids,
    }
    VIEWS.write(
        store, arrays, ViewsRecord(dataset=dataset, seed=seed, digests=digests_of([masks, file]), reasons=reasons)
    )


def predict_views(
    model: MultiviewUNet,
    trained: Multiview,
    settings: Multiview,
    given: np.ndarray,
    usable: list[int],
    *,
    ids: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Predict the views of cells from their input views.

    Args:
        model: The trained model.
        trained: The settings it was trained with.
        settings: Sampling steps, guidance, cells at once and precision.
        given: Input views of all cells `(n, y, x)`: signed distances, as in `geometry.view_encoding`.
        usable: Positions of the cells whose views are predicted.
        ids: Numbers of the cells `(n,)`; a cell's noise depends on its own alone.
        seed: Seed of this stage and data set.

    Returns:
        Views `(n, N, c, y, x)`, float32; 0 for the other cells.
    """
    edge, device = model.resolution, next(model.parameters()).device
    views = np.zeros((len(ids), trained.views, CHANNELS[trained.surface], edge, edge), np.float32)
    masks, schedule = to_model(torch.from_numpy(given)[:, None])[:, 0], noise_schedule(trained.timesteps)

    def draw(batch: list[int]) -> Iterable[Tensor]:
        generators = (torch_generator(seed, int(ids[i])) for i in batch)
        noise = torch.stack([draw_noise(views.shape[1:], generator, device) for generator in generators])
        predict = _guided(model, condition(masks[batch]).to(device), settings)
        return from_model(ddim(predict, noise, schedule, steps=settings.sampling_steps)).cpu()

    # One at a time on a CPU: each is a batch of views already, and sums' last bits depend on the place in a batch.
    size, setting = settings.sampling_batch if device.type == "cuda" else 1, "multiview.sampling_batch"
    for i, result in in_batches(draw, usable, size, what="cells' views", setting=setting):
        views[i] = result.numpy()
    return views


def unusable(masks: Store[MasksRecord]) -> dict[int, str]:
    """Why cells of a shard of masks get no views: what their own stage says, and flaws that it did not see."""
    reasons = dict(masks.record.reasons)
    for cell, mask, valid in zip(masks["cell_id"].tolist(), masks["mask"], masks["valid"]):
        found = flaw(mask, 1) if valid else reasons.get(cell, "invalid mask")
        if found:
            reasons[cell] = found
    return reasons


def _warn_of_ignored(asked: Multiview, trained: Multiview) -> None:
    """Say which settings of the network are asked for that its weights, trained with others, do not have."""
    ignored = [key for key in ARCHITECTURE if getattr(asked, key) != getattr(trained, key)]
    if ignored:
        has = ", ".join(f"{key}: {getattr(trained, key)}" for key in ignored)
        logger.warning("the multiview weights were trained with %s: that is used, not the configuration's", has)


def _guided(model: MultiviewUNet, mask: Tensor, settings: Multiview) -> Callable[[Tensor, Tensor], Tensor]:
    """The prediction, pushed away from the unconditional one when the guidance is not 1."""

    def predict(noisy: Tensor, steps: Tensor) -> Tensor:
        with autocast(noisy.device, settings.train.precision):
            given = model(noisy, steps, mask).float()
            if settings.guidance == 1:
                return given
            free = model(noisy, steps, torch.zeros_like(mask)).float()
        return free + settings.guidance * (given - free)

    return predict
