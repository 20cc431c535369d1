"""Multiview diffusion: N consistent views of a cell from the one mask (paper, section 2, Eq. 1; after SyncDreamer).

All views are denoised jointly. A 2D network, shared by the views, turns each noisy view into features; the features
of all views are unprojected into one common volume and processed by 3D convolutions; each view reads the volume back
along its own rays by depth-wise attention. Views are images of signed distance to the silhouette and of depth. The
model is trained on spherical-harmonic shapes alone and serves all data sets.
"""

import logging
import textwrap
from pathlib import Path

import numpy as np
import torch
import zarr
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from cellcascade.config.settings import Multiview
from cellcascade.core.files import atomic_path, digest, write_json, write_table
from cellcascade.core.seeds import seed_for, torch_generator
from cellcascade.data.shards import check_invalid, open_shard, write_shard
from cellcascade.diffusion.mask_ddpm import flaw
from cellcascade.diffusion.multiview_weights import VERSION, check_weights, refusal
from cellcascade.diffusion.process import ddim, diffusion_loss, draw_noise, noise_schedule
from cellcascade.geometry.cameras import CAMERA_SETS, Cameras
from cellcascade.geometry.raycast import voxel_points
from cellcascade.geometry.view_encoding import CHANNELS, distance_images
from cellcascade.learning import training
from cellcascade.learning.batches import in_batches
from cellcascade.learning.device import autocast, machine, pick_device

logger = logging.getLogger(__name__)

# Signed distance, middle and squared half thickness: what becomes 0, and what becomes 1, in model space.
CENTRES, SCALES = (0.0, 0.0, 0.06), (0.25, 0.1, 0.15)
FARTHEST = 1.5  # in model space, of signed distances
OUTLINE_WAVES, OUTLINE_NOISE = 0.12, 0.04  # in model space: how far, at most, training masks are off their outlines
ARCHITECTURE = ("views", "cameras", "surface", "channels", "volume_channels", "timesteps")
GUIDANCE_DROPOUT = 0.1  # share of training examples without the mask, for classifier-free guidance


class ResidualBlock(nn.Module):
    """Two convolutions with group norm; the time embedding is added between them. 2D or 3D."""

    def __init__(self, inputs: int, outputs: int, embedding: int, conv: type[nn.Module] = nn.Conv2d):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, inputs), nn.GroupNorm(8, outputs)
        self.conv1, self.conv2 = conv(inputs, outputs, 3, padding=1), conv(outputs, outputs, 3, padding=1)
        self.shift = nn.Linear(embedding, outputs)
        self.skip = conv(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map features `(b, inputs, ...)` to `(b, outputs, ...)`."""
        h = self.conv1(functional.silu(self.norm1(x)))
        h = h + self.shift(embedding).reshape(*embedding.shape[:1], -1, *[1] * (x.ndim - 2))
        return self.skip(x) + self.conv2(functional.silu(self.norm2(h)))


class RayAttention(nn.Module):
    """Each pixel attends to the volume's features along its ray, as SyncDreamer's depth-wise attention does.

    The maps to keys and values are folded into those of the query and the output, which act on pixels and not on all
    points of their rays.
    """

    def __init__(self, features: int, volume: int, samples: int):
        super().__init__()
        self.query = nn.Conv2d(features, volume, 1)
        self.depth = nn.Parameter(torch.randn(samples, volume) * 0.02)
        self.out = nn.Conv2d(volume, features, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Tensor, along_rays: Tensor) -> Tensor:
        """Add to `features (m, c, y, x)` what `along_rays (m, volume, y, x, depth)` tells."""
        values = along_rays + self.depth.T[:, None, None]
        scores = torch.einsum("mcyx,mcyxd->myxd", self.query(features), values) / values.shape[1] ** 0.5
        read = torch.einsum("myxd,mcyxd->mcyx", scores.softmax(-1), values)
        return features + self.out(read)


class MultiviewUNet(nn.Module):
    """Joint v-prediction for N views of one cell, given its input view.

    Args:
        cameras: The N views' cameras.
        images: Channels c of a view's image.
        resolution: Edge of the view images, pixels.
        channels: Channels at full resolution; twice as many at half of it.
        volume_channels: Channels of the common volume, whose edge is half the resolution.
    """

    def __init__(self, cameras: Cameras, *, images: int, resolution: int, channels: int, volume_channels: int):
        super().__init__()
        c, v, edge, e = channels, volume_channels, resolution // 2, 4 * channels
        self.time = Timesteps(c, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding, self.camera_embedding = TimestepEmbedding(c, e), nn.Linear(9, e)
        self.enter = nn.Conv2d(images + 2, c, 3, padding=1)
        self.fine_in = ResidualBlock(c, c, e)
        self.down = nn.Conv2d(c, 2 * c, 3, stride=2, padding=1)
        self.coarse_in = ResidualBlock(2 * c, 2 * c, e)
        self.lift, self.lift_mask = nn.Conv2d(2 * c, v, 1), nn.Conv2d(2, v, 3, padding=1)
        self.merge = nn.Conv3d(3 * v, v, 1)
        self.volume = nn.ModuleList([ResidualBlock(v, v, e, nn.Conv3d) for _ in range(2)])
        self.attention = RayAttention(2 * c, v, edge)
        self.coarse_out = nn.ModuleList([ResidualBlock(2 * c, 2 * c, e) for _ in range(2)])
        self.up = nn.Conv2d(2 * c, c, 3, padding=1)
        self.fine_out = ResidualBlock(2 * c, c, e)
        self.leave = nn.Sequential(nn.GroupNorm(8, c), nn.SiLU(), nn.Conv2d(c, images, 3, padding=1))
        seen, _ = cameras.project(voxel_points(edge).reshape(-1, 3))
        self.register_buffer("camera", cameras.extrinsics[:, :3, :3].flatten(1), persistent=False)
        self.register_buffer("voxel_uv", seen[:, :, None], persistent=False)
        self.register_buffer("ray_xyz", cameras.pixel_points(edge, edge), persistent=False)

    def forward(self, noisy: Tensor, steps: Tensor, mask: Tensor) -> Tensor:
        """Predict v of all views.

        Args:
            noisy: Noisy views `(b, N, c, y, x)`.
            steps: Time steps `(b,)`.
            mask: Input view and whether it is given, `(b, 2, y, x)`; zeros ask for an unconditional prediction.

        Returns:
            v `(b, N, c, y, x)`.
        """
        b, n = noisy.shape[:2]
        time = self.time_embedding(self.time(steps).to(noisy.dtype))
        embedding = (time[:, None] + self.camera_embedding(self.camera)).reshape(b * n, -1)
        images = torch.cat([noisy.flatten(0, 1), mask.repeat_interleave(n, 0)], 1)
        fine = self.fine_in(self.enter(images), embedding)
        coarse = self.coarse_in(self.down(fine), embedding)
        volume = self._common_volume(coarse, mask, time, n)
        coarse = self.attention(coarse, self._along_rays(volume, n))
        for block in self.coarse_out:
            coarse = block(coarse, embedding)
        upper = self.up(functional.interpolate(coarse, scale_factor=2.0, mode="nearest"))
        return self.leave(self.fine_out(torch.cat([upper, fine], 1), embedding)).unflatten(0, (b, n))

    def _common_volume(self, features: Tensor, mask: Tensor, time: Tensor, n: int) -> Tensor:
        """Unproject all views' features and the mask's into one volume `(b, v, z, y, x)`."""
        b, edge = len(mask), features.shape[-1]
        uv = self.voxel_uv.repeat(b, 1, 1, 1).to(features.dtype)
        lifted = functional.grid_sample(self.lift(features), uv, align_corners=False)
        lifted = lifted.reshape(b, n, -1, edge, edge, edge)
        seen = self.lift_mask(functional.avg_pool2d(mask, 2))[:, :, None].expand(-1, -1, edge, -1, -1)
        mean, spread = lifted.mean(1), lifted.square().mean(1)
        volume = self.merge(torch.cat([mean, spread - mean.square(), seen], 1))
        for block in self.volume:
            volume = block(volume, time)
        return volume

    def _along_rays(self, volume: Tensor, n: int) -> Tensor:
        """Sample the volume on all views' rays: `(b n, v, y, x, depth)`."""
        b, channels, edge = volume.shape[:3]
        points = self.ray_xyz.reshape(1, n * edge, edge, edge, 3).expand(b, -1, -1, -1, -1).to(volume.dtype)
        values = functional.grid_sample(volume, points, align_corners=False, padding_mode="border")
        return values.reshape(b, channels, n, edge, edge, edge).transpose(1, 2).flatten(0, 1)


def to_model(images: Tensor) -> Tensor:
    """View images `(..., c, y, x)` in model space; distances far off, which tell nothing, are cut short."""
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


def train(shards: list[str], *, settings: dict, folder: str, checkpoints: str, seed: int, device: str) -> None:
    """Train the multiview model on spherical-harmonic shapes.

    Args:
        shards: `spharm/2` shards.
        settings: The `multiview` block.
        folder: Gets model.safetensors, config.json and training.csv.
        checkpoints: Prefix of the checkpoint folder.
        seed: Seed of the run.
        device: auto, cpu or cuda.
    """
    block, target = Multiview(**settings), pick_device(device)
    views = to_model(torch.from_numpy(np.concatenate([open_shard(path, "spharm/2")["views"][:] for path in shards])))
    seed = seed_for(seed, "multiview")
    torch.manual_seed(seed)
    model = build(block, views.shape[-1]).to(target)
    schedule = noise_schedule(block.timesteps)

    def loss(generator: torch.Generator) -> Tensor:
        chosen = views[torch.randint(len(views), (block.train.batch_size,), generator=generator)]
        given = torch.rand(len(chosen), 1, 1, 1, generator=generator) >= GUIDANCE_DROPOUT
        mask = (condition(with_errors(chosen[:, 0, 0], generator)) * given).to(target)
        return diffusion_loss(lambda x, t: model(x, t, mask), chosen[:, 1:].to(target), schedule, generator)

    checkpoint = Path(f"{checkpoints}-{training.fingerprint(settings, shards, VERSION)}") / "state.pt"
    logger.info("%d shapes, %.2f M parameters", len(views), sum(p.numel() for p in model.parameters()) / 1e6)
    table = training.train(
        model, loss, block.train, checkpoint=checkpoint, seed=seed, device=target, what="multiview training"
    )
    with atomic_path(Path(folder) / "model.safetensors") as scratch:
        save_file(model.state_dict(), scratch)
    record = {"settings": settings, "resolution": views.shape[-1], "shapes": len(views), "seed": seed}
    record |= {"version": VERSION, "machine": machine(target)}
    write_json(Path(folder) / "config.json", record)
    write_table(Path(folder) / "training.csv", table)


def load(weights: str, device: torch.device) -> tuple[MultiviewUNet, Multiview, str]:
    """Load a trained model.

    Args:
        weights: `bundled`, or a folder that `train` wrote.
        device: Where to put the model.

    Returns:
        The model, the settings it was trained with, and a digest of its weights.

    Raises:
        InputError: A file is missing or damaged, was made by another version, or the two do not belong together.
    """
    folder, settings, resolution = check_weights(weights)
    try:
        model = build(settings, resolution)
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (ValueError, RuntimeError) as error:
        raise refusal(weights, folder, textwrap.shorten(str(error), 300)) from error
    return model.to(device).eval(), settings, digest(folder / "model.safetensors")


def sample(
    weights: str,
    masks: str,
    *,
    settings: dict,
    store: str,
    seed: int,
    device: str,
    dataset: str,
    max_invalid_fraction: float = 0.2,
) -> None:
    """Predict the views of a shard of masks; cells whose masks cannot be used are left out, before any work is done.

    Args:
        weights: `bundled` or a folder.
        masks: A `masks/1` shard.
        settings: The `multiview` block; the sampling keys are used.
        store: The `views/2` shard to write: `views (n, V, c, y, x)` without the input view, as in
            `cellcascade.geometry.view_encoding`, 0 for invalid cells; and their cameras.
        seed: Seed of the run.
        device: auto, cpu or cuda.
        dataset: Name of the data set, part of each cell's seed.
        max_invalid_fraction: The job fails when a larger share of its cells cannot be made.

    Raises:
        InputError: Too many masks cannot be used, or the model cannot be loaded.
    """
    block, target = Multiview(**settings), pick_device(device)
    shard = open_shard(masks, "masks/1")
    ids, reasons = shard["cell_id"][:], _reasons(shard)
    check_invalid(reasons, len(ids), max_invalid_fraction, store)
    model, trained, weights_digest = load(weights, target)
    _warn_of_ignored(block, trained)
    resolution = 2 * model.ray_xyz.shape[1]
    given = to_model(torch.from_numpy(distance_images(shard["mask"][:], resolution))[:, None])[:, 0]
    schedule, seed_here = noise_schedule(trained.timesteps), seed_for(seed, dataset, "views")
    cameras = CAMERA_SETS[trained.cameras](trained.views)
    views = np.zeros((len(ids), len(cameras), CHANNELS[trained.surface], resolution, resolution), np.float32)
    valid = np.array([str(cell) not in reasons for cell in ids], np.uint8)

    def draw(batch: list[int]) -> Tensor:
        noise = torch.stack(
            [draw_noise(views.shape[1:], torch_generator(seed_here, int(ids[i])), target) for i in batch]
        )
        predict = _guided(model, condition(given[batch]).to(target), block.guidance)
        return from_model(ddim(predict, noise, schedule, steps=block.sampling_steps)).cpu()

    # One at a time on a CPU: each is a batch of views already, and sums' last bits depend on the place in a batch.
    size, setting = block.sampling_batch if target.type == "cuda" else 1, "multiview.sampling_batch"
    for i, result in in_batches(draw, np.flatnonzero(valid).tolist(), size, what="cells' views", setting=setting):
        views[i] = result.numpy()
    write_shard(
        store,
        schema="views/2",
        arrays={
            "views": views,
            "extrinsics": cameras.extrinsics.numpy(),
            "intrinsics": cameras.intrinsics.numpy(),
            "valid": valid,
            "cell_id": ids,
        },
        attributes={
            "dataset": dataset,
            "seed": seed,
            "reasons": reasons,
            "masks": digest(masks),
            "model": weights_digest,
        },
    )


def _warn_of_ignored(asked: Multiview, trained: Multiview) -> None:
    """Say which settings of the network are asked for that its weights, trained with others, do not have."""
    ignored = [key for key in ARCHITECTURE if getattr(asked, key) != getattr(trained, key)]
    if ignored:
        has = ", ".join(f"{key}: {getattr(trained, key)}" for key in ignored)
        logger.warning("the multiview weights were trained with %s: that is used, not the configuration's", has)


def _reasons(shard: zarr.Group) -> dict[str, str]:
    """Why cells of a `masks/1` shard get no views: what their own stage says, and flaws that it did not see."""
    reasons = dict(shard.attrs["reasons"])
    for cell, mask, valid in zip(shard["cell_id"][:], shard["mask"][:], shard["valid"][:]):
        found = flaw(mask, 1) if valid else reasons.get(str(cell), "invalid mask")
        if found:
            reasons[str(cell)] = found
    return reasons


def _guided(model: MultiviewUNet, mask: Tensor, scale: float):
    """The prediction, pushed away from the unconditional one when `scale` is not 1."""

    def predict(noisy: Tensor, steps: Tensor) -> Tensor:
        with autocast(noisy.device):
            given = model(noisy, steps, mask)
            if scale == 1:
                return given.float()
            free = model(noisy, steps, torch.zeros_like(mask))
        return (free + scale * (given - free)).float()

    return predict
