"""Rays through the pixels of all views, most of them close to outlines, and points on them.

Most rays pass well inside or outside the silhouette, where the field is right from the start. The shape is decided by
the rays within a few pixels of the outline, so most rays are drawn there.
"""

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from cellcascade.reconstruction.base import Problem

RIM = 2.5  # pixels from the outline within which a ray counts as a rim ray
# Shares of the rays: at the rim of the input view, which is exact, and at the rims of all views; the rest go anywhere.
SHARES = 1 / 3, 1 / 3
DEPTH_BAND = 0.08  # half widths of the crop around a surface that a view shows, in which points are drawn
FINE_SHARE = 4  # one sample in so many is placed near the surface
REACH = 1.1  # half length of the rays


class PixelSets:
    """A set of pixels for each cell, from which pixels are drawn with random numbers that all cells share.

    Args:
        chosen: Which pixels belong to the sets `(n, pixels)`, boolean.
    """

    def __init__(self, chosen: Tensor):
        lists = [torch.nonzero(row)[:, 0] for row in chosen]
        self.counts = torch.tensor([len(row) for row in lists], device=chosen.device)[:, None]
        self.table = pad_sequence(lists, batch_first=True)

    def __call__(self, uniform: Tensor) -> Tensor:
        """Pixels `(n, k)` for numbers `(k,)` in [0, 1); pixel 0 for a cell whose set is empty."""
        if not self.table.shape[1]:
            return torch.zeros(len(self.counts), len(uniform), dtype=torch.long, device=self.counts.device)
        return self.table.gather(1, (uniform * self.counts).long())

    def keep(self, cells: Tensor) -> None:
        """Go on with some of the cells, by their positions."""
        self.counts, self.table = self.counts[cells], self.table[cells]


class Rays:
    """What the views of a problem say about the rays through their pixels.

    Attributes:
        coverage: Share of each pixel that is inside `(n, V y x)`.
        edge: Of the images, pixels.
        device: Where all is.
        ends: Front and back on each ray `(n, V y x, 2)`, not a number where unknown; or `None`.
    """

    def __init__(self, problem: Problem):
        images, cameras = problem.images, problem.cameras
        edge = images.shape[-1]
        uv = cameras.pixel_rays(edge)
        at = [cameras.lift(uv, torch.full((*uv.shape[:2], 1), depth, device=uv.device)) for depth in (0.0, 1.0)]
        self._origin, self._direction = at[0].reshape(-1, 3), (at[1] - at[0]).reshape(-1, 3)
        distance = images.flatten(1)
        self.coverage = (0.5 + distance * edge / 2).clamp(0, 1)
        self.edge, self.device = edge, images.device
        self._rim = PixelSets(distance.abs() < RIM * 2 / edge)
        self._rim_of_input = PixelSets(distance[:, : edge**2].abs() < RIM * 2 / edge)
        self.ends: Tensor | None = None
        self._with_ends: PixelSets | None = None
        if problem.depths is not None:
            self.ends = problem.depths.movedim(2, -1).flatten(1, 3)
            self._with_ends = PixelSets(self.ends.isfinite().all(-1))

    def keep(self, cells: Tensor) -> None:
        """Go on with some of the cells, by their positions."""
        self.coverage = self.coverage[cells]
        for pixels in (self._rim, self._rim_of_input, self._with_ends):
            if pixels is not None:
                pixels.keep(cells)
        if self.ends is not None:
            self.ends = self.ends[cells]

    def points(self, rays: Tensor, depth: Tensor) -> Tensor:
        """World points `(n, k, S, 3)` at depths `(n, k, S)` on rays `(n, k)`."""
        return self._origin[rays][:, :, None] + self._direction[rays][:, :, None] * depth[..., None]

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw rays near outlines and anywhere.

        Returns:
            Rays `(n, count)` and the coverage of their pixels.
        """
        uniform = self._uniform(count, generator)
        parts = [round(count * share) for share in SHARES]
        exact, near, rest = uniform.split([*parts, count - sum(parts)])
        anywhere = (rest * self.coverage.shape[1]).long().expand(len(self.coverage), -1)
        rays = torch.cat([self._rim_of_input(exact), self._rim(near), anywhere], 1)
        return rays, self.coverage.gather(1, rays)

    def draw_section(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw points `(n, count, 3)` of the central section near the input view's outline, and their coverage."""
        rays = self._rim_of_input(self._uniform(count, generator))
        middle = torch.zeros(*rays.shape, 1, device=rays.device)
        return self.points(rays, middle)[:, :, 0], self.coverage.gather(1, rays)

    def draw_surface(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw points before and behind the surfaces that views with depth show.

        Views disagree a little. If the points were to lie on the surface, it would be blurred over all places that
        views give it. Each point has a side instead, inside or outside, so that the surface comes to lie where as many
        views say one as the other.

        Returns:
            Points `(n, 2 count, 3)`; how far inside they are, 0 to 1; and whether that is known, which it is not for
            cells without depth.

        Raises:
            ValueError: The views are silhouettes alone.
        """
        if self.ends is None or self._with_ends is None:
            raise ValueError("the views show no surface: they are silhouettes alone")
        rays = self._with_ends(self._uniform(count, generator))
        ends = self.ends.gather(1, rays[..., None].expand(-1, -1, 2))
        inwards = (2 * self._uniform(2 * count, generator) - 1).reshape(count, 2) * DEPTH_BAND
        depth = ends + inwards * torch.tensor([1.0, -1.0], device=self.device)
        inside = (0.5 + inwards * self.edge / 2).clamp(0, 1).expand_as(depth)
        return self.points(rays, depth.nan_to_num()).flatten(1, 2), inside.flatten(1), ends.isfinite().flatten(1)

    def _uniform(self, count: int, generator: torch.Generator) -> Tensor:
        """Numbers `(count,)` in [0, 1), drawn on the CPU, the same for all cells."""
        return torch.rand(count, generator=generator).to(self.device)


def coarse_depths(samples: int, rays: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Jittered depths `(rays, samples)` along rays' whole length, the same for all cells."""
    steps = torch.arange(samples) + torch.rand(rays, samples, generator=generator)
    return ((steps / samples * 2 - 1) * REACH).to(device)


def fine_depths(coarse: Tensor, distances: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """Depths around the point of each ray that lies deepest inside, or closest to the surface.

    There it is decided whether a ray at the rim meets the cell; one through the middle is opaque in any case.

    Args:
        coarse: Depths `(n, k, S)`.
        distances: The field there.
        samples: Depths to add.
        generator: Jitters them.

    Returns:
        `(n, k, samples)`.
    """
    middle = coarse.gather(-1, distances.argmax(-1, keepdim=True))
    jitter = torch.rand(coarse.shape[1], samples, generator=generator)
    offsets = (torch.arange(samples) + jitter) / samples * 2 - 1
    return middle + offsets.to(coarse.device) * 2 * REACH / coarse.shape[-1]
