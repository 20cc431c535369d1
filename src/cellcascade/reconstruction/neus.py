"""NeuS (Wang et al. 2021) for many cells at once: signed distance fields fitted to silhouettes by volume rendering.

The fields of all cells of a batch are fitted in the same kernels: rays are shared, fields lie side by side. The input
mask enters twice: as an exact view, and as the cell's central section, because the annotation behind it is a slice.
"""

import logging
import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from cellcascade.logs import progress
from cellcascade.reconstruction.base import Problem, view_distance
from cellcascade.reconstruction.visual_hull import visual_hull
from cellcascade.render import voxel_points
from cellcascade.seeds import torch_generator
from cellcascade.settings import Reconstruction

logger = logging.getLogger(__name__)

START_SHARPNESS = 20.0  # of the logistic density, per half width of the crop
EIKONAL_POINTS = 2048
SMOOTHNESS = (
    0.02  # weight of the grid's discrete Laplacian, which keeps errors of single views from pitting the surface
)


class Field(Protocol):
    """Signed distance fields of n cells, positive inside."""

    def __call__(self, points: Tensor) -> Tensor:
        """Distances `(n, p)` at world points `(p, 3)`."""
        ...

    def volume(self, resolution: int) -> Tensor:
        """Distances at voxel centres `(n, z, y, x)`."""
        ...


class GridField(nn.Module):
    """Dense grids of signed distances, read by trilinear interpolation.

    Args:
        start: Initial volumes `(n, z, y, x)`.
    """

    def __init__(self, start: Tensor):
        super().__init__()
        self.values = nn.Parameter(start.clone()[:, None])

    def forward(self, points: Tensor) -> Tensor:
        """Distances `(n, p)` at world points `(p, 3)`."""
        grid = points[None, None, None].expand(len(self.values), -1, -1, -1, -1)
        return functional.grid_sample(self.values, grid, align_corners=False, padding_mode="border")[:, 0, 0, 0]

    def volume(self, resolution: int) -> Tensor:
        """Distances at voxel centres `(n, z, y, x)`: the grid itself."""
        assert resolution == self.values.shape[-1]
        return self.values[:, 0].detach()

    def roughness(self) -> Tensor:
        """Mean squared Laplacian of each grid `(n,)`, in voxels."""
        v = self.values
        middle = v[:, :, 1:-1, 1:-1, 1:-1]
        ends = v[:, :, 2:, 1:-1, 1:-1] + v[:, :, :-2, 1:-1, 1:-1] + v[:, :, 1:-1, 2:, 1:-1]
        ends = ends + v[:, :, 1:-1, :-2, 1:-1] + v[:, :, 1:-1, 1:-1, 2:] + v[:, :, 1:-1, 1:-1, :-2]
        return ((ends - 6 * middle) * v.shape[-1] / 2).square().flatten(1).mean(1)


class PerceptronField(nn.Module):
    """Multi-layer perceptrons on positional encodings, added to a sphere (the paper's field).

    Args:
        radii: Radii of the spheres `(n,)`.
        generator: Draws the weights, on the CPU.
        width: Hidden units.
        layers: Hidden layers.
        octaves: Frequencies of the positional encoding.
    """

    def __init__(self, radii: Tensor, generator: torch.Generator, width: int = 64, layers: int = 3, octaves: int = 4):
        super().__init__()
        self.register_buffer("radii", radii[:, None])
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.arange(octaves))
        sizes = [3 + 6 * octaves, *[width] * layers, 1]
        shapes = [(len(radii), a, b) for a, b in zip(sizes, sizes[1:])]
        gains = [*[1.4] * layers, 0.1]
        self.weights = nn.ParameterList(
            [nn.Parameter(torch.randn(s, generator=generator) * g / s[1] ** 0.5) for s, g in zip(shapes, gains)]
        )
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(s[0], 1, s[2])) for s in shapes])

    def forward(self, points: Tensor) -> Tensor:
        """Distances `(n, p)` at world points `(p, 3)`."""
        waves = points[:, None] * self.frequencies[:, None]
        h = torch.cat([points, waves.sin().flatten(1), waves.cos().flatten(1)], 1).expand(len(self.radii), -1, -1)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1]):
            h = functional.softplus(torch.baddbmm(bias, h, weight), beta=100)
        correction = torch.baddbmm(self.biases[-1], h, self.weights[-1])[..., 0]
        return self.radii - points.norm(dim=-1) + correction

    @torch.no_grad()
    def volume(self, resolution: int) -> Tensor:
        """Distances at voxel centres `(n, z, y, x)`."""
        points = voxel_points(resolution, self.radii.device).reshape(-1, 3)
        distances = torch.cat([self(part) for part in points.split(2**16)], 1)
        return distances.reshape(-1, resolution, resolution, resolution)


def ray_opacity(distances: Tensor, sharpness: Tensor) -> Tensor:
    """Opacity of rays by NeuS' unbiased, occlusion-aware weights.

    Args:
        distances: Signed distances along the rays `(n, rays, samples)`, positive inside.
        sharpness: Inverse standard deviation s of the logistic density `(n,)`.

    Returns:
        Sum of the weights of each ray `(n, rays)`.
    """
    outside = torch.sigmoid(-distances * sharpness[:, None, None])  # the cumulative density Phi_s of NeuS' own sign
    alpha = ((outside[..., :-1] - outside[..., 1:]) / outside[..., :-1].clamp(min=1e-6)).clamp(0, 1 - 1e-6)
    return 1 - torch.exp(torch.log1p(-alpha).sum(-1))


def neus(problem: Problem, settings: Reconstruction) -> Tensor:
    """Fit signed distance fields to the silhouettes of all cells.

    Args:
        problem: The cells.
        settings: Field, resolution, steps, rays, samples and loss weights.

    Returns:
        Volumes `(n, z, y, x)`; not-a-number where a fit diverged.
    """
    device = problem.images.device
    hull = visual_hull(problem, settings)
    generator = torch_generator(problem.seed, "rays")
    if settings.field == "grid":
        field, rate = GridField(hull), settings.learning_rate
    else:
        radii = ((hull > 0).float().mean((1, 2, 3)) * 8 * 3 / (4 * math.pi)) ** (1 / 3)
        field, rate = PerceptronField(radii, generator).to(device), settings.learning_rate / 4
    log_sharpness = nn.Parameter(torch.full((len(hull),), math.log(START_SHARPNESS), device=device))
    optimizer = torch.optim.Adam([{"params": field.parameters(), "lr": rate}, {"params": [log_sharpness], "lr": 0.01}])
    for step in progress(range(settings.steps), total=settings.steps, what=f"NeuS steps ({len(hull)} cells)"):
        optimizer.param_groups[0]["lr"] = rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / settings.steps)))
        optimizer.zero_grad(set_to_none=True)
        _loss(field, log_sharpness.exp(), problem, settings, generator).backward()
        optimizer.step()
    return field.volume(settings.resolution)


def _loss(
    field: Field, sharpness: Tensor, problem: Problem, settings: Reconstruction, generator: torch.Generator
) -> Tensor:
    """Silhouettes + central section + eikonal: a sum of the cells' own losses, so that each is fitted as if alone."""
    device = problem.images.device
    points, wanted = _random_rays(problem, settings, generator)
    distances = field(points.reshape(-1, 3)).reshape(len(wanted), -1, settings.samples)
    opacity = ray_opacity(distances, sharpness)
    loss = settings.mask_weight * _mean(functional.binary_cross_entropy, opacity.clamp(1e-4, 1 - 1e-4), wanted)
    if settings.section_weight:
        plane = torch.rand(settings.rays, 3, generator=generator).to(device) * 2 - 1
        plane[:, 2] = 0
        inside = _coverage(view_distance(problem.images[:, :1], problem.cameras[:1], plane)[:, 0], problem)
        logits = field(plane) * problem.images.shape[-1]
        loss = loss + settings.section_weight * _mean(functional.binary_cross_entropy_with_logits, logits, inside)
    loss = loss + settings.eikonal_weight * _eikonal(field, settings.resolution, device, generator)
    if isinstance(field, GridField):
        loss = loss + SMOOTHNESS * field.roughness()
    return loss.sum()


def _mean(measure: Callable[..., Tensor], predicted: Tensor, wanted: Tensor) -> Tensor:
    """Mean of an elementwise loss over each cell's rays `(n,)`."""
    return measure(predicted, wanted, reduction="none").mean(1)


def _coverage(distance: Tensor, problem: Problem) -> Tensor:
    """Share of a pixel that lies inside, from the signed distance at its centre."""
    return (0.5 + distance * problem.images.shape[-1] / 2).clamp(0, 1)


def _random_rays(problem: Problem, settings: Reconstruction, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points `(rays, samples, 3)` on random rays of all views, and the coverage `(n, rays)` that the images show."""
    device, per_view = problem.images.device, -(-settings.rays // len(problem.cameras))
    uv = torch.rand(len(problem.cameras), per_view, 2, generator=generator).to(device) * 2 - 1
    jitter = torch.rand(settings.samples, generator=generator).to(device)
    depth = ((torch.arange(settings.samples, device=device) + jitter) / settings.samples * 2 - 1) * 1.2
    points = problem.cameras.lift(uv, depth.expand(len(problem.cameras), per_view, -1)).flatten(0, 1)
    images = problem.images.flatten(0, 1)[:, None]
    grid = uv[None].expand(len(problem.images), -1, -1, -1).flatten(0, 1)[:, None]
    seen = functional.grid_sample(images, grid, align_corners=False, padding_mode="border")
    return points, _coverage(seen.reshape(len(problem.images), -1), problem)


def _eikonal(field: Field, resolution: int, device: torch.device, generator: torch.Generator) -> Tensor:
    """Mean squared deviation of each cell's gradient length from 1 `(n,)`, by differences over one voxel."""
    step = 2 / resolution
    points = torch.rand(EIKONAL_POINTS, 3, generator=generator).to(device) * 1.8 - 0.9
    shifted = torch.cat([points, *(points + step * axis for axis in torch.eye(3, device=device))])
    middle, *ends = field(shifted).split(EIKONAL_POINTS, 1)
    slope = torch.stack([(end - middle) / step for end in ends], -1)
    return (slope.square().sum(-1).clamp(min=1e-8).sqrt() - 1).square().mean(1)
