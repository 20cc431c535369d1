"""Signed distance fields of many cells side by side, positive inside, in half widths of the crop."""

import math
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from cellcascade.geometry.raycast import voxel_points

SURFACE_WIDTH = 0.05  # half widths of the crop, over which the volume changes from inside to outside


class Field(Protocol):
    """Signed distance fields of n cells; the first axis of all parameters counts the cells."""

    def __call__(self, points: Tensor) -> Tensor:
        """Distances `(n, p)` at world points `(n, p, 3)`."""
        ...

    def volume(self) -> Tensor:
        """Distances at voxel centres `(n, z, y, x)`."""
        ...

    def penalty(self) -> Tensor:
        """What the field's kind adds to each cell's loss `(n,)`."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """What is fitted."""
        ...


class GridField(nn.Module):
    """Dense grids of signed distances, read by trilinear interpolation.

    Args:
        start: Initial volumes `(n, z, y, x)`.
        smoothness: Weight of bending.
        pressure: Weight `(n,)` of the volume, which makes it smaller where no view shows how large it is.
    """

    def __init__(self, start: Tensor, smoothness: float, pressure: Tensor):
        super().__init__()
        self.smoothness = smoothness
        self.values = nn.Parameter(start.detach().clone()[:, None])
        self.pressure = nn.Parameter(pressure, requires_grad=False)

    def forward(self, points: Tensor) -> Tensor:
        """Distances `(n, p)` at world points `(n, p, 3)`."""
        grid = points[:, None, None]
        return functional.grid_sample(self.values, grid, align_corners=False, padding_mode="border")[:, 0, 0, 0]

    def volume(self) -> Tensor:
        """Distances at voxel centres `(n, z, y, x)`: the grid itself."""
        return self.values[:, 0].detach()

    def penalty(self) -> Tensor:
        """Bending, the mean squared Laplacian near the surface, and the volume under pressure `(n,)`."""
        v = self.values
        middle = v[..., 1:-1, 1:-1, 1:-1]
        ends = v[..., 2:, 1:-1, 1:-1] + v[..., :-2, 1:-1, 1:-1] + v[..., 1:-1, 2:, 1:-1]
        ends = ends + v[..., 1:-1, :-2, 1:-1] + v[..., 1:-1, 1:-1, 2:] + v[..., 1:-1, 1:-1, :-2]
        near = middle.detach().abs() < 4 * SURFACE_WIDTH
        bending = ((ends - 6 * middle) * near * v.shape[-1] / 2).square().flatten(1).mean(1)
        if not self.pressure.any():
            return self.smoothness * bending
        return self.smoothness * bending + self.pressure * torch.sigmoid(2 * v / SURFACE_WIDTH).flatten(1).mean(1)


def resized(volumes: Tensor, resolution: int) -> Tensor:
    """Volumes `(n, z, y, x)` on a grid of another resolution."""
    size = (resolution,) * 3
    return functional.interpolate(volumes[:, None], size=size, mode="trilinear", align_corners=False)[:, 0]


class PerceptronField(nn.Module):
    """Multi-layer perceptrons on positional encodings, added to a sphere (the paper's field).

    Args:
        radii: Radii of the spheres `(n,)`, to begin with.
        resolution: Edge of the volume, voxels.
        generator: Draws the weights, on the CPU; all cells start with the same.
        width: Hidden units.
        layers: Hidden layers.
        octaves: Frequencies of the positional encoding.
    """

    frequencies: Tensor

    def __init__(
        self,
        radii: Tensor,
        resolution: int,
        generator: torch.Generator,
        *,
        width: int = 64,
        layers: int = 3,
        octaves: int = 4,
    ):
        super().__init__()
        self.resolution = resolution
        self.radii = nn.Parameter(radii.detach().clone())
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.arange(octaves))
        sizes, gains = [3 + 6 * octaves, *[width] * layers, 1], [*[1.4] * layers, 0.1]
        drawn = [torch.randn(1, a, b, generator=generator) * g / a**0.5 for a, b, g in zip(sizes, sizes[1:], gains)]
        self.weights = nn.ParameterList([nn.Parameter(weight.repeat(len(radii), 1, 1)) for weight in drawn])
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(len(radii), 1, size)) for size in sizes[1:]])

    def forward(self, points: Tensor) -> Tensor:
        """Distances `(n, p)` at world points `(n, p, 3)`."""
        waves = points[:, :, None] * self.frequencies[:, None]
        h = torch.cat([points, waves.sin().flatten(2), waves.cos().flatten(2)], 2)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1]):
            h = functional.softplus(torch.baddbmm(bias, h, weight), beta=100)
        correction = torch.baddbmm(self.biases[-1], h, self.weights[-1])[..., 0]
        return self.radii[:, None] - points.norm(dim=-1) + correction

    @torch.no_grad()
    def volume(self) -> Tensor:
        """Distances at voxel centres `(n, z, y, x)`."""
        n, d = len(self.radii), self.resolution
        points = voxel_points(d, self.radii.device).reshape(-1, 3)
        return torch.cat([self(part.expand(n, -1, -1)) for part in points.split(2**16)], 1).reshape(n, d, d, d)

    def penalty(self) -> Tensor:
        """Nothing `(n,)`: perceptrons are smooth by themselves."""
        return torch.zeros_like(self.radii)
