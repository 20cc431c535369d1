"""The network of multiview diffusion (paper, section 2, Eq. 1; after SyncDreamer).

All views are denoised jointly. A 2D network, shared by the views, turns each noisy view into features; the features
of all views are unprojected into one common volume and processed by 3D convolutions; each view reads the volume back
along its own rays by depth-wise attention.
"""

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn
from torch.nn import functional

from cellcascade.geometry.cameras import Cameras
from cellcascade.geometry.raycast import voxel_points


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
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

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

    camera: Tensor
    voxel_uv: Tensor
    ray_xyz: Tensor

    def __init__(self, cameras: Cameras, *, images: int, resolution: int, channels: int, volume_channels: int):
        super().__init__()
        c, v, edge, e = channels, volume_channels, resolution // 2, 4 * channels
        self.resolution = resolution
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
