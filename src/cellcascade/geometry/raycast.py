"""Surface images of cells, star-shaped ones r(theta, phi) and volumes, by ray casting; cameras: `geometry.cameras`."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from cellcascade.geometry.cameras import Cameras, pixel_centres


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


def surfaces(radius: Tensor, cameras: Cameras, resolution: int, samples: int = 48) -> tuple[Tensor, Tensor]:
    """What cameras see of star-shaped cells, which are transparent: the front and the back of their surface.

    Args:
        radius: Radius grids `(n, lat, lon)`.
        cameras: V cameras.
        resolution: Edge of the images, pixels.
        samples: Points per ray; the surface is interpolated between them.

    Returns:
        As `cast`.
    """
    return cast(lambda points: radius_towards(radius, points) - points.norm(dim=-1), cameras, resolution, samples)


def volume_surfaces(volumes: Tensor, cameras: Cameras, resolution: int) -> tuple[Tensor, Tensor]:
    """What cameras see of signed distance volumes `(n, z, y, x)`, positive inside; returns as `cast`."""

    def height(points: Tensor) -> Tensor:
        grid = points[None].expand(len(volumes), -1, -1, -1, -1)
        return functional.grid_sample(volumes[:, None], grid, align_corners=False, padding_mode="border")[:, 0]

    return cast(height, cameras, resolution, volumes.shape[-1])


def cast(height: Callable[[Tensor], Tensor], cameras: Cameras, resolution: int, samples: int) -> tuple[Tensor, Tensor]:
    """Cast the rays of all pixels through n bodies, each where its height is positive.

    Args:
        height: Maps world points `(y, x, samples, 3)` to heights `(n, y, x, samples)`.
        cameras: V cameras.
        resolution: Edge of the images, pixels.
        samples: Points per ray, at equal steps of depth from -1 to 1; the surface is interpolated between them.

    Returns:
        Silhouettes `(n, V, y, x)`, boolean: a pixel is inside when any point of its ray is. Depths of the first and the
        last surface `(n, V, 2, y, x)`, in half widths of the crop, 0 outside the silhouettes.
    """
    inside, depths = [], []
    for v in range(len(cameras)):
        values = height(cameras[v : v + 1].pixel_points(resolution, samples)[0])
        seen = (values > 0).any(-1)
        ends = torch.stack([_first_surface(values), -_first_surface(values.flip(-1))], 1)
        inside.append(seen)
        depths.append(ends * seen[:, None])
    return torch.stack(inside, 1), torch.stack(depths, 1)


def _first_surface(height: Tensor) -> Tensor:
    """Depth at which `height (..., samples)`, at equal steps of depth from -1 to 1, first rises above 0."""
    samples = height.shape[-1]
    first = (height > 0).int().argmax(-1, keepdim=True)
    after = height.gather(-1, first)
    before = height.gather(-1, (first - 1).clamp(min=0))
    back = (after / (after - before).clamp(min=1e-6)).clamp(0, 1) * (first > 0)
    return ((2 * (first - back) + 1) / samples - 1)[..., 0]


def occupancy(radius: Tensor, resolution: int) -> Tensor:
    """Voxels of star-shaped cells, each centre tested against r(theta, phi).

    Args:
        radius: Radius grids `(n, lat, lon)`.
        resolution: Edge of the volumes, voxels.

    Returns:
        `r(direction) - distance` at voxel centres `(n, z, y, x)`: positive inside, close to a signed distance.
    """
    points = voxel_points(resolution, radius.device)
    return radius_towards(radius, points) - points.norm(dim=-1)


def voxel_points(resolution: int, device: torch.device | None = None) -> Tensor:
    """World points of all voxel centres `(z, y, x, 3)`."""
    centres = pixel_centres(resolution).to(device)
    z, y, x = torch.meshgrid(centres, centres, centres, indexing="ij")
    return torch.stack([x, y, z], -1)
