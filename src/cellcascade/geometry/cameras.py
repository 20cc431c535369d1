"""Cameras of the multiview model and of the reconstruction.

World: a cube `[-1, 1]^3` whose faces are the crop's edges. Arrays have axes `(z, y, x)`; points are `(x, y, z)`, x to
the right, y down, z along the optical axis, away from the viewer.

Extrinsics: a camera is a rigid motion E `(4, 4)`, world to camera, whose rotation has the rows right, down and forward.
Intrinsics: K `(3, 4)` maps camera coordinates to `(u q, v q, q)`; u and v are image coordinates, -1 to 1 from edge to
edge, so that the pixel in row i and column j of an image of edge n has its centre at `u = (2 j + 1) / n - 1` and
`v = (2 i + 1) / n - 1`. An orthographic camera has q = 1; a perspective one of focal length f, in half image widths,
has q = forward distance and f on K's diagonal. Depth is the forward distance beyond the world's origin, in half widths
of the crop, for both kinds.

The input view is orthographic and the identity: it looks along the optical axis, as the microscope does.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Cameras:
    """V cameras.

    Attributes:
        extrinsics: `(V, 4, 4)`, float32.
        intrinsics: `(V, 3, 4)`, float32.
    """

    extrinsics: Tensor
    intrinsics: Tensor

    def __len__(self) -> int:
        return len(self.extrinsics)

    def __getitem__(self, part: slice) -> "Cameras":
        return Cameras(self.extrinsics[part], self.intrinsics[part])

    def to(self, device: torch.device) -> "Cameras":
        """The same cameras on another device."""
        return Cameras(self.extrinsics.to(device), self.intrinsics.to(device))

    def with_input_view(self) -> "Cameras":
        """The same cameras, V + 1 of them, with the input view put first."""
        first = orthographic(torch.eye(4)[None])
        pairs = (first.extrinsics, self.extrinsics), (first.intrinsics, self.intrinsics)
        return Cameras(*(torch.cat([a.to(b.device), b]) for a, b in pairs))

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Where points are seen.

        Args:
            points: World points `(p, 3)`.

        Returns:
            Image coordinates `(V, p, 2)`, and how long the image's half width is there `(V, p)`, in half widths of the
            crop: 1 for orthographic cameras.
        """
        homogeneous = torch.cat([points, torch.ones_like(points[:, :1])], 1)
        seen = torch.einsum("vrk,vkc,pc->vpr", self.intrinsics, self.extrinsics, homogeneous)
        return seen[..., :2] / seen[..., 2:], seen[..., 2] / self.intrinsics[:, 0, :1]

    def lift(self, uv: Tensor, depth: Tensor) -> Tensor:
        """Points on rays.

        Args:
            uv: Image coordinates of R rays `(V, R, 2)`.
            depth: Depths `(..., V, R, S)` of points on each ray.

        Returns:
            World points `(..., V, R, S, 3)`.
        """
        focal, perspective = self.intrinsics[:, 0, 0], self.intrinsics[:, 2, 2]
        distance = self.extrinsics[:, 2, 3]
        forward = depth + distance[:, None, None]
        width = (1 + perspective[:, None, None] * (forward - 1)) / focal[:, None, None]
        local = torch.cat([uv[:, :, None] * width[..., None], forward[..., None]], -1)
        rotation, shift = self.extrinsics[:, :3, :3], self.extrinsics[:, None, None, :3, 3]
        return torch.einsum("...vrsk,vkc->...vrsc", local - shift, rotation)

    def pixel_rays(self, resolution: int) -> Tensor:
        """Image coordinates of all pixels' rays `(V, y x, 2)`."""
        centres = pixel_centres(resolution).to(self.extrinsics.device)
        v, u = torch.meshgrid(centres, centres, indexing="ij")
        return torch.stack([u, v], -1).reshape(1, -1, 2).expand(len(self), -1, -1)

    def pixel_points(self, resolution: int, samples: int, reach: float = 1.0) -> Tensor:
        """Points on all pixels' rays, at equal steps of depth from `-reach` to `reach`: `(V, y, x, samples, 3)`."""
        rays = self.pixel_rays(resolution)
        depth = (pixel_centres(samples) * reach).to(rays.device).expand(*rays.shape[:2], -1)
        return self.lift(rays, depth).reshape(len(self), resolution, resolution, samples, 3)


def pixel_centres(n: int) -> Tensor:
    """Coordinates `(n,)` of pixel or voxel centres between -1 and 1."""
    return (2 * torch.arange(n, dtype=torch.float32) + 1) / n - 1


def orthographic(extrinsics: Tensor) -> Cameras:
    """Orthographic cameras whose images are as wide as the crop, from extrinsics `(V, 4, 4)`."""
    intrinsics = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1.0]])
    return Cameras(extrinsics, intrinsics.repeat(len(extrinsics), 1, 1))


def hemisphere(views: int) -> Cameras:
    """Orthographic cameras, as a microscope's, whose directions spread over a hemisphere by a Fibonacci spiral.

    Opposite silhouettes mirror each other, so half a sphere suffices; its pole, the input view, is left out.

    Args:
        views: Number of cameras V.
    """
    golden = math.pi * (3 - math.sqrt(5))
    height = 0.85 * (np.arange(views) + 0.5) / max(views, 1)
    ring, turn = np.sqrt(1 - height**2), golden * np.arange(views)
    forward = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], -1)
    return orthographic(_looking(forward, np.array([0.0, 0.0, 1.0]), distance=0.0))


def syncdreamer(views: int) -> Cameras:
    """The cameras of SyncDreamer: a ring of perspective ones, 30 degrees above the equator.

    Published for 16 azimuths, objects of longest side 1, distance 1.5 and f = 280 of 256 pixels. The crop is their
    cube's side, so that distances double here; their vertical is -y, and azimuth 0 is that of the input view.

    Args:
        views: Number of cameras V.
    """
    azimuth, elevation = 2 * np.pi * np.arange(views) / max(views, 1), np.deg2rad(30)
    level, up = np.cos(elevation), np.sin(elevation)
    forward = np.stack([-level * np.sin(azimuth), np.full(views, up), level * np.cos(azimuth)], -1)
    intrinsics = torch.tensor([[280 / 128, 0, 0, 0], [0, 280 / 128, 0, 0], [0, 0, 1.0, 0]])
    return Cameras(_looking(forward, np.array([0.0, 1.0, 0.0]), distance=3.0), intrinsics.repeat(views, 1, 1))


def _looking(forward: np.ndarray, down: np.ndarray, *, distance: float) -> Tensor:
    """Extrinsics `(V, 4, 4)` of cameras that look at the origin along `forward (V, 3)`, with `down` in their images."""
    right = np.cross(down, forward)
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    extrinsics = np.tile(np.eye(4, dtype=np.float32), (len(forward), 1, 1))
    extrinsics[:, :3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
    extrinsics[:, 2, 3] = distance
    return torch.from_numpy(extrinsics)


CAMERA_SETS: dict[str, Callable[[int], Cameras]] = {"hemisphere": hemisphere, "syncdreamer": syncdreamer}
