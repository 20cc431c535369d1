"""Cameras and silhouettes of star-shaped cells.

World: a cube `[-1, 1]^3` whose faces are the crop's edges. Arrays have axes `(z, y, x)`; points are `(x, y, z)`, x to
the right, y down, z along the optical axis, away from the viewer. All cameras are orthographic, as a microscope is.
A camera is a rotation, world to camera, with rows right `u`, down `v`, forward `w`; the pixel in row i and column j of
an image of edge n shows the line through `u = (2 j + 1) / n - 1`, `v = (2 i + 1) / n - 1`, parallel to `w`.
The input view is the identity: it looks along the optical axis.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def hemisphere_cameras(views: int) -> np.ndarray:
    """Viewing directions spread over a hemisphere by a Fibonacci spiral, without its pole.

    Opposite silhouettes mirror each other, so half a sphere suffices; the pole is the input view.

    Args:
        views: Number of cameras V.

    Returns:
        Extrinsics `(V, 4, 4)`, float32; the translation is zero.
    """
    golden = math.pi * (3 - math.sqrt(5))
    cameras = np.tile(np.eye(4, dtype=np.float32), (views, 1, 1))
    for i in range(views):
        height = 0.85 * (i + 0.5) / views
        ring = math.sqrt(1 - height**2)
        forward = np.array([ring * math.cos(golden * i), ring * math.sin(golden * i), height])
        right = np.cross(np.array([0.0, 0.0, 1.0]), forward)
        right /= np.linalg.norm(right)
        cameras[i, :3, :3] = np.stack([right, np.cross(forward, right), forward])
    return cameras


def with_input_view(cameras: np.ndarray) -> np.ndarray:
    """Cameras `(V, 4, 4)` with the input view put first: `(V + 1, 4, 4)`."""
    return np.concatenate([np.eye(4, dtype=np.float32)[None], cameras])


def pixel_centres(n: int) -> Tensor:
    """Coordinates `(n,)` of pixel or voxel centres between -1 and 1."""
    return (2 * torch.arange(n, dtype=torch.float32) + 1) / n - 1


def ray_points(cameras: Tensor, resolution: int, samples: int, reach: float = 1.0) -> Tensor:
    """Sample points on the rays of all pixels.

    Args:
        cameras: Extrinsics `(V, 4, 4)`.
        resolution: Edge of the images, pixels.
        samples: Points a ray, at equal distances between `-reach` and `reach` along the viewing direction.
        reach: Half length of the rays.

    Returns:
        World points `(V, y, x, samples, 3)`.
    """
    centres = pixel_centres(resolution).to(cameras.device)
    depth = pixel_centres(samples).to(cameras.device) * reach
    v, u, w = torch.meshgrid(centres, centres, depth, indexing="ij")
    return torch.einsum("yxsk,vkc->vyxsc", torch.stack([u, v, w], -1), cameras[:, :3, :3])


def radius_towards(radius: Tensor, points: Tensor) -> Tensor:
    """Radius of star-shaped cells in the directions of points.

    Args:
        radius: Radius on latitude-longitude grids `(n, lat, lon)`: +90 to -90 degrees, 0 to 360 degrees, ends included.
        points: World points `(..., 3)`, the same for all cells.

    Returns:
        Radii `(n, ...)`.
    """
    x, y, z = points.reshape(-1, 3).unbind(-1)
    latitude = torch.atan2(z, torch.hypot(x, y)) / (math.pi / 2)
    longitude = torch.remainder(torch.atan2(y, x), 2 * math.pi) / math.pi - 1
    grid = torch.stack([longitude, -latitude], -1)[None, None].expand(len(radius), -1, -1, -1)
    values = functional.grid_sample(radius[:, None], grid, align_corners=True, padding_mode="border")
    return values.reshape(len(radius), *points.shape[:-1])


def silhouettes(radius: Tensor, cameras: Tensor, resolution: int, samples: int = 48) -> Tensor:
    """Silhouettes of star-shaped cells: a pixel is inside when any point of its ray is.

    Args:
        radius: Radius grids `(n, lat, lon)`.
        cameras: Extrinsics `(V, 4, 4)`.
        resolution: Edge of the images, pixels.
        samples: Points a ray.

    Returns:
        Boolean images `(n, V, y, x)`.
    """
    inside = []
    for camera in cameras:
        points = ray_points(camera[None], resolution, samples)[0]
        inside.append((points.norm(dim=-1) < radius_towards(radius, points)).any(-1))
    return torch.stack(inside, 1)


def occupancy(radius: Tensor, resolution: int) -> Tensor:
    """Voxels of star-shaped cells, each centre tested against r(theta, phi).

    Args:
        radius: Radius grids `(n, lat, lon)`.
        resolution: Edge of the volumes, voxels.

    Returns:
        `r(direction) - distance` at voxel centres `(n, z, y, x)`: positive inside, close to a signed distance.
    """
    centres = pixel_centres(resolution).to(radius.device)
    z, y, x = torch.meshgrid(centres, centres, centres, indexing="ij")
    points = torch.stack([x, y, z], -1)
    return radius_towards(radius, points) - points.norm(dim=-1)
