"""What every reconstruction method is given and gives: silhouettes of many cells in, signed distance volumes out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cellcascade.config.settings import Reconstruction, Shapes
from cellcascade.geometry.cameras import Cameras
from cellcascade.geometry.raycast import volume_surfaces


@dataclass(frozen=True)
class Problem:
    """The cells of a shard, to be reconstructed side by side.

    Attributes:
        images: Signed distance to the silhouette in all views `(n, V + 1, y, x)`, positive inside, in half widths of
            the crop; the input view, which is exact, comes first.
        depths: Front and back of the cell in all views `(n, V + 1, 2, y, x)`, in half widths of the crop, not a number
            where unknown (nowhere known in the input view); `None` if the views are silhouettes alone.
        cameras: V + 1 cameras, the input view first.
        cell_ids: Indices of the cells `(n,)`.
        shapes: Settings of random shapes, for methods that draw them.
        seed: Seed of this stage and data set; a cell's own numbers depend on its index below it.
    """

    images: Tensor
    depths: Tensor | None
    cameras: Cameras
    cell_ids: np.ndarray
    shapes: Shapes
    seed: int

    def part(self, cells: slice | Sequence[int]) -> "Problem":
        """Some of the cells, by their positions."""
        depths = None if self.depths is None else self.depths[cells]
        return replace(self, images=self.images[cells], depths=depths, cell_ids=self.cell_ids[cells])

    def to(self, device: torch.device) -> "Problem":
        """The same problem on another device."""
        depths = None if self.depths is None else self.depths.to(device)
        return replace(self, images=self.images.to(device), depths=depths, cameras=self.cameras.to(device))


class Method(Protocol):
    """A reconstruction method."""

    def __call__(self, problem: Problem, settings: Reconstruction) -> Tensor:
        """Signed distance volumes `(n, z, y, x)`, positive inside, in half widths of the crop."""
        ...


def view_distance(images: Tensor, cameras: Cameras, points: Tensor) -> Tensor:
    """Signed distance images read where points project to.

    Args:
        images: `(n, V, y, x)`, in half widths of the images.
        cameras: V cameras.
        points: World points `(p, 3)`.

    Returns:
        `(n, V, p)`, in half widths of the crop.
    """
    uv, width = cameras.project(points)
    read = [
        functional.grid_sample(
            images[:, v, None],
            uv[v][None, None].expand(len(images), -1, -1, -1),
            align_corners=False,
            padding_mode="border",
        )
        for v in range(len(cameras))
    ]
    return torch.cat(read, 1).squeeze(2) * width


@torch.no_grad()
def reprojection_iou(volumes: Tensor, problem: Problem) -> Tensor:
    """Agreement of the volumes' silhouettes with the images, `(n, V + 1)`.

    Args:
        volumes: `(n, z, y, x)`, positive inside.
        problem: The images and cameras.
    """
    seen, _ = volume_surfaces(volumes, problem.cameras, problem.images.shape[-1])
    wanted = problem.images > 0
    union = (seen | wanted).sum((2, 3))
    return (seen & wanted).sum((2, 3)) / union.clamp(min=1)
