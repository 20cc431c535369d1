"""Multiview diffusion: N consistent views of a cell from the one mask (paper, section 2, Eq. 1; after SyncDreamer).

All views are denoised jointly. A 2D network, shared by the views, turns each noisy view into features; the features
of all views are unprojected into one common volume and processed by 3D convolutions; each view reads the volume back
along its own rays by depth-wise attention. Views are images of signed distance to the silhouette. The model is trained
on spherical-harmonic shapes alone and serves all data sets.
"""

import json
import logging
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from cellcascade import training
from cellcascade.diffusion.process import ddim, diffusion_loss, draw_noise, fixed_batches, noise_schedule
from cellcascade.errors import InputError
from cellcascade.logs import progress
from cellcascade.render import hemisphere_cameras, pixel_centres, ray_points
from cellcascade.seeds import seed_for, torch_generator
from cellcascade.settings import Multiview
from cellcascade.shards import atomic_path, digest, open_shard, write_shard
from cellcascade.spharm import distance_images
from cellcascade.stages import STAGE_VERSIONS

logger = logging.getLogger(__name__)

DISTANCE_SCALE = 0.25  # half widths of the crop that become 1 in model space
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
    """Each pixel attends to the volume's features along its ray, as SyncDreamer's depth-wise attention does."""

    def __init__(self, features: int, volume: int, samples: int):
        super().__init__()
        self.query = nn.Conv2d(features, volume, 1)
        self.key, self.value = nn.Linear(volume, volume), nn.Linear(volume, volume)
        self.depth = nn.Parameter(torch.randn(samples, volume) * 0.02)
        self.out = nn.Conv2d(volume, features, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Tensor, along_rays: Tensor) -> Tensor:
        """Add to `features (m, c, y, x)` what `along_rays (m, y, x, depth, volume)` tells."""
        query = self.query(features).permute(0, 2, 3, 1).unsqueeze(-2)
        values = along_rays + self.depth
        weights = (query * self.key(values)).sum(-1).div(values.shape[-1] ** 0.5).softmax(-1)
        read = (weights[..., None] * self.value(values)).sum(-2)
        return features + self.out(read.permute(0, 3, 1, 2))


class MultiviewUNet(nn.Module):
    """Joint v-prediction for N views of one cell, given its input view.

    Args:
        views: Number of views N.
        resolution: Edge of the view images, pixels.
        channels: Channels at full resolution; twice as many at half of it.
        volume_channels: Channels of the common volume, whose edge is half the resolution.
    """

    def __init__(self, views: int, resolution: int, channels: int, volume_channels: int):
        super().__init__()
        c, v, edge, e = channels, volume_channels, resolution // 2, 4 * channels
        self.time = Timesteps(c, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding, self.camera_embedding = TimestepEmbedding(c, e), nn.Linear(9, e)
        self.enter = nn.Conv2d(3, c, 3, padding=1)
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
        self.leave = nn.Sequential(nn.GroupNorm(8, c), nn.SiLU(), nn.Conv2d(c, 1, 3, padding=1))
        cameras = torch.from_numpy(hemisphere_cameras(views))
        z, y, x = torch.meshgrid(*[pixel_centres(edge)] * 3, indexing="ij")
        voxels = torch.stack([x, y, z], -1).reshape(-1, 3)
        projected = torch.einsum("vrc,pc->vpr", cameras[:, :2, :3], voxels)
        self.register_buffer("camera", cameras[:, :3, :3].reshape(views, 9), persistent=False)
        self.register_buffer("voxel_uv", projected[:, :, None], persistent=False)
        self.register_buffer("ray_xyz", ray_points(cameras, edge, edge), persistent=False)

    def forward(self, noisy: Tensor, steps: Tensor, mask: Tensor) -> Tensor:
        """Predict v of all views.

        Args:
            noisy: Noisy views `(b, N, y, x)`.
            steps: Time steps `(b,)`.
            mask: Input view and whether it is given, `(b, 2, y, x)`; zeros ask for an unconditional prediction.

        Returns:
            v `(b, N, y, x)`.
        """
        b, n, edge, _ = noisy.shape
        time = self.time_embedding(self.time(steps).to(noisy.dtype))
        embedding = (time[:, None] + self.camera_embedding(self.camera)).reshape(b * n, -1)
        images = torch.cat([noisy.reshape(b * n, 1, edge, edge), mask.repeat_interleave(n, 0)], 1)
        fine = self.fine_in(self.enter(images), embedding)
        coarse = self.coarse_in(self.down(fine), embedding)
        volume = self._common_volume(coarse, mask, time, n)
        coarse = self.attention(coarse, self._along_rays(volume, n))
        for block in self.coarse_out:
            coarse = block(coarse, embedding)
        upper = self.up(functional.interpolate(coarse, scale_factor=2.0, mode="nearest"))
        return self.leave(self.fine_out(torch.cat([upper, fine], 1), embedding)).reshape(b, n, edge, edge)

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
        """Sample the volume on all views' rays: `(b n, y, x, depth, v)`."""
        b, _, edge, _, _ = volume.shape
        points = self.ray_xyz.reshape(1, n * edge, edge, edge, 3).expand(b, -1, -1, -1, -1).to(volume.dtype)
        values = functional.grid_sample(volume, points, align_corners=False, padding_mode="border")
        return values.reshape(b, -1, n, edge, edge, edge).permute(0, 2, 3, 4, 5, 1).reshape(b * n, edge, edge, edge, -1)


def to_model(distances: Tensor) -> Tensor:
    """Signed distances in half widths of the crop to model space."""
    return (distances / DISTANCE_SCALE).clamp(-1.5, 1.5)


def condition(images: Tensor) -> Tensor:
    """Input views `(b, y, x)` in model space, with a channel that says they are given: `(b, 2, y, x)`."""
    return torch.stack([images, torch.ones_like(images)], 1)


def build(settings: Multiview, resolution: int) -> MultiviewUNet:
    """The untrained network for images of `resolution` pixels."""
    return MultiviewUNet(settings.views, resolution, settings.channels, settings.volume_channels)


def train(shards: list[str], *, settings: dict, folder: str, checkpoints: str, seed: int, device: str) -> None:
    """Train the multiview model on spherical-harmonic shapes.

    Args:
        shards: `spharm/1` shards.
        settings: The `multiview` block.
        folder: Gets model.safetensors, config.json and training.csv.
        checkpoints: Prefix of the checkpoint folder.
        seed: Seed of the run.
        device: auto, cpu or cuda.
    """
    block, target = Multiview(**settings), training.pick_device(device)
    views = to_model(torch.from_numpy(np.concatenate([open_shard(path, "spharm/1")["views"][:] for path in shards])))
    seed = seed_for(seed, "multiview")
    torch.manual_seed(seed)
    model = build(block, views.shape[-1]).to(target)
    schedule = noise_schedule(block.timesteps)

    def loss(generator: torch.Generator) -> Tensor:
        chosen = views[torch.randint(len(views), (block.train.batch_size,), generator=generator)]
        given = torch.rand(len(chosen), 1, 1, 1, generator=generator) >= GUIDANCE_DROPOUT
        mask = (condition(chosen[:, 0]) * given).to(target)
        return diffusion_loss(lambda x, t: model(x, t, mask), chosen[:, 1:].to(target), schedule, generator)

    version = STAGE_VERSIONS["train_multiview"]
    checkpoint = Path(f"{checkpoints}-{training.fingerprint(settings, shards, version)}") / "state.pt"
    logger.info("%d shapes, %.2f M parameters", len(views), sum(p.numel() for p in model.parameters()) / 1e6)
    table = training.train(
        model, loss, block.train, checkpoint=checkpoint, seed=seed, device=target, what="multiview training"
    )
    with atomic_path(Path(folder) / "model.safetensors") as scratch:
        save_file(model.state_dict(), scratch)
    training.write_json(
        Path(folder) / "config.json",
        {"settings": settings, "resolution": views.shape[-1], "shapes": len(views), "seed": seed, "version": version},
    )
    training.write_table(Path(folder) / "training.csv", table)


def load(weights: str, device: torch.device) -> tuple[MultiviewUNet, Multiview, str]:
    """Load a trained model.

    Args:
        weights: `bundled`, or a folder that `train` wrote.
        device: Where to put the model.

    Returns:
        The model, the settings it was trained with, and a digest of its weights.

    Raises:
        InputError: The folder holds no weights, or those of another version.
    """
    folder = (
        Path(str(resources.files("cellcascade") / "weights" / "multiview")) if weights == "bundled" else Path(weights)
    )
    try:
        record = json.loads((folder / "config.json").read_text())
        settings = Multiview(**record["settings"])
        model = build(settings, record["resolution"])
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(
            "The multiview model cannot be loaded",
            where=folder,
            found=str(error).splitlines()[0],
            expected="model.safetensors and config.json of this version",
            mend="set multiview.weights to bundled, to train, or to a folder with both files",
        ) from error
    return model.to(device).eval(), settings, digest(folder / "model.safetensors")


def sample(weights: str, masks: str, *, settings: dict, store: str, seed: int, device: str, dataset: str) -> None:
    """Predict the views of a shard of masks.

    Args:
        weights: `bundled` or a folder.
        masks: A `masks/1` shard.
        settings: The `multiview` block; the sampling keys are used.
        store: The `views/1` shard to write: views without the input view, signed distance in half widths of the crop.
        seed: Seed of the run.
        device: auto, cpu or cuda.
        dataset: Name of the data set, part of each cell's seed.
    """
    block, target = Multiview(**settings), training.pick_device(device)
    model, trained, weights_digest = load(weights, target)
    shard = open_shard(masks, "masks/1")
    ids, outlines = shard["cell_id"][:], shard["mask"][:]
    resolution = 2 * model.ray_xyz.shape[1]
    given = to_model(torch.from_numpy(distance_images(outlines, resolution)))
    schedule, seed_here = noise_schedule(trained.timesteps), seed_for(seed, dataset, "views")
    views = np.empty((len(ids), trained.views, resolution, resolution), np.float32)
    batches = list(fixed_batches(range(len(ids)), block.sampling_batch))
    for batch, count in progress(batches, total=len(batches), what="view batches"):
        shape = views.shape[1:]
        noise = torch.stack([draw_noise(shape, torch_generator(seed_here, int(ids[i])), target) for i in batch])
        result = ddim(
            _guided(model, condition(given[batch]).to(target), block.guidance),
            noise,
            schedule,
            steps=block.sampling_steps,
        )
        views[batch[:count]] = (result[:count] * DISTANCE_SCALE).cpu().numpy()
    write_shard(
        store,
        schema="views/1",
        arrays={"views": views, "cameras": hemisphere_cameras(trained.views), "cell_id": ids},
        attributes={"dataset": dataset, "seed": seed, "masks": digest(masks), "model": weights_digest},
    )


def _guided(model: MultiviewUNet, mask: Tensor, scale: float):
    """The prediction, pushed away from the unconditional one when `scale` is not 1."""

    def predict(noisy: Tensor, steps: Tensor) -> Tensor:
        with training.autocast(noisy.device):
            given = model(noisy, steps, mask)
            if scale == 1:
                return given.float()
            free = model(noisy, steps, torch.zeros_like(mask))
        return (free + scale * (given - free)).float()

    return predict
